//! OpenAI's wire: what is read of requests and answers, and that their bytes stay as they are.

use bytes::Bytes;
use http::StatusCode;
use proptest::prelude::*;
use satisfice::api::chat::{ChatRequest, Needs};
use satisfice::api::messages;
use satisfice::catalog::Usage;
use satisfice::upstream::openai::OpenAi;
use satisfice::upstream::{Provider, StreamItem, Text, WholeReply, WireEvent};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::wire::{self, Posts as _};

macro_rules! fixture {
    ($name:literal) => {
        Bytes::from_static(include_bytes!(concat!("../fixtures/openai/", $name)))
    };
}

fn parse(body: impl Into<Bytes>) -> ChatRequest {
    ChatRequest::parse(&body.into()).unwrap()
}

fn text(content: &str, finish_reason: &str) -> Text {
    Text { content: content.into(), finish_reason: Some(finish_reason.into()), ..Text::default() }
}

fn reply(body: Bytes) -> WholeReply {
    let reply = wire::whole(&OpenAi, &wire::hello(), body.clone());
    assert_eq!(reply.body.as_ptr(), body.as_ptr(), "the client gets the upstream's own bytes");
    assert_eq!(reply.body.len(), body.len());
    reply
}

#[test]
fn reads_of_a_request_what_routing_needs() {
    let request = parse(fixture!("request.json"));
    assert_eq!((&*request.model, request.stream, request.include_usage), ("auto", false, false));
    assert_eq!(request.max_output_tokens, Some(256));
    assert_eq!(request.needs, Needs { tools: true, vision: true, audio: true, json_schema: true, json: true });
    let messages: Vec<_> = request.messages.iter().map(|m| (&*m.role, &*m.content.text, m.tool_calls.any)).collect();
    assert_eq!(
        messages,
        [
            ("developer", "Be brief.", false),
            ("user", "What is in\nthis picture?", false),
            ("assistant", "", true),
            ("tool", "42", false)
        ]
    );
    assert_eq!((request.messages[1].content.images, request.messages[1].content.audio), (1, 1));
}

