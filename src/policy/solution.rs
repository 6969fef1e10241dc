//! The shadow price of quality that follows from the newest requests, and how much to explore.
//!
//! The constrained problem (least cost at a mean quality, or most quality at a mean cost) has a Lagrangian that
//! separates by request: choose argmax V·p̃ₖ(x) − ĉₖ(x), with one V (USD for a unit of quality) for all. V is found
//! on the window of recent requests by what the means would choose there, and the target is moved by what was
//! *measured*: no model is believed about itself.

use serde::{Deserialize, Serialize};

use super::arm::Arm;
use super::forecast::{Forecast, Summary};
use super::gaussian::Gaussian;
use super::logistic::normal_cdf;
use super::measured::{Measured, Spending};
use super::mixture::Mixture;
use super::panel::Panels;
use super::window::{self, Row};
use super::{Knob, RouteSpec};

/// Points of ln V, from [`LOW`] to [`HIGH`] about the dearest model's mean cost.
const GRID: usize = 41;
const LOW: f64 = -10.0;
const HIGH: f64 = 7.0;
/// The best model's quality is estimated this many deviations high: too low a reference would break the bar unseen …
const OPTIMISM: f64 = 0.1;
/// … and in proportion to its variance: a belief is shrunk towards the prior's mean so, and the best of several models lies
/// above that mean, of five by 1.16 deviations. The deviation of the mean quality of models known by their price alone …
const PRIOR_DEVIATION: f64 = 0.19;
/// … and, where none of the requests went to it, by this share of what a bar lets go. A model is asked where it is
/// believed to be worth its price, and a curve fitted there underrates it elsewhere: on five of six recorded workloads
/// by .002 to .026, at a bar of .95.
const MISFIT: f64 = 0.16;
/// How much of the measured distance to the bar is made good, at most this share of the best quality (anti-windup).
const GAIN: f64 = 1.0;
const GREATEST_CORRECTION: f64 = 0.025;
const MEASURED_BELIEF: f64 = 200.0;
/// The last bit of quality, this share of what a bar lets go, is never worth the whole scale of V. Where little is known of
/// the models, the most that is believed to be had is hardly more than the bar, and this counts: of unknown models, on thirds
/// of reasoning, mmlu, mmlu-pro and gsm8k-pair that the classifier had not seen, a bar of .95 kept .930 to .946 with .075, and
/// .941 to .954 with this.
const SLACK: f64 = 0.03;
/// A new V has at least this weight against the old one: quality is concave in V, so that its noise costs some.
const SMOOTHING: f64 = 0.02;
/// … but V stays within this distance of the newest, in ln V: what a cold start believed must not cost money for long.
const FARTHEST: f64 = 3.0;
/// Where one step of V sends more than this share of the requests to another model, as where all are alike, no single
/// price keeps a bar that lies between the two: a coin decides between them. On varied traffic a step moves 12 to 25 % of
/// the requests, and one smoothed V serves a little better.
const STEEP: f64 = 0.4;
/// Requests over which an overspent budget is made good.
const BUDGET_HORIZON: f64 = 200.0;
/// At most this share of the budget is held back to make good overspending …
const OVERSPENT: f64 = 0.5;
/// … and at most this share is added because of savings: a monthly budget should last every day of the month.
const SAVED: f64 = 0.02;
/// Exploration of an arm whose mean quality is known to ± [`KNOWN`]; half of it where there is a bar, which needs the
/// quality of many arms.
const EXPLORATION: f64 = 0.02;
const KNOWN: f64 = 0.1;
/// A bar above 1 − this lets less of the quality go, and the arms have to be known better than in proportion, since their
/// distance counts as well as the best one's: where all are good, a deviation that is harmless elsewhere hides it.
const USUAL_ALLOWANCE: f64 = 0.05;
/// An arm up to this many deviations below the best is explored as much as the best, so that a newcomer known only by
/// its price gets its chance …
const HOPEFUL: f64 = 1.0;
/// … and one further below in proportion to the normal tail. A bar multiplies the distance by this: of a dozen arms
/// that are likely worse, all explored a little, most would be asked in vain. A budget that buys a dear model's answers
/// only now and then still has to know it.
const RESIGNED: f64 = 2.0;

