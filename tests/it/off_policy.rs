//! Off-policy evaluation against a simulated truth: intervals cover as they say, sequences err as seldom as they say.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use satisfice::difficulty::Context;
use satisfice::evaluate::off_policy::{
    Estimate, Estimates, Fixed, Greedy, Logged, Outcome, Replay, Row, Target, TooFew, Uniform, compare, estimate,
};
use satisfice::policy::rivals::{LinUcb, SquareCb, TaskBlind};
use satisfice::policy::{Candidate, Knob, Policy, RouteSpec};

const ARMS: [&str; 3] = ["small", "middle", "large"];
/// USD of an answer.
const COST: [f64; 3] = [1e-3, 3e-3, 1e-2];

/// Three models on requests x, uniform in [−1, 1].
#[derive(Clone, Copy)]
struct World {
    /// Logit of each model's quality at x = 0, and its slope.
    skill: [(f64, f64); 3],
    /// Chance that an answer of each is judged.
    judged: [f64; 3],
    /// What is believed of the logits beyond the truth: no belief is right.
    delusion: f64,
}

const WORLD: World = World { skill: [(-0.5, -2.0), (0.5, -1.5), (1.5, -0.5)], judged: [0.9, 0.35, 0.6], delusion: 0.7 };

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// The request x, answered by its drawn candidate and not judged.
fn asked(x: f64, candidates: Vec<Candidate>, chosen: usize) -> Row {
    let context = Context { phi: vec![1.0, x], difficulty: 0.5, widening: 1.0, verbosity: 0.0, input_tokens: 1 };
    Row { context, candidates, chosen, answered: Some(chosen), usage: None, quality: None, cost_usd: None }
}

impl World {
    fn quality(&self, k: usize, x: f64) -> f64 {
        sigmoid(self.skill[k].0 + self.skill[k].1 * x)
    }

    /// The request x, with its candidates as the logged policy saw them.
    fn candidates(&self, x: f64) -> Vec<Candidate> {
        let leaning = [sigmoid(-2.0 * x), 0.3, sigmoid(2.0 * x)];
        let total: f64 = leaning.iter().sum();
        let candidate = |k: usize| Candidate {
            arm: ARMS[k].into(),
            quality: sigmoid(
                self.skill[k].0 + self.skill[k].1 * x + self.delusion * (k as f64 - 1.0) * (3.0 * x).cos(),
            ),
            cost_usd: COST[k],
            propensity: leaning[k] / total,
        };
        (0..3).map(candidate).collect()
    }

    fn row(&self, rng: &mut StdRng) -> Row {
        let x = rng.random_range(-1.0..1.0);
        let candidates = self.candidates(x);
        let mut rest = rng.random::<f64>();
        let falls = |candidate: &Candidate| {
            rest -= candidate.propensity;
            rest < 0.0
        };
        let chosen = candidates.iter().position(falls).unwrap_or(2);
        let good = rng.random::<f64>() < self.quality(chosen, x);
        let quality = (rng.random::<f64>() < self.judged[chosen]).then(|| f64::from(u8::from(good)));
        Row { quality, cost_usd: Some(COST[chosen]), ..asked(x, candidates, chosen) }
    }

    fn rows(&self, n: usize, rng: &mut StdRng) -> Vec<Row> {
        (0..n).map(|_| self.row(rng)).collect()
    }

    /// E Σₖ π′(k|x) y(x, k), by the midpoint rule.
    fn truth(&self, target: &dyn Target) -> f64 {
        const POINTS: usize = 2_000;
        let at = |i: usize| {
            let x = (2.0 * i as f64 + 1.0) / POINTS as f64 - 1.0;
            let p = target.over(&[asked(x, self.candidates(x), 0)]).remove(0).unwrap();
            (0..3).map(|k| p[k] * self.quality(k, x)).sum::<f64>()
        };
        (0..POINTS).map(at).sum::<f64>() / POINTS as f64
    }
}

