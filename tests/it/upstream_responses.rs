//! OpenAI's Responses wire: what it is asked, and what is made of its answers.

use bytes::Bytes;
use http::StatusCode;
use proptest::prelude::*;
use satisfice::api::responses as served;
use satisfice::catalog::Usage;
use satisfice::upstream::anthropic::Anthropic;
use satisfice::upstream::responses::Responses;
use satisfice::upstream::{Provider, StreamItem, Text};
use serde_json::{Value, json};

use crate::conversations::{Said, any_conversation};
use crate::wire;

macro_rules! fixture {
    ($name:literal) => {
        Bytes::from_static(include_bytes!(concat!("../fixtures/responses/", $name)))
    };
}

fn openai() -> Responses {
    Responses::of("openai")
}

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn with(fields: &Value) -> satisfice::api::chat::ChatRequest {
    let mut body = json!({"model": "auto", "messages": [{"role": "user", "content": "Hi"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    wire::chat(body.to_string())
}

/// What is posted for a request with these fields beside its messages.
fn posted(fields: &Value) -> Value {
    wire::posted(&openai(), &with(fields))
}

/// The same to another provider or another of its models.
fn posted_to(provider: &str, model: &str, fields: &Value) -> Value {
    json_of(&Responses::of(provider).request(model, &with(fields)).unwrap().body)
}

fn refused(fields: &Value) -> String {
    let request = with(fields);
    let bad = openai().refuses(&request).expect("it is refused");
    assert_eq!(openai().request(wire::MODEL, &request).unwrap_err(), bad, "a cheap look tells the same");
    assert!(bad.message.contains("drop_unsupported"), "{}", bad.message);
    bad.param.unwrap_or_default().into_owned()
}

fn answer(fields: Value) -> Result<Value, String> {
    let mut body = json!({"id": "resp_1", "status": "completed", "output": []});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let reply = openai().reply(&wire::asked(&wire::hello()), body.to_string().into());
    reply.map(|reply| json_of(&reply.body)).map_err(|problem| problem.to_string())
}

fn streamed(bytes: impl AsRef<[u8]>) -> Result<Vec<StreamItem>, String> {
    wire::streamed(&openai(), &wire::hello(), bytes)
}

fn event(event: &Value) -> String {
    format!("data: {event}\n\n")
}

/// What each chunk says that is not null, except the head.
fn deltas(items: &[StreamItem]) -> Vec<Value> {
    wire::chunks(items).iter().map(|chunk| chunk["choices"][0]["delta"].clone()).collect()
}

fn text_of(item: &StreamItem) -> Text {
    match item {
        StreamItem::Chunk { text, .. } => text.clone(),
        StreamItem::Done => Text::default(),
    }
}

#[test]
fn a_request_is_translated_whole() {
    let request = wire::chat(fixture!("request.json"));
    assert_eq!(openai().refuses(&request), None);
    assert_eq!(wire::posted(&openai(), &request), json_of(&fixture!("sent.json")));
}

#[test]
fn what_both_wires_have_and_what_nobody_knows_passes_to_the_byte() {
    let body = r#"{"model":"a","messages":[{"role":"user","content":"x"}],"temperature": 1.50,"x_own":{ "a":1E2}}"#;
    let sent = openai().request("m", &wire::chat(body)).unwrap().body;
    let sent = str::from_utf8(&sent).unwrap();
    assert!(sent.contains(r#""temperature":1.50"#) && sent.contains(r#""x_own":{ "a":1E2}"#), "{sent}");
}

#[test]
fn nothing_is_stored_unless_the_client_says_so() {
    for (asked, stored) in [(json!({}), false), (json!({"store": null}), false), (json!({"store": true}), true)] {
        assert_eq!(posted(&asked)["store"], stored);
    }
}

#[test]
fn a_plain_request_asks_for_nothing_more() {
    let plain = json!({"model": wire::MODEL, "store": false,
        "input": [{"type": "message", "role": "user", "content": "Hi"}]});
    assert_eq!(posted(&json!({})), plain);
    assert_eq!(posted(&json!({"n": 1, "logprobs": false, "stop": [], "seed": null, "modalities": ["text"]})), plain);
    let json_mode = posted(&json!({"response_format": {"type": "json_object"}, "text": {"verbosity": "high"}}));
    assert_eq!(json_mode["text"], json!({"format": {"type": "json_object"}, "verbosity": "high"}));
    assert_eq!(posted(&json!({"response_format": {"type": "text"}})), plain);
}

#[test]
fn a_choice_among_tools_keeps_its_word() {
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    for choice in ["none", "auto", "required"] {
        assert_eq!(posted(&json!({"tools": tools, "tool_choice": choice}))["tool_choice"], choice);
    }
    assert_eq!(posted(&json!({"tools": tools})).get("tool_choice"), None);
    assert_eq!(posted(&json!({"web_search_options": {}}))["tools"], json!([{"type": "web_search"}]));
}

#[test]
fn a_limit_below_the_least_becomes_the_least() {
    for (field, asked, sent) in
        [("max_tokens", 1, 16), ("max_completion_tokens", 15, 16), ("max_tokens", 17, 17), ("max_tokens", 0, 0)]
    {
        assert_eq!(posted(&json!({field: asked}))["max_output_tokens"], sent);
    }
}

#[test]
fn only_models_that_think_are_asked_for_their_thoughts() {
    let asked = |model: &str, fields: Value| posted_to("openai", model, &fields)["include"].clone();
    let thoughts = json!(["reasoning.encrypted_content"]);
    for model in ["o4-mini", "gpt-5", "gpt-5.1-codex", "openai/gpt-5-mini-2025-08-07", "codex-mini-latest", "gpt-10"] {
        assert_eq!(asked(model, json!({})), thoughts, "{model}");
    }
    for model in ["gpt-4o", "gpt-4.1-mini", "gpt-5-chat-latest", "deployment", "openchat"] {
        assert_eq!(asked(model, json!({})), Value::Null, "{model}");
        assert_eq!(asked(model, json!({"reasoning_effort": "none"})), Value::Null);
        assert_eq!(asked(model, json!({"reasoning_effort": "high"})), thoughts);
        assert_eq!(asked(model, json!({"reasoning": {"summary": "auto"}})), thoughts);
        assert_eq!(asked(model, json!({"logprobs": true})), json!(["message.output_text.logprobs"]));
    }
}

#[test]
fn what_responses_have_nothing_like_is_refused_by_name_or_left_out() {
    let asked = json!({"audio": {"voice": "ash", "format": "wav"}, "frequency_penalty": 0.5, "functions": [{"name": "f"}],
        "function_call": "auto", "logit_bias": {"5": 1}, "modalities": ["text", "audio"], "n": 2,
        "presence_penalty": 0.5, "seed": 7, "stop": ["END"]});
    for (name, value) in asked.as_object().unwrap() {
        assert_eq!(refused(&json!({name.as_str(): value})), *name);
    }
    let mut lenient = asked;
    lenient["drop_unsupported"] = true.into();
    assert_eq!(posted(&lenient), posted(&json!({})));
}

#[test]
fn sound_is_refused_or_left_out() {
    let sound = json!({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}});
    let mut asked = json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, sound]}]});
    assert_eq!(refused(&asked), "messages");
    asked["drop_unsupported"] = true.into();
    assert_eq!(posted(&asked)["input"][0]["content"], json!([{"type": "input_text", "text": "Hi"}]));
}