/// The controller's present answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Solution {
    /// ln V, smoothed; the likelier of two where there is a mixture.
    pub log_value: f64,
    /// The prices that spend a budget, or that keep a bar where no single price does.
    pub mixture: Option<Mixture>,
    /// Quality and cost of the means' choices on the window, for each ln V.
    table: Vec<Point>,
    /// Mean quality of the best single model on the window.
    pub reference: f64,
    /// Each arm's mean quality on the window, its deviation, and its mean cost.
    pub arms: Vec<Summary>,
    /// Probability with which each arm is asked only to learn, before its price is considered.
    pub curiosity: Vec<f64>,
    bias: f64,
    /// Solutions so far.
    count: u64,
    /// Whether the window was full: with few requests, a step of V moves many of them by chance.
    full: bool,
}

/// One point of the frontier on the window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Point {
    log_value: f64,
    quality: f64,
    cost_usd: f64,
    /// Share of the requests that the point before sends to another arm.
    moved: f64,
}

/// What a solution is made of.
pub struct Problem<'a> {
    pub spec: &'a RouteSpec,
    pub knob: Knob,
    pub arms: &'a [std::sync::Arc<Arm>],
    pub shift: &'a Gaussian,
    pub panels: &'a Panels,
    /// Recent requests.
    pub rows: Vec<&'a Row>,
    pub measured: &'a Measured,
    pub spending: &'a Spending,
}

impl Solution {
    /// Solves again; `before` is what is smoothed from.
    pub fn new(problem: &Problem, before: Option<&Self>) -> Self {
        let mut forecast = Forecast::new(problem);
        let table = frontier(&forecast);
        let answered = answered(problem);
        forecast.correct(problem, &answered);
        let reference = reference(problem.knob, &answered, &forecast.summaries);
        let mut solution = Self {
            log_value: 0.0,
            mixture: None,
            table,
            reference,
            arms: forecast.summaries.clone(),
            curiosity: Vec::new(),
            bias: problem.measured.bias(),
            count: before.map_or(0, |before| before.count) + 1,
            full: problem.rows.len() >= window::CAPACITY,
        };
        let (wanted, mixture) = match problem.knob {
            Knob::Quality(q) => solution.promising(q, solution.target(q, problem.measured)),
            Knob::BudgetPer1k(usd) => {
                let mixture = spending(usd, problem, &forecast, &solution.table);
                (mixture.likelier(), Some(mixture))
            }
            Knob::Value(usd) => (usd.ln(), None),
        };
        solution.mixture = mixture;
        solution.log_value = solution.smoothed(wanted, problem.knob, before);
        solution.curiosity = curiosity(&solution.arms, solution.log_value.exp(), problem.knob);
        solution
    }

    /// ln V for a request that brought its own bar, and the two of them where no single one does: the window's answer,
    /// without what the route's knob has to make good.
    pub fn prices_for(&self, q: f64) -> (f64, Option<Mixture>) {
        self.promising(q, q * self.reference - self.bias)
    }

    /// ln V at which the means promise this quality, or for the bar `q` as much of it as is worth its price; and the two
    /// of them where no single one does.
    fn promising(&self, q: f64, quality: f64) -> (f64, Option<Mixture>) {
        let most = self.table.iter().map(|point| point.quality).fold(0.0, f64::max);
        let target = quality.min(most - SLACK * (1.0 - q) * self.reference);
        let mixture = self.bridge(target);
        (mixture.map_or_else(|| crossing(&self.table, target), |mixture| mixture.likelier()), mixture)
    }

    /// The quality that the means should promise so that the measured one meets q times the best model's.
    fn target(&self, q: f64, measured: &Measured) -> f64 {
        let bar = q * self.reference;
        let correction = measured.quality().map_or(0.0, |(quality, answers)| {
            let trust = GAIN * answers / (answers + MEASURED_BELIEF);
            let most = GREATEST_CORRECTION * self.reference;
            (trust * (bar - quality)).clamp(-most, most)
        });
        bar + correction - self.bias
    }

    /// USD that the means' choices cost on the window, at the V in force; 0 before the first request.
    pub fn usual_cost(&self) -> f64 {
        let reached = self.table.partition_point(|point| point.log_value < self.log_value);
        let (below, above) = (self.table.get(reached.wrapping_sub(1)), self.table.get(reached));
        match (below, above) {
            (Some(low), Some(high)) => {
                let share = (self.log_value - low.log_value) / (high.log_value - low.log_value);
                low.cost_usd + share * (high.cost_usd - low.cost_usd)
            }
            (end, other) => end.or(other).map_or(0.0, |end| end.cost_usd),
        }
    }

    /// The neighbouring prices whose mixture promises `target`, where the step between them is [`STEEP`].
    fn bridge(&self, target: f64) -> Option<Mixture> {
        let reached = self.table.iter().position(|point| point.quality >= target)?;
        let (low, high) = (self.table.get(reached.checked_sub(1)?)?, &self.table[reached]);
        let share = (target - low.quality) / (high.quality - low.quality);
        let mixture = Mixture { low: low.log_value, high: high.log_value, share };
        (self.full && high.moved > STEEP).then_some(mixture)
    }

