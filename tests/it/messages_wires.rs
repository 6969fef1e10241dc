//! Anthropic's clients at each provider's wire: what they say that a chat has no words for, and what they hear.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use satisfice::api::messages::{self, Stream};
use satisfice::catalog::providers::Catalogue;
use satisfice::catalog::quirks::Quirks;
use satisfice::upstream::bedrock::Bedrock;
use satisfice::upstream::cohere::Cohere;
use satisfice::upstream::compatible::Compatible;
use satisfice::upstream::gemini::Gemini;
use satisfice::upstream::openai::OpenAi;
use satisfice::upstream::responses::Responses;
use satisfice::upstream::{Provider, StreamItem};
use serde_json::{Value, json};

use crate::anthropic::{claude, fixture};
use crate::conversations::any_conversation;
use crate::wire::{self, Posts as _, events};

/// A body of `/v1/messages` that says Hello and these fields, as a chat.
fn chat(fields: Value) -> satisfice::api::chat::ChatRequest {
    let mut body = json!({"model": "auto", "max_tokens": 8000, "messages": [{"role": "user", "content": "Hello"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    wire::chat(messages::request(body.to_string().as_bytes()).unwrap())
}

/// What `provider` posts to `model` for it.
fn posted(provider: &dyn Provider, model: &str, fields: Value) -> Value {
    serde_json::from_slice(&provider.request(model, &chat(fields)).unwrap().body).unwrap()
}

/// A call of a tool and what came of it, each with more fields.
fn called(call: Value, result: Value) -> Value {
    let with = |mut block: Value, more: Value| {
        block.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        block
    };
    let call = with(json!({"type": "tool_use", "id": "t1", "name": "f", "input": {}}), call);
    let result = with(json!({"type": "tool_result", "tool_use_id": "t1", "content": "boom"}), result);
    json!({"tools": [{"name": "f", "input_schema": {"type": "object"}}], "messages": [
        {"role": "user", "content": "Go."}, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]})
}

fn strict() -> Compatible {
    let known = Catalogue::embedded().unwrap();
    Compatible::new("openai", known.provider_named("openai").unwrap().quirks.clone())
}

#[test]
fn that_a_call_failed_is_told_to_whoever_has_a_word_for_it() {
    let fields = || called(json!({}), json!({"is_error": true}));
    let last = |body: &Value, list: &str| body[list].as_array().unwrap().last().unwrap().clone();
    let result = last(&posted(&claude(), "claude-opus-4-6", fields()), "messages")["content"][0].take();
    assert_eq!((&result["type"], &result["is_error"]), (&json!("tool_result"), &json!(true)));
    for (model, status) in [("anthropic.claude-opus-4-6-v1:0", json!("error")), ("meta.llama3-1-70b", Value::Null)] {
        let result = last(&posted(&Bedrock, model, fields()), "messages")["content"][0]["toolResult"].take();
        assert_eq!(result["status"], status, "{model}");
    }
    let result = last(&posted(&Gemini, "gemini-3-pro", fields()), "contents")["parts"][0].take();
    assert_eq!(result["functionResponse"]["response"], json!({"error": "boom"}));
    for provider in [&OpenAi as &dyn Provider, &strict(), &Compatible::new("any", Quirks::default())] {
        let result = last(&posted(provider, "m", fields()), "messages");
        assert_eq!(result, json!({"role": "tool", "tool_call_id": "t1", "content": "boom"}));
    }
    let went_well = last(&posted(&claude(), "claude-opus-4-6", called(json!({}), json!({}))), "messages");
    assert_eq!(went_well["content"][0].get("is_error"), None);
}

#[test]
fn what_is_to_be_cached_of_calls_and_results_reaches_who_reads_it() {
    let cache = json!({"type": "ephemeral", "ttl": "1h"});
    let fields = || called(json!({"cache_control": cache}), json!({"cache_control": cache}));
    let body = posted(&claude(), "claude-opus-4-6", fields());
    for message in [1, 2] {
        assert_eq!(body["messages"][message]["content"][0]["cache_control"], cache);
    }
    let body = posted(&Bedrock, "anthropic.claude-opus-4-6-v1:0", fields());
    for message in [1, 2] {
        let point = json!({"cachePoint": {"type": "default", "ttl": "1h"}});
        assert_eq!(body["messages"][message]["content"][1], point);
    }
    assert!(!posted(&strict(), "gpt", fields()).to_string().contains("cache_control"));
    let lenient = posted(&OpenAi, "m", fields());
    assert_eq!(lenient["messages"][2]["content"], "boom", "a result that is a string stays one");
}

#[test]
fn claude_thinks_as_its_client_said_and_others_by_an_effort() {
    let enabled = json!({"type": "enabled", "budget_tokens": 5000});
    let adaptive = json!({"type": "adaptive", "display": "omitted"});
    let disabled = json!({"type": "disabled"});
    let low = json!({"effort": "low"});
    for (model, thinking, config, sent, effort) in [
        ("claude-sonnet-4-5", &enabled, Value::Null, enabled.clone(), Value::Null),
        ("claude-opus-4-6", &enabled, Value::Null, json!({"type": "adaptive"}), json!("medium")),
        ("claude-opus-4-6", &adaptive, Value::Null, adaptive.clone(), Value::Null),
        ("claude-opus-4-6", &adaptive, low.clone(), adaptive.clone(), json!("low")),
        ("claude-opus-4-6", &disabled, Value::Null, disabled.clone(), Value::Null),
        ("claude-opus-4-6", &disabled, low.clone(), disabled.clone(), json!("low")),
        ("claude-sonnet-4-5", &adaptive, Value::Null, Value::Null, Value::Null),
        ("claude-sonnet-4-5", &disabled, low.clone(), Value::Null, Value::Null),
        ("claude-3-5-sonnet-20241022", &disabled, Value::Null, Value::Null, Value::Null),
    ] {
        let body = posted(&claude(), model, json!({"thinking": thinking, "output_config": config}));
        assert_eq!((&body["thinking"], &body["output_config"]["effort"]), (&sent, &effort), "{model} {thinking}");
    }
    let bad = claude().request("claude-fable-5", &chat(json!({"thinking": disabled}))).unwrap_err();
    assert!(bad.message.contains("cannot be told not to think"), "{}", bad.message);
    let bedrock = posted(&Bedrock, "anthropic.claude-opus-4-6-v1:0", json!({"thinking": adaptive}));
    assert_eq!(bedrock["additionalModelRequestFields"]["thinking"], adaptive);
    let gemini = posted(&Gemini, "gemini-2.5-pro", json!({"thinking": enabled}));
    assert_eq!(gemini["generationConfig"]["thinkingConfig"]["thinkingBudget"], 5000);
    for provider in [&OpenAi as &dyn Provider, &strict(), &Responses::of("p")] {
        let body = posted(provider, "gpt-5", json!({"thinking": enabled})).to_string();
        assert!(body.contains("\"medium\"") && !body.contains("thinking"), "{body}");
    }
}

#[test]
fn an_effort_of_anthropics_client_reaches_claude_as_it_is_and_brings_no_thoughts() {
    let tool = json!([{"name": "f", "input_schema": {"type": "object"}}]);
    for (model, effort, more, sent) in [
        ("claude-opus-5-5", "max", json!({}), json!("max")),
        ("claude-opus-5-5", "xhigh", json!({}), json!("xhigh")),
        ("claude-opus-4-6", "high", json!({"temperature": 0.0}), json!("high")),
        ("claude-opus-4-6", "low", json!({"tools": tool, "tool_choice": {"type": "any"}}), json!("low")),
        ("claude-opus-4-5", "high", json!({}), json!("high")),
        ("claude-haiku-4-5", "high", json!({}), Value::Null),
    ] {
        let mut fields = more;
        fields["output_config"] = json!({"effort": effort});
        let body = posted(&claude(), model, fields);
        assert_eq!((body.get("thinking"), &body["output_config"]["effort"]), (None, &sent), "{model} {effort}");
    }
    let chat = wire::chat(r#"{"model":"m","reasoning_effort":"max","messages":[{"role":"user","content":"Hello"}]}"#);
    let body: Value = serde_json::from_slice(&claude().request("claude-opus-5-5", &chat).unwrap().body).unwrap();
    assert_eq!(body["output_config"]["effort"], "max");
    let bedrock = posted(&Bedrock, "anthropic.claude-opus-4-6-v1:0", json!({"output_config": {"effort": "max"}}));
    assert_eq!(bedrock["outputConfig"]["effort"], "max");
}

#[test]
fn what_anthropics_protocol_alone_says_of_a_request_reaches_claude_and_is_refused_elsewhere() {
    let budget = json!({"type": "tokens", "total": 50_000});
    let search = json!({"type": "web_search_20260209", "name": "web_search", "cache_control": {"type": "ephemeral"}});
    let fields = json!({"service_tier": "standard_only", "diagnostics": {"a": 1}, "fallbacks": [{"model": "claude"}],
        "prefill": "{", "container": null, "thinking": {"type": "between_tools"}, "tools": [search],
        "output_config": {"effort": "low", "task_budget": budget}});
    let sent = posted(&claude(), "claude-opus-5-5", fields.clone());
    for name in ["service_tier", "diagnostics", "fallbacks", "prefill", "thinking", "tools", "output_config"] {
        assert_eq!(sent[name], fields[name], "{name}");
    }
    for (field, fields) in [
        ("prefill", json!({"prefill": "{"})),
        ("output_config.task_budget", json!({"output_config": {"effort": "low", "task_budget": budget}})),
    ] {
        for provider in [&OpenAi as &dyn Provider, &strict(), &Responses::of("p"), &Gemini, &Cohere, &Bedrock] {
            let bad = provider.refuses(&chat(fields.clone())).expect("it is refused");
            assert_eq!(bad.param.as_deref(), Some(field), "{}", bad.message);
            let mut lenient = fields.clone();
            lenient["drop_unsupported"] = true.into();
            let sent = posted(provider, "m", lenient).to_string();
            assert!(!sent.contains("prefill") && !sent.contains("task_budget") && !sent.contains("hosted"), "{sent}");
        }
    }
    let hinted = json!({"service_tier": "standard_only", "cache_control": {"type": "ephemeral"}, "tools": [search]});
    assert_eq!(posted(&OpenAi, "m", hinted.clone())["service_tier"], "default");
    let sent = posted(&Responses::of("p"), "m", hinted).to_string();
    assert!(!sent.contains("20260209") && !sent.contains("cache_control"), "{sent}");
}

#[test]
fn what_asks_for_nothing_that_could_be_missed_reaches_claude_and_is_left_out_elsewhere() {
    let clear = json!({"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]});
    let tool = json!({"name": "f", "input_schema": {}, "defer_loading": true});
    let fields = json!({"context_management": clear, "speed": "standard", "mcp_servers": [], "tools": [tool]});
    let sent = posted(&claude(), "claude-opus-5-5", fields.clone());
    for name in ["context_management", "speed", "mcp_servers"] {
        assert_eq!(sent[name], fields[name], "{name}");
    }
    assert_eq!(sent["tools"][0]["defer_loading"], true);
    for provider in [&OpenAi as &dyn Provider, &strict(), &Responses::of("p"), &Gemini, &Cohere, &Bedrock] {
        let sent = posted(provider, "m", fields.clone()).to_string();
        for name in ["context_management", "speed", "mcp_servers", "defer_loading", "hosted"] {
            assert!(!sent.contains(name), "{sent}");
        }
        for (field, value) in [
            ("context_management", json!({"edits": [{"type": "compact_20260112"}]})),
            ("mcp_servers", json!([{"type": "url", "url": "https://mcp.example", "name": "m"}])),
            ("speed", json!("fast")),
        ] {
            let bad = provider.refuses(&chat(json!({field: value}))).expect("it is refused");
            assert_eq!(bad.param.as_deref(), Some(field), "{}", bad.message);
        }
    }
}

#[test]
fn a_long_name_of_a_user_reaches_claude_and_others_by_a_short_one_that_is_always_the_same() {
    let named = |name: &str| json!({"metadata": {"user_id": name}});
    let long = format!("user_{}_account__session_{}", "a1".repeat(32), "b2".repeat(18));
    assert_eq!(posted(&claude(), "claude-opus-5-5", named(&long))["metadata"], json!({"user_id": long}));
    for provider in [&OpenAi as &dyn Provider, &strict(), &Responses::of("p")] {
        let user = |name: &str| posted(provider, "m", named(name))["user"].as_str().unwrap().to_owned();
        assert_eq!((user(&long).len(), user("ann")), (64, "ann".to_owned()));
        assert_eq!(user(&long), user(&long));
        assert_ne!(user(&long), user(&format!("{long}c")));
    }
    for provider in [&Gemini as &dyn Provider, &Cohere, &Bedrock] {
        assert!(!posted(provider, "m", named(&long)).to_string().contains("user_"));
    }
}

/// A document that is a text, and one that is a PDF.
fn documents(citations: Value) -> Value {
    let text = json!({"type": "document", "title": "Lawn", "context": "Seen in May.", "citations": citations,
        "source": {"type": "text", "media_type": "text/plain", "data": "Grass is green."}});
    let pdf = json!({"type": "document", "citations": citations,
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}});
    json!({"messages": [{"role": "user", "content": [text, pdf, {"type": "text", "text": "What colour?"}]}]})
}

#[test]
fn documents_are_cited_by_whoever_can_and_refused_elsewhere() {
    let asked = || documents(json!({"enabled": true}));
    let body = posted(&claude(), "claude-opus-4-6", asked());
    let content = &body["messages"][0]["content"];
    assert_eq!(content[0], json!({"type": "text", "text": "Seen in May."}));
    assert_eq!(
        content[1],
        json!({"type": "document", "title": "Lawn", "citations": {"enabled": true},
            "source": {"type": "text", "media_type": "text/plain", "data": "Grass is green."}})
    );
    assert_eq!((&content[2]["type"], &content[2]["citations"]), (&json!("document"), &json!({"enabled": true})));
    let body = posted(&Bedrock, "anthropic.claude-opus-4-6-v1:0", asked());
    assert_eq!(body["messages"][0]["content"][1]["document"]["citations"], json!({"enabled": true}));
    for provider in [&OpenAi as &dyn Provider, &strict(), &Responses::of("p"), &Gemini, &Cohere] {
        let bad = provider.refuses(&chat(asked())).expect("it is refused");
        assert_eq!(bad.param.as_deref(), Some("messages[0].content[1].citations"), "{}", bad.message);
        assert_eq!(provider.request("m", &chat(asked())).unwrap_err(), bad);
        assert_eq!(provider.refuses(&chat(documents(json!({"enabled": false})))), None);
    }
}

#[test]
fn a_text_that_need_not_be_cited_is_text_with_its_title_and_context() {
    for provider in [&OpenAi as &dyn Provider, &claude()] {
        let body = posted(provider, "claude-opus-4-6", documents(Value::Null));
        let content = body["messages"][0]["content"].as_array().unwrap();
        let texts: Vec<&str> = content.iter().filter_map(|part| part["text"].as_str()).collect();
        assert_eq!(texts, ["Lawn", "Seen in May.", "Grass is green.", "What colour?"]);
    }
}

/// What a search found, at the top of a message and in a tool's result, each with more fields.
fn found(more: &Value) -> Value {
    let result = |title: &str| {
        let mut block = json!({"type": "search_result", "source": "https://a.example/lawn", "title": title,
            "content": [{"type": "text", "text": "Grass is green."}, {"type": "text", "text": "Moss too."}]});
        block.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        block
    };
    let mut fields = called(json!({}), json!({"content": [result("Lawn"), result("Meadow")]}));
    let last = fields["messages"][2]["content"].as_array_mut().unwrap();
    last.extend([result("Park"), json!({"type": "text", "text": "What colour?"})]);
    fields
}

/// All that it says, as text.
fn found_as_text(title: &str) -> String {
    format!("{title}\nhttps://a.example/lawn\nGrass is green.\nMoss too.")
}

#[test]
fn what_a_search_found_reaches_claude_as_it_is_with_or_without_citations() {
    for more in [json!({}), json!({"citations": {"enabled": true}})] {
        let given = found(&more);
        for provider in [&claude() as &dyn Provider, &satisfice::upstream::vertex::Vertex] {
            let sent = posted(provider, "claude-opus-4-6", given.clone());
            assert_eq!(sent["messages"][2]["content"], given["messages"][2]["content"]);
        }
        let sent = posted(&Bedrock, "anthropic.claude-opus-4-6-v1:0", given);
        let block = |title: &str| {
            let mut block = json!({"source": "https://a.example/lawn", "title": title,
                "content": [{"text": "Grass is green."}, {"text": "Moss too."}]});
            block.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"searchResult": block})
        };
        let content = &sent["messages"][2]["content"];
        assert_eq!(content[0]["toolResult"]["content"], json!([block("Lawn"), block("Meadow")]));
        assert_eq!(content[1], block("Park"));
    }
}

#[test]
fn the_mark_of_a_search_result_stays_with_it_and_that_of_one_in_a_tools_result_with_the_whole() {
    let mark = json!({"type": "ephemeral"});
    let content =
        posted(&claude(), "claude-opus-4-6", found(&json!({"cache_control": mark})))["messages"][2]["content"].take();
    assert_eq!((&content[0]["cache_control"], &content[1]["cache_control"]), (&mark, &mark));
    assert_eq!(content[0]["content"][0].get("cache_control"), None);
    assert_eq!(content[1]["search_result"].get("cache_control"), None);
}

#[test]
fn elsewhere_what_a_search_found_is_text_and_is_refused_where_it_must_be_cited() {
    let known = Catalogue::embedded().unwrap();
    let quirks = known.provider_named("mistral").unwrap().quirks.clone();
    let mistral = Compatible::new("mistral", quirks);
    for provider in [&OpenAi as &dyn Provider, &strict(), &mistral, &Responses::of("p"), &Gemini, &Cohere, &Bedrock] {
        let sent = posted(provider, "m", found(&json!({}))).to_string();
        for title in ["Lawn", "Meadow", "Park"] {
            let text = Value::from(found_as_text(title)).to_string();
            assert!(sent.contains(text.trim_matches('"')), "{sent}");
        }
        assert!(!sent.contains("search_result") && !sent.contains("searchResult"), "{sent}");

        let cited = || found(&json!({"citations": {"enabled": true}}));
        let bad = provider.request("m", &chat(cited())).unwrap_err();
        assert_eq!(bad.param.as_deref(), Some("messages[2].content[0].citations"), "{}", bad.message);
        let mut lenient = cited();
        lenient["drop_unsupported"] = true.into();
        let sent = posted(provider, "m", lenient).to_string();
        assert!(sent.contains("Moss too.") && !sent.contains("citations"), "{sent}");
    }
}

#[test]
fn a_search_result_that_lacks_something_is_refused_by_its_place() {
    let body = json!({"model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": [
        {"type": "search_result", "source": "s", "content": [{"type": "text", "text": "t"}]}]}]});
    let bad = messages::request(body.to_string().as_bytes()).unwrap_err();
    assert_eq!(bad.param.as_deref(), Some("messages[0].content[0]"));
    assert!(bad.message.contains("`title`"), "{}", bad.message);
}

/// A whole answer of Claude's as its client hears it through the gateway.
fn heard(answer: impl Into<Bytes>) -> Value {
    let reply = wire::whole(&claude(), &wire::hello(), answer);
    serde_json::from_slice(&messages::reply(&reply.body).unwrap()).unwrap()
}

/// The same of a stream.
fn streamed(answer: &[u8]) -> Vec<Value> {
    let mut stream = Stream::default();
    let mut out = vec![];
    for item in wire::streamed(&claude(), &wire::hello(), answer).unwrap() {
        match item {
            StreamItem::Chunk { data, .. } => out.extend(stream.chunk(&data).unwrap()),
            StreamItem::Done => out.extend(stream.end()),
        }
    }
    events(&out)
}

#[test]
fn citations_come_back_with_the_piece_of_text_that_rests_on_them() {
    let sent: Value = serde_json::from_slice(&fixture!("citations.json")).unwrap();
    let told = heard(fixture!("citations.json"));
    let texts: Vec<&Value> = told["content"].as_array().unwrap().iter().filter(|b| b["type"] == "text").collect();
    assert_eq!(*texts[0], sent["content"][0]);
    assert_eq!(*texts[1], sent["content"][1], "a place in a document comes as Claude gave it");
    assert_eq!((&texts[2]["text"], &texts[3]["text"]), (&json!(" and "), &json!("the sky is blue")));
    assert_eq!(
        texts[3]["citations"],
        json!([{"type": "web_search_result_location", "url": "https://en.wikipedia.org/wiki/Sky", "title": "Sky",
            "cited_text": "The sky is blue", "encrypted_index": ""}])
    );
}

#[test]
fn citations_of_a_stream_are_deltas_of_their_text_which_ends_with_them() {
    let place = json!({"type": "page_location", "cited_text": "Green.", "document_index": 0, "document_title": null,
        "start_page_number": 1, "end_page_number": 2});
    let data = [
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "c", "usage": {"input_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "green"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": place}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": " it is"}}),
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "message_delta", "delta": {"stop_reason": "stop_sequence", "stop_sequence": "END"}, "usage": {"output_tokens": 3}}),
        json!({"type": "message_stop"}),
    ];
    let told = streamed(data.map(|event| format!("data: {event}\n\n")).concat().as_bytes());
    let deltas: Vec<(&Value, &Value)> = told
        .iter()
        .filter(|event| event["type"] == "content_block_delta")
        .map(|event| (&event["index"], &event["delta"]))
        .collect();
    assert_eq!(
        deltas,
        [
            (&json!(0), &json!({"type": "text_delta", "text": "green"})),
            (&json!(0), &json!({"type": "citations_delta", "citation": place})),
            (&json!(1), &json!({"type": "text_delta", "text": " it is"})),
        ]
    );
    let end = told.iter().find(|event| event["type"] == "message_delta").unwrap();
    assert_eq!(end["delta"], json!({"stop_reason": "stop_sequence", "stop_sequence": "END"}));
}

