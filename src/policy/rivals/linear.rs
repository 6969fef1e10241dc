//! Ridge regression of utility on φ, one per arm: what LinUCB and SquareCB have in common.

use super::Arms;
use crate::policy::gaussian::{Gaussian, identity};
use crate::policy::{Decision, RouteSpec};

/// λ: the ridge.
const RIDGE: f64 = 1.0;

/// One regression per arm, as a Gaussian belief with unit noise: mean θ̂ and covariance A⁻¹, A = λI + Σφφᵀ.
#[derive(Debug, Clone)]
pub(super) struct Regressions {
    pub(super) arms: Arms,
    beliefs: Vec<Option<Gaussian>>,
}

impl Regressions {
    pub(super) fn new(spec: &RouteSpec) -> Self {
        Self { beliefs: vec![None; spec.arms.len()], arms: Arms::new(spec) }
    }

    pub(super) fn configure(&mut self, spec: &RouteSpec) {
        let kept = |arm: &str| self.arms.spec.arm_index(arm).and_then(|k| self.beliefs[k].clone());
        self.beliefs = spec.arms.iter().map(|arm| kept(&arm.arm)).collect();
        self.arms.configure(spec);
    }

    /// θ̂·φ and √(φᵀA⁻¹φ) of each arm.
    pub(super) fn predict(&self, phi: &[f64]) -> Vec<(f64, f64)> {
        let flat = |phi: &[f64]| (phi.iter().map(|x| x * x).sum::<f64>() / RIDGE).sqrt();
        let one = |belief: &Option<Gaussian>| match belief {
            Some(belief) => (belief.mean_along(phi), belief.variance_along(phi).sqrt()),
            None => (0.0, flat(phi)),
        };
        self.beliefs.iter().map(one).collect()
    }

    pub(super) fn learn(&mut self, decision: &Decision, score: f64, value: f64) {
        let Some((arm, utility)) = self.arms.utility(decision, score, value) else { return };
        let belief = self.beliefs[arm].get_or_insert_with(|| ridge(decision.phi.len()));
        let gain = belief.covariance_times(&decision.phi);
        let damping = 1.0 + belief.variance_along(&decision.phi);
        let surprise = utility - belief.mean_along(&decision.phi);
        belief.observe(&gain, surprise / damping, 1.0 / damping);
    }
}

fn ridge(d: usize) -> Gaussian {
    Gaussian::about_zero(identity(d).into_iter().map(|one| one / RIDGE).collect())
}
