//! What the ledger could not take, in order, until it can.

use tokio::time::{Duration, Instant};

use crate::scorers::reward;
use crate::store::Entry;

/// Entries of batches that failed: what was decided, answered and charged meanwhile, and the gateway's own scores.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    entries: Vec<Entry>,
    /// Some that would have been here are lost, since the last batch that was written.
    losing: bool,
    /// The last try to write them.
    tried: Option<Instant>,
}

impl Backlog {
    /// Keeps the newest `most` of a batch that failed, which began with [`Self::take`]; says how many are lost. A
    /// client's score is not kept: the client is told to send it again.
    pub(super) fn keep(&mut self, mut entries: Vec<Entry>, most: usize, now: Instant) -> usize {
        entries.retain(|entry| !matches!(entry, Entry::Scored(scored) if scored.metric == reward::QUALITY));
        let beyond = entries.len().saturating_sub(most);
        let routes = entries.drain(..beyond).rfind(is_routes);
        let lost = beyond - usize::from(routes.is_some());
        // Without its route nothing that comes later would be learned.
        entries.splice(..0, routes);
        self.losing |= lost > 0;
        (self.entries, self.tried) = (entries, Some(now));
        lost
    }

    /// What is to be written before all else.
    pub(super) fn take(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }

    /// The ledger has all of it.
    pub(super) fn written(&mut self) {
        *self = Self::default();
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether a request that nobody knows may be one of those that are lost.
    pub(super) fn is_losing(&self) -> bool {
        self.losing
    }

    /// When to try again even if nothing comes.
    pub(super) fn next_try(&self, every: Duration) -> Option<Instant> {
        self.tried.filter(|_| !self.entries.is_empty()).map(|tried| tried + every)
    }
}

fn is_routes(entry: &Entry) -> bool {
    matches!(entry, Entry::Configured { .. })
}
