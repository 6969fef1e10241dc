//! Anthropic's wire: requests, whole answers, errors.

use bytes::Bytes;
use http::StatusCode;
use proptest::prelude::*;
use satisfice::catalog::Usage;
use satisfice::upstream::anthropic::Anthropic;
use satisfice::upstream::{Asked, Provider, Text, WholeReply};
use serde_json::{Value, json};

use crate::conversations::{Said, any_conversation};
use crate::wire::{self, Posts as _};

macro_rules! fixture {
    ($name:literal) => {
        Bytes::from_static(include_bytes!(concat!("../fixtures/anthropic/", $name)))
    };
}
pub(crate) use fixture;

pub fn claude() -> Anthropic {
    Anthropic::below("/")
}

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// A request that says Hello and these fields.
fn with(fields: Value) -> satisfice::api::chat::ChatRequest {
    let mut body = json!({"model": "auto", "messages": [{"role": "user", "content": "Hello"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    wire::chat(body.to_string())
}

/// What is posted to `model` for Hello and these fields.
fn posted(model: &str, fields: Value) -> Value {
    parsed(&claude().request(model, &with(fields)).unwrap().body)
}

/// The field that is refused, and why.
fn refused(model: &str, fields: Value) -> (String, String) {
    let bad = claude().request(model, &with(fields)).unwrap_err();
    (bad.param.unwrap_or_default().into_owned(), bad.message)
}

fn answered(body: Bytes) -> (WholeReply, Value) {
    let reply = wire::whole(&claude(), &wire::hello(), body);
    let json = parsed(&reply.body);
    (reply, json)
}

#[test]
fn a_whole_conversation_is_written_as_anthropic_documents_it() {
    let wire = claude().request("claude-opus-4-6", &wire::chat(fixture!("request.json"))).unwrap();
    assert_eq!(parsed(&wire.body), parsed(&fixture!("request.posted.json")));
}

#[test]
fn the_base_url_may_hold_the_version() {
    for (base, path) in [("/", "v1/messages"), ("/proxy", "v1/messages"), ("/v1", "messages"), ("/a/v1/", "messages")] {
        assert_eq!(Anthropic::below(base).path("claude", true), path);
    }
    assert_eq!(claude().headers()["anthropic-version"], "2023-06-01");
}

#[test]
fn an_answers_length_is_the_clients_else_the_models_else_the_documented_one() {
    let limit = |longest, fields| {
        parsed(&claude().request_up_to("claude-haiku-4-5", longest, &with(fields)).unwrap().body)["max_tokens"].clone()
    };
    assert_eq!(limit(Some(64_000), json!({"max_tokens": 100})), 100);
    assert_eq!(limit(Some(64_000), json!({"max_tokens": 100_000})), 64_000);
    assert_eq!(limit(Some(64_000), json!({})), 64_000);
    assert_eq!(limit(None, json!({})), 8192);
}

#[test]
fn effort_is_said_as_each_generation_of_models_takes_it() {
    let thoughts = |model: &str, fields| {
        let body = posted(model, fields);
        (body["thinking"].clone(), body["output_config"]["effort"].clone())
    };
    let adaptive = json!({"type": "adaptive", "display": "summarized"});
    let high = || json!({"reasoning_effort": "high", "max_tokens": 10_000});
    assert_eq!(thoughts("claude-opus-5", high()), (adaptive.clone(), json!("high")));
    assert_eq!(thoughts("claude-fable-5", high()), (adaptive.clone(), json!("high")));
    let budget = json!({"type": "enabled", "budget_tokens": 8000});
    assert_eq!(thoughts("claude-haiku-4-5", high()), (budget, Value::Null));
    assert_eq!(thoughts("claude-opus-4-6", json!({"reasoning_effort": "xhigh"})), (adaptive.clone(), json!("max")));
    assert_eq!(thoughts("claude-opus-4-8", json!({"reasoning_effort": "xhigh"})), (adaptive.clone(), json!("xhigh")));
    assert_eq!(thoughts("claude-opus-4-8", json!({"reasoning_effort": "minimal"})), (adaptive, json!("low")));
    let off = json!({"type": "disabled"});
    assert_eq!(thoughts("claude-sonnet-5", json!({"reasoning_effort": "none"})), (off, Value::Null));
    for (model, fields) in [
        ("claude-sonnet-5", json!({})),
        ("claude-haiku-4-5", json!({"reasoning_effort": "none"})),
        ("claude-haiku-4-5", json!({"reasoning_effort": "high", "max_tokens": 1024})),
    ] {
        assert_eq!(thoughts(model, fields), (Value::Null, Value::Null));
    }
    let (field, _) = refused("claude-fable-5", json!({"reasoning_effort": "none"}));
    assert_eq!(field, "reasoning_effort");
    let own = json!({"type": "enabled", "budget_tokens": 2000});
    assert_eq!(thoughts("claude-sonnet-4-5", json!({"thinking": own})).0, own);
}

#[test]
fn reasoning_as_openrouter_has_it_is_tokens_or_an_effort() {
    let thoughts = |model: &str, reasoning: Value| {
        let body = posted(model, json!({"reasoning": reasoning, "max_tokens": 10_000}));
        (
            body["thinking"]["type"].clone(),
            body["thinking"]["budget_tokens"].clone(),
            body["output_config"]["effort"].clone(),
        )
    };
    for (model, reasoning, expected) in [
        ("claude-haiku-4-5", json!({"max_tokens": 3000}), (json!("enabled"), json!(3000), Value::Null)),
        ("claude-haiku-4-5", json!({"max_tokens": 10}), (json!("enabled"), json!(1024), Value::Null)),
        ("claude-haiku-4-5", json!({"max_tokens": 20_000}), (json!("enabled"), json!(9999), Value::Null)),
        ("claude-haiku-4-5", json!({"enabled": true}), (json!("enabled"), json!(5000), Value::Null)),
        ("claude-haiku-4-5", json!({"enabled": false}), (Value::Null, Value::Null, Value::Null)),
        ("claude-opus-4-6", json!({"max_tokens": 3000}), (json!("adaptive"), Value::Null, json!("medium"))),
        ("claude-opus-4-6", json!({"max_tokens": 0}), (json!("disabled"), Value::Null, Value::Null)),
        (
            "claude-opus-4-6",
            json!({"effort": "low", "max_tokens": 9000}),
            (json!("adaptive"), Value::Null, json!("low")),
        ),
    ] {
        assert_eq!(thoughts(model, reasoning.clone()), expected, "{model} {reasoning}");
    }
}

#[test]
fn calls_of_the_old_form_keep_their_results_and_are_told_apart() {
    let call = |arguments: &str| json!({"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": arguments}});
    let result = |text: &str| json!({"role": "function", "name": "f", "content": text});
    let messages = json!([{"role": "user", "content": "Go."}, call("{\"a\":1}"), result("1"), call("{}"), result("2")]);
    let body = posted("claude-opus-4-6", json!({"messages": messages}));
    let said: Vec<&Value> = body["messages"].as_array().unwrap().iter().map(|message| &message["content"][0]).collect();
    assert_eq!((&said[1]["name"], &said[1]["input"], &said[3]["input"]), (&json!("f"), &json!({"a": 1}), &json!({})));
    assert_eq!((&said[2]["content"][0]["text"], &said[4]["content"][0]["text"]), (&json!("1"), &json!("2")));
    assert_eq!((&said[1]["id"], &said[3]["id"]), (&said[2]["tool_use_id"], &said[4]["tool_use_id"]));
    assert_ne!(said[1]["id"], said[3]["id"]);
}

#[test]
fn a_file_is_a_url_of_some_kind() {
    let file = |data: &str| json!({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": data}}]}]});
    let (field, message) = refused("claude-opus-4-6", file("JVBERi0xLjQ="));
    assert!(field == "messages[0].content[0]" && message.contains("data:application/pdf;base64,"), "{message}");
    let source =
        posted("claude-opus-4-6", file("https://example.com/a.pdf"))["messages"][0]["content"][0]["source"].take();
    assert_eq!(source, json!({"type": "url", "url": "https://example.com/a.pdf"}));
}

#[test]
fn what_is_anthropics_own_passes() {
    let own = json!({"cache_control": {"type": "ephemeral"}, "container": "c", "context_management": {"edits": []},
        "inference_geo": "us", "mcp_servers": [{"type": "url"}], "speed": "fast"});
    let body = posted("claude-opus-4-6", own.clone());
    for (name, value) in own.as_object().unwrap() {
        assert_eq!(body[name], *value, "{name}");
    }
}

#[test]
fn a_budget_for_thoughts_is_not_asked_for_in_the_middle_of_calls_that_had_none() {
    let calls = json!([{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    let messages = |blocks: Value| {
        json!({"reasoning_effort": "low", "messages": [
            {"role": "user", "content": "Go."},
            {"role": "assistant", "tool_calls": calls, "thinking_blocks": blocks},
            {"role": "tool", "tool_call_id": "a", "content": "1"}]})
    };
    assert_eq!(posted("claude-haiku-4-5", messages(json!([])))["thinking"], Value::Null);
    let thought = json!([{"type": "thinking", "thinking": "f", "signature": "s"}]);
    assert_eq!(posted("claude-haiku-4-5", messages(thought))["thinking"]["type"], "enabled");
}

#[test]
fn calls_in_a_conversation_without_tools_are_still_declared() {
    let body = posted(
        "claude-opus-4-6",
        json!({"messages": [
            {"role": "user", "content": "Go."},
            {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "a", "content": "1"}]}),
    );
    assert_eq!(body["tools"], json!([{"name": "f", "input_schema": {"type": "object"}}]));
    assert_eq!(body["tool_choice"], json!({"type": "none"}));
}

#[test]
fn tool_choice_is_said_in_claudes_words() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let choice = |fields: Value| {
        let mut fields = fields;
        fields["tools"] = tools.clone();
        posted("claude-haiku-4-5", fields)["tool_choice"].clone()
    };
    assert_eq!(choice(json!({})), Value::Null);
    assert_eq!(choice(json!({"tool_choice": "auto"})), Value::Null);
    assert_eq!(choice(json!({"tool_choice": "none"})), json!({"type": "none"}));
    assert_eq!(choice(json!({"tool_choice": "required"})), json!({"type": "any"}));
    let named = json!({"type": "function", "function": {"name": "f"}});
    assert_eq!(choice(json!({"tool_choice": named})), json!({"type": "tool", "name": "f"}));
    let one = json!({"type": "auto", "disable_parallel_tool_use": true});
    assert_eq!(choice(json!({"parallel_tool_calls": false})), one);
}

#[test]
fn a_prompt_that_is_all_system_is_the_users() {
    let body = posted("claude-opus-5", json!({"messages": [{"role": "system", "content": "Write a poem."}]}));
    assert_eq!(body["messages"], json!([{"role": "user", "content": [{"type": "text", "text": "Write a poem."}]}]));
    assert_eq!(body["system"], Value::Null);
    let (field, _) = refused("claude-opus-5", json!({"messages": [{"role": "user", "content": " "}]}));
    assert_eq!(field, "messages");
}

fn schema(closed: bool, strict: bool) -> Value {
    let mut schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    if closed {
        schema["additionalProperties"] = false.into();
    }
    json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": strict, "schema": schema}}})
}

#[test]
fn a_closed_schema_is_held_to_natively_where_the_model_can() {
    let body = posted("claude-haiku-4-5", schema(true, true));
    let format = &body["output_config"]["format"];
    assert_eq!((&format["type"], &format["schema"]["required"]), (&json!("json_schema"), &json!(["n"])));
    assert_eq!((&body["tools"], &body["tool_choice"]), (&Value::Null, &Value::Null));
}

#[test]
fn other_structured_answers_are_the_input_of_a_tool() {
    let choice = json!({"type": "tool", "name": "answer", "disable_parallel_tool_use": true});
    for (model, fields) in [
        ("claude-3-5-haiku-20241022", schema(true, true)),
        ("claude-opus-5", schema(false, false)),
        ("claude-opus-5", json!({"response_format": {"type": "json_object"}})),
        ("claude-opus-5", json!({"response_format": {"type": "json_schema", "json_schema": {"name": "any"}}})),
    ] {
        let body = posted(model, fields);
        assert_eq!((&body["tools"][0]["name"], &body["tool_choice"]), (&json!("answer"), &choice), "{body}");
        assert_eq!(body["output_config"], Value::Null);
    }
    let request = with(json!({"response_format": {"type": "json_object"}}));
    let answer = r#"{"id":"m","type":"message","role":"assistant","model":"c","content":[{"type":"tool_use","id":"t","name":"answer","input":{"n":1,"a":"b"}}],"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":2}}"#;
    let reply = wire::whole(&claude(), &request, answer);
    let text = Text { content: r#"{"n":1,"a":"b"}"#.into(), finish_reason: Some("stop".into()), ..Text::default() };
    assert_eq!(reply.text, text);
}

#[test]
fn where_no_call_can_be_forced_a_structured_answer_is_asked_for_in_words() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let told = |model: &str, mut fields: Value| {
        fields["tools"] = tools.clone();
        posted(model, fields)["system"][0]["text"].as_str().unwrap().to_owned()
    };
    assert!(told("claude-opus-5", json!({"response_format": {"type": "json_object"}})).contains("JSON object"));
    assert!(told("claude-opus-5", schema(false, false)).contains(r#""required":["n"]"#));
    let mut strict = schema(true, true);
    strict["tools"] = tools;
    assert_eq!(refused("claude-3-5-haiku-20241022", strict).0, "response_format");
    let thinking = posted("claude-fable-5", json!({"response_format": {"type": "json_object"}}));
    assert_eq!((&thinking["tools"], &thinking["thinking"]), (&Value::Null, &Value::Null));
}

#[test]
fn what_the_wire_or_the_model_lacks_is_refused_by_name_or_left_out_on_demand() {
    for (model, field, value) in [
        ("claude-haiku-4-5", "n", json!(2)),
        ("claude-haiku-4-5", "seed", json!(7)),
        ("claude-haiku-4-5", "logprobs", json!(true)),
        ("claude-haiku-4-5", "presence_penalty", json!(0.5)),
        ("claude-haiku-4-5", "frequency_penalty", json!(0.5)),
        ("claude-haiku-4-5", "logit_bias", json!({"1": 2})),
        ("claude-haiku-4-5", "of_tomorrow", json!(1)),
        ("claude-haiku-4-5", "temperature", json!(1.5)),
        ("claude-haiku-4-5", "stop", json!("\n\n")),
        ("claude-opus-5", "temperature", json!(0.5)),
        ("claude-opus-5", "top_p", json!(0.5)),
        ("claude-opus-5", "top_k", json!(5)),
        ("claude-3-5-haiku-20241022", "reasoning_effort", json!("low")),
    ] {
        let (param, message) = refused(model, json!({field: value}));
        assert_eq!(param, field);
        assert!(message.contains("drop_unsupported"), "{message}");
        let body = posted(model, json!({field: value, "drop_unsupported": true}));
        assert_eq!((&body[field], &body["stop_sequences"]), (&Value::Null, &Value::Null));
    }
    let both = json!({"temperature": 0.5, "top_p": 0.5});
    assert_eq!(refused("claude-haiku-4-5", both.clone()).0, "top_p");
    assert_eq!(posted("claude-3-5-haiku-20241022", both)["top_p"], 0.5);
    assert_eq!(refused("claude-haiku-4-5", json!({"temperature": 0.5, "reasoning_effort": "low"})).0, "temperature");
}

#[test]
fn what_asks_for_nothing_is_no_reason_to_refuse() {
    let fields = json!({"n": 1, "presence_penalty": 0, "frequency_penalty": 0.0, "logprobs": false, "seed": null,
        "temperature": 1, "top_p": 1.0, "stop": [], "service_tier": "auto", "store": false});
    assert!(claude().refuses(&with(fields.clone())).is_none());
    assert_eq!(posted("claude-opus-5", fields), posted("claude-opus-5", json!({})));
}

#[test]
fn the_cheap_look_refuses_what_the_request_would() {
    assert_eq!(claude().refuses(&with(json!({"seed": 1}))).unwrap().param.unwrap(), "seed");
    let audio = json!({"messages": [{"role": "user", "content": [
        {"type": "text", "text": "Hm"}, {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]}]});
    assert_eq!(claude().refuses(&with(audio.clone())).unwrap().param.unwrap(), "messages");
    let (param, message) = refused("claude-opus-5", audio);
    assert_eq!(param, "messages[0].content[1]");
    assert!(message.contains("transcript"), "{message}");
}

#[test]
fn parts_that_claude_cannot_read_are_refused_with_their_place() {
    let part =
        |role: &str, part: Value| refused("claude-opus-5", json!({"messages": [{"role": role, "content": [part]}]})).0;
    let word = json!({"type": "file", "file": {"file_data": "data:application/msword;base64,AAAA"}});
    assert_eq!(part("user", word), "messages[0].content[0]");
    let garbled = json!({"type": "file", "file": {"file_data": "data:text/plain;base64,?"}});
    assert_eq!(part("user", garbled), "messages[0].content[0]");
    let picture = json!({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}});
    assert_eq!(part("system", picture.clone()), "messages[0].content");
    assert_eq!(part("assistant", picture), "messages[0].content");
}

#[test]
fn reads_a_message_and_counts_its_tokens_as_openai_does() {
    let (reply, json) = answered(fixture!("message.json"));
    assert_eq!(
        (&json["id"], &json["model"]),
        (&json!("msg_013Zva2CMHLNnjNjNJKqJ2EF"), &json!("claude-opus-4-6-20260205"))
    );
    assert_eq!(
        (reply.text.content.as_str(), reply.text.finish_reason.as_deref()),
        ("Hi! My name is Claude. 😀", Some("stop"))
    );
    let usage = Usage {
        input_tokens: 21 + 1500 + 188_086,
        output_tokens: 393,
        cached_input_tokens: 188_086,
        cache_write_tokens: 1500,
        cache_write_1h_tokens: 1044,
        reasoning_tokens: 12,
    };
    assert_eq!(reply.usage, Some(usage));
    let details = json!({"cached_tokens": 188_086, "cache_write_tokens": 1500, "cache_creation_tokens": 1500});
    assert_eq!(json["usage"]["prompt_tokens_details"], details);
    assert_eq!(json["usage"]["prompt_tokens"], 189_607);
}

#[test]
fn reads_thoughts_and_parallel_calls() {
    let (reply, json) = answered(fixture!("tools.json"));
    let message = &json["choices"][0]["message"];
    assert_eq!(message["reasoning_content"], "Two cities, two calls.");
    assert_eq!(
        message["thinking_blocks"],
        json!([{"type": "thinking", "thinking": "Two cities, two calls.", "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"},
               {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"}])
    );
    assert_eq!(message["content"], "I'll look both up.");
    let call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "get_weather", "arguments": arguments}});
    let calls =
        json!([call("toolu_01A", r#"{"location":"San Francisco, CA","unit":"celsius"}"#), call("toolu_01B", "{}")]);
    assert_eq!(message["tool_calls"], calls);
    assert_eq!((reply.text.finish_reason.as_deref(), reply.text.tool_calls), (Some("tool_calls"), true));
}

#[test]
fn citations_have_their_place_in_the_text_and_pages_of_the_web_are_annotations() {
    let (reply, json) = answered(fixture!("citations.json"));
    let content = "According to the document, the grass is green and the sky is blue";
    assert_eq!(reply.text.content, content);
    let message = &json["choices"][0]["message"];
    let place = &message["citations"][0]["char_location"];
    assert_eq!(
        (&place["start_index"], &place["end_index"], &place["document_index"]),
        (&json!(27), &json!(45), &json!(0))
    );
    let url = json!({"type": "url_citation", "url_citation": {"url": "https://en.wikipedia.org/wiki/Sky", "title": "Sky",
        "cited_text": "The sky is blue", "start_index": 50, "end_index": 65}});
    assert_eq!((&message["annotations"], &message["citations"][1]), (&json!([url]), &Value::Null));
}

#[test]
fn a_refusal_is_told_apart_from_an_answer() {
    let (reply, json) = answered(fixture!("refusal.json"));
    assert_eq!((reply.text.refusal, reply.text.finish_reason.as_deref()), (true, Some("content_filter")));
    assert_eq!(json["choices"][0]["message"]["refusal"], "This request could enable cyber harm.");
}

#[test]
fn every_reason_to_stop_has_its_word() {
    for (reason, finish) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("of_tomorrow", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
    ] {
        let body = json!({"content": [{"type": "text", "text": "a"}], "stop_reason": reason, "usage": {}});
        let reply = wire::whole(&claude(), &wire::hello(), body.to_string());
        assert_eq!(reply.text.finish_reason.as_deref(), Some(finish), "{reason}");
    }
}

#[test]
fn what_is_paid_for_is_known_whole_or_not_at_all() {
    let usage = |usage: Value| {
        let body = json!({"content": [{"type": "text", "text": "a"}], "stop_reason": "end_turn", "usage": usage});
        let usage = wire::whole(&claude(), &wire::hello(), body.to_string()).usage?;
        Some((usage.input_tokens, usage.output_tokens))
    };
    assert_eq!(usage(json!({"input_tokens": 10.0, "output_tokens": "300"})), Some((10, 300)));
    for odd in [json!(-1), json!(1.5), json!(1e12), json!("many"), json!([1]), Value::Null] {
        assert_eq!(usage(json!({"input_tokens": 10, "output_tokens": odd})), None, "{odd}");
        assert_eq!(usage(json!({"input_tokens": odd, "output_tokens": 300})), None, "{odd}");
    }
    assert_eq!(usage(json!({"input_tokens": 10})), None);
}

#[test]
fn what_the_gateway_writes_is_no_clients_to_overwrite() {
    let named = |name: &str, value: Value| json!({"claude_fields": [name], name: value});
    let plain = posted("claude-haiku-4-5", json!({}));
    for (name, value) in [("model", json!("claude-opus-5")), ("claude_fields", json!(["claude_fields", "model"]))] {
        assert_eq!(posted("claude-haiku-4-5", named(name, value)), plain, "{name}");
    }
    assert_eq!(posted("claude-haiku-4-5", named("max_tokens", json!(9)))["max_tokens"], 9);
    let prompts = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]);
    let with_prompt = |fields: Value| {
        let mut fields = fields;
        fields["messages"] = prompts.clone();
        refused("claude-haiku-4-5", fields)
    };
    let (field, problem) = with_prompt(named("system", json!("Be long.")));
    assert_eq!(field, "claude_fields");
    assert!(problem.contains("system is written from other fields already"), "{problem}");
}

#[test]
fn an_answer_that_is_none_is_an_error() {
    let problem = |body: Bytes| {
        let request = wire::hello();
        let asked = Asked { ..wire::asked(&request) };
        claude().reply(&asked, body).unwrap_err().to_string()
    };
    assert!(problem("<html>".into()).contains("not a message"));
    assert!(problem("{}".into()).contains("content"));
    assert!(problem(fixture!("error.json")).contains("max_tokens: Field required"));
}

#[test]
fn errors_keep_their_words() {
    let detail = claude().error(StatusCode::BAD_REQUEST, &fixture!("error.json"));
    assert_eq!((&*detail.message, &*detail.kind), ("max_tokens: Field required", "invalid_request_error"));
    assert_eq!(claude().error(StatusCode::BAD_GATEWAY, b"<html>").message, "<html>");
}

/// What a request says, read by the rules of Anthropic's documentation.
fn said(body: &Value) -> Vec<Said> {
    let blocks = |message: &Value| message["content"].as_array().unwrap().clone();
    let messages = body["messages"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut out = vec![];
    for message in messages {
        for block in blocks(message) {
            out.push(match (text(&message["role"]).as_str(), text(&block["type"]).as_str()) {
                ("user", "text") => Said::User(text(&block["text"])),
                ("user", "image") => Said::Picture(text(&block["source"]["data"])),
                ("user", "tool_result") => {
                    Said::Result { id: text(&block["tool_use_id"]), text: text(&block["content"][0]["text"]) }
                }
                ("assistant", "text") => Said::Assistant(text(&block["text"])),
                ("assistant", "tool_use") => {
                    let (id, name) = (text(&block["id"]), text(&block["name"]));
                    Said::Call { id, name, arguments: block["input"].clone() }
                }
                other => panic!("no such block: {other:?}"),
            });
        }
    }
    out
}

proptest! {
    #[test]
    fn everything_that_is_said_arrives_in_its_order_and_roles_alternate(conversation in any_conversation()) {
        let body = posted("claude-opus-5", json!({"messages": conversation.messages}));
        conversation.trimmed().arrives(&body, said(&body))?;
    }
}

#[test]
fn a_text_to_go_on_with_has_no_white_space_at_its_end() {
    let messages = json!([{"role": "user", "content": "Say it."}, {"role": "assistant", "content": "So \n"}]);
    let last = posted("claude-sonnet-4-5", json!({"messages": messages}))["messages"][1]["content"][0]["text"].take();
    assert_eq!(last, "So");
}
