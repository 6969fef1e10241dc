//! Who is asked, in which order, and why.

use std::sync::Arc;

use crate::catalog::{ModelId, Price};
use crate::policy::{Candidate, Decision, Kind, RouteState};

use super::filter::Excluded;
use super::sessions::Reading;
use super::setup::Setup;
use super::shadow::Room;
use crate::upstream::{Fallbacks, Limits};

/// The models to ask.
#[derive(Debug)]
pub(super) struct Plan {
    /// Indices into [`Setup::targets`], the first choice first; at least one where anybody is asked.
    pub(super) targets: Vec<usize>,
    /// Index into [`Setup::routes`]; `None` where the client named the model.
    pub(super) route: Option<usize>,
    /// The segment of the route that the request is in.
    pub(super) segment: Option<Arc<str>>,
    pub(super) kind: Kind,
    /// The client said who may answer: nobody else is asked.
    pub(super) confined: bool,
    /// `None`: nothing was decided, so nothing will be learned from it.
    pub(super) decision: Option<Decision>,
    /// The training run that the decision's φ is of, by its key; 0 where there is none.
    pub(super) bundle: u64,
    /// The target of the best model, where the request was drawn for a comparison with it. It may not be among `targets`,
    /// once the client has said who may stand in for whom: that says nothing of the comparison.
    pub(super) best: Option<usize>,
    /// Of that comparison.
    pub(super) room: Option<Room>,
    /// The conversation that the answering model reads, where a cached prompt may be worth something.
    pub(super) reading: Option<Reading>,
    pub(super) rescue: Rescue,
}

/// What a route falls back on by cause.
#[derive(Debug, Default)]
pub(super) struct Rescue {
    /// Of each list, those that can answer this request.
    pub(super) able: Fallbacks<Vec<usize>>,
    /// The others.
    pub(super) unable: Vec<Excluded>,
}

impl Plan {
    /// The client named the model, which may be at several providers.
    pub(super) fn pinned(targets: Vec<usize>) -> Self {
        Self {
            targets,
            route: None,
            segment: None,
            kind: Kind::Pinned,
            confined: false,
            decision: None,
            bundle: 0,
            best: None,
            room: None,
            reading: None,
            rescue: Rescue::default(),
        }
    }

    /// Nobody is asked: an answer is given again. `decision`: what stands in a decision's place where a route was asked.
    pub(super) fn cached(
        route: Option<usize>,
        segment: Option<Arc<str>>,
        decision: Option<Decision>,
        bundle: u64,
    ) -> Self {
        Self { route, segment, kind: Kind::Cache, confined: true, decision, bundle, ..Self::pinned(vec![]) }
    }

    /// The chosen arm, then the other candidates: the best first, the cheapest first among equals. A fallback is there
    /// to answer, not to save.
    ///
    /// `fit`: the targets that can answer. `draw`: uniform in [0, 1), for models at several providers.
    pub(super) fn decided(
        setup: &Setup,
        route: usize,
        fit: &[usize],
        (decision, bundle): (Decision, u64),
        draw: &dyn Fn() -> f64,
    ) -> Self {
        let chosen = decision.candidates.get(decision.chosen);
        let mut others: Vec<&Candidate> =
            decision.candidates.iter().enumerate().filter(|(i, _)| *i != decision.chosen).map(|(_, c)| c).collect();
        others.sort_by(|a, b| b.quality.total_cmp(&a.quality).then(a.cost_usd.total_cmp(&b.cost_usd)));
        let (mut targets, balance) = (Vec::with_capacity(fit.len()), setup.routes[route].balance);
        for arm in chosen.into_iter().chain(others).map(|candidate| &candidate.arm) {
            setup.add_deployments(&mut targets, fit.iter().copied(), arm, balance, draw);
        }
        let best = decision.audit.and_then(|audit| decision.candidates.get(audit.best));
        let is_best = |target: &&usize| best.is_some_and(|best| setup.targets[**target].model.id.model == *best.arm);
        let best = targets.iter().find(is_best).copied();
        let kind = decision.kind;
        Self { route: Some(route), kind, decision: Some(decision), bundle, best, ..Self::pinned(targets) }
    }

