//! The state of the policy and how each thing that is heard changes it. By value: a state is never changed under a
//! reader.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::arm::Arm;
use super::audit::Audit;
use super::gaussian::Gaussian;
use super::measured::{Measured, Spending, greedy_cost};
use super::solution::{Problem, Solution};
use super::window::Window;
use super::{Decision, Kind, Reward, RouteSpec, Settlement};
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

/// One route's arms and controller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteState {
    pub spec: RouteSpec,
    /// One a `spec.arms`, in their order.
    pub arms: Vec<Arc<Arm>>,
    /// What the route's prompts and scorers have moved all arms by.
    pub shift: Arc<Gaussian>,
    pub window: Arc<Window>,
    pub measured: Measured,
    pub spending: Spending,
    pub audit: Audit,
    pub solution: Arc<Solution>,
    form: Form,
    /// Requests decided.
    pub decided: u64,
    /// The number of decided requests at which the next solution is due.
    next_solution: u64,
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
        self.with(route, |state| state.hear(decision))
    }

    /// Cost and tokens of the answer.
    pub fn settled(self, route: &str, decision: &Decision, settlement: &Settlement) -> Self {
        self.with(route, |state| state.settle(decision, settlement))
    }

    /// An answer by `arm` was believed to be `was` and now is `now`: the posterior follows. A revision corrects what
    /// the first score did.
    pub fn learn(self, route: &str, decision: &Decision, arm: &str, was: Reward, now: Reward) -> Self {
        self.with(route, |state| state.learn(decision, arm, was, now))
    }

    /// The best model's answer to a request of the comparison, and the route's own, are believed to be worth `now`, as
    /// (own, best); it was `was` before.
    pub fn compared(self, route: &str, decision: &Decision, was: Option<(f64, f64)>, now: (f64, f64)) -> Self {
        self.with(route, |state| {
            if state.own(decision) {
                state.audit.compared(decision, was, now);
            }
        })
    }

    /// Judging an answer of the route cost `usd`.
    pub fn charged(self, route: &str, usd: f64) -> Self {
        self.with(route, |state| state.spending.judge_usd += usd)
    }

    /// Applies a change to one route; a route that is configured no more is not changed.
    fn with(mut self, route: &str, change: impl FnOnce(&mut RouteState)) -> Self {
        if let Some(state) = self.routes.get_mut(route) {
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
            None => Self::cold(spec, fresh, Gaussian { mean: vec![0.0; prior.dimension], covariance: shift }),
        }
    }

    fn cold(spec: &RouteSpec, arms: Vec<Arc<Arm>>, shift: Gaussian) -> Self {
        let (window, measured, spending) = (Window::default(), Measured::default(), Spending::default());
        let (window, shift) = (Arc::new(window), Arc::new(shift));
        let problem =
            Problem { spec, arms: &arms, shift: &shift, window: &window, measured: &measured, spending: &spending };
        let solution = Arc::new(Solution::new(&problem, None));
        let form = Form { answers: 50.0, malformed: 1.0 };
        let spec = spec.clone();
        Self {
            spec,
            arms,
            shift,
            window,
            measured,
            spending,
            audit: Audit::default(),
            solution,
            form,
            decided: 0,
            next_solution: 1,
        }
    }

    fn reconfigured(mut self, spec: &RouteSpec, fresh: Vec<Arc<Arm>>) -> Self {
        let known = |name: &str| self.arm(name).map(|i| self.arms[i].clone());
        let parent = |name: &str| {
            let version = |arm: &super::ArmSpec| undated(&arm.arm) == undated(name);
            self.spec.arms.iter().position(version).map(|i| Arc::new(Arm::inherit(&self.arms[i])))
        };
        let arm = |name: &str, fresh| known(name).or_else(|| parent(name)).unwrap_or(fresh);
        self.arms = spec.arms.iter().zip(fresh).map(|(spec, fresh)| arm(&spec.arm, fresh)).collect();
        if self.spec.knob != spec.knob {
            (self.measured, self.spending) = (Measured::default(), Spending::default());
            self.audit = Audit::default();
        }
        self.spec = spec.clone();
        self.solve(None);
        self
    }

    fn arm(&self, name: &str) -> Option<usize> {
        self.spec.arms.iter().position(|arm| arm.arm == name)
    }

    /// The route's own knob decided, and the drawn arm is still there: what came of it tells of the controller.
    fn own(&self, decision: &Decision) -> bool {
        decision.is_traffic() && decision.knob == self.spec.knob
    }

    /// Neither a pinned decision nor a shadow is the controller's, nor its request one of the route's traffic: arms alone
    /// learn of it.
    fn hear(&mut self, decision: &Decision) {
        if !decision.is_traffic() {
            return;
        }
        let Some(chosen) = decision.candidates.get(decision.chosen) else { return };
        Arc::make_mut(&mut self.window).push(decision);
        self.decided += 1;
        if self.own(decision) {
            self.measured.decided(chosen.quality);
        }
    }

    fn settle(&mut self, decision: &Decision, settlement: &Settlement) {
        if let (Some(arm), Some(usage)) = (self.arm(&settlement.arm), &settlement.usage) {
            let input = f64::from(decision.input_tokens);
            Arc::make_mut(&mut self.arms[arm]).settle(usage, &decision.phi, decision.verbosity, input);
        }
        if let (Some(usd), Kind::Shadow) = (settlement.cost_usd, decision.kind) {
            self.spending.shadow_usd += usd;
        }
        if let (Some(usd), true) = (settlement.cost_usd, self.own(decision)) {
            self.spending.settled(usd, greedy_cost(decision), self.best_cost(decision).unwrap_or(usd));
        }
        if decision.is_traffic() && self.decided >= self.next_solution {
            self.next_solution = self.decided + stride(self.decided);
            self.solve(Some(self.solution.clone()));
        }
    }

    /// Solves anew, smoothed from `before`; without one what was solved before says nothing of how things are now.
    fn solve(&mut self, before: Option<Arc<Solution>>) {
        let problem = Problem {
            spec: &self.spec,
            arms: &self.arms,
            shift: &self.shift,
            window: &self.window,
            measured: &self.measured,
            spending: &self.spending,
        };
        self.solution = Arc::new(Solution::new(&problem, before.as_deref()));
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
            self.solve(None);
        }
    }

    /// The arm with the highest expected quality on recent requests.
    pub fn best(&self) -> Option<usize> {
        let quality = |arm: &usize| self.solution.arms[*arm].quality;
        (0..self.solution.arms.len().min(self.arms.len())).max_by(|a, b| quality(a).total_cmp(&quality(b)))
    }

    /// What it was predicted to cost on this request.
    fn best_cost(&self, decision: &Decision) -> Option<f64> {
        let name = &self.spec.arms[self.best()?].arm;
        decision.candidates.iter().find(|candidate| candidate.arm == *name).map(|candidate| candidate.cost_usd)
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
        if !decision.is_traffic() {
            return;
        }
        let Some(chosen) = decision.candidates.get(decision.chosen).filter(|chosen| chosen.arm == name) else { return };
        let Some(value) = now.judged() else { return };
        Arc::make_mut(&mut self.window).score(decision, value);
        if self.own(decision) {
            let best = self.best().map(|best| self.spec.arms[best].arm.clone());
            match (was.judged(), best) {
                (Some(old), _) => {
                    self.measured.revised(value - old);
                    self.audit.revised(decision, value - old);
                }
                (None, best) => {
                    self.measured.scored(value - chosen.quality);
                    best.iter().for_each(|best| self.audit.scored(decision, best, value));
                }
            }
        }
    }
}

/// Requests to the next solution: often while little is known, then so that solving costs a few µs a request.
fn stride(decided: u64) -> u64 {
    match decided {
        0..64 => 1,
        64..256 => 4,
        _ => (decided / 16).clamp(16, 512),
    }
}

fn entrant(arm: &super::ArmSpec) -> Entrant<'_> {
    Entrant { name: &arm.arm, log_price: arm.price.map(|price| Prior::log_price(price.input, price.output)) }
}

/// Each arm's price; the dearest of the route where it is unknown, and the same for all where none is.
pub fn prices(spec: &RouteSpec) -> Vec<Price> {
    let blended = |price: &Price| 3.0 * price.input + price.output;
    let known = spec.arms.iter().filter_map(|arm| arm.price);
    let dearest = known.max_by(|a, b| blended(a).total_cmp(&blended(b)));
    let unknown = dearest.unwrap_or(Price { input: 1.0, output: 1.0, cached_input: None });
    spec.arms.iter().map(|arm| arm.price.unwrap_or(unknown)).collect()
}
