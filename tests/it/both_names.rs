//! Servers of OpenAI's wire that say the same under two names, and chunks that one protocol alone cannot tell.

use satisfice::trace::Outcome;
use serde_json::{Value, json};

use crate::gateway::{Running, ask, body};
use crate::scripted::Answer;
use crate::wire::events;

/// A request in the protocol of each path for its text.
const PATHS: [&str; 3] = ["/v1/chat/completions", "/v1/messages", "/v1/responses"];

/// A question in the protocol of `path`.
pub fn request(path: &str, stream: bool) -> String {
    let mut body = match path {
        "/v1/responses" => json!({"model": "small", "input": "What is 2 + 2?"}),
        _ => ask("small"),
    };
    if path == "/v1/messages" {
        body["max_tokens"] = 9.into();
    }
    body["stream"] = stream.into();
    body.to_string()
}

/// The text of a whole answer.
fn text(path: &str, answer: &Value) -> String {
    let texts: Vec<&Value> = match path {
        "/v1/messages" => answer["content"].as_array().unwrap().iter().map(|block| &block["text"]).collect(),
        "/v1/responses" => {
            answer["output"].as_array().unwrap().iter().map(|item| &item["content"][0]["text"]).collect()
        }
        _ => vec![&answer["choices"][0]["message"]["content"]],
    };
    texts.into_iter().filter_map(Value::as_str).collect()
}

/// The text of a stream.
fn streamed(path: &str, told: &str) -> String {
    let events = events(told.replace("data: [DONE]", "").as_bytes());
    let pieces = events.iter().map(|event| match path {
        "/v1/messages" => &event["delta"]["text"],
        "/v1/responses" if event["type"] == "response.output_text.delta" => &event["delta"],
        "/v1/responses" => &Value::Null,
        _ => &event["choices"][0]["delta"]["content"],
    });
    pieces.filter_map(Value::as_str).collect()
}

#[tokio::test]
async fn an_answer_that_has_message_and_delta_and_thoughts_under_both_names_is_told_in_every_protocol() {
    let mut running = Running::start().await;
    let message = json!({"role": "assistant", "content": "Four", "reasoning": "Hm", "reasoning_content": "Hm"});
    let choice = json!({"index": 0, "message": message, "delta": {"content": ""}, "finish_reason": "stop"});
    let answer = json!({"id": "1", "model": "m", "choices": [choice]}).to_string();
    running.upstream.on("small-upstream", [Answer::json(answer)]);
    for path in PATHS {
        let response = running.post(path, request(path, false)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(text(path, &body(response).await), "Four", "{path}");
        let trace = running.finished().await;
        assert_eq!((trace.outcome, &*trace.reply.content), (Outcome::Answered, "Four"));
    }
}

#[tokio::test]
async fn a_stream_whose_chunks_have_message_and_delta_and_thoughts_under_both_names_loses_nothing() {
    let mut running = Running::start().await;
    let chunk = |delta: Value, finish: Value| {
        let message = json!({"role": "assistant", "content": ""});
        let choice = json!({"index": 0, "message": message, "delta": delta, "finish_reason": finish});
        json!({"id": "1", "model": "m", "choices": [choice]}).to_string()
    };
    let answer = Answer::stream()
        .event(&chunk(json!({"reasoning": "Hm", "reasoning_content": "Hm"}), Value::Null))
        .event(&chunk(json!({"content": "Fo"}), Value::Null))
        .event(&chunk(json!({"content": "ur"}), Value::Null))
        .event(&chunk(json!({}), "stop".into()))
        .event("[DONE]")
        .end();
    running.upstream.on("small-upstream", [answer]);
    for path in PATHS {
        let told = running.post(path, request(path, true)).send().await.unwrap().text().await.unwrap();
        assert_eq!(streamed(path, &told), "Four", "{path}: {told}");
        assert!(told.contains("\"Hm\"") && !told.contains("HmHm"), "{path}: {told}");
        let trace = running.finished().await;
        assert_eq!((trace.outcome, &*trace.reply.content), (Outcome::Answered, "Four"));
    }
}

#[tokio::test]
async fn a_chunk_that_a_protocol_cannot_tell_ends_its_stream_with_an_error_and_is_not_left_out() {
    let mut running = Running::start().await;
    let odd = json!({"choices": [{"index": 0, "delta": {"tool_calls": ["?"]}}]}).to_string();
    let answer = Answer::stream().text("half").event(&odd).text("rest").finish().event("[DONE]").end();
    running.upstream.on("small-upstream", [answer]);
    for (path, error) in [("/v1/messages", "event: error"), ("/v1/responses", "event: response.failed")] {
        let told = running.post(path, request(path, true)).send().await.unwrap().text().await.unwrap();
        assert_eq!(streamed(path, &told), "half", "{told}");
        assert!(told.contains(error) && told.contains("cannot be told in this protocol"), "{told}");
        assert!(!told.contains("message_stop") && !told.contains("response.completed"), "{told}");
        let trace = running.finished().await;
        assert_eq!(trace.outcome, Outcome::Cut);
        assert!(trace.attempts[0].error.as_ref().unwrap().contains("cannot be told"), "{:?}", trace.attempts);
    }
}
