//! Segments: parts of a route's traffic with a knob and a controller of their own, over arms that all of them teach.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use satisfice::catalog::Price;
use satisfice::difficulty::{Bundle, Context};
use satisfice::learner::{self, Bounds, Reading, Settings};
use satisfice::policy::{
    ArmSpec, Ask, Controller, Decision, Knob, Reward, RouteSpec, RouteState, SegmentSpec, Settlement, Snapshot, decide,
};
use satisfice::scorers;
use satisfice::store::Store;
use satisfice::store::memory::MemoryStore;
use satisfice::trace::{Event, Trace};
use serde_json::{Value, json};

use crate::gateway::{Running, ask, ask_stream, error};
use crate::recorded::{BEGIN_MS, ROUTE, SEGMENT, USAGE, prior, routes, trace};

/// What the route asks for where no segment does.
const USUAL: f64 = 0.9;

fn spec(segments: &[(&str, f64)]) -> RouteSpec {
    let arm =
        |(name, usd): (&str, f64)| ArmSpec { arm: name.into(), price: Some(Price::of(usd, usd)), context_window: None };
    let segment =
        |(name, share): &(&str, f64)| SegmentSpec { name: (*name).into(), knob: Knob::Quality(*share), explore: true };
    RouteSpec {
        name: ROUTE.into(),
        knob: Knob::Quality(USUAL),
        explore: true,
        arms: [("unheard-of-s", 0.2), ("unheard-of-m", 1.0), ("unheard-of-l", 10.0)].map(arm).into(),
        segments: segments.iter().map(segment).collect(),
    }
}

fn cold(segments: &[(&str, f64)]) -> Snapshot {
    Snapshot::new(Bundle::embedded().unwrap().prior.clone()).configure(&[spec(segments)])
}

fn route(snapshot: &Snapshot) -> Arc<RouteState> {
    snapshot.routes[ROUTE].clone()
}

fn controller<'a>(route: &'a RouteState, segment: Option<&str>) -> &'a Controller {
    let Some(name) = segment else { return route.controller() };
    route.segments().find(|(spec, _)| spec.name == name).unwrap().1
}

fn context(snapshot: &Snapshot, ease: f64) -> Context {
    let mut phi = vec![0.0; route(snapshot).arms[0].quality.dim()];
    (phi[0], phi[1]) = (1.0, ease);
    Context { phi, difficulty: 0.5, widening: 1.0, verbosity: 0.0, input_tokens: 100 }
}

/// Three models that answer easy requests better than hard ones, the dear one best.
struct World(StdRng);

impl World {
    fn quality(arm: usize, ease: f64) -> f64 {
        1.0 / (1.0 + (-([0.3, 1.3, 3.0][arm] + 1.5 * ease)).exp())
    }

    /// One request: the snapshot after it, what was decided, its ease.
    fn request(&mut self, snapshot: Snapshot, ask: Ask<'_>) -> (Snapshot, Decision, f64) {
        let ease = self.0.random_range(-1.5..1.5);
        let (state, at) = (route(&snapshot), context(&snapshot, ease));
        let decision = decide(&snapshot, &state, &at, &[0, 1, 2], ask, self.0.random()).unwrap();
        drop(state);
        let value = f64::from(u8::from(self.0.random_bool(Self::quality(decision.chosen, ease))));
        let arm = decision.candidates[decision.chosen].arm.clone();
        let settlement = Settlement { arm: arm.clone(), usage: Some(USAGE), cost_usd: Some(usd(&decision)) };
        let score = Reward::Scored { value, weight: 1.0 };
        let snapshot = snapshot.decided(ROUTE, &decision).settled(ROUTE, &decision, &settlement);
        (snapshot.learn(ROUTE, &decision, &arm, Reward::Unknown, score), decision, ease)
    }

    fn requests(&mut self, mut snapshot: Snapshot, n: usize, ask: Ask<'_>) -> Snapshot {
        for _ in 0..n {
            snapshot = self.request(snapshot, ask).0;
        }
        snapshot
    }
}

fn usd(decision: &Decision) -> f64 {
    [0.2, 1.0, 10.0][decision.chosen] * 300.0 / 1e6
}

fn of(segment: &str) -> Ask<'_> {
    Ask { segment: Some(segment), ..Ask::default() }
}