#[test]
fn forwards_a_request_with_nothing_changed_but_the_model() {
    let body = fixture!("request.json");
    let wire = OpenAi.request("gpt-4o \"x\"", &parse(body.clone())).unwrap();
    let given: Vec<(String, Box<RawValue>)> = fields(&body);
    let sent = fields(&wire.body);
    assert_eq!(sent[0].1.get(), r#""gpt-4o \"x\"""#);
    let raw = |fields: &[(String, Box<RawValue>)]| -> Vec<(String, String)> {
        fields[1..].iter().map(|(name, value)| (name.clone(), value.get().to_owned())).collect()
    };
    assert_eq!(raw(&sent), raw(&given));
}

#[test]
fn asks_every_stream_for_its_usage_and_keeps_its_other_options() {
    let sent = |body: &str| -> Value {
        serde_json::from_slice(&OpenAi.request("m", &parse(body.to_owned())).unwrap().body).unwrap()
    };
    let with = sent(
        r#"{"model":"a","messages":[{"role":"user"}],"stream":true,"stream_options":{"include_obfuscation":false}}"#,
    );
    assert_eq!(with["stream_options"], json!({"include_obfuscation": false, "include_usage": true}));
    let without =
        sent(r#"{"model":"a","stream":true,"messages":[{"role":"user","content":"x"}],"stream_options":null}"#);
    assert_eq!(without["stream_options"], json!({"include_usage": true}));
    let whole = sent(r#"{"model":"a","messages":[{"role":"user","content":"x"}]}"#);
    assert_eq!(whole, json!({"model": "m", "messages": [{"role": "user", "content": "x"}]}));
}

#[test]
fn says_what_is_wrong_with_a_request_and_where() {
    let problem = |body: &[u8]| {
        let bad = ChatRequest::parse(&Bytes::copy_from_slice(body)).unwrap_err();
        (bad.param.unwrap_or_default().into_owned(), bad.message)
    };
    let many: String = (0..300).map(|i| format!(r#""f{i}":0,"#)).collect();
    for (body, param, words) in [
        (&b"{\"model\":\"\xff\"}"[..], "", "not UTF-8 (byte 10)"),
        (b"", "", "not a JSON object"),
        (b"[]", "", "not a JSON object"),
        (b"{\"messages\":[]}", "model", "model is missing"),
        (b"{\"model\":1}", "model", "model must be"),
        (b"{\"model\":\"a\"}", "messages", "messages is missing"),
        (b"{\"model\":\"a\",\"messages\":[]}", "messages", "at least one message"),
        (b"{\"model\":\"a\",\"messages\":[{}]}", "messages", "missing field `role`"),
        (
            br#"{"model":"a","messages":[{"role":"user","content":"a\ud83d"}]}"#,
            "messages",
            "messages[0] ends in half a character",
        ),
        (b"{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":3}]}", "messages", "a list of content parts"),
        (b"{\"model\":\"a\",\"messages\":[{\"role\":\"u\"}],\"stream\":\"yes\"}", "stream", "true or false"),
        (b"{\"model\":\"a\",\"messages\":[{\"role\":\"u\"}],\"max_tokens\":-1}", "max_tokens", "a positive integer"),
        (format!("{{{many}\"model\":\"a\"}}").as_bytes(), "", "more than 256 fields"),
    ] {
        let (field, message) = problem(body);
        assert_eq!(field, param, "{message}");
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn reads_a_completion() {
    let reply = reply(fixture!("completion.json"));
    assert_eq!(reply.text, text("Hello! How can I assist you today? 😀", "stop"));
    let usage = Usage {
        input_tokens: 1119,
        output_tokens: 10,
        cached_input_tokens: 1024,
        reasoning_tokens: 4,
        ..Usage::default()
    };
    assert_eq!(reply.usage, Some(usage));
}

fn with(mut object: Value, more: &Value) -> Value {
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    object
}

/// Usage as it is told of an answer, and of the last chunk of a stream, where `beside` stands beside its `delta`.
fn usage_of(usage: &Value, beside: &Value) -> (Option<Usage>, Option<Usage>) {
    let choice = |said: &str| {
        let choice = json!({"index": 0, said: {"role": "assistant", "content": "x"}, "finish_reason": "stop"});
        json!({"choices": [with(choice, beside)], "usage": usage}).to_string()
    };
    let chunks = stream(format!("data: {}\n\ndata: [DONE]\n\n", choice("delta")).into());
    (reply(choice("message").into()).usage, chunks[0].2)
}

#[test]
fn thoughts_that_are_counted_beside_the_completion_are_output() {
    let counts = |total: Value| {
        let said = json!({"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": total});
        with(said, &json!({"completion_tokens_details": {"reasoning_tokens": 94}}))
    };
    for (total, output_tokens) in [(json!(135), 103), (json!(41), 9), (Value::Null, 9), (json!("?"), 9)] {
        let usage = Usage { input_tokens: 32, output_tokens, reasoning_tokens: 94, ..Usage::default() };
        assert_eq!(usage_of(&counts(total), &json!({})), (Some(usage), Some(usage)));
    }
    let answer = json!({"choices": [{"message": {"content": "x"}}], "usage": counts(json!(135))}).to_string();
    let served: Value = serde_json::from_slice(&messages::reply(answer.as_bytes()).unwrap()).unwrap();
    assert_eq!(served["usage"]["output_tokens"], 103);
}

#[test]
fn cached_tokens_and_usage_are_found_where_others_have_them() {
    let usage = Usage { input_tokens: 50, output_tokens: 2, cached_input_tokens: 40, ..Usage::default() };
    for cached in ["cached_tokens", "prompt_cache_hit_tokens"] {
        let counts = json!({"prompt_tokens": 50, "completion_tokens": 2, cached: 40});
        assert_eq!(usage_of(&counts, &json!({})), (Some(usage), Some(usage)), "{cached}");
        let in_choice = usage_of(&Value::Null, &json!({"usage": counts}));
        assert_eq!(in_choice, (Some(usage), Some(usage)), "of a choice");
    }
    let counts = json!({"prompt_tokens": 50, "completion_tokens": 2, "cached_tokens": 40});
    let chunk = json!({"choices": [{"delta": {}, "finish_reason": "stop", "usage": counts}]}).to_string();
    let mut served = messages::Stream::default();
    let mut out = served.chunk(chunk.as_bytes()).unwrap();
    out.extend(served.end());
    let told = wire::events(&out).into_iter().find(|event| event["type"] == "message_delta").unwrap();
    assert_eq!((&told["usage"]["cache_read_input_tokens"], &told["usage"]["output_tokens"]), (&json!(40), &json!(2)));
}

#[test]
fn reads_parallel_tool_calls() {
    let reply = reply(fixture!("tools.json"));
    assert_eq!(reply.text, Text { tool_calls: true, ..text("", "tool_calls") });
    assert_eq!(reply.usage, Some(Usage { input_tokens: 82, output_tokens: 17, ..Usage::default() }));
}

#[test]
fn reads_the_first_of_several_choices_wherever_it_stands() {
    assert_eq!(reply(fixture!("two_choices.json")).text, text("Hi", "stop"));
}

#[test]
fn reads_a_refusal() {
    assert_eq!(reply(fixture!("refusal.json")).text, Text { refusal: true, ..text("", "stop") });
}

#[test]
fn takes_answers_whose_side_fields_are_strange() {
    let strange = r#"{"choices":[{"message":{"content":[{"type":"text","text":"a"}],"tool_calls":null}}],"usage":{"prompt_tokens":-1}}"#;
    let read = reply(strange.into());
    assert_eq!((&*read.text.content, read.text.finish_reason, read.usage), ("a", None, None));
    assert_eq!(reply(r#"{"choices":[{}],"usage":null,"error":null}"#.into()).usage, None);
}

#[test]
fn an_answer_that_is_none_is_an_error() {
    let problem = |body: &'static str| OpenAi.reply(&wire::asked(&wire::hello()), body.into()).unwrap_err().to_string();
    assert!(problem("<html>").contains("not a chat completion"));
    assert!(problem("").contains("not a chat completion"));
    assert!(problem("[]").contains("no choices"));
    assert!(problem("{}").contains("no choices"));
    assert!(problem(r#"{"choices":[]}"#).contains("no choices"));
    assert!(problem(r#"{"error":{"message":"overloaded","code":502}}"#).contains("overloaded"));
    assert!(problem(r#"{"error":"overloaded"}"#).contains("overloaded"));
    assert!(problem(r#"{"error":{"reason":7}}"#).contains(r#"{"reason":7}"#));
}

#[test]
fn reads_a_stream() {
    let items = stream(fixture!("stream.sse"));
    let content: Vec<_> = items.iter().map(|(_, text, ..)| &*text.content).collect();
    assert_eq!(content, ["", "Hello", "", " \"you\"", "", ""]);
    assert_eq!(items[4].1.finish_reason.as_deref(), Some("stop"));
    let usage = Usage { input_tokens: 19, output_tokens: 10, ..Usage::default() };
    assert_eq!((items[5].2, items[5].3), (Some(usage), true));
    assert!(items[..5].iter().all(|(_, _, usage, usage_only)| usage.is_none() && !usage_only));
    let lines: Vec<_> = items.iter().map(|(data, ..)| format!("data: {}\n\n", str::from_utf8(data).unwrap())).collect();
    assert_eq!(lines.concat() + "data: [DONE]\n\n", fixture!("stream.sse"));
}

#[test]
fn half_a_character_costs_no_answer_and_passes_to_the_client() {
    let cut = r#"{"choices":[{"message":{"content":"tail \ud83d"},"finish_reason":"length"}]}"#;
    assert_eq!(reply(cut.into()).text.content, "tail \u{fffd}");
    let halves = [r"\ud83d", r"\ude00", r"\ud83d\ude00"];
    let chunks = halves.map(|half| format!(r#"{{"choices":[{{"delta":{{"content":"{half}"}}}}]}}"#));
    let events = chunks.clone().map(|chunk| WireEvent { name: None, data: chunk.into() });
    let items = wire::translated(&OpenAi, &wire::hello(), events).unwrap();
    let seen = items.into_iter().map(|item| match item {
        StreamItem::Chunk { data, text, .. } => (data, text.content),
        other => panic!("no chunk: {other:?}"),
    });
    let texts = ["\u{fffd}", "\u{fffd}", "😀"].map(str::to_owned);
    assert!(seen.eq(chunks.map(Bytes::from).into_iter().zip(texts)));
}

#[test]
fn reads_tool_calls_of_a_stream() {
    let items = stream(fixture!("tools.sse"));
    assert_eq!(items.iter().map(|(_, text, ..)| text.tool_calls).collect::<Vec<_>>(), [true, true, true, false]);
    assert_eq!(items[3].1.finish_reason.as_deref(), Some("tool_calls"));
}

#[test]
fn a_chunk_without_choices_is_hidden_only_for_its_usage() {
    let filter = r#"{"choices":[],"prompt_filter_results":[]}"#;
    let event =
        |data: &'static str| wire::translated(&OpenAi, &wire::hello(), [WireEvent { name: None, data: data.into() }]);
    assert!(matches!(event(filter).unwrap()[..], [StreamItem::Chunk { usage_only: false, .. }]));
    assert!(event(r#"{"error":{"message":"server is on fire"}}"#).unwrap_err().contains("on fire"));
    assert!(event("nonsense").is_err());
}

#[test]
fn reads_errors_of_all_the_shapes_there_are() {
    let error = |body: &[u8]| OpenAi.error(StatusCode::BAD_REQUEST, body);
    let invalid = error(&fixture!("error_invalid.json"));
    assert!(invalid.message.starts_with("Invalid schema for response_format 'math'"));
    assert_eq!(
        (&*invalid.kind, invalid.param.as_deref(), invalid.code),
        ("invalid_request_error", Some("response_format"), None)
    );
    let quota = error(&fixture!("error_quota.json"));
    assert_eq!((&*quota.kind, quota.code.as_deref()), ("insufficient_quota", Some("insufficient_quota")));
    for (body, message) in [
        (&br#"{"error":"no such model"}"#[..], "no such model"),
        (br#"{"object":"error","message":"too long","code":400}"#, "too long"),
        (br#"{"detail":"Not Found"}"#, "Not Found"),
        (br#"[{"error":{"message":"bad","status":"INVALID"}}]"#, "bad"),
        (b"upstream connect error", "upstream connect error"),
        (b"{}", "{}"),
        (b"", "Bad Request"),
    ] {
        assert_eq!(error(body).message, message);
    }
    assert_eq!(error(br#"{"message":"too long","code":400}"#).code.as_deref(), Some("400"));
}

/// Data, text, usage and `usage_only` of each chunk before `[DONE]`.
fn stream(bytes: Bytes) -> Vec<(Bytes, Text, Option<Usage>, bool)> {
    let mut items = wire::streamed(&OpenAi, &wire::hello(), bytes).unwrap();
    assert_eq!(items.pop(), Some(StreamItem::Done), "[DONE] ends it");
    let chunk = |item| match item {
        StreamItem::Chunk { data, text, usage, usage_only } => (data, text, usage, usage_only),
        StreamItem::Done => panic!("two ends"),
    };
    items.into_iter().map(chunk).collect()
}

fn fields(body: &[u8]) -> Vec<(String, Box<RawValue>)> {
    let names: serde_json::Map<String, Value> = serde_json::from_slice(body).unwrap();
    let mut raw: std::collections::HashMap<String, Box<RawValue>> = serde_json::from_slice(body).unwrap();
    names.into_iter().map(|(name, _)| (name.clone(), raw.remove(&name).unwrap())).collect()
}

/// Any JSON, written with any spacing and number format.
fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "(null|true|-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?)",
        ".{0,8}".prop_map(|text| Value::from(text).to_string()),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[ {}]", items.join(" ,\n"))),
            proptest::collection::vec((".{0,4}", inner), 0..4).prop_map(|items| {
                let fields = items.into_iter().map(|(name, value)| format!("{} : {value}", Value::from(name)));
                format!("{{{}\t}}", fields.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn unknown_fields_are_forwarded_to_the_byte(
        extra in proptest::collection::btree_map("x_.{0,6}", any_json(), 0..6),
        stream in any::<bool>(),
        first in any::<bool>(),
    ) {
        let known = format!(r#""model":"auto","messages":[{{"role":"user","content":"hi"}}],"stream":{stream}"#);
        let extra: Vec<_> = extra.into_iter().map(|(name, value)| (Value::from(name.clone()).to_string(), name, value)).collect();
        let unknown: String = extra.iter().map(|(quoted, _, value)| format!(", {quoted} : {value}")).collect();
        let body = if first { format!("{{ {known}{unknown}}}") } else { format!("{{{}{}{known}}}", unknown.trim_start_matches(", "), if unknown.is_empty() { "" } else { "," }) };
        let request = parse(body);
        let sent: std::collections::HashMap<String, Box<RawValue>> = serde_json::from_slice(&request.forward("m", None)).unwrap();
        prop_assert_eq!(sent.len(), extra.len() + 3 + usize::from(stream));
        for (_, name, value) in extra {
            prop_assert_eq!(sent[&name].get(), value);
        }
    }
}
