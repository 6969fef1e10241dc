//! The learner through its channel: what is learned, acknowledged, refused; and that a restart changes nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;
use satisfice::catalog::{ModelId, Usage};
use satisfice::learner::{self, Bounds, Learner, Reading, Settings};
use satisfice::policy::{Audited, Candidate, Consult, Decision, Knob, Panel, RouteSpec, Snapshot, Verdict, bundle_key};
use satisfice::scorers;
use satisfice::store::memory::MemoryStore;
use satisfice::store::{Entry, RedbStore, Retention, Store};
use satisfice::trace::{
    Event, Feedback, FeedbackError, Grade, MAX_REVISIONS, MAX_SOURCES, Outcome, Owner, Quality, Trace, twin,
};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::failing::{Failing, FailingStore};
use crate::recorded::{BEGIN_MS, ROUTE, bytes, decision, feedback, id, prior, routes, stop, trace};

fn settings(bounds: Bounds) -> Settings {
    Settings { routes: routes(&[ROUTE]), reading: Reading::on("bundle"), prior: prior(), at_ms: BEGIN_MS, bounds }
}

fn start(store: impl Store + 'static, bounds: Bounds) -> Learner {
    resume(store, routes(&[ROUTE]), bounds)
}

/// Nothing waits for company.
fn prompt() -> Bounds {
    Bounds { linger: Duration::ZERO, ..Bounds::default() }
}

fn decide(learner: &Learner, n: u64) {
    let (decision, bundle) = (decision(n).into(), bundle_key("bundle"));
    send(
        learner,
        Event::Decided { trace: id(n), at_ms: BEGIN_MS + n, owner: None, route: ROUTE.into(), bundle, decision },
    );
}

/// The `n`th request, drawn for the comparison with `large`; `small` answers where `n` is even.
fn audited(n: u64) -> Decision {
    Decision { audit: Some(Audited { share: 0.5, best: 1 }), ..decision(n) }
}

/// The request as it ended, and what `large` answered to the same.
fn pair(n: u64) -> (Trace, Option<Trace>) {
    let own = Trace { decision: Some(audited(n).into()), ..trace(n) };
    let shadow = audited(n).shadow().map(|decision| Trace {
        id: twin(id(n)),
        decision: Some(decision.into()),
        model: trace(1).model,
        ..trace(n)
    });
    (own, shadow)
}

fn grade(learner: &Learner, trace: Uuid, judge: &str, value: Option<f64>) {
    let (judge, weight, cost_usd) = (judge.to_owned(), 0.5, Some(0.25));
    send(learner, Event::Graded(Grade { trace, judge, value, weight, cost_usd, at_ms: BEGIN_MS }));
}

fn finish(learner: &Learner, trace: Trace) {
    send(learner, Event::Finished(Box::new(trace)));
}

fn send(learner: &Learner, event: Event) {
    learner.events.blocking_send(event).unwrap();
}

fn score(learner: &Learner, feedback: Feedback) -> Result<Uuid, FeedbackError> {
    let (acknowledge, answer) = oneshot::channel();
    send(learner, Event::Feedback(feedback, acknowledge));
    answer.blocking_recv().unwrap()
}

/// What the same ledger leads to without any checkpoint, from its first entry to its last.
fn replayed(ledger: &[Entry]) -> Arc<Snapshot> {
    let mut store = MemoryStore::default();
    store.append(ledger).unwrap();
    stop(resume(store, newest_routes(ledger), prompt()))
}

/// The routes that a ledger leads to: a start with them adds nothing to it.
fn newest_routes(ledger: &[Entry]) -> Vec<RouteSpec> {
    let configured = ledger.iter().rev().find_map(|entry| match entry {
        Entry::Configured { routes, .. } => Some(routes.clone()),
        _ => None,
    });
    configured.unwrap_or_default()
}

fn resume(store: impl Store + 'static, routes: Vec<RouteSpec>, bounds: Bounds) -> Learner {
    let settings = Settings { routes, ..settings(bounds) };
    learner::spawn(settings, Box::new(store), scorers::built_in()).unwrap()
}

fn ledger(store: &dyn Store) -> Vec<Entry> {
    let mut ledger = Vec::new();
    let visited = store.replay(0, &mut |_, entry| {
        ledger.push(entry);
        Ok(())
    });
    visited.unwrap();
    ledger
}

fn scores(store: &MemoryStore, metric: &str) -> Vec<f64> {
    let value = |entry: Entry| match entry {
        Entry::Scored(scored) if scored.metric == metric => Some(scored.value),
        _ => None,
    };
    store.ledger().into_iter().filter_map(value).collect()
}

#[test]
fn the_snapshot_has_the_routes_before_anything_came() {
    let learner = start(MemoryStore::default(), prompt());
    assert!(learner.snapshot.load().routes.contains_key(ROUTE));
    learner.stop();
}

#[test]
fn an_acknowledged_score_is_in_the_ledger_and_in_the_snapshot() {
    let store = MemoryStore::default();
    let learner = start(store.clone(), prompt());
    decide(&learner, 1);
    finish(&learner, trace(1));
    score(&learner, feedback(1, "client", 0.9)).unwrap();
    let (before, entries) = (learner.snapshot.load_full(), store.ledger());
    assert_eq!(scores(&store, "quality"), [0.9]);
    assert_eq!(bytes(&before), bytes(&replayed(&entries)));
    score(&learner, feedback(1, "client", 0.1)).unwrap();
    assert_ne!(bytes(&learner.snapshot.load()), bytes(&before), "the revision taught something");
    learner.stop();
}

