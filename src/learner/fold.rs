//! Ledger → snapshot. The one way in which anything is learned: live, at a restart and in a full replay alike.

use std::sync::Arc;

use crate::catalog::Name;
use crate::policy::{Reward, RouteSpec, Settlement, Snapshot, bundle_key};
use crate::store::{Entry, Position, Store, StoreError};
use crate::trace::{TraceId, twin};

use super::standing::{Choice, Standing, Standings};
use super::{Reading, checkpoint};

/// What one entry means for the policy.
#[derive(Debug)]
pub(super) enum Change {
    Configured {
        routes: Vec<RouteSpec>,
    },
    Decided {
        choice: Arc<Choice>,
    },
    Settled {
        choice: Arc<Choice>,
        settlement: Settlement,
    },
    /// Calls cost so much, and nobody answered.
    Spent {
        choice: Arc<Choice>,
        usd: f64,
    },
    Believed {
        choice: Arc<Choice>,
        arm: Name,
        was: Reward,
        now: Reward,
    },
    /// `choice` is the request's own; the answers are (own, best).
    Compared {
        choice: Arc<Choice>,
        was: Option<(f64, f64)>,
        now: (f64, f64),
    },
    Charged {
        choice: Arc<Choice>,
        usd: f64,
    },
}

impl Change {
    fn apply(self, snapshot: Snapshot) -> Snapshot {
        match self {
            Change::Configured { routes } => snapshot.configure(&routes),
            Change::Decided { choice } => snapshot.decided(&choice.route, &choice.decision),
            Change::Settled { choice, settlement } => snapshot.settled(&choice.route, &choice.decision, &settlement),
            Change::Spent { choice, usd } => snapshot.spent(&choice.route, &choice.decision, usd),
            Change::Believed { choice, arm, was, now } => {
                snapshot.learn(&choice.route, &choice.decision, &arm, was, now)
            }
            Change::Compared { choice, was, now } => snapshot.compared(&choice.route, &choice.decision, was, now),
            Change::Charged { choice, usd } => snapshot.charged(&choice.route, &choice.decision, usd),
        }
    }
}

/// The state of the fold: the snapshot after `position`, and entries staged beyond it.
///
/// An entry is staged first, which only moves the standings. Once the store has it, [`Fold::commit`] moves the
/// snapshot. If the store refused it, [`Fold::abandon`] forgets the standings it touched, and they are read from the
/// ledger when next needed.
#[derive(Debug)]
pub(super) struct Fold {
    reading: Reading,
    /// Has no routes: stands in for the snapshot while it changes.
    blank: Snapshot,
    snapshot: Snapshot,
    position: Position,
    /// Where the checkpoint stood that it started from.
    origin: Position,
    standings: Standings,
    /// Whether the ledger may have decisions of this training run so far …
    own: bool,
    /// … and whether it has any of another.
    foreign: bool,
    staged: Vec<Change>,
    touched: Vec<TraceId>,
}

impl Fold {
    /// The state that a ledger leads to, from its newest usable checkpoint, else from its first entry.
    pub(super) fn restore(
        store: &dyn Store,
        prior: Snapshot,
        reading: Reading,
        capacity: usize,
    ) -> Result<Self, StoreError> {
        let prior = prior.learned_on(&reading.fingerprint);
        let (origin, snapshot) = checkpoint::usable(store, &reading)?.unwrap_or_else(|| (0, prior.clone()));
        let standings = Standings::new(bundle_key(&reading.fingerprint), reading.unlearned.clone(), capacity);
        let (staged, touched) = (Vec::new(), Vec::new());
        let (position, own, foreign, blank) = (origin, origin > 0, false, prior);
        let mut fold = Self { reading, blank, snapshot, position, origin, standings, own, foreign, staged, touched };
        let mut unheard = fold.reading.unlearned.clone();
        store.replay(origin, &mut |position, entry| {
            if let Entry::Scored(scored) = &entry {
                unheard.retain(|source| *source != scored.source);
            }
            fold.replay(store, position, &entry)
        })?;
        // Later starts see the ledger's end only.
        for source in unheard.iter().filter(|_| origin == 0) {
            tracing::warn!(source, "`unlearn` of [server] names a source of which the ledger has no score");
        }
        Ok(fold)
    }

    fn replay(&mut self, store: &dyn Store, position: Position, entry: &Entry) -> Result<(), StoreError> {
        match entry {
            Entry::Decided { bundle, .. } if *bundle == self.standings.bundle() => self.own = true,
            Entry::Decided { trace, .. } => {
                self.foreign = true;
                // The ledger may have it in this φ too, earlier: the next entry that concerns it looks there.
                if self.own && self.standings.get(*trace).is_none() {
                    self.position = position;
                    return Ok(());
                }
            }
            entry => entry.trace().map_or(Ok(()), |trace| self.load(store, trace, position))?,
        }
        self.stage(entry);
        self.commit(position);
        self.trim();
        Ok(())
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    pub(super) fn origin(&self) -> Position {
        self.origin
    }

    /// Whether decisions of another training run were met since [`Self::origin`].
    pub(super) fn met_foreign(&self) -> bool {
        self.foreign
    }

    pub(super) fn reading(&self) -> &Reading {
        &self.reading
    }

    /// [`bundle_key`] of the fingerprint.
    pub(super) fn bundle(&self) -> u64 {
        self.standings.bundle()
    }

    pub(super) fn standing(&self, trace: TraceId) -> Option<&Standing> {
        self.standings.get(trace)
    }

    /// Brings `trace`'s standing into memory as of position `before`, if anybody decided it, and that of the request it
    /// is compared with.
    pub(super) fn load(&mut self, store: &dyn Store, trace: TraceId, before: Position) -> Result<(), StoreError> {
        self.load_one(store, trace, before)?;
        match self.standings.get(trace).is_some_and(Standing::is_audited) {
            true => self.load_one(store, twin(trace), before),
            false => Ok(()),
        }
    }

    fn load_one(&mut self, store: &dyn Store, trace: TraceId, before: Position) -> Result<(), StoreError> {
        if self.standings.get(trace).is_none() {
            let mut known = Vec::new();
            for entry in store.history(trace, before)? {
                self.standings.apply(&entry, &mut known);
            }
        }
        Ok(())
    }

    /// Adds an entry that is not in the ledger yet.
    pub(super) fn stage(&mut self, entry: &Entry) {
        self.touched.extend(entry.trace());
        match entry {
            Entry::Configured { fingerprint, routes, .. } if *fingerprint == self.reading.fingerprint => {
                self.staged.push(Change::Configured { routes: routes.clone() });
            }
            entry => self.standings.apply(entry, &mut self.staged),
        }
    }

    /// What is staged is in the ledger now, up to `position`.
    pub(super) fn commit(&mut self, position: Position) {
        // Moved out, not cloned: what nobody else holds is changed in place.
        let snapshot = std::mem::replace(&mut self.snapshot, self.blank.clone());
        self.snapshot = self.staged.drain(..).fold(snapshot, |snapshot, change| change.apply(snapshot));
        self.position = position;
        self.touched.clear();
    }

    /// What is staged did not reach the ledger.
    pub(super) fn abandon(&mut self) {
        self.staged.clear();
        for trace in self.touched.drain(..) {
            self.standings.evict(trace);
        }
    }

    /// Drops standings beyond capacity. Only where nothing is staged: a batch needs all of its own.
    pub(super) fn trim(&mut self) {
        self.standings.trim();
    }
}
