//! What the policy knows of one route, and how each piece of news about its requests changes that.

use std::iter;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::arm::Arm;
use super::controller::{Controller, Schedule};
use super::gaussian::Gaussian;
use super::newcomer::at_level_of;
use super::panel::{Lesson, Panels};
use super::retired::Retired;
use super::solution::{Problem, Solution};
use super::{ArmSpec, Decision, Kind, Reward, RouteSpec, SegmentSpec, Settlement};
use crate::difficulty::{ArmPrior, Entrant, Prior, RoutePrior, undated};

/// One route's arms, and who steers them: the route's own knob, and each segment's. The arms learn from every answer,
/// whichever controller decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteState {
    pub spec: RouteSpec,
    /// One per arm of `spec.arms`, in their order.
    pub arms: Vec<Arc<Arm>>,
    /// Arms that are no longer configured: scores of their answers still come, and a model that is put back keeps what
    /// is known of it.
    retired: Retired<Arm>,
    /// How far the route's prompts and scorers have moved all arms, and how much better its dear models are than
    /// elsewhere.
    pub shift: Arc<Gaussian>,
    pub(super) panels: Panels,
    /// The workload whose level the shift is about: see [`RoutePrior::home`].
    home: Option<String>,
    /// The route's own, then one per segment of `spec.segments`, in their order.
    controllers: Vec<Controller>,
    /// When controllers with few requests are solved again, counted over the whole route.
    schedule: Schedule,
}

/// Index of the route's own controller.
const OWN: usize = 0;

impl RouteState {
    pub(super) fn configured(spec: &RouteSpec, prior: &Prior, before: Option<Self>) -> Self {
        let fresh = prior.route(&entrants(spec));
        match before {
            Some(before) => {
                let fresh = before.levelled(fresh, prior);
                before.reconfigured(spec, &fresh)
            }
            None => Self::cold(spec, fresh),
        }
    }

    fn cold(spec: &RouteSpec, RoutePrior { home, shift, arms }: RoutePrior) -> Self {
        let shift = Gaussian::about_zero(shift);
        let d = arms.first().map_or(1, |arm| arm.mean.len());
        let mut state = Self {
            spec: spec.clone(),
            arms: arms.iter().map(|arm| Arc::new(fresh(arm, &shift))).collect(),
            retired: Retired::default(),
            shift: Arc::new(shift),
            panels: Panels::new(d),
            home,
            controllers: controllers(spec, |_| None),
            schedule: Schedule::default(),
        };
        state.solve_all();
        state
    }

    /// Where new models start beside those that are here. The shift says nothing of models that were looked up in another
    /// workload than these were.
    fn levelled(&self, fresh: RoutePrior, prior: &Prior) -> Vec<ArmPrior> {
        if fresh.home == self.home {
            return fresh.arms;
        }
        let there = prior.beside(fresh.home.as_deref(), &entrants(&self.spec));
        let residents: Vec<(&Arm, ArmPrior)> = self.arms.iter().map(|arm| &**arm).zip(there).collect();
        at_level_of(&residents, fresh.arms, &self.shift)
    }

    fn reconfigured(mut self, spec: &RouteSpec, priors: &[ArmPrior]) -> Self {
        let before: Vec<(String, Arc<Arm>)> =
            self.spec.arms.iter().map(|arm| arm.arm.clone()).zip(std::mem::take(&mut self.arms)).collect();
        let known = |name: &str| before.iter().find(|(arm, _)| arm == name).map(|(_, arm)| arm.clone());
        let mut arm = |name: &str, prior| {
            if let Some(kept) = known(name).or_else(|| self.retired.take(name)) {
                return kept;
            }
            let is_version = |other: &str| undated(other) == undated(name);
            let parent = before.iter().find(|(other, _)| is_version(other)).map(|(_, arm)| arm);
            let parent = parent.or_else(|| self.retired.newest(is_version));
            Arc::new(parent.map_or_else(|| fresh(prior, &self.shift), |parent| Arm::inherit(parent)))
        };
        self.arms = spec.arms.iter().zip(priors).map(|(spec, prior)| arm(&spec.arm, prior)).collect();
        let gone = before.iter().filter(|(name, _)| spec.arms.iter().all(|arm| arm.arm != *name));
        gone.for_each(|(name, arm)| self.retired.put(name, arm.clone()));
        self.controllers = controllers(spec, |segment| Some(self.controllers[self.index(segment)?].clone()));
        let is_known = |arm: &str| spec.arm_index(arm).is_some() || self.retired.contains(arm);
        self.controllers.iter_mut().for_each(|controller| controller.spending.retain(is_known));
        self.spec = spec.clone();
        self.solve_all();
        self
    }

