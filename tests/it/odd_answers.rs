//! Answers of OpenAI's wire with oddities that servers have: each protocol tells what there is to tell.

use serde_json::{Value, json};

use crate::both_names::request;
use crate::gateway::{Running, body};
use crate::scripted::Answer;
use crate::wire::events;

/// A whole answer whose one choice says this.
fn whole(message: &Value, finish: &str) -> Answer {
    let choice = json!({"index": 0, "message": message, "finish_reason": finish});
    Answer::json(
        json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}).to_string(),
    )
}

/// The same in a chunk.
fn piece(delta: &Value) -> String {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": null});
    json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}).to_string()
}

/// What a client at `path` is told where the upstream answers so.
async fn told(path: &str, answer: Answer, stream: bool) -> reqwest::Response {
    let running = Running::start().await;
    running.upstream.on("small-upstream", [answer]);
    running.post(path, request(path, stream)).send().await.unwrap()
}

/// The response that a stream of `/v1/responses` ends with.
async fn streamed_response(answer: Answer) -> Value {
    let told = told("/v1/responses", answer, true).await.bytes().await.unwrap();
    events(&told).pop().unwrap()["response"].take()
}

fn said_with(annotations: Value) -> Value {
    json!({"role": "assistant", "content": "hello", "annotations": annotations})
}

#[tokio::test]
async fn sources_of_another_form_are_told_as_far_as_they_say_anything() {
    let odd = [json!("a page"), json!(["https://a.example"]), json!(7), json!(true)];
    let listed = odd.clone().map(|odd| json!({"type": "url_citation", "url_citation": odd}));
    for annotation in odd.into_iter().chain(listed) {
        let message = said_with(json!([annotation]));
        for path in ["/v1/responses", "/v1/messages"] {
            let response = told(path, whole(&message, "stop"), false).await;
            assert_eq!(response.status(), 200, "{path}: {annotation}");
            assert!(response.text().await.unwrap().contains("hello"), "{path}: {annotation}");
            let stream = Answer::stream().event(&piece(&message)).finish().event("[DONE]").end();
            let text = told(path, stream, true).await.text().await.unwrap();
            assert!(text.contains("\"message_stop\"") || text.contains("\"response.completed\""), "{path}: {text}");
        }
    }
}

#[tokio::test]
async fn a_source_whose_fields_stand_beside_its_type_keeps_them() {
    let flat =
        json!({"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 0, "end_index": 5});
    let message = said_with(json!([flat]));
    let response = body(told("/v1/responses", whole(&message, "stop"), false).await).await;
    assert_eq!(response["output"][0]["content"][0]["annotations"], json!([flat]));
    let stream = Answer::stream().event(&piece(&message)).finish().event("[DONE]").end();
    assert_eq!(streamed_response(stream).await["output"][0]["content"][0]["annotations"], json!([flat]));
    let answer = body(told("/v1/messages", whole(&message, "stop"), false).await).await;
    assert_eq!(answer["content"][0]["citations"][0]["url"], "https://a.example");
}

fn call(arguments: &Value) -> Value {
    let call = json!({"index": 0, "id": "t1", "type": "function", "function": {"name": "f", "arguments": arguments}});
    json!({"role": "assistant", "content": null, "tool_calls": [call]})
}

#[tokio::test]
async fn calls_make_a_message_stop_for_them_whatever_the_server_says() {
    let message = call(&json!("{\"a\":1}"));
    let answer = body(told("/v1/messages", whole(&message, "stop"), false).await).await;
    assert_eq!((&answer["stop_reason"], &answer["content"][0]["type"]), (&json!("tool_use"), &json!("tool_use")));
    let cut = body(told("/v1/messages", whole(&message, "length"), false).await).await;
    assert_eq!(cut["stop_reason"], "max_tokens");
    let stream = Answer::stream().event(&piece(&message)).finish().event("[DONE]").end();
    let events = events(&told("/v1/messages", stream, true).await.bytes().await.unwrap());
    let ended = events.iter().find(|event| event["type"] == "message_delta").unwrap();
    assert_eq!(ended["delta"]["stop_reason"], "tool_use");
}

#[tokio::test]
async fn arguments_that_come_as_an_object_are_told_as_what_they_say() {
    let message = call(&json!({"a": 1}));
    let answer = body(told("/v1/messages", whole(&message, "tool_calls"), false).await).await;
    assert_eq!(answer["content"][0]["input"], json!({"a": 1}));
    let response = body(told("/v1/responses", whole(&message, "tool_calls"), false).await).await;
    assert_eq!(response["output"][0]["arguments"], "{\"a\":1}");
    let stream = Answer::stream().event(&piece(&message)).finish().event("[DONE]").end();
    assert_eq!(streamed_response(stream).await["output"][0]["arguments"], "{\"a\":1}");
}

#[tokio::test]
async fn a_call_that_no_protocol_can_tell_is_no_answer_of_a_traced_request() {
    let call = json!({"role": "assistant", "content": null, "tool_calls": ["x"]});
    for path in ["/v1/chat/completions", "/v1/messages", "/v1/responses"] {
        let response = told(path, whole(&call, "tool_calls"), false).await;
        assert_eq!(response.status(), 502, "{path}");
        let has = |name: &str| response.headers().contains_key(name);
        assert!(has("x-satisfice-trace-id") && has("x-satisfice-attempts"), "{path}");
        assert!(response.text().await.unwrap().contains("calls cannot be read"), "{path}");
    }
}
