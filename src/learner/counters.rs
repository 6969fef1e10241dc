//! What the learner did, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counted since the start, except the last three, which are of the newest batch. Reading them waits for nobody.
#[derive(Debug, Default)]
pub struct Counters {
    /// Events received.
    pub events: AtomicU64,
    /// Decisions and answers that could not be written to the ledger.
    pub dropped_events: AtomicU64,
    /// Bodies that could not be kept.
    pub dropped_bodies: AtomicU64,
    /// Files of bodies dropped for their age or to make room.
    pub dropped_segments: AtomicU64,
    /// Ledger commits.
    pub commits: AtomicU64,
    /// Ledger entries.
    pub entries: AtomicU64,
    /// Scores, of which `revisions` changed one that was there.
    pub scores: AtomicU64,
    pub revisions: AtomicU64,
    /// Scores that were there already, with the same value.
    pub duplicates: AtomicU64,
    /// Scores that were refused: unknown trace, unknown metric, too many sources.
    pub refused: AtomicU64,
    /// Failures of the ledger, the bodies or the checkpoint.
    pub store_failures: AtomicU64,
    /// Checkpoints written.
    pub checkpoints: AtomicU64,
    /// Events in the newest batch.
    pub batch_events: AtomicU64,
    /// How long its ledger commit took, µs.
    pub commit_us: AtomicU64,
    /// Events that came in the meantime and wait.
    pub waiting: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(super) fn set(gauge: &AtomicU64, value: u64) {
        gauge.store(value, Ordering::Relaxed);
    }
}
