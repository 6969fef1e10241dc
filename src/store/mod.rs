//! Trait [`Store`]; redb; versioned on-disk forms.
//!
//! The *ledger* is the truth: what was decided, what it cost, how it was scored, in one order. A posterior is a fold
//! over it. *Trace bodies* are what reviewers and training read; they may be dropped under load, and then are counted.

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::catalog::{Name, Usage};
use crate::policy::{Decision, RouteSpec};
use crate::trace::{Outcome, Owner, Trace, TraceId};

mod answers;
mod file;
mod form;
mod ledger;
pub mod memory;
pub mod redb;
mod segments;

pub use self::redb::{RedbStore, make_folder};
pub use answers::{ANSWERS_FILE, AnswerShelf};
pub use segments::Retention;

/// The ledger's file in a data folder; a folder without it has never been a gateway's.
pub const LEDGER_FILE: &str = "ledger.redb";

/// Position in the ledger; entries are numbered from 1 without gaps.
pub type Position = u64;

/// One fact of the ledger.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// The set of routes in force from here on, with the training run whose φ they learn on.
    Configured {
        at_ms: u64,
        fingerprint: String,
        routes: Vec<RouteSpec>,
    },
    /// What a route decided. When another training run's classifier takes over, the decision is written again with φ as
    /// that run assesses the request, followed by what had come of it: a run learns from the decisions in its own φ.
    Decided {
        trace: TraceId,
        at_ms: u64,
        /// As in the trace.
        owner: Option<Owner>,
        route: Name,
        /// The training run that φ is of: [`bundle_key`](crate::policy::bundle_key) of its fingerprint.
        bundle: u64,
        decision: Arc<Decision>,
    },
    /// The request ended. `arm` is the one that answered: not the decision's where a fallback did.
    Settled {
        trace: TraceId,
        arm: Option<Name>,
        usage: Option<Usage>,
        cost_usd: Option<f64>,
        outcome: Outcome,
    },
    Scored(Scored),
    /// Judging an answer to the request had a cost.
    Charged {
        trace: TraceId,
        usd: f64,
    },
}

impl Entry {
    /// The request that the entry belongs to.
    pub fn trace(&self) -> Option<TraceId> {
        match self {
            Entry::Configured { .. } => None,
            Entry::Decided { trace, .. } | Entry::Settled { trace, .. } | Entry::Charged { trace, .. } => Some(*trace),
            Entry::Scored(scored) => Some(scored.trace),
        }
    }
}

/// One score of one answer; the newest for its (trace, metric, source) holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    pub trace: TraceId,
    pub at_ms: u64,
    pub metric: String,
    pub source: String,
    pub value: f64,
    /// How much it counts beside a client's own (1); above 0.
    pub weight: f64,
    pub comment: Option<String>,
}

impl Scored {
    /// Names the score through all its revisions: a UUIDv8 of the SHA-256 of (trace, metric, source).
    pub fn id(&self) -> Uuid {
        score_id(self.trace, &self.metric, &self.source)
    }
}

/// See [`Scored::id`].
pub fn score_id(trace: TraceId, metric: &str, source: &str) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(trace.as_bytes());
    hash.update((metric.len() as u64).to_be_bytes());
    hash.update(metric);
    hash.update(source);
    let mut id = [0; 16];
    id.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_custom_bytes(id).into_uuid()
}

/// A folded ledger: the learner's state after `position`. It only saves time: without it the ledger is folded again.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    pub position: Position,
    /// Opaque here; the learner decides whether it can still read it.
    pub state: Vec<u8>,
}

/// Receives the entries of [`Store::replay`].
pub type Visit<'a> = dyn FnMut(Position, Entry) -> Result<(), StoreError> + 'a;

/// Where the learner keeps what it must not forget. One writer; readers through [`Store::reader`].
pub trait Store: Send {
    /// Appends to the ledger in one commit; durable when it returns. Gives the position of the last entry. Where there
    /// is no room, bodies make some.
    ///
    /// # Errors
    /// Nothing of `entries` is kept, or where nobody would find it. A later call may succeed.
    fn append(&mut self, entries: &[Entry]) -> Result<Position, StoreError>;

