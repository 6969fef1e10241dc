//! Has an arm's quality changed, or was it never what is known of its name? A Shiryaev–Roberts test of its scores against a
//! frozen reference.

use serde::{Deserialize, Serialize};

use super::gaussian::{Gaussian, dot};
use super::logistic::sigmoid;

/// Changes of the logit to look for, and the weight of each in the statistic: a model that got worse does the greater
/// harm.
const ALTERNATIVES: [(f64, f64); 4] = [(-0.5, 0.4), (-1.3, 0.4), (0.5, 0.1), (1.3, 0.1)];
/// The alarm's threshold, and with it the least mean number of scores between false alarms: under an exact reference
/// the statistic less the number of scores is a martingale (Pollak, Optimal detection of a change in distribution,
/// 1985).
pub const SCORES_BETWEEN_FALSE_ALARMS: f64 = 1e4;
/// Scores of an arm before its posterior becomes the reference, which is replaced each time they have doubled.
const FIRST_REFERENCE: u64 = 256;
/// A change of less quality than this harms nobody, and where all answers are right, or none, a reference is never as sure
/// of it as the scores are.
const LEAST_CHANGE: f64 = 0.01;
/// The reference is moved this many deviations towards the change that is looked for, since it is only an estimate.
const CAUTION: f64 = 0.5;
/// The same of what is known from elsewhere, which was learned from other prompts than those that come now.
const FIRST_CAUTION: f64 = 2.0;

/// One arm's detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// θ as it was, or as it is known from elsewhere; `None` while too little is known.
    reference: Option<Gaussian>,
    /// By how much first scores had been revised on average by then: the reference knows the revisions of its time, and
    /// the scores that are heard are first ones.
    revision: f64,
    /// Scores since the last alarm.
    scores: u64,
    statistics: [f64; ALTERNATIVES.len()],
    /// Alarms so far.
    pub alarms: u64,
}

impl Default for Drift {
    fn default() -> Self {
        Self { reference: None, revision: 0.0, scores: 0, statistics: [0.0; ALTERNATIVES.len()], alarms: 0 }
    }
}

impl Drift {
    /// A detector that compares with what is known from elsewhere, from the first score on.
    pub fn expecting(reference: Gaussian) -> Self {
        Self { reference: Some(reference), ..Self::default() }
    }

    /// Whether it still compares with what was known from elsewhere.
    pub fn expects(&self) -> bool {
        self.reference.is_some() && self.scores < FIRST_REFERENCE
    }

    /// Takes a first score `y` in [0, 1] of a request with context `phi`; true: an alarm, and the detector starts over.
    /// `current` is the arm's posterior before the score, and by how much first scores are revised on average.
    pub fn hear(&mut self, phi: &[f64], y: f64, current: impl FnOnce() -> (Gaussian, f64)) -> bool {
        self.scores += 1;
        if self.scores >= FIRST_REFERENCE && self.scores.is_power_of_two() {
            let (reference, revision) = current();
            (self.reference, self.revision) = (Some(reference), revision);
        }
        let Some(reference) = &self.reference else { return false };
        let y = (y + self.revision).clamp(0.0, 1.0);
        let (mean, deviation) = (reference.mean_along(phi), reference.variance_along(phi).sqrt());
        let caution = if self.expects() { FIRST_CAUTION } else { CAUTION };
        for (statistic, (change, _)) in self.statistics.iter_mut().zip(ALTERNATIVES) {
            let expected = sigmoid(mean + caution * deviation * change.signum());
            let changed = sigmoid(mean + caution * deviation * change.signum() + change);
            if (changed - expected).abs() >= LEAST_CHANGE {
                *statistic = (1.0 + *statistic) * likelihood_ratio(y, changed, expected);
            }
        }
        let weights = ALTERNATIVES.map(|(_, weight)| weight);
        let alarm = dot(&self.statistics, &weights) >= SCORES_BETWEEN_FALSE_ALARMS;
        if alarm {
            *self = Self { alarms: self.alarms + 1, ..Self::default() };
        }
        alarm
    }
}

