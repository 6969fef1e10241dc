//! Mistral's wire: its names of fields, its short ids, its answers in chunks.

use bytes::Bytes;
use http::StatusCode;
use satisfice::api::embeddings::EmbeddingsRequest;
use satisfice::catalog::Usage;
use satisfice::catalog::providers::Catalogue;
use satisfice::upstream::compatible::Compatible;
use satisfice::upstream::mistral::Mistral;
use satisfice::upstream::settings::{ProviderSettings, Wire};
use satisfice::upstream::{Provider, StreamItem, Text};
use serde_json::{Value, json};

use crate::gateway::{Options, Running, ask_stream};
use crate::scripted::{Answer, Scripted};
use crate::wire::{self, Posts as _, chat, posted};

macro_rules! fixture {
    ($name:literal) => {
        Bytes::from_static(include_bytes!(concat!("../fixtures/mistral/", $name)))
    };
}

fn mistral() -> Mistral {
    let quirks = Catalogue::embedded().unwrap().quirks("", "mistral").unwrap().clone();
    Mistral(Compatible::new("mistral", quirks))
}

#[test]
fn a_request_is_sent_in_its_words() {
    let sent = posted(&mistral(), &chat(fixture!("request.json")));
    let id = sent["messages"][3]["tool_call_id"].as_str().unwrap();
    let expected = include_str!("../fixtures/mistral/sent.json").replace("SHORT", id);
    assert_eq!(sent, serde_json::from_str::<Value>(&expected).unwrap());
}

#[test]
fn so_is_a_request_for_embeddings() {
    let body =
        br#"{"model":"m","input":[1,2],"dimensions":256,"encoding_format":"float","user":"u","output_dtype":"float"}"#;
    let request = EmbeddingsRequest::parse(&Bytes::from_static(body)).unwrap();
    let sent = mistral().embeddings().unwrap().embed("codestral-embed", &request).unwrap();
    let sent: Vec<&[u8]> = sent.iter().map(|wire| &wire.body[..]).collect();
    let expected = br#"{"model":"codestral-embed","input":[1,2],"output_dimension":256,"encoding_format":"float","output_dtype":"float"}"#;
    assert_eq!(sent, [&expected[..]]);
}

#[test]
fn a_long_call_id_becomes_the_same_short_one_everywhere() {
    let sent = posted(&mistral(), &chat(fixture!("request.json")));
    let id = |at: usize| sent["messages"][at]["tool_call_id"].as_str().unwrap().to_owned();
    let calls = &sent["messages"][2]["tool_calls"];
    assert_eq!((calls[0]["id"].as_str(), calls[1]["id"].as_str()), (Some(&*id(3)), Some("D681PevKs")));
    assert!(id(3).len() == 9 && id(3).bytes().all(|b| b.is_ascii_alphanumeric()), "{}", id(3));
    assert_ne!(id(3), id(4));
}

#[test]
fn a_function_that_takes_nothing_says_so() {
    let tool = |parameters: Value| json!({"type": "function", "function": {"name": "f", "parameters": parameters}});
    let nothing = json!({"type": "object", "properties": {}});
    let some = json!({"type": "object", "properties": {"n": {"type": "number"}}});
    let without = json!({"type": "function", "function": {"name": "f"}});
    let tools = json!([without, tool(Value::Null), tool(some.clone())]);
    let body = json!({"model": "a", "messages": [{"role": "user", "content": "x"}], "tools": tools});
    let sent = posted(&mistral(), &chat(body.to_string()));
    assert_eq!(sent["tools"], json!([tool(nothing.clone()), tool(nothing), tool(some)]));
}

#[test]
fn a_refusal_is_what_was_said() {
    let refused = json!({"role": "assistant", "content": null, "refusal": "I will not."});
    let user = json!({"role": "user", "content": "x"});
    let body = json!({"model": "a", "messages": [user, refused, user]});
    let sent = posted(&mistral(), &chat(body.to_string()))["messages"].take();
    assert_eq!(sent[1], json!({"role": "assistant", "content": "I will not."}));
}

