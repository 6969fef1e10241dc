//! The paired bootstrap over groups of near-duplicate prompts.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use super::Losses;

/// Resamples: the ends of a 95 % interval are then the fiftieth from each side.
const RESAMPLES: usize = 2_000;

/// Mean log loss of the new classifier less that of the old one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Change {
    pub value: f64,
    /// The 95 % interval; infinite, and null in JSON, where there is only one group of near-duplicates.
    pub low: f64,
    pub high: f64,
}

impl Change {
    /// Groups of near-duplicates of which differences that matter can be told …
    pub const ENOUGH: usize = 100;
    /// … and half of an interval by which they can.
    const NARROW: f64 = 0.02;

    /// Whether it was found out that the new classifier is no worse, of so many groups: of few, that nothing was found out
    /// would let anything pass.
    pub fn is_no_worse(&self, groups: usize) -> bool {
        let is_narrow = (self.high - self.low) / 2.0 < Self::NARROW;
        self.high < 0.0 || self.low <= 0.0 && (groups >= Self::ENOUGH || is_narrow)
    }

    /// Whether there is enough for an interval.
    pub fn is_known(&self) -> bool {
        self.low.is_finite()
    }

    /// Whether both classifiers say the same of every prompt.
    pub fn is_none(&self) -> bool {
        (self.low, self.high) == (0.0, 0.0)
    }

    /// For people.
    pub fn text(&self) -> String {
        if !self.is_known() {
            return format!("{:+.4} (too few for an interval)", self.value);
        }
        format!("{:+.4} [{:+.4}, {:+.4}]", self.value, self.low, self.high)
    }
}

/// The change on these prompts. Groups are drawn whole, with both classifiers' losses: near-duplicates say little anew.
pub fn change(losses: &[Losses], seed: u64) -> Change {
    let mut groups = BTreeMap::<u64, (f64, f64)>::new();
    for of in losses {
        let sum = groups.entry(of.group).or_default();
        *sum = (sum.0 + of.new - of.old, sum.1 + of.weight);
    }
    let groups: Vec<(f64, f64)> = groups.into_values().collect();
    let mean = |sums: (f64, f64)| if sums.1 > 0.0 { sums.0 / sums.1 } else { 0.0 };
    let add = |sums: (f64, f64), one: &(f64, f64)| (sums.0 + one.0, sums.1 + one.1);
    let value = mean(groups.iter().fold((0.0, 0.0), add));
    if groups.len() < 2 {
        return Change { value, low: f64::NEG_INFINITY, high: f64::INFINITY };
    }
    let mut rng = StdRng::seed_from_u64(seed);
    let mut draw = || {
        let drawn = (0..groups.len()).map(|_| &groups[rng.random_range(0..groups.len())]);
        mean(drawn.fold((0.0, 0.0), add))
    };
    let mut means: Vec<f64> = (0..RESAMPLES).map(|_| draw()).collect();
    means.sort_by(f64::total_cmp);
    Change { value, low: means[RESAMPLES / 40], high: means[RESAMPLES - 1 - RESAMPLES / 40] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(difference: impl Fn(u64) -> f64) -> Vec<Losses> {
        (0..400).map(|group| Losses { group, weight: 1.0, old: 0.5, new: 0.5 + difference(group) }).collect()
    }

    #[test]
    fn a_clear_change_is_told_from_noise_and_the_same_seed_gives_the_same() {
        let noise = |i: u64| 0.2 * ((i * 2_654_435_761 % 1_000) as f64 / 500.0 - 1.0);
        let (none, worse) = (losses(noise), losses(|i| 0.1 + noise(i)));
        let (none, worse) = (change(&none, 1), change(&worse, 1));
        assert!(none.low < 0.0 && none.high > 0.0, "{none:?}");
        assert!(worse.low > 0.05 && worse.high < 0.15 && (worse.value - 0.1).abs() < 0.02, "{worse:?}");
        assert_eq!(worse, change(&losses(|i| 0.1 + noise(i)), 1));
    }

    #[test]
    fn of_few_groups_only_what_is_clear_is_no_worse() {
        let between = |low, high| Change { value: 0.0, low, high };
        let few = [(-0.2, -0.1, true), (-0.1, 0.1, false), (-0.01, 0.02, true), (0.01, 0.02, false)];
        few.into_iter().for_each(|(low, high, holds)| assert_eq!(between(low, high).is_no_worse(20), holds, "{low}"));
        assert!(between(-0.1, 0.1).is_no_worse(100) && !between(0.01, 0.02).is_no_worse(100));
    }

    #[test]
    fn near_duplicates_count_as_one() {
        let once = losses(|i| if i.is_multiple_of(2) { 0.125 } else { -0.125 });
        let many: Vec<Losses> = once.iter().flat_map(|of| [*of; 5]).collect();
        assert_eq!(change(&once, 3), change(&many, 3));
    }

    #[test]
    fn of_one_group_nothing_can_be_said() {
        let one = change(&losses(|_| 1.0)[..1], 1);
        assert!(!one.is_known() && one.text() == "+1.0000 (too few for an interval)", "{one:?}");
    }
}
