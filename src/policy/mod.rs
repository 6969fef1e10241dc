//! Which model answers: [`Decision`], the immutable [`Snapshot`], pure [`decide`] and [`learn`].

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::catalog::{Price, Usage};
use crate::difficulty::Context;

/// What the policy knows of all routes at one moment. Cheap to clone; changed by value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Counts the changes.
    pub version: u64,
    pub routes: BTreeMap<String, Arc<RouteState>>,
}

/// One route's arms and controller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteState {
    pub spec: RouteSpec,
}

/// A route as configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteSpec {
    pub name: String,
    pub knob: Knob,
    /// False: always the arm that the posterior means prefer; π is then 1 for it.
    pub explore: bool,
    pub arms: Vec<ArmSpec>,
}

/// A model as an arm of a route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmSpec {
    /// The configured model name; unique within a route.
    pub arm: String,
    pub price: Option<Price>,
    pub context_window: Option<u32>,
}

/// What a finished call cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    /// The arm that answered.
    pub arm: String,
    pub usage: Option<Usage>,
    /// All billed attempts.
    pub cost_usd: Option<f64>,
}

/// What is believed of one answer's quality so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Reward {
    /// Nothing yet: missing is not zero.
    Unknown,
    /// Well formed, and judged by nobody: balances the malformed ones, which are scored 0.
    WellFormed,
    /// `value` in [0, 1]; `weight` > 0: how much it counts beside a client's own score (1).
    Scored { value: f64, weight: f64 },
}

/// No arm of the route may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no model of the route may answer this request")]
pub struct NoCandidate;

/// Chooses an arm of `route` among those whose index in `spec.arms` `eligible` names.
///
/// Pure: `draw`, uniform in [0, 1), is the only chance. `knob`: this request's own, in place of the route's.
///
/// # Errors
/// [`NoCandidate`] if `eligible` is empty.
pub fn decide(
    snapshot: &Snapshot,
    route: &RouteState,
    context: &Context,
    eligible: &[usize],
    knob: Option<Knob>,
    draw: f64,
) -> Result<Decision, NoCandidate> {
    let chosen = ((draw * eligible.len() as f64) as usize).min(eligible.len().saturating_sub(1));
    if eligible.is_empty() {
        return Err(NoCandidate);
    }
    let candidates = eligible
        .iter()
        .map(|&i| Candidate {
            arm: route.spec.arms[i].arm.clone(),
            quality: 0.5,
            cost_usd: 0.0,
            propensity: 1.0 / eligible.len() as f64,
        })
        .collect();
    Ok(Decision {
        kind: Kind::Explore,
        policy: "random".into(),
        snapshot_version: snapshot.version,
        knob: knob.unwrap_or(route.spec.knob),
        phi: context.phi.clone(),
        widening: context.widening,
        difficulty: context.difficulty,
        candidates,
        chosen,
        draw,
    })
}

impl Snapshot {
    /// Routes as configured from here on: new arms start from the prior, arms that stay keep what they learned.
    pub fn configure(mut self, specs: &[RouteSpec]) -> Self {
        self.version += 1;
        self.routes = specs.iter().map(|s| (s.name.clone(), Arc::new(RouteState { spec: s.clone() }))).collect();
        self
    }

    /// The controller hears of a decision.
    pub fn decided(mut self, _route: &str, _decision: &Decision) -> Self {
        self.version += 1;
        self
    }

    /// Cost and tokens of the answer.
    pub fn settled(mut self, _route: &str, _decision: &Decision, _settlement: &Settlement) -> Self {
        self.version += 1;
        self
    }

    /// An answer by `arm` was believed to be `was` and now is `now`: the posterior follows. A revision corrects what
    /// the first score did.
    pub fn learn(mut self, _route: &str, _decision: &Decision, _arm: &str, _was: Reward, _now: Reward) -> Self {
        self.version += 1;
        self
    }
}

/// The cost-quality knob.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Knob {
    /// Keep at least this share (0 to 1) of the best model's measured quality, as cheaply as possible.
    Quality(f64),
    /// The best quality for at most this many USD per 1,000 requests.
    BudgetPer1k(f64),
}

/// Why this model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The drawn arm is the one that the posterior means prefer.
    Exploit,
    /// The drawn arm is another one.
    Explore,
    /// The client named the model.
    Pinned,
    /// The first choice failed, or nothing could be assessed: the route's safest model.
    Fallback,
    /// No model was asked.
    Cache,
}

/// One candidate as the policy saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The model's name within its route (the arm).
    pub arm: String,
    /// p̃: posterior predictive quality, 0 to 1.
    pub quality: f64,
    /// ĉ: predicted USD.
    pub cost_usd: f64,
    /// π: the probability with which this arm was drawn. They sum to 1.
    pub propensity: f64,
}

/// A choice and all that is needed to replay it and to learn from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    pub kind: Kind,
    /// The policy's name, such as `thompson`.
    pub policy: String,
    pub snapshot_version: u64,
    pub knob: Knob,
    pub phi: Vec<f64>,
    pub widening: f64,
    pub difficulty: f32,
    pub candidates: Vec<Candidate>,
    /// Index into `candidates`.
    pub chosen: usize,
    /// The uniform draw in [0, 1) that chose it.
    pub draw: f64,
}
