//! How long a restart takes that has nothing but the ledger: 10⁶ scored decisions are folded into the posterior anew.
//! `cargo bench --bench replay`
//!
//! One run, since it is long. A score comes a thousand requests after its answer, of one of eight models.

#[path = "../tests/it/recorded.rs"]
#[allow(dead_code)]
mod recorded;

use std::time::Instant;

use satisfice::catalog::{Price, Usage};
use satisfice::difficulty::Bundle;
use satisfice::learner;
use satisfice::policy::{ArmSpec, Candidate, Decision, Knob, RouteSpec, Snapshot, bundle_key};
use satisfice::store::{Entry, RedbStore, Retention, Store};
use satisfice::trace::Outcome;
use tempfile::TempDir;

use recorded::{BEGIN_MS, ROUTE, id, scored};

const REQUESTS: u64 = 1_000_000;
const DELAY: u64 = 1_000;
const MODELS: usize = 8;
/// Entries of one commit; a gateway's are smaller, which a restart does not see.
const COMMIT: usize = 30_000;

fn main() -> anyhow::Result<()> {
    let requests = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(REQUESTS);
    let bundle = Bundle::embedded()?;
    let folder = TempDir::new()?;
    let began = Instant::now();
    record(&folder, &bundle, requests)?;
    println!("recorded {requests} scored decisions in {:.1} s", began.elapsed().as_secs_f64());
    let store = RedbStore::open(folder.path(), Retention::default())?;
    let began = Instant::now();
    let snapshot =
        learner::restore(&store, Snapshot::new(bundle.prior.clone()), learner::Reading::on(&bundle.fingerprint))?;
    let seconds = began.elapsed().as_secs_f64();
    let scores: u64 = snapshot.routes[ROUTE].arms.iter().map(|arm| arm.scored).sum();
    println!("replayed {scores} scores in {seconds:.1} s, {:.0} a second", scores as f64 / seconds);
    Ok(())
}

fn record(folder: &TempDir, bundle: &Bundle, requests: u64) -> anyhow::Result<()> {
    let mut store = RedbStore::open(folder.path(), Retention::default())?;
    let (fingerprint, key) = (bundle.fingerprint.clone(), bundle_key(&bundle.fingerprint));
    store.append(&[Entry::Configured { at_ms: BEGIN_MS, fingerprint, routes: vec![route()] }])?;
    let mut commit = Vec::with_capacity(COMMIT + 3);
    for n in 0..requests + DELAY {
        if n < requests {
            commit.extend([decided(n, bundle.prior.dimension, key), settled(n)]);
        }
        commit.extend(n.checked_sub(DELAY).map(|n| scored(n, "client", f64::from(u8::from(!n.is_multiple_of(3))))));
        if commit.len() >= COMMIT {
            store.append(&commit)?;
            commit.clear();
        }
    }
    store.append(&commit)?;
    Ok(())
}

fn name(model: usize) -> String {
    format!("model-{model}")
}

fn route() -> RouteSpec {
    let arm = |model: usize| {
        let usd = 0.1 * 2.0_f64.powi(model as i32);
        ArmSpec { arm: name(model), price: Some(Price::of(usd, 4.0 * usd)), context_window: None }
    };
    RouteSpec {
        name: ROUTE.into(),
        knob: Knob::Quality(0.95),
        explore: true,
        arms: (0..MODELS).map(arm).collect(),
        segments: vec![],
    }
}

fn chosen(n: u64) -> usize {
    (n % MODELS as u64) as usize
}

fn decided(n: u64, dimension: usize, bundle: u64) -> Entry {
    let candidate =
        |model| Candidate { arm: name(model).into(), quality: 0.7, cost_usd: 1e-3, propensity: 1.0 / MODELS as f64 };
    let phi = (0..dimension).map(|i| if i == 0 { 1.0 } else { ((n + 3 * i as u64) % 11) as f64 / 5.0 - 1.0 });
    let decision = Decision {
        phi: phi.collect(),
        candidates: (0..MODELS).map(candidate).collect(),
        chosen: chosen(n),
        draw: (n % 1009) as f64 / 1009.0,
        ..recorded::decision(n)
    };
    Entry::Decided {
        trace: id(n),
        at_ms: BEGIN_MS + n,
        owner: None,
        route: ROUTE.into(),
        bundle,
        decision: decision.into(),
    }
}

fn settled(n: u64) -> Entry {
    Entry::Settled {
        trace: id(n),
        arm: Some(name(chosen(n)).into()),
        usage: Some(Usage { input_tokens: 110, output_tokens: 90 + (n % 50) as u32, ..Usage::default() }),
        cost_usd: Some(1e-3),
        outcome: Outcome::Answered,
    }
}
