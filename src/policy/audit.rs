//! Is the bar met? What the scored answers say, whatever the model believes about itself.
//!
//! Two samples say it. A coin, tossed before anybody judges, puts each request into one of them:
//!
//! - *shadowed* requests, of which the gateway itself judges both the route's answer and the best model's: pairs;
//! - all others, of which some are *scored* from outside; exploration lets the best model answer some of those: doubly
//!   robust (Dudík, Langford & Li, 2011), with weights that are cut at [`GREATEST_WEIGHT`].
//!
//! Cutting weights leans on what was predicted. The pairs say by how much: an answer of the best model, drawn with
//! probability π, counts there for the share 1 − min(1, π·[`GREATEST_WEIGHT`]) that the cut took. So with λ from 0 to 1
//!
//! λ · (mean of the scored + mean of the cut among the pairs) + (1 − λ) · mean of the pairs
//!
//! is free of that bias for any λ; the λ of least variance is used. This holds while both samples measure the same thing.
//! Where they differ about the route's own answers by more than chance, clients and the judge mean different things by
//! quality, and a mixture would be neither's: then the pairs count alone, which measure both models alike.
//!
//! While there are no pairs to say what a cut takes, the scored count with weights that are hardly cut
//! ([`GREATEST_ALONE`]), however wide that makes the interval; and what even these take of the best model's answers may
//! have been worth anything from 0 to 1.

use serde::{Deserialize, Serialize};

use super::moments::Moments;
use super::pairs::Pairs;
use super::sequence::{ALPHA, FIRST_LOOK, UNSEEN, half_width};
use super::{Candidate, Decision};

/// A rare answer of the best model stands for at most this many requests.
const GREATEST_WEIGHT: f64 = 20.0;
/// … and at most for this many while there are no pairs.
const GREATEST_ALONE: f64 = 1_000.0;
/// The chance of error is shared between what one sample says and what both say: the one is looked at before the other.
const SHARED_ALPHA: f64 = ALPHA / 2.0;
/// A share of a best model that is worth less than this means nothing.
const LEAST_QUALITY: f64 = 0.01;

/// The quality of a route's answers since its knob was set, next to what the best model's would have been worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// Rows of (own, best, best), the best doubly robust with either cut.
    scored: Moments,
    rarity: Rarity,
    /// Rows of (own, best, what the cut took of the best).
    pairs: Pairs,
}

/// How rarely the best model answered the scored requests: sums over them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Rarity {
    /// The weight that its answer has, or would have.
    weight: f64,
    /// The share that the cut at [`GREATEST_ALONE`] takes, …
    cut: f64,
    /// … and that share of what was predicted.
    predicted: f64,
}

/// An estimate with an interval that holds at 95 % however often it is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measure {
    pub mean: f64,
    pub low: f64,
    pub high: f64,
    /// Requests behind it.
    pub rows: usize,
}

/// What is estimated: (weight of own, weight of best).
type Along = (f64, f64);
const OWN: Along = (1.0, 0.0);
const BEST: Along = (0.0, 1.0);

impl Measure {
    /// Clamped to what is possible.
    fn within(self, least: f64, most: f64) -> Self {
        let [mean, low, high] = [self.mean, self.low, self.high].map(|end| end.clamp(least, most));
        Self { mean, low, high, rows: self.rows }
    }
}

impl Audit {
    /// The answer to a decision was scored; `best` names the model that was best by all that was known before. Shadowed
    /// requests are in the other sample.
    pub(super) fn scored(&mut self, decision: &Decision, best: &str, value: f64) {
        if let Some(stake) = Stake::of(decision, best) {
            let best = |greatest| stake.predicted + stake.weight(greatest) * (value - stake.predicted);
            self.scored.push([value, best(GREATEST_WEIGHT), best(GREATEST_ALONE)]);
            self.rarity.push(&stake);
        }
    }

    /// A score of the route's answers changed by `change`. If the best model has changed since, what the score said of
    /// the old one stays.
    pub(super) fn revised(&mut self, decision: &Decision, best: &str, change: f64) {
        if let Some(stake) = Stake::of(decision, best) {
            let best = |greatest| stake.weight(greatest) * change;
            self.scored.revise([change, best(GREATEST_WEIGHT), best(GREATEST_ALONE)]);
        }
    }

    /// The model that was drawn answered; the gateway's own judges are asked about it if the request is a shadowed one.
    pub(super) fn answered(&mut self, decision: &Decision) {
        decision.audit.into_iter().for_each(|audit| self.pairs.answered(audit.best == decision.chosen));
    }

    /// The answers (own, best) to a shadowed request are worth `now`, and were worth `was` before a judge changed its
    /// mind.
    pub(super) fn compared(&mut self, decision: &Decision, was: Option<(f64, f64)>, now: (f64, f64)) {
        let Some(audit) = decision.audit else { return };
        let Some(best) = decision.candidates.get(audit.best) else { return };
        let is_same = audit.best == decision.chosen;
        let cut = 1.0 - (best.propensity * GREATEST_WEIGHT).min(1.0);
        match was {
            None => self.pairs.push(is_same, [now.0, now.1, cut * (now.1 - best.quality)]),
            Some(was) => self.pairs.revise(is_same, [now.0 - was.0, now.1 - was.1, cut * (now.1 - was.1)]),
        }
    }

    /// Requests with both answers judged.
    pub fn pairs(&self) -> usize {
        self.pairs.rows()
    }

    /// Mean quality of the route's answers; `None` while there are few.
    pub fn own(&self) -> Option<Measure> {
        Some(self.measure(OWN)?.within(0.0, 1.0))
    }