/// Share of the best model's quality, and USD, per request of a segment.
#[derive(Debug, Default)]
struct Tally {
    requests: f64,
    quality: f64,
    best: f64,
    usd: f64,
}

#[test]
fn segments_with_different_bars_settle_at_different_costs_and_each_meets_its_own() {
    let (bars, mut tallies) = ([("lax", 0.7), ("strict", 0.98)], BTreeMap::<&str, Tally>::new());
    for seed in 0..4 {
        let (mut world, mut snapshot) = (World(StdRng::seed_from_u64(seed)), cold(&bars));
        for i in 0..3000 {
            let (name, _) = bars[i % 2];
            let (next, decision, ease) = world.request(snapshot, of(name));
            snapshot = next;
            if i >= 1500 {
                let tally = tallies.entry(name).or_default();
                tally.requests += 1.0;
                tally.quality += World::quality(decision.chosen, ease);
                tally.best += World::quality(2, ease);
                tally.usd += usd(&decision);
            }
        }
    }
    for (name, bar) in bars {
        let kept = tallies[name].quality / tallies[name].best;
        assert!(kept >= bar - 0.01, "{name}: {kept}");
    }
    let usd = |name: &str| tallies[name].usd / tallies[name].requests;
    assert!(usd("lax") < 0.5 * usd("strict"), "{tallies:?}");
}

#[test]
fn a_score_of_one_segment_teaches_the_arms_of_all_and_the_controller_of_none_other() {
    let (mut world, before) = (World(StdRng::seed_from_u64(1)), cold(&[("a", 0.8), ("b", 0.8)]));
    let after = world.requests(before.clone(), 120, of("a"));
    let (before, after) = (route(&before), route(&after));
    assert_ne!(before.arms, after.arms);
    assert_eq!(after.decided(), 120);
    let numbers = |segment| {
        let controller = controller(&after, segment);
        let (rows, paid) = (controller.window.rows().count(), controller.spending.answers);
        let audited = controller.audit.own().map_or(0, |own| own.rows);
        (controller.schedule.decided, rows, paid, audited, controller.measured.quality().is_some())
    };
    assert_eq!(numbers(Some("a")), (120, 120, 120.0, 120, true));
    assert_eq!(numbers(Some("b")), (0, 0, 0.0, 0, false));
    assert_eq!(numbers(None), (0, 0, 0.0, 0, false));
}

#[test]
fn a_segment_s_first_request_starts_from_the_route_s_price_and_not_from_nothing() {
    let price = |snapshot: &Snapshot, segment| controller(&route(snapshot), segment).solution.log_value;
    let (mut apart, mut to_learn) = ([0.0; 2], 0.0);
    for seed in 0..12 {
        let (mut world, start) = (World(StdRng::seed_from_u64(seed)), cold(&[("rare", USUAL)]));
        let nothing = price(&start, Some("rare"));
        let taught = world.requests(start, 1500, Ask::default());
        let known = price(&taught, None);
        let joined = taught.clone().configure(&[spec(&[("rare", USUAL), ("new", USUAL)])]);
        let firsts = [price(&taught, Some("rare")), price(&joined, Some("new"))];
        apart.iter_mut().zip(firsts).for_each(|(sum, first)| *sum += (first - known).abs());
        to_learn += (nothing - known).abs();
    }
    assert!(apart.iter().all(|apart| *apart < 0.2 * to_learn), "{apart:?} of {to_learn}");
}

#[test]
fn a_request_s_own_bar_leaves_what_is_measured_of_its_segment_as_it_was() {
    let mut world = World(StdRng::seed_from_u64(3));
    let before = world.requests(cold(&[("a", 0.8)]), 20, of("a"));
    let own = Ask { segment: Some("a"), quality: Some(0.5), warm: None, consult: false };
    let (after, decision, _) = world.request(before.clone(), own);
    assert_eq!((decision.segment.as_deref(), decision.knob), (Some("a"), Knob::Quality(0.5)));
    let (before, after) = (route(&before), route(&after));
    let (before, after) = (controller(&before, Some("a")), controller(&after, Some("a")));
    assert_eq!((&before.measured, &before.spending, &before.audit), (&after.measured, &after.spending, &after.audit));
    assert_eq!(after.window.rows().count(), 21, "it is one of the requests that come");
}