/// Never looks at the row's answer: hard requests to the large model, the others to the middle one, mostly.
fn split(row: &Row) -> Option<Vec<f64>> {
    Some(if row.context.phi[1] > 0.2 { vec![0.1, 0.1, 0.8] } else { vec![0.1, 0.8, 0.1] })
}

fn quality(rows: &[Row], target: &dyn Target) -> Estimates {
    estimate(rows, target, Outcome::Quality, None).unwrap()
}

fn all(estimates: &Estimates) -> [Estimate; 4] {
    [ips(estimates), snips(estimates), estimates.dr, estimates.sndr.expect("enough were judged")]
}

fn ips(estimates: &Estimates) -> Estimate {
    estimates.ips.expect("enough were judged")
}

fn snips(estimates: &Estimates) -> Estimate {
    estimates.snips.expect("enough were judged")
}

#[test]
fn intervals_hold_the_truth_in_95_of_100_draws_though_models_are_judged_unequally_often() {
    const DRAWS: usize = 1_000;
    let mut rng = StdRng::seed_from_u64(11);
    let targets: [&dyn Target; 3] = [&split, &Fixed("middle".into()), &Uniform];
    let truths = targets.map(|target| WORLD.truth(target));
    let mut covered = [[0_usize; 4]; 3];
    for _ in 0..DRAWS {
        let rows = WORLD.rows(800, &mut rng);
        for ((target, truth), covered) in targets.iter().zip(truths).zip(&mut covered) {
            for (estimate, covered) in all(&quality(&rows, *target)).iter().zip(covered) {
                *covered += usize::from((estimate.low..=estimate.high).contains(&truth));
            }
        }
    }
    let shares = covered.map(|of| of.map(|n| n as f64 / DRAWS as f64));
    println!("policy by ips, snips, dr, sndr: {shares:?}");
    assert!(shares.iter().flatten().all(|share| (0.93..=0.97).contains(share)), "{shares:?}");
}

/// A model that is drawn for one request in four hundred, of which too much is believed, and all of whose answers that
/// were seen were as good as that.
#[test]
fn of_a_model_that_is_hardly_ever_drawn_the_intervals_say_how_little_is_known() {
    let mut rng = StdRng::seed_from_u64(13);
    let truth = 0.85;
    let candidate =
        |arm: &str, quality, cost_usd, propensity| Candidate { arm: arm.into(), quality, cost_usd, propensity };
    let mut covered = [0_usize; 2];
    for _ in 0..200 {
        let row = |_| {
            let candidates = vec![candidate("small", 0.8, 1e-3, 0.9975), candidate("large", 0.95, 1e-2, 0.0025)];
            let chosen = usize::from(rng.random::<f64>() < 0.0025);
            let quality = Some(f64::from(u8::from(rng.random::<f64>() < [0.8, truth][chosen])));
            // Every model's answers cost four fifths of what was predicted.
            let cost_usd = Some(0.8 * candidates[chosen].cost_usd);
            Row { quality, cost_usd, ..asked(0.0, candidates, chosen) }
        };
        let rows: Vec<Row> = (0..2_000).map(row).collect();
        let of = |outcome| estimate(&rows, &Fixed("large".into()), outcome, None).unwrap().dr;
        for (covered, (found, truth)) in
            covered.iter_mut().zip([(of(Outcome::Quality), truth), (of(Outcome::Cost), 8e-3)])
        {
            *covered += usize::from((found.low..=found.high).contains(&truth));
        }
    }
    assert!(covered.iter().all(|covered| *covered >= 180), "{covered:?} of 200");
}

#[test]
fn doubly_robust_is_the_narrowest_and_leaving_out_who_is_not_judged_would_mislead() {
    let mut rng = StdRng::seed_from_u64(12);
    let rows = WORLD.rows(40_000, &mut rng);
    let (found, truth) = (quality(&rows, &Uniform), WORLD.truth(&Uniform));
    let width = |estimate: Estimate| estimate.high - estimate.low;
    assert!(width(found.dr) < width(snips(&found)) && width(snips(&found)) < width(ips(&found)), "{found:?}");
    let judged: Vec<Row> = rows.into_iter().filter(|row| row.quality.is_some()).collect();
    let naive = snips(&quality(&judged, &Uniform));
    assert!(!(naive.low..=naive.high).contains(&truth), "{naive:?} {truth}");
    assert!((snips(&found).low..=snips(&found).high).contains(&truth), "{found:?} {truth}");
}

