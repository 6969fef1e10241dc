//! What one knob steers with: the requests that it decides, what was measured and spent on them, and the price of quality
//! that follows from it. The arms are the route's; a controller only says what they are worth.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::audit::Audit;
use super::measured::{Measured, Spending, cost_of, greedy_cost};
use super::solution::Solution;
use super::window::Window;
use super::{Candidate, Decision, Knob, RouteSpec};

/// One knob's state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Controller {
    pub knob: Knob,
    /// False: always the arm that the posterior means prefer.
    pub explore: bool,
    pub window: Arc<Window>,
    pub measured: Measured,
    pub spending: Spending,
    pub audit: Audit,
    pub solution: Arc<Solution>,
    pub schedule: Schedule,
}

/// How many requests were decided, and at which number of them the next solution is due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    pub decided: u64,
    next: u64,
    /// Answers judged since the last solution.
    judged: u64,
}

impl Controller {
    /// Before any request. It has no solution yet.
    pub(super) fn new(knob: Knob, explore: bool) -> Self {
        Self {
            knob,
            explore,
            window: Arc::default(),
            measured: Measured::default(),
            spending: Spending::default(),
            audit: Audit::default(),
            solution: Arc::default(),
            schedule: Schedule::default(),
        }
    }

    /// The same requests, steered by this knob from here on: what was measured at another knob says nothing about this
    /// one.
    pub(super) fn turned(self, knob: Knob, explore: bool) -> Self {
        if self.knob == knob {
            return Self { explore, ..self };
        }
        Self { window: self.window, solution: self.solution, schedule: self.schedule, ..Self::new(knob, explore) }
    }

    /// Whether the controller's current knob made this decision. Requests that were pinned, brought another knob in
    /// `x-satisfice-quality`, or were decided before the knob changed do not count.
    pub(super) fn owns(&self, decision: &Decision) -> bool {
        decision.is_traffic() && decision.knob == self.knob
    }

    pub(super) fn hear(&mut self, decision: &Decision, chosen: &Candidate) {
        Arc::make_mut(&mut self.window).push(decision);
        self.schedule.hear();
        if self.owns(decision) {
            self.measured.decided(chosen.quality);
        }
    }

    /// The answer, by the arm `answered`, cost `usd`.
    pub(super) fn settle(&mut self, spec: &RouteSpec, decision: &Decision, answered: &str, usd: f64) {
        if !self.owns(decision) {
            return;
        }
        self.spending.settled(usd, greedy_cost(decision));
        let candidates = decision.candidates.iter().map(|candidate| &candidate.arm).enumerate();
        for (k, arm) in candidates.filter(|(_, arm)| spec.arm_index(arm).is_some()) {
            self.spending.instead(arm, cost_of(decision, k, answered, usd) - usd);
        }
    }

    /// `arm` answered. Of the comparison's requests those count whose arm is the one that was drawn: no other answer is
    /// compared.
    pub(super) fn answered(&mut self, decision: &Decision, arm: &str) {
        let chosen = decision.candidates.get(decision.chosen).filter(|chosen| chosen.arm == arm);
        if chosen.is_some() && self.owns(decision) {
            self.audit.answered(decision);
        }
    }

    /// The answer of the arm that was drawn is judged to be worth `value`; it was `was` before.
    pub(super) fn measure(
        &mut self,
        spec: &RouteSpec,
        decision: &Decision,
        chosen: &Candidate,
        was: Option<f64>,
        value: f64,
    ) {
        Arc::make_mut(&mut self.window).score(decision, value);
        if !self.owns(decision) {
            return;
        }
        match was {
            Some(old) => {
                self.measured.revised(value - old);
                self.best_name(spec).into_iter().for_each(|best| self.audit.revised(decision, best, value - old));
            }
            None => {
                self.measured.scored(value - chosen.quality);
                self.best_name(spec).into_iter().for_each(|best| self.audit.scored(decision, best, value));
            }
        }
    }

    /// The answers (own, best) to a request of the comparison are worth `now`; they were worth `was` before.
    pub(super) fn compare(&mut self, decision: &Decision, was: Option<(f64, f64)>, now: (f64, f64)) {
        if self.owns(decision) {
            self.audit.compared(decision, was, now);
        }
    }

    /// The arm with the highest expected quality on recent requests.
    pub fn best(&self) -> Option<usize> {
        let quality = |arm: &usize| self.solution.arms[*arm].quality;
        (0..self.solution.arms.len()).max_by(|a, b| quality(a).total_cmp(&quality(b)))
    }

    /// Its name.
    pub fn best_name<'a>(&self, spec: &'a RouteSpec) -> Option<&'a str> {
        Some(&spec.arms.get(self.best()?)?.arm)
    }
}

impl Schedule {
    pub(super) fn hear(&mut self) {
        self.decided += 1;
    }

    pub(super) fn judge(&mut self) {
        self.judged += 1;
    }

    /// Whether so many answers were judged since the last solution that it is out of date, as when scores come late and
    /// no requests with them.
    pub(super) fn is_outdated(&self) -> bool {
        self.judged >= 2 * stride(self.decided)
    }

    /// Whether a solution is due; if so, schedules the next one.
    pub(super) fn due(&mut self) -> bool {
        let due = self.decided >= self.next || self.is_outdated();
        if due {
            (self.next, self.judged) = (self.decided + stride(self.decided), 0);
        }
        due
    }
}

/// Requests until the next solution: few while little is known, then enough that solving costs a few µs per request.
fn stride(decided: u64) -> u64 {
    match decided {
        0..64 => 1,
        64..256 => 4,
        _ => (decided / 16).clamp(16, 512),
    }
}
