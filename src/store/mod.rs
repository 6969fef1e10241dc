//! Trait [`Store`]; redb; versioned on-disk forms.
//!
//! The *ledger* is the truth: what was decided, what it cost, how it was scored, in one order. A posterior is a fold
//! over it. *Trace bodies* are what reviewers and training read; they may be dropped under load, and then are counted.

use std::sync::Arc;

use uuid::Uuid;

use crate::catalog::Usage;
use crate::policy::Decision;
use crate::trace::{Outcome, Trace, TraceId};

/// Position in the ledger; entries are numbered from 1 without gaps.
pub type Position = u64;

/// One fact of the ledger.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// The set of routes, their arms and priors in force from here on (opaque to the store).
    Configured {
        at_ms: u64,
        routes: Vec<u8>,
    },
    Decided {
        trace: TraceId,
        at_ms: u64,
        route: String,
        decision: Decision,
    },
    /// The request ended. `arm` is the one that answered: not the decision's where a fallback did.
    Settled {
        trace: TraceId,
        arm: Option<String>,
        usage: Option<Usage>,
        cost_usd: Option<f64>,
        outcome: Outcome,
    },
    Scored(Scored),
}

/// One score of one answer; the newest for its (trace, metric, source) holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    pub id: Uuid,
    pub trace: TraceId,
    pub at_ms: u64,
    pub metric: String,
    pub source: String,
    pub value: f64,
    pub comment: Option<String>,
}

/// What a late score needs to know of the request that it judges.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    pub route: String,
    pub decision: Decision,
    /// The arm that answered, once it has.
    pub arm: Option<String>,
    /// Scores so far, newest of each (metric, source).
    pub scores: Vec<Scored>,
}

/// A folded ledger: the policy's state after `position`.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    pub position: Position,
    pub state: Vec<u8>,
}

/// Where the learner keeps what it must not forget. One writer; readers through [`Store::reader`].
pub trait Store: Send {
    /// Appends to the ledger in one commit; durable when it returns. Gives the position of the last entry.
    ///
    /// # Errors
    /// Nothing of `entries` is kept.
    fn append(&mut self, entries: &[Entry]) -> Result<Position, StoreError>;

    /// Every entry after `after` (0: all), in order.
    ///
    /// # Errors
    /// The ledger cannot be read; `visit` may have seen a part.
    fn replay(&self, after: Position, visit: &mut dyn FnMut(Position, Entry)) -> Result<(), StoreError>;

    /// What is known of a decided request.
    ///
    /// # Errors
    /// The ledger cannot be read.
    fn recorded(&self, trace: TraceId) -> Result<Option<Recorded>, StoreError>;

    /// Keeps a checkpoint in place of older ones.
    ///
    /// # Errors
    /// The older one stays.
    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError>;

    /// The newest checkpoint.
    ///
    /// # Errors
    /// The ledger cannot be read.
    fn latest_checkpoint(&self) -> Result<Option<Checkpoint>, StoreError>;

    /// Keeps trace bodies; not durable at once.
    ///
    /// # Errors
    /// None of `traces` is kept.
    fn keep(&mut self, traces: &[Trace]) -> Result<(), StoreError>;

    /// A reader for other threads.
    fn reader(&self) -> Arc<dyn TraceReader>;
}

/// Reads what a [`Store`] keeps, from any thread.
pub trait TraceReader: Send + Sync {
    /// A trace's body.
    ///
    /// # Errors
    /// The traces cannot be read.
    fn trace(&self, id: TraceId) -> Result<Option<Trace>, StoreError>;

    /// The newest `limit` traces, newest first, that came before `before`.
    ///
    /// # Errors
    /// The traces cannot be read.
    fn newest(&self, before: Option<TraceId>, limit: usize) -> Result<Vec<Trace>, StoreError>;

    /// Scores of one trace.
    ///
    /// # Errors
    /// The ledger cannot be read.
    fn scores(&self, id: TraceId) -> Result<Vec<Scored>, StoreError>;
}

/// What can go wrong with storage.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the folder.
    #[error("the data folder {0} is in use by another satisfice; stop it or choose another --data-dir")]
    InUse(String),
    #[error("the data folder {path} cannot be used: {reason}; make it writable or choose another --data-dir")]
    Folder { path: String, reason: String },
    #[error("storage failed: {0}")]
    Failed(String),
    #[error(
        "stored by a newer satisfice (form {found}, this one reads up to {known}); upgrade, or choose another --data-dir"
    )]
    Newer { found: u16, known: u16 },
}
