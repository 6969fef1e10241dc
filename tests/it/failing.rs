//! A store that fails when a test says so.

use std::ops::Deref;
use std::sync::{Arc, Mutex};

use satisfice::store::memory::MemoryStore;
use satisfice::store::{Checkpoint, Entry, Position, Scored, Store, StoreError, TracePage, TraceReader, Visit};
use satisfice::trace::{Owner, Trace, TraceId};

/// Clones share what is stored and what fails: keep one to look into it or to make it fail.
#[derive(Debug, Clone, Default)]
pub struct FailingStore {
    stored: MemoryStore,
    failing: Arc<Mutex<Failing>>,
    /// The writer's own.
    staged: Vec<Trace>,
}

/// What fails from now on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Failing {
    #[default]
    Nothing,
    /// Every write.
    Writes,
    /// Every write and every read.
    Everything,
    /// The staging of traces.
    Staging,
}

impl FailingStore {
    /// From now on.
    pub fn fail(&self, failing: Failing) {
        *self.failing.lock().unwrap() = failing;
    }

    fn read(&self) -> Result<&MemoryStore, StoreError> {
        self.unless(|failing| failing == Failing::Everything)?;
        Ok(&self.stored)
    }

    fn write(&mut self) -> Result<&mut MemoryStore, StoreError> {
        self.unless(|failing| matches!(failing, Failing::Writes | Failing::Everything))?;
        Ok(&mut self.stored)
    }

    fn unless(&self, fails: impl Fn(Failing) -> bool) -> Result<(), StoreError> {
        let told = || StoreError::Failed("the test said so".into());
        if fails(*self.failing.lock().unwrap()) { Err(told()) } else { Ok(()) }
    }
}

impl Deref for FailingStore {
    type Target = MemoryStore;

    fn deref(&self) -> &MemoryStore {
        &self.stored
    }
}

impl Store for FailingStore {
    fn append(&mut self, entries: &[Entry]) -> Result<Position, StoreError> {
        self.write()?.append(entries)
    }

    fn replay(&self, after: Position, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.read()?.replay(after, visit)
    }

    fn history(&self, trace: TraceId, before: Position) -> Result<Vec<Entry>, StoreError> {
        self.read()?.history(trace, before)
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.write()?.checkpoint(checkpoint)
    }

    fn latest_checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        self.read()?.latest_checkpoint()
    }

    fn stage(&mut self, trace: &Trace) -> Result<(), StoreError> {
        self.unless(|failing| failing == Failing::Staging)?;
        self.staged.push(trace.clone());
        Ok(())
    }

    fn keep(&mut self) -> Result<(), StoreError> {
        let staged = std::mem::take(&mut self.staged);
        let stored = self.write()?;
        staged.iter().try_for_each(|trace| stored.stage(trace))?;
        stored.keep()
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.write()?.flush()
    }

    fn dropped_segments(&self) -> u64 {
        self.stored.dropped_segments()
    }

    fn reader(&self) -> Arc<dyn TraceReader> {
        Arc::new(self.clone())
    }
}

impl TraceReader for FailingStore {
    fn trace(&self, id: TraceId) -> Result<Option<Trace>, StoreError> {
        self.read()?.trace(id)
    }

    fn newest(&self, before: Option<TraceId>, limit: usize) -> Result<TracePage, StoreError> {
        self.read()?.newest(before, limit)
    }

    fn scores(&self, id: TraceId) -> Result<Vec<Scored>, StoreError> {
        self.read()?.scores(id)
    }

    fn owner(&self, id: TraceId) -> Result<Option<Owner>, StoreError> {
        self.read()?.owner(id)
    }

    fn was_decided_in(&self, id: TraceId, bundle: u64) -> Result<bool, StoreError> {
        self.read()?.was_decided_in(id, bundle)
    }
}
