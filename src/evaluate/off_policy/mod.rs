//! What another policy would have been worth on logged requests, of each of which one answer is known.
//!
//! Row i has context xᵢ, candidates with the logged policy's probabilities π, the candidate aᵢ that was drawn, and,
//! where somebody judged the answer, its outcome yᵢ. A target policy π′ weighs a row by wᵢ = π′(aᵢ|xᵢ)/π(aᵢ|xᵢ).
//! Estimators of V(π′) = E Σₖ π′(k|x) y(x, k):
//!
//! | | | |
//! |---|---|---|
//! | [`Estimates::ips`] | mean of wᵢyᵢ | Horvitz & Thompson, 1952; unbiased, wide |
//! | [`Estimates::snips`] | Σwᵢyᵢ / Σwᵢ | Swaminathan & Joachims, 2015; narrower, consistent |
//! | [`Estimates::dr`] | mean of Σₖπ′(k)q̂ₖ + wᵢ(yᵢ − q̂ₐ) | Dudík, Langford & Li, 2011; right if π or q̂ is |
//! | [`Estimates::sndr`] | the same with Σwᵢ(yᵢ − q̂ₐ) / Σwᵢ | the self-normalised variant |
//!
//! Where fewer than two effective rows are observed, only the doubly robust value is given, which is then what was
//! believed: of no weights the others are 0 / 0, and of one row they would look certain.
//!
//! q̂ is what the snapshot of the moment believed: it knew nothing of the row it is used on, so that it cannot overfit.
//!
//! **Missing outcomes are missing, not zero.** Assumed: given the request and the model, whether an answer is judged does
//! not depend on how good it is. A model's answers may be judged more often than another's: the share rₐ of judged ones
//! is estimated for each model a, and a judged answer stands for 1/rₐ answers. The intervals know that rₐ is estimated.

mod compare;
mod estimate;
mod replay;
mod target;

pub use crate::policy::{FIRST_LOOK, Sequence};
pub use compare::{Comparison, compare};
pub use estimate::{Estimate, Estimates, LEAST_EFFECTIVE, TooFew, estimate};
pub use replay::Replay;
pub use target::{Cheapest, Fixed, Greedy, Logged, Target, Uniform};

use crate::catalog::Usage;
use crate::difficulty::Context;
use crate::policy::Candidate;
use crate::trace::line::TraceLine;

/// One decided request.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// φ(x), and what else was known of the request before it was decided.
    pub context: Context,
    /// At least one, with their logged propensities.
    pub candidates: Vec<Candidate>,
    /// The candidate that was drawn; its propensity is above 0.
    pub chosen: usize,
    /// The candidate that answered: another than the drawn one where a fallback did; `None`: none of them.
    pub answered: Option<usize>,
    pub usage: Option<Usage>,
    /// Judged quality of the answer, 0 to 1; `None`: nobody judged it.
    pub quality: Option<f64>,
    /// What the answer cost; `None` where it is not known.
    pub cost_usd: Option<f64>,
}

/// What is estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Mean quality, 0 to 1.
    Quality,
    /// Mean USD of a request.
    Cost,
}

impl Row {
    /// What evaluation needs of an exported request. Where a fallback answered, that is what choosing the arm led to.
    pub fn of(line: TraceLine) -> Self {
        let (quality, decision, settlement) = (line.judged(), line.decision, line.settlement);
        let arm = settlement.as_ref().and_then(|settlement| settlement.arm.as_ref());
        let panel = decision.panel();
        Self {
            quality,
            // What was spent on a request that nobody answered is not what an answer costs.
            cost_usd: settlement.as_ref().filter(|_| arm.is_some()).and_then(|settlement| settlement.cost_usd),
            // What a panel and the arm after it used is no one arm's.
            usage: settlement.as_ref().and_then(|settlement| settlement.usage).filter(|_| panel.is_none()),
            answered: arm.and_then(|arm| decision.candidates.iter().position(|candidate| candidate.arm == *arm)),
            context: Context {
                phi: decision.phi,
                difficulty: decision.difficulty,
                widening: decision.widening,
                verbosity: decision.verbosity,
                input_tokens: decision.input_tokens,
            },
            candidates: decision.candidates,
            chosen: decision.chosen,
        }
    }

    fn drawn(&self) -> &Candidate {
        &self.candidates[self.chosen]
    }
}

impl Outcome {
    /// By how much one request's outcome may well differ from another's: the whole range of qualities, or the greatest cost
    /// that was predicted.
    fn unit(self, rows: &[Row]) -> f64 {
        match self {
            Self::Quality => 1.0,
            Self::Cost => rows.iter().flat_map(|row| &row.candidates).map(|c| c.cost_usd).fold(0.0, f64::max),
        }
    }

    fn observed(self, row: &Row) -> Option<f64> {
        match self {
            Self::Quality => row.quality,
            Self::Cost => row.cost_usd,
        }
    }

    /// Mean squared error of what was predicted, in shares of it, over the rows whose outcome is known and the drawn
    /// model's own.
    fn squared_error<'a>(self, rows: impl Iterator<Item = &'a Row>) -> f64 {
        let error = |row: &Row| {
            let predicted = self.predicted(row.drawn());
            self.observed(row).filter(|_| predicted > 0.0).map(|seen| (seen / predicted - 1.0).powi(2))
        };
        let own = rows.filter(|row| row.answered == Some(row.chosen));
        let (sum, n) = own.filter_map(error).fold((0.0, 0.0), |(sum, n), error| (sum + error, n + 1.0));
        sum / f64::max(n, 1.0)
    }

    /// Variance of a candidate's outcome about what was predicted: a quality's as of good and bad answers, a cost's as far
    /// as predictions of costs are wrong, by this squared `error`.
    fn spread(self, candidate: &Candidate, error: f64) -> f64 {
        let predicted = self.predicted(candidate);
        match self {
            Self::Quality => predicted * (1.0 - predicted),
            Self::Cost => error * predicted * predicted,
        }
    }

    fn predicted(self, candidate: &Candidate) -> f64 {
        match self {
            Self::Quality => candidate.quality,
            Self::Cost => candidate.cost_usd,
        }
    }
}