#[test]
fn the_logged_policy_s_own_value_is_the_mean_of_what_was_seen() {
    let world = World { judged: [1.0; 3], ..WORLD };
    let rows = world.rows(500, &mut StdRng::seed_from_u64(13));
    let found = quality(&rows, &Logged);
    let mean = rows.iter().filter_map(|row| row.quality).sum::<f64>() / 500.0;
    assert!((ips(&found).value - mean).abs() < 1e-12 && (snips(&found).value - mean).abs() < 1e-12);
    assert!((found.effective - 500.0).abs() < 1e-9 && (found.largest_weight - 1.0).abs() < 1e-12);
    let cost = estimate(&rows, &Fixed("large".into()), Outcome::Cost, None).unwrap();
    assert!((cost.dr.value - COST[2]).abs() < 1e-12 && cost.dr.low <= cost.dr.high, "{cost:?}");
}

#[test]
fn weights_are_cut_at_the_clip_and_counted_by_their_effect() {
    let rows = WORLD.rows(2_000, &mut StdRng::seed_from_u64(14));
    let large = Fixed("large".into());
    let (free, cut) = (quality(&rows, &large), estimate(&rows, &large, Outcome::Quality, Some(3.0)).unwrap());
    assert!(free.largest_weight > 3.0 && cut.largest_weight == 3.0);
    assert!(cut.effective > free.effective && free.effective < free.observed as f64);
    assert!(ips(&cut).high - ips(&cut).low < ips(&free).high - ips(&free).low);
}

#[test]
fn choices_that_the_log_cannot_tell_of_are_counted() {
    let mut rows = WORLD.rows(400, &mut StdRng::seed_from_u64(15));
    for row in &mut rows {
        // The logged policy never asked the large model.
        row.chosen = row.chosen.min(1);
        (row.candidates[2].propensity, row.candidates[1].propensity) = (0.0, 1.0 - row.candidates[0].propensity);
    }
    assert_eq!(quality(&rows, &Fixed("large".into())).support, 0.0);
    assert!((quality(&rows, &Uniform).support - 2.0 / 3.0).abs() < 1e-9);
    let promised = rows.iter().map(|row| row.candidates[2].quality).sum::<f64>() / 400.0;
    assert!((quality(&rows, &Fixed("large".into())).dr.value - promised).abs() < 1e-9, "the predictions' word");
}

#[test]
fn of_no_answer_or_one_by_a_model_there_is_no_value_but_what_was_believed() {
    let mut rows = WORLD.rows(60, &mut StdRng::seed_from_u64(15));
    let mut judged_of_large = |most: usize| {
        let large = rows.iter_mut().filter(|row| row.chosen == 2);
        large.enumerate().for_each(|(i, row)| row.quality = (i < most).then_some(1.0));
        quality(&rows, &Fixed("large".into()))
    };
    for judged in [0, 1] {
        let found = judged_of_large(judged);
        assert_eq!((found.ips, found.snips, found.sndr), (None, None, None), "{judged}");
        assert!(found.dr.value.is_finite() && found.effective < 1.5, "{found:?}");
    }
    let found = judged_of_large(10);
    assert!(found.ips.is_some() && found.snips.is_some() && found.sndr.is_some() && found.effective > 2.0, "{found:?}");
}

