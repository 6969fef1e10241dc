//! Which model answers: [`Decision`], the immutable [`Snapshot`], pure [`decide`] and [`Snapshot::learn`].

mod arm;
mod audit;
mod contract;
mod controller;
mod decide;
mod drift;
mod forecast;
mod form;
mod gaussian;
mod logistic;
mod measured;
mod mixture;
mod moments;
mod newcomer;
mod ours;
mod pairs;
mod panel;
mod propensity;
mod retired;
pub mod rivals;
mod route_state;
mod sequence;
mod snapshot;
mod solution;
mod spec;
mod window;

use serde::{Deserialize, Serialize};

pub use arm::{Arm, Outlook};
pub use audit::{Audit, Measure};
pub use contract::Policy;
pub use controller::{Controller, Schedule};
pub use decide::decide;
pub use drift::{Drift, SCORES_BETWEEN_FALSE_ALARMS};
pub use forecast::Summary;
pub use gaussian::Gaussian;
pub use logistic::sigmoid;
pub use measured::{Measured, Spending};
pub use ours::Satisficing;
pub use panel::{Consult, Panel, Verdict};
pub use route_state::RouteState;
pub use sequence::{FIRST_LOOK, Sequence};
pub use snapshot::{Snapshot, bundle_key};
pub use solution::Solution;
pub use spec::{ArmSpec, Ask, Knob, Reward, RouteSpec, SegmentSpec, Settlement, Warm};
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
    /// The best model was asked what another one had answered, to compare the two; no client saw it.
    Shadow,
}

impl Kind {
    /// As headers, metrics and traces print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exploit => "exploit",
            Self::Explore => "explore",
            Self::Pinned => "pinned",
            Self::Fallback => "fallback",
            Self::Cache => "cache",
            Self::Shadow => "shadow",
        }
    }

    /// What a policy decided for a client: neither asked for by name nor a second answer.
    pub fn is_traffic(self) -> bool {
        !matches!(self, Self::Pinned | Self::Shadow)
    }
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
    /// The request belongs to the sample on which the route is compared with its best model; set for that model's
    /// answer too.
    pub audit: Option<Audited>,
    /// `None`: nobody may be asked before the drawn arm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consult: Option<Consult>,
}

/// How a request came into the sample on which a route is compared with its best model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Audited {
    /// The probability with which it was drawn, whatever was decided: 0 to 1.
    pub share: f64,
    /// The best model by what was known: an index into the candidates.
    pub best: usize,
}

impl Decision {
    /// The same request and predictions, with a candidate drawn by `weights` (≥ 0, one for each, with a positive sum) in
    /// place of the policy's own probabilities; `draw` is uniform in [0, 1). It counts as pinned.
    #[must_use]
    pub fn shared_out(mut self, policy: &str, weights: &[f64], draw: f64) -> Self {
        let sum: f64 = weights.iter().sum();
        let propensities: Vec<f64> = weights.iter().map(|weight| weight / sum).collect();
        let chosen = decide::pick(&propensities, draw);
        self.candidates.iter_mut().zip(&propensities).for_each(|(candidate, p)| candidate.propensity = *p);
        Self { kind: Kind::Pinned, policy: policy.into(), chosen, draw, consult: None, ..self }
    }

    /// The same, in the sample for a comparison with `best`, drawn with probability `share`; not in it if `best` is not
    /// a candidate.
    #[must_use]
    pub fn audited(self, best: &str, share: f64) -> Self {
        let best = self.candidates.iter().position(|candidate| candidate.arm == best);
        Self { audit: best.map(|best| Audited { share, best }), ..self }.alone()
    }

    /// The best model's answer to the same request, where the comparison needs one: another model was drawn.
    pub fn shadow(&self) -> Option<Self> {
        let best = self.audit.map(|audit| audit.best).filter(|best| *best != self.chosen)?;
        Some(Self { kind: Kind::Shadow, ..self.clone().pinned("shadow", best) })
    }

    /// A request of the route's own, whose model the policy drew.
    pub fn is_traffic(&self) -> bool {
        self.kind.is_traffic()
    }

