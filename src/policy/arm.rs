//! One model in one route: what is believed of its quality and of the length of its answers.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::gaussian::Gaussian;
use super::logistic::mean_sigmoid;
use crate::catalog::{Price, Usage};
use crate::difficulty::ArmPrior;

/// Process noise a score, in units of the prior's covariance: what was learned 10⁵ scores ago counts little.
const PROCESS_NOISE: f64 = 1e-5;
/// The least Bernoulli variance that an update assumes, so that a sure prediction can still be corrected.
const LEAST_VARIANCE: f64 = 1e-3;
/// Variance of ln(output tokens) about its regression, as in the recorded workloads.
const TOKEN_VARIANCE: f64 = 0.3;
/// An answer's surprise in length counts for at most this many deviations.
const TOKEN_SURPRISE: f64 = 3.0;
/// ln(output tokens) is predicted within these.
const LOG_TOKENS: (f64, f64) = (-2.0, 11.0);

/// θ = own + shift: an arm's own deviation, and the shift that all arms of its route share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    pub quality: Gaussian,
    /// The covariance that it began with.
    origin: Vec<f64>,
    /// Regression of ln(output tokens) − verbosity on φ.
    tokens: Gaussian,
    /// Output tokens seen over those predicted.
    output: Ratio,
    /// Input tokens billed over those estimated.
    input: Ratio,
    /// Answers that were scored.
    pub scored: u64,
}

/// A ratio of decaying sums.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Ratio {
    seen: f64,
    predicted: f64,
}

impl Ratio {
    const MEMORY: f64 = 500.0;

    fn add(&mut self, seen: f64, predicted: f64) {
        let keep = 1.0 - 1.0 / Self::MEMORY;
        self.seen = self.seen * keep + seen;
        self.predicted = self.predicted * keep + predicted;
    }

    fn value(self) -> f64 {
        self.seen / self.predicted
    }
}

/// What an arm is expected to be worth on one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// p̃ = E σ(θ·φ).
    pub quality: f64,
    /// Deviation of σ(θ·φ) that is the arm's own: the shared shift ranks no arm above another.
    pub deviation: f64,
    /// Deviation of the logit, the arm's own part.
    pub logit_deviation: f64,
}

impl Arm {
    /// An arm that nobody has seen in this route.
    pub fn new(prior: &ArmPrior) -> Self {
        let usual = token_prediction(prior.token_mean.first().copied().unwrap_or(5.0)).min(1e4);
        Self {
            quality: Gaussian { mean: prior.mean.clone(), covariance: prior.covariance.clone() },
            origin: prior.covariance.clone(),
            tokens: Gaussian { mean: prior.token_mean.clone(), covariance: prior.token_covariance.clone() },
            // The mean of a log-normal lies above the exponential of its mean log; ten pseudo-answers say so.
            output: Ratio { seen: 10.0 * usual * (TOKEN_VARIANCE / 2.0).exp(), predicted: 10.0 * usual },
            input: Ratio { seen: 1_000.0, predicted: 1_000.0 },
            scored: 0,
        }
    }

    /// Quality on a request with context `phi`; `widening` ≥ 1 multiplies the variances.
    pub fn outlook(&self, shift: &Gaussian, phi: &[f64], widening: f64) -> Outlook {
        self.outlook_beside(shift.along(phi), phi, widening)
    }

    /// The same where mean and variance of the shift along `phi` are known: they are the same for all arms.
    pub fn outlook_beside(&self, shift: (f64, f64), phi: &[f64], widening: f64) -> Outlook {
        let own = self.quality.variance_along(phi) * widening;
        let variance = own + shift.1 * widening;
        let quality = mean_sigmoid(self.quality.mean_along(phi) + shift.0, variance);
        let logit_deviation = own.sqrt();
        let slope = quality * (1.0 - quality) / (1.0 + PI * variance / 8.0).sqrt();
        Outlook { quality, deviation: slope * logit_deviation, logit_deviation }
    }

    /// Expected USD of one answer.
    pub fn cost(&self, price: &Price, phi: &[f64], verbosity: f64, input_tokens: f64) -> f64 {
        let input = input_tokens * self.input.value();
        let output = token_prediction(verbosity + self.tokens.mean_along(phi)) * self.output.value();
        (input * price.input + output * price.output) / 1e6
    }

    /// A score `y` in [0, 1] of weight `weight`: an extended-Kalman step on the logit, for the arm's own part and the
    /// shared shift at once, each by its share of the variance.
    pub fn learn(&mut self, shift: &mut Gaussian, phi: &[f64], y: f64, weight: f64) {
        self.quality.covariance.iter_mut().zip(&self.origin).for_each(|(c, o)| *c += PROCESS_NOISE * o);
        let p = self.outlook(shift, phi, 1.0).quality;
        let (own, shared) = (self.quality.covariance_times(phi), shift.covariance_times(phi));
        let variance = self.quality.variance_along(phi) + shift.variance_along(phi);
        let information = weight * (p * (1.0 - p)).max(LEAST_VARIANCE);
        let damping = 1.0 + information * variance;
        self.quality.observe(&own, weight * (y - p) / damping, information / damping);
        shift.observe(&shared, weight * (y - p) / damping, information / damping);
        self.scored += 1;
    }