#[test]
fn our_policy_at_a_knob_keeps_its_bar_and_costs_less() {
    let world = World { delusion: 0.0, judged: [1.0; 3], ..WORLD };
    let rows = world.rows(20_000, &mut StdRng::seed_from_u64(16));
    let ours = Greedy::at(Knob::Quality(0.95), &rows);
    let (bar, truth) = (0.95 * world.truth(&Fixed("large".into())), world.truth(&ours));
    assert!((truth - bar).abs() < 0.005, "{truth} {bar}");
    let found = quality(&rows, &ours).dr;
    assert!((found.value - truth).abs() < 1.7 * (found.high - found.low) / 2.0, "{found:?} {truth}");
    let cost = estimate(&rows, &ours, Outcome::Cost, None).unwrap().dr.value;
    assert!(cost < 0.8 * COST[2], "{cost}");
    let budget = estimate(&rows, &Greedy::at(Knob::BudgetPer1k(4.0), &rows), Outcome::Cost, None).unwrap().dr.value;
    assert!((budget - 4e-3).abs() < 1e-4, "{budget}");
}

#[test]
fn without_outcomes_there_is_no_value() {
    let mut rows = WORLD.rows(50, &mut StdRng::seed_from_u64(17));
    rows.iter_mut().for_each(|row| row.quality = None);
    assert_eq!(estimate(&rows, &Uniform, Outcome::Quality, None), Err(TooFew(0)));
    assert_eq!(compare(&rows, (&Uniform, &Logged), Outcome::Quality, None), Err(TooFew(0)));
    assert_eq!(estimate(&[], &Uniform, Outcome::Quality, None), Err(TooFew(0)));
}

#[test]
fn two_policies_of_one_value_are_told_apart_in_5_of_100_streams_at_most_however_often_one_looks() {
    const STREAMS: usize = 1_000;
    // All models are equally good, which the beliefs do not know.
    let world = World { skill: [(0.4, -1.0); 3], ..WORLD };
    let mut rng = StdRng::seed_from_u64(18);
    let (mut ever, mut at_the_end) = (0, 0);
    for _ in 0..STREAMS {
        let rows = world.rows(1_500, &mut rng);
        let found = compare(&rows, (&split, &Uniform), Outcome::Quality, None).unwrap();
        ever += usize::from(found.told_apart_at.is_some());
        at_the_end += usize::from(found.difference.low > 0.0 || found.difference.high < 0.0);
    }
    println!("ever {ever}, in one look {at_the_end}, of {STREAMS}");
    assert!(ever <= STREAMS / 20, "{ever} of {STREAMS}");
    assert!((30..=70).contains(&at_the_end), "one look: {at_the_end} of {STREAMS}");
}

#[test]
fn a_model_that_is_rarely_drawn_is_told_apart_as_seldom_from_one_that_is_as_good() {
    const STREAMS: usize = 400;
    let candidate = |arm: &str, propensity| Candidate { arm: arm.into(), quality: 0.95, cost_usd: 1e-3, propensity };
    let (rare, usual) = (Fixed("rare".into()), Fixed("usual".into()));
    for propensity in [0.005, 0.02, 0.1] {
        let mut rng = StdRng::seed_from_u64(20);
        let mut row = || {
            let candidates = vec![candidate("rare", propensity), candidate("usual", 1.0 - propensity)];
            let chosen = usize::from(rng.random::<f64>() >= propensity);
            Row { quality: Some(f64::from(u8::from(rng.random_bool(0.95)))), ..asked(0.0, candidates, chosen) }
        };
        let (mut ever, mut at_the_end) = (0, 0);
        for _ in 0..STREAMS {
            let rows: Vec<Row> = (0..1_000).map(|_| row()).collect();
            let found = compare(&rows, (&rare, &usual), Outcome::Quality, None).unwrap();
            ever += usize::from(found.told_apart_at.is_some());
            at_the_end += usize::from(found.difference.low > 0.0 || found.difference.high < 0.0);
        }
        assert!(ever <= STREAMS / 20 && at_the_end <= STREAMS / 14, "{propensity}: {ever}, one look: {at_the_end}");
    }
}

#[test]
fn two_policies_of_different_value_are_told_apart_in_the_right_direction() {
    let rows = WORLD.rows(4_000, &mut StdRng::seed_from_u64(19));
    let (large, small) = (Fixed("large".into()), Fixed("small".into()));
    let found = compare(&rows, (&large, &small), Outcome::Quality, None).unwrap();
    let (low, high) = found.anytime.unwrap();
    let truth = WORLD.truth(&large) - WORLD.truth(&small);
    assert!(low > 0.0 && found.told_apart_at.is_some_and(|row| row < 2_000), "{found:?}");
    assert!((low..=high).contains(&truth) && low < found.difference.low && found.difference.high < high, "{found:?}");
    let turned = compare(&rows, (&small, &large), Outcome::Quality, None).unwrap();
    assert!((turned.difference.value + found.difference.value).abs() < 1e-12);
}