#[test]
fn scores_that_cannot_be_are_refused_and_leave_no_trace() {
    let store = MemoryStore::default();
    let learner = start(store.clone(), prompt());
    decide(&learner, 1);
    assert_eq!(score(&learner, feedback(2, "client", 0.9)), Err(FeedbackError::UnknownTrace(id(2))));
    let style = Feedback { metric: "style".into(), ..feedback(1, "client", 0.9) };
    assert_eq!(score(&learner, style), Err(FeedbackError::UnknownMetric("style".into())));
    assert_eq!(learner.counters.refused.load(Ordering::Relaxed), 2);
    assert!([-0.1, 1.7, f64::INFINITY, f64::NAN].into_iter().all(|value| Quality::new(value).is_none()));
    learner.stop();
    assert_eq!(scores(&store, "quality"), [] as [f64; 0]);
}

#[test]
fn others_requests_are_unknown_to_whoever_scores_also_after_a_restart() {
    let store = MemoryStore::default();
    let owned = |n: u64, owner| Trace { owner, ..trace(n) };
    let (one, two) = (Some(Owner([1; 8])), Some(Owner([2; 8])));
    let score_by =
        |learner: &Learner, by, n: u64, value| score(learner, Feedback { by, ..feedback(n, "client", value) });
    for start_value in [0.1, 0.5] {
        let learner = start(store.clone(), prompt());
        if store.reader().trace(id(1)).unwrap().is_none() {
            finish(&learner, owned(1, one));
            finish(&learner, owned(2, None));
        }
        assert_eq!(score_by(&learner, two, 1, 0.9), Err(FeedbackError::UnknownTrace(id(1))));
        for (by, n, more) in [(one, 1, 0.0), (None, 1, 0.1), (two, 2, 0.2)] {
            score_by(&learner, by, n, start_value + more).unwrap();
        }
        learner.stop();
    }
    assert_eq!(store.reader().owner(id(1)).unwrap(), one);
}

#[test]
fn the_answer_of_a_model_that_was_asked_by_name_is_no_routes_and_others_do_not_hear_of_it() {
    let store = MemoryStore::default();
    let (one, two) = (Some(Owner([1; 8])), Some(Owner([2; 8])));
    let named = Trace { owner: one, route: None, decision: None, ..trace(1) };
    // In one batch with it, and after a restart.
    for first in [true, false] {
        let learner = start(store.clone(), Bounds::default());
        first.then(|| finish(&learner, named.clone()));
        for (by, refusal) in [
            (one, FeedbackError::Unrouted(id(1))),
            (None, FeedbackError::Unrouted(id(1))),
            (two, FeedbackError::UnknownTrace(id(1))),
        ] {
            assert_eq!(score(&learner, Feedback { by, ..feedback(1, "client", 0.9) }), Err(refusal));
        }
        learner.stop();
    }
    assert!(scores(&store, "quality").is_empty());
}

#[test]
fn one_trace_keeps_a_bounded_number_of_sources() {
    let learner = start(MemoryStore::default(), prompt());
    decide(&learner, 1);
    for source in 0..MAX_SOURCES {
        score(&learner, feedback(1, &source.to_string(), 0.5)).unwrap();
    }
    assert_eq!(score(&learner, feedback(1, "one more", 0.5)), Err(FeedbackError::TooManySources(id(1))));
    score(&learner, feedback(1, "0", 0.6)).unwrap();
    learner.stop();
}

#[test]
fn the_same_score_again_changes_nothing_and_another_value_revises_it() {
    let store = MemoryStore::default();
    let learner = start(store.clone(), prompt());
    decide(&learner, 1);
    finish(&learner, trace(1));
    let first = score(&learner, feedback(1, "client", 0.9)).unwrap();
    let after_first = learner.snapshot.load_full();
    assert_eq!(score(&learner, feedback(1, "client", 0.9)), Ok(first));
    assert_eq!(bytes(&learner.snapshot.load()), bytes(&after_first));
    assert_eq!(score(&learner, feedback(1, "client", 0.2)), Ok(first), "a revision keeps the score's name");
    assert_ne!(score(&learner, feedback(1, "reviewer", 0.2)), Ok(first));
    assert_eq!(learner.counters.revisions.load(Ordering::Relaxed), 1);
    assert_eq!(learner.counters.duplicates.load(Ordering::Relaxed), 1);
    let reader = learner.reader.clone();
    learner.stop();
    assert_eq!(scores(&store, "quality"), [0.9, 0.2, 0.2]);
    let kept = reader.scores(id(1)).unwrap();
    assert_eq!(kept.iter().filter(|s| s.metric == "quality").count(), 2, "one of each source");
}

#[test]
fn a_score_that_comes_before_the_answer_s_end_counts_once_it_is_known_who_answered() {
    let store = MemoryStore::default();
    let learner = start(store.clone(), prompt());
    decide(&learner, 1);
    score(&learner, feedback(1, "client", 0.9)).unwrap();
    let before = learner.snapshot.load().version;
    finish(&learner, trace(1));
    let after = stop(learner);
    assert_eq!(after.version, before + 2, "settled, and learned from");
}

#[test]
fn an_end_without_its_decision_brings_the_decision_along_and_a_second_end_is_ignored() {
    let store = MemoryStore::default();
    let learner = start(store.clone(), prompt());
    finish(&learner, trace(1));
    finish(&learner, trace(1));
    score(&learner, feedback(1, "client", 0.9)).unwrap();
    learner.stop();
    let ledger = store.ledger();
    assert_eq!(ledger.iter().filter(|e| matches!(e, Entry::Decided { .. })).count(), 1);
    assert_eq!(ledger.iter().filter(|e| matches!(e, Entry::Settled { .. })).count(), 1);
}

#[test]
fn only_answers_are_judged_by_their_form() {
    let store = MemoryStore::default();
    let learner = start(store.clone(), prompt());
    for (n, outcome) in (0..).zip([Outcome::Failed, Outcome::ClientGone, Outcome::Cut]) {
        finish(&learner, Trace { outcome, ..trace(n) });
    }
    finish(&learner, trace(7));
    let mut empty = trace(8);
    empty.reply.content.clear();
    finish(&learner, empty);
    learner.stop();
    assert_eq!(scores(&store, "format"), [1.0, 0.0]);
}