    fn smoothed(&self, wanted: f64, knob: Knob, before: Option<&Self>) -> f64 {
        match (before, knob) {
            (Some(before), Knob::Quality(_)) if self.mixture.is_none() => {
                let share = SMOOTHING.max(1.0 / (1.0 + (self.count - 1) as f64 / 4.0));
                (before.log_value + share * (wanted - before.log_value)).clamp(wanted - FARTHEST, wanted + FARTHEST)
            }
            _ => wanted,
        }
    }
}

/// The arm that each request of the window went to; `None`: one that is no longer in the route.
fn answered(problem: &Problem) -> Vec<Option<usize>> {
    problem.rows.iter().map(|row| problem.spec.arm_index(&row.arm)).collect()
}

/// What the best single model is held to be worth on the window.
fn reference(knob: Knob, answered: &[Option<usize>], arms: &[Summary]) -> f64 {
    let asked = |arm: usize| answered.iter().filter(|answered| **answered == Some(arm)).count();
    let unasked = |arm: usize| 1.0 - asked(arm) as f64 / answered.len().max(1) as f64;
    let (shrinkage, misfit) = match knob {
        Knob::Quality(q) => (greatest_of(arms.len()) / PRIOR_DEVIATION, MISFIT * (1.0 - q)),
        _ => (0.0, 0.0),
    };
    let held = |(i, arm): (usize, &Summary)| {
        let known = arm.quality * (1.0 + misfit * unasked(i));
        known + OPTIMISM * arm.deviation + shrinkage * arm.deviation.powi(2)
    };
    arms.iter().enumerate().map(held).fold(0.0, f64::max)
}

/// The mean of the greatest of `n` standard normal variables: ∫₀^∞ 1 − Φⁿ(x) − (1 − Φ(x))ⁿ dx.
fn greatest_of(n: usize) -> f64 {
    const STEP: f64 = 0.05;
    let n = n as f64;
    let tail = |i: u32| {
        let cdf = normal_cdf((f64::from(i) + 0.5) * STEP);
        1.0 - cdf.powf(n) - (1.0 - cdf).powf(n)
    };
    (0..120).map(tail).sum::<f64>() * STEP
}

/// What the choice argmax V·p̃ − ĉ comes to for each V of the grid; quality and cost grow with V.
fn frontier(forecast: &Forecast) -> Vec<Point> {
    let dearest = forecast.summaries.iter().map(|arm| arm.cost_usd).fold(1e-12, f64::max);
    let log_value = |i: usize| LOW + (HIGH - LOW) * i as f64 / (GRID - 1) as f64 + dearest.ln();
    let mut before = Vec::new();
    let point = |i: usize| {
        let chosen = choices(forecast, log_value(i));
        // None at the first point, which has none before it.
        let moved = before.iter().zip(&chosen).filter(|(before, now)| before != now).count() as f64;
        let (quality, cost_usd) = (mean_of(&forecast.quality, &chosen), mean_of(&forecast.cost, &chosen));
        before = chosen;
        Point { log_value: log_value(i), quality, cost_usd, moved: moved / forecast.quality.len().max(1) as f64 }
    };
    (0..GRID).map(point).collect()
}

/// The arm that each request of the window goes to at one V.
fn choices(forecast: &Forecast, log_value: f64) -> Vec<usize> {
    let value = log_value.exp();
    let choice = |(p, c): (&Vec<f64>, &Vec<f64>)| greatest(p.iter().zip(c).map(|(p, c)| value * p - c));
    forecast.quality.iter().zip(&forecast.cost).map(choice).collect()
}

/// The mean over the rows of their chosen columns.
fn mean_of(rows: &[Vec<f64>], chosen: &[usize]) -> f64 {
    rows.iter().zip(chosen).map(|(row, chosen)| row[*chosen]).sum::<f64>() / rows.len().max(1) as f64
}

/// The prices of quality that spend a budget of `usd` per 1,000 requests.
fn spending(usd: f64, problem: &Problem, forecast: &Forecast, table: &[Point]) -> Mixture {
    let target = allowance(usd / 1000.0, problem.spending);
    let above = table.iter().position(|point| point.cost_usd > target).unwrap_or(table.len() - 1);
    let (low, high) = (table[above.saturating_sub(1)].log_value, table[above].log_value);
    Mixture::solve(target, low, high, |log_value| mean_of(&forecast.cost, &choices(forecast, log_value)))
}