    /// Every entry after `after` (0: all), in order.
    ///
    /// # Errors
    /// `visit`'s own, or the ledger cannot be read; `visit` may have seen a part.
    fn replay(&self, after: Position, visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Every entry of one request that stands before position `before`, in order.
    ///
    /// # Errors
    /// The ledger cannot be read.
    fn history(&self, trace: TraceId, before: Position) -> Result<Vec<Entry>, StoreError>;

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

    /// Packs a trace body for the next [`Store::keep`], so that nobody has to hold the trace until then.
    ///
    /// # Errors
    /// It cannot be packed, and will not be kept.
    fn stage(&mut self, trace: &Trace) -> Result<(), StoreError>;

    /// Keeps the bodies that were staged; durable at the next [`Store::flush`].
    ///
    /// # Errors
    /// None of them is kept, or, where they belong to two time segments, only the older ones. No later call keeps them.
    fn keep(&mut self) -> Result<(), StoreError>;

    /// Makes the bodies that were kept durable and applies retention.
    ///
    /// # Errors
    /// Bodies since the last flush may be lost in a crash.
    fn flush(&mut self) -> Result<(), StoreError>;

    /// Files of bodies that were dropped since the start, for their age or to make room.
    fn dropped_segments(&self) -> u64;

    /// A reader for other threads.
    fn reader(&self) -> Arc<dyn TraceReader>;
}

/// Reads what a [`Store`] keeps, from any thread. Blocks on the disk.
pub trait TraceReader: Send + Sync {
    /// A trace's body.
    ///
    /// # Errors
    /// The traces cannot be read.
    fn trace(&self, id: TraceId) -> Result<Option<Trace>, StoreError>;

    /// The newest `limit` traces, newest first, that came before `before`; those in a time segment that cannot be read
    /// are left out, and the segment is named.
    ///
    /// # Errors
    /// None of the traces can be read.
    fn newest(&self, before: Option<TraceId>, limit: usize) -> Result<TracePage, StoreError>;

    /// Scores of one trace, the newest of each (metric, source), in the order of their first arrival.
    ///
    /// # Errors
    /// The ledger cannot be read.
    fn scores(&self, id: TraceId) -> Result<Vec<Scored>, StoreError>;

    /// Whose request it is, by the ledger; `None`: nobody's, or nobody decided it.
    ///
    /// # Errors
    /// The ledger cannot be read.
    fn owner(&self, id: TraceId) -> Result<Option<Owner>, StoreError>;

    /// Whether the ledger has a decision of the request in the φ of the training run `bundle`.
    ///
    /// # Errors
    /// The ledger cannot be read.
    fn was_decided_in(&self, id: TraceId, bundle: u64) -> Result<bool, StoreError>;
}

/// Traces, and the time segments that would have had more of them.
#[derive(Debug, Default)]
pub struct TracePage {
    /// Newest first.
    pub traces: Vec<Trace>,
    /// Newest first.
    pub unreadable: Vec<Unreadable>,
}

/// A file of traces that cannot be read. It is left as it is.
#[derive(Debug)]
pub struct Unreadable {
    /// Its name in the data folder.
    pub file: String,
    pub error: StoreError,
}

/// What can go wrong with storage.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the folder.
    #[error("the data folder {0} is in use by another satisfice; stop it or choose another --data-dir")]
    InUse(String),
    #[error("the data folder {path} cannot be used: {reason}; make it writable or choose another --data-dir")]
    Folder { path: String, reason: String },
    /// The disk; a later try may succeed.
    #[error("storage failed: {0}")]
    Failed(String),
    /// The disk or the quota allows no more; a later try may succeed.
    #[error("there is no room: {0}")]
    NoRoom(String),
    /// What would be written to it nobody would find again.
    #[error("the data folder's {file} was removed or replaced while it was in use; put it back, or restart satisfice")]
    Gone { file: String },
    /// What is stored is not what was written. Nothing is overwritten.
    #[error("{path} is damaged: {problem}; put a copy in its place, or move it away to start without it")]
    Damaged { path: String, problem: String },
    #[error("the trace bodies take {bytes} bytes, the most that is allowed; new ones wait for the next time segment")]
    Full { bytes: u64 },
    #[error(
        "stored by a newer satisfice (form {found}, this one reads up to {known}); upgrade, or choose another --data-dir"
    )]
    Newer { found: u16, known: u16 },
}

impl StoreError {
    fn damaged(path: &Path, problem: impl ToString) -> Self {
        Self::Damaged { path: path.display().to_string(), problem: problem.to_string() }
    }
}

/// Whose request these entries are of.
pub fn owner_in(history: &[Entry]) -> Option<Owner> {
    history.iter().find_map(|entry| if let Entry::Decided { owner, .. } = entry { *owner } else { None })
}

/// Whether the entries of one request have its decision in the φ of the training run `bundle`.
pub fn has_decision_in(history: &[Entry], bundle: u64) -> bool {
    history.iter().any(|entry| matches!(entry, Entry::Decided { bundle: own, .. } if *own == bundle))
}

/// Of the entries of one request, the newest score of each (metric, source), in the order of their first arrival.
pub fn newest_scores(history: impl IntoIterator<Item = Entry>) -> Vec<Scored> {
    let mut scores: Vec<Scored> = Vec::new();
    for entry in history {
        let Entry::Scored(new) = entry else { continue };
        match scores.iter_mut().find(|old| old.metric == new.metric && old.source == new.source) {
            Some(old) => *old = new,
            None => scores.push(new),
        }
    }
    scores
}
