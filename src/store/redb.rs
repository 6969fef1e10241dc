//! The store that `serve` uses: one folder with `ledger.redb` and `traces-*.redb`.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ledger::{Ledger, LedgerReader};
use super::segments::{Retention, SegmentWriter, Segments};
use super::{
    Checkpoint, Entry, LEDGER_FILE, Position, Scored, Store, StoreError, TracePage, TraceReader, Visit,
    has_decision_in, newest_scores, owner_in,
};
use crate::trace::{Owner, Trace, TraceId};

/// A data folder, held by this process alone.
#[derive(Debug)]
pub struct RedbStore {
    ledger: Ledger,
    bodies: SegmentWriter,
    segments: Arc<Segments>,
}

impl RedbStore {
    /// Opens the folder, and creates it if missing.
    ///
    /// # Errors
    /// [`StoreError::InUse`] where another process holds it; [`StoreError::Folder`] where it cannot be made or
    /// written; [`StoreError::Damaged`] and [`StoreError::Newer`] where its ledger cannot be read: nothing is
    /// overwritten then.
    pub fn open(folder: &Path, retention: Retention) -> Result<Self, StoreError> {
        let folder = make(folder)?;
        let ledger = Ledger::open(folder.join(LEDGER_FILE))?;
        let segments = Arc::new(Segments::new(folder));
        Ok(Self { ledger, bodies: SegmentWriter::new(segments.clone(), retention), segments })
    }
}

fn make(folder: &Path) -> Result<PathBuf, StoreError> {
    let unusable = |e: std::io::Error| StoreError::Folder { path: folder.display().to_string(), reason: e.to_string() };
    make_folder(folder).map_err(unusable)?;
    let open = fs::metadata(folder).map_err(unusable)?.permissions().mode() & 0o007;
    if open != 0 {
        let folder = folder.display();
        tracing::warn!(
            "{folder}, which holds what people asked, is open to all users of this machine: chmod o-rwx {folder}"
        );
    }
    folder.canonicalize().map_err(unusable)
}

/// Creates a data folder, or a folder within one, if missing: readable by its owner alone, since it holds what people
/// asked.
///
/// # Errors
/// It cannot be made.
pub fn make_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o700);
    builder.recursive(true).create(folder)
}

impl Store for RedbStore {
    fn append(&mut self, entries: &[Entry]) -> Result<Position, StoreError> {
        let Self { ledger, bodies, .. } = self;
        bodies.making_room(|| ledger.append(entries))
    }

    fn replay(&self, after: Position, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.ledger.replay(after, visit)
    }

    fn history(&self, trace: TraceId, before: Position) -> Result<Vec<Entry>, StoreError> {
        self.ledger.history(trace, before)
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.ledger.checkpoint(checkpoint)
    }

    fn latest_checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        self.ledger.latest_checkpoint()
    }

    fn stage(&mut self, trace: &Trace) -> Result<(), StoreError> {
        self.bodies.stage(trace)
    }

    fn keep(&mut self) -> Result<(), StoreError> {
        self.bodies.keep()
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.bodies.flush()
    }

    fn dropped_segments(&self) -> u64 {
        self.bodies.dropped()
    }

    fn reader(&self) -> Arc<dyn TraceReader> {
        Arc::new(Reader { ledger: self.ledger.reader().clone(), segments: self.segments.clone() })
    }
}

struct Reader {
    ledger: LedgerReader,
    segments: Arc<Segments>,
}

impl TraceReader for Reader {
    fn trace(&self, id: TraceId) -> Result<Option<Trace>, StoreError> {
        self.segments.trace(id)
    }

    fn newest(&self, before: Option<TraceId>, limit: usize) -> Result<TracePage, StoreError> {
        self.segments.newest(before, limit)
    }

    fn scores(&self, id: TraceId) -> Result<Vec<Scored>, StoreError> {
        Ok(newest_scores(self.ledger.history(id, Position::MAX)?))
    }

    fn owner(&self, id: TraceId) -> Result<Option<Owner>, StoreError> {
        Ok(owner_in(&self.ledger.history(id, Position::MAX)?))
    }

    fn was_decided_in(&self, id: TraceId, bundle: u64) -> Result<bool, StoreError> {
        Ok(has_decision_in(&self.ledger.history(id, Position::MAX)?, bundle))
    }
}