#[test]
fn a_segment_that_the_policy_does_not_know_is_steered_by_the_route() {
    let snapshot = cold(&[]);
    let (state, at) = (route(&snapshot), context(&snapshot, 0.0));
    let decision = decide(&snapshot, &state, &at, &[0, 1, 2], of("tomorrow's"), 0.5).unwrap();
    assert_eq!((decision.segment, decision.knob), (None, Knob::Quality(USUAL)));
}

#[test]
fn another_knob_measures_a_segment_anew_and_one_that_is_gone_is_forgotten() {
    let mut world = World(StdRng::seed_from_u64(4));
    let snapshot = world.requests(cold(&[("a", 0.8), ("b", 0.8)]), 30, of("a"));
    let snapshot = world.requests(snapshot, 10, of("b"));
    let (late, arms) = (world.request(snapshot.clone(), of("b")).1, route(&snapshot).arms.clone());
    let changed = snapshot.configure(&[spec(&[("a", 0.9)])]);
    let state = route(&changed);
    let a = controller(&state, Some("a"));
    assert_eq!((a.knob, a.spending.answers, a.window.rows().count()), (Knob::Quality(0.9), 0.0, 30));
    assert_eq!((state.segments().count(), &state.arms), (1, &arms));
    let score = Reward::Scored { value: 1.0, weight: 1.0 };
    let name = &late.candidates[late.chosen].arm;
    let taught = changed.decided(ROUTE, &late).learn(ROUTE, &late, name, Reward::Unknown, score);
    let taught = route(&taught);
    assert_ne!(taught.arms, arms, "its late scores teach the arms all the same");
    assert_eq!((controller(&taught, None).schedule.decided, taught.decided()), (0, 30));
}

#[test]
fn a_restart_keeps_each_segment_s_state_to_the_bit() {
    let store = MemoryStore::default();
    let start = |store: &MemoryStore| {
        let bounds = Bounds { linger: Duration::ZERO, ..Bounds::default() };
        let routes = routes(&[ROUTE]);
        let settings = Settings { routes, reading: Reading::on("bundle"), prior: prior(), at_ms: BEGIN_MS, bounds };
        learner::spawn(settings, Box::new(store.clone()), scorers::built_in()).unwrap()
    };
    let learner = start(&store);
    for n in 0..30 {
        learner.events.blocking_send(Event::Finished(Box::new(trace(n)))).unwrap();
    }
    let published = learner.snapshot.clone();
    learner.stop();
    let before = published.load_full();
    let segment = controller(&before.routes[ROUTE], Some(SEGMENT)).clone();
    assert_eq!((segment.schedule.decided, segment.spending.answers), (10, 10.0));
    let mut without_checkpoint = MemoryStore::default();
    without_checkpoint.append(&store.ledger()).unwrap();
    for store in [&store, &without_checkpoint] {
        let learner = start(store);
        let after = learner.snapshot.load_full();
        assert_eq!(controller(&after.routes[ROUTE], Some(SEGMENT)), &segment);
        learner.stop();
    }
}

async fn sent(running: &mut Running, body: Value, headers: &[(&str, &str)]) -> Trace {
    let request = running.post("/v1/chat/completions", body.to_string());
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.bytes().await.unwrap();
    running.finished().await
}

fn decided(trace: &Trace) -> (Option<&str>, Knob) {
    let decision = trace.decision.as_ref().unwrap();
    (decision.segment.as_deref(), decision.knob)
}

#[tokio::test]
async fn the_first_segment_whose_pairs_a_request_has_all_decides_it() {
    let mut running = Running::start().await;
    let thrifty = (Some("thrifty"), Knob::BudgetPer1k(0.5));
    let strict = (Some("strict"), Knob::Quality(0.99));
    let route = (None, Knob::Quality(0.95));
    for (metadata, expected) in [
        ("team=search", thrifty),
        ("user=7, team=search", thrifty),
        ("env=prod,team=search", strict),
        ("team=ads, env=prod", route),
    ] {
        let trace = sent(&mut running, ask("auto"), &[("x-satisfice-metadata", metadata)]).await;
        assert_eq!(decided(&trace), expected, "{metadata}");
        assert_eq!(trace.metadata, metadata.parse().unwrap());
    }
    assert_eq!(decided(&sent(&mut running, ask("auto"), &[]).await), route);
    let streamed = sent(&mut running, ask_stream("auto"), &[("x-satisfice-metadata", "team=search")]).await;
    assert_eq!(decided(&streamed), thrifty);
    let both = [("x-satisfice-metadata", "team=search"), ("x-satisfice-quality", "0.5")];
    assert_eq!(decided(&sent(&mut running, ask("auto"), &both).await), (Some("thrifty"), Knob::Quality(0.5)));
    let metrics = running.get("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("satisfice_requests_total{route=\"auto\",segment=\"strict\","), "{metrics}");
}