/// A place in what a search found, as Claude says it.
fn place_in_result() -> Value {
    json!({"type": "search_result_location", "cited_text": "Grass is green.", "source": "https://a.example/lawn",
        "title": "Lawn", "search_result_index": 0, "start_block_index": 0, "end_block_index": 1})
}

#[test]
fn places_in_what_a_search_found_come_back_whole_and_streamed_from_claude_and_from_bedrock() {
    let block = json!({"type": "text", "text": "Green.", "citations": [place_in_result()]});
    let whole = json!({"id": "msg_1", "content": [block], "stop_reason": "end_turn", "usage": {}});
    assert_eq!(heard(whole.to_string())["content"], json!([block]));
    let events = [
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "c", "usage": {"input_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Green."}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": place_in_result()}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}}),
        json!({"type": "message_stop"}),
    ];
    let told = streamed(events.map(|event| format!("data: {event}\n\n")).concat().as_bytes());
    let cited: Vec<&Value> = told.iter().filter_map(|event| event["delta"].get("citation")).collect();
    assert_eq!(cited, [&place_in_result()]);

    let location = json!({"searchResultLocation": {"searchResultIndex": 0, "start": 0, "end": 1}});
    let citation = json!({"title": "Lawn", "source": "https://a.example/lawn", "location": location,
        "sourceContent": [{"text": "Grass is green."}]});
    let content = json!([{"citationsContent": {"content": [{"text": "Green."}], "citations": [citation]}}]);
    let answer = json!({"output": {"message": {"content": content}}, "stopReason": "end_turn"});
    let reply = wire::whole(&Bedrock, &wire::hello(), answer.to_string());
    let told: Value = serde_json::from_slice(&messages::reply(&reply.body).unwrap()).unwrap();
    assert_eq!(told["content"], json!([block]));
}

