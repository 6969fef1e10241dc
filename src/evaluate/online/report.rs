//! What many runs of a simulation come to, policy by policy.

use serde::Serialize;

use super::course::{Stretch, course};
use super::scenario::Change;
use super::{Reference, Run, Scenario, Step, Stream};
use crate::evaluate::bootstrap::{Interval, interval};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Resamples of the seeds.
const RESAMPLES: usize = 1_000;
/// Requests over which a newcomer's share is taken, and the share below which it is not in use.
const USE_WINDOW: usize = 50;
const LEAST_USE: f64 = 0.05;

/// A mean over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    pub mean: f64,
    /// 95 % of the bootstrap resamples of the seeds.
    pub interval: Option<Interval>,
    /// Seeds that had a value.
    pub seeds: usize,
}

/// How long something took in the seeds in which it came to pass. In the others it took longer than the stream: where
/// there are such, the mean flatters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Wait {
    /// `None`: in no seed.
    pub mean: Option<f64>,
    /// 95 % of the bootstrap resamples of those seeds.
    pub interval: Option<Interval>,
    /// Seeds in which it came to pass …
    pub seeds: usize,
    /// … of so many.
    pub of: usize,
}

/// Means over a part of the stream; `None` where it holds no request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PhaseReport {
    pub phase: &'static str,
    pub quality: Option<Estimate>,
    pub usd_per_1k: Option<Estimate>,
    /// Share of the best fixed model's quality and cost over the whole stream, as it is without the scenario; `None`
    /// where that is 0.
    pub of_best_quality: Option<Estimate>,
    pub of_best_cost: Option<Estimate>,
}

/// One policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyReport {
    pub policy: String,
    /// The whole stream, then its parts.
    pub phases: Vec<PhaseReport>,
    /// Quality that the best answer to each request by a model that the route had would have had, less what was had,
    /// summed over the stream. Of a model whose quality changes answers count what they are worth on average.
    pub regret: Option<Estimate>,
    /// The same against the choices of full-information nearest neighbours: see [`Reference`].
    pub knn_regret: Option<Estimate>,
    /// Mean quality less cost, where the knob says what a unit of quality is worth.
    pub utility: Option<Estimate>,
    /// What nearest neighbours have more of it, at the price of quality at which they meet the knob.
    pub utility_gap: Option<Estimate>,
    /// Requests from a newcomer's joining until it is in use for good; `None` without a newcomer.
    pub adopted_after: Option<Wait>,
    /// Scores of the changed arm from its change to the alarm; `None` where no arm's quality changes.
    pub detected_after: Option<Wait>,
    /// Alarms that no change explains, for 10,000 scores.
    pub false_alarms: Option<Estimate>,
    /// How it went, stretch by stretch.
    pub course: Vec<Stretch>,
}

/// Judges the runs of one policy, one per seed; `value`: USD that a unit of quality is worth.
pub fn report(
    stream: &Stream,
    scenario: &Scenario,
    reference: Option<&Reference>,
    policy: String,
    runs: &[Run],
    value: Option<f64>,
) -> PolicyReport {
    let over = |f: &dyn Fn(&Run) -> Option<f64>| estimate(&runs.iter().filter_map(f).collect::<Vec<_>>());
    let newcomer = matches!(scenario.change, Change::Newcomer(_));
    let watched = matches!(scenario.change, Change::Quality(_));
    let greatest = [false, true].map(|changed| scenario.greatest(stream, changed));
    let regret = |step: &Step| greatest[usize::from(step.changed)][step.request] - step.quality;
    PolicyReport {
        policy,
        phases: phases(scenario).iter().map(|phase| phase_report(stream, *phase, runs)).collect(),
        regret: over(&|run| Some(run.steps.iter().map(regret).sum())),
        knn_regret: reference.and_then(|knn| over(&|run| Some(run.steps.iter().map(|step| knn.regret(step)).sum()))),
        utility: value.and_then(|usd| over(&|run| Some(mean(&run.steps, |s| s.quality - s.cost_usd / usd)))),
        utility_gap: reference
            .and_then(|knn| over(&|run| Some(mean(&run.steps, |s| knn.gap(s))).filter(|gap| gap.is_finite()))),
        adopted_after: newcomer.then(|| Wait::of(runs, |run| adopted(run, scenario.arm))),
        detected_after: watched.then(|| Wait::of(runs, |run| run.detected.map(|scores| scores as f64))),
        false_alarms: over(&|run| Some(1e4 * run.false_alarms as f64 / (run.scores.max(1)) as f64)),
        course: course(runs, stream.arms.len()),
    }
}