#[test]
fn how_long_answers_are_is_learned_of_those_that_came_to_their_end() {
    let long = Some(Usage { input_tokens: 100, output_tokens: 20_000, ..Usage::default() });
    let arms = |outcome, usage| {
        let learner = start(MemoryStore::default(), prompt());
        finish(&learner, Trace { outcome, usage, ..trace(1) });
        stop(learner).routes[ROUTE].arms.clone()
    };
    assert_eq!(arms(Outcome::Cut, long), arms(Outcome::Cut, None));
    assert_eq!(arms(Outcome::ClientGone, long), arms(Outcome::ClientGone, None));
    assert_ne!(arms(Outcome::Answered, long), arms(Outcome::Answered, None));
}

#[test]
fn a_request_that_nobody_answered_teaches_nothing() {
    let learner = start(MemoryStore::default(), prompt());
    finish(&learner, Trace { outcome: Outcome::Failed, model: None, cost_usd: None, ..trace(1) });
    score(&learner, feedback(1, "client", 0.0)).unwrap();
    let before = learner.snapshot.load().version;
    score(&learner, feedback(1, "client", 1.0)).unwrap();
    assert_eq!(stop(learner).version, before);
}

#[test]
fn what_was_spent_though_nobody_answered_is_spent() {
    let store = MemoryStore::default();
    let learner = start(store.clone(), prompt());
    let unanswered = |n| Trace { outcome: Outcome::ClientGone, model: None, usage: None, ..trace(n) };
    finish(&learner, unanswered(1));
    let (own, shadow) = pair(4);
    finish(&learner, own);
    finish(&learner, Trace { model: None, usage: None, outcome: Outcome::Failed, ..shadow.unwrap() });
    let snapshot = stop(learner);
    let spending = &snapshot.routes[ROUTE].controller().spending;
    assert_eq!((spending.spent_usd, spending.answers, spending.shadow_usd), (2e-3, 1.0, 1e-3));
    assert_eq!(bytes(&snapshot), bytes(&replayed(&store.ledger())));
}

#[test]
fn a_score_with_a_comment_that_is_sent_again_is_the_same_score() {
    let store = MemoryStore::default();
    let learner = start(store.clone(), prompt());
    finish(&learner, trace(1));
    let said = |comment: &str| Feedback { comment: Some(comment.into()), ..feedback(1, "client", 0.5) };
    for feedback in [said("wrong unit"), said("wrong unit"), feedback(1, "client", 0.5), said("wrong sign")] {
        score(&learner, feedback).unwrap();
    }
    let counters = learner.counters.clone();
    learner.stop();
    let counted = [&counters.duplicates, &counters.revisions].map(|counter| counter.load(Ordering::Relaxed));
    assert_eq!(counted, [2, 1]);
    assert_eq!(scores(&store, "quality"), [0.5, 0.5], "only what is new is written");
}

#[test]
fn a_score_is_revised_so_often_and_no_more() {
    let store = MemoryStore::default();
    // Nothing is held in memory from one batch to the next.
    let learner = start(store.clone(), Bounds { recent: 0, batch: 1, ..prompt() });
    finish(&learner, trace(1));
    let turn = |n: u32| feedback(1, "client", f64::from(n % 2));
    for n in 0..=MAX_REVISIONS {
        score(&learner, turn(n)).unwrap();
    }
    let refused = Err(FeedbackError::TooManyRevisions("client".into()));
    assert_eq!(score(&learner, turn(MAX_REVISIONS + 1)), refused);
    score(&learner, turn(MAX_REVISIONS)).expect("the same score again");
    score(&learner, feedback(1, "another", 0.5)).expect("another's score");
    stop(learner);
    assert_eq!(scores(&store, "quality").len(), MAX_REVISIONS as usize + 2);
}

#[test]
fn a_pair_is_compared_once_both_answers_are_graded_and_by_the_judges_that_graded_both() {
    let store = MemoryStore::default();
    // Nothing is held in memory from one batch to the next.
    let learner = start(store.clone(), Bounds { recent: 0, batch: 1, ..prompt() });
    for n in [2, 4, 6, 8] {
        let (own, shadow) = pair(n);
        let (own_id, shadow_id) = (own.id, twin(own.id));
        finish(&learner, own);
        grade(&learner, own_id, "strict", Some(0.25));
        finish(&learner, shadow.unwrap());
        match n {
            2 => {}
            4 => grade(&learner, shadow_id, "mild", Some(1.0)),
            _ => {
                grade(&learner, shadow_id, "strict", Some(0.75));
                grade(&learner, shadow_id, "mild", Some(1.0));
            }
        }
    }
    // The best model's own answer is the pair.
    finish(&learner, pair(1).0);
    grade(&learner, id(1), "strict", Some(0.5));
    grade(&learner, id(1), "mild", None);
    let snapshot = stop(learner);
    let route = &snapshot.routes[ROUTE];
    // The 2nd and the 8th are the segment's, and the others the route's own.
    let segment = route.segments().next().unwrap().1;
    for (controller, requests, pairs, shadows, grades) in
        [(route.controller(), 3, 2, 2.0, 7.0), (segment, 2, 1, 2.0, 4.0)]
    {
        assert_eq!((controller.schedule.decided, controller.audit.pairs()), (requests, pairs));
        let spending = &controller.spending;
        assert_eq!(spending.spent_usd, requests as f64 * 1e-3);
        assert_eq!((spending.shadow_usd, spending.judge_usd), (shadows * 1e-3, grades * 0.25));
    }
    assert_eq!([0, 1].map(|arm| route.arms[arm].scored), [4, 4]);
    assert_eq!(bytes(&snapshot), bytes(&replayed(&store.ledger())));
}

