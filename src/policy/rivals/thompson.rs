//! Thompson sampling that does not look at the request: one Beta belief per model.

use super::{Arms, value};
use crate::difficulty::Context;
use crate::policy::propensity;
use crate::policy::{Decision, NoCandidate, Policy, RouteSpec, Settlement};

/// Scores so far, as a Beta distribution's parameters.
#[derive(Debug, Clone, Copy)]
struct Beta {
    good: f64,
    bad: f64,
}

impl Beta {
    const UNIFORM: Self = Self { good: 1.0, bad: 1.0 };

    fn mean(self) -> f64 {
        self.good / (self.good + self.bad)
    }

    fn deviation(self) -> f64 {
        let n = self.good + self.bad;
        (self.mean() * (1.0 - self.mean()) / (n + 1.0)).sqrt()
    }
}

/// Task-blind Thompson sampling (Thompson, 1933) on quality less cost, with a normal approximation of the Betas.
#[derive(Debug)]
pub struct TaskBlind {
    arms: Arms,
    beliefs: Vec<Beta>,
}

impl TaskBlind {
    /// Knows nothing yet.
    pub fn new(spec: &RouteSpec) -> Self {
        Self { beliefs: vec![Beta::UNIFORM; spec.arms.len()], arms: Arms::new(spec) }
    }
}

impl Policy for TaskBlind {
    fn name(&self) -> &str {
        "task-blind thompson"
    }

    fn configure(&mut self, spec: &RouteSpec) {
        let kept = |arm: &str| self.arms.spec.arm_index(arm).map_or(Beta::UNIFORM, |k| self.beliefs[k]);
        self.beliefs = spec.arms.iter().map(|arm| kept(&arm.arm)).collect();
        self.arms.configure(spec);
    }

    fn decide(&mut self, context: &Context, draw: f64) -> Result<Decision, NoCandidate> {
        let value = value(&self.arms.spec);
        let quality: Vec<f64> = self.beliefs.iter().map(|belief| belief.mean()).collect();
        let utility: Vec<f64> = quality.iter().enumerate().map(|(k, q)| q - self.arms.cost(k) / value).collect();
        let deviation: Vec<f64> = self.beliefs.iter().map(|belief| belief.deviation()).collect();
        match utility.len() {
            0 => Err(NoCandidate),
            _ => {
                let propensities = propensity::greatest(&utility, &deviation);
                Ok(self.arms.decision(self.name(), context, &quality, &propensities, draw))
            }
        }
    }

    fn settled(&mut self, _: &Decision, settlement: &Settlement) {
        self.arms.settled(settlement);
    }

    fn learn(&mut self, decision: &Decision, score: f64) {
        if let Some(arm) = self.arms.spec.arm_index(&decision.candidates[decision.chosen].arm) {
            let belief = &mut self.beliefs[arm];
            (belief.good, belief.bad) = (belief.good + score, belief.bad + 1.0 - score);
        }
    }
}
