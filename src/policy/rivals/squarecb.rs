//! SquareCB: inverse gap weighting over a regression.

use super::linear::Regressions;
use super::value;
use crate::difficulty::Context;
use crate::policy::solution::greatest;
use crate::policy::{Decision, NoCandidate, Policy, RouteSpec, Settlement};

/// γ at request t is this times √(K·t).
const GAMMA: f64 = 10.0;

/// SquareCB (Foster & Rakhlin, 2020, arXiv 2002.04926, algorithm 1) on quality less cost.
#[derive(Debug)]
pub struct SquareCb {
    regressions: Regressions,
    requests: f64,
}

impl SquareCb {
    /// Knows nothing yet.
    pub fn new(spec: &RouteSpec) -> Self {
        Self { regressions: Regressions::new(spec), requests: 0.0 }
    }
}

impl Policy for SquareCb {
    fn name(&self) -> &str {
        "squarecb"
    }

    fn configure(&mut self, spec: &RouteSpec) {
        self.regressions.configure(spec);
    }

    fn decide(&mut self, context: &Context, draw: f64) -> Result<Decision, NoCandidate> {
        let reward: Vec<f64> = self.regressions.predict(&context.phi).into_iter().map(|(mean, _)| mean).collect();
        if reward.is_empty() {
            return Err(NoCandidate);
        }
        self.requests += 1.0;
        let propensities = inverse_gap(&reward, GAMMA * (reward.len() as f64 * self.requests).sqrt());
        Ok(self.regressions.arms.decision(self.name(), context, &reward, &propensities, draw))
    }

    fn settled(&mut self, _: &Decision, settlement: &Settlement) {
        self.regressions.arms.settled(settlement);
    }

    fn learn(&mut self, decision: &Decision, score: f64) {
        let value = value(&self.regressions.arms.spec);
        self.regressions.learn(decision, score, value);
    }
}

/// 1 / (K + γ · gap) for each arm but the best, which has the rest.
fn inverse_gap(reward: &[f64], gamma: f64) -> Vec<f64> {
    let best = greatest(reward.iter().copied());
    let k = reward.len() as f64;
    let mut out: Vec<f64> = reward.iter().map(|r| 1.0 / (k + gamma * (reward[best] - r))).collect();
    out[best] = 0.0;
    out[best] = 1.0 - out.iter().sum::<f64>();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_divides_the_chance() {
        let p = inverse_gap(&[1.0, 0.5, 1.0], 4.0);
        assert_eq!((p[1], p[2]), (0.2, 1.0 / 3.0));
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
