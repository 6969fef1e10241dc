//! What a decision and a lesson cost: `cargo bench --bench decide`.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use satisfice::catalog::Price;
use satisfice::difficulty::{Bundle, Context};
use satisfice::policy::{ArmSpec, Ask, Knob, Reward, RouteSpec, Snapshot, decide};

fn route(models: usize) -> (Snapshot, Context) {
    let bundle = Bundle::embedded().expect("the embedded classifier loads");
    let arm = |i: usize| {
        let usd = 0.1 * 1.1_f64.powi(i as i32);
        ArmSpec { arm: format!("m{i}"), price: Some(Price::of(usd, usd)), context_window: None }
    };
    let arms = (0..models).map(arm).collect();
    let spec = RouteSpec { name: "auto".into(), knob: Knob::Quality(0.95), explore: true, arms, segments: vec![] };
    let mut phi = vec![0.3; bundle.prior.dimension];
    phi[0] = 1.0;
    let context = Context { phi, difficulty: 0.5, widening: 1.0, verbosity: 0.0, input_tokens: 128 };
    (Snapshot::new(bundle.prior.clone()).configure(&[spec]), context)
}

fn decisions(c: &mut Criterion) {
    let mut group = c.benchmark_group("decide");
    for models in [2, 8, 64] {
        let (snapshot, context) = route(models);
        let state = snapshot.routes["auto"].clone();
        let all: Vec<usize> = (0..models).collect();
        group.bench_function(BenchmarkId::new("models", models), |b| {
            b.iter(|| decide(&snapshot, &state, black_box(&context), &all, Ask::default(), 0.5));
        });
        let consult = Ask { consult: true, ..Ask::default() };
        group.bench_function(BenchmarkId::new("models with panels", models), |b| {
            b.iter(|| decide(&snapshot, &state, black_box(&context), &all, consult, 0.5));
        });
    }
    group.finish();
}

fn lessons(c: &mut Criterion) {
    let (snapshot, context) = route(8);
    let state = snapshot.routes["auto"].clone();
    let decision =
        decide(&snapshot, &state, &context, &[0, 1, 2, 3, 4, 5, 6, 7], Ask::default(), 0.5).expect("eight candidates");
    let name = decision.candidates[decision.chosen].arm.clone();
    let score = Reward::Scored { value: 1.0, weight: 1.0 };
    c.bench_function("learn", |b| {
        let one = || snapshot.clone().decided("auto", &decision);
        b.iter_batched(one, |s| s.learn("auto", &decision, &name, Reward::Unknown, score), BatchSize::SmallInput);
    });
}

criterion_group!(benches, decisions, lessons);
criterion_main!(benches);
