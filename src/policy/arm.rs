//! One model in one route: what is believed of its quality and of the length of its answers.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::drift::Drift;
use super::form::Form;
use super::gaussian::{Gaussian, dot, quadratic};
use super::logistic::mean_sigmoid;
use crate::catalog::{Price, Usage};
use crate::difficulty::ArmPrior;

/// Process noise per score, in units of the prior's covariance: what was learned 10⁵ scores ago counts little.
const PROCESS_NOISE: f64 = 1e-5;
/// What an alarm adds, in the same units: the next scores are then believed about as much as all before …
const ALARMED: f64 = 0.3;
/// … and what a new version of a model adds to what its parent's scores taught.
const INHERITED: f64 = 0.1;
/// Variance of the intercept between models of one workload and price, in the recorded workloads.
const STRANGER: f64 = 0.75;
/// The least Bernoulli variance that an update assumes, so that a sure prediction can still be corrected.
const LEAST_VARIANCE: f64 = 1e-3;
/// Variance of ln(output tokens) about its regression, as in the recorded workloads.
const TOKEN_VARIANCE: f64 = 0.3;
/// An answer's surprise in length counts for at most this many deviations.
const TOKEN_SURPRISE: f64 = 3.0;
/// ln(output tokens) is predicted within these.
const LOG_TOKENS: (f64, f64) = (-2.0, 11.0);

/// θ | u ~ N(a + M u, S), where u is what all arms of the route share: arms depend on one another through u alone, so that
/// this and u's own Gaussian are the exact posterior of all arms together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    pub quality: Gaussian,
    /// M, d rows of u's length: the prior's before the first score, and shrinking towards 0 as the arm's own scores
    /// come.
    on_shift: Vec<f64>,
    /// The covariance that it began with.
    origin: Vec<f64>,
    /// Regression of ln(output tokens) − verbosity on φ.
    tokens: Gaussian,
    /// Output tokens seen over those predicted.
    output: Ratio,
    /// Input tokens billed over those estimated.
    input: Ratio,
    /// What its scores told, as it was counted when they came.
    told: Told,
    revisions: Revisions,
    /// Answers that somebody judged.
    pub scored: u64,
    pub drift: Drift,
    pub(super) form: Form,
}

/// Decaying sums over the scores that were learned from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Told {
    weight: f64,
    /// Weight times p(1 − p), with p as it was believed then.
    information: f64,
}

impl Told {
    fn add(&mut self, weight: f64, information: f64) {
        let keep = 1.0 - PROCESS_NOISE;
        self.weight = self.weight * keep + weight;
        self.information = self.information * keep + information;
    }
}

/// By how much first scores are revised later, as decaying sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Revisions {
    sum: f64,
    scores: f64,
}

impl Revisions {
    const MEMORY: f64 = 500.0;
    /// Scores at which half of the mean is believed.
    const BELIEF: f64 = 20.0;

    fn score(&mut self) {
        let keep = 1.0 - 1.0 / Self::MEMORY;
        (self.sum, self.scores) = (self.sum * keep, self.scores * keep + 1.0);
    }

    /// What a first score will have changed by at last, on average.
    fn mean(self) -> f64 {
        self.sum / (self.scores + Self::BELIEF)
    }
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

/// What an arm is expected to be worth for one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// p̃ = E σ(θ·φ).
    pub quality: f64,
    /// Derivative of p̃ with respect to the logit.
    pub slope: f64,
    /// Var θ·φ where the shift is known, not widened.
    pub given_shift: f64,
}

impl Arm {
    /// An arm that has not been seen in this route.
    pub fn new(prior: &ArmPrior) -> Self {
        let usual = token_prediction(prior.token_mean.first().copied().unwrap_or(5.0)).min(1e4);
        Self {
            quality: Gaussian::new(prior.mean.clone(), prior.covariance.clone()),
            on_shift: prior.on_shift(),
            origin: prior.covariance.clone(),
            tokens: Gaussian::new(prior.token_mean.clone(), prior.token_covariance.clone()),
            // The mean of a log-normal lies above the exponential of its mean log; ten pseudo-answers say so.
            output: Ratio { seen: 10.0 * usual * (TOKEN_VARIANCE / 2.0).exp(), predicted: 10.0 * usual },
            input: Ratio { seen: 1_000.0, predicted: 1_000.0 },
            told: Told::default(),
            revisions: Revisions::default(),
            scored: 0,
            drift: Drift::default(),
            form: Form::default(),
        }
    }

