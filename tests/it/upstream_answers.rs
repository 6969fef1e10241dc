//! Requests that are answered, at once or by another model than the first.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use satisfice::api::chat::ChatRequest;
use satisfice::catalog::{Capabilities, Model, ModelId, Usage};
use satisfice::upstream::settings::ProviderSettings;
use satisfice::upstream::{Cause, Deadlines, Dispatched, Exhausted, Fallbacks, Limits, Reply, Upstreams, WholeReply};
use tokio::time::Instant;

use crate::scripted::{Answer, KEY, Scripted};

/// A request, streaming or not.
pub fn request(stream: bool) -> ChatRequest {
    let body = format!(r#"{{"model":"auto","messages":[{{"role":"user","content":"hi"}}],"stream":{stream}}}"#);
    ChatRequest::parse(&Bytes::from(body)).unwrap()
}

/// The model `name` of the provider `test`.
pub fn model(name: &str) -> Model {
    Model {
        id: ModelId { provider: "test".into(), model: name.into() },
        upstream_name: name.into(),
        price: None,
        context_window: None,
        max_output_tokens: None,
        capabilities: Capabilities::default(),
    }
}

/// Three attempts; first byte in 20 s, idle 30 s, total 100 s.
pub const LIMITS: Limits = Limits {
    deadlines: Deadlines {
        connect: Duration::from_secs(5),
        first_byte: Duration::from_secs(20),
        idle: Duration::from_secs(30),
        total: Duration::from_secs(100),
    },
    attempts: 3,
    planned: usize::MAX,
    fallbacks: Fallbacks { error: None, rate_limit: None, context_length: None, content_filter: None },
    hedge: None,
    insists: false,
};

/// The dispatcher in front of `upstream`, the provider `test`. Jitter takes nothing off a pause.
pub fn upstreams(upstream: &Scripted) -> Upstreams {
    with(upstream.provider("test"))
}

pub fn with(provider: ProviderSettings) -> Upstreams {
    Upstreams::new(vec![provider], LIMITS.deadlines.connect).unwrap().with_jitter(|| 1.0)
}

/// Asks `models` in this order.
pub async fn ask(upstreams: &Upstreams, models: &[&str], stream: bool) -> Result<Dispatched, Exhausted> {
    let models: Vec<Model> = models.iter().map(|name| model(name)).collect();
    let targets: Vec<&Model> = models.iter().collect();
    upstreams.dispatch(&targets, &request(stream), &LIMITS).await
}

/// Whether `model` may be asked now.
pub fn healthy(upstreams: &Upstreams, model: &ModelId) -> bool {
    upstreams.healthy(model, Instant::now())
}

pub fn whole(dispatched: Dispatched) -> WholeReply {
    match dispatched.reply {
        Reply::Whole(reply) => reply,
        Reply::Stream(_) => panic!("a stream was not asked for"),
    }
}

/// Cause of each attempt; `None` for the one that answered.
pub fn causes(attempts: &[satisfice::upstream::Attempt]) -> Vec<Option<Cause>> {
    attempts.iter().map(|attempt| attempt.error.as_ref().map(|error| error.cause)).collect()
}

#[tokio::test]
async fn a_whole_answer_comes_as_the_upstream_wrote_it() {
    let body = "{ \"choices\": [{\"message\": {\"content\": \"h\\u0069\"}, \"finish_reason\": \"stop\"}],\n\"x\": 1.50,\
                \"usage\": {\"prompt_tokens\": 3, \"completion_tokens\": 1}}";
    let upstream = Scripted::start().await;
    upstream.on("a", [Answer::json(body)]);
    let dispatched = ask(&upstreams(&upstream), &["a"], false).await.unwrap();
    assert_eq!((dispatched.target, dispatched.attempts.len()), (0, 1));
    assert_eq!(dispatched.attempts[0].status, Some(StatusCode::OK));
    let reply = whole(dispatched);
    assert_eq!(reply.body, body);
    assert_eq!(reply.text.content, "hi");
    assert_eq!(reply.usage, Some(Usage { input_tokens: 3, output_tokens: 1, ..Usage::default() }));
}

#[tokio::test]
async fn a_request_carries_the_key_the_configured_headers_and_nothing_of_the_clients() {
    let upstream = Scripted::start().await;
    let mut provider = upstream.provider("test");
    provider.headers.insert("x-team", "search".parse().unwrap());
    ask(&with(provider), &["a"], false).await.unwrap();
    let seen = &upstream.seen()[0];
    assert_eq!(seen.line, "POST /v1/chat/completions");
    assert_eq!(seen.json()["model"], "a");
    let mut headers: Vec<_> =
        seen.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    headers.retain(|header| !header.starts_with("host") && !header.starts_with("content-length"));
    headers.sort();
    let agent = format!("user-agent: satisfice/{}", env!("CARGO_PKG_VERSION"));
    let authorization = format!("authorization: Bearer {KEY}");
    let expected = [
        "accept-encoding: identity",
        "accept: application/json",
        &authorization,
        "content-type: application/json",
        &agent,
        "x-team: search",
    ];
    assert_eq!(headers, expected);
}

#[tokio::test]
async fn connections_are_kept() {
    let upstream = Scripted::start().await;
    let upstreams = upstreams(&upstream);
    for _ in 0..5 {
        ask(&upstreams, &["a"], false).await.unwrap();
    }
    assert_eq!((upstream.seen().len(), upstream.connections()), (5, 1));
}

#[tokio::test]
async fn a_connection_that_its_server_ends_is_replaced_without_a_failure() {
    let upstream = Scripted::start().await;
    let upstreams = upstreams(&upstream);
    let headers = [("content-type", "application/json"), ("connection", "close")];
    upstream.on("a", [Answer::whole(200, &headers, r#"{"choices":[{"message":{"content":"ok"}}]}"#).close()]);
    for _ in 0..3 {
        assert_eq!(causes(&ask(&upstreams, &["a"], false).await.unwrap().attempts), [None]);
    }
    assert_eq!(upstream.connections(), 3);
}

#[tokio::test]
async fn what_another_model_may_mend_goes_to_the_next() {
    let upstream = Scripted::start().await;
    for (status, cause) in [
        (301, Cause::Configuration),
        (401, Cause::Credentials),
        (402, Cause::Credentials),
        (403, Cause::Configuration),
        (404, Cause::Configuration),
        (408, Cause::Timeout),
        (409, Cause::Server),
        (424, Cause::Server),
        (429, Cause::RateLimited),
        (500, Cause::Server),
        (529, Cause::Server),
    ] {
        upstream.on("a", [Answer::status(status, "no")]);
        let dispatched = ask(&upstreams(&upstream), &["a", "b"], false).await.unwrap();
        assert_eq!(dispatched.target, 1, "{status}");
        assert_eq!(causes(&dispatched.attempts), [Some(cause), None], "{status}");
        assert_eq!(dispatched.attempts[0].status.map(|s| s.as_u16()), Some(status));
        assert_eq!(whole(dispatched).text.content, "ok");
    }
}

#[tokio::test]
async fn an_answer_that_is_none_goes_to_the_next() {
    let upstream = Scripted::start().await;
    let short = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"choices\":";
    for (answer, cause, words) in [
        (Answer::json(r#"{"error":{"message":"overloaded"}}"#), Cause::Malformed, "overloaded"),
        (Answer::whole(200, &[("content-type", "text/html")], "<html>"), Cause::Malformed, "not a chat completion"),
        (Answer::whole(204, &[], ""), Cause::Malformed, "not a chat completion"),
        (Answer::raw(short).close(), Cause::Malformed, "cut"),
        (Answer::raw(short).reset(), Cause::Malformed, "cut"),
        (Answer::default().close(), Cause::Server, "broke before the answer"),
        (Answer::default().reset(), Cause::Server, "broke before the answer"),
        (Answer::raw("SSH-2.0-OpenSSH_9.6\r\n").close(), Cause::Server, "broke before the answer"),
        (Answer::json("x".repeat(33 << 20)), Cause::TooLong, "longer than"),
    ] {
        upstream.on("a", [answer]);
        let dispatched = ask(&upstreams(&upstream), &["a", "b"], false).await.unwrap();
        assert_eq!(causes(&dispatched.attempts), [Some(cause), None]);
        let message = dispatched.attempts[0].error.clone().unwrap().message;
        assert!(message.starts_with("provider test: ") && message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn the_callers_fault_is_the_callers_to_hear() {
    let upstream = Scripted::start().await;
    let body = r#"{"error":{"message":"too hot","type":"invalid_request_error","param":"temperature","code":"hot"}}"#;
    let upstreams = upstreams(&upstream);
    for status in [400, 413, 422] {
        upstream.on("a", [Answer::whole(status, &[], body)]);
        let exhausted = ask(&upstreams, &["a", "b"], false).await.unwrap_err();
        assert_eq!(causes(&exhausted.attempts), [Some(Cause::Caller)]);
        assert_eq!(exhausted.error.status.map(|s| s.as_u16()), Some(status));
        let detail = exhausted.error.detail.unwrap();
        assert_eq!((&*detail.message, &*detail.kind), ("too hot", "invalid_request_error"));
        assert_eq!((detail.param.as_deref(), detail.code.as_deref()), (Some("temperature"), Some("hot")));
    }
    assert_eq!(upstream.counts(["a", "b"]), [3, 0]);
}

#[tokio::test]
async fn what_the_operator_or_the_moment_is_to_blame_for_goes_to_the_next() {
    let upstream = Scripted::start().await;
    let (configuration, server) = (Cause::Configuration, Cause::Server);
    for (status, cause) in [
        (405, configuration),
        (407, configuration),
        (410, configuration),
        (421, configuration),
        (426, configuration),
        (423, server),
        (425, server),
    ] {
        upstream.on("a", [Answer::status(status, "no")]);
        let dispatched = ask(&upstreams(&upstream), &["a", "b"], false).await.unwrap();
        assert_eq!(causes(&dispatched.attempts), [Some(cause), None], "{status}");
        let message = dispatched.attempts[0].error.clone().unwrap().message;
        assert_eq!(message.contains("HTTP_PROXY"), status == 407, "{message}");
    }
}

#[tokio::test]
async fn no_more_calls_than_attempts() {
    let upstream = Scripted::start().await;
    for model in ["a", "b", "c", "d"] {
        upstream.on(model, [Answer::status(500, "no")]);
    }
    let exhausted = ask(&upstreams(&upstream), &["a", "b", "c", "d"], false).await.unwrap_err();
    assert_eq!(exhausted.attempts.iter().map(|a| a.target).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(exhausted.error.message, "provider test: answered 500 Internal Server Error: no");
    assert_eq!(upstream.counts(["a", "b", "c", "d"]), [1, 1, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_single_model_is_asked_again_after_a_growing_pause() {
    let upstream = Scripted::start().await;
    upstream.on("a", [Answer::status(503, "no"), Answer::default().close(), Answer::completion("at last")]);
    let began = Instant::now();
    let dispatched = ask(&upstreams(&upstream), &["a"], false).await.unwrap();
    assert_eq!(causes(&dispatched.attempts), [Some(Cause::Server), Some(Cause::Server), None]);
    assert!(began.elapsed() >= Duration::from_millis(250 + 500));
    assert_eq!(whole(dispatched).text.content, "at last");
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_as_long_as_the_upstream_asks() {
    let upstream = Scripted::start().await;
    let busy = |after| Answer::status_with(429, &[("retry-after", after)], "slow down");
    upstream.on("a", [busy("7"), Answer::completion("ok")]);
    let began = Instant::now();
    let dispatched = ask(&upstreams(&upstream), &["a"], false).await.unwrap();
    assert_eq!(dispatched.attempts[0].error.as_ref().unwrap().retry_after, Some(Duration::from_secs(7)));
    assert!(began.elapsed() >= Duration::from_secs(7));

    upstream.on("b", [busy("60")]);
    let exhausted = ask(&upstreams(&upstream), &["b"], false).await.unwrap_err();
    assert_eq!(causes(&exhausted.attempts), [Some(Cause::RateLimited)], "too long to wait for");
    assert_eq!(exhausted.error.retry_after, Some(Duration::from_secs(60)));
}

#[tokio::test(start_paused = true)]
async fn where_all_models_ask_for_a_pause_the_one_with_the_shortest_is_asked_again() {
    let upstream = Scripted::start().await;
    let busy = |after| Answer::status_with(429, &[("retry-after", after)], "slow down");
    upstream.on("a", [busy("5"), Answer::completion("from a")]);
    upstream.on("b", [busy("2"), Answer::completion("from b")]);
    let began = Instant::now();
    let dispatched = ask(&upstreams(&upstream), &["a", "b"], false).await.unwrap();
    assert_eq!(causes(&dispatched.attempts), [Some(Cause::RateLimited), Some(Cause::RateLimited), None]);
    assert!((2..5).contains(&began.elapsed().as_secs()));
    assert_eq!(whole(dispatched).text.content, "from b");
    upstream.on("c", [busy("1"), Answer::completion("from c")]);
    upstream.on("d", [Answer::status(401, "no")]);
    let dispatched = ask(&upstreams(&upstream), &["c", "d"], false).await.unwrap();
    assert_eq!((dispatched.target, dispatched.attempts.len()), (0, 3), "what cannot help is not asked again");
}

#[tokio::test(start_paused = true)]
async fn models_that_all_fail_are_asked_again_while_there_are_attempts() {
    let upstream = Scripted::start().await;
    upstream.on("a", [Answer::status(503, "no"), Answer::completion("at last")]);
    upstream.on("b", [Answer::status(503, "no")]);
    let dispatched = ask(&upstreams(&upstream), &["a", "b"], false).await.unwrap();
    assert_eq!(dispatched.attempts.iter().map(|attempt| attempt.target).collect::<Vec<_>>(), [0, 1, 0]);
    upstream.on("a", [Answer::status(503, "no")]);
    let exhausted = ask(&upstreams(&upstream), &["a", "b"], false).await.unwrap_err();
    assert_eq!(exhausted.attempts.len(), LIMITS.attempts);
    upstream.on("a", [Answer::status(503, "no")]);
    upstream.on("b", [Answer::status(400, "no")]);
    let exhausted = ask(&upstreams(&upstream), &["a", "b"], false).await.unwrap_err();
    assert_eq!(exhausted.attempts.len(), 2, "the caller's fault ends it");
}

#[tokio::test(start_paused = true)]
async fn a_list_for_another_cause_takes_nothing_from_the_waiting() {
    let upstream = Scripted::start().await;
    upstream.on("a", [Answer::status_with(429, &[("retry-after", "1")], "slow down"), Answer::completion("ok")]);
    let models = ["a", "b"].map(model);
    let targets: Vec<&Model> = models.iter().collect();
    let fallbacks = Fallbacks { error: Some(vec![1]), ..Fallbacks::default() };
    let limits = Limits { planned: 1, fallbacks, ..LIMITS };
    let dispatched = upstreams(&upstream).dispatch(&targets, &request(false), &limits).await.unwrap();
    assert_eq!(causes(&dispatched.attempts), [Some(Cause::RateLimited), None]);
    assert_eq!(upstream.counts(["a", "b"]), [2, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_larger_window_that_is_busy_is_waited_for_where_a_prompt_is_too_long_and_a_smaller_is_not() {
    let too_long = r#"{"error":{"message":"m","code":"context_length_exceeded"}}"#;
    let sized = |name: &str, window| Model { context_window: Some(window), ..model(name) };
    for (window, attempts) in [(1000, 3), (5, 2)] {
        let upstream = Scripted::start().await;
        upstream.on("busy", [Answer::status(503, "no"), Answer::completion("ok")]);
        upstream.on("full", [Answer::whole(400, &[], too_long)]);
        let models = [sized("busy", window), sized("full", 10)];
        let targets: Vec<&Model> = models.iter().collect();
        let answered = upstreams(&upstream).dispatch(&targets, &request(false), &LIMITS).await;
        assert_eq!(answered.map_or_else(|e| e.attempts.len(), |d| d.attempts.len()), attempts);
    }
}

#[tokio::test]
async fn a_single_model_is_not_asked_again_where_it_cannot_help() {
    let upstream = Scripted::start().await;
    upstream.on("a", [Answer::status(401, "no")]);
    let exhausted = ask(&upstreams(&upstream), &["a"], false).await.unwrap_err();
    assert_eq!(causes(&exhausted.attempts), [Some(Cause::Credentials)]);
}

#[tokio::test]
async fn without_a_model_or_a_provider_nothing_is_asked() {
    let upstream = Scripted::start().await;
    let upstreams = upstreams(&upstream);
    assert!(ask(&upstreams, &[], false).await.unwrap_err().attempts.is_empty());
    let mut stray = model("a");
    stray.id.provider = "nowhere".into();
    let exhausted = upstreams.dispatch(&[&stray], &request(false), &LIMITS).await.unwrap_err();
    assert_eq!(exhausted.error.message, "nowhere/a: no provider of that name is configured");
    assert_eq!(exhausted.error.cause, Cause::Configuration, "no key is at fault");
}
