//! The state of the policy and how each thing that is heard changes it. By value: a state is never changed under a
//! reader.

use std::collections::BTreeMap;
use std::iter;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::arm::Arm;
use super::controller::{Controller, Schedule};
use super::gaussian::Gaussian;
use super::solution::{Problem, Solution};
use super::{Decision, Kind, Reward, RouteSpec, SegmentSpec, Settlement};
use crate::catalog::Price;
use crate::difficulty::{Entrant, Prior, RoutePrior, undated};

/// What the policy knows of all routes at one moment. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Counts the changes.
    pub version: u64,
    /// The training run whose φ it is learned on, by its [`bundle_key`]: only that run's contexts may be decided with it.
    pub bundle: u64,
    pub routes: BTreeMap<String, Arc<RouteState>>,
    /// Where new arms start.
    prior: Arc<Prior>,
}

/// One route's arms, and who steers them: the route's own knob, and each segment's. What one of them hears of an answer
/// teaches the arms, and with them all others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteState {
    pub spec: RouteSpec,
    /// One a `spec.arms`, in their order.
    pub arms: Vec<Arc<Arm>>,
    /// What the route's prompts and scorers have moved all arms by, and how much better its dear models are than elsewhere.
    pub shift: Arc<Gaussian>,
    /// The route's own, then one a `spec.segments`, in their order.
    controllers: Vec<Controller>,
    form: Form,
    /// Of those controllers that have few requests: by all requests of the route.
    schedule: Schedule,
}

/// How many answers were well formed, with a prior of one malformed in fifty.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Form {
    answers: f64,
    malformed: f64,
}

/// The first 8 bytes of the SHA-256 of a bundle's fingerprint: what each decision carries of it.
pub fn bundle_key(fingerprint: &str) -> u64 {
    let mut key = [0; 8];
    key.copy_from_slice(&Sha256::digest(fingerprint)[..8]);
    u64::from_be_bytes(key)
}

/// The route's own controller among all.
const OWN: usize = 0;

impl Snapshot {
    /// Before any route is known.
    pub fn new(prior: Arc<Prior>) -> Self {
        Self { version: 0, bundle: 0, routes: BTreeMap::new(), prior }
    }

    /// With the name of the training run that the prior is of.
    pub fn learned_on(self, fingerprint: &str) -> Self {
        Self { bundle: bundle_key(fingerprint), ..self }
    }

    /// Routes as configured from here on: new arms start from the prior, arms that stay keep what they learned.
    pub fn configure(self, specs: &[RouteSpec]) -> Self {
        let state = |spec: &RouteSpec| {
            let before = self.routes.get(&spec.name).map(|state| (**state).clone());
            (spec.name.clone(), Arc::new(RouteState::configured(spec, &self.prior, before)))
        };
        let routes = specs.iter().map(state).collect();
        Self { version: self.version + 1, routes, ..self }
    }

    /// The controller hears of a decision.
    pub fn decided(self, route: &str, decision: &Decision) -> Self {
        self.with(route, decision, |state| state.hear(decision))
    }

    /// Cost and tokens of the answer.
    pub fn settled(self, route: &str, decision: &Decision, settlement: &Settlement) -> Self {
        self.with(route, decision, |state| state.settle(decision, settlement))
    }

    /// An answer by `arm` was believed to be `was` and now is `now`: the posterior follows. A revision corrects what
    /// the first score did.
    pub fn learn(self, route: &str, decision: &Decision, arm: &str, was: Reward, now: Reward) -> Self {
        self.with(route, decision, |state| state.learn(decision, arm, was, now))
    }

    /// The best model's answer to a request of the comparison, and the route's own, are believed to be worth `now`, as
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

    /// Applies a change to one route; a route that is configured no more is not changed. Nor is any by an answer that was
    /// given again: nothing was chosen or spent, and no model answered this request.
    fn with(mut self, route: &str, decision: &Decision, change: impl FnOnce(&mut RouteState)) -> Self {
        let chosen = decision.kind != Kind::Cache;
        if let Some(state) = self.routes.get_mut(route).filter(|_| chosen) {
            self.version += 1;
            change(Arc::make_mut(state));
        }
        self
    }
}

impl RouteState {
    fn configured(spec: &RouteSpec, prior: &Prior, before: Option<Self>) -> Self {
        let entrants: Vec<Entrant> = spec.arms.iter().map(entrant).collect();
        let RoutePrior { shift, arms } = prior.route(&entrants);
        let fresh = arms.iter().map(|arm| Arc::new(Arm::new(arm))).collect();
        match before {
            Some(before) => before.reconfigured(spec, fresh),
            None => Self::cold(spec, fresh, Gaussian { mean: vec![0.0; prior.shared()], covariance: shift }),
        }
    }

