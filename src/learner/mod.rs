//! The one thread that owns the mutable policy: event → store → scores → reward → learn → publish snapshot.
//!
//! ```text
//! events ─ gather ─ intake: entries, staged ─ store.append ─ fold.commit ─ publish ─ acknowledge
//! ```
//!
//! Nothing is learned that is not in the ledger, and a score is acknowledged once it is both durable and in the
//! published snapshot. A batch is one commit: what arrived while the disk was busy goes together. What arrives while the
//! ledger cannot be written waits, and is the beginning of the next batch.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};

use crate::policy::{RouteSpec, Snapshot};
use crate::scorers::Scorer;
use crate::store::{Entry, Store, StoreError, TraceReader};
use crate::trace::Event;

mod adopt;
mod again;
mod alarms;
mod backlog;
mod checkpoint;
mod counters;
mod fold;
mod inbox;
mod intake;
mod standing;
mod worker;

pub use counters::Counters;
use fold::Fold;
use worker::Worker;

/// What the learner starts from.
#[derive(Debug)]
pub struct Settings {
    /// All routes.
    pub routes: Vec<RouteSpec>,
    pub reading: Reading,
    /// A snapshot with no routes: what is believed before anything was seen.
    pub prior: Snapshot,
    /// Now, Unix milliseconds.
    pub at_ms: u64,
    pub bounds: Bounds,
}

/// How a ledger is read. Two that are read alike lead to the same state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// Names the training run that φ is of. Decisions of another one stay in the ledger and are not learned from:
    /// their φ means something else.
    pub fingerprint: String,
    /// Sources whose scores teach nothing, sorted; they stay in the ledger.
    pub unlearned: Vec<String>,
}

impl Reading {
    /// All sources count.
    pub fn on(fingerprint: &str) -> Self {
        Self { fingerprint: fingerprint.to_owned(), ..Self::default() }
    }
}

/// The learner's bounds.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Events that may wait; a sender that finds the channel full decides what to drop.
    pub queue: usize,
    /// Events per commit.
    pub batch: usize,
    /// How long the first event of a batch waits for others: how much a crash can lose of decisions and answers that
    /// nobody scored, and how late the policy learns of them. A score from outside ends the wait.
    pub linger: Duration,
    /// Pause between two looks at the queue: under load, waking up for each event costs more than the event.
    pub nap: Duration,
    /// Requests held in memory; older ones are read from the ledger.
    pub recent: usize,
    /// Entries that wait in memory for a ledger that cannot be written; beyond it the oldest are lost, and counted.
    pub backlog: usize,
    /// Entries and time between checkpoints: whichever comes first.
    pub checkpoint_entries: u64,
    pub checkpoint_every: Duration,
    /// Time between flushes of trace bodies: how much of them a crash can lose. Also between two tries to write to a
    /// ledger that failed, where nothing comes.
    pub flush_every: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            queue: 8192,
            batch: 8192,
            linger: Duration::from_millis(250),
            nap: Duration::from_millis(5),
            recent: 8192,
            backlog: 8192,
            checkpoint_entries: 25_000,
            checkpoint_every: Duration::from_secs(300),
            flush_every: Duration::from_secs(5),
        }
    }
}

/// A running learner.
pub struct Learner {
    /// To the learner. A sender that finds it full counts what it drops.
    pub events: mpsc::Sender<Event>,
    /// Changes after each batch that taught something.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub reader: Arc<dyn TraceReader>,
    pub counters: Arc<Counters>,
    /// The ledger was learned from the start, and has decisions of another training run, which [`Event::Reclassified`]
    /// could bring in.
    pub incomplete: bool,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// The learner could not start.
#[derive(Debug, thiserror::Error)]
pub enum LearnerError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the learner's thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// Restores what was learned and starts the thread. The snapshot is complete when it returns.
///
/// # Errors
/// The ledger cannot be read or written, or the system gives no thread.
pub fn spawn(
    settings: Settings,
    mut store: Box<dyn Store>,
    scorers: Vec<Box<dyn Scorer>>,
) -> Result<Learner, LearnerError> {
    let Settings { routes, reading, prior, at_ms, bounds } = settings;
    let mut fold = Fold::restore(&*store, prior, reading, bounds.recent)?;
    configure(&mut fold, &mut *store, at_ms, routes)?;
    let snapshot = Arc::new(ArcSwap::from_pointee(fold.snapshot().clone()));
    let incomplete = fold.met_foreign();
    let (counters, reader) = (Arc::new(Counters::default()), store.reader());
    let (events, incoming) = mpsc::channel(bounds.queue);
    let (stop, stopped) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let worker = Worker::new(bounds, store, scorers, fold, snapshot.clone(), counters.clone());
    let thread =
        thread::Builder::new().name("learner".into()).spawn(move || runtime.block_on(worker.run(incoming, stopped)))?;
    Ok(Learner { events, snapshot, reader, counters, incomplete, stop, thread })
}

/// What a ledger has taught, with the routes that it was left with. Writes nothing.
///
/// # Errors
/// The ledger cannot be read.
pub fn restore(store: &dyn Store, prior: Snapshot, reading: Reading) -> Result<Snapshot, StoreError> {
    Ok(Fold::restore(store, prior, reading, Bounds::default().recent)?.snapshot().clone())
}

impl Learner {
    /// Takes no more events, handles those that wait, writes a checkpoint and ends. Blocks until then.
    pub fn stop(self) {
        // A send fails only if the learner has ended already.
        let _ = self.stop.send(());
        if self.thread.join().is_err() {
            tracing::error!("the learner had panicked; what it had acknowledged is in the ledger");
        }
    }
}

/// Writes the routes down if they differ from those that the ledger leads to.
fn configure(fold: &mut Fold, store: &mut dyn Store, at_ms: u64, routes: Vec<RouteSpec>) -> Result<(), StoreError> {
    if has_routes(fold.snapshot(), &routes) {
        return Ok(());
    }
    let entry = Entry::Configured { at_ms, fingerprint: fold.reading().fingerprint.clone(), routes };
    fold.stage(&entry);
    let position = store.append(std::slice::from_ref(&entry))?;
    fold.commit(position);
    Ok(())
}

/// Whether a snapshot has these very routes and no others.
pub fn has_routes(snapshot: &Snapshot, routes: &[RouteSpec]) -> bool {
    snapshot.routes.len() == routes.len()
        && routes.iter().all(|route| snapshot.routes.get(&route.name).is_some_and(|known| known.spec == *route))
}
