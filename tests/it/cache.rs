//! The response cache, from outside: what is given again, to whom, how it is marked, and that nobody is credited.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use satisfice::catalog::quirks::Quirks;
use satisfice::gateway::{
    CacheRule, CacheSettings, Condition, MAX_KEPT_ANSWER, RouteSettings, Rule, Settings, Setup, Then,
};
use satisfice::policy::{Kind, Knob};
use satisfice::server::ApiKeys;
use satisfice::store::AnswerShelf;
use satisfice::telemetry::Metrics;
use satisfice::trace::{Event, Outcome};
use satisfice::upstream::Upstreams;
use satisfice::upstream::settings::ProviderSettings;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::gateway::{Options, Running, ask, ask_stream, body, error, header, model_of, settings};
use crate::recorded::BEGIN_MS;
use crate::scripted::{Answer, Gate, Scripted};

const TTL: Duration = Duration::from_secs(60);
const BOTH: [&str; 2] = ["small-upstream", "large-upstream"];

fn rule(semantic_threshold: Option<f64>) -> CacheRule {
    CacheRule { ttl: TTL, semantic_threshold }
}

/// The route `auto` and models by their names are cached.
fn cached(semantic_threshold: Option<f64>) -> Settings {
    let mut settings = settings();
    settings.routes[0].cache = Some(rule(semantic_threshold));
    settings.cache = CacheSettings { models: Some(rule(None)), ..CacheSettings::default() };
    settings
}

pub async fn start() -> Running {
    Running::with(Options { settings: cached(None), ..Options::default() }).await
}

async fn semantic(threshold: f64) -> Running {
    Running::with(Options { settings: cached(Some(threshold)), ..Options::default() }).await
}

fn says(text: &str) -> Value {
    said("auto", text)
}

fn said(model: &str, text: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": text}]})
}

fn post(running: &Running, body: &Value, wish: &str) -> RequestBuilder {
    running.post("/v1/chat/completions", body.to_string()).header("x-satisfice-cache", wish)
}

pub fn is_hit(response: &Response) -> bool {
    assert_eq!(response.status(), 200);
    header(response, "x-satisfice-decision") == Some("cache")
}

/// Sends it and reads the answer; whether it was given before.
pub async fn hit(running: &Running, body: Value) -> bool {
    let response = running.chat(body).await;
    let hit = is_hit(&response);
    response.bytes().await.unwrap();
    hit
}

pub fn calls(running: &Running) -> usize {
    running.upstream.counts(BOTH).iter().sum()
}

