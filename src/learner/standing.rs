//! Where each request stands: its decision, who answered, its scores, and what the posterior was told of it.
//!
//! A standing is a fold over the request's own entries, so it is the same whether it was kept in memory or read back
//! from the ledger. The map keeps the recent ones only to save that reading.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::catalog::Name;
use crate::policy::{Decision, Kind, Reward, Settlement};
use crate::scorers::reward::{self, Part};
use crate::store::{Entry, Scored};
use crate::trace::{JUDGE, Outcome, Owner, TraceId, twin};

use super::fold::Change;

/// A decision and the route that made it.
#[derive(Debug, PartialEq)]
pub(super) struct Choice {
    pub(super) route: Name,
    pub(super) decision: Arc<Decision>,
}

/// One request, as far as learning goes.
#[derive(Debug, PartialEq)]
pub(super) struct Standing {
    owner: Option<Owner>,
    choice: Arc<Choice>,
    /// φ is of the training run in use; nothing is learned otherwise.
    comparable: bool,
    settled: bool,
    /// The arm that answered.
    arm: Option<Name>,
    /// In the order of their first arrival.
    scores: Vec<Score>,
    believed: Reward,
    charges: Charges,
}

#[derive(Debug, PartialEq)]
pub(super) struct Score {
    metric: String,
    source: String,
    value: f64,
    weight: f64,
    /// Its source is not unlearned.
    counts: bool,
    /// A hash of the newest comment.
    comment: Option<u64>,
    /// How often its source has changed it.
    revisions: u32,
}

/// Judge costs, each counted once. When a request is assessed again for another classifier, their sum so far is written
/// again after the repeated decision; `repeated` marks it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Charges {
    usd: f64,
    /// The next charge is that sum.
    repeated: bool,
}

impl Charges {
    /// From a request's entries so far.
    pub(super) fn of(history: &[Entry]) -> Self {
        let mut charges = Self::default();
        for entry in history {
            match entry {
                Entry::Decided { .. } => charges.decided_again(),
                Entry::Charged { usd, .. } => drop(charges.charge(*usd)),
                _ => {}
            }
        }
        charges
    }

    /// USD; `None` where nothing was charged.
    pub(super) fn sum(self) -> Option<f64> {
        Some(self.usd).filter(|usd| *usd > 0.0)
    }

    fn decided_again(&mut self) {
        self.repeated = self.usd > 0.0;
    }

    /// The part of a charge that is new.
    fn charge(&mut self, usd: f64) -> Option<f64> {
        let new = !std::mem::take(&mut self.repeated);
        self.usd += if new { usd } else { 0.0 };
        new.then_some(usd)
    }
}

impl Score {
    /// Whether it already says this.
    pub(super) fn says(&self, value: f64, comment: Option<&str>) -> bool {
        self.value == value && (comment.is_none() || comment.map(hash) == self.comment)
    }

    pub(super) fn revisions(&self) -> u32 {
        self.revisions
    }

    fn part(&self) -> Part<'_> {
        Part { metric: &self.metric, value: self.value, weight: self.weight }
    }
}

/// A request of the comparison with the best model, with both answers judged.
struct Pair {
    /// The request's own.
    choice: Arc<Choice>,
    /// (own, best)
    values: (f64, f64),
}

/// Whether a request of `owner`'s is no other's than `asker`'s; where nobody is told apart, it is known to all.
pub(super) fn is_known_to(owner: Option<Owner>, asker: Option<Owner>) -> bool {
    asker.is_none() || owner.is_none() || owner == asker
}

impl Standing {
    /// Whether `asker` may know of the request.
    pub(super) fn is_known_to(&self, asker: Option<Owner>) -> bool {
        is_known_to(self.owner, asker)
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    pub(super) fn sources(&self) -> usize {
        self.scores.len()
    }

    /// This source's newest score.
    pub(super) fn score_by(&self, metric: &str, source: &str) -> Option<&Score> {
        self.scores.iter().find(|score| score.metric == metric && score.source == source)
    }

    pub(super) fn is_audited(&self) -> bool {
        self.choice.decision.audit.is_some()
    }

    /// The best model's answer, for comparison: no client saw it.
    pub(super) fn is_shadow(&self) -> bool {
        self.choice.decision.kind == Kind::Shadow
    }

    /// Grades by the gateway's own judges of the answer of the model that was drawn.
    fn grades(&self) -> impl Iterator<Item = &Score> {
        let decision = &self.choice.decision;
        let drawn = decision.candidates.get(decision.chosen).map(|candidate| &candidate.arm);
        let answered = self.comparable && self.arm.as_ref() == drawn;
        self.scores.iter().filter(move |score| answered && score.counts && score.metric == JUDGE)
    }

    fn settle(&mut self, arm: Option<&Name>) {
        self.settled = true;
        self.arm = arm.cloned();
    }

    fn score(&mut self, new: &Scored, counts: bool) {
        let comment = new.comment.as_deref().map(hash);
        match self.scores.iter_mut().find(|s| s.metric == new.metric && s.source == new.source) {
            Some(score) => {
                (score.value, score.weight, score.comment) = (new.value, new.weight, comment.or(score.comment));
                score.revisions += 1;
            }
            None => self.scores.push(Score {
                metric: new.metric.clone(),
                source: new.source.clone(),
                value: new.value,
                weight: new.weight,
                counts,
                comment,
                revisions: 0,
            }),
        }
    }

    /// What the posterior has to learn, if anything changed. Nothing until it is known who answered.
    fn believe(&mut self) -> Option<Change> {
        let arm = self.arm.clone()?;
        let now = reward::resolve(self.scores.iter().filter(|score| score.counts).map(Score::part));
        let was = std::mem::replace(&mut self.believed, now);
        (self.comparable && was != now).then(|| Change::Believed { choice: self.choice.clone(), arm, was, now })
    }
}

fn hash(comment: &str) -> u64 {
    FixedState::default().hash_one(comment)
}

/// The standings in memory.
#[derive(Debug)]
pub(super) struct Standings {
    bundle: u64,
    /// Sources whose scores teach nothing.
    unlearned: Vec<String>,
    capacity: usize,
    held: HashMap<TraceId, Standing, FixedState>,
    /// In the order they came; may name some that are gone.
    order: VecDeque<TraceId>,
}

impl Standings {
    pub(super) fn new(bundle: u64, unlearned: Vec<String>, capacity: usize) -> Self {
        Self { bundle, unlearned, capacity, held: HashMap::default(), order: VecDeque::new() }
    }

