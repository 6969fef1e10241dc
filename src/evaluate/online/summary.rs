//! What a run comes to.

use super::{Step, Stream};

/// Means over a part of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Mean {
    pub quality: f64,
    pub cost_usd: f64,
}

impl Mean {
    /// Over `steps`; zeros where there are none.
    pub fn of(steps: &[Step]) -> Self {
        let n = steps.len().max(1) as f64;
        let sum = steps.iter().fold((0.0, 0.0), |sum, step| (sum.0 + step.quality, sum.1 + step.cost_usd));
        Self { quality: sum.0 / n, cost_usd: sum.1 / n }
    }
}

/// A run beside the best fixed model of its stream.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Summary {
    pub whole: Mean,
    pub second_half: Mean,
    /// Shares of the best fixed model's quality and cost.
    pub of_best: Mean,
    pub second_half_of_best: Mean,
}

impl Summary {
    /// Of a run over `stream`.
    pub fn new(stream: &Stream, steps: &[Step]) -> Self {
        let (quality, cost) = stream.fixed(stream.best());
        let share = |mean: Mean| Mean { quality: mean.quality / quality, cost_usd: mean.cost_usd / cost };
        let (whole, second_half) = (Mean::of(steps), Mean::of(&steps[steps.len() / 2..]));
        Self { whole, second_half, of_best: share(whole), second_half_of_best: share(second_half) }
    }
}