    /// The route's own: for requests in no segment.
    pub fn controller(&self) -> &Controller {
        &self.controllers[OWN]
    }

    /// The segments, each with its controller.
    pub fn segments(&self) -> impl Iterator<Item = (&SegmentSpec, &Controller)> {
        self.spec.segments.iter().zip(&self.controllers[OWN + 1..])
    }

    /// The controller that steers the requests of a segment, and the segment's name; for an unknown segment, the
    /// route's.
    pub(super) fn steering<'a>(&self, segment: Option<&'a str>) -> (&Controller, Option<&'a str>) {
        match self.index(segment) {
            Some(one) => (&self.controllers[one], segment),
            None => (self.controller(), None),
        }
    }

    /// Index of the controller of a segment, or of the route's own; `None` for an unknown segment.
    fn index(&self, segment: Option<&str>) -> Option<usize> {
        let Some(name) = segment else { return Some(OWN) };
        self.spec.segments.iter().position(|segment| segment.name == name).map(|i| OWN + 1 + i)
    }

    /// Index of the controller that decided. `None` for pinned requests, shadows, and segments no longer configured:
    /// then only the arms learn.
    fn steered(&self, decision: &Decision) -> Option<usize> {
        self.index(decision.segment.as_deref()).filter(|_| decision.is_traffic())
    }

    /// The controller that pays for a request's shadow and judges, and is compared: its segment's; `None` where the
    /// segment is no longer configured.
    pub(super) fn responsible(&mut self, decision: &Decision) -> Option<&mut Controller> {
        let one = self.index(decision.segment.as_deref())?;
        Some(&mut self.controllers[one])
    }

    /// The arm to compare the decision's controller with: its best, if its own knob decided.
    pub fn best_for(&self, decision: &Decision) -> Option<&str> {
        let controller = &self.controllers[self.index(decision.segment.as_deref())?];
        controller.best_name(&self.spec).filter(|_| controller.owns(decision))
    }

    /// Times that the quality of an arm was found to have changed; `None` where it is not configured.
    pub fn drift_alarms(&self, arm: &str) -> Option<u64> {
        Some(self.arms[self.spec.arm_index(arm)?].drift.alarms)
    }

    /// Requests decided, by any of the controllers.
    pub fn decided(&self) -> u64 {
        self.controllers.iter().map(|controller| controller.schedule.decided).sum()
    }

    /// An arm that answered, whether or not it is still configured, and the shift.
    fn arm(&mut self, name: &str) -> Option<(&mut Arm, &mut Arc<Gaussian>)> {
        let arm = match self.spec.arm_index(name) {
            Some(arm) => &mut self.arms[arm],
            None => self.retired.get_mut(name)?,
        };
        Some((Arc::make_mut(arm), &mut self.shift))
    }

    pub(super) fn hear(&mut self, decision: &Decision) {
        if let (Some(one), Some(chosen)) = (self.steered(decision), decision.candidates.get(decision.chosen)) {
            self.controllers[one].hear(decision, chosen);
            self.panels.hear(decision);
            self.schedule.hear();
        }
    }

    pub(super) fn settle(&mut self, decision: &Decision, settlement: &Settlement) {
        let speaker = decision.speaker(&settlement.arm);
        if let (Some((arm, _)), Some(usage)) = (self.arm(speaker), &settlement.usage) {
            let input = f64::from(decision.input_tokens);
            arm.settle(usage, &decision.phi, decision.verbosity, input);
        }
        settlement.cost_usd.iter().for_each(|usd| self.spend_on_shadow(decision, *usd));
        let Some(one) = self.steered(decision) else { return };
        let answered = &settlement.arm;
        self.controllers[one].answered(decision, answered);
        settlement.cost_usd.iter().for_each(|usd| self.controllers[one].settle(&self.spec, decision, answered, *usd));
        self.solve_due(one);
    }

    /// Calls cost `usd`, and nobody answered.
    pub(super) fn spend(&mut self, decision: &Decision, usd: f64) {
        self.spend_on_shadow(decision, usd);
        let own = self.steered(decision).map(|one| &mut self.controllers[one]);
        own.filter(|controller| controller.owns(decision)).into_iter().for_each(|own| own.spending.spent_usd += usd);
    }

    /// Whatever came of it, where `decision` is a shadow's.
    fn spend_on_shadow(&mut self, decision: &Decision, usd: f64) {
        let pays = self.responsible(decision).filter(|_| decision.kind == Kind::Shadow);
        pays.into_iter().for_each(|controller| controller.spending.shadow_usd += usd);
    }

    /// After an answer to a request of controller `one`. Controllers with few requests follow what the route learns
    /// from others'.
    fn solve_due(&mut self, one: usize) {
        let (own, pooled) = (self.controllers[one].schedule.due(), self.schedule.due());
        for other in 0..self.controllers.len() {
            if (own && other == one) || (pooled && self.controllers[other].window.is_few()) {
                self.solve(other, true);
            }
        }
    }

    /// From scratch: earlier solutions say nothing about how things are now.
    fn solve_all(&mut self) {
        (0..self.controllers.len()).for_each(|one| self.solve(one, false));
    }

    /// Solves again for one of the controllers; `smoothly`: starting from its earlier solution.
    fn solve(&mut self, one: usize, smoothly: bool) {
        let controller = &self.controllers[one];
        let others = self.controllers.iter().enumerate().filter(|(other, _)| *other != one);
        let problem = Problem {
            spec: &self.spec,
            knob: controller.knob,
            arms: &self.arms,
            shift: &self.shift,
            panels: &self.panels,
            rows: controller.window.pooled(others.map(|(_, other)| &*other.window)),
            measured: &controller.measured,
            spending: &controller.spending,
        };
        let solution = Solution::new(&problem, smoothly.then_some(&*controller.solution));
        self.controllers[one].solution = Arc::new(solution);
    }

    pub(super) fn learn(&mut self, decision: &Decision, name: &str, was: Reward, now: Reward) {
        let lessons = lessons(decision, name);
        for (name, lesson) in &lessons {
            self.watch(decision, name, lesson, was, now);
        }
        self.hear_form(decision.speaker(name), decision, was, now);
        for (name, lesson) in &lessons {
            self.teach(decision, name, lesson, was, now);
        }
        if let Some((value, weight)) = now.scored() {
            self.panels.learn(decision, was.judged(), value, weight);
        }
        self.count(name, was, now);
        self.measure(decision, name, was, now);
    }

    /// Has an arm's quality changed? Who is asked only where a panel differs is not worse for that.
    fn watch(&mut self, decision: &Decision, name: &str, lesson: &Lesson, was: Reward, now: Reward) {
        if lesson.offset != 0.0 {
            return;
        }
        match (was.judged(), now.judged()) {
            (None, Some(y)) => self.posterior(name, |arm, shift| arm.watch(shift, &decision.phi, lesson.value(y))),
            (Some(old), Some(y)) => self.posterior(name, |arm, _| arm.revised(lesson.value(y) - lesson.value(old))),
            (_, None) => {}
        }
    }

    /// One arm learns what an answer's scores say of it.
    fn teach(&mut self, decision: &Decision, name: &str, lesson: &Lesson, was: Reward, now: Reward) {
        let scored = |reward: Reward| reward.scored().map(|(value, weight)| (lesson.value(value), weight));
        let beside = |reward: Reward| (lesson.offset, lesson.share(reward.judged().unwrap_or(1.0)));
        match (scored(was), scored(now)) {
            (Some((old, old_weight)), Some((value, weight))) => self.posterior(name, |arm, shift| {
                arm.correct(shift, &decision.phi, value - old, old_weight);
                if weight > old_weight {
                    arm.learn_beside(shift, &decision.phi, value, weight - old_weight, beside(now));
                }
            }),
            (None, Some((value, weight))) => {
                self.posterior(name, |arm, shift| arm.learn_beside(shift, &decision.phi, value, weight, beside(now)));
            }
            (Some((old, weight)), None) => self.forget(name, decision, old, weight),
            (None, None) => {}
        }
    }

    fn posterior(&mut self, name: &str, change: impl FnOnce(&mut Arm, &mut Gaussian)) {
        let Some((arm, shift)) = self.arm(name) else { return };
        let alarms = arm.drift.alarms;
        change(arm, Arc::make_mut(shift));
        if arm.drift.alarms > alarms {
            self.solve_all();
        }
    }

    /// Counts an arm's answers that somebody judged, each once.
    fn count(&mut self, name: &str, was: Reward, now: Reward) {
        if let (None, Some(_), Some((arm, _))) = (was.judged(), now.judged(), self.arm(name)) {
            arm.scored += 1;
        }
    }

    /// The mean follows an answer's form. The covariance stays: nobody judged the answer.
    fn hear_form(&mut self, name: &str, decision: &Decision, was: Reward, now: Reward) {
        let Some((arm, shift)) = self.arm(name) else { return };
        let mut form = arm.form;
        let change = form.hear(was, now, || arm.outlook(shift, &decision.phi, 1.0).quality);
        arm.form = form;
        if change != 0.0 {
            self.posterior(name, |arm, shift| arm.correct(shift, &decision.phi, change, Reward::FORM_WEIGHT));
        }
    }

    /// A score no longer stands: the mean moves to where an answer as good as expected would have left it.
    fn forget(&mut self, name: &str, decision: &Decision, old: f64, weight: f64) {
        self.posterior(name, |arm, shift| {
            let quality = arm.outlook(shift, &decision.phi, 1.0).quality;
            arm.correct(shift, &decision.phi, quality - old, weight);
        });
    }

    /// A judged answer by the arm that was drawn says how good the route's answers are; one by a fallback does not.
    fn measure(&mut self, decision: &Decision, name: &str, was: Reward, now: Reward) {
        let Some(one) = self.steered(decision) else { return };
        let Some(chosen) = decision.candidates.get(decision.chosen).filter(|chosen| chosen.arm == name) else { return };
        let Some(value) = now.judged() else { return };
        self.controllers[one].measure(&self.spec, decision, chosen, was.judged(), value);
        if was.judged().is_none() {
            self.controllers[one].schedule.judge();
            self.schedule.judge();
        }
        if self.controllers[one].schedule.is_outdated() {
            self.solve_due(one);
        }
    }
}

