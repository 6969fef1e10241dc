//! The whole loop in simulation: requests with known outcomes go to a policy one after another, and what is learned of
//! its answers comes late, or never.

mod course;
mod reference;
mod report;
mod scenario;
mod stream;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::policy::{Decision, NoCandidate, Policy, RouteSpec, Settlement, Verdict};

pub use course::{Band, Stretch, Turn};
pub use reference::{Reference, neighbours};
pub use report::{Estimate, PhaseReport, PolicyReport, Wait, report};
use scenario::World;
pub use scenario::{Change, Scenario};
pub use stream::{Observed, Request, Stream};

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
    /// Prompts whose answers by all models the policy hears before the first request. They do not come again.
    pub calibration: usize,
}

/// One request of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Index into [`Stream::requests`].
    pub request: usize,
    /// Index into [`Stream::arms`].
    pub arm: usize,
    /// 0 to 1.
    pub quality: f64,
    pub cost_usd: f64,
    /// π of the arm.
    pub propensity: f64,
    /// What the scenario changes was changed.
    pub changed: bool,
}

/// One policy on one stream in one order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Run {
    pub steps: Vec<Step>,
    /// Scores that were delivered.
    pub scores: u64,
    /// Alarms of arms that had not changed.
    pub false_alarms: u64,
    /// Scores of the changed arm from its change to its first alarm.
    pub detected: Option<u64>,
}

/// Makes a policy for the route as it is at the beginning.
pub type Make<'a> = &'a (dyn Fn(&RouteSpec) -> Box<dyn Policy> + Sync);

/// Plays `stream` to a policy.
///
/// # Errors
/// [`NoCandidate`] if the route has no arm.
pub fn play(
    stream: &Stream,
    spec: &RouteSpec,
    make: Make<'_>,
    scenario: &Scenario,
    conditions: &Conditions,
) -> Result<Run, NoCandidate> {
    let mut rng = StdRng::seed_from_u64(conditions.seed);
    let (calibration, order) = order(stream.requests.len(), conditions, &mut rng);
    let mut world = scenario.begin(stream, spec, order.len());
    let mut policy = make(&world.spec);
    calibrate(stream, &calibration, &mut *policy)?;
    let (mut late, mut run) = (Late::default(), Run::default());
    for (now, &request) in order.iter().enumerate() {
        if world.advance(now) {
            policy.configure(&world.spec);
        }
        let asked = &stream.requests[request];
        let decision = policy.decide(&asked.context, rng.random())?;
        let (decision, seen) = answered(&world, asked, decision, &mut rng);
        policy.decided(&decision);
        let chosen = &decision.candidates[decision.chosen];
        let arm = stream.arm(&chosen.arm);
        policy.settled(&decision, &settlement(&decision, &seen));
        let Observed { quality, cost_usd, .. } = seen;
        let (propensity, changed) = (chosen.propensity, world.changed);
        run.steps.push(Step { request, arm, quality, cost_usd, propensity, changed });
        if rng.random::<f64>() >= conditions.missing {
            let wait = -(1.0 - rng.random::<f64>()).ln() * conditions.delay;
            late.push(now + wait as usize, world.is_changed(arm), decision, quality);
        }
        late.deliver(now, &mut *policy, &mut run, &world);
    }
    Ok(run)
}

/// The answer to a request, by the panel that is asked first or else by the arm that was drawn.
fn answered(world: &World, request: &Request, decision: Decision, rng: &mut StdRng) -> (Decision, Observed) {
    let mut observe = |k: usize| world.observe(request, world.arm(&decision.candidates[k].arm), rng.random());
    let drawn = observe(decision.chosen);
    let Some(panel) = decision.panel() else { return (decision, drawn) };
    let [one, other] = panel.members.map(&mut observe);
    let asked = one.cost_usd + other.cost_usd;
    let (verdict, seen) = match (one.said, other.said) {
        (Some(left), Some(right)) if left == right => (Verdict::Agreed, Observed { cost_usd: asked, ..one }),
        (Some(_), Some(_)) => (Verdict::Differed([one.said, other.said].map(|said| said == drawn.said)), drawn),
        _ => (Verdict::Incomparable, drawn),
    };
    let cost_usd = if verdict == Verdict::Agreed { asked } else { asked + drawn.cost_usd };
    (decision.heard(verdict), Observed { cost_usd, ..seen })
}

/// Prompts to calibrate on, and the others in a random order, again and again in another one until they are enough.
fn order(n: usize, conditions: &Conditions, rng: &mut StdRng) -> (Vec<usize>, Vec<usize>) {
    let mut pass: Vec<usize> = (0..n).collect();
    pass.shuffle(rng);
    let mut rest = pass.split_off(conditions.calibration.min(n));
    let wanted = conditions.requests.unwrap_or(rest.len());
    let mut order = Vec::with_capacity(wanted + rest.len());
    while order.len() < wanted && !rest.is_empty() {
        order.extend(&rest);
        rest.shuffle(rng);
    }
    order.truncate(wanted);
    (pass, order)
}

