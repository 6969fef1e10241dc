//! Who is asked, in which order, and why.

use crate::catalog::Price;
use crate::policy::{Candidate, Decision, Kind};

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
}

impl Plan {
    /// The client named the model.
    pub(super) fn pinned(target: usize) -> Self {
        Self { targets: vec![target], route: None, kind: Kind::Pinned, decision: None }
    }

    /// The chosen arm, then the other candidates: the best first, the cheapest first among equals. A fallback is there
    /// to answer, not to save.
    pub(super) fn decided(setup: &Setup, route: usize, decision: Decision) -> Self {
        let chosen = decision.candidates.get(decision.chosen);
        let mut others: Vec<&Candidate> =
            decision.candidates.iter().enumerate().filter(|(i, _)| *i != decision.chosen).map(|(_, c)| c).collect();
        others.sort_by(|a, b| b.quality.total_cmp(&a.quality).then(a.cost_usd.total_cmp(&b.cost_usd)));
        let arms = chosen.into_iter().chain(others);
        let targets = arms.filter_map(|c| setup.routes[route].target(setup, &c.arm)).collect();
        Self { targets, route: Some(route), kind: decision.kind, decision: Some(decision) }
    }

    /// Nothing could be assessed or decided: the dearest first, for want of anything better to tell the best by.
    pub(super) fn safest(setup: &Setup, route: usize, mut fit: Vec<usize>) -> Self {
        let price = |target: &usize| setup.targets[*target].model.price.as_ref().map_or(0.0, blended);
        fit.sort_by(|a, b| price(b).total_cmp(&price(a)));
        Self { targets: fit, route: Some(route), kind: Kind::Fallback, decision: None }
    }
}

impl Route {
    /// The arm's model.
    pub(super) fn target(&self, setup: &Setup, arm: &str) -> Option<usize> {
        self.targets.iter().copied().find(|target| setup.targets[*target].model.id.model == arm)
    }
}

/// One number to say which of two prices is dearer: as much is read as is written.
fn blended(price: &Price) -> f64 {
    price.input + price.output
}