/// The controllers of a route: `known` ones as they were, new ones for the rest.
fn controllers(spec: &RouteSpec, known: impl Fn(Option<&str>) -> Option<Controller>) -> Vec<Controller> {
    let one = |segment: Option<&str>, knob, explore| match known(segment) {
        Some(controller) => controller.turned(knob, explore),
        None => Controller::new(knob, explore),
    };
    let segments = spec.segments.iter().map(|segment| one(Some(&segment.name), segment.knob, segment.explore));
    iter::once(one(None, spec.knob, spec.explore)).chain(segments).collect()
}

/// What each arm has to learn of an answer by the arm `name`, or by the panel in its place.
fn lessons<'a>(decision: &'a Decision, name: &'a str) -> Vec<(&'a str, Lesson)> {
    let arm = decision.candidates.iter().position(|candidate| candidate.arm == name);
    match (decision.panel(), arm) {
        (Some(panel), Some(arm)) => {
            let lessons = panel.lessons(&decision.candidates, arm).into_iter();
            lessons.map(|lesson| (decision.candidates[lesson.arm].arm.as_str(), lesson)).collect()
        }
        _ => vec![(name, Lesson::own(decision.chosen))],
    }
}

/// An arm that has not been seen in this route.
fn fresh(prior: &ArmPrior, shift: &Gaussian) -> Arm {
    let arm = Arm::new(prior);
    if prior.known { arm.expected(shift) } else { arm }
}

fn entrants(spec: &RouteSpec) -> Vec<Entrant<'_>> {
    let log_price = |arm: &ArmSpec| arm.price.map(|price| Prior::log_price(price.input, price.output));
    spec.arms.iter().map(|arm| Entrant { name: &arm.arm, log_price: log_price(arm) }).collect()
}