#[test]
fn an_answer_that_failed_or_that_another_model_gave_makes_no_pair() {
    let learner = start(MemoryStore::default(), prompt());
    let (own, shadow) = pair(2);
    finish(&learner, own);
    finish(&learner, Trace { outcome: Outcome::Failed, model: None, cost_usd: None, ..shadow.unwrap() });
    let (own, shadow) = pair(4);
    finish(&learner, Trace { model: trace(1).model, ..own });
    finish(&learner, shadow.unwrap());
    for n in [2, 4] {
        grade(&learner, id(n), "strict", Some(0.25));
        grade(&learner, twin(id(n)), "strict", Some(0.75));
    }
    let route = &stop(learner).routes[ROUTE];
    let segments = route.segments().map(|(_, controller)| controller);
    assert!(segments.chain([route.controller()]).all(|controller| controller.audit.pairs() == 0));
}

#[test]
fn clients_cannot_write_what_judges_write_and_a_grade_of_nothing_is_nothing() {
    let store = MemoryStore::default();
    let learner = start(store.clone(), prompt());
    finish(&learner, pair(2).0);
    let forged = Feedback { metric: "judge".into(), ..feedback(2, "strict", 1.0) };
    assert_eq!(score(&learner, forged), Err(FeedbackError::UnknownMetric("judge".into())));
    grade(&learner, id(8), "strict", Some(1.0));
    learner.stop();
    assert_eq!(scores(&store, "judge"), [] as [f64; 0]);
    assert!(!store.ledger().iter().any(|entry| matches!(entry, Entry::Charged { .. })));
}

#[test]
fn requests_to_a_named_model_are_kept_and_not_learned_from() {
    let store = MemoryStore::default();
    let learner = start(store.clone(), prompt());
    let pinned = Trace { route: None, decision: None, ..trace(1) };
    finish(&learner, pinned.clone());
    assert_eq!(score(&learner, feedback(1, "client", 0.9)), Err(FeedbackError::Unrouted(id(1))));
    let reader = learner.reader.clone();
    learner.stop();
    assert_eq!(store.ledger().len(), 1, "the routes");
    assert_eq!(reader.trace(id(1)).unwrap(), Some(pinned));
}

#[test]
fn a_score_for_a_request_of_before_the_restart_counts() {
    let folder = tempfile::tempdir().unwrap();
    let open = || RedbStore::open(folder.path(), Retention::default()).unwrap();
    let learner = start(open(), prompt());
    finish(&learner, trace(1));
    let before = stop(learner);
    let learner = start(open(), prompt());
    assert_eq!(bytes(&learner.snapshot.load()), bytes(&before));
    score(&learner, feedback(1, "client", 0.9)).unwrap();
    assert_eq!(learner.snapshot.load().version, before.version + 1);
    assert_eq!(learner.reader.trace(id(1)).unwrap(), Some(trace(1)));
    learner.stop();
}

#[test]
fn while_the_disk_fails_scores_are_refused_and_nothing_is_learned() {
    let store = FailingStore::default();
    let learner = start(store.clone(), prompt());
    decide(&learner, 1);
    score(&learner, feedback(1, "client", 0.9)).unwrap();
    let before = learner.snapshot.load_full();

    for failing in [Failing::Writes, Failing::Everything] {
        store.fail(failing);
        finish(&learner, trace(1));
        finish(&learner, trace(2));
        let refused = score(&learner, feedback(1, "client", 0.1));
        assert!(matches!(refused, Err(FeedbackError::Unavailable(_))), "{refused:?}");
        assert_eq!(bytes(&learner.snapshot.load()), bytes(&before));
    }
    assert_eq!(learner.counters.dropped_events.load(Ordering::Relaxed), 0);
    assert!(learner.counters.dropped_bodies.load(Ordering::Relaxed) > 0);

    store.fail(Failing::Nothing);
    finish(&learner, trace(1));
    score(&learner, feedback(1, "client", 0.1)).unwrap();
    assert_eq!(scores(&store, "quality"), [0.9, 0.1]);
    assert_eq!(bytes(&stop(learner)), bytes(&replayed(&store.ledger())));
}

/// The requests that have an entry of this kind, in the ledger's order.
fn requests(ledger: &[Entry], of: fn(&Entry) -> bool) -> Vec<Uuid> {
    ledger.iter().filter(|entry| of(entry)).filter_map(Entry::trace).collect()
}

#[test]
fn what_is_answered_while_the_ledger_fails_is_written_once_it_can_be_and_is_scored_then() {
    for failing in [Failing::Writes, Failing::Everything] {
        let store = FailingStore::default();
        let learner = start(store.clone(), prompt());
        decide(&learner, 1);
        score(&learner, feedback(1, "client", 0.9)).unwrap();
        store.fail(failing);
        decide(&learner, 2);
        for _ in 0..3 {
            let refused = score(&learner, feedback(2, "client", 0.5));
            assert!(matches!(refused, Err(FeedbackError::Unavailable(_))), "{refused:?}");
        }
        finish(&learner, trace(2));
        decide(&learner, 3);
        finish(&learner, trace(3));
        let refused = score(&learner, feedback(3, "client", 0.5));
        assert!(matches!(refused, Err(FeedbackError::Unavailable(_))), "{refused:?}");

        store.fail(Failing::Nothing);
        score(&learner, feedback(3, "client", 0.1)).unwrap();
        score(&learner, feedback(2, "client", 0.2)).unwrap();
        let counters = learner.counters.clone();
        let live = stop(learner);
        let ledger = store.ledger();
        assert_eq!(requests(&ledger, |entry| matches!(entry, Entry::Decided { .. })), [1, 2, 3].map(id));
        assert_eq!(requests(&ledger, |entry| matches!(entry, Entry::Settled { .. })), [2, 3].map(id));
        assert_eq!((scores(&store, "quality"), scores(&store, "format")), (vec![0.9, 0.1, 0.2], vec![1.0, 1.0]));
        assert_eq!(counters.dropped_events.load(Ordering::Relaxed), 0);
        let route = &live.routes[ROUTE];
        let controllers = route.segments().map(|(_, controller)| controller).chain([route.controller()]);
        let spent: Vec<f64> = controllers.map(|controller| controller.spending.spent_usd).collect();
        assert_eq!(
            (route.decided(), spent),
            (3, vec![1e-3, 1e-3]),
            "the second is the segment's, the third the route's own"
        );
        assert_eq!(bytes(&live), bytes(&replayed(&ledger)));
    }
}

