//! Another classifier takes over: what was learned is learned anew in its φ, the ledger alone leads there again, and
//! nothing of one training run's φ is ever learned on another's.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use satisfice::learner::{self, Bounds, Learner, Reading, Settings};
use satisfice::policy::{Audited, Decision, Snapshot, bundle_key};
use satisfice::scorers;
use satisfice::store::{Entry, Store};
use satisfice::trace::{
    AdoptError, Adopted, Event, Feedback, FeedbackError, Grade, Reclassified, Trace, TraceId, twin,
};
use tokio::sync::oneshot;

use crate::failing::{Failing, FailingStore};
use crate::recorded::{BEGIN_MS, ROUTE, bytes, decision, feedback, id, prior, routes, stop, trace};

const OLD: &str = "bundle";
const NEW: &str = "another";

fn start(store: &FailingStore, fingerprint: &str) -> Learner {
    start_reading(store, Reading::on(fingerprint))
}

fn start_reading(store: &FailingStore, reading: Reading) -> Learner {
    let bounds = Bounds { linger: Duration::ZERO, recent: 4, ..Bounds::default() };
    let settings = Settings { routes: routes(&[ROUTE]), reading, prior: prior(), at_ms: BEGIN_MS, bounds };
    learner::spawn(settings, Box::new(store.clone()), scorers::built_in()).unwrap()
}

/// An answered and scored request, decided in the φ of `bundle`.
fn request(learner: &Learner, n: u64, bundle: &str, score: f64) {
    let trace = Trace { bundle: Some(bundle_key(bundle)), ..trace(n) };
    learner.events.blocking_send(Event::Finished(Box::new(trace))).unwrap();
    scored(learner, feedback(n, "client", score));
}

fn scored(learner: &Learner, feedback: Feedback) {
    let (acknowledge, answer) = oneshot::channel();
    learner.events.blocking_send(Event::Feedback(feedback, acknowledge)).unwrap();
    answer.blocking_recv().unwrap().unwrap();
}

/// φ as the other training run assesses the `n`th request.
fn reassessed(n: u64) -> (TraceId, Decision) {
    (id(n), Decision { phi: vec![1.0, 0.5 - (n % 3) as f64], difficulty: 0.25, ..decision(n) })
}

fn adopt(learner: &Learner, fingerprint: &str, assessed: Vec<(TraceId, Decision)>) -> Result<Adopted, AdoptError> {
    let news = Reclassified { at_ms: BEGIN_MS + 99, fingerprint: fingerprint.into(), prior: prior(), assessed };
    let (answer, adopted) = oneshot::channel();
    learner.events.blocking_send(Event::Reclassified(Box::new(news), answer)).unwrap();
    adopted.blocking_recv().unwrap()
}

#[test]
fn a_source_that_is_unlearned_stays_so_under_another_classifier() {
    let learned = |unlearned: &[&str], sources: &[&str]| {
        let unlearned = unlearned.iter().map(ToString::to_string).collect();
        let learner = start_reading(&FailingStore::default(), Reading { unlearned, ..Reading::on(OLD) });
        for n in 0..4 {
            request(&learner, n, OLD, 1.0);
            sources.iter().for_each(|source| scored(&learner, feedback(n, source, 0.0)));
        }
        adopt(&learner, NEW, (0..4).map(reassessed).collect()).unwrap();
        serde_json::to_vec(&stop(learner).routes[ROUTE].arms).unwrap()
    };
    let honest = learned(&[], &[]);
    assert!(learned(&[], &["broken"]) != honest);
    assert!(learned(&["broken"], &["broken"]) == honest);
}

/// What the ledger alone leads to, from its first entry.
fn replayed(store: &FailingStore, fingerprint: &str) -> Arc<Snapshot> {
    let mut copy = FailingStore::default();
    copy.append(&store.ledger()).unwrap();
    stop(start(&copy, fingerprint))
}

fn scores_heard(snapshot: &Snapshot) -> u64 {
    snapshot.routes[ROUTE].arms.iter().map(|arm| arm.scored).sum()
}

#[test]
fn a_request_that_is_known_in_the_new_phi_and_ends_once_more_in_the_old_one_is_learned_from_as_it_stands() {
    let store = FailingStore::default();
    let learner = start(&store, NEW);
    request(&learner, 9, NEW, 1.0);
    learner.stop();
    let learner = start(&store, NEW);
    request(&learner, 9, OLD, 0.0);
    let live = stop(learner);
    assert_eq!(bytes(&live), bytes(&replayed(&store, NEW)));
    assert_eq!(scores_heard(&live), 1, "the second score is a revision");
}

