//! The state of the policy and how each piece of news changes it. By value: a state never changes under a reader.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::retired::Retired;
use super::route_state::RouteState;
use super::{Decision, Kind, Reward, RouteSpec, Settlement};
use crate::difficulty::Prior;

/// What the policy knows of all routes at one moment. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Counts the changes.
    pub version: u64,
    /// The training run whose φ it is learned on, by its [`bundle_key`]: only that run's contexts may be decided with it.
    pub bundle: u64,
    pub routes: BTreeMap<String, Arc<RouteState>>,
    /// Routes that are no longer configured, kept as [`RouteState`] keeps retired arms.
    retired: Retired<RouteState>,
    /// Where new arms start.
    prior: Arc<Prior>,
}

/// The first 8 bytes of the SHA-256 of a bundle's fingerprint: what each decision carries of it.
pub fn bundle_key(fingerprint: &str) -> u64 {
    let mut key = [0; 8];
    key.copy_from_slice(&Sha256::digest(fingerprint)[..8]);
    u64::from_be_bytes(key)
}

impl Snapshot {
    /// Before any route is known.
    pub fn new(prior: Arc<Prior>) -> Self {
        Self { version: 0, bundle: 0, routes: BTreeMap::new(), retired: Retired::default(), prior }
    }

    /// Names the training run that the prior comes from.
    pub fn learned_on(self, fingerprint: &str) -> Self {
        Self { bundle: bundle_key(fingerprint), ..self }
    }

    /// Routes as configured from here on: new arms start from the prior, arms that stay or come back keep what they
    /// learned.
    pub fn configure(mut self, specs: &[RouteSpec]) -> Self {
        let (mut before, mut routes) = (std::mem::take(&mut self.routes), BTreeMap::new());
        for spec in specs {
            let before = before.remove(&spec.name).or_else(|| self.retired.take(&spec.name));
            let state = RouteState::configured(spec, &self.prior, before.map(Arc::unwrap_or_clone));
            routes.insert(spec.name.clone(), Arc::new(state));
        }
        before.into_iter().for_each(|(name, state)| self.retired.put(&name, state));
        Self { version: self.version + 1, routes, ..self }
    }

    /// A route decided; its controller takes note.
    pub fn decided(self, route: &str, decision: &Decision) -> Self {
        self.with(route, decision, |state| state.hear(decision))
    }

    /// Cost and tokens of the answer.
    pub fn settled(self, route: &str, decision: &Decision, settlement: &Settlement) -> Self {
        self.with(route, decision, |state| state.settle(decision, settlement))
    }

    /// Calls for a request that nobody answered cost `usd`.
    pub fn spent(self, route: &str, decision: &Decision, usd: f64) -> Self {
        self.with(route, decision, |state| state.spend(decision, usd))
    }

    /// An answer by `arm` was believed to be `was` and now is `now`: the posterior follows. A revision corrects the
    /// effect of the first score.
    pub fn learn(self, route: &str, decision: &Decision, arm: &str, was: Reward, now: Reward) -> Self {
        self.with(route, decision, |state| state.learn(decision, arm, was, now))
    }

    /// The route's own and the best model's answer to a request of the comparison are believed to be worth `now`, as
    /// (own, best); it was `was` before.
    pub fn compared(self, route: &str, decision: &Decision, was: Option<(f64, f64)>, now: (f64, f64)) -> Self {
        self.with(route, decision, |state| {
            state.responsible(decision).into_iter().for_each(|controller| controller.compare(decision, was, now));
        })
    }

    /// Judging an answer to the request of `decision` cost `usd`.
    pub fn charged(self, route: &str, decision: &Decision, usd: f64) -> Self {
        self.with(route, decision, |state| {
            state.responsible(decision).into_iter().for_each(|controller| controller.spending.judge_usd += usd);
        })
    }

    /// Applies a change to one route. A cached answer changes nothing: nothing was chosen or spent, and no model
    /// answered this request.
    fn with(mut self, route: &str, decision: &Decision, change: impl FnOnce(&mut RouteState)) -> Self {
        let chosen = decision.kind != Kind::Cache;
        let state = self.routes.get_mut(route).or_else(|| self.retired.get_mut(route));
        if let Some(state) = state.filter(|_| chosen) {
            self.version += 1;
            change(Arc::make_mut(state));
        }
        self
    }
}
