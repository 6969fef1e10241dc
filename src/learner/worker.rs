//! The thread's loop.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::policy::Snapshot;
use crate::scorers::Scorer;
use crate::store::{Store, StoreError};
use crate::trace::{AdoptError, Adopted, Event, Reclassified};

use super::again::Again;
use super::backlog::Backlog;
use super::counters::Counters;
use super::fold::Fold;
use super::inbox::Inbox;
use super::intake::{Desk, Intake};
use super::{Bounds, adopt, alarms, checkpoint};

pub(super) struct Worker {
    bounds: Bounds,
    store: Box<dyn Store>,
    scorers: Vec<Box<dyn Scorer>>,
    fold: Fold,
    again: Again,
    /// The ledger has decisions of another classifier that are to be brought in: a start from a checkpoint would not look
    /// for them.
    incomplete: bool,
    published: Arc<ArcSwap<Snapshot>>,
    counters: Arc<Counters>,
    /// Position and time of the last checkpoint, or of the last try.
    checkpointed: (u64, Instant),
    /// Bodies were kept since the last flush.
    unflushed: bool,
    flushed: Instant,
    /// What the ledger could not take yet.
    backlog: Backlog,
    /// Entries of the last batch.
    usual: usize,
    /// What could not be written last time.
    failing: Vec<Written>,
}

/// What is written, as the log calls it, and what follows if it cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Written(&'static str, &'static str);

const LEDGER: Written =
    Written("the ledger", "proxying goes on, scores are refused meanwhile, what is answered waits in memory");
const BODIES: Written = Written("traces", "proxying and learning go on, the traces of meanwhile are lost");
const CHECKPOINT: Written = Written("the checkpoint", "proxying and learning go on, the next start takes longer");

impl Worker {
    pub(super) fn new(
        bounds: Bounds,
        store: Box<dyn Store>,
        scorers: Vec<Box<dyn Scorer>>,
        fold: Fold,
        published: Arc<ArcSwap<Snapshot>>,
        counters: Arc<Counters>,
    ) -> Self {
        let now = Instant::now();
        let (checkpointed, incomplete) = ((fold.origin(), now), fold.met_foreign());
        Self {
            bounds,
            store,
            scorers,
            fold,
            again: Again::default(),
            incomplete,
            published,
            counters,
            checkpointed,
            unflushed: false,
            flushed: now,
            backlog: Backlog::default(),
            usual: 0,
            failing: Vec::new(),
        }
    }

    /// Runs until all senders are gone, or until `stop` is told and all waiting events are handled.
    pub(super) async fn run(mut self, events: mpsc::Receiver<Event>, stop: oneshot::Receiver<()>) {
        let mut inbox = Inbox::new(events, stop);
        let bounds = self.bounds;
        loop {
            let mut batch = None;
            let chore = self.next_chore();
            let open = inbox.gather(&bounds, chore, |event| self.take(event, &mut batch)).await;
            if let Some(intake) = batch {
                self.end(intake);
                Counters::set(&self.counters.waiting, inbox.waiting() as u64);
            }
            self.chores(!open);
            if !open {
                self.give_up();
                return;
            }
        }
    }

    /// Reads an event as it comes, while it is in the processor's cache: by the end of a batch most of it would have
    /// left.
    fn take(&mut self, event: Event, batch: &mut Option<Intake>) {
        Counters::add(&self.counters.events, 1);
        if let Event::Reclassified(news, answer) = event {
            let intake = batch.take().unwrap_or_else(|| self.intake());
            self.end(intake);
            // A send fails only if nobody waits for it any more.
            let _ = answer.send(self.adopt(*news));
            return;
        }
        let intake = batch.get_or_insert_with(|| self.intake());
        intake.take(event, &mut self.desk());
    }

