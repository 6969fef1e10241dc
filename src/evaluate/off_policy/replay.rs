//! Policies that learn as they go, replayed over the log.
//!
//! Before request i a policy has learned from the logged answers to the requests before it, whoever chose them: its
//! probabilities π′ᵢ follow from the past alone, so that wᵢ = π′ᵢ(aᵢ)/π(aᵢ) weighs row i as it does a fixed policy's, and
//! what is estimated is the mean over the log of what the policy was worth at each request. Had the policy itself
//! chosen, it would have learned from other answers: the log's exploration is part of its education.

use super::target::Target;
use super::{Outcome, Row};
use crate::catalog::Price;
use crate::difficulty::train::{self, prices};
use crate::policy::{ArmSpec, Decision, Knob, Policy, RouteSpec, Settlement};

/// A policy that has no controller: one that steers by its own spend or quality would hear of the logged policy's.
#[derive(Debug, Clone)]
pub struct Replay {
    make: fn(&RouteSpec) -> Box<dyn Policy>,
    spec: RouteSpec,
}

impl Replay {
    /// A policy of a route of all models that are among the candidates of `rows`, at the prices that their calls show.
    /// It answers those rows of which all of them were candidates, and learns from all. Scores come at once.
    pub fn new(rows: &[Row], knob: Knob, make: fn(&RouteSpec) -> Box<dyn Policy>) -> Self {
        let mut names: Vec<&str> = rows.iter().flat_map(|row| &row.candidates).map(|one| one.arm.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let arm = |name: &str| ArmSpec { arm: name.to_owned(), price: price(rows, name), context_window: None };
        let arms = names.into_iter().map(arm).collect();
        Self { make, spec: RouteSpec { name: "replayed".into(), knob, explore: true, arms, segments: Vec::new() } }
    }

    fn probabilities(&self, decision: &Decision, row: &Row) -> Option<Vec<f64>> {
        let of = |arm: &str| decision.candidates.iter().find(|one| one.arm == arm).map(|one| one.propensity);
        let asked = row.candidates.iter().map(|candidate| of(&candidate.arm)).collect();
        (row.candidates.len() == self.spec.arms.len()).then_some(asked).flatten()
    }
}

impl Target for Replay {
    fn over(&self, rows: &[Row]) -> Vec<Option<Vec<f64>>> {
        let mut policy = (self.make)(&self.spec);
        let mut next = |row: &Row| {
            // The draw chooses nothing that counts: the answer is the logged one.
            let decision = policy.decide(&row.context, 0.0).ok()?;
            let probabilities = self.probabilities(&decision, row);
            learn(&mut *policy, decision, row);
            probabilities
        };
        rows.iter().map(&mut next).collect()
    }
}

/// What came of the logged answer, as if the policy had asked for it.
fn learn(policy: &mut dyn Policy, decision: Decision, row: &Row) {
    let Some(arm) = row.answered.map(|answered| row.candidates[answered].arm.clone()) else { return };
    let Some(chosen) = decision.candidates.iter().position(|candidate| candidate.arm == arm) else { return };
    let decision = Decision { chosen, ..decision };
    policy.settled(&decision, &Settlement { arm, usage: row.usage, cost_usd: row.cost_usd });
    if let Some(quality) = row.quality {
        policy.learn(&decision, quality);
    }
}

/// `None` where no call of the model tells its price.
fn price(rows: &[Row], name: &str) -> Option<Price> {
    let call = |row: &Row| {
        let of_it = row.answered.is_some_and(|answered| row.candidates[answered].arm == name);
        let (usage, cost_usd) = (row.usage.filter(|_| of_it)?, Outcome::Cost.observed(row)?);
        Some(train::Outcome {
            arm: 0,
            quality: 0.0,
            cost_usd,
            input_tokens: f64::from(usage.input_tokens),
            output_tokens: f64::from(usage.output_tokens),
            said: None,
            weight: 1.0,
        })
    };
    let calls: Vec<train::Outcome> = rows.iter().filter_map(call).collect();
    let (input, output) = prices(&calls);
    (!calls.is_empty()).then(|| Price::of(input, output))
}
