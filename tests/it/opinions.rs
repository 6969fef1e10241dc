//! What is believed where two cheap models decide whether a dear one is asked: it meets the harder prompts only, and is held
//! to be no worse for that.

use std::f64::consts::TAU;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use satisfice::catalog::Price;
use satisfice::difficulty::{Bundle, Context};
use satisfice::policy::{
    ArmSpec, Ask, Decision, Knob, Reward, RouteSpec, RouteState, Settlement, Snapshot, Verdict, decide, sigmoid,
};

use crate::recorded::USAGE;

const ROUTE: &str = "auto";
/// USD for a million tokens.
const PRICES: [f64; 3] = [0.2, 0.3, 10.0];
/// Logits at a prompt of usual difficulty, which varies by this deviation.
const LOGITS: [f64; 3] = [1.8, 2.0, 2.6];
const SPREAD: f64 = 2.0;
/// Wrong answers are the same with this probability.
const SAME: f64 = 0.1;

/// A world whose prompts are all alike, as far as can be seen.
struct World {
    rng: StdRng,
    snapshot: Snapshot,
    context: Context,
    consult: bool,
}

/// Of the requests so far.
#[derive(Default)]
struct Seen {
    requests: f64,
    quality: f64,
    usd: f64,
    agreed: f64,
    /// The third arm was asked.
    dear: f64,
}

impl World {
    fn new(seed: u64, knob: Knob, consult: bool) -> Self {
        let arm = |(i, usd): (usize, f64)| {
            let price = Some(Price::of(usd, usd));
            ArmSpec { arm: format!("unheard-of-{i}"), price, context_window: None }
        };
        let arms = PRICES.into_iter().enumerate().map(arm).collect();
        let spec = RouteSpec { name: ROUTE.into(), knob, explore: true, arms, segments: vec![] };
        let snapshot = Snapshot::new(Bundle::embedded().unwrap().prior.clone()).configure(&[spec]);
        let mut phi = vec![0.0; snapshot.routes[ROUTE].arms[0].quality.dim()];
        phi[0] = 1.0;
        let context = Context { phi, difficulty: 0.5, widening: 1.0, verbosity: 0.0, input_tokens: 100 };
        Self { rng: StdRng::seed_from_u64(seed), snapshot, context, consult }
    }

    /// The arms' answers to one prompt: 0 is right.
    fn answers(&mut self) -> [u32; 3] {
        let (radius, angle) = ((-2.0 * self.rng.random::<f64>().max(1e-12).ln()).sqrt(), self.rng.random::<f64>());
        let ease = SPREAD * radius * (TAU * angle).cos();
        let mut next = 1;
        LOGITS.map(|logit| {
            next += 1;
            match (self.rng.random::<f64>() < sigmoid(logit + ease), self.rng.random::<f64>() < SAME.sqrt()) {
                (true, _) => 0,
                (false, true) => 1,
                (false, false) => next,
            }
        })
    }

    fn request(&mut self, seen: &mut Seen) {
        let route = self.snapshot.routes[ROUTE].clone();
        let ask = Ask { consult: self.consult, ..Ask::default() };
        let draw = self.rng.random();
        let decision = decide(&self.snapshot, &route, &self.context, &[0, 1, 2], ask, draw).unwrap();
        let answers = self.answers();
        let (decision, said, usd) = answered(decision, answers, seen);
        let quality = f64::from(u8::from(said == 0));
        (seen.requests, seen.quality, seen.usd) = (seen.requests + 1.0, seen.quality + quality, seen.usd + usd);
        let arm = decision.candidates[decision.chosen].arm.clone();
        let settlement = Settlement { arm: arm.clone(), usage: Some(USAGE), cost_usd: Some(usd) };
        let scored = Reward::Scored { value: quality, weight: 1.0 };
        let snapshot = self.snapshot.clone().decided(ROUTE, &decision).settled(ROUTE, &decision, &settlement);
        self.snapshot = snapshot.learn(ROUTE, &decision, &arm, Reward::Unknown, scored);
    }

    fn run(&mut self, requests: usize) -> Seen {
        let mut seen = Seen::default();
        (0..requests).for_each(|_| self.request(&mut seen));
        seen
    }

    fn believed(&self) -> [f64; 3] {
        let route: &Arc<RouteState> = &self.snapshot.routes[ROUTE];
        [0, 1, 2].map(|arm| route.arms[arm].outlook(&route.shift, &self.context.phi, 1.0).quality)
    }
}

/// The decision once a panel was heard, what is answered in the end, and USD for all calls.
fn answered(decision: Decision, answers: [u32; 3], seen: &mut Seen) -> (Decision, u32, f64) {
    let cost = |arm: usize| Price::of(PRICES[arm], PRICES[arm]).cost(&USAGE);
    let drawn = decision.chosen;
    let Some(members) = decision.panel().map(|panel| panel.members) else {
        seen.dear += f64::from(u8::from(drawn == 2));
        return (decision, answers[drawn], cost(drawn));
    };
    let [one, other] = members.map(|member| answers[member]);
    let asked = members.map(cost).iter().sum::<f64>();
    if one == other {
        seen.agreed += 1.0;
        return (decision.heard(Verdict::Agreed), one, asked);
    }
    seen.dear += f64::from(u8::from(drawn == 2));
    let like = [one, other].map(|said| said == answers[drawn]);
    (decision.heard(Verdict::Differed(like)), answers[drawn], asked + cost(drawn))
}

/// What each arm is worth on all prompts.
fn truth() -> [f64; 3] {
    let mut world = World::new(99, Knob::Quality(1.0), false);
    let mut right = [0.0; 3];
    for _ in 0..40_000 {
        let answers = world.answers();
        right.iter_mut().zip(answers).for_each(|(right, said)| *right += f64::from(u8::from(said == 0)));
    }
    right.map(|right| right / 40_000.0)
}

#[test]
fn a_model_that_meets_the_hard_prompts_only_is_believed_to_be_as_good_as_it_is_on_all() {
    let (truth, runs) = (truth(), 6);
    let mut believed = [0.0; 3];
    for seed in 0..runs {
        let mut world = World::new(seed, Knob::Quality(1.0), true);
        let seen = world.run(3_000);
        assert!(seen.agreed > 0.1 * seen.requests && seen.dear > 0.05 * seen.requests, "{} {}", seen.agreed, seen.dear);
        believed.iter_mut().zip(world.believed()).for_each(|(sum, is)| *sum += is / runs as f64);
    }
    for (believed, truth) in believed.iter().zip(truth) {
        println!("{believed:.3} {truth:.3}");
        assert!((believed - truth).abs() < 0.03, "{believed:.3} {truth:.3}");
    }
}

#[test]
fn a_bar_is_kept_for_less() {
    let mean = |consult| {
        let (mut quality, mut usd) = (0.0, 0.0);
        for seed in 0..6 {
            let mut world = World::new(seed, Knob::Quality(0.98), consult);
            world.run(1_000);
            let seen = world.run(1_000);
            (quality, usd) = (quality + seen.quality / seen.requests / 6.0, usd + seen.usd / seen.requests / 6.0);
        }
        (quality, usd)
    };
    let (alone, panels, best) = (mean(false), mean(true), truth()[2]);
    assert!(alone.0 > 0.965 * best && panels.0 > 0.965 * best, "{alone:?} {panels:?} {best}");
    assert!(panels.1 < 0.7 * alone.1, "{alone:?} {panels:?}");
}