#[test]
fn bedrocks_places_are_told_in_anthropics_words() {
    let reply = wire::whole(&Bedrock, &wire::hello(), include_bytes!("../fixtures/bedrock/citations.json").as_slice());
    let told: Value = serde_json::from_slice(&messages::reply(&reply.body).unwrap()).unwrap();
    let cited = &told["content"][1];
    assert_eq!(cited["text"], "it rains");
    let page = json!({"type": "page_location", "document_index": 0, "document_title": "Paper", "cited_text": "rain",
        "start_page_number": 1, "end_page_number": 2});
    let kinds: Vec<&Value> = cited["citations"].as_array().unwrap().iter().map(|citation| &citation["type"]).collect();
    assert_eq!(kinds, ["web_search_result_location", "page_location"]);
    assert_eq!(cited["citations"][1], page);
}

/// What a chat's answer with this text and these sources is for Anthropic's clients: each block's text and how many
/// sources it has.
fn blocks(text: &str, sources: &[(Option<(usize, usize)>, &str)]) -> Vec<(String, usize)> {
    let annotation = |(range, url): &(Option<(usize, usize)>, &str)| {
        let mut page = json!({"url": url, "title": url});
        if let Some((from, to)) = range {
            page["start_index"] = json!(from);
            page["end_index"] = json!(to);
        }
        json!({"type": "url_citation", "url_citation": page})
    };
    let annotations: Vec<Value> = sources.iter().map(annotation).collect();
    let message = json!({"role": "assistant", "content": text, "annotations": annotations});
    let body = json!({"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
    let told: Value = serde_json::from_slice(&messages::reply(body.to_string().as_bytes()).unwrap()).unwrap();
    let block =
        |block: &Value| (block["text"].as_str().unwrap().to_owned(), block["citations"].as_array().map_or(0, Vec::len));
    told["content"].as_array().unwrap().iter().map(block).collect()
}

#[test]
fn a_source_of_impossible_places_is_cited_at_the_end_of_the_text() {
    let far = u64::MAX as usize;
    assert_eq!(blocks("it rains", &[(Some((3, far)), "a")]), [("it ".into(), 0), ("rains".into(), 1)]);
    assert_eq!(blocks("it rains", &[(Some((far - 1, far)), "a")]), [("it rains".into(), 1)]);
}

#[test]
fn a_text_is_cut_where_its_sources_say_and_nowhere_else() {
    let blocks = |text: &str, sources: &[(Option<(usize, usize)>, &str)]| {
        let told = blocks(text, sources);
        assert_eq!(told.iter().map(|(piece, _)| piece.as_str()).collect::<String>(), text, "nothing is lost");
        told
    };
    let told = |pieces: &[(&str, usize)]| pieces.iter().map(|(text, n)| ((*text).to_owned(), *n)).collect::<Vec<_>>();
    assert_eq!(blocks("één två", &[(Some((4, 7)), "a"), (Some((4, 7)), "b")]), told(&[("één ", 0), ("två", 2)]));
    assert_eq!(blocks("abc", &[(Some((2, 3)), "a"), (Some((0, 1)), "b")]), told(&[("a", 1), ("b", 0), ("c", 1)]));
    assert_eq!(blocks("abcd", &[(Some((0, 3)), "a"), (Some((1, 2)), "b")]), told(&[("abc", 2), ("d", 0)]));
    assert_eq!(blocks("abcd", &[(Some((0, 2)), "a"), (Some((1, 99)), "b")]), told(&[("ab", 1), ("cd", 1)]));
    assert_eq!(blocks("abc", &[(None, "a")]), told(&[("abc", 1)]));
    assert_eq!(blocks("abc", &[(Some((7, 9)), "a")]), told(&[("abc", 1)]));
    assert_eq!(blocks("", &[(Some((0, 2)), "a")]), told(&[]));
}

#[test]
fn a_stop_sequence_is_told_where_it_is_known() {
    let mut answer: Value = serde_json::from_slice(&fixture!("message.json")).unwrap();
    (answer["stop_reason"], answer["stop_sequence"]) = (json!("stop_sequence"), json!("END"));
    let told = heard(answer.to_string());
    assert_eq!((&told["stop_reason"], &told["stop_sequence"]), (&json!("stop_sequence"), &json!("END")));
    (answer["stop_reason"], answer["stop_sequence"]) = (json!("pause_turn"), Value::Null);
    assert_eq!(heard(answer.to_string())["stop_reason"], "pause_turn", "the client is to let it go on");
    for stop in [json!(null), json!(128_009)] {
        let choice = json!({"index": 0, "message": {"content": "x"}, "finish_reason": "stop", "stop_reason": stop});
        let body = json!({"id": "c", "choices": [choice]}).to_string();
        let told: Value = serde_json::from_slice(&messages::reply(body.as_bytes()).unwrap()).unwrap();
        assert_eq!((&told["stop_reason"], &told["stop_sequence"]), (&json!("end_turn"), &Value::Null));
    }
}

/// What a client of Anthropic's hears of these deltas of a chat, as Claude's wire reads it again.
fn told_again(deltas: &[Value], finish: &str) -> Vec<StreamItem> {
    let chunk = |delta: &Value, finish: Option<&str>| {
        json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}).to_string()
    };
    let mut stream = Stream::default();
    let mut told: Vec<u8> =
        deltas.iter().flat_map(|delta| stream.chunk(chunk(delta, None).as_bytes()).unwrap()).collect();
    told.extend(stream.chunk(chunk(&json!({}), Some(finish)).as_bytes()).unwrap());
    told.extend(stream.end());
    wire::streamed(&claude(), &wire::hello(), told).unwrap()
}