#[test]
fn an_end_that_waits_is_learned_of_a_request_that_was_decided_before() {
    let store = FailingStore::default();
    // Nothing is held in memory from one batch to the next.
    let learner = start(store.clone(), Bounds { recent: 0, ..prompt() });
    decide(&learner, 1);
    score(&learner, feedback(1, "client", 0.9)).unwrap();
    store.fail(Failing::Writes);
    finish(&learner, trace(1));
    score(&learner, feedback(1, "other", 0.9)).unwrap_err();
    store.fail(Failing::Everything);
    score(&learner, feedback(1, "other", 0.9)).unwrap_err();
    store.fail(Failing::Nothing);
    score(&learner, feedback(1, "other", 0.7)).unwrap();
    let live = stop(learner);
    assert_eq!(live.routes[ROUTE].arms[1].scored, 1);
    assert_eq!(bytes(&live), bytes(&replayed(&store.ledger())));
}

#[test]
fn what_waits_for_the_ledger_is_bounded_and_the_oldest_is_lost_and_counted() {
    let store = FailingStore::default();
    let learner = start(store.clone(), Bounds { backlog: 4, ..prompt() });
    store.fail(Failing::Writes);
    send(&learner, Event::Configured { at_ms: BEGIN_MS, routes: routes(&[ROUTE, "other"]) });
    (1..=10).for_each(|n| decide(&learner, n));
    for n in [1, 10, 11] {
        let refused = score(&learner, feedback(n, "client", 0.5));
        assert!(matches!(refused, Err(FeedbackError::Unavailable(_))), "{n}: {refused:?}");
    }
    store.fail(Failing::Nothing);
    score(&learner, feedback(10, "client", 0.5)).unwrap();
    assert_eq!(score(&learner, feedback(1, "client", 0.5)), Err(FeedbackError::UnknownTrace(id(1))));
    assert_eq!(learner.counters.dropped_events.load(Ordering::Relaxed), 6);
    assert!(learner.snapshot.load().routes.contains_key("other"), "routes are not lost");
    let decided = requests(&store.ledger(), |entry| matches!(entry, Entry::Decided { .. }));
    assert_eq!(decided, [7, 8, 9, 10].map(id));
    assert_eq!(bytes(&stop(learner)), bytes(&replayed(&store.ledger())));
}

#[test]
fn what_waits_is_written_without_anything_new_as_soon_as_the_ledger_can_be() {
    let store = FailingStore::default();
    let learner = start(store.clone(), Bounds { flush_every: Duration::ZERO, ..prompt() });
    store.fail(Failing::Writes);
    decide(&learner, 1);
    score(&learner, feedback(1, "client", 0.5)).unwrap_err();
    store.fail(Failing::Nothing);
    while learner.snapshot.load().routes[ROUTE].decided() == 0 {
        std::thread::yield_now();
    }
    learner.stop();
    assert_eq!(requests(&store.ledger(), |entry| matches!(entry, Entry::Decided { .. })), [id(1)]);
}

#[test]
fn an_answer_given_again_while_nothing_can_be_written_is_scored_later() {
    for stream in [false, true] {
        let store = FailingStore::default();
        let learner = start(store.clone(), prompt());
        store.fail(Failing::Writes);
        finish(&learner, again(1, stream));
        score(&learner, feedback(1, "client", 0.5)).unwrap_err();
        finish(&learner, again(2, stream));
        while learner.counters.dropped_bodies.load(Ordering::Relaxed) < 2 {
            std::thread::yield_now();
        }
        store.fail(Failing::Nothing);
        for n in [1, 2] {
            score(&learner, feedback(n, "client", 0.5)).unwrap();
        }
        learner.stop();
        assert_eq!(scores(&store, "quality"), [0.5, 0.5]);
    }
}

#[test]
fn an_answer_given_again_whose_trace_cannot_even_be_staged_is_scored_later() {
    for stream in [false, true] {
        let store = FailingStore::default();
        let learner = start(store.clone(), Bounds { batch: 1, ..prompt() });
        store.fail(Failing::Staging);
        finish(&learner, again(1, stream));
        score(&learner, feedback(1, "client", 0.5)).unwrap();
        learner.stop();
        assert_eq!(scores(&store, "quality"), [0.5]);
    }
}

#[test]
fn a_score_is_refused_while_the_data_folder_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (data, away) = (folder.path().join("data"), folder.path().join("away"));
    let open = || RedbStore::open(&data, Retention::default()).unwrap();
    let learner = start(open(), prompt());
    decide(&learner, 1);
    score(&learner, feedback(1, "client", 0.9)).unwrap();
    std::fs::rename(&data, &away).unwrap();
    decide(&learner, 2);
    let refused = score(&learner, feedback(2, "client", 0.5)).unwrap_err().to_string();
    assert!(refused.contains("ledger.redb was removed or replaced") && refused.contains("put it back"), "{refused}");
    std::fs::rename(&away, &data).unwrap();
    score(&learner, feedback(2, "client", 0.5)).unwrap();
    learner.stop();
    let decided = requests(&ledger(&open()), |entry| matches!(entry, Entry::Decided { .. }));
    assert_eq!(decided, [1, 2].map(id));
}