pub async fn metric(running: &Running, line: &str) {
    let metrics = running.get("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains(line), "no {line} in\n{metrics}");
}

#[tokio::test]
async fn the_same_request_gets_the_same_answer_and_nobody_is_asked() {
    let mut running = start().await;
    let first = running.chat(ask("auto")).await;
    assert_eq!((header(&first, "x-satisfice-cache"), header(&first, "age")), (None, None));
    let model = header(&first, "x-satisfice-model").unwrap().to_owned();
    let given = first.bytes().await.unwrap();
    let asked = running.finished().await;

    let again = running.chat(ask("auto")).await;
    assert!(is_hit(&again));
    assert_eq!(header(&again, "x-satisfice-model"), Some(&*model));
    assert_eq!(header(&again, "x-satisfice-route"), Some("auto"));
    assert_eq!(header(&again, "x-satisfice-attempts"), Some("0"));
    assert_eq!(header(&again, "x-satisfice-cost-usd"), Some("0"));
    assert_eq!(header(&again, "x-satisfice-cache"), Some("exact"));
    assert_eq!(header(&again, "age"), Some("0"));
    for unknown in ["x-satisfice-propensity", "x-satisfice-difficulty"] {
        assert_eq!(header(&again, unknown), None);
    }
    let id = header(&again, "x-satisfice-trace-id").unwrap().to_owned();
    assert_eq!(again.bytes().await.unwrap(), given);
    assert_eq!(calls(&running), 1);

    let trace = running.finished().await;
    assert_eq!(trace.id.to_string(), id);
    assert_ne!(trace.id, asked.id);
    let decision = trace.decision.unwrap();
    assert_eq!((decision.kind, decision.candidates.len(), &*decision.policy), (Kind::Cache, 0, "exact"));
    assert_eq!((trace.attempts.len(), trace.usage, trace.cost_usd), (0, None, Some(0.0)));
    assert_eq!((trace.reply, trace.outcome, trace.model), (asked.reply, Outcome::Answered, asked.model));
    metric(&running, "satisfice_cache_hits_total{kind=\"exact\"} 1").await;
    metric(&running, "satisfice_cache_misses_total 1").await;
    metric(&running, "satisfice_cache_stores_total 1").await;
    metric(&running, &format!("satisfice_cache_saved_usd_total {}", asked.cost_usd.unwrap())).await;
    metric(&running, &format!("satisfice_tokens_total{{model=\"{model}\",direction=\"output\"}} 5")).await;
    assert!(running.stop().await.is_empty());
}

#[tokio::test]
async fn without_a_rule_nothing_is_kept() {
    let running = Running::start().await;
    for model in ["auto", "auto", "small", "small"] {
        assert!(!hit(&running, ask(model)).await);
    }
    let mut settings = cached(None);
    settings.cache.models = None;
    let running = Running::with(Options { settings, ..Options::default() }).await;
    assert!(!hit(&running, ask("small")).await && !hit(&running, ask("small")).await);
    assert!(!hit(&running, ask("narrow")).await && !hit(&running, ask("narrow")).await, "a route of its own");
}

#[tokio::test]
async fn a_model_asked_for_by_name_answers_again_and_nothing_stands_for_a_decision() {
    let mut running = start().await;
    assert!(!hit(&running, ask("small")).await && hit(&running, ask("small")).await);
    assert!(!hit(&running, ask("large")).await, "another model");
    running.finished().await;
    let trace = running.finished().await;
    assert_eq!((trace.route, trace.decision, trace.model.unwrap().model), (None, None, "small".into()));
}

#[tokio::test]
async fn an_answer_is_given_in_the_form_that_is_asked_for() {
    for (first, second) in [(ask("auto"), ask_stream("auto")), (ask_stream("auto"), ask("auto"))] {
        let mut running = start().await;
        for model in BOTH {
            let answer =
                if first["stream"] == true { Answer::says(&["Hel", "lo"]) } else { Answer::completion("Hello") };
            running.upstream.on(model, [answer]);
        }
        let given = running.chat(first.clone()).await.text().await.unwrap();
        let asked = running.finished().await;
        for body in [&first, &second] {
            let response = running.chat(body.clone()).await;
            assert!(is_hit(&response));
            let streamed = body["stream"] == true;
            let kind = if streamed { "text/event-stream" } else { "application/json" };
            assert_eq!(header(&response, "content-type"), Some(kind));
            let text = response.text().await.unwrap();
            assert!(*body != first || text == given, "to the byte: {text}");
            assert_eq!(said_in(&text, streamed), "Hello");
            assert_eq!(running.finished().await.reply, asked.reply);
        }
        assert_eq!(calls(&running), 1);
    }
}

fn said_in(text: &str, streamed: bool) -> String {
    if !streamed {
        let body: Value = serde_json::from_str(text).unwrap();
        assert_eq!(body["usage"]["completion_tokens"], 5);
        return body["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    }
    assert!(text.ends_with("data: [DONE]\n\n") && !text.contains("completion_tokens"), "{text}");
    let chunks = text.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
    chunks.filter_map(|chunk| Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned())).collect()
}

#[tokio::test]
async fn usage_is_streamed_again_to_whoever_asks_for_it() {
    for first in [ask("auto"), ask_stream("auto")] {
        let running = start().await;
        assert!(!hit(&running, first).await);
        let mut wanting = ask_stream("auto");
        wanting["stream_options"] = json!({"include_usage": true});
        let response = running.chat(wanting).await;
        assert!(is_hit(&response));
        assert!(response.text().await.unwrap().contains("\"completion_tokens\":5"));
    }
}

#[tokio::test]
async fn other_protocols_get_the_answer_in_their_own_words() {
    let running = start().await;
    assert!(!hit(&running, ask("auto")).await);
    let question = "What is 2 + 2?";
    let responses = json!({"model": "auto", "input": question, "store": false});
    let messages = json!({"model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": question}]});
    for (path, mut body) in [("/v1/responses", responses), ("/v1/messages", messages)] {
        running.post(path, body.to_string()).send().await.unwrap().bytes().await.unwrap();
        for stream in [false, true] {
            body["stream"] = stream.into();
            let response = running.post(path, body.to_string()).send().await.unwrap();
            assert!(is_hit(&response), "{path}");
            let text = response.text().await.unwrap();
            assert!(text.contains("ok"), "{text}");
            assert_eq!(text.contains("response.completed") || text.contains("message_stop"), stream, "{text}");
        }
    }
}

