//! Two prices of quality and a coin: the choice that spends exactly a budget, or keeps exactly a bar, even where one
//! price asks only cheap models and the next only dear ones, as when all requests are alike.

use serde::{Deserialize, Serialize};

/// Halvings of the interval in which the price is sought. Few: the two must stand further apart than what Thompson
/// sampling makes of equal arms, or the coin would decide nothing.
const HALVINGS: usize = 2;

/// ln V is `high` with probability `share`, else `low`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mixture {
    pub low: f64,
    pub high: f64,
    /// 0 to 1.
    pub share: f64,
}

impl Mixture {
    /// The mixture that costs `target` on average, between ln V = `low` and `high`; `cost` grows with ln V. The nearer
    /// end alone, where the target lies beyond.
    pub fn solve(target: f64, mut low: f64, mut high: f64, cost: impl Fn(f64) -> f64) -> Self {
        for _ in 0..HALVINGS {
            let middle = 0.5 * (low + high);
            if cost(middle) <= target { low = middle } else { high = middle }
        }
        let (least, most) = (cost(low), cost(high));
        let share = if most > least { ((target - least) / (most - least)).clamp(0.0, 1.0) } else { 0.0 };
        Self { low, high, share }
    }

    /// The likelier of the two.
    pub fn likelier(&self) -> f64 {
        if self.share > 0.5 { self.high } else { self.low }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_bridged_and_an_end_is_taken_alone() {
        let cost = |log_value: f64| if log_value < 0.3 { 1.0 } else { 5.0 };
        let mixture = Mixture::solve(2.0, -10.0, 7.0, cost);
        assert!(mixture.low < 0.3 && mixture.high >= 0.3 && mixture.high - mixture.low < 5.0, "{mixture:?}");
        assert_eq!(mixture.share, 0.25);
        assert_eq!(Mixture::solve(0.5, -10.0, 7.0, cost).share, 0.0);
        assert_eq!(Mixture::solve(9.0, -10.0, 7.0, cost).likelier(), Mixture::solve(9.0, -10.0, 7.0, cost).low);
    }
}