fn calibrate(stream: &Stream, prompts: &[usize], policy: &mut dyn Policy) -> Result<(), NoCandidate> {
    if !policy.can_be_calibrated() {
        return Ok(());
    }
    for &prompt in prompts {
        let request = &stream.requests[prompt];
        let decision = policy.decide(&request.context, 0.0)?;
        policy.decided(&decision.clone().alone());
        for arm in 0..decision.candidates.len() {
            let pinned = decision.clone().pinned("calibrate", arm);
            let seen = request.outcomes[stream.arm(&pinned.candidates[arm].arm)];
            policy.settled(&pinned, &settlement(&pinned, &seen));
            policy.learn(&pinned, seen.quality);
        }
    }
    Ok(())
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
    waiting: Vec<Score>,
    /// Scores of the changed arm since it changed.
    of_changed: u64,
}

struct Score {
    due: usize,
    /// The answer came of an arm that had changed.
    changed: bool,
    decision: Decision,
    quality: f64,
}

impl Late {
    fn push(&mut self, due: usize, changed: bool, decision: Decision, quality: f64) {
        self.waiting.push(Score { due, changed, decision, quality });
    }

    fn deliver(&mut self, now: usize, policy: &mut dyn Policy, run: &mut Run, world: &World) {
        for score in self.waiting.extract_if(.., |score| score.due <= now).collect::<Vec<_>>() {
            let arm = &score.decision.candidates[score.decision.chosen].arm;
            let before = policy.alarms(arm);
            policy.learn(&score.decision, score.quality);
            run.scores += 1;
            self.of_changed += u64::from(score.changed);
            let alarms = policy.alarms(arm) - before;
            let of_the_change = score.changed || world.is_changed(world.arm(arm));
            match (alarms > 0, of_the_change, world.has_changed(arm)) {
                (true, true, _) => run.detected = run.detected.or(Some(self.of_changed)),
                (true, false, false) => run.false_alarms += alarms,
                // That it is as before again is a change, too, and no discovery of the first one.
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Price, Usage};
    use crate::difficulty::Context;
    use crate::policy::rivals::Fixed;
    use crate::policy::{ArmSpec, Knob};

    /// Always the first arm; an alarm at one of its scores.
    struct Watchful {
        inner: Fixed,
        scores: u64,
        alarm_at: u64,
    }

    impl Policy for Watchful {
        fn name(&self) -> &str {
            self.inner.name()
        }

        fn configure(&mut self, spec: &RouteSpec) {
            self.inner.configure(spec);
        }

        fn decide(&mut self, context: &Context, draw: f64) -> Result<Decision, NoCandidate> {
            self.inner.decide(context, draw)
        }

        fn settled(&mut self, decision: &Decision, settlement: &Settlement) {
            self.inner.settled(decision, settlement);
        }

        fn learn(&mut self, _: &Decision, _: f64) {
            self.scores += 1;
        }

        fn alarms(&self, _: &str) -> u64 {
            u64::from(self.scores >= self.alarm_at)
        }
    }

    fn stream() -> (Stream, RouteSpec) {
        let seen = Observed { quality: 1.0, usage: Usage::default(), cost_usd: 1.0, said: None };
        let context = Context { phi: vec![1.0], difficulty: 0.5, widening: 1.0, verbosity: 0.0, input_tokens: 1 };
        let request = Request { prompt: 0, context, outcomes: vec![seen; 2] };
        let (arms, price) = (["a", "b"].map(String::from), Price::of(1.0, 1.0));
        let spec = |arm: &String| ArmSpec { arm: arm.clone(), price: Some(price), context_window: None };
        let route = RouteSpec {
            name: "auto".into(),
            knob: Knob::Quality(0.9),
            explore: true,
            arms: arms.iter().map(spec).collect(),
            segments: vec![],
        };
        (Stream { arms: arms.to_vec(), prices: vec![price; 2], requests: vec![request; 30] }, route)
    }

    #[test]
    fn only_an_alarm_while_the_regression_lasts_detects_it() {
        let ((stream, route), regression) = (stream(), Scenario { arm: 0, change: Change::Quality(0.5) });
        let conditions = Conditions { seed: 1, delay: 0.0, missing: 0.0, requests: None, calibration: 0 };
        let found = |alarm_at| {
            let make = |spec: &RouteSpec| -> Box<dyn Policy> {
                Box::new(Watchful { inner: Fixed::model(spec, "a"), scores: 0, alarm_at })
            };
            let run = play(&stream, &route, &make, &regression, &conditions).expect("two arms");
            (run.detected, run.false_alarms)
        };
        // The middle third are the scores 11 to 20.
        assert_eq!([5, 15, 25].map(found), [(None, 1), (Some(5), 0), (None, 0)]);
    }
}