#[test]
fn a_models_own_words_are_text_only() {
    let picture = json!({"type": "image_url", "image_url": {"url": "https://a.example/b.png"}});
    let asked = with(&json!({"messages": [{"role": "assistant", "content": [picture]}]}));
    let bad = openai().request(wire::MODEL, &asked).unwrap_err();
    assert_eq!(bad.param.as_deref(), Some("messages[0].content[0]"));
}

#[test]
fn a_whole_answer_has_its_text_its_thoughts_its_sources_and_what_it_took() {
    let reply = wire::whole(&openai(), &wire::hello(), fixture!("answer.json"));
    let content = "Hyvää päivää! Oulu on pohjoisessa.".to_owned();
    assert_eq!(reply.text, Text { content, finish_reason: Some("stop".into()), ..Text::default() });
    let usage = Usage {
        input_tokens: 328,
        output_tokens: 87,
        cached_input_tokens: 256,
        cache_write_tokens: 64,
        reasoning_tokens: 64,
        ..Usage::default()
    };
    assert_eq!(reply.usage, Some(usage));
    let body = json_of(&reply.body);
    let id = "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b";
    assert_eq!(
        (&body["id"], &body["model"], &body["created"]),
        (&json!(id), &json!("gpt-5-2025-08-07"), &json!(1_741_476_542))
    );
    let message = &body["choices"][0]["message"];
    assert_eq!(message["reasoning_content"], "**Searching**\n\nOne source is enough.");
    assert_eq!(
        message["annotations"],
        json!([{"type": "url_citation", "url_citation":
            {"start_index": 14, "end_index": 18, "url": "https://ouka.example/", "title": "Oulu"}}])
    );
    assert_eq!(
        message["citations"],
        json!([{"type": "file_citation", "file_citation":
            {"index": 992, "file_id": "file-2dtbBZdjtDKS8eqWxqbgDi", "filename": "oulu.pdf"}}])
    );
    let logprobs = &body["choices"][0]["logprobs"]["content"];
    assert_eq!(logprobs, &json_of(&fixture!("answer.json"))["output"][2]["content"][0]["logprobs"]);
}