proptest! {
    #[test]
    fn what_claude_is_posted_means_the_same_from_a_client_of_its_own(conversation in any_conversation()) {
        let request = json!({"model": "auto", "messages": conversation.messages, "max_tokens": 50});
        let sent = wire::posted(&claude(), &wire::chat(request.to_string()));
        let read = messages::request(sent.to_string().as_bytes()).unwrap();
        prop_assert_eq!(wire::posted(&claude(), &wire::chat(read)), sent);
    }

    #[test]
    fn a_stream_for_anthropics_clients_is_what_was_said(
        thoughts in vec("\\PC{1,8}", 0..3),
        texts in vec("\\PC{1,8}", 0..4),
        functions in vec(("[a-z]{1,6}", vec("[a-z0-9]{1,6}", 0..3)), 0..3),
    ) {
        let mut said: Vec<Value> = thoughts.iter().map(|piece| json!({"reasoning_content": piece})).collect();
        said.extend(texts.iter().map(|piece| json!({"content": piece})));
        let piece = |index: usize, function: Value| json!({"tool_calls": [{"index": index, "id": "c", "function": function}]});
        for (index, (name, pieces)) in functions.iter().enumerate() {
            said.push(piece(index, json!({"name": name, "arguments": "{\"a\": \""})));
            said.extend(pieces.iter().map(|more| piece(index, json!({"arguments": more}))));
            said.push(piece(index, json!({"arguments": "\"}"})));
        }
        let finish = if functions.is_empty() { "stop" } else { "tool_calls" };
        let chunks = wire::chunks(&told_again(&said, finish));
        let deltas = || chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]);
        let joined = |field: &str| deltas().filter_map(|delta| delta[field].as_str()).collect::<String>();
        prop_assert_eq!((joined("reasoning_content"), joined("content")), (thoughts.concat(), texts.concat()));
        let mut calls: Vec<(String, String)> = vec![];
        for function in deltas().filter_map(|delta| delta["tool_calls"][0]["function"].as_object()) {
            calls.extend(function.get("name").map(|name| (name.as_str().unwrap().to_owned(), String::new())));
            calls.last_mut().unwrap().1 += function["arguments"].as_str().unwrap();
        }
        let expected = functions.into_iter().map(|(name, pieces)| (name, format!("{{\"a\": \"{}\"}}", pieces.concat())));
        prop_assert_eq!(calls, expected.collect::<Vec<_>>());
        let finished = chunks.iter().any(|chunk| chunk["choices"][0]["finish_reason"] == finish);
        prop_assert!(finished);
    }
}