type Make = fn(&RouteSpec) -> Box<dyn Policy>;

/// The policies that learn, with quality alone to count.
fn learners(rows: &[Row]) -> [Replay; 3] {
    let makes: [Make; 3] = [
        |spec| Box::new(TaskBlind::new(spec)),
        |spec| Box::new(LinUcb::new(spec)),
        |spec| Box::new(SquareCb::new(spec)),
    ];
    makes.map(|make| Replay::new(rows, Knob::Quality(1.0), make))
}

/// What a replay came to, so that it need not run for each estimator anew.
struct Replayed(Vec<Option<Vec<f64>>>);

impl Target for Replayed {
    fn over(&self, _: &[Row]) -> Vec<Option<Vec<f64>>> {
        self.0.clone()
    }
}

/// The mean over these requests of what a policy with these probabilities is worth.
fn worth(rows: &[Row], probabilities: &[Option<Vec<f64>>]) -> f64 {
    let of_row = |(row, p): (&Row, &Option<Vec<f64>>)| {
        let p = p.as_ref().expect("all models were candidates");
        (0..3).map(|k| p[k] * WORLD.quality(k, row.context.phi[1])).sum::<f64>()
    };
    rows.iter().zip(probabilities).map(of_row).sum::<f64>() / rows.len() as f64
}

#[test]
fn what_a_learning_policy_was_worth_at_each_request_is_within_its_intervals() {
    const DRAWS: usize = 200;
    let mut rng = StdRng::seed_from_u64(21);
    let mut covered = [[0_usize; 4]; 3];
    for _ in 0..DRAWS {
        let rows = WORLD.rows(2_000, &mut rng);
        for (learner, covered) in learners(&rows).iter().zip(&mut covered) {
            let replayed = Replayed(learner.over(&rows));
            let truth = worth(&rows, &replayed.0);
            for (estimate, covered) in all(&quality(&rows, &replayed)).iter().zip(covered) {
                *covered += usize::from((estimate.low..=estimate.high).contains(&truth));
            }
        }
    }
    let shares = covered.map(|of| of.map(|n| n as f64 / DRAWS as f64));
    println!("policy by ips, snips, dr, sndr: {shares:?}");
    // 0.95 less three standard errors of so many draws. The requests are those at hand, not all that there might be, for
    // which an interval is rather too wide.
    assert!(shares.iter().flatten().all(|share| *share >= 0.904), "{shares:?}");
}

#[test]
fn a_learning_policy_learns_from_the_log_and_never_from_what_is_still_to_come() {
    let rows = WORLD.rows(2_000, &mut StdRng::seed_from_u64(22));
    let mut other = rows.clone();
    other[1_000..].iter_mut().for_each(|row| row.quality = row.quality.map(|quality| 1.0 - quality));
    for learner in learners(&rows) {
        let (one, another) = (learner.over(&rows), learner.over(&other));
        assert_eq!(one[..=1_000], another[..=1_000]);
        assert_ne!(one[1_001..], another[1_001..]);
        assert!(worth(&rows[1_000..], &one[1_000..]) > WORLD.truth(&Uniform) + 0.05);
    }
}

#[test]
fn a_learning_policy_answers_what_all_models_were_candidates_of() {
    let mut rows = WORLD.rows(50, &mut StdRng::seed_from_u64(23));
    rows[7].candidates.swap_remove(1);
    (rows[7].chosen, rows[7].answered) = (0, None);
    let [_, linucb, _] = learners(&rows);
    let unanswered: Vec<usize> = (0..50).filter(|&i| linucb.over(&rows)[i].is_none()).collect();
    assert_eq!(unanswered, [7]);
}