    /// A newer version of the model `parent`: what was learned still holds, with less certainty.
    pub fn inherit(parent: &Self) -> Self {
        let mut arm = Self { scored: 0, drift: Drift::default(), form: Form::default(), ..parent.clone() };
        arm.widen(INHERITED);
        arm
    }

    /// Its name is known from elsewhere: should its first scores be others than are expected here, it is another model.
    #[must_use]
    pub fn expected(mut self, shift: &Gaussian) -> Self {
        self.drift = Drift::expecting(self.marginal(shift));
        self
    }

    /// What was known of its name does not hold for it: its mean stays, and its level is as unsure as a newcomer's. How it
    /// bears the axes of difficulty is not in question: an arm that doubted all of that as much would take what few prompts
    /// show for a rule.
    fn become_strange(&mut self) {
        self.told = Told::default();
        self.origin[0] = self.origin[0].max(STRANGER);
        self.quality.covariance_mut().copy_from_slice(&self.origin);
    }

    /// Adds `share` of the covariance that the arm began with.
    fn widen(&mut self, share: f64) {
        self.told = Told::default();
        self.quality.covariance_mut().iter_mut().zip(&self.origin).for_each(|(c, o)| *c += share * o);
    }

    /// Forgets `share` of what is known: without further scores, the covariance returns to what it began with, and no
    /// further.
    fn forget(&mut self, share: f64) {
        self.quality.covariance_mut().iter_mut().zip(&self.origin).for_each(|(c, o)| *c += share * (o - *c));
    }

    /// E θ, marginal over the shift.
    pub fn theta(&self, shift: &Gaussian) -> Vec<f64> {
        let rows = self.on_shift.chunks_exact(shift.dim());
        rows.zip(self.quality.mean()).map(|(row, a)| a + dot(row, shift.mean())).collect()
    }

    /// θ marginal over the shift: a Gaussian of its own.
    fn marginal(&self, shift: &Gaussian) -> Gaussian {
        let rows = || self.on_shift.chunks_exact(shift.dim());
        let through: Vec<Vec<f64>> = rows().map(|row| shift.covariance_times(row)).collect();
        let shared = through.iter().flat_map(|left| rows().map(move |row| dot(left, row)));
        let covariance = self.quality.covariance().iter().zip(shared).map(|(own, shared)| own + shared).collect();
        Gaussian::new(self.theta(shift), covariance)
    }

    /// Quality on a request with context `phi`; `widening` ≥ 1 multiplies the variances.
    pub fn outlook(&self, shift: &Gaussian, phi: &[f64], widening: f64) -> Outlook {
        self.outlook_along(shift, phi, &self.loading(phi), widening)
    }

    /// The same with `loading` = Mᵀφ.
    pub fn outlook_along(&self, shift: &Gaussian, phi: &[f64], loading: &[f64], widening: f64) -> Outlook {
        let given_shift = self.quality.variance_along(phi);
        let variance = (given_shift + shift.variance_along(loading)) * widening;
        let quality = mean_sigmoid(self.quality.mean_along(phi) + shift.mean_along(loading), variance);
        Outlook { quality, slope: quality * (1.0 - quality) / (1.0 + PI * variance / 8.0).sqrt(), given_shift }
    }

    fn quality_beside(&self, shift: &Gaussian, phi: &[f64], offset: f64) -> f64 {
        let loading = self.loading(phi);
        let variance = self.quality.variance_along(phi) + shift.variance_along(&loading);
        mean_sigmoid(self.quality.mean_along(phi) + shift.mean_along(&loading) + offset, variance)
    }

