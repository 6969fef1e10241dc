//! An answer whenever one can be had: several providers and keys, fallbacks by cause, hedging, the retry budget.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use satisfice::catalog::{Model, ModelId};
use satisfice::gateway::{Resilience, Settings, Setup};
use satisfice::telemetry::Metrics;
use satisfice::upstream::settings::ProviderSettings;
use satisfice::upstream::{Cause, Fallbacks, Limits};
use secrecy::SecretString;
use serde_json::json;
use tokio::time::{Instant, advance};

use crate::gateway::{Options, Running, ask as question, body, error, header, model as configured, settings};
use crate::scripted::{Answer, KEY, Scripted, Seen};
use crate::upstream_answers::{LIMITS, ask, causes, healthy, model, request, upstreams, whole, with};

const TOO_LONG: &str = r#"{"error":{"message":"This model's maximum context length is 10 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#;
const FILTERED: &str =
    r#"{"error":{"message":"The response was filtered.","type":null,"param":"prompt","code":"content_filter"}}"#;

#[tokio::test]
async fn another_key_is_used_at_once_when_one_is_used_up() {
    let upstream = Scripted::start().await;
    let provider = two_keys(&upstream);
    upstream.on("a", [Answer::status_with(429, &[("retry-after", "30")], "slow down"), Answer::completion("ok")]);
    let (upstreams, began) = (with(provider), Instant::now());
    let dispatched = ask(&upstreams, &["a"], false).await.unwrap();
    assert_eq!(causes(&dispatched.attempts), [Some(Cause::RateLimited), None]);
    assert!(began.elapsed() < Duration::from_secs(30), "it did not wait for the first key");
    ask(&upstreams, &["a"], false).await.unwrap();
    assert_eq!(keys(&upstream), [KEY, SECOND_KEY, SECOND_KEY]);
}

const SECOND_KEY: &str = "sk-the-second-one";

fn two_keys(upstream: &Scripted) -> ProviderSettings {
    ProviderSettings { api_keys: [KEY, SECOND_KEY].map(SecretString::from).to_vec(), ..upstream.provider("test") }
}

fn key_of(seen: &Seen) -> String {
    seen.headers["authorization"].to_str().unwrap().trim_start_matches("Bearer ").to_owned()
}

/// The keys of all requests so far.
fn keys(upstream: &Scripted) -> Vec<String> {
    upstream.seen().iter().map(key_of).collect()
}

#[tokio::test(start_paused = true)]
async fn another_key_answers_in_place_of_one_that_is_refused_and_before_another_model() {
    for status in [401, 402, 403] {
        let upstream = Scripted::start().await;
        let by_key = move |seen: &Seen| match key_of(seen) == KEY {
            true => Answer::status(status, "no such key"),
            false => Answer::completion("ok"),
        };
        upstream.on_each("a", by_key);
        let upstreams = with(two_keys(&upstream));
        let dispatched = ask(&upstreams, &["a", "b"], false).await.unwrap();
        assert_eq!((dispatched.target, causes(&dispatched.attempts)), (0, vec![Some(Cause::Credentials), None]));
        ask(&upstreams, &["a", "b"], false).await.unwrap();
        advance(Duration::from_secs(60)).await;
        ask(&upstreams, &["a", "b"], false).await.unwrap();
        assert_eq!(keys(&upstream), [KEY, SECOND_KEY, SECOND_KEY, SECOND_KEY], "{status}: asked once");
    }
}

