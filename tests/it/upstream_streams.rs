//! Streamed answers: their beginning, their end, and being cut between.

use std::time::Duration;

use futures_util::StreamExt;
use satisfice::upstream::settings::{ProviderSettings, Wire};
use satisfice::upstream::{Cause, Dispatched, Limits, Reply, ReplyStream, StreamItem, UpstreamError};
use serde_json::json;
use tokio::time::Instant;

use crate::scripted::{Answer, Gate, Scripted};
use crate::upstream_answers::{LIMITS, ask, causes, healthy, model, request, upstreams, with};

fn stream(dispatched: Dispatched) -> ReplyStream {
    match dispatched.reply {
        Reply::Stream(stream) => stream,
        Reply::Whole(_) => panic!("a stream was asked for"),
    }
}

/// The texts of a stream, and how it ended: `Ok` with `[DONE]`.
async fn rest(mut stream: ReplyStream) -> (Vec<String>, Result<(), UpstreamError>) {
    let mut texts = vec![];
    loop {
        match stream.next().await.expect("a stream says how it ends") {
            Ok(StreamItem::Chunk { text, .. }) => texts.push(text.content),
            Ok(StreamItem::Done) => {
                assert_eq!(stream.next().await, None);
                return (texts, Ok(()));
            }
            Err(error) => {
                assert_eq!(stream.next().await, None);
                return (texts, Err(error));
            }
        }
    }
}

#[tokio::test]
async fn a_stream_comes_as_the_upstream_wrote_it() {
    let data = [
        r#"{"choices":[{"index":0, "delta":{"content":"h\u0069"},"finish_reason":null}],"usage":null, "x":1.0}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
    ];
    let upstream = Scripted::start().await;
    let answer = data.iter().fold(Answer::stream().piece(": ping\n\n"), |answer, data| answer.event(data));
    upstream.on("a", [answer.event("[DONE]").end()]);
    let dispatched = ask(&upstreams(&upstream), &["a"], true).await.unwrap();
    let items: Vec<StreamItem> = stream(dispatched).map(Result::unwrap).collect().await;
    let got: Vec<_> = items
        .iter()
        .map(|item| match item {
            StreamItem::Chunk { data, usage_only, .. } => (str::from_utf8(data).unwrap(), *usage_only),
            StreamItem::Done => ("[DONE]", false),
        })
        .collect();
    assert_eq!(got, [(data[0], false), (data[1], false), (data[2], true), ("[DONE]", false)]);
    let seen = &upstream.seen()[0];
    assert_eq!(seen.headers["accept"], "text/event-stream");
    assert_eq!(seen.json()["stream_options"]["include_usage"], true);
}

