//! The estimators and their intervals.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Outcome, Row, Target};
use crate::policy::Candidate;

/// Normal quantile of a two-sided 95 % interval.
const Z: f64 = 1.959_964;

/// A value with its 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// Of fewer effective requests there is no spread, and so no interval; of none not even a value.
pub const LEAST_EFFECTIVE: f64 = 2.0;

/// What the rows say of one policy and one outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimates {
    /// Rows that the policy can answer …
    pub rows: usize,
    /// … and those among them whose outcome is known.
    pub observed: usize,
    /// `None`, as `snips` and `sndr`, where the log says next to nothing: `effective` is below [`LEAST_EFFECTIVE`].
    pub ips: Option<Estimate>,
    pub snips: Option<Estimate>,
    /// Doubly robust; where the log says next to nothing, hardly more than what was believed.
    pub dr: Estimate,
    /// Doubly robust, self-normalised.
    pub sndr: Option<Estimate>,
    /// (Σw)² / Σw² over the observed rows: how many the policy's own would be worth as much.
    pub effective: f64,
    /// Of the observed rows, clipped.
    pub largest_weight: f64,
    /// Share of the policy's choices, 0 to 1, of which the log can tell: those that the logged policy could take, by
    /// models that have an observed answer. The rest is only the predictions' word, or, in IPS and SNIPS, left out.
    pub support: f64,
}

/// Too few rows have an outcome for any interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("only {0} of the requests that it can answer have an outcome; at least 2 are needed")]
pub struct TooFew(pub usize);

/// A row that a policy can answer, or by how much two differ on it.
pub(super) struct Answered<'a> {
    row: &'a Row,
    /// π′ of each candidate.
    target: Vec<f64>,
    /// w of each, clipped; 0 where it could not be drawn.
    weights: Vec<f64>,
}

/// A row, weighed by a target policy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weighed {
    /// The drawn model, see [`Sample::arms`].
    arm: usize,
    /// w, clipped.
    weight: f64,
    /// Σₖ π′(k) q̂ₖ.
    promise: f64,
    /// q̂ of the drawn candidate.
    predicted: f64,
    observed: Option<f64>,
    /// Σₖ π(k) w(k)² E(y − q̂)² / rₖ, and the same with q̂² more, for outcomes as they were believed: what this row may add to
    /// an estimator's variance, whichever model was drawn.
    foreseen: [f64; 2],
    /// The greatest |w(k)| / rₖ.
    reach: f64,
}

/// Rows that a policy can answer, with how often each model's answers were observed.
pub(super) struct Sample {
    rows: Vec<Weighed>,
    arms: Vec<Arm>,
    /// Σ π′ of what the log can tell of.
    supported: f64,
}

/// How often a model was drawn, and how often its outcome is known.
#[derive(Debug, Clone, Copy, Default)]
struct Arm {
    drawn: f64,
    observed: f64,
}

/// Estimates the value of `target` from `rows`. `clip`: weights are cut there, which biases and narrows.
///
/// # Errors
/// [`TooFew`] outcomes.
pub fn estimate(rows: &[Row], target: &dyn Target, outcome: Outcome, clip: Option<f64>) -> Result<Estimates, TooFew> {
    let targets = rows.iter().zip(target.over(rows));
    let answered: Vec<_> = targets.filter_map(|(row, p)| Some(Answered::new(row, p?, clip))).collect();
    let sample = Sample::new(&answered, outcome);
    let observed = sample.observed().count();
    if observed < 2 {
        return Err(TooFew(observed));
    }
    let weights = || sample.observed().map(|row| row.weight);
    let squares: f64 = weights().map(|weight| weight * weight).sum();
    let effective = if squares > 0.0 { weights().sum::<f64>().powi(2) / squares } else { 0.0 };
    // Equal weights come to their number, but for rounding.
    let is_told = effective >= LEAST_EFFECTIVE - 1e-9;
    let [about_belief, about_mean] = sample.foreseen();
    let dr = sample.estimate(&sample.dr());
    let told = |values: Vec<f64>, least| is_told.then(|| Estimate::at_least(&values, least));
    Ok(Estimates {
        rows: answered.len(),
        observed,
        ips: told(sample.ips(), about_mean),
        snips: told(sample.snips(), about_belief),
        dr,
        sndr: told(sample.sndr(), about_belief),
        effective,
        largest_weight: weights().fold(0.0, f64::max),
        support: sample.supported / answered.len() as f64,
    })
}