    /// The score is now higher by `change`: the means move as they would have, the covariances know enough.
    pub fn correct(&mut self, shift: &mut Gaussian, phi: &[f64], change: f64, weight: f64) {
        let (own, shared) = (self.quality.covariance_times(phi), shift.covariance_times(phi));
        self.quality.observe(&own, weight * change, 0.0);
        shift.observe(&shared, weight * change, 0.0);
    }

    /// An answer of this length came.
    pub fn settle(&mut self, usage: &Usage, phi: &[f64], verbosity: f64, input_tokens: f64) {
        let output = f64::from(usage.output_tokens).max(1.0);
        let predicted = verbosity + self.tokens.mean_along(phi);
        self.output.add(output, token_prediction(predicted));
        if input_tokens >= 1.0 && usage.input_tokens > 0 {
            self.input.add(f64::from(usage.input_tokens), input_tokens);
        }
        let gain = self.tokens.covariance_times(phi);
        let variance = self.tokens.variance_along(phi) + TOKEN_VARIANCE;
        let limit = TOKEN_SURPRISE * variance.sqrt();
        let surprise = (output.ln() - predicted).clamp(-limit, limit);
        self.tokens.observe(&gain, surprise / variance, 1.0 / variance);
    }
}

fn token_prediction(log_tokens: f64) -> f64 {
    log_tokens.clamp(LOG_TOKENS.0, LOG_TOKENS.1).exp()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prior(d: usize) -> ArmPrior {
        let mut covariance = vec![0.0; d * d];
        (0..d).for_each(|i| covariance[i * d + i] = 0.5);
        ArmPrior {
            known: false,
            mean: vec![0.4; d],
            covariance: covariance.clone(),
            token_mean: vec![5.0; d],
            token_covariance: covariance,
        }
    }

    /// A shift that is known to be 0.
    fn certain(d: usize) -> Gaussian {
        Gaussian { mean: vec![0.0; d], covariance: vec![0.0; d * d] }
    }

    #[test]
    fn scores_move_the_prediction_towards_them_and_make_it_surer() {
        let (mut arm, mut shift) = (Arm::new(&prior(2)), certain(2));
        let phi = [1.0, 0.5];
        let before = arm.outlook(&shift, &phi, 1.0);
        (0..200).for_each(|_| arm.learn(&mut shift, &phi, 0.1, 1.0));
        let after = arm.outlook(&shift, &phi, 1.0);
        assert!(after.quality < before.quality && after.logit_deviation < before.logit_deviation);
        assert!((after.quality - 0.1).abs() < 0.06, "{after:?}");
        assert_eq!(arm.scored, 200);
    }

    #[test]
    fn what_is_common_goes_to_the_shift_and_reaches_the_other_arms() {
        let (mut one, other) = (Arm::new(&prior(2)), Arm::new(&prior(2)));
        let mut shift = Gaussian { mean: vec![0.0; 2], covariance: vec![1.0, 0.0, 0.0, 1.0] };
        let phi = [1.0, 0.0];
        let before = other.outlook(&shift, &phi, 1.0).quality;
        (0..30).for_each(|_| one.learn(&mut shift, &phi, 0.0, 1.0));
        assert!(other.outlook(&shift, &phi, 1.0).quality < before - 0.1);
    }

    #[test]
    fn cost_follows_the_answers_that_came_and_a_price_change_at_once() {
        let mut arm = Arm::new(&prior(2));
        let phi = [1.0, 0.0];
        let usage = Usage { input_tokens: 130, output_tokens: 900, ..Usage::default() };
        (0..300).for_each(|_| arm.settle(&usage, &phi, 0.0, 100.0));
        let price = Price { input: 1.0, output: 10.0, cached_input: None };
        let cost = arm.cost(&price, &phi, 0.0, 100.0);
        assert!((cost / price.cost(&usage) - 1.0).abs() < 0.1, "{cost}");
        let dearer = Price { input: 2.0, output: 20.0, cached_input: None };
        assert!((arm.cost(&dearer, &phi, 0.0, 100.0) / cost - 2.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn variances_stay_positive_and_predictions_are_probabilities(
            scores in prop::collection::vec((prop::array::uniform3(-4.0..4.0_f64), 0.0..=1.0_f64, 0.05..2.0_f64), 1..200)
        ) {
            let (mut arm, mut shift) = (Arm::new(&prior(4)), certain(4));
            shift.covariance = prior(4).covariance;
            for (z, y, weight) in scores {
                let phi = [1.0, z[0], z[1], z[2]];
                arm.learn(&mut shift, &phi, y, weight);
                let outlook = arm.outlook(&shift, &phi, 1.0);
                prop_assert!((0.0..=1.0).contains(&outlook.quality) && outlook.deviation.is_finite());
                prop_assert!(arm.quality.variance_along(&phi) > 0.0);
            }
        }
    }
}