    /// Nothing was decided: an earlier answer is given again. `how` takes the place of the policy's name. Has no
    /// candidates, and nobody learns from it.
    pub fn cached(how: &str, segment: Option<&str>, knob: Knob, snapshot_version: u64) -> Self {
        Self {
            kind: Kind::Cache,
            policy: how.into(),
            snapshot_version,
            segment: segment.map(str::to_owned),
            knob,
            audit: None,
            phi: vec![],
            widening: 1.0,
            verbosity: 0.0,
            input_tokens: 0,
            difficulty: 0.0,
            candidates: vec![],
            preferred: 0,
            chosen: 0,
            draw: 0.0,
            consult: None,
        }
    }

    /// The two models that are asked before the drawn one.
    pub fn panel(&self) -> Option<&Panel> {
        self.consult.as_ref()?.panel.as_ref()
    }

    /// The same, with nobody asked before the drawn model.
    #[must_use]
    pub fn alone(self) -> Self {
        Self { consult: None, ..self }
    }

    /// The same, once it is known what the panel said.
    #[must_use]
    pub fn heard(mut self, verdict: Verdict) -> Self {
        self.hear(verdict);
        self
    }

    /// It is known what the panel said.
    pub fn hear(&mut self, verdict: Verdict) {
        self.consult.iter_mut().flat_map(|consult| &mut consult.panel).for_each(|panel| panel.verdict = verdict);
    }

    /// The arm that spoke where the answer is `arm`'s: another one, where a panel answered in its place.
    pub fn speaker<'a>(&'a self, arm: &'a str) -> &'a str {
        let agreed = self.panel().filter(|panel| panel.agreed());
        let first = agreed.and_then(|panel| self.candidates.get(panel.members[0]));
        let is_drawn = self.candidates.get(self.chosen).is_some_and(|chosen| chosen.arm == arm);
        first.filter(|_| is_drawn).map_or(arm, |first| &first.arm)
    }

    /// The arm whose answer it is where `arm` spoke: the drawn one, where a panel answered in its place.
    pub fn credited<'a>(&'a self, arm: &'a str) -> &'a str {
        let agreed = self.panel().filter(|panel| panel.agreed());
        agreed.and_then(|_| self.candidates.get(self.chosen)).map_or(arm, |drawn| &drawn.arm)
    }

    /// The same request and predictions, with the candidate `chosen` named by `policy`: certain, not drawn. The route's
    /// controller does not count it; its arms learn from it.
    #[must_use]
    pub fn pinned(mut self, policy: &str, chosen: usize) -> Self {
        let propensities = decide::certain(chosen, self.candidates.len());
        self.candidates.iter_mut().zip(propensities).for_each(|(candidate, p)| candidate.propensity = p);
        Self { kind: Kind::Pinned, policy: policy.into(), chosen, draw: 0.0, consult: None, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_two_agree_the_first_of_them_speaks_and_the_drawn_arm_is_credited() {
        let candidate = |arm: &str| Candidate { arm: arm.into(), quality: 0.5, cost_usd: 1.0, propensity: 0.25 };
        let panel = Panel { members: [1, 0], same_errors: 0.2, verdict: Verdict::None };
        let decision = Decision {
            candidates: ["a", "b", "dear"].map(candidate).into(),
            chosen: 2,
            consult: Some(Consult { panel: Some(panel), foreseen_usd: 1.0 }),
            ..Decision::cached("", None, Knob::Quality(0.9), 0)
        };
        let agreed = decision.clone().heard(Verdict::Agreed);
        assert_eq!((agreed.speaker("dear"), agreed.credited("b")), ("b", "dear"));
        for verdict in [Verdict::None, Verdict::Incomparable, Verdict::Differed([true, false])] {
            let other = decision.clone().heard(verdict);
            assert_eq!((other.speaker("dear"), other.credited("b")), ("dear", "b"), "{verdict:?}");
        }
        assert_eq!(agreed.alone().panel(), None);
    }

    #[test]
    fn a_kind_has_one_name() {
        for kind in [Kind::Exploit, Kind::Explore, Kind::Pinned, Kind::Fallback, Kind::Cache, Kind::Shadow] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