impl Estimate {
    /// Of the mean of independent values, at least two, whose variance is known to be at least `least`: of rarely drawn
    /// models most logs show no answer that differs, and look certain.
    fn at_least(values: &[f64], least: f64) -> Self {
        let n = values.len() as f64;
        let value = mean(values);
        let variance = values.iter().map(|x| (x - value) * (x - value)).sum::<f64>() / (n - 1.0);
        let half = Z * (variance.max(least) / n).sqrt();
        Self { value, low: value - half, high: value + half }
    }

    /// In other units.
    pub fn times(self, factor: f64) -> Self {
        Self { value: self.value * factor, low: self.low * factor, high: self.high * factor }
    }
}

impl Estimates {
    /// The outcome in other units.
    pub fn times(self, factor: f64) -> Self {
        let [ips, snips, sndr] = [self.ips, self.snips, self.sndr].map(|value| value.map(|value| value.times(factor)));
        Self { ips, snips, dr: self.dr.times(factor), sndr, ..self }
    }
}

impl<'a> Answered<'a> {
    /// `target`: the policy's probabilities.
    pub(super) fn new(row: &'a Row, target: Vec<f64>, clip: Option<f64>) -> Self {
        let weight =
            |p: f64, drawn: f64| if drawn > 0.0 { (p / drawn).min(clip.unwrap_or(f64::INFINITY)) } else { 0.0 };
        let weights = row.candidates.iter().zip(&target).map(|(c, p)| weight(*p, c.propensity)).collect();
        Self { row, target, weights }
    }

    /// By how much more the policy does here than another on the same row: estimates are sums over these.
    pub(super) fn less(mut self, other: Self) -> Self {
        self.target.iter_mut().zip(other.target).for_each(|(p, other)| *p -= other);
        self.weights.iter_mut().zip(other.weights).for_each(|(w, other)| *w -= other);
        self
    }

    /// Candidates with π′ and w.
    fn candidates(&self) -> impl Iterator<Item = (&'a Candidate, f64, f64)> {
        let probabilities = self.target.iter().zip(&self.weights);
        self.row.candidates.iter().zip(probabilities).map(|(candidate, (p, w))| (candidate, *p, *w))
    }
}

impl Weighed {
    /// What the row may add to the variance of a doubly robust estimate.
    pub(super) fn foreseen(&self) -> f64 {
        self.foreseen[0]
    }
}

