//! `kill -9` of a process that learns: no acknowledged score is missing afterwards, none is there twice.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use satisfice::learner::{self, Bounds, Reading, Settings};
use satisfice::scorers;
use satisfice::store::{Entry, RedbStore, Retention, Store};
use satisfice::trace::{Event, TraceId};
use tokio::sync::oneshot;

use crate::recorded::{BEGIN_MS, ROUTE, feedback, prior, routes, trace};

const FOLDER: &str = "SATISFICE_TEST_CRASH_FOLDER";
const FIRST: &str = "SATISFICE_TEST_CRASH_FIRST";
const ROUNDS: u64 = 10;
/// Scores that wait for their acknowledgement at once.
const WINDOW: u64 = 16;

#[test]
fn no_acknowledged_score_is_missing_or_doubled_after_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let killed_after = 3 + 13 * round as usize;
        let heard = run_and_kill(folder.path(), round * 1_000_000, killed_after);
        assert!(heard.len() >= killed_after);
        acknowledged.extend(heard);
        let times = scores(folder.path());
        for id in &acknowledged {
            assert_eq!(times.get(id), Some(&1), "round {round}, {id}");
        }
        assert!(times.values().all(|times| *times == 1));
    }
}

/// Starts a writer, kills it after it acknowledged so many scores; all that it acknowledged.
fn run_and_kill(folder: &Path, first: u64, killed_after: usize) -> Vec<TraceId> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::writer", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut heard = Vec::new();
    for line in lines.map_while(Result::ok) {
        heard.extend(line.split("acknowledged ").nth(1).and_then(|id| TraceId::parse_str(id).ok()));
        if heard.len() == killed_after {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    heard
}

/// How often each trace is scored by the client in the ledger.
fn scores(folder: &Path) -> HashMap<TraceId, usize> {
    let store = RedbStore::open(folder, Retention::default()).unwrap();
    let mut times = HashMap::new();
    let visited = store.replay(0, &mut |_, entry| {
        if let Entry::Scored(scored) = entry
            && scored.source == "client"
        {
            *times.entry(scored.trace).or_default() += 1;
        }
        Ok(())
    });
    visited.unwrap();
    times
}

/// Scores one request after the other, each sent twice, and says which are acknowledged, until it is killed.
#[test]
#[ignore = "the process that the other test kills"]
fn writer() {
    let (Ok(folder), Ok(first)) = (std::env::var(FOLDER), std::env::var(FIRST)) else { return };
    let store = RedbStore::open(Path::new(&folder), Retention::default()).unwrap();
    let settings = Settings {
        routes: routes(&[ROUTE]),
        reading: Reading::on("bundle"),
        prior: prior(),
        at_ms: BEGIN_MS,
        bounds: Bounds { checkpoint_entries: 10, ..Bounds::default() },
    };
    let learner = learner::spawn(settings, Box::new(store), scorers::built_in()).unwrap();
    let first: u64 = first.parse().unwrap();
    for window in (first..).step_by(WINDOW as usize) {
        let answers: Vec<_> = (window..window + WINDOW).map(|n| (n, score_twice(&learner, n))).collect();
        for (n, answer) in answers {
            answer.blocking_recv().unwrap().unwrap();
            writeln!(std::io::stdout().lock(), "\nacknowledged {}", trace(n).id).unwrap();
        }
    }
}

fn score_twice(
    learner: &learner::Learner,
    n: u64,
) -> oneshot::Receiver<Result<uuid::Uuid, satisfice::trace::FeedbackError>> {
    learner.events.blocking_send(Event::Finished(Box::new(trace(n)))).unwrap();
    learner.events.blocking_send(Event::Feedback(feedback(n, "client", 0.5), oneshot::channel().0)).unwrap();
    let (acknowledge, answer) = oneshot::channel();
    learner.events.blocking_send(Event::Feedback(feedback(n, "client", 0.5), acknowledge)).unwrap();
    answer
}