#[test]
fn calls_and_the_thought_before_them_go_back_as_they_came() {
    let reply = wire::whole(&openai(), &wire::hello(), fixture!("tools.json"));
    assert_eq!(reply.text, Text { tool_calls: true, finish_reason: Some("tool_calls".into()), ..Text::default() });
    let message = json_of(&reply.body)["choices"][0]["message"].take();
    assert_eq!(message["content"], Value::Null);
    let back = posted(&json!({"messages": [message.clone()]}))["input"].take();
    let mut came = json_of(&fixture!("tools.json"))["output"].take();
    for call in came.as_array_mut().unwrap().iter_mut().skip(1) {
        let call = call.as_object_mut().unwrap();
        call.retain(|name, _| name != "id" && name != "status");
    }
    assert_eq!(back, came);
    let elsewhere = |provider: &str, model: &str| {
        posted_to(provider, model, &json!({"messages": [message.clone()]}))["input"][0]["type"].take()
    };
    assert_eq!(elsewhere("openai", wire::MODEL), "reasoning");
    assert_eq!(elsewhere("azure", wire::MODEL), "function_call", "another account cannot read the thought");
    assert_eq!(elsewhere("openai", "gpt-4o"), "function_call", "another model may not think");
}

#[test]
fn claude_is_not_given_thoughts_that_are_not_its_own() {
    let reply = wire::whole(&openai(), &wire::hello(), fixture!("tools.json"));
    let message = json_of(&reply.body)["choices"][0]["message"].take();
    let result = |id: &Value| json!({"role": "tool", "tool_call_id": id, "content": "3"});
    let results = [result(&message["tool_calls"][0]["id"]), result(&message["tool_calls"][1]["id"])];
    let [first, second] = results;
    let asked = with(&json!({"reasoning_effort": "low", "messages":
        [{"role": "user", "content": "Weather?"}, message, first, second]}));
    let sent = json_of(&Anthropic::below("").request("claude-haiku-4-5", &asked).unwrap().body);
    let kinds: Vec<_> = sent["messages"][1]["content"].as_array().unwrap().iter().map(|block| &block["type"]).collect();
    assert_eq!(kinds, ["tool_use", "tool_use"]);
    assert_eq!(sent.get("thinking"), None, "it cannot think on from calls that it gave no thought");
}

#[test]
fn a_refusal_is_one() {
    let refusal = json!({"type": "refusal", "refusal": "I can't."});
    let whole = answer(json!({"output": [{"type": "message", "content": [refusal]}]})).unwrap();
    assert_eq!(whole["choices"][0]["message"], json!({"role": "assistant", "content": null, "refusal": "I can't."}));
    let pieces = ["I ", "can't."].map(|piece| {
        event(&json!({"type": "response.refusal.delta", "output_index": 0, "content_index": 0, "delta": piece}))
    });
    let items = streamed(pieces.concat()).unwrap();
    assert_eq!(deltas(&items)[1..], [json!({"refusal": "I "}), json!({"refusal": "can't."})]);
    assert!(text_of(&items[1]).refusal);
}

