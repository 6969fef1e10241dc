//! LinUCB: optimism in the face of linear uncertainty.

use super::linear::Regressions;
use super::value;
use crate::difficulty::Context;
use crate::policy::decide::certain;
use crate::policy::solution::greatest;
use crate::policy::{Decision, NoCandidate, Policy, RouteSpec, Settlement};

/// α: deviations of optimism.
const ALPHA: f64 = 0.5;

/// LinUCB with disjoint arms (Li, Chu, Langford & Schapire, 2010, algorithm 1) on quality less cost.
#[derive(Debug)]
pub struct LinUcb {
    regressions: Regressions,
}

impl LinUcb {
    /// Knows nothing yet.
    pub fn new(spec: &RouteSpec) -> Self {
        Self { regressions: Regressions::new(spec) }
    }
}

impl Policy for LinUcb {
    fn name(&self) -> &str {
        "linucb"
    }

    fn configure(&mut self, spec: &RouteSpec) {
        self.regressions.configure(spec);
    }

    fn decide(&mut self, context: &Context, draw: f64) -> Result<Decision, NoCandidate> {
        let predicted = self.regressions.predict(&context.phi);
        if predicted.is_empty() {
            return Err(NoCandidate);
        }
        let best = greatest(predicted.iter().map(|(mean, deviation)| mean + ALPHA * deviation));
        let quality: Vec<f64> = predicted.iter().map(|(mean, _)| *mean).collect();
        Ok(self.regressions.arms.decision(self.name(), context, &quality, &certain(best, quality.len()), draw))
    }

    fn settled(&mut self, _: &Decision, settlement: &Settlement) {
        self.regressions.arms.settled(settlement);
    }

    fn learn(&mut self, decision: &Decision, score: f64) {
        let value = value(&self.regressions.arms.spec);
        self.regressions.learn(decision, score, value);
    }
}
