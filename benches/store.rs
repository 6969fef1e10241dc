//! Scores that are acknowledged durably, and ledger entries that are folded anew at a start, per second.
//! `cargo bench --bench store`

#[path = "../tests/it/recorded.rs"]
#[allow(dead_code)]
mod recorded;

use std::hint::black_box;
use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use satisfice::learner::{self, Bounds, Learner, Reading, Settings};
use satisfice::scorers;
use satisfice::store::{Entry, RedbStore, Retention, Store};
use satisfice::trace::Event;
use tempfile::TempDir;
use tokio::sync::oneshot;

use recorded::{BEGIN_MS, ROUTE, decided, feedback, prior, routes, scored, settled, trace};

/// Scores in flight: fewer than the learner's queue holds.
const SCORES: u64 = 4096;
/// Requests in the ledger that is replayed, three entries each.
const REQUESTS: u64 = 20_000;

fn open(folder: &Path) -> RedbStore {
    RedbStore::open(folder, Retention::default()).expect("a temporary folder can be used")
}

fn start(folder: &Path) -> Learner {
    let settings = Settings {
        routes: routes(&[ROUTE]),
        reading: Reading::on("bundle"),
        prior: prior(),
        at_ms: BEGIN_MS,
        bounds: Bounds::default(),
    };
    learner::spawn(settings, Box::new(open(folder)), scorers::built_in()).expect("the ledger is sound")
}

/// Sends a score for each request, then waits for all acknowledgements.
fn score_all(learner: &Learner, value: f64) {
    let sent: Vec<_> = (0..SCORES)
        .map(|n| {
            let (acknowledge, answer) = oneshot::channel();
            let score = Event::Feedback(feedback(n, "client", value), acknowledge);
            learner.events.blocking_send(score).expect("the learner works");
            answer
        })
        .collect();
    for answer in sent {
        answer.blocking_recv().expect("the learner works").expect("the request is known");
    }
}

fn acknowledged_scores(c: &mut Criterion) {
    let folder = TempDir::new().expect("a temporary folder");
    let learner = start(folder.path());
    for n in 0..SCORES {
        learner.events.blocking_send(Event::Finished(Box::new(trace(n)))).expect("the learner works");
    }
    let mut group = c.benchmark_group("store");
    group.throughput(Throughput::Elements(SCORES)).sample_size(10);
    let mut revision = 0_u32;
    group.bench_function("acknowledged_scores", |b| {
        b.iter(|| {
            revision += 1;
            score_all(&learner, f64::from(revision % 1000) / 1000.0);
        });
    });
    group.finish();
    learner.stop();
}

fn ledger_of(requests: u64) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    let mut store = open(folder.path());
    let entries: Vec<Entry> = (0..requests).flat_map(|n| [decided(n), settled(n), scored(n, "client", 0.5)]).collect();
    for commit in entries.chunks(1024) {
        store.append(commit).expect("the disk has room");
    }
    folder
}

fn replay(c: &mut Criterion) {
    let recorded = ledger_of(REQUESTS);
    let copy = || {
        let folder = TempDir::new().expect("a temporary folder");
        std::fs::copy(recorded.path().join("ledger.redb"), folder.path().join("ledger.redb")).expect("room for a copy");
        folder
    };
    let mut group = c.benchmark_group("store");
    group.throughput(Throughput::Elements(3 * REQUESTS)).sample_size(10);
    group.bench_function("replay", |b| {
        b.iter_batched(copy, |folder| (black_box(start(folder.path())), folder), BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, acknowledged_scores, replay);
criterion_main!(benches);