/// The likelihood ratio of a score under two means. For scores between 0 and 1 it is at most the average of a good and
/// a bad one's, so that alarms are no more frequent than for those.
fn likelihood_ratio(y: f64, changed: f64, expected: f64) -> f64 {
    (y * (changed / expected).ln() + (1.0 - y) * ((1.0 - changed) / (1.0 - expected)).ln()).exp()
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn certain(quality: f64) -> Gaussian {
        Gaussian::new(vec![(quality / (1.0 - quality)).ln()], vec![0.0])
    }

    fn watch(quality: f64, rng: &mut StdRng, reference: f64, most: u64) -> Option<u64> {
        let mut drift = Drift { reference: Some(certain(reference)), ..Drift::default() };
        // What it heard before the change: its statistic is then as it usually is.
        for _ in 0..200 {
            drift.hear(&[1.0], f64::from(u8::from(rng.random_bool(reference))), || (certain(reference), 0.0));
        }
        let alarms = drift.alarms;
        (1..=most).find(|_| {
            drift.hear(&[1.0], f64::from(u8::from(rng.random_bool(quality))), || (certain(reference), 0.0));
            drift.alarms > alarms
        })
    }

    #[test]
    fn who_is_always_right_or_always_wrong_has_not_changed() {
        for y in [0.0, 1.0] {
            let mut drift = Drift::default();
            // What a posterior makes of so many equal scores.
            let learned = |n: f64| Gaussian::new(vec![(2.0 * y - 1.0) * (n / 2.0).ln()], vec![1.0 / n.ln()]);
            (0..20_000u32).for_each(|n| {
                drift.hear(&[1.0], y, || (learned(f64::from(n)), 0.0));
            });
            assert_eq!(drift.alarms, 0, "{y}");
        }
    }

    #[test]
    fn another_model_than_its_name_says_is_found_within_its_first_scores() {
        let mut rng = StdRng::seed_from_u64(3);
        let mut delay = |quality: f64| {
            let mut drift = Drift::expecting(certain(0.3));
            (1..FIRST_REFERENCE).find(|_| {
                let y = f64::from(u8::from(rng.random_bool(quality)));
                drift.expects() && drift.hear(&[1.0], y, || (certain(0.3), 0.0))
            })
        };
        let found: Vec<u64> = (0..100).filter_map(|_| delay(0.9)).collect();
        assert!(found.len() == 100 && found.iter().sum::<u64>() < 4_000, "{found:?}");
        assert!((0..100).filter_map(|_| delay(0.3)).count() <= 3);
    }

    fn mean_delay(before: f64, after: f64) -> f64 {
        let mut rng = StdRng::seed_from_u64(1);
        let delays: Vec<u64> = (0..400).filter_map(|_| watch(after, &mut rng, before, 5_000)).collect();
        assert_eq!(delays.len(), 400);
        delays.iter().sum::<u64>() as f64 / 400.0
    }

    #[test]
    fn a_model_that_got_worse_is_found_soon() {
        let (much, little) = (mean_delay(0.92, 0.75), mean_delay(0.72, 0.62));
        assert!(much <= 60.0 && little <= 220.0, "{much} {little}");
    }

    #[test]
    fn false_alarms_are_as_rare_as_is_said() {
        for quality in [0.92, 0.72] {
            let mut rng = StdRng::seed_from_u64(2);
            let mut drift = Drift { reference: Some(certain(quality)), ..Drift::default() };
            let scores = 1_000_000;
            for _ in 0..scores {
                if drift.hear(&[1.0], f64::from(u8::from(rng.random_bool(quality))), || (certain(quality), 0.0)) {
                    drift.reference = Some(certain(quality));
                }
            }
            let between = f64::from(scores) / drift.alarms as f64;
            assert!(between >= SCORES_BETWEEN_FALSE_ALARMS, "{between}");
        }
    }
}