/// The first of the greatest.
pub fn greatest(values: impl Iterator<Item = f64>) -> usize {
    let best = values.enumerate().fold((0, f64::NEG_INFINITY), |best, next| if next.1 > best.1 { next } else { best });
    best.0
}

/// Where the quality first reaches `target`, linear between points; the nearer end where it never does or always has.
fn crossing(table: &[Point], target: f64) -> f64 {
    let mut before: Option<(f64, f64)> = None;
    for point in table {
        let reached = before.map_or(point.quality, |(_, most)| most.max(point.quality));
        if reached >= target {
            return match before {
                Some((log_value, most)) => {
                    log_value + (point.log_value - log_value) * (target - most) / (reached - most)
                }
                None => point.log_value,
            };
        }
        before = Some((point.log_value, reached));
    }
    before.map_or(0.0, |(log_value, _)| log_value)
}

/// USD that the greedy choice may cost on average, so that what is paid comes to the budget.
fn allowance(budget: f64, spending: &Spending) -> f64 {
    let over = (spending.spent_usd - budget * spending.answers) / BUDGET_HORIZON;
    (budget - over.clamp(-SAVED * budget, OVERSPENT * budget)) / spending.overrun(budget)
}

/// The wider an arm's mean quality and the likelier it is best, the more it is asked: best at this V or, where a bar is
/// a share of the best quality, in quality alone. Without a bar, an arm that is too dear at any quality need not be
/// known.
fn curiosity(arms: &[Summary], value: f64, knob: Knob) -> Vec<f64> {
    let has_bar = matches!(knob, Knob::Quality(_));
    let utility = |arm: &Summary| value * arm.quality - arm.cost_usd;
    let best_utility = arms.iter().map(utility).fold(f64::NEG_INFINITY, f64::max);
    let best_quality = arms.iter().map(|arm| arm.quality).fold(f64::NEG_INFINITY, f64::max);
    let (most, steepness) = if has_bar { (EXPLORATION / 2.0, RESIGNED) } else { (EXPLORATION, 1.0) };
    let known = match knob {
        Knob::Quality(q) => KNOWN * ((1.0 - q) / USUAL_ALLOWANCE).clamp(0.1, 1.0).powf(1.5),
        _ => KNOWN,
    };
    let wish = |arm: &Summary| {
        let deviation = arm.deviation.max(1e-6);
        let as_choice = (utility(arm) - best_utility) / (value * deviation);
        let as_reference = if has_bar { (arm.quality - best_quality) / deviation } else { f64::NEG_INFINITY };
        most * (arm.deviation / known).powi(2) * hope(as_choice.max(as_reference), steepness)
    };
    arms.iter().map(wish).collect()
}

