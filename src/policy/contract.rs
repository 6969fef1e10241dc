//! What every policy does, so that a simulation can put any of them in the gateway's place.

use super::{Decision, NoCandidate, RouteSpec, Settlement};
use crate::difficulty::Context;

/// One route's policy: it chooses, and hears what came of it.
pub trait Policy: Send {
    /// As reports call it.
    fn name(&self) -> &str;

    /// From here on, the route's arms, prices and knob are these; what was learned of arms that stay is kept.
    fn configure(&mut self, spec: &RouteSpec);

    /// Chooses an arm; `draw`, uniform in [0, 1), is the only chance.
    ///
    /// # Errors
    /// [`NoCandidate`] if the route has no arm.
    fn decide(&mut self, context: &Context, draw: f64) -> Result<Decision, NoCandidate>;

    /// A decision is carried out, and it is known what a panel said.
    fn decided(&mut self, _decision: &Decision) {}

    /// The answer has come: tokens and cost.
    fn settled(&mut self, decision: &Decision, settlement: &Settlement);

    /// The answer was scored `value` in [0, 1]. It may come late, or never.
    fn learn(&mut self, decision: &Decision, value: f64);

    /// Alarms so far that this arm's quality has changed; always 0 for a policy that does not watch for it.
    fn alarms(&self, _arm: &str) -> u64 {
        0
    }

    /// Whether the policy learns from all arms' answers to calibration prompts, before the first request: see
    /// [`Decision::pinned`].
    fn can_be_calibrated(&self) -> bool {
        false
    }
}