/// Name, and where it begins and ends as shares of the stream.
type Phase = (&'static str, f64, f64);

fn phases(scenario: &Scenario) -> &'static [Phase] {
    const THIRD: f64 = 1.0 / 3.0;
    match scenario.change {
        Change::None | Change::Newcomer(_) => {
            &[("whole", 0.0, 1.0), ("first half", 0.0, 0.5), ("second half", 0.5, 1.0)]
        }
        Change::Price(_) | Change::Quality(_) => {
            &[("whole", 0.0, 1.0), ("before", 0.0, THIRD), ("changed", THIRD, 2.0 * THIRD), ("after", 2.0 * THIRD, 1.0)]
        }
    }
}

fn phase_report(stream: &Stream, (phase, from, to): Phase, runs: &[Run]) -> PhaseReport {
    let best = stream.fixed(stream.best());
    let part = |run: &Run| {
        let at = |share: f64| (share * run.steps.len() as f64).round() as usize;
        run.steps[at(from)..at(to)].to_vec()
    };
    let parts: Vec<Vec<Step>> = runs.iter().map(part).filter(|steps| !steps.is_empty()).collect();
    let over = |f: &dyn Fn(&Step) -> f64| estimate(&parts.iter().map(|steps| mean(steps, f)).collect::<Vec<_>>());
    let share = |whole: f64, f: fn(&Step) -> f64| (whole > 0.0).then(|| over(&|step| f(step) / whole)).flatten();
    PhaseReport {
        phase,
        quality: over(&|step| step.quality),
        usd_per_1k: over(&|step| 1e3 * step.cost_usd),
        of_best_quality: share(best.0, |step| step.quality),
        of_best_cost: share(best.1, |step| step.cost_usd),
    }
}

impl Wait {
    fn of(runs: &[Run], wait: impl Fn(&Run) -> Option<f64>) -> Self {
        let found = estimate(&runs.iter().filter_map(wait).collect::<Vec<_>>());
        Self {
            mean: found.map(|estimate| estimate.mean),
            interval: found.and_then(|estimate| estimate.interval),
            seeds: found.map_or(0, |estimate| estimate.seeds),
            of: runs.len(),
        }
    }
}

fn mean(steps: &[Step], f: impl Fn(&Step) -> f64) -> f64 {
    steps.iter().map(f).sum::<f64>() / steps.len().max(1) as f64
}

/// Requests from half time until the newcomer answers at least half of what it does at the end, window by window.
fn adopted(run: &Run, newcomer: usize) -> Option<f64> {
    let since = &run.steps[run.steps.len() / 2..];
    let share = |steps: &[Step]| mean(steps, |step| f64::from(u8::from(step.arm == newcomer)));
    let last = share(&since[since.len() - since.len() / 4..]);
    let windows: Vec<bool> = since.windows(USE_WINDOW).map(|window| share(window) >= last / 2.0).collect();
    let first = windows.iter().position(|used| *used)?;
    (last >= LEAST_USE).then_some(first as f64)
}

/// The mean of one value per seed; `None` of none.
fn estimate(values: &[f64]) -> Option<Estimate> {
    let n = values.len();
    let mean = |of: &mut dyn Iterator<Item = f64>| of.sum::<f64>() / n as f64;
    let mut rng = StdRng::seed_from_u64(n as u64);
    let mut resample = || Some(mean(&mut (0..n).map(|_| values[rng.random_range(0..n)])));
    (n > 0).then(|| Estimate {
        mean: mean(&mut values.iter().copied()),
        interval: (n > 1).then(|| interval((0..RESAMPLES).map(|_| resample()))).flatten(),
        seeds: n,
    })
}

#[cfg(test)]
mod tests {
    use super::super::stream::{Observed, Request};
    use super::*;
    use crate::catalog::{Price, Usage};
    use crate::difficulty::Context;

