//! One redb file: opened when first needed, and opened again after a failure.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use ::redb::{Database, DatabaseError, StorageError};
use tempfile::TempPath;

use super::StoreError;

/// The path of a damaged file, where redb reports damage without saying of which file.
const UNNAMED: &str = "";

/// Which file a path leads to, whatever is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// # Errors
    /// Nothing is there.
    fn of(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let file = fs::metadata(path)?;
        Ok(Self { device: file.dev(), inode: file.ino() })
    }
}

/// A file and its handle, shared by the writer and the readers of this process. redb locks the file against other
/// processes, and against a second handle of this one: hence the handle never leaves the lock.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    cache_bytes: usize,
    /// Locked for reading by all that work with the file, for writing to open and close it.
    handle: RwLock<Option<Opened>>,
}

#[derive(Debug)]
struct Opened {
    database: Database,
    identity: Identity,
}

impl DatabaseFile {
    pub(super) fn new(path: PathBuf, cache_bytes: usize) -> Self {
        Self { path, cache_bytes, handle: RwLock::new(None) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` on the open file, which is created if missing, and closes the file if `work` fails: after an I/O
    /// error redb refuses everything until the file is opened again. `work` must not call this again: closing waits for
    /// it.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let done = loop {
            if let Some(opened) = &*self.handle.read().unwrap_or_else(PoisonError::into_inner) {
                break self.guarded(|| work(&opened.database));
            }
            self.open()?;
        };
        if matches!(done, Err(StoreError::Failed(_) | StoreError::NoRoom(_) | StoreError::Damaged { .. })) {
            self.close();
        }
        done.map_err(|error| self.named(error))
    }

    fn open(&self) -> Result<(), StoreError> {
        let mut handle = self.handle.write().unwrap_or_else(PoisonError::into_inner);
        if handle.is_none() {
            *handle = Some(self.guarded(|| {
                let opened = if self.path.exists() { self.create(&self.path) } else { self.begin() };
                let database = opened.map_err(|e| self.opening(e))?;
                Ok(Opened { database, identity: self.identity()? })
            })?);
        }
        Ok(())
    }

    fn create(&self, path: &Path) -> Result<Database, DatabaseError> {
        Database::builder().set_cache_size(self.cache_bytes).create(path)
    }

    /// A new file, which gets its name once it is whole: what a process leaves that is killed while redb lays one out, redb
    /// itself does not read.
    fn begin(&self) -> Result<Database, DatabaseError> {
        let unfinished = self.path.with_extension("redb.new");
        let database = match self.lay_out(&unfinished) {
            Err(DatabaseError::Storage(StorageError::Io(e))) if e.kind() == io::ErrorKind::InvalidData => {
                fs::remove_file(&unfinished).map_err(StorageError::Io)?;
                self.lay_out(&unfinished)?
            }
            created => created?,
        };
        self.finish(&unfinished).map_err(StorageError::Io)?;
        Ok(database)
    }

    /// Readable by its owner alone, whatever the folder is. An empty file is a new one for redb.
    fn lay_out(&self, path: &Path) -> Result<Database, DatabaseError> {
        fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(StorageError::Io)?;
        self.create(path)
    }

    /// Names the file for good, also where the power fails after what is written next. A file that another process has
    /// named so meanwhile stays.
    fn finish(&self, unfinished: &Path) -> io::Result<()> {
        TempPath::try_from_path(unfinished)?.persist_noclobber(&self.path)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }

    /// Which file is at the path now.
    ///
    /// # Errors
    /// [`StoreError::Gone`]: none.
    pub(super) fn identity(&self) -> Result<Identity, StoreError> {
        Identity::of(&self.path).map_err(|_| self.gone())
    }

    /// That the file is still the one that was opened; a look at the folder, which takes about a microsecond.
    ///
    /// # Errors
    /// [`StoreError::Gone`]: there is another, or none.
    pub(super) fn is_still(&self, opened: Identity) -> Result<(), StoreError> {
        if self.identity()? == opened { Ok(()) } else { Err(self.gone()) }
    }

    /// Closes the file where another one, or none, is in its place; says so once. What is there is opened at the next use.
    pub(super) fn leave_if_gone(&self) -> bool {
        let is_gone =
            |handle: &Option<Opened>| handle.as_ref().is_some_and(|opened| self.is_still(opened.identity).is_err());
        // Nearly always it is there, and nobody has to wait.
        if !is_gone(&self.handle.read().unwrap_or_else(PoisonError::into_inner)) {
            return false;
        }
        let handle = self.handle.write().unwrap_or_else(PoisonError::into_inner);
        let gone = is_gone(&handle);
        if gone {
            self.shut(handle);
        }
        gone
    }

    fn gone(&self) -> StoreError {
        let file = self.path.file_name().unwrap_or_default();
        StoreError::Gone { file: file.display().to_string() }
    }

    /// Waits until nobody works with the file, and closes it.
    pub(super) fn close(&self) {
        self.shut(self.handle.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Closes the file unless somebody works with it.
    pub(super) fn close_if_idle(&self) {
        if let Ok(handle) = self.handle.try_write() {
            self.shut(handle);
        }
    }

    /// Whoever wants the file waits until it is closed, which may take a write to the disk.
    fn shut(&self, mut handle: RwLockWriteGuard<'_, Option<Opened>>) {
        let opened = handle.take();
        // If it cannot be closed properly, opening it again reports what is wrong.
        let _ = self.guarded(|| {
            drop(opened);
            Ok(())
        });
    }

    /// redb panics at a page that is not as it was written: the file is damaged, and the panic must not end the
    /// caller's thread.
    fn guarded<T>(&self, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let panicked = |_| Err(StoreError::damaged(&self.path, "its pages are not what was written"));
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(panicked)
    }

    /// The error with this file's name.
    fn named(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Damaged { path, problem } if path == UNNAMED => StoreError::damaged(&self.path, problem),
            other => other,
        }
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
            DatabaseError::Storage(StorageError::Io(e)) if is_full(&e) => StoreError::NoRoom(e.to_string()),
            DatabaseError::Storage(StorageError::Io(e)) => StoreError::Folder { path: folder(), reason: e.to_string() },
            other => StoreError::Failed(other.to_string()),
        }
    }
}

/// Any of redb's errors on a file that is open, within [`DatabaseFile::with`].
pub(super) fn failed(error: impl Into<::redb::Error>) -> StoreError {
    match error.into() {
        ::redb::Error::Corrupted(problem) => StoreError::damaged(Path::new(UNNAMED), problem),
        ::redb::Error::Io(error) if is_full(&error) => StoreError::NoRoom(error.to_string()),
        other => StoreError::Failed(other.to_string()),
    }
}

/// The disk or the quota allows no more. A file that may not be longer is another matter: dropping others does not help.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_a_killed_process_had_begun_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let unfinished = folder.path().join("a.redb.new");
        fs::write(&unfinished, [0; 4096]).unwrap();
        let file = DatabaseFile::new(folder.path().join("a.redb"), 1 << 20);
        file.with(|database| database.begin_write().map_err(failed)?.commit().map_err(failed)).unwrap();
        assert!(file.path().exists() && !unfinished.exists());
    }

    #[test]
    fn a_disk_and_a_quota_that_allow_no_more_are_told_from_what_else_fails() {
        let told = |number| failed(StorageError::Io(io::Error::from_raw_os_error(number)));
        // ENOSPC and EDQUOT, then EIO and EFBIG.
        for number in [28, if cfg!(target_os = "linux") { 122 } else { 69 }] {
            assert!(matches!(told(number), StoreError::NoRoom(_)), "{number}");
        }
        for number in [5, 27] {
            assert!(matches!(told(number), StoreError::Failed(_)), "{number}");
        }
    }
}
