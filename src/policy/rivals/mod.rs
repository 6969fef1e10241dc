//! Policies in use elsewhere, for comparison: anybody can rerun every claim of ours against these.
//!
//! They weigh quality against cost at a fixed exchange rate, or do not weigh it at all; none has a controller.

mod fixed;
mod linear;
mod linucb;
mod random;
mod squarecb;
mod thompson;

pub use fixed::Fixed;
pub use linucb::LinUcb;
pub use random::Random;
pub use squarecb::SquareCb;
pub use thompson::TaskBlind;

use super::decide::pick;
use super::solution::greatest;
use super::{Candidate, Decision, Kind, Knob, RouteSpec, Settlement};
use crate::difficulty::Context;

/// Tokens of an answer before the first was seen.
const USUAL_OUTPUT: f64 = 200.0;

/// What one arm's answers cost on average.
#[derive(Debug, Clone, Copy)]
struct MeanCost {
    usd: f64,
    answers: f64,
}

/// The arms of a route as the rivals see them: names, and the mean cost of an answer of each.
#[derive(Debug, Clone)]
struct Arms {
    spec: RouteSpec,
    cost: Vec<MeanCost>,
}

impl Arms {
    fn new(spec: &RouteSpec) -> Self {
        let usual = |output: f64| MeanCost { usd: output * USUAL_OUTPUT / 1e6, answers: 1.0 };
        Self { cost: spec.prices().iter().map(|price| usual(price.output)).collect(), spec: spec.clone() }
    }

    /// Arms that stay keep their mean, scaled to their new price.
    fn configure(&mut self, spec: &RouteSpec) {
        let (mut fresh, before) = (Self::new(spec), self.spec.prices());
        for (i, (arm, price)) in spec.arms.iter().zip(spec.prices()).enumerate() {
            if let Some(k) = self.spec.arm_index(&arm.arm) {
                let factor = price.output / before[k].output.max(1e-12);
                fresh.cost[i] = MeanCost { usd: self.cost[k].usd * factor, ..self.cost[k] };
            }
        }
        *self = fresh;
    }

    fn settled(&mut self, settlement: &Settlement) {
        if let (Some(arm), Some(usd)) = (self.spec.arm_index(&settlement.arm), settlement.cost_usd) {
            let mean = &mut self.cost[arm];
            (mean.usd, mean.answers) = (mean.usd + usd, mean.answers + 1.0);
        }
    }

    /// Mean USD of an answer.
    fn cost(&self, arm: usize) -> f64 {
        self.cost[arm].usd / self.cost[arm].answers
    }

    /// The arm that answered, and its score as a utility at `value` USD per unit of quality, in units of quality.
    fn utility(&self, decision: &Decision, score: f64, value: f64) -> Option<(usize, f64)> {
        let arm = self.spec.arm_index(&decision.candidates[decision.chosen].arm)?;
        Some((arm, score - self.cost(arm) / value))
    }

    /// The decision that draws from `propensities`, one per arm; `quality` is what the policy expects.
    fn decision(&self, name: &str, context: &Context, quality: &[f64], propensities: &[f64], draw: f64) -> Decision {
        let candidate = |i: usize| Candidate {
            arm: self.spec.arms[i].arm.as_str().into(),
            quality: quality[i],
            cost_usd: self.cost(i),
            propensity: propensities[i],
        };
        let preferred = greatest(propensities.iter().copied());
        let chosen = pick(propensities, draw);
        Decision {
            kind: if chosen == preferred { Kind::Exploit } else { Kind::Explore },
            policy: name.into(),
            snapshot_version: 0,
            segment: None,
            knob: self.spec.knob,
            phi: context.phi.clone(),
            widening: context.widening,
            verbosity: context.verbosity,
            input_tokens: context.input_tokens,
            difficulty: context.difficulty,
            candidates: (0..self.spec.arms.len()).map(candidate).collect(),
            preferred,
            chosen,
            draw,
            audit: None,
            consult: None,
        }
    }
}

/// USD that a unit of quality is worth at the route's knob; a bar or a budget does not say, and then quality is all
/// that counts.
fn value(spec: &RouteSpec) -> f64 {
    match spec.knob {
        Knob::Value(usd) => usd,
        Knob::Quality(_) | Knob::BudgetPer1k(_) => f64::INFINITY,
    }
}
