//! One redb file: opened when first needed, and opened anew after a failure.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ::redb::{Database, DatabaseError, StorageError};

use super::StoreError;

/// A file and its handle, shared by the writer and the readers of this process. redb locks the file against others.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    cache_bytes: usize,
    handle: Mutex<Option<Arc<Database>>>,
}

impl DatabaseFile {
    pub(super) fn new(path: PathBuf, cache_bytes: usize) -> Self {
        Self { path, cache_bytes, handle: Mutex::new(None) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The open file; made where there is none.
    pub(super) fn get(&self) -> Result<Arc<Database>, StoreError> {
        let mut handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*handle {
            return Ok(database.clone());
        }
        let opened = self.guarded(|| {
            let opened = Database::builder().set_cache_size(self.cache_bytes).create(&self.path);
            opened.map_err(|e| self.opening(e))
        });
        let database = Arc::new(opened?);
        *handle = Some(database.clone());
        Ok(database)
    }

    /// Lets go of the handle: after an I/O error redb refuses everything until the file is opened anew.
    pub(super) fn close(&self) {
        *self.handle.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Runs `work`, and closes the file if it fails.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let database = self.get()?;
        let done = self.guarded(|| work(&database));
        if matches!(done, Err(StoreError::Failed(_) | StoreError::Damaged { .. })) {
            self.guarded(|| {
                self.close();
                drop(database);
                Ok(())
            })?;
        }
        done
    }

    /// What `redb` panics at is a page that is not as it was written: the file is damaged, and nobody else's thread ends.
    fn guarded<T>(&self, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let panicked = |_| Err(StoreError::damaged(&self.path, "its pages are not what was written"));
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(panicked)
    }

    fn opening(&self, error: DatabaseError) -> StoreError {
        let folder = || self.path.parent().unwrap_or(&self.path).display().to_string();
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => StoreError::InUse(folder()),
            DatabaseError::UpgradeRequired(form) => {
                StoreError::damaged(&self.path, format!("its file format {form} is unknown"))
            }
            DatabaseError::Storage(StorageError::Corrupted(problem)) => StoreError::damaged(&self.path, problem),
            DatabaseError::Storage(StorageError::Io(e)) if e.kind() == io::ErrorKind::InvalidData => {
                StoreError::damaged(&self.path, "it is not a redb file")
            }
            DatabaseError::Storage(StorageError::Io(e)) => StoreError::Folder { path: folder(), reason: e.to_string() },
            other => StoreError::Failed(other.to_string()),
        }
    }
}

/// Any of redb's errors on a file that is open.
pub(super) fn failed(error: impl Into<::redb::Error>) -> StoreError {
    StoreError::Failed(error.into().to_string())
}