#[tokio::test]
async fn each_piece_is_there_as_soon_as_the_upstream_sends_it() {
    let upstream = Scripted::start().await;
    let gate = Gate::closed();
    let answer = Answer::stream().text("one").wait(&gate).piece("data: {\"choi").wait(&gate);
    upstream.on("a", [answer.piece("ces\":[]}\n\n").finish().end()]);
    let mut stream = stream(ask(&upstreams(&upstream), &["a"], true).await.unwrap());
    assert!(matches!(stream.next().await, Some(Ok(StreamItem::Chunk { text, .. })) if text.content == "one"));
    gate.open();
    gate.open();
    assert_eq!(rest(stream).await, (vec![String::new(), String::new()], Ok(())));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_before_its_first_event_goes_to_the_next() {
    let upstream = Scripted::start().await;
    let error = r#"{"error":{"message":"overloaded"}}"#;
    let html = Answer::whole(200, &[("content-type", "text/html")], "<html>");
    for (answer, words) in [
        (Answer::stream().event(error), "overloaded"),
        (Answer::json(error), "it sent application/json: overloaded"),
        (html, "it sent text/html: <html>"),
        (Answer::stream().close(), "cut"),
        (Answer::stream().end(), "cut before its end"),
        (Answer::stream().piece("data: {").reset(), "cut"),
        (Answer::stream().event("[DONE]").end(), "ended before it began"),
        (Answer::stream().event("nonsense"), "not a chat completion"),
        (Answer::stream().hang(), "first-byte deadline"),
        (Answer::stream().piece(": ping\n\n").hang(), "first-byte deadline"),
        (Answer::default().hang(), "first-byte deadline"),
        (Answer::status(503, "busy"), "busy"),
    ] {
        upstream.on("a", [answer]);
        let dispatched = ask(&upstreams(&upstream), &["a", "b"], true).await.unwrap();
        let message = dispatched.attempts[0].error.clone().unwrap().message;
        assert!(message.contains(words), "{message}");
        assert_eq!((dispatched.target, dispatched.attempts.len()), (1, 2));
        let (texts, end) = rest(stream(dispatched)).await;
        assert_eq!((texts.concat(), end), ("ok".into(), Ok(())));
    }
}

#[tokio::test(start_paused = true)]
async fn comments_before_the_first_event_put_no_deadline_off() {
    let (upstream, gate) = (Scripted::start().await, Gate::closed());
    let pinged = (0..60).fold(Answer::stream(), |answer, _| answer.piece(": ping\n\n").wait(&gate));
    upstream.on("a", [pinged.text("late").finish().end()]);
    let (upstreams, began) = (upstreams(&upstream), Instant::now());
    let pings = async {
        loop {
            tokio::time::sleep(Duration::from_secs(3)).await;
            gate.open();
        }
    };
    let dispatched = tokio::select! {
        dispatched = ask(&upstreams, &["a", "b"], true) => dispatched.unwrap(),
        () = pings => unreachable!("they do not end"),
    };
    assert_eq!(causes(&dispatched.attempts), [Some(Cause::Timeout), None]);
    assert!(began.elapsed() < LIMITS.deadlines.first_byte + Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(rest(stream(dispatched)).await, (vec!["ok".to_owned(), String::new(), String::new()], Ok(())));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_always_has_a_piece_ends_at_the_total_deadline() {
    let upstream = Scripted::start().await;
    upstream.on("a", [Answer::stream().text("one").text("two").text("three").hang()]);
    let mut stream = stream(ask(&upstreams(&upstream), &["a"], true).await.unwrap());
    assert!(matches!(stream.next().await, Some(Ok(StreamItem::Chunk { .. }))));
    // Its reader takes its time, and all of it is there by then.
    tokio::time::advance(LIMITS.deadlines.total).await;
    let (texts, end) = rest(stream).await;
    assert_eq!(texts, [""; 0]);
    assert_eq!(end.unwrap_err().message, "provider test: no whole answer within 100s (the total deadline)");
}

/// An error as vLLM tells it amid a stream.
const VLLM: &str =
    r#"{"object":"error","message":"CUDA out of memory","type":"InternalServerError","param":null,"code":500}"#;
const EMPTY_FINISH: &str = r#"{"id":"1","choices":[{"index":0,"delta":{"content":""},"finish_reason":""}]}"#;
const FINISHED_BY_ERROR: &str = r#"{"id":"1","choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#;

/// A chunk that says who speaks, and no more.
const ROLE: &str = r#"{"id":"1","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}],"usage":null}"#;

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_before_it_says_anything_goes_to_the_next() {
    let upstream = Scripted::start().await;
    let role = || Answer::stream().event(ROLE);
    let limit = r#"{"error":{"message":"Slow down.","code":"rate_limit_exceeded"}}"#;
    let empty = r#"{"choices":[{"index":0,"delta":{"content":""},"finish_reason":null}]}"#;
    for (answer, cause) in [
        (role().event(r#"{"error":{"message":"m","type":"overloaded_error"}}"#), Cause::Server),
        (role().event(limit), Cause::RateLimited),
        (role().event(empty).event(empty).event(limit), Cause::RateLimited),
        (role().reset(), Cause::Malformed),
        (role().close(), Cause::Malformed),
        (role().end(), Cause::Malformed),
        (role().event("[DONE]").end(), Cause::Malformed),
        (role().piece("event: error\ndata: {\"message\":\"m\"}\n\n").event("[DONE]").end(), Cause::Malformed),
        (Answer::stream().event(VLLM), Cause::Server),
        (role().event(VLLM).event("[DONE]").end(), Cause::Server),
        (role().event(r#"{"detail":"Not authenticated"}"#), Cause::Malformed),
        (role().event(FINISHED_BY_ERROR).event("[DONE]").end(), Cause::Server),
        (role().hang(), Cause::Timeout),
    ] {
        upstream.on("a", [answer]);
        let dispatched = ask(&upstreams(&upstream), &["a", "b"], true).await.unwrap();
        assert_eq!(causes(&dispatched.attempts), [Some(cause), None]);
        let (texts, end) = rest(stream(dispatched)).await;
        assert_eq!((texts.concat(), end), ("ok".into(), Ok(())));
    }
}

#[tokio::test]
async fn what_is_held_back_comes_before_the_first_content_to_the_byte() {
    let upstream = Scripted::start().await;
    let filters = r#"{"choices":[],"prompt_filter_results":[]}"#;
    upstream.on("a", [Answer::stream().event(filters).event(ROLE).text("one").finish().event("[DONE]").end()]);
    let mut stream = stream(ask(&upstreams(&upstream), &["a"], true).await.unwrap());
    for held in [filters, ROLE] {
        assert!(matches!(stream.next().await, Some(Ok(StreamItem::Chunk { data, .. })) if data == held));
    }
    assert_eq!(rest(stream).await, (vec!["one".to_owned(), String::new()], Ok(())));
}

#[tokio::test]
async fn a_stream_that_never_says_anything_begins_with_its_end() {
    let upstream = Scripted::start().await;
    upstream.on("a", [Answer::stream().event(ROLE).finish().end()]);
    let dispatched = ask(&upstreams(&upstream), &["a"], true).await.unwrap();
    assert_eq!(rest(stream(dispatched)).await, (vec![String::new(); 2], Ok(())));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_after_its_first_event_ends_in_an_error() {
    let upstream = Scripted::start().await;
    let begun = || Answer::stream().text("one");
    let error = r#"{"error":{"message":"on fire"}}"#;
    for (answer, cause, words) in [
        (begun().close(), Cause::Malformed, "cut"),
        (begun().reset(), Cause::Malformed, "cut"),
        (begun().end(), Cause::Malformed, "the stream was cut before its end"),
        (begun().event(error), Cause::Malformed, "on fire"),
        (begun().event("nonsense"), Cause::Malformed, "not a chat completion"),
        (begun().event("[DONE]").end(), Cause::Malformed, "no finish reason came"),
        (begun().event(VLLM).event("[DONE]").end(), Cause::Server, "CUDA out of memory"),
        (begun().piece("event: error\ndata: {\"message\":\"oh\"}\n\n").event("[DONE]").end(), Cause::Malformed, "oh"),
        (begun().piece("event: error\ndata: out of luck\n\n").event("[DONE]").end(), Cause::Malformed, "out of luck"),
        (begun().event(FINISHED_BY_ERROR).event("[DONE]").end(), Cause::Server, "finish reason is \"error\""),
        (
            begun().event(&FINISHED_BY_ERROR.replace("}]}", r#","error":{"code":502,"message":"gone"}}]}"#)),
            Cause::Server,
            "gone",
        ),
        (begun().event(EMPTY_FINISH).end(), Cause::Malformed, "the stream was cut before its end"),
        (begun().event(EMPTY_FINISH).event("[DONE]").end(), Cause::Malformed, "no finish reason came"),
        (begun().piece("x".repeat(33 << 20)), Cause::TooLong, "longer than 33554432 bytes"),
        (begun().hang(), Cause::Timeout, "silent for 30s within its answer (the idle deadline)"),
    ] {
        upstream.on("a", [answer]);
        let dispatched = ask(&upstreams(&upstream), &["a", "b"], true).await.unwrap();
        assert_eq!(causes(&dispatched.attempts), [None], "no fallback after the first byte");
        let (texts, end) = rest(stream(dispatched)).await;
        let error = end.unwrap_err();
        assert_eq!((texts.concat(), error.cause), ("one".to_owned(), cause));
        assert!(error.message.contains(words), "{}", error.message);
    }
    assert_eq!(upstream.counts(["b"]), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_keeps_the_total_deadline() {
    let upstream = Scripted::start().await;
    upstream.on("a", [Answer::stream().text("one").hang()]);
    let mut limits: Limits = LIMITS;
    limits.deadlines.total = Duration::from_secs(25);
    let began = Instant::now();
    let dispatched = upstreams(&upstream).dispatch(&[&model("a")], &request(true), &limits).await.unwrap();
    let (_, end) = rest(stream(dispatched)).await;
    assert_eq!(end.unwrap_err().message, "provider test: no whole answer within 25s (the total deadline)");
    assert!(began.elapsed() < Duration::from_secs(26));
}

#[tokio::test]
async fn a_stream_may_end_without_done_once_it_has_finished() {
    let upstream = Scripted::start().await;
    let finished = || Answer::stream().text("one").finish();
    upstream.on("a", [finished().end(), finished().usage().end(), finished().usage().event("[DONE]").end()]);
    let upstreams = upstreams(&upstream);
    for _ in 0..3 {
        assert_eq!(rest(stream(ask(&upstreams, &["a"], true).await.unwrap())).await.1, Ok(()));
    }
}

#[tokio::test]
async fn the_last_event_of_another_wire_ends_nothing_that_gave_no_reason() {
    let upstream = Scripted::start().await;
    let event = |data: serde_json::Value| format!("data: {data}\n\n");
    let start = json!({"type": "message_start", "message": {"id": "1", "content": [], "usage": {}}});
    let block = json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "one"}});
    let begun = Answer::stream().piece(event(start)).piece(event(block));
    upstream.on("a", [begun.piece(event(json!({"type": "message_stop"}))).end()]);
    let upstreams = with(ProviderSettings { wire: Wire::Anthropic, ..upstream.provider("test") });
    let (texts, end) = rest(stream(ask(&upstreams, &["a"], true).await.unwrap())).await;
    assert_eq!((texts.concat(), end.unwrap_err().cause), ("one".to_owned(), Cause::Malformed));
}

#[tokio::test]
async fn leaving_cancels_the_upstream_call() {
    let upstream = Scripted::start().await;
    let upstreams = upstreams(&upstream);
    upstream.on("a", [Answer::stream().text("one").hang()]);
    drop(stream(ask(&upstreams, &["a"], true).await.unwrap()));
    upstream.until_hung_up(1).await;

    upstream.on("a", [Answer::default().hang()]);
    tokio::select! {
        biased;
        _ = ask(&upstreams, &["a"], true) => panic!("nothing answers"),
        () = upstream.until_seen(2) => {}
    }
    upstream.until_hung_up(2).await;
}

#[tokio::test]
async fn a_model_whose_streams_are_always_cut_is_unhealthy() {
    let upstream = Scripted::start().await;
    let upstreams = upstreams(&upstream);
    upstream.on("a", [Answer::stream().text("one").close()]);
    for _ in 0..5 {
        assert!(healthy(&upstreams, &model("a").id));
        rest(stream(ask(&upstreams, &["a"], true).await.unwrap())).await.1.unwrap_err();
    }
    assert!(!healthy(&upstreams, &model("a").id));
}
