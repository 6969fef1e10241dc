//! `POST /v1/feedback`, with the test in the learner's place.

use satisfice::trace::{Event, FeedbackError, TraceId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::gateway::{Options, Running, ask, error};

const TRACE: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn score(value: Value) -> Value {
    json!({"trace_id": TRACE, "name": "quality", "value": value})
}

/// Sends a score; the learner answers `verdict`. Gives the response, and what the learner heard.
async fn judged(
    running: &mut Running,
    body: Value,
    verdict: Result<Uuid, FeedbackError>,
) -> (reqwest::Response, satisfice::trace::Feedback) {
    let sent = tokio::spawn(running.post("/v1/feedback", body.to_string()).send());
    let Event::Feedback(feedback, answer) = running.event().await else { panic!("no score") };
    assert!(!sent.is_finished(), "acknowledged before it was durable");
    answer.send(verdict).unwrap();
    (sent.await.unwrap().unwrap(), feedback)
}

#[tokio::test]
async fn a_score_is_acknowledged_once_the_learner_has_it() {
    let mut running = Running::start().await;
    let id = Uuid::from_u128(7);
    for (value, meant) in [(json!(0.8), 0.8), (json!(true), 1.0), (json!(false), 0.0), (json!(1), 1.0)] {
        let (response, heard) = judged(&mut running, score(value), Ok(id)).await;
        assert_eq!(response.status(), 200);
        let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert_eq!(body, json!({"feedback_id": id}));
        assert_eq!((heard.value.get(), heard.metric.as_str(), heard.source.as_str()), (meant, "quality", "client"));
        assert_eq!(heard.trace.to_string(), TRACE);
    }
}

#[tokio::test]
async fn the_learners_refusals_have_their_statuses() {
    let mut running = Running::start().await;
    let trace: TraceId = TRACE.parse().unwrap();
    for (refusal, expected) in [
        (FeedbackError::UnknownTrace(trace), (404, "trace_id".into())),
        (FeedbackError::Unrouted(trace), (422, "trace_id".into())),
        (FeedbackError::UnknownMetric("beauty".into()), (422, "name".into())),
        (FeedbackError::TooManyRevisions("client".into()), (429, "source".into())),
        (FeedbackError::Unavailable("the disk is full".into()), (503, Value::Null)),
    ] {
        let (response, _) = judged(&mut running, score(json!(1)), Err(refusal)).await;
        let (status, error) = error(response).await;
        assert_eq!((status, error["param"].clone()), expected, "{error}");
    }
}

#[tokio::test]
async fn what_is_no_score_is_refused_before_the_learner_hears_of_it() {
    let running = Running::start().await;
    let body = |value: &str| format!(r#"{{"trace_id": "{TRACE}", "name": "quality", "value": {value}}}"#);
    for (body, status, param) in [
        (body("1.01"), 422, "value".into()),
        (body("-0.1"), 422, "value".into()),
        (body("1e999"), 422, "value".into()),
        (body("\"good\""), 422, "value".into()),
        (body("null"), 422, "value".into()),
        (body("NaN"), 400, Value::Null),
        (body("1, \"colour\": \"red\""), 422, "colour".into()),
        (body("1, \"source\": \"\""), 422, "source".into()),
        (body("1, \"source\": \"own\""), 422, "source".into()),
        (r#"{"trace_id": "x", "name": "quality", "value": 1}"#.into(), 422, "trace_id".into()),
        (format!(r#"{{"trace_id": "{TRACE}", "value": 1}}"#), 422, "name".into()),
        ("{".into(), 400, Value::Null),
        (body(&format!("1, \"comment\": \"{}\"", "x".repeat(70_000))), 413, "comment".into()),
        (body(&format!("1, \"comment\": \"{}\"", "é".repeat(2049))), 422, "comment".into()),
    ] {
        let (got, error) = error(running.post("/v1/feedback", body.clone()).send().await.unwrap()).await;
        assert_eq!((got, &error["param"]), (status, &param), "{body}: {error}");
    }
    assert!(running.stop().await.is_empty());
}

#[tokio::test]
async fn a_learner_with_no_room_or_none_at_all_is_a_503() {
    let mut running = Running::with(Options { room: 1, ..Options::default() }).await;
    running.chat(ask("small")).await;
    let full = running.post("/v1/feedback", score(json!(1)).to_string()).send().await.unwrap();
    assert_eq!(error(full).await.0, 503);
    running.finished().await;
    let sent = tokio::spawn(running.post("/v1/feedback", score(json!(1)).to_string()).send());
    drop(running.event().await);
    assert_eq!(error(sent.await.unwrap().unwrap()).await.0, 503, "it stopped without an answer");
}