#[tokio::test]
async fn what_ails_all_keys_of_a_model_leaves_an_attempt_for_another_model() {
    let upstream = Scripted::start().await;
    upstream.on("a", [Answer::status(401, "no such key")]);
    let provider =
        ProviderSettings { api_keys: vec!["one".into(), "two".into(), "three".into()], ..two_keys(&upstream) };
    let dispatched = ask(&with(provider), &["a", "b"], false).await.unwrap();
    assert_eq!(dispatched.attempts.iter().map(|attempt| attempt.target).collect::<Vec<_>>(), [0, 0, 1]);
    assert_eq!(keys(&upstream)[..2], ["one", "two"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_has_room_soon_is_waited_for_and_a_refused_one_is_not_asked_instead() {
    let upstream = Scripted::start().await;
    upstream.on_each("a", |seen| match key_of(seen) == KEY {
        true => Answer::status(401, "no such key"),
        false => Answer::status_with(429, &[("retry-after", "3")], "slow down"),
    });
    let upstreams = with(two_keys(&upstream));
    let refused = ask(&upstreams, &["a"], false).await.unwrap_err();
    let limited = Some(Cause::RateLimited);
    assert_eq!(causes(&refused.attempts), [Some(Cause::Credentials), limited, limited]);
    assert_eq!(keys(&upstream), [KEY, SECOND_KEY, SECOND_KEY]);
    assert!(upstreams.standing(&model("a").id).unwrap().limited_for.is_some());
    upstream.on_each("a", |_| Answer::completion("ok"));
    ask(&upstreams, &["a"], false).await.unwrap();
    assert_eq!(keys(&upstream)[3], SECOND_KEY);
}

#[tokio::test]
async fn a_limit_that_an_answer_says_is_used_up_sends_the_next_request_elsewhere() {
    let upstream = Scripted::start().await;
    let used_up = [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "20s")];
    upstream.on("a", [Answer::whole(200, &used_up, r#"{"choices":[{"message":{"content":"ok"}}]}"#)]);
    let upstreams = upstreams(&upstream);
    ask(&upstreams, &["a"], false).await.unwrap();
    let standing = upstreams.standing(&model("a").id).unwrap();
    assert!(!standing.healthy && standing.limited_for > Some(Duration::from_secs(10)), "{standing:?}");
    assert!(!healthy(&upstreams, &model("a").id));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_when_its_limit_is_refilled_unless_it_says_otherwise() {
    let upstream = Scripted::start().await;
    let used_up = [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "40s")];
    upstream.on("a", [Answer::status_with(429, &used_up, "slow down")]);
    let upstreams = upstreams(&upstream);
    let (began, refused) = (Instant::now(), ask(&upstreams, &["a"], false).await.unwrap_err());
    assert_eq!(refused.error.retry_after, Some(Duration::from_secs(40)));
    assert!(refused.attempts.len() == 1 || began.elapsed() >= Duration::from_secs(40), "{:?}", began.elapsed());
    let standing = upstreams.standing(&model("a").id).unwrap();
    assert!(!standing.healthy && standing.limited_for > Some(Duration::from_secs(20)), "{standing:?}");
}

#[tokio::test]
async fn a_prompt_that_is_too_long_goes_to_a_larger_window_only() {
    let upstream = Scripted::start().await;
    upstream.on("small", [Answer::whole(400, &[], TOO_LONG)]);
    let sized = |name: &str, window| Model { context_window: Some(window), ..model(name) };
    let models = [sized("small", 10), sized("same", 10), sized("large", 1000)];
    let targets: Vec<&Model> = models.iter().collect();
    let dispatched = upstreams(&upstream).dispatch(&targets, &request(false), &LIMITS).await.unwrap();
    assert_eq!(dispatched.attempts.iter().map(|attempt| attempt.target).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(causes(&dispatched.attempts), [Some(Cause::ContextLength), None]);
}

/// A field that OpenAI's model does not take.
fn untaken(message: &str, code: Option<&str>) -> Answer {
    let error = json!({"message": message, "type": "invalid_request_error", "param": "temperature", "code": code});
    Answer::whole(400, &[], json!({"error": error}).to_string())
}

#[tokio::test]
async fn a_field_that_a_model_does_not_take_is_asked_of_the_next_and_named_where_there_is_none() {
    let upstream = Scripted::start().await;
    let upstreams = upstreams(&upstream);
    for (message, code) in [
        ("Unsupported parameter: 'max_tokens'", Some("unsupported_parameter")),
        ("Unsupported value: 'temperature'", Some("unsupported_value")),
        ("Unknown parameter: 'top_k'.", Some("unknown_parameter")),
        ("Unrecognized request argument supplied: top_k", None),
        ("Web search options not supported with this model.", None),
    ] {
        upstream.on("a", [untaken(message, code)]);
        let dispatched = ask(&upstreams, &["a", "b"], false).await.unwrap();
        assert_eq!(causes(&dispatched.attempts), [Some(Cause::Unsupported), None], "{message}");
    }
    let running = Running::start().await;
    running.upstream.on("small-upstream", [untaken("Unsupported value: 'temperature'", Some("unsupported_value"))]);
    let (status, error) = error(running.chat(question("small")).await).await;
    assert_eq!((status, &error["code"], &error["param"]), (400, &"unsupported_value".into(), &"temperature".into()));
    assert_eq!(error["message"], "Unsupported value: 'temperature'");
}

#[tokio::test]
async fn a_cause_with_a_list_of_its_own_goes_by_that_list() {
    let upstream = Scripted::start().await;
    upstream.on("a", [Answer::whole(400, &[], FILTERED)]);
    let upstreams = upstreams(&upstream);
    let exhausted = ask(&upstreams, &["a", "b"], false).await.unwrap_err();
    assert_eq!(causes(&exhausted.attempts), [Some(Cause::ContentFilter)], "without a list it is the client's to hear");
    let fallbacks = Fallbacks { content_filter: Some(vec![2]), ..Fallbacks::default() };
    let limits = Limits { planned: 2, fallbacks, ..LIMITS };
    let models = ["a", "b", "c"].map(model);
    let targets: Vec<&Model> = models.iter().collect();
    let dispatched = upstreams.dispatch(&targets, &request(false), &limits).await.unwrap();
    assert_eq!(dispatched.target, 2);
    assert_eq!(upstream.counts(["a", "b", "c"]), [2, 0, 1]);
}

/// The second call is made at once.
const HEDGED: Limits = Limits { hedge: Some(Duration::from_millis(1)), ..LIMITS };

#[tokio::test]
async fn a_hedge_answers_for_one_that_is_slow_and_cancels_it() {
    let upstream = Scripted::start().await;
    upstream.on("slow", [Answer::default().hang()]);
    let (models, limits) = (["slow", "quick", "third"].map(model), HEDGED);
    let targets: Vec<&Model> = models.iter().collect();
    let dispatched = upstreams(&upstream).dispatch(&targets, &request(false), &limits).await.unwrap();
    assert_eq!(dispatched.target, 1);
    assert_eq!(causes(&dispatched.attempts), [Some(Cause::Superseded), None], "both calls are told");
    assert_eq!(whole(dispatched).text.content, "ok");
    upstream.until_hung_up(1).await;
    assert_eq!(upstream.counts(["slow", "quick", "third"]), [1, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_hedged_once_and_within_its_attempts() {
    let models = ["a", "b", "c", "d"].map(model);
    let targets: Vec<&Model> = models.iter().collect();
    for attempts in 1..=4 {
        let upstream = Scripted::start().await;
        ["a", "b", "c"].iter().for_each(|name| upstream.on(name, [Answer::default().hang()]));
        let (upstreams, limits) = (upstreams(&upstream), Limits { attempts, ..HEDGED });
        let called = match upstreams.dispatch(&targets, &request(false), &limits).await {
            Ok(dispatched) => dispatched.attempts,
            Err(exhausted) => exhausted.attempts,
        };
        let expected = [Some(Cause::Timeout), Some(Cause::Timeout), Some(Cause::Timeout), None];
        assert_eq!(causes(&called), expected[..attempts], "{attempts}");
    }
}

/// `slow` answers once the gate is open, and `sick` fails.
async fn slow_and_sick() -> (Scripted, crate::scripted::Gate) {
    let (upstream, gate) = (Scripted::start().await, crate::scripted::Gate::closed());
    upstream.on("slow", [Answer::default().wait(&gate).then(Answer::completion("late"))]);
    upstream.on("sick", [Answer::status(500, "out of order")]);
    (upstream, gate)
}

#[tokio::test]
async fn a_hedged_call_that_fails_leaves_the_other_to_answer() {
    let (upstream, gate) = slow_and_sick().await;
    let (models, limits) = (["slow", "sick"].map(model), HEDGED);
    let (targets, request) = (models.iter().collect::<Vec<_>>(), request(false));
    let upstreams = upstreams(&upstream);
    let answer = upstreams.dispatch(&targets, &request, &limits);
    let open = async {
        upstream.until_seen(2).await;
        gate.open();
    };
    let (dispatched, ()) = tokio::join!(answer, open);
    let dispatched = dispatched.unwrap();
    assert_eq!(causes(&dispatched.attempts), [Some(Cause::Server), None]);
    assert_eq!(whole(dispatched).text.content, "late");
}

#[tokio::test]
async fn a_client_that_leaves_a_hedged_pair_of_which_one_failed_leaves_the_truth_of_both() {
    let (upstream, _gate) = slow_and_sick().await;
    let (models, limits) = (["slow", "sick"].map(model), HEDGED);
    let (targets, request) = (models.iter().collect::<Vec<_>>(), request(false));
    let upstreams = upstreams(&upstream);
    let told = std::sync::OnceLock::new();
    let mut answer = Box::pin(upstreams.dispatch_telling(&targets, &request, (&limits, Instant::now()), &told));
    // The failure counts against its model once it is known.
    while upstreams.standing(&models[1].id).is_none_or(|standing| standing.failures == 0) {
        let pending = std::future::poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx).is_pending()));
        assert!(pending.await);
        tokio::task::yield_now().await;
    }
    drop(answer);
    assert_eq!(causes(told.get().unwrap()), [Some(Cause::Server), Some(Cause::Abandoned)]);
}

#[tokio::test]
async fn in_a_full_outage_requests_make_little_more_than_one_attempt_each() {
    let upstream = Scripted::start().await;
    let sick = || Answer::status(500, "out of order");
    ["a", "b", "c"].iter().for_each(|name| upstream.on(name, (0..400).map(|_| sick())));
    let upstreams = upstreams(&upstream);
    let mut attempts = 0;
    for _ in 0..400 {
        attempts += ask(&upstreams, &["a", "b", "c"], false).await.unwrap_err().attempts.len();
    }
    assert!(attempts <= 480, "{attempts} attempts for 400 requests");
}

/// `small` at the providers `test` and `other`.
fn twice() -> Settings {
    let settings = settings();
    let small = settings.models[0].clone();
    let other = Arc::new(Model {
        id: ModelId::of("other", "small"),
        upstream_name: "small-other".into(),
        ..(*configured("small", 0.1)).clone()
    });
    let mut routes = settings.routes.clone();
    (routes[0].models, routes[0].alternates) = (vec![small], vec![other.clone()]);
    let models = settings.models.iter().cloned().chain([other]).collect();
    Settings { models, routes, ..settings }
}

#[tokio::test]
async fn a_model_at_two_providers_is_one_arm_and_each_makes_the_others_failures_good() {
    let running = Running::with(Options { settings: twice(), ..Options::default() }).await;
    for asked in ["auto", "small"] {
        // The draw of the test puts `other` first.
        running.upstream.on("small-other", [Answer::status(500, "out of order"), Answer::completion("ok")]);
        let response = running.chat(question(asked)).await;
        assert_eq!((response.status().as_u16(), header(&response, "x-satisfice-attempts")), (200, Some("2")));
        assert_eq!(header(&response, "x-satisfice-model"), Some("test/small"));
        assert_ne!(header(&response, "x-satisfice-decision"), Some("fallback"), "it is the model that was to answer");
    }
    let pinned = running.chat(question("other/small")).await;
    assert_eq!(header(&pinned, "x-satisfice-model"), Some("other/small"));
    let unknown = body(running.chat(question("smal")).await).await.to_string();
    assert_eq!(unknown.matches("small").count(), 1, "{unknown}");
}

#[tokio::test]
async fn providers_keys_and_models_are_shown_as_they_stand() {
    let running = Running::start().await;
    running.upstream.on("small-upstream", (0..5).map(|_| Answer::status(500, "out of order")));
    for _ in 0..5 {
        running.chat(question("small")).await;
    }
    let shown = body(running.get("/v1/providers").send().await.unwrap()).await;
    let provider = &shown["providers"][0];
    assert_eq!((&provider["provider"], &provider["breaker"]), (&json!("test"), &json!("closed")));
    assert_eq!(provider["keys"], json!([{"breaker": "closed"}]));
    let small = &provider["models"][0];
    assert_eq!(
        (&small["model"], &small["breaker"], &small["healthy"]),
        (&json!("small"), &json!("open"), &json!(false))
    );
    assert_eq!(provider["models"][1]["breaker"], "closed");
    let metrics = running.get("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains(r#"satisfice_upstream_healthy{provider="test",model="small"} 0"#), "{metrics}");
    assert!(!shown.to_string().contains(KEY));
}

#[tokio::test]
async fn a_routes_own_fallbacks_are_asked_though_they_are_not_of_its_models() {
    let mut settings = settings();
    let (small, plain) = (settings.models[0].clone(), settings.models[2].clone());
    settings.routes[0].models = vec![small];
    let fallbacks = satisfice::gateway::Fallbacks { error: Some(vec![plain]), ..Default::default() };
    settings.routes[0].resilience = Resilience { fallbacks, ..Resilience::default() };
    let running = Running::with(Options { settings, ..Options::default() }).await;
    running.upstream.on("small-upstream", [Answer::status(500, "out of order")]);
    let response = running.chat(question("auto")).await;
    assert_eq!(header(&response, "x-satisfice-model"), Some("test/plain"));
    assert_eq!(header(&response, "x-satisfice-decision"), Some("fallback"));
}

/// The gateway takes up another configuration with these providers.
fn reload(running: &Running, providers: Vec<ProviderSettings>) {
    let settings = running.gateway.settings();
    let models = settings.models.iter().map(|model| &**model);
    let connect = settings.deadlines.connect;
    let upstreams = running.gateway.upstreams(|_, before| before.renewed(providers, connect, models)).unwrap();
    running.gateway.replace(Setup::new(settings.clone(), upstreams, &Metrics::default()));
}

/// Failed calls in a row to `small`.
async fn failures(running: &Running) -> u64 {
    let listed = body(running.get("/v1/providers").send().await.unwrap()).await;
    let providers = listed["providers"].as_array().unwrap();
    let models =
        providers.iter().find(|provider| provider["provider"] == "test").unwrap()["models"].as_array().unwrap();
    models.iter().find(|model| model["model"] == "small").unwrap()["failures"].as_u64().unwrap()
}

#[tokio::test]
async fn a_reload_keeps_the_health_and_the_connections_of_a_provider_that_stays_as_it_was() {
    let running =
        Running::with(Options { settings: Settings { attempts: 1, ..settings() }, ..Options::default() }).await;
    running.upstream.on("small-upstream", [Answer::status(500, "broken")]);
    let asking = ["large", "small", "large"];
    for model in asking {
        running.chat(question(model)).await;
    }
    let (failed, connections) = (failures(&running).await, running.upstream.connections());
    assert!(failed > 0);
    reload(&running, vec![running.upstream.provider("test"), running.upstream.provider("another")]);
    assert_eq!(failures(&running).await, failed);
    assert_eq!(running.chat(question("large")).await.status(), 200);
    assert_eq!(running.upstream.connections(), connections, "the one from before");
    let other_key = ProviderSettings { api_keys: vec!["sk-other".into()], ..running.upstream.provider("test") };
    reload(&running, vec![other_key]);
    assert_eq!(failures(&running).await, 0);
    assert_eq!(running.chat(question("large")).await.status(), 200);
    assert_eq!(running.upstream.connections(), connections + 1);
    assert_eq!(running.upstream.seen().pop().unwrap().headers["authorization"], "Bearer sk-other");
}