    /// Mᵀx: how θ·x moves with the shift.
    pub fn loading(&self, x: &[f64]) -> Vec<f64> {
        let mut loading = vec![0.0; self.on_shift.len() / x.len()];
        self.add_loading(x, &mut loading);
        loading
    }

    /// Adds Mᵀx to `loading`.
    pub fn add_loading(&self, x: &[f64], loading: &mut [f64]) {
        for (row, xi) in self.on_shift.chunks_exact(loading.len()).zip(x) {
            loading.iter_mut().zip(row).for_each(|(sum, m)| *sum += xi * m);
        }
    }

    /// Expected USD of one answer.
    pub fn cost(&self, price: &Price, phi: &[f64], verbosity: f64, input_tokens: f64) -> f64 {
        let input = input_tokens * self.input.value();
        let output = token_prediction(verbosity + self.tokens.mean_along(phi)) * self.output.value();
        (input * price.input + output * price.output) / 1e6
    }

    /// Deviation of the mean of ln(output tokens) on requests of this context: how little is known of the answers'
    /// lengths, not how much they differ.
    pub fn length_deviation(&self, phi: &[f64]) -> f64 {
        self.tokens.variance_along(phi).sqrt()
    }

    /// Somebody judged an answer `y`, in [0, 1], for the first time: has the arm's quality changed? To be asked before
    /// [`Self::learn`].
    pub fn watch(&mut self, shift: &Gaussian, phi: &[f64], y: f64) {
        self.revisions.score();
        let mut drift = std::mem::take(&mut self.drift);
        let expected = drift.expects();
        if drift.hear(phi, y, || (self.marginal(shift), self.revisions.mean())) {
            if expected { self.become_strange() } else { self.widen(ALARMED) }
        }
        self.drift = drift;
    }

    /// What somebody judged is now judged higher by `change`.
    pub fn revised(&mut self, change: f64) {
        self.revisions.sum += change;
    }

    /// A score `y` in [0, 1] of weight `weight`: an extended-Kalman step on the logit, for θ given the shift and for the
    /// shift itself. Arms that were not asked follow the shift.
    pub fn learn(&mut self, shift: &mut Gaussian, phi: &[f64], y: f64, weight: f64) {
        self.learn_beside(shift, phi, y, weight, (0.0, 1.0));
    }

    /// The same of a request on whose like the logit is `offset` higher than φ tells, where the score has a `share` of the
    /// information of one that is certain.
    pub fn learn_beside(
        &mut self,
        shift: &mut Gaussian,
        phi: &[f64],
        y: f64,
        weight: f64,
        (offset, share): (f64, f64),
    ) {
        self.forget(PROCESS_NOISE);
        let p = self.quality_beside(shift, phi, offset);
        let information = weight * share.max(LEAST_VARIANCE) * (p * (1.0 - p)).max(LEAST_VARIANCE);
        self.told.add(weight, information);
        self.observe(shift, phi, weight * (y - p), information);
    }

    /// The score is now higher by `change`: the means move as they would have.
    pub fn correct(&mut self, shift: &mut Gaussian, phi: &[f64], change: f64, weight: f64) {
        self.count_anew(shift, phi);
        let (own, shared) = (self.quality.covariance_times(phi), shift.covariance_times(&self.loading(phi)));
        self.quality.observe(&own, weight * change, 0.0);
        shift.observe(&shared, weight * change, 0.0);
    }

    /// Scores tell little of θ where p is near 0 or 1, as it is while first opinions come that are revised later. Once p
    /// lies elsewhere, they tell more than was counted, and without that the revisions of a few hundred answers would
    /// each move θ as if it were all that is known: along φ, the covariance takes what is missing.
    fn count_anew(&mut self, shift: &mut Gaussian, phi: &[f64]) {
        let Outlook { quality: p, given_shift, .. } = self.outlook(shift, phi, 1.0);
        let missing = self.told.weight * p * (1.0 - p) - self.told.information;
        let counted = 1.0 / given_shift - 1.0 / quadratic(&self.origin, phi);
        if missing > 0.0 && self.told.information > 0.0 && counted > 0.0 {
            let information = missing * (counted / self.told.information).min(1.0);
            self.told.information += information;
            self.observe(shift, phi, 0.0, information);
        }
    }

