//! Always the same model.

use super::Arms;
use crate::difficulty::Context;
use crate::policy::decide::certain;
use crate::policy::{Decision, NoCandidate, Policy, RouteSpec, Settlement};

/// Always one model: a named one, or the one with the lowest price.
#[derive(Debug)]
pub struct Fixed {
    name: String,
    /// `None`: the cheapest.
    model: Option<String>,
    arms: Arms,
}

impl Fixed {
    /// Always `model`; the cheapest of those that are left, once it is gone.
    pub fn model(spec: &RouteSpec, model: &str) -> Self {
        Self { name: format!("always {model}"), model: Some(model.to_owned()), arms: Arms::new(spec) }
    }

    /// Always the model with the lowest price.
    pub fn cheapest(spec: &RouteSpec) -> Self {
        Self { name: "cheapest".into(), model: None, arms: Arms::new(spec) }
    }

    fn arm(&self) -> Option<usize> {
        let named = self.model.as_ref().and_then(|model| self.arms.spec.arm_index(model));
        named.or_else(|| {
            let prices = self.arms.spec.prices();
            (0..prices.len()).min_by(|a, b| prices[*a].blended().total_cmp(&prices[*b].blended()))
        })
    }
}

impl Policy for Fixed {
    fn name(&self) -> &str {
        &self.name
    }

    fn configure(&mut self, spec: &RouteSpec) {
        self.arms.configure(spec);
    }

    fn decide(&mut self, context: &Context, draw: f64) -> Result<Decision, NoCandidate> {
        let n = self.arms.spec.arms.len();
        let propensities = certain(self.arm().ok_or(NoCandidate)?, n);
        Ok(self.arms.decision(&self.name, context, &vec![0.0; n], &propensities, draw))
    }

    fn settled(&mut self, _: &Decision, settlement: &Settlement) {
        self.arms.settled(settlement);
    }

    fn learn(&mut self, _: &Decision, _: f64) {}
}
