//! The whole loop in simulation: requests with known outcomes go to a policy one after another, and what is learned of
//! its answers comes late, or never.

mod scenario;
mod stream;
mod summary;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::policy::{Decision, NoCandidate, Policy, RouteSpec, Settlement};

pub use scenario::{Change, Scenario};
pub use stream::{Observed, Request, Stream};
pub use summary::{Mean, Summary};

/// How feedback reaches the policy, and how long the stream is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// Shuffles the stream and draws everything else.
    pub seed: u64,
    /// Mean delay of a score, in requests; exponential.
    pub delay: f64,
    /// Share of answers that are never scored, 0 to 1.
    pub missing: f64,
    /// Requests; a stream that is shorter is repeated in another order.
    pub requests: Option<usize>,
}

/// One request of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Index into [`Stream::requests`].
    pub request: usize,
    /// Index into [`Stream::arms`].
    pub arm: usize,
    pub quality: f64,
    pub cost_usd: f64,
    pub propensity: f64,
}

/// Plays `stream` to a policy that `make` builds for the route as it is at the beginning.
///
/// # Errors
/// [`NoCandidate`] if the route has no arm.
pub fn play(
    stream: &Stream,
    spec: &RouteSpec,
    make: &dyn Fn(&RouteSpec) -> Box<dyn Policy>,
    scenario: &Scenario,
    conditions: &Conditions,
) -> Result<Vec<Step>, NoCandidate> {
    let mut rng = StdRng::seed_from_u64(conditions.seed);
    let order = order(stream.requests.len(), conditions.requests, &mut rng);
    let mut world = scenario.begin(stream, spec, order.len());
    let mut policy = make(&world.spec);
    let mut late = Late::default();
    let mut steps = Vec::with_capacity(order.len());
    for (now, &request) in order.iter().enumerate() {
        if world.advance(now) {
            policy.configure(&world.spec);
        }
        let asked = &stream.requests[request];
        let decision = policy.decide(&asked.context, rng.random())?;
        let arm = stream.arm(&decision.candidates[decision.chosen].arm);
        let seen = world.observe(asked, arm, rng.random());
        policy.settled(&decision, &settlement(&decision, &seen));
        steps.push(Step {
            request,
            arm,
            quality: seen.quality,
            cost_usd: seen.cost_usd,
            propensity: decision.candidates[decision.chosen].propensity,
        });
        if rng.random::<f64>() >= conditions.missing {
            let wait = -(1.0 - rng.random::<f64>()).ln() * conditions.delay;
            late.push(now + wait as usize, decision, seen.quality);
        }
        late.deliver(now, &mut *policy);
    }
    Ok(steps)
}

/// The stream in a random order, again and again in another one until it is long enough.
fn order(n: usize, wanted: Option<usize>, rng: &mut StdRng) -> Vec<usize> {
    let wanted = wanted.unwrap_or(n);
    let mut order = Vec::with_capacity(wanted + n);
    while order.len() < wanted && n > 0 {
        let mut pass: Vec<usize> = (0..n).collect();
        pass.shuffle(rng);
        order.extend(pass);
    }
    order.truncate(wanted);
    order
}

fn settlement(decision: &Decision, seen: &Observed) -> Settlement {
    Settlement {
        arm: decision.candidates[decision.chosen].arm.clone(),
        usage: Some(seen.usage),
        cost_usd: Some(seen.cost_usd),
    }
}

/// Scores that are under way.
#[derive(Default)]
struct Late {
    waiting: Vec<(usize, Decision, f64)>,
}

impl Late {
    fn push(&mut self, due: usize, decision: Decision, quality: f64) {
        self.waiting.push((due, decision, quality));
    }

    fn deliver(&mut self, now: usize, policy: &mut dyn Policy) {
        for (_, decision, quality) in self.waiting.extract_if(.., |(due, ..)| *due <= now) {
            policy.learn(&decision, quality);
        }
    }
}
