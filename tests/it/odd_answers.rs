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