#[tokio::test]
async fn no_tenant_gets_anothers_answer() {
    let keys = ApiKeys::new(&["one".into(), "two".into()]);
    let running = Running::with(Options { keys, settings: cached(Some(0.1)), ..Options::default() }).await;
    let ask = |key: &'static str| {
        let request = running.post("/v1/chat/completions", ask("auto").to_string()).bearer_auth(key);
        async { is_hit(&request.send().await.unwrap()) }
    };
    assert!(!ask("one").await);
    assert!(!ask("two").await);
    assert!(ask("one").await && ask("two").await);
    let anthropic = running.post("/v1/chat/completions", crate::gateway::ask("auto").to_string());
    assert!(is_hit(&anthropic.header("x-api-key", "one").send().await.unwrap()), "the same key in another header");
}

#[tokio::test]
async fn a_request_says_what_it_wants_of_the_cache() {
    let running = start().await;
    let send = async |wish| post(&running, &ask("auto"), wish).send().await.unwrap();
    let (status, missing) = error(send("only-if-cached").await).await;
    assert_eq!((status, missing["code"].as_str(), calls(&running)), (504, Some("not_cached"), 0));
    assert!(!is_hit(&send("no-store").await) && !is_hit(&send("NO-STORE").await));
    assert_eq!(error(send("only-if-cached").await).await.0, 504, "nothing was stored");
    assert!(!is_hit(&send("refresh").await));
    assert!(is_hit(&send("only-if-cached").await));
    assert!(!is_hit(&send("no-store").await), "nothing is read");

    for model in BOTH {
        running.upstream.on(model, [Answer::completion("newer")]);
    }
    assert!(!is_hit(&send("refresh").await));
    let newer = running.chat(ask("auto")).await;
    assert!(is_hit(&newer));
    assert_eq!(body(newer).await["choices"][0]["message"]["content"], "newer");
    let (status, wrong) = error(send("sometimes").await).await;
    assert_eq!((status, wrong["param"].as_str()), (400, Some("x-satisfice-cache")));
}