#[test]
fn what_was_learned_is_learned_anew_and_the_ledger_alone_leads_there_again() {
    let store = FailingStore::default();
    let learner = start(&store, OLD);
    (0..12).for_each(|n| request(&learner, n, OLD, (n % 2) as f64));
    let before = learner.snapshot.load_full();
    assert_eq!(before.bundle, bundle_key(OLD));
    // The bodies of the first two are gone.
    let adopted = adopt(&learner, NEW, (2..12).map(reassessed).collect()).unwrap();
    assert_eq!(adopted, Adopted { assessed: 10, left_out: 2 });
    let after = learner.snapshot.load_full();
    assert_eq!((after.bundle, scores_heard(&before), scores_heard(&after)), (bundle_key(NEW), 12, 10));
    assert_ne!(bytes(&before), bytes(&after));
    assert_eq!(bytes(&replayed(&store, NEW)), bytes(&after), "without bodies, without a checkpoint");

    // The same scores on requests that were in the new φ from the start teach the same.
    let direct = FailingStore::default();
    let fresh = start(&direct, NEW);
    for n in 2..12 {
        let decision = Some(reassessed(n).1);
        let trace = Trace { bundle: Some(bundle_key(NEW)), decision: decision.map(Into::into), ..trace(n) };
        fresh.events.blocking_send(Event::Finished(Box::new(trace))).unwrap();
        scored(&fresh, feedback(n, "client", (n % 2) as f64));
    }
    let fresh = stop(fresh);
    assert_eq!(
        serde_json::to_vec(&fresh.routes[ROUTE].arms).unwrap(),
        serde_json::to_vec(&after.routes[ROUTE].arms).unwrap()
    );

    // A restart goes on from the checkpoint, and a late score of an old request counts.
    learner.stop();
    let learner = start(&store, NEW);
    assert!(!learner.incomplete);
    assert_eq!(bytes(&learner.snapshot.load()), bytes(&after));
    scored(&learner, feedback(5, "client", 0.5));
    let late = stop(learner);
    assert_eq!(late.version, after.version + 1);
    assert_eq!(bytes(&replayed(&store, NEW)), bytes(&late));
}

#[test]
fn a_request_under_way_with_the_old_classifier_is_not_learned_from_with_the_new_one() {
    let store = FailingStore::default();
    let learner = start(&store, OLD);
    adopt(&learner, NEW, vec![]).unwrap();
    let before = learner.snapshot.load_full();
    request(&learner, 1, OLD, 1.0);
    assert_eq!(bytes(&learner.snapshot.load()), bytes(&before));
    request(&learner, 2, NEW, 1.0);
    assert_eq!(scores_heard(&stop(learner)), 1);
    assert_eq!(scores_heard(&replayed(&store, OLD)), 1, "the old one has its own");
    assert_eq!(scores_heard(&replayed(&store, NEW)), 1);
}

#[test]
fn going_back_finds_what_was_learned_and_brings_in_what_came_meanwhile() {
    let store = FailingStore::default();
    let learner = start(&store, OLD);
    (0..6).for_each(|n| request(&learner, n, OLD, 1.0));
    let first = learner.snapshot.load_full();
    adopt(&learner, NEW, (0..6).map(reassessed).collect()).unwrap();
    (6..9).for_each(|n| request(&learner, n, NEW, 0.0));
    scored(&learner, feedback(0, "client", 0.5));
    assert_eq!(scores_heard(&learner.snapshot.load()), 9);

    let all = (0..9).map(|n| (id(n), decision(n))).collect();
    assert_eq!(adopt(&learner, OLD, all).unwrap(), Adopted { assessed: 3, left_out: 0 });
    let back = learner.snapshot.load_full();
    assert_eq!((back.bundle, scores_heard(&back)), (first.bundle, 9));
    scored(&learner, feedback(7, "reviewer", 1.0));
    let end = stop(learner);
    assert_eq!(end.version, back.version + 1, "a late score of a request that the other one decided");
    assert_eq!(bytes(&replayed(&store, OLD)), bytes(&end));
    assert_eq!(scores_heard(&replayed(&store, NEW)), 9);
}