#[tokio::test]
async fn pairs_stay_here_and_openai_s_own_metadata_goes_on_as_it_is() {
    let mut running = Running::start().await;
    let mut body = ask("auto");
    body["metadata"] = json!({"team": "search", "env": "prod"});
    let trace = sent(&mut running, body.clone(), &[("x-satisfice-metadata", "user=7")]).await;
    assert_eq!(decided(&trace).0, None, "only the header says what segment it is");
    let seen = &running.upstream.seen()[0];
    assert_eq!(seen.json()["metadata"], body["metadata"]);
    assert!(seen.headers.keys().all(|name| !name.as_str().starts_with("x-satisfice")), "{:?}", seen.headers);
    let pinned = sent(&mut running, ask("small"), &[("x-satisfice-metadata", "team=search")]).await;
    assert_eq!((pinned.decision, pinned.metadata.to_string()), (None, "team=search".into()));
}

#[tokio::test]
async fn a_bad_header_is_the_client_s_mistake_and_asks_nobody() {
    let running = Running::start().await;
    let long = format!("team={}", "x".repeat(513));
    let many: Vec<String> = (0..17).map(|i| format!("k{i}=v")).collect();
    for (wrong, told) in [
        ("team", "which is no pair; give key=value"),
        ("", "which is no pair"),
        ("te am=search", "give 1 to 64 ASCII letters"),
        ("team=", "give 1 to 512 visible ASCII"),
        ("team=a, team=b", "has the key \"team\" twice; give it once"),
        (&long, "(cut)"),
        (&many.join(","), "more than 16 pairs; leave some out"),
        ("team=sëarch", "not ASCII"),
    ] {
        let request = running.post("/v1/chat/completions", ask("auto").to_string());
        let header = reqwest::header::HeaderValue::from_bytes(wrong.as_bytes()).unwrap();
        let (status, body) = error(request.header("x-satisfice-metadata", header).send().await.unwrap()).await;
        assert_eq!((status, &body["param"]), (400, &"x-satisfice-metadata".into()), "{wrong}");
        let message = body["message"].as_str().unwrap();
        assert!(message.starts_with("the header x-satisfice-metadata ") && message.contains(told), "{message}");
    }
    assert!(running.upstream.seen().is_empty());
    assert!(running.stop().await.is_empty());
}

#[tokio::test]
async fn a_route_shows_its_segments_with_the_fields_that_it_has_itself() {
    let running = Running::start().await;
    let route: Value =
        serde_json::from_slice(&running.get("/v1/routes/auto").send().await.unwrap().bytes().await.unwrap()).unwrap();
    let segments = route["segments"].as_array().unwrap();
    let knobs: Vec<_> = segments.iter().map(|segment| (&segment["segment"], &segment["knob"])).collect();
    let (strict, thrifty) = (json!({"quality": 0.99}), json!({"budget_per_1k": 0.5}));
    assert_eq!(knobs, [(&"strict".into(), &strict), (&"thrifty".into(), &thrifty)]);
    let fields = |view: &Value, name: &str| {
        let names = view.as_object().unwrap().keys().filter(|key| **key != name && **key != "segments");
        names.cloned().collect::<Vec<_>>()
    };
    assert_eq!(fields(&segments[0], "segment"), fields(&route, "route"));
    let metrics = running.get("/metrics").send().await.unwrap().text().await.unwrap();
    for segment in ["", "strict", "thrifty"] {
        let line = format!("satisfice_route_decided{{route=\"auto\",segment=\"{segment}\"}} 0");
        assert!(metrics.contains(&line), "{metrics}");
    }
}