#[test]
fn every_end_has_its_word_and_failures_are_failures() {
    let ended = |kind: &str, fields: Value| {
        let mut response = json!({"id": "resp_1", "status": kind});
        response.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let whole = answer(response.clone()).map(|body| body["choices"][0]["finish_reason"].clone());
        let end = event(&json!({"type": format!("response.{kind}"), "response": response}));
        let items = streamed(&end).map(|items| json!(text_of(&items[1]).finish_reason));
        assert_eq!(whole, items);
        whole
    };
    let because = |reason: &str| json!({"incomplete_details": {"reason": reason}});
    assert_eq!(ended("completed", json!({})).unwrap(), "stop");
    assert_eq!(ended("completed", json!({"error": null, "incomplete_details": null})).unwrap(), "stop");
    assert_eq!(ended("incomplete", because("max_output_tokens")).unwrap(), "length");
    assert_eq!(ended("incomplete", because("content_filter")).unwrap(), "content_filter");
    assert_eq!(ended("incomplete", json!({})).unwrap(), "length");
    let failed = json!({"error": {"code": "server_error", "message": "The model failed to answer."}});
    assert!(ended("failed", failed).unwrap_err().contains("The model failed to answer."));
    assert_eq!(ended("failed", json!({})).unwrap_err(), "the response is failed");
    assert_eq!(answer(json!({"status": "queued"})).unwrap_err(), "the response is queued");
    assert!(answer(json!({"status": null})).is_ok());
}

