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
    let body = json!({"model": "a", "messages": [{"role": "user", "content": "x"}, refused]});
    let sent = posted(&mistral(), &chat(body.to_string()))["messages"].take();
    assert_eq!(sent[1], json!({"role": "assistant", "content": "I will not."}));
}

#[test]
fn what_it_knows_nothing_like_is_refused() {
    let with = |fields: &str| chat(format!(r#"{{"model":"a","messages":[{{"role":"user","content":"x"}}],{fields}}}"#));
    let bad = mistral().request("m", &with(r#""logprobs":true"#)).unwrap_err();
    assert_eq!(bad.param.as_deref(), Some("logprobs"));
    let dropped = posted(&mistral(), &with(r#""logprobs":true,"top_logprobs":2,"drop_unsupported":true,"store":true"#));
    assert_eq!(dropped.as_object().unwrap().keys().collect::<Vec<_>>(), ["model", "messages"]);
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