#[test]
fn an_answer_counts_once_though_it_stands_in_the_ledger_twice() {
    let store = FailingStore::default();
    let learner = start(&store, OLD);
    (0..6).for_each(|n| request(&learner, n, OLD, 1.0));
    let before = learner.snapshot.load_full();
    adopt(&learner, NEW, (0..6).map(reassessed).collect()).unwrap();
    assert_eq!(adopt(&learner, NEW, (0..6).map(reassessed).collect()).unwrap().assessed, 0, "there already");
    learner.stop();
    let copies = |entry: &&Entry| matches!(entry, Entry::Settled { .. });
    assert_eq!(store.ledger().iter().filter(copies).count(), 12);
    assert_eq!(bytes(&replayed(&store, OLD)), bytes(&before));
}

#[test]
fn what_judging_cost_counts_once_however_often_the_classifier_changes() {
    let store = FailingStore::default();
    let learner = start(&store, OLD);
    let graded = |judge: &str| {
        let (judge, value, cost_usd) = (judge.to_owned(), Some(1.0), Some(0.25));
        let grade = Grade { trace: id(0), judge, value, weight: 0.5, cost_usd, at_ms: BEGIN_MS };
        learner.events.blocking_send(Event::Graded(grade)).unwrap();
    };
    let spent = |snapshot: &Snapshot| snapshot.routes[ROUTE].controller().spending.judge_usd;
    request(&learner, 0, OLD, 1.0);
    graded("strict");
    graded("mild");
    for fingerprint in [NEW, "a third", "a fourth"] {
        adopt(&learner, fingerprint, vec![reassessed(0)]).unwrap();
        assert_eq!(spent(&learner.snapshot.load()), 0.5, "{fingerprint}");
    }
    graded("late");
    adopt(&learner, OLD, vec![(id(0), decision(0))]).unwrap();
    let back = stop(learner);
    assert_eq!(spent(&back), 0.75);
    assert_eq!(bytes(&replayed(&store, OLD)), bytes(&back));
    for fingerprint in [NEW, "a third", "a fourth"] {
        assert_eq!(spent(&replayed(&store, fingerprint)), 0.75, "{fingerprint}");
    }
}

#[test]
fn a_start_with_another_classifier_says_that_there_is_something_to_bring_in() {
    let store = FailingStore::default();
    let learner = start(&store, OLD);
    (0..3).for_each(|n| request(&learner, n, OLD, 1.0));
    assert!(!learner.incomplete);
    learner.stop();
    let learner = start(&store, NEW);
    assert!(learner.incomplete);
    assert_eq!(adopt(&learner, NEW, (0..3).map(reassessed).collect()).unwrap(), Adopted { assessed: 3, left_out: 0 });
    assert_eq!(scores_heard(&stop(learner)), 3);
    assert!(!start(&store, NEW).incomplete);
}

#[test]
fn what_was_not_brought_in_before_the_end_is_to_be_brought_in_at_the_next_start() {
    let store = FailingStore::default();
    let learner = start(&store, OLD);
    (0..3).for_each(|n| request(&learner, n, OLD, 1.0));
    learner.stop();
    let learner = start(&store, NEW);
    request(&learner, 3, NEW, 1.0);
    learner.stop();
    let learner = start(&store, NEW);
    assert!(learner.incomplete);
    adopt(&learner, NEW, (0..3).map(reassessed).collect()).unwrap();
    assert_eq!(scores_heard(&stop(learner)), 4);
}

#[test]
fn while_the_disk_fails_the_old_classifier_stays_and_goes_on_learning_afterwards() {
    let store = FailingStore::default();
    let learner = start(&store, OLD);
    (0..3).for_each(|n| request(&learner, n, OLD, 1.0));
    let before = learner.snapshot.load_full();
    for failing in [Failing::Writes, Failing::Everything] {
        store.fail(failing);
        let refused = adopt(&learner, NEW, (0..3).map(reassessed).collect()).unwrap_err();
        assert!(refused.to_string().contains("the test said so"), "{refused}");
        assert_eq!(bytes(&learner.snapshot.load()), bytes(&before));
    }
    store.fail(Failing::Nothing);
    request(&learner, 3, OLD, 1.0);
    let after = stop(learner);
    assert_eq!((after.bundle, scores_heard(&after)), (before.bundle, 4));
    assert_eq!(bytes(&replayed(&store, OLD)), bytes(&after));
}