    fn cold(spec: &RouteSpec, arms: Vec<Arc<Arm>>, shift: Gaussian) -> Self {
        let mut state = Self {
            spec: spec.clone(),
            arms,
            shift: Arc::new(shift),
            controllers: controllers(spec, |_| None),
            schedule: Schedule::default(),
            form: Form { answers: 50.0, malformed: 1.0 },
        };
        state.solve_all();
        state
    }

    fn reconfigured(mut self, spec: &RouteSpec, fresh: Vec<Arc<Arm>>) -> Self {
        let known = |name: &str| self.arm(name).map(|i| self.arms[i].clone());
        let parent = |name: &str| {
            let version = |arm: &super::ArmSpec| undated(&arm.arm) == undated(name);
            self.spec.arms.iter().position(version).map(|i| Arc::new(Arm::inherit(&self.arms[i])))
        };
        let arm = |name: &str, fresh| known(name).or_else(|| parent(name)).unwrap_or(fresh);
        self.arms = spec.arms.iter().zip(fresh).map(|(spec, fresh)| arm(&spec.arm, fresh)).collect();
        self.controllers = controllers(spec, |segment| Some(self.controllers[self.index(segment)?].clone()));
        self.spec = spec.clone();
        self.solve_all();
        self
    }

    /// The route's own: of the requests that are in no segment.
    pub fn controller(&self) -> &Controller {
        &self.controllers[OWN]
    }

    /// The segments' own.
    pub fn segments(&self) -> impl Iterator<Item = (&SegmentSpec, &Controller)> {
        self.spec.segments.iter().zip(&self.controllers[OWN + 1..])
    }

