//! Cohere's wire: what it is asked, and what is made of its answers.

use bytes::Bytes;
use http::StatusCode;
use proptest::prelude::*;
use satisfice::catalog::Usage;
use satisfice::upstream::cohere::Cohere;
use satisfice::upstream::{Provider, StreamItem, Text};
use serde_json::{Value, json};

use crate::conversations::{Said, any_conversation};
use crate::wire::{self, Posts as _};

macro_rules! fixture {
    ($name:literal) => {
        Bytes::from_static(include_bytes!(concat!("../fixtures/cohere/", $name)))
    };
}

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// What is posted for a request with these fields beside its messages.
fn posted(fields: &Value) -> Value {
    let mut body = json!({"model": "auto", "messages": [{"role": "user", "content": "Hi"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    wire::posted(&Cohere, &wire::chat(body.to_string()))
}

fn refused(fields: &str) -> String {
    let request = wire::chat(format!(r#"{{"model":"auto","messages":[{{"role":"user","content":"Hi"}}],{fields}}}"#));
    let bad = Cohere.refuses(&request).expect("it is refused");
    assert_eq!(Cohere.request(wire::MODEL, &request).unwrap_err(), bad, "a cheap look tells the same");
    assert!(bad.message.contains("drop_unsupported"), "{}", bad.message);
    bad.param.unwrap_or_default().into_owned()
}

#[test]
fn a_request_is_translated_whole() {
    let request = wire::chat(fixture!("request.json"));
    assert_eq!(Cohere.refuses(&request), None);
    assert_eq!(wire::posted(&Cohere, &request), json_of(&fixture!("request_wire.json")));
}

#[test]
fn a_chosen_function_is_the_only_one_that_is_offered() {
    let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
    let choice = json!({"type": "function", "function": {"name": "b"}});
    let body = posted(&json!({"tools": [tool("a"), tool("b")], "tool_choice": choice}));
    assert_eq!(body["tool_choice"], "REQUIRED");
    let offered: Vec<_> = body["tools"].as_array().unwrap().iter().map(|tool| &tool["function"]["name"]).collect();
    assert_eq!(offered, ["b"]);
    assert_eq!(posted(&json!({"tools": [tool("a")], "tool_choice": "none"}))["tool_choice"], "NONE");
    assert_eq!(posted(&json!({"tools": [tool("a")], "tool_choice": "auto"})).get("tool_choice"), None);
}

#[test]
fn how_hard_to_think_is_said_in_tokens() {
    for (effort, thinking) in [
        ("none", json!({"type": "disabled"})),
        ("medium", json!({"type": "enabled", "token_budget": 8192})),
        ("high", json!({"type": "enabled"})),
    ] {
        assert_eq!(posted(&json!({"reasoning_effort": effort}))["thinking"], thinking);
    }
    let own = posted(&json!({"reasoning": {"max_tokens": 500}}));
    assert_eq!(own["thinking"], json!({"type": "enabled", "token_budget": 500}));
}

#[test]
fn sampling_is_held_to_what_cohere_takes() {
    for (top_p, p) in [(1.0, 0.99), (0.5, 0.5), (0.0, 0.01)] {
        assert_eq!(posted(&json!({"top_p": top_p}))["p"], p);
    }
    for field in ["frequency_penalty", "presence_penalty"] {
        assert_eq!(posted(&json!({field: 0.5}))[field], 0.5);
        for beyond in [-0.5, 1.5] {
            assert_eq!(refused(&format!(r#""{field}":{beyond}"#)), field);
            assert_eq!(posted(&json!({field: beyond, "drop_unsupported": true})).get(field), None);
        }
    }
}

#[test]
fn says_which_field_cohere_knows_nothing_like() {
    for (fields, field) in [
        (r#""logit_bias":{"5":1}"#, "logit_bias"),
        (r#""top_logprobs":2"#, "top_logprobs"),
        (r#""n":2"#, "n"),
        (
            r#""parallel_tool_calls":false,"tools":[{"type":"function","function":{"name":"f"}},
            {"type":"function","function":{"name":"g"}}]"#,
            "parallel_tool_calls",
        ),
    ] {
        assert_eq!(refused(fields), field);
    }
    let plain = posted(&json!({}));
    assert_eq!(
        posted(&json!({"n": 2, "logit_bias": {}, "parallel_tool_calls": false, "drop_unsupported": true})),
        plain
    );
    assert_eq!(posted(&json!({"n": 1, "top_logprobs": 0})), plain);
}

#[test]
fn sound_and_files_are_refused_by_their_place_or_left_out() {
    let sound = json!({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}});
    let messages = json!([{"role": "user", "content": [{"type": "text", "text": "Hi"}, sound]}]);
    let mut body = json!({"model": "auto", "messages": messages});
    let bad = Cohere.request("m", &wire::chat(body.to_string())).unwrap_err();
    assert_eq!(bad.param.as_deref(), Some("messages[0].content[1]"));
    body["drop_unsupported"] = true.into();
    let sent = wire::posted(&Cohere, &wire::chat(body.to_string()));
    assert_eq!(sent["messages"][0]["content"], json!([{"type": "text", "text": "Hi"}]));
}

#[test]
fn a_form_is_held_to_without_tools_and_documents_and_told_beside_them() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "number"}}});
    let named = |strict: bool| json!({"name": "out", "strict": strict, "schema": schema});
    let form = |strict: bool| json!({"type": "json_schema", "json_schema": named(strict)});
    let held = json!({"type": "json_object", "json_schema": schema});
    assert_eq!(posted(&json!({"response_format": form(true), "documents": []}))["response_format"], held);
    let tools = json!({"tools": [{"type": "function", "function": {"name": "f"}}]});
    for beside in [tools, json!({"documents": [{"data": {"text": "Oulu is cold."}}]})] {
        let mut fields = beside;
        fields["response_format"] = json!({"type": "json_object"});
        let told = posted(&fields);
        assert_eq!((&told["response_format"], &told["messages"][0]["role"]), (&Value::Null, &json!("system")));
        fields["response_format"] = form(true);
        let mut body = json!({"model": "auto", "messages": [{"role": "user", "content": "Hi"}]});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let bad = Cohere.request("m", &wire::chat(body.to_string())).unwrap_err();
        assert_eq!(bad.param.as_deref(), Some("response_format"));
    }
}

#[test]
fn a_plan_is_one_text_and_pictures_of_results_are_shown_by_the_user() {
    let text = |text: &str| json!({"type": "text", "text": text});
    let picture = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    let call = json!({"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let messages = json!([
        {"role": "assistant", "content": [text("I look."), text("Then I answer.")], "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": [text("Here"), picture]},
        {"role": "tool", "tool_call_id": "2", "content": "none"},
        {"role": "user", "content": "And?"}]);
    let sent = posted(&json!({"messages": messages}))["messages"].take();
    assert_eq!(sent[0]["tool_plan"], "I look.\nThen I answer.");
    assert_eq!(sent[1]["content"], json!([text("Here"), text("(What it shows follows in the user's message.)")]));
    assert_eq!(sent[2]["content"], "none");
    assert_eq!((&sent[3], &sent[4]["content"]), (&json!({"role": "user", "content": [picture]}), &json!("And?")));
}

#[test]
fn a_whole_answer_has_its_text_its_thoughts_its_sources_and_what_is_paid_for() {
    let reply = wire::whole(&Cohere, &wire::hello(), fixture!("answer.json"));
    let content = "Emperor. They live in Antarctica.".to_owned();
    assert_eq!(reply.text, Text { content, finish_reason: Some("stop".into()), ..Text::default() });
    let usage = Usage { input_tokens: 28, output_tokens: 10, cached_input_tokens: 16, ..Usage::default() };
    assert_eq!(reply.usage, Some(usage));
    let body = json_of(&reply.body);
    assert_eq!((&body["id"], &body["model"]), (&json!("c14c80c3-18eb-4519-9460-6c92edd8cfb4"), &json!(wire::MODEL)));
    let choice = &body["choices"][0];
    assert_eq!(choice["message"]["reasoning_content"], "Which one is tall?");
    let sources: Vec<Value> =
        choice["message"]["annotations"].as_array().unwrap().iter().map(|a| a["url_citation"].clone()).collect();
    assert_eq!(
        sources,
        [
            json!({"start_index": 0, "end_index": 7, "url": "doc:0", "title": "Penguins"}),
            json!({"start_index": 22, "end_index": 32, "url": "https://a.example", "title": "https://a.example"}),
            json!({"start_index": 22, "end_index": 32, "url": "doc:1", "title": "doc:1"}),
        ]
    );
    assert_eq!(choice["logprobs"]["content"][0]["logprob"], -0.75);
}

#[test]
fn citations_of_impossible_places_end_with_the_text() {
    for far in [9, u64::MAX] {
        let citation = json!({"start": far, "end": far, "sources": [{"id": "a"}]});
        let block = json!({"type": "text", "text": "Hyvää"});
        let message = json!({"tool_plan": "Joo. ", "content": [block], "citations": [citation]});
        let whole = json!({"id": "1", "finish_reason": "COMPLETE", "message": message});
        let reply = wire::whole(&Cohere, &wire::hello(), whole.to_string());
        let place = json_of(&reply.body)["choices"][0]["message"]["annotations"][0]["url_citation"].take();
        assert_eq!((&place["start_index"], &place["end_index"]), (&json!(10), &json!(10)));
        let events = [
            json!({"type": "content-start", "index": 0, "delta": {"message": {"content": block}}}),
            json!({"type": "citation-start", "index": 0, "delta": {"message": {"citations": citation}}}),
            json!({"type": "message-end", "delta": {"finish_reason": "COMPLETE"}}),
        ];
        let sent: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
        let chunks = wire::chunks(&wire::streamed(&Cohere, &wire::hello(), sent).unwrap());
        let place = &chunks[1]["choices"][0]["delta"]["annotations"][0]["url_citation"];
        assert_eq!((&place["start_index"], &place["end_index"]), (&json!(5), &json!(5)));
    }
}

#[test]
fn a_plan_is_text_and_comes_back_as_a_plan() {
    let reply = wire::whole(&Cohere, &wire::hello(), fixture!("tools.json"));
    assert_eq!((&*reply.text.content, reply.text.tool_calls), ("I will look both up.", true));
    assert_eq!(reply.text.finish_reason.as_deref(), Some("tool_calls"));
    assert_eq!(reply.usage, Some(Usage { input_tokens: 100, output_tokens: 20, ..Usage::default() }));
    let message = json_of(&reply.body)["choices"][0]["message"].take();
    let mut made = json_of(&fixture!("tools.json"))["message"].take();
    assert_eq!(posted(&json!({"messages": [message]}))["messages"][0], made.take());
}

#[test]
fn every_reason_to_stop_has_its_word_and_failures_are_failures() {
    let answer = |reason: &str| {
        let message = json!({"content": [{"type": "text", "text": "a"}]});
        let whole = json!({"id": "1", "message": message, "finish_reason": reason}).to_string();
        let end = json!({"type": "message-end", "delta": {"finish_reason": reason, "error": "broken"}});
        let whole = Cohere.reply(&wire::asked(&wire::hello()), whole.into()).map(|reply| reply.text.finish_reason);
        let streamed = wire::streamed(&Cohere, &wire::hello(), format!("data: {end}\n\n"));
        let streamed = streamed.map(|items| text_of(&items[0]).finish_reason);
        assert_eq!(whole.is_ok(), streamed.is_ok());
        streamed.inspect(|streamed| assert_eq!(whole.as_ref().unwrap(), streamed)).map(Option::unwrap)
    };
    for (reason, word) in
        [("COMPLETE", "stop"), ("STOP_SEQUENCE", "stop"), ("MAX_TOKENS", "length"), ("TOOL_CALL", "tool_calls")]
    {
        assert_eq!(answer(reason).unwrap(), word);
    }
    assert!(answer("ERROR").unwrap_err().contains("broken"));
    assert!(answer("TIMEOUT").is_err());
}

#[test]
fn a_stream_thinks_speaks_cites_and_ends() {
    let items = wire::streamed(&Cohere, &wire::hello(), fixture!("stream.sse")).unwrap();
    assert_eq!(items.last(), Some(&StreamItem::Done));
    let chunks = wire::chunks(&items);
    assert!(chunks.iter().all(|chunk| chunk["id"] == "29f14a5a"));
    let citation = json!({"start_index": 6, "end_index": 12, "url": "doc:0", "title": "Words"});
    let deltas: Vec<Value> = chunks.iter().map(|chunk| chunk["choices"][0]["delta"].clone()).collect();
    assert_eq!(
        deltas,
        [
            json!({"role": "assistant", "content": ""}),
            json!({"reasoning_content": "Cold."}),
            json!({"content": "Hyvää"}),
            json!({}),
            json!({"content": " päivää"}),
            json!({"annotations": [{"index": 0, "type": "url_citation", "url_citation": citation}]}),
            json!({}),
            Value::Null,
        ]
    );
    assert_eq!(chunks[3]["choices"][0]["logprobs"]["content"][0]["token"], "Hyvää");
    assert_eq!(text_of(&items[6]).finish_reason.as_deref(), Some("length"));
    let used = Usage { input_tokens: 3, output_tokens: 9, ..Usage::default() };
    assert!(matches!(items[7], StreamItem::Chunk { usage: Some(usage), usage_only: true, .. } if usage == used));
}

#[test]
fn calls_of_a_stream_come_piece_by_piece() {
    let items = wire::streamed(&Cohere, &wire::hello(), fixture!("tools.sse")).unwrap();
    let mut calls = [(String::new(), String::new()), (String::new(), String::new())];
    for chunk in wire::chunks(&items) {
        let Some(piece) = chunk["choices"][0]["delta"].get("tool_calls") else { continue };
        let (name, arguments) = &mut calls[piece[0]["index"].as_u64().unwrap() as usize];
        *name += piece[0]["function"]["name"].as_str().unwrap_or_default();
        *arguments += piece[0]["function"]["arguments"].as_str().unwrap_or_default();
    }
    assert_eq!(calls, [("weather".into(), r#"{"city": "Oulu"}"#.into()), ("time".into(), "{}".into())]);
    assert_eq!(items.iter().map(|item| text_of(item).content).collect::<String>(), "I will look.");
    assert!(items.iter().any(|item| text_of(item).finish_reason.as_deref() == Some("tool_calls")));
}

#[test]
fn of_a_single_function_that_is_to_be_called_once_the_first_call_comes() {
    let request = wire::chat(
        r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"parallel_tool_calls":false,
        "tools":[{"type":"function","function":{"name":"weather"}}]}"#,
    );
    assert_eq!(Cohere.refuses(&request), None);
    let message = json_of(&wire::whole(&Cohere, &request, fixture!("tools.json")).body)["choices"][0]["message"].take();
    assert_eq!(message["tool_calls"].as_array().unwrap().len(), 1);
    let items = wire::streamed(&Cohere, &request, fixture!("tools.sse")).unwrap();
    let deltas = wire::chunks(&items).into_iter().filter_map(|c| c["choices"][0]["delta"].get("tool_calls").cloned());
    let indexes: Vec<Value> = deltas.map(|calls| calls[0]["index"].clone()).collect();
    assert_eq!(indexes, [0, 0, 0]);
}

#[test]
fn what_is_no_answer_is_an_error() {
    let problem = |body: &'static str| Cohere.reply(&wire::asked(&wire::hello()), body.into()).unwrap_err().to_string();
    assert!(problem("<html>").contains("not Cohere's"));
    assert!(problem(r#"{"message":"too many"}"#).contains("not Cohere's"));
    let event = |data: &str| wire::streamed(&Cohere, &wire::hello(), format!("data: {data}\n\n"));
    assert!(event(r#"{"message":"overloaded"}"#).unwrap_err().contains("overloaded"));
    assert_eq!(event(r#"{"type":"of-tomorrow","delta":{"message":{"content":{"text":"x"}}}}"#).unwrap(), []);
    let detail = Cohere.error(StatusCode::BAD_REQUEST, &fixture!("error.json"));
    assert!(detail.message.starts_with("invalid request") && detail.kind == "invalid_request_error");
    assert_eq!(
        Cohere.error(StatusCode::UNAUTHORIZED, br#"{"message":"invalid api token"}"#).kind,
        "authentication_error"
    );
}

fn text_of(item: &StreamItem) -> Text {
    match item {
        StreamItem::Chunk { text, .. } => text.clone(),
        StreamItem::Done => Text::default(),
    }
}

/// What is said in Cohere's messages, except the system's.
fn said(body: &Value) -> Vec<Said> {
    body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|message| message["role"] != "system")
        .flat_map(said_in)
        .collect()
}

fn said_in(message: &Value) -> Vec<Said> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let speaks: fn(String) -> Said = if message["role"] == "user" { Said::User } else { Said::Assistant };
    if message["role"] == "tool" {
        let id = text(&message["tool_call_id"]).unwrap();
        return vec![Said::Result { id, text: text(&message["content"]).unwrap() }];
    }
    let content = text(&message["content"]).or(text(&message["tool_plan"])).map(speaks);
    let parts =
        message["content"].as_array().into_iter().flatten().map(|part| match part["image_url"]["url"].as_str() {
            Some(url) => Said::Picture(url.rsplit(',').next().unwrap().to_owned()),
            None => speaks(text(&part["text"]).unwrap()),
        });
    let calls = message["tool_calls"].as_array().into_iter().flatten().map(|call| Said::Call {
        id: text(&call["id"]).unwrap(),
        name: text(&call["function"]["name"]).unwrap(),
        arguments: serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap(),
    });
    content.into_iter().chain(parts).chain(calls).collect()
}

proptest! {
    #[test]
    fn everything_that_is_said_arrives_in_its_order(conversation in any_conversation()) {
        let body = posted(&json!({"messages": conversation.messages}));
        prop_assert_eq!(said(&body), conversation.said);
        let told = body["messages"].as_array().unwrap().iter().filter(|message| message["role"] == "system");
        let told: Vec<&str> = told.map(|message| message["content"].as_str().unwrap()).collect();
        prop_assert_eq!(told, conversation.system);
    }

    #[test]
    fn a_stream_is_the_same_wherever_it_was_cut(cuts in proptest::collection::vec(0..3000usize, 0..20)) {
        let bytes = fixture!("stream.sse");
        let whole = wire::streamed(&Cohere, &wire::hello(), &bytes).unwrap();
        prop_assert_eq!(wire::streamed_in_pieces(&Cohere, &wire::hello(), &bytes, cuts), whole);
    }
}

#[test]
fn what_a_call_was_given_is_an_object() {
    let given = |arguments: &str| {
        let call = json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}});
        let messages = json!([
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "fine"},
        ]);
        let call = posted(&json!({"messages": messages}))["messages"][1]["tool_calls"][0].take();
        call["function"]["arguments"].as_str().unwrap().to_owned()
    };
    assert_eq!((given(r#"{"a":1}"#), given("")), (r#"{"a":1}"#.to_owned(), "{}".to_owned()));
    for broken in ["{", "[1]"] {
        let object: serde_json::Map<String, Value> = serde_json::from_str(&given(broken)).unwrap();
        assert!(!object.is_empty(), "{broken}");
    }
}