/// The share of its exploration left to an arm that stands `z` deviations above the best: 0 to 1.
fn hope(z: f64, steepness: f64) -> f64 {
    (2.0 * normal_cdf(steepness * (z + HOPEFUL))).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arm_that_may_well_be_best_is_explored_in_full_and_one_that_hardly_can_be_is_not() {
        assert_eq!([0.0, -0.5].map(|z| hope(z, 2.0)), [1.0; 2]);
        // Two deviations below it, the tail at minus two: twice 2.3%.
        assert!((hope(-2.0, 2.0) - 0.0455).abs() < 1e-3 && hope(-3.0, 2.0) < 1e-3);
        assert_eq!(hope(f64::NEG_INFINITY, 2.0), 0.0);
    }

    #[test]
    fn a_price_of_quality_follows_slowly_but_is_never_far_behind() {
        let (bar, old) = (Knob::Quality(0.95), Solution { log_value: -1.0, ..Solution::default() });
        let next = |wanted| Solution { count: 1000, ..Solution::default() }.smoothed(wanted, bar, Some(&old));
        assert!((next(-2.0) - (-1.0 - SMOOTHING)).abs() < 1e-12);
        assert_eq!([next(-9.0), next(7.0)], [-9.0 + FARTHEST, 7.0 - FARTHEST]);
    }

    #[test]
    fn the_best_model_is_held_higher_where_it_is_not_asked_by_a_share_of_what_the_bar_lets_go() {
        let arm = |quality| Summary { quality, deviation: 0.0, cost_usd: 1.0 };
        let held = |knob, answered: &[Option<usize>]| reference(knob, answered, &[arm(0.8), arm(0.5)]) - 0.8;
        let (asked, unasked) = ([Some(0); 4], [Some(1); 4]);
        let near = |is: f64, should: f64| assert!((is - should).abs() < 1e-12, "{is} {should}");
        near(held(Knob::Quality(0.95), &asked), 0.0);
        near(held(Knob::Quality(0.95), &unasked), 0.8 * 0.05 * MISFIT);
        near(held(Knob::Quality(0.95), &[Some(0), Some(1), None, None]), 0.75 * 0.8 * 0.05 * MISFIT);
        near(held(Knob::Quality(0.99), &unasked), 0.8 * 0.01 * MISFIT);
        near(held(Knob::Value(1.0), &unasked), 0.0);
    }

    #[test]
    fn the_less_is_known_of_the_best_of_many_models_the_more_it_is_held_to_be_shrunk() {
        let held = |deviation, models| {
            let arm = |deviation| Summary { quality: 0.8, deviation, cost_usd: 1.0 };
            let of = |deviation| reference(Knob::Quality(0.95), &[Some(0); 4], &vec![arm(deviation); models]);
            of(deviation) - of(0.0) - OPTIMISM * deviation
        };
        assert!(held(0.01, 5) < 0.001 && held(0.04, 1).abs() < 1e-4, "{} {}", held(0.01, 5), held(0.04, 1));
        // The tables' means of the greatest of 2, 5 and 30.
        for (models, greatest) in [(2, 0.5642), (5, 1.1630), (30, 2.0428)] {
            let beyond = held(0.04, models) - greatest * 0.04 * 0.04 / PRIOR_DEVIATION;
            assert!(beyond.abs() < 1e-5, "{models} {beyond}");
        }
    }

    #[test]
    fn a_bar_means_the_same_where_all_scores_are_a_tenth_as_high() {
        let arm = |quality| Summary { quality, deviation: 0.0, cost_usd: 1.0 };
        let target = |scale: f64, q| {
            let point = |i: u32| {
                let quality = scale * (0.5 + 0.03 * f64::from(i));
                Point { log_value: f64::from(i), quality, cost_usd: 0.0, moved: 0.1 }
            };
            let reference = reference(Knob::Quality(q), &[Some(1); 4], &[arm(0.8 * scale), arm(0.5 * scale)]);
            let solution = Solution { table: (0..11).map(point).collect(), reference, ..Solution::default() };
            solution.prices_for(q).0
        };
        for q in [0.8, 0.95, 0.99, 1.0] {
            assert!((target(1.0, q) - target(0.1, q)).abs() < 1e-9, "{q}: {} {}", target(1.0, q), target(0.1, q));
        }
        // The best model's quality, to the last bit.
        assert!((target(1.0, 1.0) - 10.0).abs() < 1e-9);
    }

    #[test]
    fn the_last_bit_of_quality_is_not_worth_the_whole_scale_unless_the_bar_lets_nothing_go() {
        let point = |log_value: f64, quality| Point { log_value, quality, cost_usd: 0.0, moved: 0.1 };
        let table = vec![point(0.0, 0.90), point(10.0, 0.94)];
        // The bar of .95 lies above all that the models promise.
        let solution = Solution { table, reference: 1.0, ..Solution::default() };
        let short = (10.0 - solution.prices_for(0.95).0) / 10.0 * 0.04;
        assert!((short - SLACK * 0.05).abs() < 1e-9 && short < 0.04 * 0.05, "{short}");
        assert!((solution.prices_for(1.0).0 - 10.0).abs() < 1e-9);
    }

    #[test]
    fn the_higher_the_bar_the_better_an_arm_must_be_known() {
        let arm = Summary { quality: 0.97, deviation: 0.02, cost_usd: 1.0 };
        let curious = |q| curiosity(&[arm], 1.0, Knob::Quality(q))[0] / (EXPLORATION / 2.0);
        for (q, wish) in [(0.8, 0.04), (0.95, 0.04), (0.99, 5.0), (0.995, 40.0), (1.0, 40.0)] {
            assert!((curious(q) / wish - 1.0).abs() < 1e-9, "{q}: {}", curious(q));
        }
    }

    #[test]
    fn who_keeps_to_no_bar_is_not_curious_about_what_is_too_dear_at_any_quality() {
        let arm = |quality, cost_usd| Summary { quality, deviation: 0.1, cost_usd };
        let arms = [arm(0.7, 0.01), arm(0.7, 5.0)];
        let curious = |knob| curiosity(&arms, 1.0, knob)[1];
        let as_reference = curious(Knob::Quality(0.95));
        assert!((as_reference - EXPLORATION / 2.0).abs() < 1e-12, "it may be the best, which the bar is a share of");
        assert_eq!([Knob::Value(1.0), Knob::BudgetPer1k(10.0)].map(curious), [0.0; 2]);
    }
}
