//! Upstreams that break every rule: each time a typed error or another model's answer, never a hang, a panic, or an end
//! that was made up.

use futures_util::StreamExt;
use satisfice::trace::Outcome;
use satisfice::upstream::{Attempt, Cause, Dispatched, Exhausted, Reply, StreamItem, Upstreams};

use crate::gateway::{Running, ask as question, error, header};
use crate::scripted::{Answer, Scripted};
use crate::upstream_answers::{ask, whole};

/// A whole stream as it crosses the wire, head and chunks and all.
fn recorded() -> Vec<u8> {
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let choice = |delta: &str, finish: &str| {
        chunk(&format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"))
    };
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let body =
        [choice("{\"content\":\"Grüße\"}", "null"), choice("{}", "\"stop\""), chunk("data: [DONE]\n\n")].concat();
    format!("{head}{body}0\r\n\r\n").into_bytes()
}

/// What a stream told: its items, and the error that ended it, if one did.
async fn told(dispatched: Dispatched) -> (Vec<StreamItem>, Option<Cause>) {
    let Reply::Stream(mut stream) = dispatched.reply else { panic!("a stream was asked for") };
    let mut items = vec![];
    while let Some(item) = stream.next().await {
        match item {
            Ok(item) => items.push(item),
            Err(error) => return (items, Some(error.cause)),
        }
    }
    (items, None)
}

fn first_cause(attempts: &[Attempt]) -> Option<Cause> {
    attempts.first().and_then(|attempt| attempt.error.as_ref()).map(|error| error.cause)
}

/// A dispatcher without a memory, so that no breaker comes between.
fn fresh(upstream: &Scripted) -> Upstreams {
    crate::upstream_answers::upstreams(upstream)
}

async fn asked(upstream: &Scripted, answer: Answer, stream: bool) -> Result<Dispatched, Exhausted> {
    upstream.on("a", [answer]);
    ask(&fresh(upstream), &["a", "b"], stream).await
}

#[tokio::test]
async fn a_stream_that_is_cut_at_any_byte_falls_back_or_says_so() {
    let upstream = Scripted::start().await;
    let recorded = recorded();
    let ended = recorded.windows(6).position(|bytes| bytes == b"[DONE]").unwrap();
    let finished = recorded.windows(6).position(|bytes| bytes == b"\"stop\"").unwrap();
    for cut in 0..recorded.len() {
        let dispatched = asked(&upstream, Answer::raw(&recorded[..cut]).close(), true).await.unwrap();
        let (fell_back, attempts) = (dispatched.target == 1, dispatched.attempts.clone());
        let (items, error) = told(dispatched).await;
        let is_done = items.last() == Some(&StreamItem::Done);
        match fell_back {
            true => assert!(matches!(first_cause(&attempts), Some(Cause::Server | Cause::Malformed)), "cut at {cut}"),
            false => assert_eq!(is_done, error.is_none(), "cut at {cut}: it ends well, or in an error"),
        }
        assert!(fell_back || cut > ended || !is_done || cut > finished, "cut at {cut}: an end was made up");
    }
}

#[tokio::test]
async fn what_is_no_http_or_no_answer_goes_to_the_next_model() {
    let upstream = Scripted::start().await;
    let json = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    for (name, answer) in [
        ("reset", Answer::default().reset()),
        ("closed at once", Answer::default().close()),
        ("nonsense", Answer::raw("SSH-2.0-OpenSSH_9.9\r\n").close()),
        (
            "no such chunk size",
            Answer::raw(format!("{json}transfer-encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n")).close(),
        ),
        (
            "a chunk size that overflows",
            Answer::raw(format!("{json}transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n")).close(),
        ),
        (
            "a body that is shorter than it says",
            Answer::raw(format!("{json}content-length: 100\r\n\r\n{{\"choices\":")).close(),
        ),
        ("two lengths", Answer::raw(format!("{json}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}")).close()),
        ("no UTF-8", Answer::json(b"{\"choices\":[{\"message\":{\"content\":\"\xff\xfe\"}}]}")),
        ("HTML", Answer::whole(200, &[("content-type", "text/html")], "<html>captive portal</html>")),
        ("an error inside a 200", Answer::json(r#"{"error":{"message":"overloaded"}}"#)),
        ("compressed though nobody asked", Answer::whole(200, &[("content-encoding", "gzip")], GZIPPED)),
    ] {
        let dispatched = asked(&upstream, answer, false).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let cause = first_cause(&dispatched.attempts);
        assert!(matches!(cause, Some(Cause::Server | Cause::Malformed)), "{name}: {cause:?}");
        assert_eq!(whole(dispatched).text.content, "ok", "{name}");
    }
}

#[tokio::test]
async fn what_an_upstream_says_begins_no_line_of_the_log_and_drives_no_terminal() {
    let upstream = Scripted::start().await;
    let said = "busy\r\n2026-01-01 INFO all is well \u{1b}[2J\u{9b}1m\u{7f}\u{202e}desrever\u{2066}\u{2028}end";
    let body = serde_json::json!({"error": {"message": said, "code": "a\nb"}}).to_string();
    let json = [("content-type", "application/json")];
    let dispatched = asked(&upstream, Answer::whole(500, &json, body.as_bytes()), false).await.unwrap();
    let error = dispatched.attempts[0].error.clone().unwrap();
    let detail = error.detail.unwrap();
    assert_eq!(error.message, format!("provider test: answered 500 Internal Server Error: {}", detail.message));
    assert_eq!(detail.message, "busy  2026-01-01 INFO all is well  [2J 1m  desrever  end");
    assert_eq!(detail.code.as_deref(), Some("a b"));
}

/// The beginning of a gzip stream: it is never unpacked, so that no bomb goes off.
const GZIPPED: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\x56\x4a\xce\xc8\xcf\xcc\x4e";

#[tokio::test]
async fn a_line_without_an_end_is_given_up_at_its_bound() {
    let upstream = Scripted::start().await;
    let endless = (0..33).fold(Answer::stream(), |answer, _| answer.piece(vec![b'x'; 1 << 20])).hang();
    let dispatched = asked(&upstream, endless, true).await.unwrap();
    assert_eq!((dispatched.target, first_cause(&dispatched.attempts)), (1, Some(Cause::TooLong)));
    let message = &dispatched.attempts[0].error.as_ref().unwrap().message;
    assert!(message.contains("longer than"), "{message}");
    upstream.until_hung_up(1).await;
}

#[tokio::test]
async fn an_answer_without_an_end_is_given_up_at_its_bound() {
    let upstream = Scripted::start().await;
    let head = Answer::raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n");
    let endless = (0..33).fold(head, |answer, _| answer.piece(vec![b' '; 1 << 20])).hang();
    let dispatched = asked(&upstream, endless, false).await.unwrap();
    assert_eq!((dispatched.target, first_cause(&dispatched.attempts)), (1, Some(Cause::TooLong)));
    upstream.until_hung_up(1).await;
}

#[tokio::test]
async fn what_is_too_long_is_not_asked_for_again() {
    let mut running = Running::start().await;
    let long = || Answer::json("x".repeat(33 << 20));
    running.upstream.on("small-upstream", [long()]);
    let (status, problem) = error(running.chat(question("small")).await).await;
    assert_eq!((status, &problem["code"]), (502, &"upstream_too_long".into()));
    assert_eq!(running.upstream.seen().len(), 1);
    let trace = running.finished().await;
    assert_eq!((trace.outcome, trace.attempts.len()), (Outcome::Failed, 1));
    let told = trace.attempts[0].error.as_deref().unwrap();
    assert!(told.contains("longer than 33554432 bytes"), "{told}");

    running.upstream.on("large-upstream", [long()]);
    let mut wish = question("large");
    wish["models"] = serde_json::json!(["large", "plain"]);
    let response = running.chat(wish).await;
    assert_eq!(header(&response, "x-satisfice-model"), Some("test/plain"), "the next one may be briefer");
    let metrics = running.get("/metrics").send().await.unwrap().text().await.unwrap();
    let line = "satisfice_upstream_attempts_total{model=\"test/large\",result=\"too_long\"} 1";
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn a_stream_of_the_wrong_type_or_with_broken_text_is_no_stream() {
    let upstream = Scripted::start().await;
    for (name, answer) in [
        ("JSON in place of events", Answer::json(r#"{"error":{"message":"streams are off"}}"#)),
        ("HTML in place of events", Answer::whole(200, &[("content-type", "text/html")], "<html>")),
        (
            "no UTF-8 in an event",
            Answer::stream().piece(b"data: {\"choices\":[{\"delta\":{\"content\":\"\xff\"}}]}\n\n").end(),
        ),
        ("an error in the first event", Answer::stream().event(r#"{"error":{"message":"overloaded"}}"#).end()),
        ("events without an answer", Answer::stream().piece(": keep-alive\n\n: keep-alive\n\n").end()),
    ] {
        let dispatched = asked(&upstream, answer, true).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(first_cause(&dispatched.attempts), Some(Cause::Malformed), "{name}");
        assert_eq!(told(dispatched).await.1, None, "{name}");
    }
}