#[test]
fn new_routes_wait_for_a_failing_disk() {
    let store = FailingStore::default();
    let learner = start(store.clone(), prompt());
    decide(&learner, 1);
    store.fail(Failing::Writes);
    send(&learner, Event::Configured { at_ms: BEGIN_MS, routes: routes(&[ROUTE, "other"]) });
    score(&learner, feedback(1, "client", 0.9)).unwrap_err();
    assert!(!learner.snapshot.load().routes.contains_key("other"));
    store.fail(Failing::Nothing);
    decide(&learner, 1);
    score(&learner, feedback(1, "client", 0.9)).unwrap();
    assert!(learner.snapshot.load().routes.contains_key("other"));
    learner.stop();
}

#[test]
fn another_classifier_begins_anew_and_the_first_one_is_not_forgotten() {
    let store = MemoryStore::default();
    let with = |fingerprint: &str| {
        let settings = Settings { reading: Reading::on(fingerprint), ..settings(prompt()) };
        learner::spawn(settings, Box::new(store.clone()), scorers::built_in()).unwrap()
    };
    let learner = with("bundle");
    let belief = |snapshot: &Snapshot| serde_json::to_vec(&snapshot.routes).unwrap();
    let fresh = belief(&learner.snapshot.load());
    finish(&learner, trace(1));
    let learned = stop(learner);

    let learner = with("another");
    assert_eq!(belief(&learner.snapshot.load()), fresh);
    score(&learner, feedback(1, "client", 0.9)).unwrap();
    assert_eq!(belief(&stop(learner)), fresh, "the decision's φ is of the first one");

    let back = stop(with("bundle"));
    assert_eq!(back.version, learned.version + 1, "the score that came meanwhile counts");
}

#[test]
fn a_source_that_is_unlearned_teaches_nothing_and_counts_again_once_it_is_not() {
    let belief = |snapshot: &Snapshot| serde_json::to_vec(&snapshot.routes).unwrap();
    let with = |store: &MemoryStore, unlearned: &[&str]| {
        let unlearned = unlearned.iter().map(|source| source.to_string()).collect();
        let settings = Settings { reading: Reading { unlearned, ..Reading::on("bundle") }, ..settings(prompt()) };
        learner::spawn(settings, Box::new(store.clone()), scorers::built_in()).unwrap()
    };
    let (all, honest) = (MemoryStore::default(), MemoryStore::default());
    for (store, scores) in [(&all, &[("client", 0.9), ("broken", 0.0)][..]), (&honest, &[("client", 0.9)])] {
        let learner = with(store, &[]);
        (1..4).for_each(|n| finish(&learner, trace(n)));
        for (source, value) in scores {
            score(&learner, feedback(2, source, *value)).unwrap();
        }
        stop(learner);
    }
    let (everybody, honest) = (belief(&stop(with(&all, &[]))), belief(&stop(with(&honest, &[]))));
    assert!(everybody != honest);

    let learner = with(&all, &["broken"]);
    assert!(belief(&learner.snapshot.load()) == honest, "the ledger is read without it");
    score(&learner, feedback(1, "broken", 0.0)).unwrap();
    assert!(belief(&stop(learner)) == honest, "what it says from here on teaches nothing either");
    assert!(belief(&stop(with(&all, &["broken"]))) == honest, "nor after its checkpoint");

    let again = stop(with(&all, &[]));
    assert!(belief(&again) == belief(&replayed(&all.ledger())));
    assert!(belief(&again) != honest);
}

#[test]
fn what_came_while_the_disk_was_busy_is_one_commit() {
    let store = MemoryStore::default();
    let learner = start(store.clone(), Bounds { linger: Duration::from_secs(3_600), ..Bounds::default() });
    for n in 0..100 {
        finish(&learner, trace(n));
    }
    score(&learner, feedback(1, "client", 0.9)).unwrap();
    assert!(store.commits() <= 1 + 2, "the routes, and at most a batch before the score's");
    learner.stop();
}

#[test]
fn a_quiet_gateway_s_events_reach_the_ledger_without_a_score() {
    let store = MemoryStore::default();
    let learner = start(store.clone(), Bounds { linger: Duration::from_millis(1), ..Bounds::default() });
    finish(&learner, trace(1));
    while store.commits() < 2 {
        std::thread::yield_now();
    }
    assert!(store.ledger().iter().any(|entry| entry.trace() == Some(id(1))));
    learner.stop();
}

#[test]
fn a_stop_ends_the_waiting_for_company() {
    let store = MemoryStore::default();
    let learner = start(store.clone(), Bounds { linger: Duration::from_secs(3_600), ..Bounds::default() });
    (1..=3).for_each(|n| finish(&learner, trace(n)));
    let reader = learner.reader.clone();
    learner.stop();
    for n in 1..=3 {
        assert!(store.ledger().iter().any(|entry| entry.trace() == Some(id(n))));
        assert_eq!(reader.trace(id(n)).unwrap(), Some(trace(n)));
    }
}

/// One thing that happens. Requests are few, so that they meet again and again.
#[derive(Debug, Clone)]
enum Step {
    Decide(u64),
    Finish(u64, Outcome, bool),
    /// A request before whose model two others were asked, and which of [`VERDICTS`] it came to.
    Panel(u64, usize),
    Score(u64, u8, u8),
    /// A request of the comparison, its shadow, or a grade of either.
    Pair(u64, Outcome),
    Shadow(u64, Outcome),
    Grade(u64, bool, u8, Option<u8>),
    Configure(bool),
    Restart(usize),
    Fail(Failing),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Answered),
        1 => Just(Outcome::ClientGone),
        1 => Just(Outcome::Cut),
        1 => Just(Outcome::Failed)
    ];
    prop_oneof![
        8 => (0..12_u64).prop_map(Step::Decide),
        8 => (0..12_u64, outcome.clone(), any::<bool>()).prop_map(|(n, outcome, empty)| Step::Finish(n, outcome, empty)),
        12 => (0..14_u64, 0..3_u8, 0..=4_u8).prop_map(|(n, source, value)| Step::Score(n, source, value)),
        4 => (10..14_u64, 0..4_usize).prop_map(|(n, verdict)| Step::Panel(n, verdict)),
        4 => (20..26_u64, outcome.clone()).prop_map(|(n, outcome)| Step::Pair(n, outcome)),
        4 => (20..26_u64, outcome).prop_map(|(n, outcome)| Step::Shadow(n, outcome)),
        8 => (20..27_u64, any::<bool>(), 0..2_u8, prop::option::of(0..=4_u8))
            .prop_map(|(n, shadow, judge, value)| Step::Grade(n, shadow, judge, value)),
        1 => any::<bool>().prop_map(Step::Configure),
        1 => (0..6_usize).prop_map(Step::Restart),
    ]
}

