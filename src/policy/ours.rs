//! The gateway's own policy as a [`Policy`]: the snapshot, folded as the learner folds it.

use super::contract::Policy;
use super::{Ask, Decision, NoCandidate, Reward, RouteSpec, Settlement, Snapshot, decide};
use crate::difficulty::Context;

/// Thompson sampling on item-response arms, steered by measured quality or spend.
#[derive(Debug)]
pub struct Satisficing {
    /// Has no routes: stands in for the snapshot while it changes.
    blank: Snapshot,
    snapshot: Snapshot,
    route: String,
    consults: bool,
}

impl Satisficing {
    /// Starts from `prior`, a snapshot with no routes.
    pub fn new(prior: Snapshot, spec: &RouteSpec) -> Self {
        let snapshot = prior.clone().configure(std::slice::from_ref(spec));
        Self { blank: prior, snapshot, route: spec.name.clone(), consults: false }
    }

    /// The same, which may ask two cheap models before a dear one.
    #[must_use]
    pub fn consulting(self, consults: bool) -> Self {
        Self { consults, ..self }
    }

    /// What it knows now.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// By value and in place: what nobody else holds is not copied.
    fn change(&mut self, change: impl FnOnce(Snapshot) -> Snapshot) {
        let snapshot = std::mem::replace(&mut self.snapshot, self.blank.clone());
        self.snapshot = change(snapshot);
    }
}

impl Policy for Satisficing {
    fn name(&self) -> &str {
        "satisfice"
    }

    fn configure(&mut self, spec: &RouteSpec) {
        self.change(|snapshot| snapshot.configure(std::slice::from_ref(spec)));
    }

    fn decide(&mut self, context: &Context, draw: f64) -> Result<Decision, NoCandidate> {
        let route = self.snapshot.routes.get(&self.route).ok_or(NoCandidate)?;
        let all: Vec<usize> = (0..route.arms.len()).collect();
        let ask = Ask { consult: self.consults, ..Ask::default() };
        decide(&self.snapshot, route, context, &all, ask, draw)
    }

    fn decided(&mut self, decision: &Decision) {
        let name = self.route.clone();
        self.change(|snapshot| snapshot.decided(&name, decision));
    }

    fn settled(&mut self, decision: &Decision, settlement: &Settlement) {
        let name = self.route.clone();
        self.change(|snapshot| snapshot.settled(&name, decision, settlement));
    }

    fn alarms(&self, arm: &str) -> u64 {
        self.snapshot.routes.get(&self.route).and_then(|route| route.drift_alarms(arm)).unwrap_or(0)
    }

    fn can_be_calibrated(&self) -> bool {
        true
    }

    fn learn(&mut self, decision: &Decision, value: f64) {
        let (name, arm) = (self.route.clone(), decision.candidates[decision.chosen].arm.clone());
        let now = Reward::Scored { value, weight: 1.0 };
        self.change(|snapshot| snapshot.learn(&name, decision, &arm, Reward::Unknown, now));
    }
}