    pub(super) fn bundle(&self) -> u64 {
        self.bundle
    }

    pub(super) fn get(&self, trace: TraceId) -> Option<&Standing> {
        self.held.get(&trace)
    }

    /// Adds what an entry says, and appends the changes that the policy has to learn. Entries of a trace that is not
    /// held are ignored: load it first.
    pub(super) fn apply(&mut self, entry: &Entry, changes: &mut Vec<Change>) {
        match entry {
            Entry::Configured { .. } => {}
            Entry::Decided { trace, owner, route, bundle, decision, .. } => {
                let choice = Arc::new(Choice { route: route.clone(), decision: decision.clone() });
                changes.extend(self.decide(*trace, *owner, *bundle, choice));
            }
            Entry::Settled { trace, arm, usage, cost_usd, outcome } => {
                let Some(standing) = self.held.get_mut(trace).filter(|standing| !standing.settled) else { return };
                standing.settle(arm.as_ref());
                let choice = standing.choice.clone();
                let settled = match arm {
                    Some(arm) => {
                        // An answer that broke off does not tell how long it would have been.
                        let usage = usage.filter(|_| *outcome == Outcome::Answered);
                        let settlement = Settlement { arm: arm.clone(), usage, cost_usd: *cost_usd };
                        Some(Change::Settled { choice, settlement })
                    }
                    None => cost_usd.map(|usd| Change::Spent { choice, usd }),
                };
                changes.extend(settled.filter(|_| standing.comparable));
                changes.extend(standing.believe());
            }
            Entry::Scored(scored) => {
                let was = self.pair(scored.trace);
                let Some(standing) = self.held.get_mut(&scored.trace) else { return };
                standing.score(scored, !self.unlearned.contains(&scored.source));
                changes.extend(standing.believe());
                changes.extend(self.compare(scored.trace, was));
            }
            Entry::Charged { trace, usd } => {
                let Some(standing) = self.held.get_mut(trace) else { return };
                let new = standing.charges.charge(*usd).filter(|_| standing.comparable);
                changes.extend(new.map(|usd| Change::Charged { choice: standing.choice.clone(), usd }));
            }
        }
    }

    /// The pair that `trace` belongs to, as it stands: by the judges that graded both answers.
    fn pair(&self, trace: TraceId) -> Option<Pair> {
        let this = self.held.get(&trace)?;
        let audit = this.choice.decision.audit?;
        let other =
            if this.choice.decision.chosen == audit.best && !this.is_shadow() { this } else { self.get(twin(trace))? };
        let (own, best) = if this.is_shadow() { (other, this) } else { (this, other) };
        let both = |grade: &Score| {
            let same = best.grades().find(|other| other.source == grade.source)?;
            Some((grade.value, same.value))
        };
        let grades: Vec<(f64, f64)> = own.grades().filter_map(both).collect();
        let n = grades.len() as f64;
        let sum = grades.into_iter().reduce(|sum, next| (sum.0 + next.0, sum.1 + next.1))?;
        Some(Pair { choice: own.choice.clone(), values: (sum.0 / n, sum.1 / n) })
    }

    /// What the route's comparison has to learn once `trace` was scored.
    fn compare(&self, trace: TraceId, was: Option<Pair>) -> Option<Change> {
        let (was, Pair { choice, values: now }) = (was.map(|pair| pair.values), self.pair(trace)?);
        (was != Some(now)).then_some(Change::Compared { choice, was, now })
    }

    /// A decision in another φ does not take the place of one that is learned from.
    fn decide(&mut self, trace: TraceId, owner: Option<Owner>, bundle: u64, choice: Arc<Choice>) -> Option<Change> {
        if let Some(known) = self.held.get_mut(&trace).filter(|known| known.comparable && bundle != self.bundle) {
            known.charges.decided_again();
            return None;
        }
        let standing = Standing {
            owner,
            choice: choice.clone(),
            comparable: bundle == self.bundle,
            settled: false,
            arm: None,
            scores: Vec::new(),
            believed: Reward::Unknown,
            charges: Charges::default(),
        };
        if self.held.insert(trace, standing).is_none() {
            self.order.push_back(trace);
        }
        (bundle == self.bundle).then_some(Change::Decided { choice })
    }

    /// Forgets one, as if it had never been in memory.
    pub(super) fn evict(&mut self, trace: TraceId) {
        self.held.remove(&trace);
    }

    /// Back to capacity, the oldest first.
    pub(super) fn trim(&mut self) {
        while self.order.len() > self.capacity {
            if let Some(oldest) = self.order.pop_front() {
                self.held.remove(&oldest);
            }
        }
    }
}