/// A conversation with blocks that Anthropic alone has, said by either side.
fn own_blocks() -> Value {
    let tool = json!({"name": "f", "input_schema": {"type": "object"}});
    let custom = json!({"type": "content", "content": [{"type": "text", "text": "Grass is green."}]});
    let caller = json!({"type": "code_execution_20260120", "tool_id": "srvtoolu_1"});
    json!({"tools": [tool], "messages": [
        {"role": "user", "content": [
            {"type": "container_upload", "file_id": "f1"},
            {"type": "document", "source": custom, "citations": {"enabled": true}},
            {"type": "image", "source": {"type": "file", "file_id": "f2"}, "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "Go."}]},
        {"role": "assistant", "content": [
            {"type": "compaction", "content": "All before."},
            {"type": "text", "text": "I go."},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {}, "caller": caller}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "tool_reference", "tool_name": "g"}]}]},
    ]})
}

#[test]
fn blocks_that_anthropic_alone_has_reach_claude_as_they_are_and_elsewhere_are_refused_or_left_out() {
    let sent = posted(&claude(), "claude-opus-4-6", own_blocks());
    assert_eq!(sent["messages"], own_blocks()["messages"]);
    let known = Catalogue::embedded().unwrap();
    let mistral = Compatible::new("mistral", known.provider_named("mistral").unwrap().quirks.clone());
    for provider in [&OpenAi as &dyn Provider, &strict(), &mistral, &Responses::of("p"), &Gemini, &Cohere, &Bedrock] {
        let bad = provider.refuses(&chat(own_blocks())).expect("it is refused");
        assert_eq!(bad.param.as_deref(), Some("messages[0].content[0]"), "{}", bad.message);
        assert!(bad.message.contains("of type \"container_upload\""), "{}", bad.message);
        let mut lenient = own_blocks();
        lenient["drop_unsupported"] = true.into();
        let sent = posted(provider, "m", lenient).to_string();
        for own in ["hosted\"", "container_upload", "compaction", "caller", "tool_reference", "Grass"] {
            assert!(!sent.contains(own), "{own}: {sent}");
        }
        assert!(sent.contains("I go."), "{sent}");
    }
    let mut only_done = own_blocks();
    only_done["messages"][0]["content"] = "Go.".into();
    only_done["messages"][2]["content"][0]["content"] = "done".into();
    let sent = posted(&OpenAi, "m", only_done).to_string();
    assert!(!sent.contains("hosted\"") && !sent.contains("caller"), "what only tells who calls is left out: {sent}");
}