    /// Who steers the requests of a segment, and its name; of one that is not known, the route.
    pub(super) fn steering<'a>(&self, segment: Option<&'a str>) -> (&Controller, Option<&'a str>) {
        match self.index(segment) {
            Some(one) => (&self.controllers[one], segment),
            None => (self.controller(), None),
        }
    }

    /// The controller of a segment, or the route's own.
    fn index(&self, segment: Option<&str>) -> Option<usize> {
        let Some(name) = segment else { return Some(OWN) };
        self.spec.segments.iter().position(|segment| segment.name == name).map(|i| OWN + 1 + i)
    }

    /// The controller whose decision it is. None has pinned it or made it of a shadow, and its request is no part of the
    /// route's traffic: arms alone learn of it. So they do where the segment is configured no more.
    fn steered(&self, decision: &Decision) -> Option<usize> {
        self.index(decision.segment.as_deref()).filter(|_| decision.is_traffic())
    }

    /// Who pays for what a request's shadow and its judges cost, and is compared: the controller of its segment; none
    /// where that is configured no more.
    fn responsible(&mut self, decision: &Decision) -> Option<&mut Controller> {
        let one = self.index(decision.segment.as_deref())?;
        Some(&mut self.controllers[one])
    }

    /// The arm that the controller of a decision is to be compared with: its best, if its own knob decided.
    pub fn best_for(&self, decision: &Decision) -> Option<&str> {
        let controller = &self.controllers[self.index(decision.segment.as_deref())?];
        controller.best_name(&self.spec).filter(|_| controller.owns(decision))
    }

    /// Requests decided, whoever steered.
    pub fn decided(&self) -> u64 {
        self.controllers.iter().map(|controller| controller.schedule.decided).sum()
    }

    fn arm(&self, name: &str) -> Option<usize> {
        self.spec.arms.iter().position(|arm| arm.arm == name)
    }

    fn hear(&mut self, decision: &Decision) {
        if let (Some(one), Some(chosen)) = (self.steered(decision), decision.candidates.get(decision.chosen)) {
            self.controllers[one].hear(decision, chosen);
            self.schedule.hear();
        }
    }

    fn settle(&mut self, decision: &Decision, settlement: &Settlement) {
        if let (Some(arm), Some(usage)) = (self.arm(&settlement.arm), &settlement.usage) {
            let input = f64::from(decision.input_tokens);
            Arc::make_mut(&mut self.arms[arm]).settle(usage, &decision.phi, decision.verbosity, input);
        }
        if let (Some(usd), Kind::Shadow) = (settlement.cost_usd, decision.kind) {
            self.responsible(decision).into_iter().for_each(|controller| controller.spending.shadow_usd += usd);
        }
        let Some(one) = self.steered(decision) else { return };
        settlement.cost_usd.iter().for_each(|usd| self.controllers[one].settle(&self.spec, decision, *usd));
        self.solve_due(one);
    }

    /// After an answer to a request of controller `one`. Those with few requests follow what the route learns from others'.
    fn solve_due(&mut self, one: usize) {
        let (own, pooled) = (self.controllers[one].schedule.due(), self.schedule.due());
        for other in 0..self.controllers.len() {
            if (own && other == one) || (pooled && self.controllers[other].window.is_few()) {
                self.solve(other, true);
            }
        }
    }

    /// What was solved before says nothing of how things are now.
    fn solve_all(&mut self) {
        (0..self.controllers.len()).for_each(|one| self.solve(one, false));
    }

    /// Solves anew for one of the controllers; `smoothly`: from what was solved before.
    fn solve(&mut self, one: usize, smoothly: bool) {
        let controller = &self.controllers[one];
        let others = self.controllers.iter().enumerate().filter(|(other, _)| *other != one);
        let problem = Problem {
            spec: &self.spec,
            knob: controller.knob,
            arms: &self.arms,
            shift: &self.shift,
            rows: controller.window.pooled(others.map(|(_, other)| &*other.window)),
            measured: &controller.measured,
            spending: &controller.spending,
        };
        let solution = Solution::new(&problem, smoothly.then_some(&*controller.solution));
        self.controllers[one].solution = Arc::new(solution);
    }

    fn learn(&mut self, decision: &Decision, name: &str, was: Reward, now: Reward) {
        let Some(arm) = self.arm(name) else { return };
        match (was.worth(), now.worth()) {
            (Some((old, old_weight)), Some((value, weight))) => {
                self.posterior(arm, |arm, shift| arm.correct(shift, &decision.phi, value - old, old_weight));
                if weight > old_weight {
                    self.posterior(arm, |arm, shift| arm.learn(shift, &decision.phi, value, weight - old_weight));
                }
            }
            (None, Some((value, weight))) => {
                self.posterior(arm, |arm, shift| {
                    now.judged().iter().for_each(|y| arm.watch(shift, &decision.phi, *y));
                    arm.learn(shift, &decision.phi, value, weight);
                });
                if now == Reward::Malformed {
                    self.form = Form { answers: self.form.answers + 1.0, malformed: self.form.malformed + 1.0 };
                }
            }
            (None, None) if (was, now) == (Reward::Unknown, Reward::WellFormed) => self.well_formed(arm, decision),
            _ => {}
        }
        self.measure(decision, name, was, now);
    }

    fn posterior(&mut self, arm: usize, change: impl FnOnce(&mut Arm, &mut Gaussian)) {
        let alarms = self.arms[arm].drift.alarms;
        change(Arc::make_mut(&mut self.arms[arm]), Arc::make_mut(&mut self.shift));
        if self.arms[arm].drift.alarms > alarms {
            self.solve_all();
        }
    }

    /// A malformed answer is scored 0. If a share f of answers is, then among the others quality is p/(1−f) on average:
    /// the mean moves towards that, so that form alone leaves p where it is unless an arm's share differs from the
    /// route's. The covariance stays: nobody judged the answer.
    fn well_formed(&mut self, arm: usize, decision: &Decision) {
        self.form.answers += 1.0;
        let malformed = self.form.malformed / self.form.answers;
        let quality = self.arms[arm].outlook(&self.shift, &decision.phi, 1.0).quality;
        let raise = quality * malformed / (1.0 - malformed);
        self.posterior(arm, |arm, shift| arm.correct(shift, &decision.phi, raise, Reward::FORM_WEIGHT));
    }

    /// A judged answer of the arm that was drawn says how good the route's answers are; a fallback's was not drawn.
    fn measure(&mut self, decision: &Decision, name: &str, was: Reward, now: Reward) {
        let Some(one) = self.steered(decision) else { return };
        let Some(chosen) = decision.candidates.get(decision.chosen).filter(|chosen| chosen.arm == name) else { return };
        let Some(value) = now.judged() else { return };
        self.controllers[one].measure(&self.spec, decision, chosen, was.judged(), value);
    }
}

/// The controllers of a route, where `known` has no earlier state of one, a new one.
fn controllers(spec: &RouteSpec, known: impl Fn(Option<&str>) -> Option<Controller>) -> Vec<Controller> {
    let one = |segment: Option<&str>, knob, explore| match known(segment) {
        Some(controller) => controller.turned(knob, explore),
        None => Controller::new(knob, explore),
    };
    let segments = spec.segments.iter().map(|segment| one(Some(&segment.name), segment.knob, segment.explore));
    iter::once(one(None, spec.knob, spec.explore)).chain(segments).collect()
}

fn entrant(arm: &super::ArmSpec) -> Entrant<'_> {
    Entrant { name: &arm.arm, log_price: arm.price.map(|price| Prior::log_price(price.input, price.output)) }
}

/// Each arm's price; the dearest of the route where it is unknown, and the same for all where none is.
pub fn prices(spec: &RouteSpec) -> Vec<Price> {
    let blended = |price: &Price| 3.0 * price.input + price.output;
    let known = spec.arms.iter().filter_map(|arm| arm.price);
    let dearest = known.max_by(|a, b| blended(a).total_cmp(&blended(b)));
    let unknown = dearest.unwrap_or(Price::of(1.0, 1.0));
    spec.arms.iter().map(|arm| arm.price.unwrap_or(unknown)).collect()
}