fn failure() -> impl Strategy<Value = Step> {
    let failing = prop_oneof![
        2 => Just(Failing::Nothing),
        1 => Just(Failing::Writes),
        1 => Just(Failing::Everything)
    ];
    failing.prop_map(Step::Fail)
}

/// Does one step that the learner hears of. Only now and then waits for the answer, so that batches differ.
fn hear(learner: &Learner, step: &Step) {
    match *step {
        Step::Decide(n) => decide(learner, n),
        Step::Finish(n, outcome, empty) => {
            let mut trace = Trace { outcome, ..trace(n) };
            if outcome == Outcome::Failed {
                trace.model = None;
            }
            if empty {
                trace.reply.content.clear();
            }
            finish(learner, trace);
        }
        Step::Score(n, source, value) => {
            let feedback = feedback(n, &source.to_string(), f64::from(value) / 4.0);
            if value == 0 {
                let _ = score(learner, feedback);
            } else {
                send(learner, Event::Feedback(feedback, oneshot::channel().0));
            }
        }
        Step::Panel(n, verdict) => finish(learner, consulted(n, VERDICTS[verdict])),
        Step::Pair(n, outcome) => finish(learner, Trace { outcome, ..pair(n).0 }),
        Step::Shadow(n, outcome) => pair(n).1.into_iter().for_each(|trace| finish(learner, Trace { outcome, ..trace })),
        Step::Grade(n, shadow, judge, value) => {
            let trace = if shadow { twin(id(n)) } else { id(n) };
            grade(learner, trace, &judge.to_string(), value.map(|value| f64::from(value) / 4.0));
        }
        Step::Configure(more) => {
            let mut routes = if more { routes(&[ROUTE, "other"]) } else { routes(&[ROUTE]) };
            routes.iter_mut().filter(|_| !more).for_each(|route| route.segments.clear());
            send(learner, Event::Configured { at_ms: BEGIN_MS, routes });
        }
        Step::Restart(_) | Step::Fail(_) => {}
    }
}

const VERDICTS: [Verdict; 4] =
    [Verdict::None, Verdict::Incomparable, Verdict::Agreed, Verdict::Differed([true, false])];

/// The `n`th request, before whose model, the dear third one, both others were asked.
fn consulted(n: u64, verdict: Verdict) -> Trace {
    let mut decision = Decision { chosen: 2, ..decision(n) };
    decision.candidates.push(Candidate { arm: "dear".into(), ..decision.candidates[0].clone() });
    let panel = Panel { members: [1, 0], same_errors: 0.25, verdict };
    decision.consult = Some(Consult { panel: Some(panel), foreseen_usd: 1e-3 });
    let spoke = if verdict == Verdict::Agreed { "large" } else { "dear" };
    let model = Some(ModelId { provider: "simulated".into(), model: spoke.into() });
    Trace { decision: Some(decision.into()), model, ..trace(n) }
}

#[test]
fn an_answer_on_which_two_models_agree_is_scored_for_both_and_measured_as_the_drawn_one_s() {
    let believed = |snapshot: &Snapshot| {
        let route = &snapshot.routes[ROUTE];
        [0, 1].map(|arm: usize| route.arms[arm].outlook(&route.shift, &[1.0, 0.0], 1.0).quality)
    };
    for (verdict, rises) in [(Verdict::Agreed, [true, true]), (Verdict::Differed([true, false]), [false, true])] {
        let store = MemoryStore::default();
        let learner = start(store.clone(), prompt());
        for n in 0..20 {
            finish(&learner, consulted(n, verdict));
        }
        let before = learner.snapshot.load_full();
        for n in 0..20 {
            score(&learner, feedback(n, "client", 1.0)).unwrap();
        }
        let after = learner.snapshot.load_full();
        let (was, is) = (believed(&before), believed(&after));
        assert_eq!([is[0] > was[0] + 0.01, is[1] > was[1] + 0.01], rises, "{verdict:?}: {was:?} {is:?}");
        let segments: f64 = after.routes[ROUTE].segments().map(|(_, one)| one.spending.answers).sum();
        let answers = after.routes[ROUTE].controller().spending.answers + segments;
        assert_eq!(answers, 20.0, "{verdict:?}");
        let settled = |entry: &Entry| if let Entry::Settled { arm, .. } = entry { arm.clone() } else { None };
        assert!(store.ledger().iter().filter_map(settled).all(|arm| arm == "dear"), "it is the drawn arm's answer");
        assert_eq!(bytes(&stop(learner)), bytes(&replayed(&store.ledger())));
    }
}

