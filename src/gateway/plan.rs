//! Who is asked, in which order, and why.

use crate::catalog::Price;
use crate::policy::{Candidate, Decision, Kind, RouteState};

use super::setup::{Route, Setup};

/// The models to ask.
#[derive(Debug)]
pub(super) struct Plan {
    /// Indices into [`Setup::targets`], the first choice first; at least one.
    pub(super) targets: Vec<usize>,
    /// Index into [`Setup::routes`]; `None` where the client named the model.
    pub(super) route: Option<usize>,
    pub(super) kind: Kind,
    /// `None`: nothing was decided, so nothing will be learned from it.
    pub(super) decision: Option<Decision>,
    /// The training run that the decision's φ is of, by its key; 0 where there is none.
    pub(super) bundle: u64,
}

impl Plan {
    /// The client named the model.
    pub(super) fn pinned(target: usize) -> Self {
        Self { targets: vec![target], route: None, kind: Kind::Pinned, decision: None, bundle: 0 }
    }

    /// The chosen arm, then the other candidates: the best first, the cheapest first among equals. A fallback is there
    /// to answer, not to save.
    pub(super) fn decided(setup: &Setup, route: usize, decision: Decision, bundle: u64) -> Self {
        let chosen = decision.candidates.get(decision.chosen);
        let mut others: Vec<&Candidate> =
            decision.candidates.iter().enumerate().filter(|(i, _)| *i != decision.chosen).map(|(_, c)| c).collect();
        others.sort_by(|a, b| b.quality.total_cmp(&a.quality).then(a.cost_usd.total_cmp(&b.cost_usd)));
        let arms = chosen.into_iter().chain(others);
        let targets = arms.filter_map(|c| setup.routes[route].target(setup, &c.arm)).collect();
        Self { targets, route: Some(route), kind: decision.kind, decision: Some(decision), bundle }
    }

    /// The model that the decision of a shadow names, and no other; `None` where it is configured no more.
    pub(super) fn shadow(setup: &Setup, route: usize, decision: Decision, bundle: u64) -> Option<Self> {
        let arm = &decision.candidates.get(decision.chosen)?.arm;
        let targets = vec![setup.routes[route].target(setup, arm)?];
        Some(Self { targets, route: Some(route), kind: decision.kind, decision: Some(decision), bundle })
    }

    /// Nothing could be assessed or decided: the best on an average request first, as far as `state` knows; the
    /// dearest first, for want of anything better, among those that it does not know.
    pub(super) fn safest(setup: &Setup, route: usize, mut fit: Vec<usize>, state: Option<&RouteState>) -> Self {
        let model = |target: usize| &*setup.targets[target].model;
        let quality = |target| state.and_then(|state| average_quality(state, &model(target).id.model)).unwrap_or(0.0);
        let price = |target| model(target).price.as_ref().map_or(0.0, blended);
        fit.sort_by(|&a, &b| quality(b).total_cmp(&quality(a)).then(price(b).total_cmp(&price(a))));
        Self { targets: fit, route: Some(route), kind: Kind::Fallback, decision: None, bundle: 0 }
    }
}

impl Route {
    /// The arm's model.
    pub(super) fn target(&self, setup: &Setup, arm: &str) -> Option<usize> {
        self.targets.iter().copied().find(|target| setup.targets[*target].model.id.model == arm)
    }
}

/// Posterior quality of an arm at φ = [1, 0, …], the average request.
fn average_quality(state: &RouteState, arm: &str) -> Option<f64> {
    let arm = state.arms.get(state.spec.arms.iter().position(|spec| spec.arm == arm)?)?;
    let mut phi = vec![0.0; arm.quality.dim()];
    *phi.first_mut()? = 1.0;
    Some(arm.outlook(&state.shift, &phi, 1.0).quality)
}

/// One number to say which of two prices is dearer: as much is read as is written.
fn blended(price: &Price) -> f64 {
    price.input + price.output
}