#[test]
fn what_anthropic_alone_says_of_an_answer_comes_back_whole_and_streamed() {
    let caller = json!({"type": "code_execution_20260120", "tool_id": "srvtoolu_1"});
    let call = json!({"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}, "caller": caller});
    let content = json!([{"type": "compaction", "content": "All before."}, {"type": "text", "text": "I go."}, call]);
    let container = json!({"id": "c1", "expires_at": "2027-01-01T00:00:00Z"});
    let management = json!({"applied_edits": []});
    let mut answer = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude",
        "content": content, "container": container, "context_management": management, "stop_reason": "tool_use",
        "stop_sequence": null, "usage": {"input_tokens": 1, "output_tokens": 1}});
    let told = heard(answer.to_string());
    for name in ["content", "container", "context_management", "stop_reason"] {
        assert_eq!(told[name], answer[name], "{name}");
    }
    answer["stop_reason"] = "compaction".into();
    assert_eq!(heard(answer.to_string())["stop_reason"], "compaction");

    let delta = |index: usize, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let start =
        |index: usize, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let stop = |index: usize| json!({"type": "content_block_stop", "index": index});
    let mut begun = content[2].clone();
    begun["input"] = json!({});
    let ended = json!({"stop_reason": "tool_use", "stop_sequence": null, "container": container});
    let stream = [
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "claude", "usage": {"input_tokens": 1}}}),
        start(0, json!({"type": "compaction", "content": null})),
        delta(0, json!({"type": "compaction_delta", "content": "All "})),
        delta(0, json!({"type": "compaction_delta", "content": "before."})),
        stop(0),
        start(1, begun.clone()),
        delta(1, json!({"type": "input_json_delta", "partial_json": "{\"a\": 1}"})),
        stop(1),
        json!({"type": "message_delta", "delta": ended, "context_management": management, "usage": {"output_tokens": 2}}),
        json!({"type": "message_stop"}),
    ];
    let bytes: String = stream.iter().map(|event| format!("data: {event}\n\n")).collect();
    let told = streamed(bytes.as_bytes());
    let begins = |told: &&Value| told["type"] == "content_block_start";
    let blocks: Vec<&Value> = told.iter().filter(begins).map(|event| &event["content_block"]).collect();
    assert_eq!(blocks, [&content[0], &begun]);
    let last = told.iter().find(|event| event["type"] == "message_delta").unwrap();
    assert_eq!((&last["delta"]["container"], &last["context_management"]), (&container, &management));
}