#[tokio::test]
async fn only_if_cached_is_refused_where_nothing_is_ever_kept() {
    let mut running = Running::start().await;
    let (status, error) = error(post(&running, &ask("auto"), "only-if-cached").send().await.unwrap()).await;
    assert_eq!((status, error["code"].as_str()), (504, Some("not_cached")));
    let anthropic = json!({"model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
    let request = running.post("/v1/messages", anthropic.to_string()).header("x-satisfice-cache", "only-if-cached");
    let response = request.send().await.unwrap();
    assert_eq!((response.status().as_u16(), &body(response).await["type"]), (504, &json!("error")));
    assert!(running.upstream.seen().is_empty());
    running.chat(ask("small")).await;
    assert_eq!(running.finished().await.model.unwrap().model, "small", "nothing else was recorded");
}

#[tokio::test]
async fn an_answer_grows_old_and_goes() {
    let clock = Arc::new(AtomicU64::new(BEGIN_MS));
    let options = Options { settings: cached(Some(0.9)), clock: Some(clock.clone()), ..Options::default() };
    let running = Running::with(options).await;
    assert!(!hit(&running, ask("auto")).await);
    clock.fetch_add(42_500, Ordering::Relaxed);
    let response = running.chat(ask("auto")).await;
    assert!(is_hit(&response));
    let age: u64 = header(&response, "age").unwrap().parse().unwrap();
    assert!((30..=42).contains(&age), "42 s, less what the first answer took: {age}");
    clock.fetch_add(60_000, Ordering::Relaxed);
    assert!(!hit(&running, ask("auto")).await);
    assert!(hit(&running, ask("auto")).await);
}

#[tokio::test]
async fn an_answer_of_a_time_that_has_not_come_is_not_given() {
    let day = 86_400_000;
    let clock = Arc::new(AtomicU64::new(BEGIN_MS + 400 * day));
    let options = Options { settings: cached(Some(0.9)), clock: Some(clock.clone()), ..Options::default() };
    let running = Running::with(options).await;
    assert!(!hit(&running, ask("auto")).await);
    clock.store(BEGIN_MS, Ordering::Relaxed);
    assert!(!hit(&running, ask("auto")).await);
    assert!(hit(&running, ask("auto")).await, "the answer of now took its place");
}

#[tokio::test]
async fn only_a_whole_answer_that_came_well_is_kept() {
    let filtered = json!({"id": "x", "choices": [{"index": 0, "finish_reason": "content_filter",
        "message": {"role": "assistant", "content": ""}}], "usage": {"prompt_tokens": 1, "completion_tokens": 0}});
    let long = "x".repeat(MAX_KEPT_ANSWER + 1);
    let bad = [
        Answer::status(400, "no"),
        Answer::json(filtered.to_string()),
        Answer::completion(&long),
        Answer::stream().text("half").end(),
        Answer::stream().text("half").reset(),
        Answer::says(&[&long]),
    ];
    for (i, answer) in bad.into_iter().enumerate() {
        let running = start().await;
        running.upstream.on("small-upstream", [answer, Answer::completion("well")]);
        let first = if i < 3 { ask("small") } else { ask_stream("small") };
        drop(running.chat(first).await.bytes().await);
        let second = running.chat(ask("small")).await;
        assert_ne!(header(&second, "x-satisfice-decision"), Some("cache"), "{i}");
    }
    let running = start().await;
    let mut two = ask("small");
    two["n"] = 2.into();
    assert!(!hit(&running, two.clone()).await && !hit(&running, two).await, "the upstream gave one of two");
}

#[tokio::test]
async fn a_request_with_a_knob_or_a_segment_of_its_own_has_answers_of_its_own() {
    let running = start().await;
    let send = async |name: &'static str, value: &'static str| {
        let request = running.post("/v1/chat/completions", ask("auto").to_string()).header(name, value);
        is_hit(&request.send().await.unwrap())
    };
    assert!(!hit(&running, ask("auto")).await);
    assert!(!send("x-satisfice-quality", "0.5").await && send("x-satisfice-quality", "0.5").await);
    assert!(!send("x-satisfice-metadata", "team=search").await && send("x-satisfice-metadata", "team=search").await);
    assert!(send("x-satisfice-metadata", "env=test").await, "metadata that chooses nothing changes nothing");
}

/// `m` at the provider `mine` and at `router`, which routes itself.
async fn at_a_router() -> Running {
    let settings = Settings {
        models: ["mine", "router"].map(|provider| model_of(provider, "m", provider, 0.1)).to_vec(),
        routes: vec![],
        ..cached(None)
    };
    let providers: fn(&Scripted) -> _ = |upstream| {
        let quirks = Quirks { routes_itself: true, ..Quirks::default() };
        vec![upstream.provider("mine"), ProviderSettings { quirks, ..upstream.provider("router") }]
    };
    Running::with(Options { settings, providers: Some(providers), ..Options::default() }).await
}

#[tokio::test]
async fn a_request_gets_no_answer_of_a_provider_that_it_does_not_want() {
    let running = at_a_router().await;
    let ask = async |wishes: Value| {
        let mut body = said("m", "Hello");
        body["provider"] = wishes;
        let response = running.chat(body).await;
        (header(&response, "x-satisfice-model").unwrap().to_owned(), is_hit(&response))
    };
    assert_eq!(ask(json!({"only": ["mine"]})).await, ("mine/m".into(), false));
    for wishes in [json!({"only": ["router"]}), json!({"ignore": ["mine"]}), json!({"order": ["router"]})] {
        assert_eq!(ask(wishes.clone()).await, ("router/m".into(), false), "{wishes}");
        assert_eq!(ask(wishes.clone()).await, ("router/m".into(), true), "{wishes}");
    }
}

#[tokio::test]
async fn a_request_that_another_rule_holds_for_gets_no_answer_of_a_model_that_is_not_for_it() {
    let mut settings = cached(None);
    settings.routes[0].rules =
        vec![rule_of("metadata.region == 'eu'", "large"), rule_of("metadata.region == 'us'", "small")];
    let running = Running::with(Options { settings, ..Options::default() }).await;
    let send = async |region: &'static str| {
        let request = running.post("/v1/chat/completions", ask("auto").to_string());
        let response = request.header("x-satisfice-metadata", region).send().await.unwrap();
        (is_hit(&response), header(&response, "x-satisfice-model").unwrap().to_owned())
    };
    assert_eq!(send("region=us").await, (false, "test/small".into()));
    assert_eq!(send("region=eu").await, (false, "test/large".into()));
    assert_eq!(send("region=us").await, (true, "test/small".into()));
    assert_eq!(send("region=eu").await, (true, "test/large".into()));
    assert!(!send("region=asia").await.0, "no rule holds");
}

fn rule_of(when: &str, model: &str) -> Rule {
    Rule { when: Condition::parse(when).unwrap(), then: Then::Models(vec![model.into()]) }
}

#[tokio::test]
async fn after_a_reload_only_models_of_the_route_as_it_is_are_heard() {
    let running = start().await;
    assert!(!hit(&running, ask("auto")).await && hit(&running, ask("auto")).await);
    let reload = |change: &dyn Fn(&mut RouteSettings)| {
        let mut settings = cached(None);
        change(&mut settings.routes[0]);
        let upstreams = Upstreams::new(vec![running.upstream.provider("test")], settings.deadlines.connect).unwrap();
        running.gateway.replace(Setup::new(settings, upstreams, &Metrics::default()));
    };
    reload(&|_| {});
    assert!(hit(&running, ask("auto")).await, "nothing changed");
    reload(&|route| drop(route.models.pop()));
    assert!(!hit(&running, ask("auto")).await);
    reload(&|route| route.knob = Knob::Quality(0.99));
    assert!(!hit(&running, ask("auto")).await);
    reload(&|route| route.cache = None);
    assert!(!hit(&running, ask("auto")).await);
}

#[tokio::test]
async fn a_shorter_life_holds_for_what_is_kept_already() {
    let clock = Arc::new(AtomicU64::new(BEGIN_MS));
    let running =
        Running::with(Options { settings: cached(None), clock: Some(clock.clone()), ..Options::default() }).await;
    let reload = |ttl: Duration| {
        let mut settings = cached(None);
        settings.routes[0].cache = Some(CacheRule { ttl, ..rule(None) });
        let upstreams = Upstreams::new(vec![running.upstream.provider("test")], settings.deadlines.connect).unwrap();
        running.gateway.replace(Setup::new(settings, upstreams, &Metrics::default()));
    };
    assert!(!hit(&running, ask("auto")).await);
    clock.fetch_add(30_000, Ordering::Relaxed);
    reload(TTL);
    assert!(hit(&running, ask("auto")).await);
    reload(Duration::from_secs(1));
    assert!(!hit(&running, ask("auto")).await);
}

#[tokio::test]
async fn identical_requests_at_one_time_share_one_call() {
    for streamed in [false, true] {
        let mut running = start().await;
        let gate = Gate::closed();
        let answer = if streamed { Answer::says(&["Hel", "lo"]) } else { Answer::completion("Hello") };
        running.upstream.on("small-upstream", [Answer::default().wait(&gate).then(answer)]);
        let (whole, stream) = (ask("small"), ask_stream("small"));
        let send = |body: &Value| tokio::spawn(running.post("/v1/chat/completions", body.to_string()).send());
        let leader = send(if streamed { &stream } else { &whole });
        running.upstream.until_seen(1).await;
        let followers = [send(&whole), send(&stream), send(&whole)];
        in_flight(&running, 4).await;
        gate.open();
        assert!(!is_hit(&leader.await.unwrap().unwrap()));
        for follower in followers {
            let response = follower.await.unwrap().unwrap();
            assert!(is_hit(&response));
            assert_eq!(header(&response, "x-satisfice-cache"), Some("shared"));
            assert!(response.text().await.unwrap().contains("lo"));
        }
        assert_eq!(running.upstream.seen().len(), 1);
        metric(&running, "satisfice_cache_hits_total{kind=\"shared\"} 3").await;
        metric(&running, "satisfice_in_flight_requests 0").await;
        for _ in 0..4 {
            assert_eq!(running.finished().await.outcome, Outcome::Answered);
        }
        assert!(running.stop().await.is_empty());
    }
}

/// Waits until so many requests are being answered.
pub async fn in_flight(running: &Running, count: usize) {
    let line = format!("satisfice_in_flight_requests {count}\n");
    while !running.get("/metrics").send().await.unwrap().text().await.unwrap().contains(&line) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_follower_takes_over_from_a_leader_that_leaves_or_fails() {
    for leaves in [true, false] {
        let mut running = start().await;
        let gate = Gate::closed();
        let first = Answer::default().wait(&gate).then(Answer::status(400, "no"));
        running.upstream.on("small-upstream", [first, Answer::completion("Hello")]);
        let send = || tokio::spawn(running.post("/v1/chat/completions", ask("small").to_string()).send());
        let leader = send();
        running.upstream.until_seen(1).await;
        let followers = [send(), send()];
        in_flight(&running, 3).await;
        if leaves {
            leader.abort();
        } else {
            gate.open();
            assert_eq!(leader.await.unwrap().unwrap().status(), 400);
        }
        let mut hits = vec![];
        for follower in followers {
            hits.push(is_hit(&follower.await.unwrap().unwrap()));
        }
        assert_eq!((hits.iter().filter(|hit| **hit).count(), running.upstream.seen().len()), (1, 2));
        let outcome = if leaves { Outcome::ClientGone } else { Outcome::Failed };
        assert_eq!(running.finished().await.outcome, outcome);
    }
}

#[tokio::test]
async fn a_follower_that_leaves_is_recorded_and_disturbs_nobody() {
    let mut running = start().await;
    let gate = Gate::closed();
    running.upstream.on("small-upstream", [Answer::default().wait(&gate).then(Answer::completion("Hello"))]);
    let send = || tokio::spawn(running.post("/v1/chat/completions", ask("small").to_string()).send());
    let leader = send();
    running.upstream.until_seen(1).await;
    let follower = send();
    in_flight(&running, 2).await;
    follower.abort();
    let gone = running.finished().await;
    assert_eq!((gone.outcome, gone.attempts.len(), gone.model), (Outcome::ClientGone, 0, None));
    gate.open();
    assert_eq!(leader.await.unwrap().unwrap().status(), 200);
    assert_eq!(running.finished().await.outcome, Outcome::Answered);
    assert!(running.stop().await.is_empty());
}

#[tokio::test]
async fn an_answer_that_cannot_be_kept_lets_those_who_wait_ask_for_themselves_at_once() {
    let running = start().await;
    let gate = Gate::closed();
    let filtered = Answer::json(
        json!({"id": "x", "choices": [{"index": 0, "finish_reason": "content_filter",
        "message": {"role": "assistant", "content": ""}}]})
        .to_string(),
    );
    running.upstream.on("small-upstream", [Answer::default().wait(&gate).then(filtered.clone()), filtered]);
    let send = || tokio::spawn(running.post("/v1/chat/completions", ask("small").to_string()).send());
    let leader = send();
    running.upstream.until_seen(1).await;
    let followers = [send(), send(), send()];
    in_flight(&running, 4).await;
    gate.open();
    assert!(!is_hit(&leader.await.unwrap().unwrap()));
    for follower in followers {
        assert!(!is_hit(&follower.await.unwrap().unwrap()));
    }
    assert_eq!(running.upstream.seen().len(), 4);
}

#[tokio::test]
async fn what_means_the_same_may_have_the_same_answer_where_the_route_says_so() {
    let running = semantic(0.9).await;
    assert!(!hit(&running, says("How do I reset my password?")).await);
    let near = running.chat(says("how do i reset my password")).await;
    assert!(is_hit(&near));
    assert_eq!(header(&near, "x-satisfice-cache"), Some("semantic"));
    assert!(!hit(&running, says("What is the capital of Mongolia?")).await);
    let same = running.chat(says("How do I reset my password?")).await;
    assert_eq!(header(&same, "x-satisfice-cache"), Some("exact"), "the very request comes first");
    metric(&running, "satisfice_cache_hits_total{kind=\"semantic\"} 1").await;

    let exact_only = start().await;
    assert!(!hit(&exact_only, says("How do I reset my password?")).await);
    assert!(!hit(&exact_only, says("how do i reset my password")).await);
}

#[tokio::test]
async fn nothing_but_the_newest_turn_may_differ_in_a_semantic_hit() {
    let (one, other) = ("How do I reset my password?", "how do i reset my password");
    let with = |text: &str, more: Value| {
        let mut body = says(text);
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let system = |system: &str, text: &str| {
        let messages = json!([{"role": "system", "content": system}, {"role": "user", "content": text}]);
        json!({"model": "auto", "messages": messages})
    };
    let tool = |name: &str| json!({"tools": [{"type": "function", "function": {"name": name, "parameters": {}}}]});
    for (first, second) in [
        (system("You help with a bank.", one), system("You help with a game.", other)),
        (says(one), system("You help with a game.", other)),
        (with(one, tool("reset")), with(other, tool("remind"))),
        (with(one, json!({"temperature": 0})), with(other, json!({"temperature": 1}))),
        (with(one, json!({"max_tokens": 10})), with(other, json!({"max_tokens": 20}))),
        (said("auto", one), said("small", other)),
    ] {
        let running = semantic(0.1).await;
        assert!(!hit(&running, first.clone()).await && hit(&running, first.clone()).await);
        assert!(!hit(&running, second.clone()).await, "{first} has the answer to {second}");
    }
}

#[tokio::test]
async fn a_turn_that_is_not_embedded_whole_is_the_same_only_if_it_is_the_same() {
    let running = semantic(0.1).await;
    let long = |middle: &str| says(&format!("{}{middle}{}", "before ".repeat(400), "after ".repeat(400)));
    assert!(!hit(&running, long("yes")).await);
    assert!(!hit(&running, long("no")).await);
    assert!(hit(&running, long("no")).await);
}

#[tokio::test]
async fn a_full_memory_lets_go_of_what_was_not_asked_for() {
    let mut settings = cached(None);
    settings.cache.memory_bytes = 20_000;
    let running = Running::with(Options { settings, room: 256, ..Options::default() }).await;
    for n in 0..40 {
        assert!(!hit(&running, says(&format!("question {n}"))).await);
        assert!(hit(&running, says("question 0")).await, "asked for again and again: {n}");
    }
    assert!(!hit(&running, says("question 1")).await);
    let metrics = running.get("/metrics").send().await.unwrap().text().await.unwrap();
    let number = |name: &str| {
        let line = metrics.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    assert!(number("satisfice_cache_bytes") <= 20_000 && number("satisfice_cache_evictions_total") > 0, "{metrics}");
}

#[tokio::test]
async fn a_restart_finds_the_answers_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicU64::new(BEGIN_MS));
    let open = || AnswerShelf::open(folder.path(), 1 << 20, 1 << 20, clock.load(Ordering::Relaxed)).unwrap();
    let start = async || {
        let options = Options { settings: cached(Some(0.9)), clock: Some(clock.clone()), ..Options::default() };
        let running = Running::with(options).await;
        let (shelf, kept) = open();
        running.gateway.shelve(shelf.sender(), kept);
        (running, shelf)
    };
    let (running, shelf) = start().await;
    assert!(!hit(&running, says("How do I reset my password?")).await);
    running.stop().await;
    shelf.stop();

    let (running, shelf) = start().await;
    assert!(hit(&running, says("How do I reset my password?")).await);
    assert!(hit(&running, says("how do i reset my password")).await, "what it means is there too");
    assert!(running.upstream.seen().is_empty());
    running.stop().await;
    shelf.stop();

    clock.fetch_add(2 * TTL.as_millis() as u64, Ordering::Relaxed);
    let (running, shelf) = start().await;
    assert!(!hit(&running, says("How do I reset my password?")).await);
    running.stop().await;
    shelf.stop();
}

#[tokio::test]
async fn a_shelf_that_does_not_keep_up_delays_nobody_and_drops_are_counted() {
    let running = start().await;
    let (shelf, waiting) = std::sync::mpsc::sync_channel(1);
    running.gateway.shelve(shelf, vec![]);
    for n in 0..3 {
        assert!(!hit(&running, says(&format!("question {n}"))).await);
    }
    metric(&running, "satisfice_cache_disk_drops_total 2").await;
    drop(waiting);
    assert!(hit(&running, says("question 2")).await, "it is given again from memory");
}

#[tokio::test]
async fn the_learner_hears_of_a_streamed_hit_before_it_ends() {
    let mut running = start().await;
    assert!(!hit(&running, ask("auto")).await);
    running.finished().await;
    let response = running.chat(ask_stream("auto")).await;
    let id = header(&response, "x-satisfice-trace-id").unwrap().to_owned();
    let Event::Decided { trace, decision, .. } = running.event().await else { panic!("nothing to score") };
    assert_eq!((trace.to_string(), decision.kind), (id, Kind::Cache));
}

#[tokio::test(start_paused = true)]
async fn waiting_for_anothers_call_takes_of_a_requests_own_time() {
    let mut settings = cached(None);
    settings.deadlines.first_byte = Duration::from_secs(3);
    settings.deadlines.total = Duration::from_secs(8);
    let running = Running::with(Options { settings, ..Options::default() }).await;
    running.upstream.on("small-upstream", [Answer::default().hang()]);
    let began = Instant::now();
    let second = async {
        running.upstream.until_seen(1).await;
        running.chat(ask("small")).await
    };
    let (first, second) = tokio::join!(running.chat(ask("small")), second);
    assert_eq!([first, second].map(|response| response.status().as_u16()), [504, 504]);
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_when_the_time_has_gone_with_waiting() {
    let mut settings = cached(None);
    settings.deadlines.first_byte = Duration::from_secs(8);
    settings.deadlines.total = Duration::from_secs(8);
    let running = Running::with(Options { settings, ..Options::default() }).await;
    running.upstream.on("small-upstream", [Answer::default().hang()]);
    let second = async {
        running.upstream.until_seen(1).await;
        running.chat(ask("small")).await
    };
    let (_, second) = tokio::join!(running.chat(ask("small")), second);
    let (status, error) = error(second).await;
    assert!(status == 504 && error["message"].as_str().unwrap().contains("the total deadline"), "{error}");
    assert_eq!(running.upstream.seen().len(), 1);
}