#[test]
fn a_stream_thinks_speaks_cites_and_ends() {
    let items = streamed(fixture!("stream.sse")).unwrap();
    assert_eq!(items.last(), Some(&StreamItem::Done));
    let chunks = wire::chunks(&items);
    assert!(chunks.iter().all(|chunk| chunk["id"] == "resp_1" && chunk["created"] == 1_741_290_958));
    assert!(chunks.iter().all(|chunk| chunk["model"] == "gpt-5-2025-08-07"));
    let seal = r#"["openai/upstream-model","rs_1","gAAAAABoISQ24OyV"]"#;
    let thought = "**Searching**\n\nOne is enough.";
    let action = json!({"type": "search", "query": "Oulu"});
    let search = json!({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": action});
    let citation = json!({"start_index": 14, "end_index": 18, "url": "https://ouka.example/", "title": "Oulu"});
    assert_eq!(
        deltas(&items),
        [
            json!({"role": "assistant", "content": ""}),
            json!({"reasoning_content": "**Sear"}),
            json!({"reasoning_content": "ching**"}),
            json!({"reasoning_content": "\n\nOne is enough."}),
            json!({"thinking_blocks": [{"index": 0, "type": "thinking", "thinking": thought, "signature": seal}]}),
            json!({"hosted_items": [{"index": 0, "of": "responses", "is": search, "after": 1, "at": 0}]}),
            json!({"content": "Hyvää"}),
            json!({"content": " päivää! "}),
            json!({"content": "Oulu."}),
            json!({"annotations": [{"index": 0, "type": "url_citation", "url_citation": citation}]}),
            json!({}),
            Value::Null,
        ]
    );
    assert_eq!(
        chunks[6]["choices"][0]["logprobs"],
        json!({"refusal": null, "content": [{"token": "Hyvää", "logprob": -0.5, "bytes": null,
            "top_logprobs": [{"token": "Hei", "logprob": -1.5, "bytes": null}]}]})
    );
    assert_eq!(items.iter().map(|item| text_of(item).content).collect::<String>(), "Hyvää päivää! Oulu.");
    assert_eq!(text_of(&items[10]).finish_reason.as_deref(), Some("stop"));
    let used =
        Usage { input_tokens: 37, output_tokens: 11, cached_input_tokens: 8, reasoning_tokens: 4, ..Usage::default() };
    assert!(matches!(items[11], StreamItem::Chunk { usage: Some(usage), usage_only: true, .. } if usage == used));
}

/// Names and arguments of the calls of a stream, by their index.
fn calls(items: &[StreamItem]) -> Vec<(String, String)> {
    let mut calls = vec![];
    for chunk in wire::chunks(items) {
        for piece in chunk["choices"][0]["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let index = piece["index"].as_u64().unwrap() as usize;
            calls.resize(calls.len().max(index + 1), (String::new(), String::new()));
            let (name, arguments): &mut (String, String) = &mut calls[index];
            *name += piece["function"]["name"].as_str().unwrap_or_default();
            *arguments += piece["function"]["arguments"].as_str().unwrap_or_default();
        }
    }
    calls
}

#[test]
fn calls_of_a_stream_come_piece_by_piece_and_side_by_side() {
    let items = streamed(fixture!("tools.sse")).unwrap();
    assert_eq!(
        deltas(&items)[1..4],
        [
            json!({"thinking_blocks": [{"index": 0, "type": "redacted_thinking",
                "data": r#"["openai/upstream-model","rs_1","gAAAAABoISQ24OyV"]"#}]}),
            json!({"tool_calls": [{"index": 0, "id": "call_1", "type": "function",
                "function": {"name": "weather", "arguments": ""}}]}),
            json!({"tool_calls": [{"index": 1, "id": "call_2", "type": "function",
                "function": {"name": "weather", "arguments": ""}}]}),
        ]
    );
    let expected = [r#"{"city":"Oulu"}"#, r#"{"city":"Turku"}"#].map(|city| ("weather".to_owned(), city.to_owned()));
    assert_eq!(calls(&items), expected);
    assert!(items.iter().any(|item| text_of(item).finish_reason.as_deref() == Some("tool_calls")));
}

#[test]
fn a_call_that_comes_whole_is_told_once_however_it_comes() {
    let call = |arguments: &str| json!({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": arguments});
    let added = |arguments: &str| {
        event(&json!({"type": "response.output_item.added", "output_index": 3, "item": call(arguments)}))
    };
    let argued = event(&json!({"type": "response.function_call_arguments.done", "output_index": 3, "arguments": "{}"}));
    let done = event(&json!({"type": "response.output_item.done", "output_index": 3, "item": call("{}")}));
    for stream in [
        added("{}") + &done,
        added("{}") + &argued + &done,
        added("") + &argued + &done,
        added("") + &argued,
        added("") + &done,
        done.clone(),
    ] {
        assert_eq!(calls(&streamed(&stream).unwrap()), [("f".to_owned(), "{}".to_owned())], "{stream}");
    }
}

#[test]
fn a_thought_in_the_open_is_shown_and_not_given_back() {
    let thought = json!({"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]});
    let whole = answer(json!({"output": [thought]})).unwrap();
    let message = &whole["choices"][0]["message"];
    assert_eq!((&message["reasoning_content"], message.get("thinking_blocks")), (&json!("Hm."), None));
    let piece = json!({"type": "response.reasoning_text.delta", "output_index": 0, "content_index": 0, "delta": "Hm."});
    assert_eq!(deltas(&streamed(event(&piece)).unwrap())[1], json!({"reasoning_content": "Hm."}));
}

#[test]
fn what_is_no_answer_is_an_error() {
    let problem =
        |body: &'static str| openai().reply(&wire::asked(&wire::hello()), body.into()).unwrap_err().to_string();
    assert!(problem("<html>").contains("not a response"));
    assert!(problem("").contains("not a response"));
    assert!(problem("[]").contains("not a response"));
    assert!(problem("{}").contains("no `output`"));
    assert!(problem(r#"{"choices":[{"message":{"content":"x"}}]}"#).contains("no `output`"));
    assert!(problem(r#"{"error":{"message":"overloaded"}}"#).contains("overloaded"));
    let data = |data: &str| streamed(format!("data: {data}\n\n"));
    for (error, words) in [
        (json!({"type": "error", "code": "rate_limit_exceeded", "message": "Slow down.", "param": null}), "Slow down."),
        (json!({"type": "error", "error": {"code": "context_length_exceeded", "message": "Too long."}}), "Too long."),
        (json!({"error": {"message": "Overloaded."}}), "Overloaded."),
    ] {
        assert!(data(&error.to_string()).unwrap_err().contains(words));
    }
    assert!(data("nonsense").unwrap_err().contains("no event of a response"));
    assert_eq!(data(r#"{"type":"response.of_tomorrow","delta":7}"#).unwrap(), []);
    assert_eq!(data("[DONE]").unwrap(), []);
}

#[test]
fn nothing_is_said_before_the_model_says_something() {
    let whole = String::from_utf8(fixture!("stream.sse").to_vec()).unwrap();
    let (before, _) = whole.split_once("event: response.reasoning_summary_text.delta").unwrap();
    assert_eq!(streamed(before).unwrap(), [], "another model may still answer");
}

#[test]
fn no_end_is_made_up_before_the_last_event() {
    let events = wire::events(&fixture!("stream.sse"));
    for told in 0..events.len() {
        let bytes: String = events[..told].iter().map(event).collect();
        let items = wire::streamed_to_end(&openai(), &wire::hello(), bytes);
        assert!(items.iter().all(|item| *item != StreamItem::Done && text_of(item).finish_reason.is_none()));
    }
}

#[test]
fn errors_name_the_clients_fields() {
    let error = |status: u16, body: &[u8]| openai().error(StatusCode::from_u16(status).unwrap(), body);
    let limit = error(429, &fixture!("error_limit.json"));
    assert_eq!((&*limit.kind, limit.code.as_deref(), limit.param), ("tokens", Some("rate_limit_exceeded"), None));
    let long = error(400, &fixture!("error_context.json"));
    assert_eq!((long.param.as_deref(), long.code.as_deref()), (Some("messages"), Some("context_length_exceeded")));
    assert_eq!(error(400, &fixture!("error_schema.json")).param.as_deref(), Some("response_format"));
    let about = |param: &str| {
        let body = json!({"error": {"message": "m", "type": "invalid_request_error", "param": param}}).to_string();
        error(400, body.as_bytes()).param.unwrap().into_owned()
    };
    for (wires, clients) in [
        ("input[2].content[0]", "messages"),
        ("max_output_tokens", "max_completion_tokens"),
        ("reasoning.effort", "reasoning_effort"),
        ("reasoning.summary", "reasoning.summary"),
        ("text.verbosity", "verbosity"),
        ("temperature", "temperature"),
    ] {
        assert_eq!(about(wires), clients);
    }
}

/// What is said in the items of `input`, except the system's.
fn said(body: &Value) -> Vec<Said> {
    body["input"].as_array().unwrap().iter().filter(|item| item["role"] != "system").flat_map(said_in).collect()
}

fn said_in(item: &Value) -> Vec<Said> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (id, content) = (text(&item["call_id"]).unwrap_or_default(), &item["content"]);
    let speaks: fn(String) -> Said = if item["role"] == "user" { Said::User } else { Said::Assistant };
    match item["type"].as_str().unwrap() {
        "function_call" => vec![Said::Call {
            id,
            name: text(&item["name"]).unwrap(),
            arguments: json_of(item["arguments"].as_str().unwrap().as_bytes()),
        }],
        "function_call_output" => vec![Said::Result { id, text: text(&item["output"]).unwrap() }],
        _ => match text(content) {
            Some(text) => vec![speaks(text)],
            None => content
                .as_array()
                .unwrap()
                .iter()
                .map(|part| match text(&part["image_url"]) {
                    Some(url) => Said::Picture(url.rsplit(',').next().unwrap().to_owned()),
                    None => speaks(text(&part["text"]).unwrap()),
                })
                .collect(),
        },
    }
}

/// What a server of this wire streams for a chat's deltas: the gateway is one.
fn served_stream(deltas: &[Value], finish: &str) -> Vec<u8> {
    let (_, echo) = served::request(br#"{"model":"m","input":"x"}"#).unwrap();
    let mut stream = served::Stream::new(echo);
    let chunk = |delta: &Value, finish: Option<&str>| json!({"id": "1", "model": "m", "created": 7, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    let chunks = deltas.iter().map(|delta| chunk(delta, None)).chain([chunk(&json!({}), Some(finish))]);
    let mut bytes: Vec<u8> = chunks.flat_map(|chunk| stream.chunk(chunk.to_string().as_bytes()).unwrap()).collect();
    bytes.extend(stream.end());
    bytes
}

/// What may stand in a field that should hold something else.
fn strange() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!([7, "x", null, {}])),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
    ]
}

/// The JSON pointer of everything in `value`, except the whole.
pub fn paths(value: &Value) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => {
            fields.iter().map(|(name, field)| (name.replace('~', "~0").replace('/', "~1"), field)).collect()
        }
        Value::Array(items) => items.iter().enumerate().map(|(i, item)| (i.to_string(), item)).collect(),
        _ => vec![],
    };
    let below = |(name, child): (String, &Value)| {
        let deeper: Vec<String> = paths(child).into_iter().map(|path| format!("/{name}{path}")).collect();
        std::iter::once(format!("/{name}")).chain(deeper)
    };
    children.into_iter().flat_map(below).collect()
}

/// `whole` with `value` in place of one of its fields.
fn replace(whole: &mut Value, field: prop::sample::Index, value: Value) {
    let paths = paths(whole);
    *whole.pointer_mut(&paths[field.index(paths.len())]).unwrap() = value;
}

proptest! {
    #[test]
    fn everything_that_is_said_arrives_in_its_order(conversation in any_conversation()) {
        let body = posted(&json!({"messages": conversation.messages}));
        prop_assert_eq!(said(&body), conversation.said);
        let told = body["input"].as_array().unwrap().iter().filter(|item| item["role"] == "system");
        let told: Vec<&str> = told.map(|item| item["content"].as_str().unwrap()).collect();
        prop_assert_eq!(told, conversation.system);
    }

    #[test]
    fn what_is_posted_is_what_a_server_of_this_wire_reads(conversation in any_conversation()) {
        let sent = posted(&json!({"messages": conversation.messages, "max_tokens": 50, "verbosity": "low"}));
        let (read, _) = served::request(sent.to_string().as_bytes()).unwrap();
        prop_assert_eq!(wire::posted(&openai(), &wire::chat(read)), sent);
    }

    #[test]
    fn what_a_server_of_this_wire_streams_is_what_was_said(
        thoughts in proptest::collection::vec("\\PC{1,8}", 0..3),
        texts in proptest::collection::vec("\\PC{1,8}", 0..4),
        functions in proptest::collection::vec(("[a-z]{1,6}", proptest::collection::vec("\\PC{1,6}", 0..3)), 0..3),
    ) {
        let mut said: Vec<Value> = thoughts.iter().map(|piece| json!({"reasoning_content": piece})).collect();
        said.extend(texts.iter().map(|piece| json!({"content": piece})));
        for (index, (name, pieces)) in functions.iter().enumerate() {
            let function = json!({"name": name, "arguments": ""});
            said.push(json!({"tool_calls": [{"index": index, "id": "c", "type": "function", "function": function}]}));
            said.extend(pieces.iter().map(|piece| json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})));
        }
        let finish = if functions.is_empty() { "stop" } else { "tool_calls" };
        let items = streamed(served_stream(&said, finish)).unwrap();
        let joined = |field: &str| deltas(&items).iter().filter_map(|delta| delta[field].as_str()).collect::<String>();
        prop_assert_eq!((joined("reasoning_content"), joined("content")), (thoughts.concat(), texts.concat()));
        let expected: Vec<_> = functions.into_iter().map(|(name, pieces)| (name, pieces.concat())).collect();
        prop_assert_eq!(calls(&items), expected);
        prop_assert!(items.iter().any(|item| text_of(item).finish_reason.as_deref() == Some(finish)));
    }

    #[test]
    fn anything_in_an_event_is_translated_or_refused(
        calls in any::<bool>(),
        which in any::<prop::sample::Index>(),
        field in any::<prop::sample::Index>(),
        value in strange(),
    ) {
        let mut events = wire::events(&if calls { fixture!("tools.sse") } else { fixture!("stream.sse") });
        let event = &mut events[which.index(if calls { 13 } else { 27 })];
        replace(event, field, value);
        match streamed(events.iter().map(self::event).collect::<String>()) {
            Ok(items) => prop_assert!(items.iter().filter(|item| **item == StreamItem::Done).count() <= 1),
            Err(problem) => prop_assert!(!problem.is_empty()),
        }
    }

    #[test]
    fn anything_in_an_answer_is_translated_or_refused(field in any::<prop::sample::Index>(), value in strange()) {
        let mut whole = json_of(&fixture!("answer.json"));
        replace(&mut whole, field, value);
        match answer(whole) {
            Ok(body) => prop_assert_eq!(body["choices"].as_array().map(Vec::len), Some(1)),
            Err(problem) => prop_assert!(!problem.is_empty()),
        }
    }

    #[test]
    fn a_stream_is_the_same_wherever_it_was_cut(cuts in proptest::collection::vec(0..9000usize, 0..20)) {
        let bytes = fixture!("stream.sse");
        let whole = streamed(&bytes).unwrap();
        prop_assert_eq!(wire::streamed_in_pieces(&openai(), &wire::hello(), &bytes, cuts), whole);
    }
}