/// The counts that OpenAI has no words for.
fn own_usage() -> Value {
    json!({"cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "server_tool_use": {"web_search_requests": 2}, "service_tier": "standard"})
}

#[test]
fn claudes_refusal_is_no_text_for_its_client_and_a_text_for_others_and_its_usage_is_whole() {
    let details = json!({"type": "refusal", "category": "cyber", "explanation": "No."});
    let mut used = json!({"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 30});
    used.as_object_mut().unwrap().extend(own_usage().as_object().unwrap().clone());
    let answer = json!({"id": "msg_1", "model": "claude", "content": [], "stop_reason": "refusal",
        "stop_sequence": null, "stop_details": details, "usage": used});
    let told = heard(answer.to_string());
    assert_eq!((&told["content"], &told["stop_reason"]), (&json!([]), &json!("refusal")));
    assert_eq!((&told["stop_details"], &told["usage"]), (&details, &used));

    let delta = json!({"stop_reason": "refusal", "stop_sequence": null, "stop_details": details});
    let stream = [
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "claude", "usage": used}}),
        json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 7}}),
        json!({"type": "message_stop"}),
    ];
    let bytes: String = stream.iter().map(|event| format!("data: {event}\n\n")).collect();
    let told = streamed(bytes.as_bytes());
    let kinds: Vec<&str> = told.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["message_start", "message_delta", "message_stop"]);
    for (name, own) in own_usage().as_object().unwrap() {
        assert_eq!((&told[0]["message"]["usage"][name], &told[1]["usage"][name]), (own, own), "{name}");
    }
    assert_eq!((&told[1]["delta"]["stop_details"], &told[1]["usage"]["output_tokens"]), (&details, &json!(7)));

    let elsewhere = json!({"id": "c", "choices": [{"index": 0, "message": {"content": null, "refusal": "No."}}]});
    let told: Value = serde_json::from_slice(&messages::reply(elsewhere.to_string().as_bytes()).unwrap()).unwrap();
    assert_eq!(told["content"], json!([{"type": "text", "text": "No."}]));
}