/// One thing that happens; `bool`s choose one of the two classifiers.
#[derive(Debug, Clone)]
enum Step {
    /// A request that began with that classifier ends.
    Finish(u64, bool),
    Score(u64, u8, u8),
    /// A judge's, of a request of the comparison or of a shadow.
    Grade(u64, u8, u8),
    /// The requests of the bits are assessed.
    Adopt(bool, u16),
    Restart,
    Fail(Failing),
}

fn step() -> impl Strategy<Value = Step> {
    let failing = prop_oneof![2 => Just(Failing::Nothing), 1 => Just(Failing::Writes), 1 => Just(Failing::Everything)];
    prop_oneof![
        8 => (0..REQUESTS, any::<bool>()).prop_map(|(n, new)| Step::Finish(n, new)),
        8 => (8..REQUESTS, 0..2_u8, 0..=4_u8).prop_map(|(n, judge, value)| Step::Grade(n, judge, value)),
        12 => (0..12_u64, 0..3_u8, 0..=4_u8).prop_map(|(n, source, value)| Step::Score(n, source, value)),
        4 => (any::<bool>(), any::<u16>()).prop_map(|(new, which)| Step::Adopt(new, which)),
        2 => Just(Step::Restart),
        2 => failing.prop_map(Step::Fail),
    ]
}

fn name(new: bool) -> &'static str {
    if new { NEW } else { OLD }
}

/// Twelve requests, the last four of them of the comparison with the best model; then the shadows of the 8th and the 10th.
const REQUESTS: u64 = 14;

/// φ of the `n`th request as that classifier assesses it.
fn phi(n: u64, new: bool) -> (TraceId, Decision) {
    let request = if n < 12 { n } else { 8 + 2 * (n - 12) };
    let (id, decision) = if new { reassessed(request) } else { (id(request), decision(request)) };
    let audit = (request >= 8).then_some(Audited { share: 0.5, best: 1 });
    let decision = Decision { audit, ..decision };
    if n < 12 { (id, decision) } else { (twin(id), decision.shadow().unwrap()) }
}

/// Waits until the learner has worked off all that it was told.
fn settle(learner: &Learner) {
    let (acknowledge, answer) = oneshot::channel();
    let nobody = feedback(1_000, "client", 0.5);
    learner.events.blocking_send(Event::Feedback(nobody, acknowledge)).unwrap();
    let answer = answer.blocking_recv().unwrap();
    assert!(matches!(answer, Err(FeedbackError::UnknownTrace(_) | FeedbackError::Unavailable(_))), "{answer:?}");
}

proptest! {
    #[test]
    fn live_restart_and_replay_agree_to_the_bit_whichever_classifier_takes_over_and_whatever_fails(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        let store = FailingStore::default();
        let (mut learner, mut in_use) = (start(&store, OLD), false);
        for step in steps {
            match step {
                Step::Finish(n, new) => {
                    let ((id, decision), model) = (phi(n, new), if n < 12 { trace(n).model } else { trace(1).model });
                    let bundle = Some(bundle_key(name(new)));
                    let trace = Trace { id, bundle, decision: Some(decision.into()), model, ..trace(n) };
                    learner.events.blocking_send(Event::Finished(Box::new(trace))).unwrap();
                }
                Step::Score(n, source, value) => {
                    let feedback = feedback(n, &source.to_string(), f64::from(value) / 4.0);
                    learner.events.blocking_send(Event::Feedback(feedback, oneshot::channel().0)).unwrap();
                }
                Step::Grade(n, judge, value) => {
                    let (trace, judge, value) = (phi(n, false).0, judge.to_string(), Some(f64::from(value) / 4.0));
                    let grade = Grade { trace, judge, value, weight: 0.5, cost_usd: Some(0.25), at_ms: BEGIN_MS };
                    learner.events.blocking_send(Event::Graded(grade)).unwrap();
                }
                Step::Adopt(new, which) => {
                    let chosen = (0..REQUESTS).filter(|n| which >> n & 1 == 1).map(|n| phi(n, new)).collect();
                    if adopt(&learner, name(new), chosen).is_ok() {
                        in_use = new;
                    }
                }
                Step::Restart => {
                    store.fail(Failing::Nothing);
                    learner.stop();
                    learner = start(&store, name(in_use));
                }
                Step::Fail(failing) => {
                    settle(&learner);
                    store.fail(failing);
                }
            }
        }
        settle(&learner);
        store.fail(Failing::Nothing);
        let live = stop(learner);
        prop_assert_eq!(live.bundle, bundle_key(name(in_use)));
        prop_assert_eq!(bytes(&live), bytes(&replayed(&store, name(in_use))));
    }
}