    fn run(arms: &[usize]) -> Run {
        let step = |&arm| Step { request: 0, arm, quality: 1.0, cost_usd: 1.0, propensity: 1.0, changed: false };
        Run { steps: arms.iter().map(step).collect(), ..Run::default() }
    }

    #[test]
    fn a_newcomer_is_adopted_once_it_answers_half_of_what_it_will() {
        let before = [0; 400];
        let ignored: Vec<usize> = before.iter().copied().chain([0; 400]).collect();
        assert_eq!(adopted(&run(&ignored), 1), None);
        let late: Vec<usize> = before.iter().copied().chain([0; 100]).chain([1; 300]).collect();
        // The window that begins 75 requests after it joined has 25 of its 50.
        assert_eq!(adopted(&run(&late), 1), Some(75.0));
    }

    /// Two arms without a price, the second of no use.
    fn free() -> Stream {
        let outcome = |quality| Observed { quality, usage: Usage::default(), cost_usd: 0.0, said: None };
        let context = Context { phi: vec![1.0], difficulty: 0.5, widening: 1.0, verbosity: 0.0, input_tokens: 1 };
        let request = Request { prompt: 0, context, outcomes: vec![outcome(1.0), outcome(0.0)] };
        Stream {
            arms: vec!["good".into(), "bad".into()],
            prices: vec![Price::of(0.0, 0.0); 2],
            requests: vec![request; 2],
        }
    }

    #[test]
    fn seeds_in_which_it_never_came_to_pass_are_counted_and_are_not_left_out_silently() {
        let regression = Scenario { arm: 0, change: Change::Quality(0.5) };
        let found = |detected: [Option<u64>; 3]| {
            let runs = detected.map(|detected| Run { detected, ..run(&[0; 9]) });
            report(&free(), &regression, None, "p".into(), &runs, None)
                .detected_after
                .expect("something is watched for")
        };
        let wait = found([Some(40), None, Some(60)]);
        assert_eq!((wait.mean, wait.seeds, wait.of), (Some(50.0), 2, 3));
        assert_eq!(found([None; 3]), Wait { mean: None, interval: None, seeds: 0, of: 3 });
    }

    #[test]
    fn a_share_of_nothing_and_a_phase_without_requests_have_no_figure() {
        let of = |steps: &[usize]| report(&free(), &Scenario::default(), None, "p".into(), &[run(steps)], None).phases;
        let phases = of(&[0; 4]);
        assert!(phases[0].of_best_cost.is_none() && phases[0].of_best_quality.is_some(), "{phases:?}");
        let short = of(&[0]);
        assert!(short[0].quality.is_some() && short.iter().any(|phase| phase.quality.is_none()), "{short:?}");
    }

    #[test]
    fn regret_is_about_what_the_route_could_have_had_at_that_moment() {
        let of = |change, arm, changed: [bool; 4]| {
            let mut run = run(&[arm; 4]);
            let quality = if arm == 0 { 1.0 } else { 0.0 };
            run.steps
                .iter_mut()
                .zip(changed)
                .for_each(|(step, changed)| (step.quality, step.changed) = (quality, changed));
            report(&free(), &Scenario { arm: 0, change }, None, "p".into(), &[run], None).regret.unwrap().mean
        };
        let late = [false, false, true, true];
        assert_eq!(of(Change::None, 1, [false; 4]), 4.0);
        assert_eq!(of(Change::Newcomer(1.0), 1, late), 2.0, "it joins at half time");
        assert_eq!(of(Change::Quality(0.25), 1, late), 2.5, "one in four answers stays good");
        assert_eq!(of(Change::Price(2.0), 1, late), 4.0);
    }

    #[test]
    fn a_mean_has_an_interval_around_it() {
        let of = estimate(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        let interval = of.interval.unwrap();
        assert_eq!(of.mean, 2.5);
        assert!(interval.low.unwrap() < 2.5 && interval.high.unwrap() > 2.5, "{interval:?}");
        assert_eq!(estimate(&[]), None);
        assert_eq!(estimate(&[3.0]).unwrap().interval, None);
    }
}
