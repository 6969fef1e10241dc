//! What happens to the world while the stream goes by.

use super::stream::{Observed, Request, Stream};
use crate::policy::RouteSpec;

/// What changes, and to which arm.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scenario {
    /// The arm that it happens to.
    pub arm: usize,
    pub change: Change,
}

/// The kinds of change.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Change {
    #[default]
    None,
    /// The arm's price is multiplied for the middle third of the stream; the route hears of it.
    Price(f64),
    /// The arm's mean quality is this for the middle third of the stream; nobody says so.
    Quality(f64),
    /// The arm joins the route at half time, at this multiple of its price.
    Newcomer(f64),
}

/// The world at one moment of a run.
pub(super) struct World {
    /// The route as it is now.
    pub(super) spec: RouteSpec,
    whole: RouteSpec,
    scenario: Scenario,
    requests: usize,
    /// Mean quality of the arm in the stream.
    usual: f64,
    /// The change holds.
    pub(super) changed: bool,
    /// The change has come, and may have gone again.
    began: bool,
}

impl Scenario {
    pub(super) fn begin(&self, stream: &Stream, spec: &RouteSpec, requests: usize) -> World {
        let mut world = World {
            spec: spec.clone(),
            whole: spec.clone(),
            scenario: self.clone(),
            requests,
            usual: stream.fixed(self.arm).0,
            changed: false,
            began: false,
        };
        world.spec = world.route();
        world
    }

    /// Mean quality and cost of an arm's answers as multiples of what they are without the scenario, while the change
    /// holds or does not; `None` where the route lacks the arm. `usual`: the changing arm's mean quality.
    pub(super) fn effect(&self, arm: usize, changed: bool, usual: f64) -> Option<(f64, f64)> {
        match self.change {
            _ if arm != self.arm => Some((1.0, 1.0)),
            Change::Newcomer(_) if !changed => None,
            Change::Price(factor) | Change::Newcomer(factor) if changed => Some((1.0, factor)),
            Change::Quality(level) if changed => Some(((level / usual).min(1.0), 1.0)),
            _ => Some((1.0, 1.0)),
        }
    }

    /// The quality of the best answer to each request of the stream by an arm that the route has, while the change holds
    /// or does not; the changing arm's as it is on average.
    pub(super) fn greatest(&self, stream: &Stream, changed: bool) -> Vec<f64> {
        let usual = stream.fixed(self.arm).0;
        let effect = |arm| self.effect(arm, changed, usual).map(|(quality, _)| (arm, quality));
        let effects: Vec<(usize, f64)> = (0..stream.arms.len()).filter_map(effect).collect();
        let worth = |request: &Request, (arm, quality): (usize, f64)| request.outcomes[arm].quality * quality;
        let best = |request: &Request| effects.iter().map(|effect| worth(request, *effect)).fold(0.0, f64::max);
        stream.requests.iter().map(best).collect()
    }
}

impl World {
    /// Time goes on; true where the route's configuration changed.
    pub(super) fn advance(&mut self, now: usize) -> bool {
        let changed = match self.scenario.change {
            Change::None => false,
            Change::Price(_) | Change::Quality(_) => (self.requests / 3..2 * self.requests / 3).contains(&now),
            Change::Newcomer(_) => now >= self.requests / 2,
        };
        let turned = changed != self.changed;
        self.changed = changed;
        self.began |= changed;
        let spec = self.route();
        turned && std::mem::replace(&mut self.spec, spec) != self.spec
    }

    fn route(&self) -> RouteSpec {
        let mut spec = self.whole.clone();
        match self.scenario.change {
            Change::Newcomer(_) if !self.changed => drop(spec.arms.remove(self.scenario.arm)),
            Change::Price(factor) | Change::Newcomer(factor) if self.changed => {
                if let Some(price) = &mut spec.arms[self.scenario.arm].price {
                    (price.input, price.output) = (price.input * factor, price.output * factor);
                }
            }
            _ => {}
        }
        spec
    }

    /// The arm of this name.
    pub(super) fn arm(&self, name: &str) -> usize {
        self.whole.arm_index(name).unwrap_or_default()
    }

    /// Whether `arm`'s quality is another now than it was at the beginning.
    pub(super) fn is_changed(&self, arm: usize) -> bool {
        self.changed && arm == self.scenario.arm && matches!(self.scenario.change, Change::Quality(_))
    }

    /// Whether it ever was: an alarm of this arm is then no false one.
    pub(super) fn has_changed(&self, arm: &str) -> bool {
        let changing = matches!(self.scenario.change, Change::Quality(_)) && self.began;
        changing && self.whole.arms[self.scenario.arm].arm == arm
    }

    /// What `arm` answers now; `draw` is uniform in [0, 1).
    pub(super) fn observe(&self, request: &Request, arm: usize, draw: f64) -> Observed {
        let seen = request.outcomes[arm];
        if !self.changed || arm != self.scenario.arm {
            return seen;
        }
        match self.scenario.change {
            Change::Price(factor) | Change::Newcomer(factor) => Observed { cost_usd: seen.cost_usd * factor, ..seen },
            // What it says now, nobody else says.
            Change::Quality(level) if draw >= level / self.usual => {
                Observed { quality: 0.0, said: seen.said.map(|_| u32::MAX), ..seen }
            }
            Change::Quality(_) => seen,
            Change::None => seen,
        }
    }
}