/// Checkpoints at odd places, few requests held in memory, small batches.
fn cramped(recent: usize) -> Bounds {
    Bounds { recent, checkpoint_entries: 7, batch: 5, ..prompt() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn live_restart_and_replay_agree_to_the_bit_whatever_comes_and_whatever_fails(
        steps in prop::collection::vec(prop_oneof![9 => step(), 1 => failure()], 0..150)
    ) {
        let store = FailingStore::default();
        let mut learner = start(store.clone(), cramped(3));
        for step in &steps {
            match *step {
                Step::Fail(failing) => store.fail(failing),
                Step::Restart(recent) => {
                    store.fail(Failing::Nothing);
                    let before = stop(learner);
                    prop_assert_eq!(bytes(&before), bytes(&replayed(&store.ledger())));
                    learner = start(store.clone(), cramped(recent));
                }
                _ => hear(&learner, step),
            }
        }
        let live = stop(learner);
        prop_assert_eq!(bytes(&live), bytes(&replayed(&store.ledger())));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn so_they_do_on_a_real_disk(steps in prop::collection::vec(step(), 0..120)) {
        let folder = tempfile::tempdir().unwrap();
        let open = || RedbStore::open(folder.path(), Retention::default()).unwrap();
        let mut learner = start(open(), cramped(2));
        for step in &steps {
            match *step {
                Step::Restart(recent) => {
                    let before = stop(learner);
                    let routes = newest_routes(&ledger(&open()));
                    learner = resume(open(), routes, cramped(recent));
                    prop_assert_eq!(bytes(&learner.snapshot.load()), bytes(&before));
                }
                _ => hear(&learner, step),
            }
        }
        let live = stop(learner);
        prop_assert_eq!(bytes(&live), bytes(&replayed(&ledger(&open()))));
    }
}

#[test]
fn a_score_of_an_answer_given_again_is_kept_and_credits_nobody() {
    for stream in [false, true] {
        let store = MemoryStore::default();
        let learner = start(store.clone(), prompt());
        decide(&learner, 1);
        finish(&learner, trace(1));
        score(&learner, feedback(1, "client", 0.9)).unwrap();
        let before = learner.snapshot.load_full();
        let decision = Arc::new(Decision::cached("exact", None, Knob::Quality(0.95), before.version));
        let again = Trace { decision: Some(decision), usage: None, cost_usd: Some(0.0), stream, ..trace(2) };
        if stream {
            let (trace, bundle, decision) = (id(2), bundle_key("bundle"), again.decision.clone().unwrap());
            send(
                &learner,
                Event::Decided { trace, at_ms: BEGIN_MS, owner: None, route: ROUTE.into(), bundle, decision },
            );
        }
        finish(&learner, again);
        for value in [0.1, 0.0] {
            score(&learner, feedback(2, "client", value)).unwrap();
        }
        assert_eq!(scores(&store, "quality"), [0.9, 0.1, 0.0]);
        assert_eq!(bytes(&learner.snapshot.load()), bytes(&before), "audit, spend, posterior: nothing moved");
        let (after, entries) = (stop(learner), store.ledger());
        assert_eq!(bytes(&after), bytes(&replayed(&entries)));
    }
}

/// The `n`th request, which got the answer to an earlier one.
fn again(n: u64, stream: bool) -> Trace {
    let decision = Arc::new(Decision::cached("exact", None, Knob::Quality(0.95), 1));
    Trace { decision: Some(decision), usage: None, cost_usd: Some(0.0), stream, ..trace(n) }
}

fn begin_again(learner: &Learner, n: u64) {
    let (trace, decision) = (id(n), again(n, true).decision.unwrap());
    let (at_ms, bundle) = (BEGIN_MS + n, bundle_key("bundle"));
    send(learner, Event::Decided { trace, at_ms, owner: None, route: ROUTE.into(), bundle, decision });
}

#[test]
fn of_answers_given_again_the_ledger_hears_only_by_a_score() {
    let folder = tempfile::tempdir().unwrap();
    let open = || RedbStore::open(folder.path(), Retention::default()).unwrap();
    let learner = start(open(), prompt());
    for n in 0..500 {
        if n % 2 == 1 {
            begin_again(&learner, n);
        }
        finish(&learner, again(n, n % 2 == 1));
    }
    learner.stop();
    let written = ledger(&open());
    assert_eq!(written.len(), 1, "the routes: {written:?}");

    let learner = start(open(), prompt());
    score(&learner, feedback(1, "client", 0.5)).unwrap();
    score(&learner, feedback(1, "client", 0.7)).unwrap();
    score(&learner, feedback(2, "client", 0.9)).unwrap();
    assert_eq!(score(&learner, feedback(500, "client", 0.9)), Err(FeedbackError::UnknownTrace(id(500))));
    assert_eq!(learner.reader.scores(id(1)).unwrap()[0].value, 0.7);
    learner.stop();
    let traces: Vec<_> = ledger(&open()).iter().filter_map(Entry::trace).collect();
    assert_eq!(traces, [1, 1, 1, 2, 2].map(id), "each decision once, and its scores");
}

#[test]
fn a_stream_that_is_given_again_can_be_scored_before_it_ends() {
    let store = MemoryStore::default();
    let learner = start(store.clone(), prompt());
    begin_again(&learner, 1);
    score(&learner, feedback(1, "client", 0.5)).unwrap();
    finish(&learner, again(1, true));
    score(&learner, feedback(1, "other", 0.6)).unwrap();
    finish(&learner, again(2, true));
    score(&learner, feedback(2, "client", 0.7)).unwrap();
    learner.stop();
    assert_eq!(scores(&store, "quality"), [0.5, 0.6, 0.7]);
    assert!(scores(&store, "format").is_empty(), "nobody is asked what the answer is worth once more");
    assert_eq!(store.ledger().len(), 1 + 2 + 3, "the routes, two decisions, three scores");
}

#[test]
fn streams_that_are_given_again_are_remembered_within_a_bound() {
    let learner = start(MemoryStore::default(), prompt());
    (0..2_000).for_each(|n| begin_again(&learner, n));
    assert_eq!(score(&learner, feedback(0, "client", 0.5)), Err(FeedbackError::UnknownTrace(id(0))));
    score(&learner, feedback(1_999, "client", 0.5)).unwrap();
    learner.stop();
}