impl Sample {
    pub(super) fn new(answered: &[Answered<'_>], outcome: Outcome) -> Self {
        let mut names = BTreeMap::new();
        let mut arms: Vec<Arm> = Vec::new();
        for Answered { row, .. } in answered {
            let arm = *names.entry(row.drawn().arm.as_str()).or_insert(arms.len());
            if arm == arms.len() {
                arms.push(Arm::default());
            }
            arms[arm].drawn += 1.0;
            arms[arm].observed += f64::from(u8::from(outcome.observed(row).is_some()));
        }
        let known = |name: &str| names.get(name).is_some_and(|arm| arms[*arm].observed > 0.0);
        let told = |of: &Answered| -> f64 {
            of.candidates().filter(|(c, ..)| c.propensity > 0.0 && known(&c.arm)).map(|(_, p, _)| p).sum()
        };
        let unjudged = |name: &str| names.get(name).map_or(1.0, |arm| arms[*arm].drawn / arms[*arm].observed.max(1.0));
        let error = outcome.squared_error(answered.iter().map(|of| of.row));
        let foreseen = |of: &Answered| {
            let terms = of.candidates().map(|(c, _, weight)| {
                let rarity = c.propensity * weight.powi(2);
                let spread = outcome.spread(c, error) * unjudged(&c.arm);
                [rarity * spread, rarity * (spread + outcome.predicted(c).powi(2))]
            });
            terms.fold([0.0; 2], |sum, term| [sum[0] + term[0], sum[1] + term[1]])
        };
        let reach = |of: &Answered| of.candidates().map(|(c, _, w)| w.abs() * unjudged(&c.arm)).fold(0.0, f64::max);
        let weighed = |of: &Answered| Weighed {
            foreseen: foreseen(of),
            reach: reach(of),
            arm: names[of.row.drawn().arm.as_str()],
            weight: of.weights[of.row.chosen],
            promise: of.candidates().map(|(c, p, _)| p * outcome.predicted(c)).sum(),
            predicted: outcome.predicted(of.row.drawn()),
            observed: outcome.observed(of.row),
        };
        Self { rows: answered.iter().map(weighed).collect(), supported: answered.iter().map(told).sum(), arms }
    }

    pub(super) fn rows(&self) -> &[Weighed] {
        &self.rows
    }

    pub(super) fn observed(&self) -> impl Iterator<Item = &Weighed> {
        self.rows.iter().filter(|row| row.observed.is_some())
    }

    /// Values whose mean is that of `z` over all rows, though `z` is known for the observed ones only: an observed row
    /// stands for 1/rₐ rows of its arm, and the others have the arm's mean. With the arm's mean in it the values are the
    /// estimate's influence function, which knows that rₐ is estimated (Robins, Rotnitzky & Zhao, 1994).
    fn completed(&self, z: impl Fn(&Weighed, f64) -> f64) -> Vec<f64> {
        let known = |row: &Weighed| row.observed.map(|y| z(row, y));
        let mut means = vec![0.0; self.arms.len()];
        for row in &self.rows {
            means[row.arm] += known(row).unwrap_or(0.0) / self.arms[row.arm].observed.max(1.0);
        }
        let complete = |row: &Weighed| {
            let (arm, mean) = (self.arms[row.arm], means[row.arm]);
            mean + known(row).map_or(0.0, |z| arm.drawn / arm.observed * (z - mean))
        };
        self.rows.iter().map(complete).collect()
    }

    /// How much one row's outcome may count, on average over them: rare models' outcomes do by so much more.
    pub(super) fn reach(&self) -> f64 {
        self.rows.iter().map(|row| row.reach).sum::<f64>() / self.rows.len() as f64
    }

    /// Of the mean of doubly robust values.
    pub(super) fn estimate(&self, values: &[f64]) -> Estimate {
        Estimate::at_least(values, self.foreseen()[0])
    }

    /// Least variances of a row about what was believed of it, and about what was believed of all.
    fn foreseen(&self) -> [f64; 2] {
        let mean = |read: fn(&Weighed) -> f64| self.rows.iter().map(read).sum::<f64>() / self.rows.len() as f64;
        let promise = mean(|row| row.promise);
        [mean(|row| row.foreseen[0]), mean(|row| row.foreseen[1]) - promise * promise]
    }

    fn ips(&self) -> Vec<f64> {
        self.completed(|row, y| row.weight * y)
    }

    fn snips(&self) -> Vec<f64> {
        self.normalised(|_, y| y)
    }

    /// Values whose mean is Σw·z / Σw, linearised about it (the delta method); zeros where that is 0 / 0.
    fn normalised(&self, z: impl Fn(&Weighed, f64) -> f64) -> Vec<f64> {
        let total = mean(&self.completed(|row, _| row.weight));
        if total <= 0.0 {
            return vec![0.0; self.rows.len()];
        }
        let ratio = mean(&self.completed(|row, y| row.weight * z(row, y))) / total;
        let centred = self.completed(|row, y| row.weight * (z(row, y) - ratio));
        centred.into_iter().map(|value| ratio + value / total).collect()
    }

    pub(super) fn dr(&self) -> Vec<f64> {
        self.promised(self.completed(|row, y| row.weight * (y - row.predicted)))
    }

    fn sndr(&self) -> Vec<f64> {
        self.promised(self.normalised(|row, y| y - row.predicted))
    }

    fn promised(&self, residuals: Vec<f64>) -> Vec<f64> {
        self.rows.iter().zip(residuals).map(|(row, residual)| row.promise + residual).collect()
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