    /// The best model, which `decision`, of a shadow of this request, names, and no other: at the provider where this
    /// request would have asked it first.
    pub(super) fn shadow(&self, decision: Decision) -> Option<Self> {
        Some(Self {
            route: self.route,
            segment: self.segment.clone(),
            kind: decision.kind,
            confined: true,
            decision: Some(decision),
            bundle: self.bundle,
            ..Self::pinned(vec![self.best?])
        })
    }

    /// Nothing could be assessed or decided: the best on an average request first, as far as `state` knows; the
    /// dearest first, for want of anything better, among those that it does not know.
    pub(super) fn safest(setup: &Setup, route: usize, mut fit: Vec<usize>, state: Option<&RouteState>) -> Self {
        let model = |target: usize| &*setup.targets[target].model;
        let quality = |target| state.and_then(|state| average_quality(state, &model(target).id.model)).unwrap_or(0.0);
        let price = |target| model(target).price.as_ref().map_or(0.0, Price::blended);
        fit.sort_by(|&a, &b| quality(b).total_cmp(&quality(a)).then(price(b).total_cmp(&price(a))));
        Self { route: Some(route), kind: Kind::Fallback, ..Self::pinned(fit) }
    }
}

impl Plan {
    /// With `model` first among the providers of the first choice: it has read the conversation before.
    pub(super) fn preferring(mut self, setup: &Setup, model: Option<&ModelId>) -> Self {
        let Some(model) = model else { return self };
        let name = |target: usize| &setup.targets[target].model.id;
        let alike =
            self.targets.iter().take_while(|target| name(**target).model == name(self.targets[0]).model).count();
        if let Some(place) = self.targets[..alike].iter().position(|target| name(*target) == model) {
            self.targets[..=place].rotate_right(1);
        }
        self
    }

    /// Where the members of a panel are among `targets`; `None` where nobody is to be asked first.
    pub(super) fn members(&self, setup: &Setup, decision: Option<&Decision>) -> Option<[usize; 2]> {
        let decision = decision?;
        let place = |member: usize| {
            let arm = &decision.candidates.get(member)?.arm;
            self.targets.iter().position(|target| setup.targets[*target].model.id.model == *arm)
        };
        let [one, other] = decision.panel()?.members.map(place);
        Some([one?, other?])
    }

    /// The limits of a single call to the first choice: what fails is not worth another.
    pub(super) fn one_call(&self, setup: &Setup) -> Limits {
        let limits = self.route.map_or(&setup.limits, |route| &setup.routes[route].limits);
        Limits { attempts: 1, planned: 1, hedge: None, ..limits.clone() }
    }

    /// With the models behind it that the route falls back on by cause, and the limits that say so.
    pub(super) fn limits(&mut self, setup: &Setup) -> Limits {
        let planned = self.targets.len();
        let Some(route) = self.route.map(|route| &setup.routes[route]) else {
            return Limits { planned, ..setup.limits.clone() };
        };
        if self.confined {
            return Limits { planned, ..route.limits.clone() };
        }
        let able = std::mem::take(&mut self.rescue.able);
        let fallbacks = able.map(|targets| targets.iter().map(|target| self.place(*target)).collect());
        Limits { planned, fallbacks, ..route.limits.clone() }
    }

    /// Where `target` is among those to ask; it is put behind them if it is not.
    fn place(&mut self, target: usize) -> usize {
        let place = self.targets.iter().position(|other| *other == target);
        place.unwrap_or_else(|| {
            self.targets.push(target);
            self.targets.len() - 1
        })
    }
}

/// Posterior quality of an arm at φ = [1, 0, …], the average request.
fn average_quality(state: &RouteState, arm: &str) -> Option<f64> {
    let arm = state.arms.get(state.spec.arms.iter().position(|spec| spec.arm == arm)?)?;
    let mut phi = vec![0.0; arm.quality.dim()];
    *phi.first_mut()? = 1.0;
    Some(arm.outlook(&state.shift, &phi, 1.0).quality)
}
