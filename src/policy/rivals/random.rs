//! Any model, with the same chance.

use super::Arms;
use crate::difficulty::Context;
use crate::policy::{Decision, NoCandidate, Policy, RouteSpec, Settlement};

/// A uniform choice.
#[derive(Debug)]
pub struct Random {
    arms: Arms,
}

impl Random {
    /// Over the arms of `spec`.
    pub fn new(spec: &RouteSpec) -> Self {
        Self { arms: Arms::new(spec) }
    }
}

impl Policy for Random {
    fn name(&self) -> &str {
        "random"
    }

    fn configure(&mut self, spec: &RouteSpec) {
        self.arms.configure(spec);
    }

    fn decide(&mut self, context: &Context, draw: f64) -> Result<Decision, NoCandidate> {
        match self.arms.spec.arms.len() {
            0 => Err(NoCandidate),
            n => Ok(self.arms.decision("random", context, &vec![0.0; n], &vec![1.0 / n as f64; n], draw)),
        }
    }

    fn settled(&mut self, _: &Decision, settlement: &Settlement) {
        self.arms.settled(settlement);
    }

    fn learn(&mut self, _: &Decision, _: f64) {}
}