#[test]
fn what_it_knows_nothing_like_is_refused() {
    let with = |fields: &str| chat(format!(r#"{{"model":"a","messages":[{{"role":"user","content":"x"}}],{fields}}}"#));
    let bad = mistral().request("m", &with(r#""logit_bias":{"5":1}"#)).unwrap_err();
    assert_eq!(bad.param.as_deref(), Some("logit_bias"));
    let dropped = posted(&mistral(), &with(r#""logit_bias":{"5":1},"drop_unsupported":true,"store":true"#));
    assert_eq!(dropped.as_object().unwrap().keys().collect::<Vec<_>>(), ["model", "messages"]);
}

/// The messages that are sent of these.
fn said(messages: Value) -> Value {
    posted(&mistral(), &chat(json!({"model": "a", "messages": messages}).to_string()))["messages"].take()
}

#[test]
fn likelihoods_and_tiers_are_asked_for_in_its_words() {
    let with = |fields: &str| chat(format!(r#"{{"model":"a","messages":[{{"role":"user","content":"x"}}],{fields}}}"#));
    let sent = posted(&mistral(), &with(r#""logprobs":true,"top_logprobs":2,"service_tier":"default""#));
    assert_eq!((&sent["logprobs"], &sent["top_logprobs"]), (&json!(true), &json!(2)));
    assert_eq!(sent["service_tier"], "standard_only");
    assert_eq!(posted(&mistral(), &with(r#""service_tier":"priority""#))["service_tier"], "auto");
}

#[test]
fn between_a_result_and_the_user_the_assistant_says_a_word() {
    let user = json!({"role": "user", "content": "Stop."});
    let call = json!({"id": "D681PevKs", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let called = json!({"role": "assistant", "content": null, "tool_calls": [call]});
    let result = json!({"role": "tool", "tool_call_id": "D681PevKs", "content": "1"});
    let noted = json!({"role": "assistant", "content": "Understood."});
    let sent = said(json!([user, called, result, result, user]));
    assert_eq!(sent, json!([user, called, result, result, noted, user]));
    let answered = json!([user, called, result, {"role": "assistant", "content": "One."}, user, called, result]);
    assert_eq!(said(answered.clone()), answered);
}

#[test]
fn a_last_message_of_the_assistant_is_gone_on_with() {
    let user = json!({"role": "user", "content": "Go."});
    let assistant = json!({"role": "assistant", "content": "{"});
    let sent = said(json!([user, assistant, user, assistant]));
    assert_eq!(sent, json!([user, assistant, user, {"role": "assistant", "content": "{", "prefix": true}]));
    let refused = json!([user, {"role": "assistant", "content": "{", "prefix": false}]);
    assert_eq!(said(refused.clone()), refused);
    let call = json!({"id": "D681PevKs", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let called = json!([user, {"role": "assistant", "content": null, "tool_calls": [call]}]);
    assert_eq!(said(called.clone()), called);
}

#[test]
fn files_and_sound_stand_in_its_own_parts() {
    let sent = said(json!([{"role": "user", "content": [
        {"type": "text", "text": "What is it?"},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
        {"type": "file", "file": {"file_data": "https://a.example/b.pdf"}},
        {"type": "file", "file": {"file_id": "f-1"}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "file", "file_id": "f-2"},
    ]}]));
    assert_eq!(
        sent[0]["content"],
        json!([
            {"type": "text", "text": "What is it?"},
            {"type": "document_url", "document_url": "data:application/pdf;base64,JVBERi0=", "document_name": "a.pdf"},
            {"type": "document_url", "document_url": "https://a.example/b.pdf"},
            {"type": "file", "file_id": "f-1"},
            {"type": "input_audio", "input_audio": "UklGRg=="},
            {"type": "file", "file_id": "f-2"},
        ])
    );
}

#[test]
fn thoughts_and_text_of_an_answer_come_apart() {
    let reply = wire::whole(&mistral(), &wire::hello(), fixture!("thinking.json"));
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(
        body["choices"][0]["message"],
        json!({"role": "assistant", "content": "John has three brothers.", "prefix": false, "refusal": null,
            "reasoning_content": "John is one of four. So three others.",
            "content_chunks": [{"type": "reference", "reference_ids": [1, 3]}]})
    );
    assert_eq!(
        reply.text,
        Text { content: "John has three brothers.".into(), finish_reason: Some("stop".into()), ..Text::default() }
    );
    let usage = Usage { input_tokens: 16, output_tokens: 34, cached_input_tokens: 4, ..Usage::default() };
    assert_eq!(reply.usage, Some(usage));
}

#[test]
fn thoughts_and_text_of_a_stream_come_apart() {
    let items = wire::streamed(&mistral(), &wire::hello(), fixture!("thinking.sse")).unwrap();
    let deltas: Vec<Value> = wire::chunks(&items).iter().map(|chunk| chunk["choices"][0]["delta"].clone()).collect();
    assert_eq!(
        Value::from(deltas),
        json!([
            {"role": "assistant", "content": ""},
            {"content": "", "reasoning_content": "Four "},
            {"content": "", "reasoning_content": "minus one."},
            {"content": "Three"},
            {"content": " brothers", "content_chunks": [{"type": "reference", "reference_ids": [2]}]},
            {"content": "."},
        ])
    );
    let Some(StreamItem::Chunk { text, usage: Some(usage), usage_only: false, .. }) = items.get(5) else {
        panic!("the last chunk has a text and the usage: {items:?}")
    };
    assert_eq!((&*text.content, text.finish_reason.as_deref(), usage.output_tokens), (".", Some("length"), 8));
    assert_eq!(items.last(), Some(&StreamItem::Done));
}

#[test]
fn a_whole_answer_gets_what_openais_always_have() {
    let reply = wire::whole(&mistral(), &wire::hello(), fixture!("tools.json"));
    let choice = &serde_json::from_slice::<Value>(&reply.body).unwrap()["choices"][0];
    assert_eq!((&choice["logprobs"], &choice["message"]["refusal"]), (&Value::Null, &Value::Null));
    assert!(choice.get("logprobs").is_some() && choice["message"].get("refusal").is_some());
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!((&call["type"], &call["id"]), (&json!("function"), &json!("D681PevKs")));
    assert!(reply.text.tool_calls);
}

#[test]
fn a_refusal_names_the_fields_that_it_is_about() {
    let error = mistral().error(StatusCode::UNPROCESSABLE_ENTITY, &fixture!("error_extra.json"));
    assert_eq!(error.param.as_deref(), Some("logit_bias"));
    assert_eq!(
        error.message,
        "logit_bias: Extra inputs are not permitted; messages.1.user.x: Extra inputs are not permitted"
    );
    let plain = mistral().error(StatusCode::UNAUTHORIZED, br#"{"message":"Unauthorized","request_id":"1"}"#);
    assert_eq!(plain.message, "Unauthorized");
}

#[tokio::test]
async fn a_clients_stream_is_of_openais_form_and_its_text_is_recorded() {
    let providers: fn(&Scripted) -> _ = |upstream| {
        let quirks = Catalogue::embedded().unwrap().quirks("", "mistral").unwrap().clone();
        vec![ProviderSettings { wire: Wire::Mistral, quirks, ..upstream.provider("test") }]
    };
    let mut running = Running::with(Options { providers: Some(providers), ..Options::default() }).await;
    running.upstream.on("small-upstream", [Answer::stream().piece(fixture!("thinking.sse")).end()]);
    let told = running.chat(ask_stream("small")).await.text().await.unwrap();
    assert!(told.ends_with("data: [DONE]\n\n") && !told.contains("thinking"), "{told}");
    assert!(running.upstream.seen()[0].json().get("stream_options").is_none());
    let trace = running.finished().await;
    assert_eq!((&*trace.reply.content, trace.reply.finish_reason.as_deref()), ("Three brothers.", Some("length")));
    assert_eq!(trace.usage.map(|usage| usage.output_tokens), Some(8));
}

#[test]
fn a_part_that_refused_is_a_text_there() {
    let refusal = json!([{"type": "refusal", "refusal": "No."}]);
    let messages = json!([
        {"role": "user", "content": "Do it."},
        {"role": "assistant", "content": refusal},
        {"role": "user", "content": "Why?"},
    ]);
    let request = chat(json!({"model": "auto", "messages": messages}).to_string());
    let said = posted(&mistral(), &request)["messages"][1]["content"].take();
    assert_eq!(said, json!([{"type": "text", "text": "No."}]));
}