    /// What the best model's answers to the same requests would have been worth.
    pub fn best(&self) -> Option<Measure> {
        Some(self.measure(BEST)?.within(0.0, 1.0))
    }

    /// The share of the best model's quality that was kept: own / best, by one step of Newton's method on
    /// own − share · best = 0, which is a mean of rows.
    pub fn kept(&self) -> Option<Measure> {
        let (own, best) = (self.measure(OWN)?, self.measure(BEST)?);
        let share = own.mean / best.mean;
        let rest = self.measure((1.0 / best.mean, -share / best.mean)).filter(|_| best.mean >= LEAST_QUALITY)?;
        let kept = Measure { mean: share + rest.mean, low: share + rest.low, high: share + rest.high, rows: rest.rows };
        Some(kept.within(0.0, f64::INFINITY))
    }

    fn measure(&self, along: Along) -> Option<Measure> {
        let pairs = self.pairs.moments();
        let enough = |moments: &Moments| moments.rows() >= FIRST_LOOK;
        match (enough(&self.scored), enough(&pairs)) {
            (false, false) => None,
            (true, false) => Some(self.explored(along)),
            (true, true) if self.agrees_with(&pairs) => Some(self.together_with(&pairs, along)),
            (_, true) => Some(alone(&pairs, along)),
        }
    }

    /// What the scored say while there are no pairs.
    fn explored(&self, (own, best): Along) -> Measure {
        let (along, n) = ([own, 0.0, best], self.scored.rows() as f64);
        // The answers that have not been seen count as much as those of the best model do.
        let unseen = UNSEEN * (own * own + (best * self.rarity.weight / n).powi(2)) / n;
        let variance = self.scored.covariance_along(along, along) + unseen;
        let measure = about(self.scored.mean_along(along), variance, self.scored.rows());
        let (fall, rise) = (self.rarity.predicted / n, (self.rarity.cut - self.rarity.predicted) / n);
        let (fall, rise) = if best < 0.0 { (rise, fall) } else { (fall, rise) };
        Measure { low: measure.low - best.abs() * fall, high: measure.high + best.abs() * rise, ..measure }
    }

    /// Whether both samples may well mean the same thing by quality.
    fn agrees_with(&self, pairs: &Moments) -> bool {
        let (scored, pairs) = (alone(&self.scored, OWN), alone(pairs, OWN));
        scored.low <= pairs.high && pairs.low <= scored.high
    }

    fn together_with(&self, pairs: &Moments, (own, best): Along) -> Measure {
        let (direct, cut) = ([own, best, 0.0], [0.0, 0.0, best]);
        let of_pairs = |v, w| covariance(pairs, v, w) / pairs.rows() as f64;
        let scored = covariance(&self.scored, direct, direct) / self.scored.rows() as f64;
        let (paired, taken, both) = (of_pairs(direct, direct), of_pairs(cut, cut), of_pairs(direct, cut));
        let spread = scored + paired + taken - 2.0 * both;
        let lambda = if spread > 0.0 { ((paired - both) / spread).clamp(0.0, 1.0) } else { 0.0 };
        let rest = 1.0 - lambda;
        let mean = lambda * (self.scored.mean_along(direct) + pairs.mean_along(cut)) + rest * pairs.mean_along(direct);
        let variance = lambda * lambda * (scored + taken) + rest * rest * paired + 2.0 * lambda * rest * both;
        let rows = self.scored.rows() + pairs.rows();
        about(mean, variance.max(0.0) * rows as f64, rows)
    }
}

/// What a scored request says of the best model.
struct Stake {
    /// Its expected quality.
    predicted: f64,
    propensity: f64,
    /// It gave the answer.
    answered: bool,
}

impl Stake {
    /// `None` where `best` was not a candidate, or the request is in the other sample.
    fn of(decision: &Decision, best: &str) -> Option<Self> {
        let k = decision.candidates.iter().position(|candidate| candidate.arm == best);
        let k = k.filter(|_| decision.audit.is_none())?;
        let Candidate { quality, propensity, .. } = decision.candidates[k];
        Some(Self { predicted: quality, propensity, answered: k == decision.chosen })
    }

    /// How many requests the answer stands for as one of the best model, at most `greatest`.
    fn weight(&self, greatest: f64) -> f64 {
        if self.answered { (1.0 / self.propensity).min(greatest) } else { 0.0 }
    }
}

impl Rarity {
    fn push(&mut self, stake: &Stake) {
        let cut = 1.0 - (stake.propensity * GREATEST_ALONE).min(1.0);
        self.weight += (1.0 / stake.propensity).min(GREATEST_ALONE);
        self.cut += cut;
        self.predicted += cut * stake.predicted;
    }
}

/// What one sample says by itself.
fn alone(moments: &Moments, (own, best): Along) -> Measure {
    let along = [own, best, 0.0];
    about(moments.mean_along(along), covariance(moments, along, along), moments.rows())
}

/// As if each column had differed by [`UNSEEN`] more than it has, independently of the others.
fn covariance(moments: &Moments, v: [f64; 3], w: [f64; 3]) -> f64 {
    let unseen: f64 = v.iter().zip(w).map(|(v, w)| UNSEEN * v * w).sum();
    moments.covariance_along(v, w) + unseen / moments.rows() as f64
}

/// `variance`: of a single row.
fn about(mean: f64, variance: f64, rows: usize) -> Measure {
    let half = half_width(rows, variance, SHARED_ALPHA);
    Measure { mean, low: mean - half, high: mean + half, rows }
}

#[cfg(test)]
mod tests;
