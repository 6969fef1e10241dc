//! A store without a disk: for a look at what a data folder would have that is not there, and for tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    Checkpoint, Entry, Position, Scored, Store, StoreError, TracePage, TraceReader, Visit, has_decision_in,
    newest_scores, owner_in,
};
use crate::trace::{Owner, Trace, TraceId};

/// Clones share what is stored: keep one to look into it.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Mutex<Stored>>,
}

#[derive(Debug, Default)]
struct Stored {
    ledger: Vec<Entry>,
    commits: usize,
    checkpoint: Option<Checkpoint>,
    staged: Vec<Trace>,
    traces: BTreeMap<TraceId, Trace>,
}

impl MemoryStore {
    /// The whole ledger.
    pub fn ledger(&self) -> Vec<Entry> {
        self.stored().ledger.clone()
    }

    /// Appends that succeeded.
    pub fn commits(&self) -> usize {
        self.stored().commits
    }

    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn append(&mut self, entries: &[Entry]) -> Result<Position, StoreError> {
        let mut stored = self.stored();
        stored.ledger.extend_from_slice(entries);
        stored.commits += 1;
        Ok(stored.ledger.len() as Position)
    }

    fn replay(&self, after: Position, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let ledger = self.stored().ledger.clone();
        (1..).zip(ledger).filter(|(position, _)| *position > after).try_for_each(|(p, entry)| visit(p, entry))
    }

    fn history(&self, trace: TraceId, before: Position) -> Result<Vec<Entry>, StoreError> {
        let stored = self.stored();
        let earlier = (1..before).zip(&stored.ledger).map(|(_, entry)| entry);
        Ok(earlier.filter(|entry| entry.trace() == Some(trace)).cloned().collect())
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.stored().checkpoint = Some(checkpoint.clone());
        Ok(())
    }

    fn latest_checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        Ok(self.stored().checkpoint.clone())
    }

    fn stage(&mut self, trace: &Trace) -> Result<(), StoreError> {
        self.stored().staged.push(trace.clone());
        Ok(())
    }

    fn keep(&mut self) -> Result<(), StoreError> {
        let staged = std::mem::take(&mut self.stored().staged);
        self.stored().traces.extend(staged.into_iter().map(|trace| (trace.id, trace)));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn dropped_segments(&self) -> u64 {
        0
    }

    fn reader(&self) -> Arc<dyn TraceReader> {
        Arc::new(self.clone())
    }
}

impl TraceReader for MemoryStore {
    fn trace(&self, id: TraceId) -> Result<Option<Trace>, StoreError> {
        Ok(self.stored().traces.get(&id).cloned())
    }

    fn newest(&self, before: Option<TraceId>, limit: usize) -> Result<TracePage, StoreError> {
        let (before, stored) = (before.unwrap_or(TraceId::max()), self.stored());
        let traces = stored.traces.range(..before).rev().take(limit).map(|(_, trace)| trace.clone());
        Ok(TracePage { traces: traces.collect(), unreadable: vec![] })
    }

    fn scores(&self, id: TraceId) -> Result<Vec<Scored>, StoreError> {
        Ok(newest_scores(self.history(id, Position::MAX)?))
    }

    fn owner(&self, id: TraceId) -> Result<Option<Owner>, StoreError> {
        Ok(owner_in(&self.history(id, Position::MAX)?))
    }

    fn was_decided_in(&self, id: TraceId, bundle: u64) -> Result<bool, StoreError> {
        Ok(has_decision_in(&self.history(id, Position::MAX)?, bundle))
    }
}
