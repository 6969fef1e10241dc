//! Which model answers: [`Decision`], the immutable [`Snapshot`], pure [`decide`] and [`Snapshot::learn`].

mod arm;
mod audit;
mod contract;
mod controller;
mod decide;
mod drift;
mod gaussian;
mod logistic;
mod measured;
mod mixture;
mod ours;
mod propensity;
pub mod rivals;
mod sequence;
mod snapshot;
mod solution;
mod spec;
mod window;

use serde::{Deserialize, Serialize};

pub use arm::{Arm, Outlook};
pub use audit::Audit;
pub use contract::Policy;
pub use controller::{Controller, Schedule};
pub use decide::decide;
pub use drift::{Drift, SCORES_BETWEEN_FALSE_ALARMS};
pub use gaussian::Gaussian;
pub use measured::{Measured, Spending};
pub use ours::Satisficing;
pub use sequence::{FIRST_LOOK, Sequence};
pub use snapshot::{RouteState, Snapshot, bundle_key};
pub use solution::{Solution, Summary};
pub use spec::{ArmSpec, Ask, Knob, Reward, RouteSpec, SegmentSpec, Settlement};
pub use window::Window;

use crate::catalog::Name;

/// No arm of the route may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no model of the route may answer this request")]
pub struct NoCandidate;

/// Why this model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The drawn arm is the one that the posterior means prefer.
    Exploit,
    /// The drawn arm is another one.
    Explore,
    /// The client named the model, or a calibration did.
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
    pub arm: Name,
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
    pub policy: Name,
    pub snapshot_version: u64,
    /// The segment whose controller decided; `None`: the route's own.
    pub segment: Option<String>,
    pub knob: Knob,
    pub phi: Vec<f64>,
    pub widening: f64,
    /// ln of the answer's expected length beside the model's usual.
    pub verbosity: f64,
    /// Prompt tokens, estimated.
    pub input_tokens: u32,
    pub difficulty: f32,
    pub candidates: Vec<Candidate>,
    /// The arm that the posterior means prefer: an index into `candidates`.
    pub preferred: usize,
    /// The arm that was drawn: an index into `candidates`.
    pub chosen: usize,
    /// The uniform draw in [0, 1) that chose it.
    pub draw: f64,
}

impl Decision {
    /// Nothing was decided: an answer that was given before is given again. `how` stands for the policy. Has no
    /// candidates, and nobody learns from it.
    pub fn cached(how: &str, segment: Option<&str>, knob: Knob, snapshot_version: u64) -> Self {
        Self {
            kind: Kind::Cache,
            policy: how.into(),
            snapshot_version,
            segment: segment.map(str::to_owned),
            knob,
            phi: vec![],
            widening: 1.0,
            verbosity: 0.0,
            input_tokens: 0,
            difficulty: 0.0,
            candidates: vec![],
            preferred: 0,
            chosen: 0,
            draw: 0.0,
        }
    }

    /// The same request and predictions, with the candidate `chosen` named by `policy`: certain, not drawn. The route's
    /// controller does not count it; its arms learn from it.
    #[must_use]
    pub fn pinned(mut self, policy: &str, chosen: usize) -> Self {
        let propensities = decide::certain(chosen, self.candidates.len());
        self.candidates.iter_mut().zip(propensities).for_each(|(candidate, p)| candidate.propensity = p);
        Self { kind: Kind::Pinned, policy: policy.into(), chosen, draw: 0.0, ..self }
    }
}
