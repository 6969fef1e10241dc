//! Answers that are written in OpenAI's shape for other wires: OpenAI's wire must read of them what was meant.

use satisfice::api::conversation::ToolCall;
use satisfice::catalog::Usage;
use satisfice::upstream::completion::{Choice, Chunks, Completion, Finish, Head};
use satisfice::upstream::openai::OpenAi;
use satisfice::upstream::{StreamItem, Text, WireEvent};
use serde_json::json;

use crate::wire;

const USAGE: Usage = Usage {
    input_tokens: 30,
    output_tokens: 5,
    cached_input_tokens: 10,
    cache_write_tokens: 4,
    cache_write_1h_tokens: 0,
    reasoning_tokens: 2,
};

fn call() -> ToolCall {
    ToolCall { id: "call_1".into(), name: "add".into(), arguments: r#"{"a":1}"#.into(), ..ToolCall::default() }
}

#[test]
fn a_whole_answer_is_read_as_it_was_written() {
    let choice = Choice { calls: vec![call()], finish: Some(Finish::ToolCalls), ..Choice::default() };
    let head = Head::stamped(wire::STAMP, "m");
    let written = Completion { head, choices: vec![choice], usage: Some(USAGE) }.into_reply();
    assert_eq!(wire::whole(&OpenAi, &wire::hello(), written.body.clone()), written);
    let body: serde_json::Value = serde_json::from_slice(&written.body).unwrap();
    assert_eq!((&body["object"], &body["created"]), (&json!("chat.completion"), &json!(1_700_000_000)));
    assert_eq!(body["choices"][0]["message"]["content"], json!(null));
    assert_eq!(body["usage"]["total_tokens"], 35);
}

#[test]
fn every_piece_of_a_stream_is_read_as_it_was_written() {
    let chunks = Chunks::new(Head::stamped(wire::STAMP, "m").named(Some("id".into()), None));
    let mut written = vec![
        chunks.role(),
        chunks.content("Hello"),
        chunks.call(0, &call()),
        chunks.arguments(0, "{}"),
        chunks.finish(Finish::Length),
        chunks.usage(USAGE),
    ];
    assert!(wire::chunks(&written).iter().all(|chunk| chunk["id"] == "id" && chunk["model"] == "m"));
    written.push(StreamItem::Done);
    let data = written.iter().map(|item| match item {
        StreamItem::Chunk { data, .. } => data.clone(),
        StreamItem::Done => "[DONE]".into(),
    });
    let events = data.map(|data| WireEvent { name: None, data });
    assert_eq!(wire::translated(&OpenAi, &wire::hello(), events).unwrap(), written);
    assert_eq!(Text { finish_reason: Some("length".into()), ..Text::default() }, text(&written[4]));
}

fn text(item: &StreamItem) -> Text {
    match item {
        StreamItem::Chunk { text, .. } => text.clone(),
        StreamItem::Done => Text::default(),
    }
}

#[test]
fn the_gateways_own_field_is_not_forwarded() {
    let request = wire::chat(r#"{"model":"a","messages":[{"role":"user"}],"drop_unsupported":true}"#);
    assert!(request.drop_unsupported);
    assert_eq!(wire::posted(&OpenAi, &request), json!({"model": wire::MODEL, "messages": [{"role": "user"}]}));
}
