//! Upstreams that are late, away or sick, and what is said of them.

use std::time::Duration;

use futures_util::StreamExt;
use satisfice::upstream::settings::{AwsKeys, ProviderSettings, Wire};
use satisfice::upstream::{Cause, Condition, Limits, Reply, Upstreams};
use tokio::net::TcpListener;
use tokio::time::{Instant, advance};

use crate::scripted::{Answer, Gate, KEY, Scripted, Seen};
use crate::upstream_answers::{LIMITS, ask, causes, healthy, model, request, upstreams, whole, with};

#[tokio::test(start_paused = true)]
async fn a_black_hole_is_given_up_when_its_first_byte_is_due() {
    let upstream = Scripted::start().await;
    upstream.on("a", [Answer::default().hang()]);
    let began = Instant::now();
    let dispatched = ask(&upstreams(&upstream), &["a", "b"], false).await.unwrap();
    assert!(began.elapsed() >= LIMITS.deadlines.first_byte);
    let error = dispatched.attempts[0].error.clone().unwrap();
    assert_eq!(error.cause, Cause::Timeout);
    assert_eq!(error.message, "provider test: no byte of an answer within 20s (the first-byte deadline)");
    assert_eq!(whole(dispatched).text.content, "ok");
    upstream.until_hung_up(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_is_given_up_when_its_next_piece_is_due() {
    let upstream = Scripted::start().await;
    upstream.on("a", [Answer::raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"choices\":").hang()]);
    let dispatched = ask(&upstreams(&upstream), &["a", "b"], false).await.unwrap();
    let message = dispatched.attempts[0].error.clone().unwrap().message;
    assert_eq!(message, "provider test: silent for 30s within its answer (the idle deadline)");
}

#[tokio::test(start_paused = true)]
async fn an_error_whose_body_never_comes_is_an_error_all_the_same() {
    let upstream = Scripted::start().await;
    upstream.on("a", [Answer::raw("HTTP/1.1 500 No\r\ncontent-length: 100\r\n\r\n").hang()]);
    let dispatched = ask(&upstreams(&upstream), &["a", "b"], false).await.unwrap();
    assert_eq!(causes(&dispatched.attempts), [Some(Cause::Server), None]);
}

#[tokio::test(start_paused = true)]
async fn all_attempts_together_keep_the_total_deadline() {
    let upstream = Scripted::start().await;
    upstream.on("a", [Answer::default().hang()]);
    let mut limits = Limits { attempts: 100, ..LIMITS };
    limits.deadlines.total = Duration::from_secs(50);
    let began = Instant::now();
    let exhausted = upstreams(&upstream).dispatch(&[&model("a")], &request(false), &limits).await.unwrap_err();
    assert_eq!(exhausted.attempts.len(), 3, "20 s, 20 s and the rest");
    assert_eq!(exhausted.error.message, "provider test: no whole answer within 50s (the total deadline)");
    assert!(began.elapsed() < Duration::from_secs(51));
}

#[tokio::test(start_paused = true)]
async fn no_pause_goes_beyond_the_total_deadline() {
    let upstream = Scripted::start().await;
    upstream.on("a", [Answer::status_with(429, &[("retry-after", "9")], "slow down")]);
    let mut limits = LIMITS;
    limits.deadlines.total = Duration::from_secs(8);
    let exhausted = upstreams(&upstream).dispatch(&[&model("a")], &request(false), &limits).await.unwrap_err();
    assert_eq!(causes(&exhausted.attempts), [Some(Cause::RateLimited)]);
}

#[tokio::test]
async fn an_upstream_that_is_away_is_named_without_its_url() {
    let upstream = Scripted::start().await;
    let mut away = upstream.provider("away");
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    away.base_url.set_port(Some(port)).unwrap();
    let upstreams = Upstreams::new(vec![away, upstream.provider("test")], LIMITS.deadlines.connect).unwrap();
    let mut first = model("a");
    first.id.provider = "away".into();
    let dispatched = upstreams.dispatch(&[&first, &model("b")], &request(false), &LIMITS).await.unwrap();
    let error = dispatched.attempts[0].error.clone().unwrap();
    assert_eq!((error.cause, dispatched.target), (Cause::Connect, 1));
    assert!(error.message.starts_with("provider away: no connection: Connection refused"), "{}", error.message);
}

#[tokio::test]
async fn no_secret_comes_back_in_an_error() {
    let upstream = Scripted::start().await;
    let mut provider = upstream.provider("test");
    provider.headers.insert("api-key", "azure-secret-value".parse().unwrap());
    let echo = format!("Incorrect API key provided: {KEY}, api-key azure-secret-value");
    let inside = format!(r#"{{"error":{{"message":"{echo}"}}}}"#);
    for (answer, stream) in [
        (Answer::status(401, &echo), false),
        (Answer::whole(400, &[], &inside), false),
        (Answer::whole(500, &[], &echo), false),
        (Answer::json(&inside), false),
        (Answer::stream().event(&inside), true),
    ] {
        upstream.on("a", [answer]);
        let upstreams = with(provider.clone());
        let exhausted = ask(&upstreams, &["a", "a"], stream).await.unwrap_err();
        let all = format!("{exhausted} {exhausted:?} {upstreams:?}");
        assert!(!all.contains(KEY) && !all.contains("azure-secret-value"), "{all}");
    }
    assert!(!format!("{:?}", upstream.provider("test")).contains(KEY));
}

/// An answer that repeats the headers that it was sent.
fn echo(seen: &Seen) -> Answer {
    let headers = seen.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
    Answer::status(403, &headers.collect::<Vec<_>>().join(", "))
}

#[tokio::test]
async fn nothing_that_signs_a_request_comes_back_in_an_error() {
    let upstream = Scripted::start().await;
    let keys = AwsKeys {
        region: "us-east-1".into(),
        access_key_id: "AKIDEXAMPLE".into(),
        secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
        session_token: Some("a-token-of-a-session".into()),
    };
    let bedrock =
        ProviderSettings { wire: Wire::Bedrock, aws: Some(keys), api_keys: vec![], ..upstream.provider("test") };
    upstream.on_each("converse", echo);
    let refused = format!("{:?}", ask(&with(bedrock), &["a"], false).await.unwrap_err());
    assert!(refused.contains("Credential=[redacted]/") && refused.contains("Signature=[redacted]"), "{refused}");
    let sent = upstream.seen().pop().unwrap().headers["authorization"].to_str().unwrap().to_owned();
    let signature = sent.split_once("Signature=").unwrap().1;
    for secret in ["AKIDEXAMPLE", "a-token-of-a-session", signature] {
        assert!(sent.contains(secret) || secret.starts_with("a-token"));
        assert!(!refused.contains(secret), "{refused}");
    }
}

#[tokio::test]
async fn an_upstreams_words_forge_no_line_and_drive_no_terminal() {
    let upstream = Scripted::start().await;
    upstream.on("a", [Answer::status(400, "no\n2026-01-01 ERROR \u{1b}[2Jforged\r\u{202e}live\u{7}\u{85}é")]);
    let error = ask(&upstreams(&upstream), &["a"], false).await.unwrap_err().error;
    let words = "no 2026-01-01 ERROR \u{fffd}[2Jforged \u{fffd}live\u{fffd}\u{fffd}é";
    assert_eq!(error.detail.unwrap().message, words);
    assert!(error.message.ends_with(words), "{:?}", error.message);
}

#[tokio::test]
async fn an_error_quotes_a_bounded_part_of_what_the_upstream_said() {
    let upstream = Scripted::start().await;
    upstream.on("a", [Answer::whole(400, &[], "é".repeat(100_000)), Answer::status(400, &"é".repeat(20_000))]);
    let upstreams = upstreams(&upstream);
    for _ in 0..2 {
        let error = ask(&upstreams, &["a"], false).await.unwrap_err().error;
        assert!(error.message.len() < 2100, "{}", error.message.len());
        let detail = error.detail.unwrap();
        assert!(detail.message.len() < 2100 && detail.message.starts_with("éééé"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_keeps_failing_is_unhealthy_until_a_probe_succeeds() {
    let upstream = Scripted::start().await;
    let upstreams = upstreams(&upstream);
    let (a, gate) = (model("a"), Gate::closed());
    upstream.on("a", [Answer::status(500, "no")]);
    for failures in 0..5 {
        assert!(healthy(&upstreams, &a.id), "after {failures} failures");
        ask(&upstreams, &["a", "b"], false).await.unwrap();
    }
    assert!(!healthy(&upstreams, &a.id));
    assert!(healthy(&upstreams, &model("b").id));

    advance(Duration::from_secs(11)).await;
    assert!(healthy(&upstreams, &a.id), "ready for a probe");
    upstream.on("a", [Answer::default().wait(&gate).then(Answer::completion("ok"))]);
    let probe = ask(&upstreams, &["a"], false);
    let others = async {
        upstream.until_seen(11).await;
        let during = healthy(&upstreams, &a.id);
        gate.open();
        during
    };
    let (probe, healthy_during) = tokio::join!(probe, others);
    assert!(probe.is_ok() && !healthy_during, "one probe at a time");
    assert!(healthy(&upstreams, &a.id));
}

#[tokio::test(start_paused = true)]
async fn connections_that_one_model_drops_say_nothing_against_the_others() {
    let upstream = Scripted::start().await;
    let upstreams = upstreams(&upstream);
    upstream.on("a", [Answer::default().reset()]);
    for _ in 0..2 {
        ask(&upstreams, &["a"], false).await.unwrap_err();
    }
    assert!(!healthy(&upstreams, &model("a").id));
    ask(&upstreams, &["b"], false).await.unwrap();
    assert!(healthy(&upstreams, &model("b").id));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_or_is_given_up_leaves_room_for_the_next() {
    let upstream = Scripted::start().await;
    let upstreams = upstreams(&upstream);
    let a = model("a");
    upstream.on("a", [Answer::status(500, "no")]);
    for _ in 0..5 {
        ask(&upstreams, &["a", "b"], false).await.unwrap();
    }
    advance(Duration::from_secs(11)).await;
    ask(&upstreams, &["a", "b"], false).await.unwrap();
    assert!(!healthy(&upstreams, &a.id), "the probe failed");

    advance(Duration::from_secs(11)).await;
    upstream.on("a", [Answer::default().hang()]);
    tokio::select! {
        biased;
        _ = ask(&upstreams, &["a"], false) => panic!("nothing answers"),
        () = upstream.until_seen(13) => {}
    }
    assert!(healthy(&upstreams, &a.id), "nobody waits for the probe any more");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_streams_has_succeeded_when_it_begins_and_may_fail_later() {
    let upstream = Scripted::start().await;
    let upstreams = upstreams(&upstream);
    let (a, gate) = (model("a"), Gate::closed());
    upstream.on("a", [Answer::status(500, "no")]);
    for _ in 0..5 {
        ask(&upstreams, &["a", "b"], false).await.unwrap();
    }
    advance(Duration::from_secs(11)).await;
    upstream.on("a", [Answer::stream().text("one").wait(&gate).close()]);
    let Reply::Stream(mut probe) = ask(&upstreams, &["a"], true).await.unwrap().reply else { panic!("a stream") };
    let standing = upstreams.standing(&a.id).unwrap();
    assert_eq!((standing.healthy, standing.condition, standing.in_flight), (true, Condition::Closed, 1));
    gate.open();
    while let Some(Ok(_)) = probe.next().await {}
    let standing = upstreams.standing(&a.id).unwrap();
    assert_eq!((standing.failures, standing.in_flight), (1, 0), "the cut counts");
}

#[tokio::test(start_paused = true)]
async fn the_callers_faults_and_rate_limits_are_no_sickness() {
    let upstream = Scripted::start().await;
    let upstreams = upstreams(&upstream);
    upstream.on("a", [Answer::status(400, "no")]);
    upstream.on("b", [Answer::status(429, "no")]);
    for _ in 0..6 {
        ask(&upstreams, &["a", "c"], false).await.unwrap_err();
        ask(&upstreams, &["b", "c"], false).await.unwrap();
    }
    assert!(healthy(&upstreams, &model("a").id) && !healthy(&upstreams, &model("b").id));
    advance(Duration::from_secs(1)).await;
    assert!(healthy(&upstreams, &model("b").id), "a limit passes");
}