    /// A Kalman step along φ: `gradient` of the log-likelihood with respect to the logit, and `information` > 0 of it.
    fn observe(&mut self, shift: &mut Gaussian, phi: &[f64], gradient: f64, information: f64) {
        let loading = self.loading(phi);
        let (own, shared) = (self.quality.covariance_times(phi), shift.covariance_times(&loading));
        let (own_variance, shared_variance) = (dot(&own, phi), dot(&shared, &loading));
        let noise = 1.0 / information;
        let surprise = gradient * noise;
        let (all, given) = (own_variance + shared_variance + noise, own_variance + noise);
        let known = dot(&loading, shift.mean());
        self.quality.observe(&own, (known + surprise) / given, 1.0 / given);
        for (row, s) in self.on_shift.chunks_exact_mut(loading.len()).zip(&own) {
            row.iter_mut().zip(&loading).for_each(|(m, h)| *m -= s / given * h);
        }
        shift.observe(&shared, surprise / all, 1.0 / all);
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
            price: 0.0,
            token_mean: vec![5.0; d],
            token_covariance: covariance,
        }
    }

    /// What arms of `d` weights share: a shift of this variance in each of them, and of `price` in the slope on price.
    fn shared(d: usize, variance: f64, price: f64) -> Gaussian {
        let mut covariance = vec![0.0; (d + 1) * (d + 1)];
        (0..=d).for_each(|i| covariance[i * (d + 2)] = if i < d { variance } else { price });
        Gaussian::about_zero(covariance)
    }

    /// A shift that is known to be 0.
    fn certain(d: usize) -> Gaussian {
        shared(d, 0.0, 0.0)
    }

    #[test]
    fn scores_move_the_prediction_towards_them_and_make_it_surer() {
        let (mut arm, mut shift) = (Arm::new(&prior(2)), certain(2));
        let phi = [1.0, 0.5];
        let (before, wide) = (arm.outlook(&shift, &phi, 1.0), arm.quality.variance_along(&phi));
        (0..200).for_each(|_| arm.learn(&mut shift, &phi, 0.1, 1.0));
        let after = arm.outlook(&shift, &phi, 1.0);
        assert!(after.quality < before.quality);
        assert!(arm.quality.variance_along(&phi) < wide / 10.0);
        assert!((after.quality - 0.1).abs() < 0.06, "{after:?}");
    }

    #[test]
    fn a_model_that_belies_its_name_doubts_its_level_and_not_how_prompts_differ() {
        let mut arm = Arm::new(&ArmPrior { covariance: vec![0.01, 0.004, 0.004, 0.2], ..prior(2) });
        arm.learn(&mut certain(2), &[1.0, 0.5], 0.1, 1.0);
        arm.become_strange();
        assert_eq!(arm.quality.covariance(), [STRANGER, 0.004, 0.004, 0.2]);
    }

    #[test]
    fn what_is_common_goes_to_the_shift_and_reaches_the_other_arms() {
        let (mut one, other) = (Arm::new(&prior(2)), Arm::new(&prior(2)));
        let mut shift = shared(2, 1.0, 0.0);
        let phi = [1.0, 0.0];
        let before = other.outlook(&shift, &phi, 1.0).quality;
        (0..30).for_each(|_| one.learn(&mut shift, &phi, 0.0, 1.0));
        assert!(other.outlook(&shift, &phi, 1.0).quality < before - 0.1);
    }

    #[test]
    fn a_dear_model_that_is_bad_speaks_against_dear_models() {
        let priced = |price| Arm::new(&ArmPrior { price, ..prior(2) });
        let (mut dear, other, cheap) = (priced(1.0), priced(1.0), priced(-1.0));
        let mut shift = shared(2, 0.0, 1.0);
        let phi = [1.0, 0.0];
        let before = other.outlook(&shift, &phi, 1.0).quality;
        (0..30).for_each(|_| dear.learn(&mut shift, &phi, 0.0, 1.0));
        assert!(other.outlook(&shift, &phi, 1.0).quality < before - 0.1);
        assert!(cheap.outlook(&shift, &phi, 1.0).quality > before + 0.1);
    }

    #[test]
    fn cost_follows_the_answers_that_came_and_a_price_change_at_once() {
        let mut arm = Arm::new(&prior(2));
        let phi = [1.0, 0.0];
        let usage = Usage { input_tokens: 130, output_tokens: 900, ..Usage::default() };
        (0..300).for_each(|_| arm.settle(&usage, &phi, 0.0, 100.0));
        let price = Price::of(1.0, 10.0);
        let cost = arm.cost(&price, &phi, 0.0, 100.0);
        assert!((cost / price.cost(&usage) - 1.0).abs() < 0.1, "{cost}");
        let dearer = Price::of(2.0, 20.0);
        assert!((arm.cost(&dearer, &phi, 0.0, 100.0) / cost - 2.0).abs() < 1e-9);
    }

    /// θ₁ and θ₂ as one Gaussian vector, stepped by the textbook Kalman filter.
    #[test]
    fn the_factored_posterior_is_the_joint_one() {
        let priced = |price| Arm::new(&ArmPrior { price, ..prior(1) });
        let (mut one, mut two) = (priced(1.0), priced(-1.0));
        let mut shift = shared(1, 1.5, 0.3);
        // θ₁ = 0.4 + own + u + v, and θ₂ = 0.4 + own + u − v: variances 0.5 + 1.5 + 0.3, covariance 1.5 − 0.3.
        let mut joint = Gaussian::new(vec![0.4, 0.4], vec![2.3, 1.2, 1.2, 2.3]);
        for (arm, y) in [(0, 1.0), (0, 0.0), (1, 0.0), (0, 1.0), (1, 0.3), (1, 1.0)] {
            // What is the arm's own goes back towards the 0.5 that it was.
            joint.covariance_mut()[3 * arm] += PROCESS_NOISE * (0.5 - [&one, &two][arm].quality.covariance()[0]);
            let x = [f64::from(u8::from(arm == 0)), f64::from(u8::from(arm == 1))];
            let p = mean_sigmoid(joint.mean_along(&x), joint.variance_along(&x));
            let information = p * (1.0 - p);
            let damping = 1.0 + information * joint.variance_along(&x);
            let gain = joint.covariance_times(&x);
            joint.observe(&gain, (y - p) / damping, information / damping);
            [&mut one, &mut two][arm].learn(&mut shift, &[1.0], y, 1.0);
        }
        for (i, arm) in [&one, &two].into_iter().enumerate() {
            let loading = arm.loading(&[1.0]);
            let mean = arm.quality.mean()[0] + shift.mean_along(&loading);
            let variance = arm.quality.covariance()[0] + shift.variance_along(&loading);
            assert!((mean - joint.mean()[i]).abs() < 1e-9, "{mean} {:?}", joint.mean());
            assert!((variance - joint.covariance()[3 * i]).abs() < 1e-9, "{variance} {:?}", joint.covariance());
        }
    }

    proptest! {
        #[test]
        fn variances_stay_positive_and_predictions_are_probabilities(
            scores in prop::collection::vec((prop::array::uniform3(-4.0..4.0_f64), 0.0..=1.0_f64, 0.05..2.0_f64), 1..200)
        ) {
            let (mut arm, mut shift) = (Arm::new(&ArmPrior { price: 0.7, ..prior(4) }), shared(4, 0.5, 0.1));
            for (z, y, weight) in scores {
                let phi = [1.0, z[0], z[1], z[2]];
                arm.learn(&mut shift, &phi, y, weight);
                let outlook = arm.outlook(&shift, &phi, 1.0);
                prop_assert!((0.0..=1.0).contains(&outlook.quality) && outlook.slope.is_finite());
                prop_assert!(arm.quality.variance_along(&phi) > 0.0);
            }
        }
    }
}