    fn desk(&mut self) -> Desk<'_> {
        let (store, scorers, counters) = (&mut *self.store, &mut *self.scorers, &*self.counters);
        let (fold, again, losing) = (&mut self.fold, &mut self.again, self.backlog.is_losing());
        Desk { store, scorers, fold, again, counters, losing }
    }

    /// A batch, which begins with what the last one could not write.
    fn intake(&mut self) -> Intake {
        let mut intake = Intake::with_room(self.usual);
        let waiting = self.backlog.take();
        intake.resume(waiting, &mut self.desk());
        intake
    }

    fn end(&mut self, mut intake: Intake) {
        Counters::set(&self.counters.batch_events, intake.events as u64);
        self.usual = intake.entries.len();
        match self.commit(&mut intake) {
            Ok(()) => {
                self.backlog.written();
                intake.acknowledge();
            }
            Err(error) => self.put_off(&mut intake, &error),
        }
        self.fold.trim();
        self.keep(intake);
    }

    /// Learns on another φ from here on; what was learned before is learned again as far as possible.
    fn adopt(&mut self, news: Reclassified) -> Result<Adopted, AdoptError> {
        if self.backlog.len() > 0 {
            return Err(AdoptError("the ledger cannot be written, and requests wait for it already".into()));
        }
        let learned = decided(self.fold.snapshot());
        let routes = self.fold.snapshot().routes.values().map(|route| route.spec.clone()).collect();
        let kept = (self.fold.reading().unlearned.clone(), self.bounds.recent);
        let (fold, assessed) = adopt::adopt(&mut *self.store, news, routes, kept).map_err(|error| {
            self.failed(LEDGER, &error);
            AdoptError(error.to_string())
        })?;
        let left_out = learned.saturating_sub(decided(fold.snapshot()));
        (self.fold, self.incomplete) = (fold, false);
        self.published.store(Arc::new(self.fold.snapshot().clone()));
        self.checkpointed = (self.fold.position(), Instant::now());
        self.checkpoint();
        Ok(Adopted { assessed, left_out })
    }

    /// To the ledger, then to the policy, then to everybody.
    fn commit(&mut self, intake: &mut Intake) -> Result<(), StoreError> {
        if intake.entries.is_empty() {
            return Ok(());
        }
        let began = std::time::Instant::now();
        match intake.is_read().and_then(|()| self.store.append(&intake.entries)) {
            Ok(position) => {
                self.fold.commit(position);
                self.wrote(LEDGER);
            }
            Err(error) => {
                self.fold.abandon();
                return Err(error);
            }
        }
        Counters::set(&self.counters.commit_us, began.elapsed().as_micros() as u64);
        Counters::add(&self.counters.commits, 1);
        Counters::add(&self.counters.entries, intake.entries.len());
        alarms::report(&self.published.load(), self.fold.snapshot());
        self.published.store(Arc::new(self.fold.snapshot().clone()));
        Ok(())
    }

    /// Nothing of the batch is in the ledger: the next one begins with it.
    fn put_off(&mut self, intake: &mut Intake, error: &StoreError) {
        self.failed(LEDGER, error);
        intake.refuse(error);
        let entries = std::mem::take(&mut intake.entries);
        let lost = self.backlog.keep(entries, self.bounds.backlog, Instant::now());
        Counters::add(&self.counters.dropped_events, lost);
    }

    fn keep(&mut self, intake: Intake) {
        let Intake { bodies, again, .. } = intake;
        if bodies == 0 {
            return;
        }
        match self.store.keep() {
            Ok(()) => {
                self.unflushed = true;
                self.wrote(BODIES);
            }
            Err(error) => {
                // A flush makes room where it can, and lets bodies be tried again.
                self.unflushed = true;
                self.failed(BODIES, &error);
                Counters::add(&self.counters.dropped_bodies, bodies);
                // Nobody else knows what they need if they are scored.
                again.into_iter().for_each(|(trace, decided)| self.again.begin(trace, decided));
            }
        }
    }

    /// When [`Self::chores`] has something to do even if nothing comes.
    fn next_chore(&self) -> Option<Instant> {
        let flush = self.unflushed.then(|| self.flushed + self.bounds.flush_every);
        let (position, at) = self.checkpointed;
        let checkpoint = (position < self.fold.position()).then(|| at + self.bounds.checkpoint_every);
        let again = self.backlog.next_try(self.bounds.flush_every);
        flush.into_iter().chain(checkpoint).chain(again).min()
    }

    fn chores(&mut self, last: bool) {
        let now = Instant::now();
        if self.backlog.next_try(self.bounds.flush_every).is_some_and(|at| last || now >= at) {
            let intake = self.intake();
            self.end(intake);
        }
        if self.unflushed && (last || now >= self.flushed + self.bounds.flush_every) {
            (self.unflushed, self.flushed) = (false, now);
            if let Err(error) = self.store.flush() {
                self.failed(BODIES, &error);
            }
        }
        Counters::set(&self.counters.dropped_segments, self.store.dropped_segments());
        let (position, at) = self.checkpointed;
        let entries = self.fold.position() - position;
        let due = last || entries >= self.bounds.checkpoint_entries || now >= at + self.bounds.checkpoint_every;
        if entries > 0 && due {
            self.checkpointed = (self.fold.position(), now);
            self.checkpoint();
        }
    }

    /// What still waits for the ledger ends with the process.
    fn give_up(&self) {
        let lost = self.backlog.len();
        Counters::add(&self.counters.dropped_events, lost);
        if lost > 0 {
            tracing::error!(
                "{lost} entries that waited for the ledger are lost: what they say is not learned, and their requests \
                 cannot be scored"
            );
        }
    }

    fn checkpoint(&mut self) {
        if self.incomplete {
            return;
        }
        let Some(checkpoint) = checkpoint::take(&self.fold) else { return };
        match self.store.checkpoint(&checkpoint) {
            Ok(()) => {
                Counters::add(&self.counters.checkpoints, 1);
                self.wrote(CHECKPOINT);
            }
            Err(error) => self.failed(CHECKPOINT, &error),
        }
    }

    /// Logged once, not with each batch: the log may be on the same disk.
    fn failed(&mut self, what: Written, error: &StoreError) {
        Counters::add(&self.counters.store_failures, 1);
        if !self.failing.contains(&what) {
            self.failing.push(what);
            let Written(name, meanwhile) = what;
            tracing::error!(%error, "{name} cannot be written; {meanwhile}");
        }
    }

    fn wrote(&mut self, what: Written) {
        if let Some(failed) = self.failing.iter().position(|failing| *failing == what) {
            self.failing.swap_remove(failed);
            tracing::info!("{} can be written again", what.0);
        }
    }
}

/// Requests that the policy has learned from, over all its routes.
fn decided(snapshot: &Snapshot) -> u64 {
    snapshot.routes.values().map(|route| route.decided()).sum()
}
