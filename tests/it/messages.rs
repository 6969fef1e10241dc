//! `POST /v1/messages`: Anthropic's client protocol in, and its answers, streams and errors out.

use satisfice::api::messages::{Stream, reply, request};
use serde_json::{Value, json};

use crate::gateway::{Options, Running, body, header};
use crate::scripted::Answer;
use crate::wire::events;

fn translated(body: &Value) -> Value {
    serde_json::from_slice(&request(&serde_json::to_vec(body).unwrap()).unwrap()).unwrap()
}

fn refused(change: impl FnOnce(&mut Value)) -> (String, String) {
    let mut body = hello();
    change(&mut body);
    let bad = request(&serde_json::to_vec(&body).unwrap()).unwrap_err();
    (bad.param.unwrap_or_default().into_owned(), bad.message)
}

fn hello() -> Value {
    json!({"model": "auto", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]})
}

#[test]
fn a_request_means_the_same_in_openais_words() {
    let body: Value = serde_json::from_str(include_str!("../fixtures/anthropic_client/request.json")).unwrap();
    let call = |id: &str, city: &str| json!({"id": id, "type": "function", "function": {"name": "weather", "arguments": format!("{{\"city\":\"{city}\"}}")}});
    let cache = json!({"type": "ephemeral"});
    assert_eq!(
        translated(&body),
        json!({
            "model": "auto",
            "max_completion_tokens": 1024,
            "user": "u1",
            "stop": ["END"],
            "temperature": 0.5,
            "top_k": 5,
            "reasoning_effort": "medium",
            "claude_thinking": {"type": "enabled", "budget_tokens": 4096},
            "tools": [{"type": "function", "function": {"name": "weather", "description": "Weather of a city", "parameters": body["tools"][0]["input_schema"]}}],
            "tool_choice": "required",
            "parallel_tool_calls": false,
            "messages": [
                {"role": "system", "content": [{"type": "text", "text": "Be brief.", "cache_control": cache}]},
                {"role": "user", "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.jpg"}},
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}]},
                {"role": "assistant", "content": [{"type": "text", "text": "Let me look."}],
                 "tool_calls": [call("toolu_1", "Oulu"), call("toolu_2", "Turku")],
                 "thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "sig"}, {"type": "redacted_thinking", "data": "xyz"}]},
                {"role": "tool", "tool_call_id": "toolu_1", "content": "3 degrees"},
                {"role": "tool", "tool_call_id": "toolu_2", "content": [{"type": "text", "text": "no such city"}], "is_error": true},
                {"role": "user", "content": [{"type": "text", "text": "And now?"}]},
            ],
        })
    );
}

#[test]
fn what_no_other_provider_could_do_is_named() {
    let (param, message) = refused(|body| body["tools"] = json!([{"type": "web_search_1"}, {"description": "x"}]));
    assert_eq!((&*param, &*message), ("tools[1]", "tools[1]: missing field `name`"));
    let (param, _) = refused(|body| body["messages"][0]["content"] = json!([{"file_id": "f"}]));
    assert_eq!(param, "messages[0].content[0]");
    let (param, _) = refused(|body| drop(body.as_object_mut().unwrap().remove("max_tokens")));
    assert_eq!(param, "max_tokens");
    assert_eq!(refused(|body| body["tool_choice"] = json!({"type": "some"})).0, "tool_choice.type");
}

#[test]
fn what_is_of_the_wrong_kind_is_told_where_it_is() {
    let hello = json!({"role": "user", "content": "Hello"});
    for (field, value, place, expected) in [
        ("messages", json!([hello, 5]), "messages[1]", "messages[1]: invalid type: integer `5`, expected an object"),
        ("messages", json!([hello, {"role": "user"}]), "messages[1]", "messages[1]: missing field `content`"),
        ("system", json!(5), "system", "system: it must be a string or a list of blocks"),
        ("thinking", json!({"type": "enabled"}), "thinking", "thinking: missing field `budget_tokens`"),
        ("max_tokens", json!("x"), "max_tokens", "max_tokens: invalid type: string \"x\", expected u32"),
    ] {
        assert_eq!(refused(|body| body[field] = value), (place.to_owned(), expected.to_owned()));
    }
}

#[test]
fn a_body_that_is_no_object_is_told_in_the_words_of_all_protocols() {
    let problem = |body: &[u8]| request(body).unwrap_err().message;
    assert_eq!(problem(b"{\"model\":\"\xff\"}"), "the body is not UTF-8 (byte 10); send JSON in UTF-8");
    assert!(problem(b"{").starts_with("the body is not a JSON object: EOF"));
    assert!(problem(b"[]").contains("invalid type: sequence, expected an object"));
    assert_eq!(problem(b"{\"model\":\"a\"}"), "max_tokens is missing; Anthropic's Messages API asks for it");
}

#[test]
fn half_a_character_is_told_as_one_that_is_missing() {
    let half = r#"{"id":"1","model":"m","choices":[{"message":{"content":"a\ud83d"},"finish_reason":"length"}]}"#;
    let message: Value = serde_json::from_slice(&reply(half.as_bytes()).unwrap()).unwrap();
    assert_eq!(message["content"], json!([{"type": "text", "text": "a\u{fffd}"}]));
}

#[test]
fn an_answer_with_thoughts_text_and_calls_keeps_them_in_order() {
    let completion = json!({"id": "chatcmpl-1", "created": 1, "model": "m", "choices": [{"index": 0, "finish_reason": "tool_calls",
        "message": {"role": "assistant", "content": "Let me see.", "reasoning_content": "Hm.", "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}},
            {"id": "2", "type": "function", "function": {"name": "g", "arguments": "{\"a\": "}}]}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}});
    let message: Value = serde_json::from_slice(&reply(completion.to_string().as_bytes()).unwrap()).unwrap();
    assert_eq!(
        message,
        json!({"id": "msg_chatcmpl-1", "type": "message", "role": "assistant", "model": "m",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": ""},
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}},
                {"type": "tool_use", "id": "2", "name": "g", "input": {"INVALID_JSON": "{\"a\": "}}],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {"input_tokens": 6, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0, "output_tokens": 5}})
    );
}

#[test]
fn a_stream_opens_and_closes_one_block_after_another() {
    let mut stream = Stream::default();
    let deltas = [
        json!({"role": "assistant", "content": ""}),
        json!({"reasoning_content": "Hm"}),
        json!({"thinking_blocks": [{"type": "thinking", "thinking": "Hm", "signature": "sig"}]}),
        json!({"content": "One"}),
        json!({"content": " two"}),
        json!({"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f", "arguments": ""}}]}),
        json!({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
        json!({"tool_calls": [{"index": 1, "id": "2", "function": {"name": "g", "arguments": "{}"}}]}),
    ];
    let mut bytes = vec![];
    let chunk =
        |choices: Value, usage: Value| json!({"id": "c", "model": "m", "choices": choices, "usage": usage}).to_string();
    for delta in deltas {
        bytes.extend(stream.chunk(chunk(json!([{"index": 0, "delta": delta}]), Value::Null).as_bytes()).unwrap());
    }
    bytes.extend(
        stream
            .chunk(chunk(json!([{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]), Value::Null).as_bytes())
            .unwrap(),
    );
    bytes.extend(
        stream.chunk(chunk(json!([]), json!({"prompt_tokens": 3, "completion_tokens": 2})).as_bytes()).unwrap(),
    );
    bytes.extend(stream.end());
    let told: Vec<String> = events(&bytes).iter().map(told).collect();
    assert_eq!(
        told,
        [
            "message_start",
            "start 0 thinking",
            "0 Hm",
            "0 sig",
            "stop 0",
            "start 1 text",
            "1 One",
            "1  two",
            "stop 1",
            "start 2 tool_use",
            "2 {}",
            "stop 2",
            "start 3 tool_use",
            "3 {}",
            "stop 3",
            "message_delta tool_use 3/2",
            "message_stop",
        ]
    );
}

/// What a stream of calls comes to, each piece being (index, name, arguments).
fn told_of_calls(pieces: &[(u32, Option<&str>, &str)], last: Value) -> Vec<String> {
    let mut stream = Stream::default();
    let call = |(index, name, arguments): &(u32, Option<&str>, &str)| json!({"tool_calls": [{"index": index, "id": name, "function": {"name": name, "arguments": arguments}}]});
    let chunk = |delta: Value| json!({"id": "c", "choices": [{"index": 0, "delta": delta}]}).to_string();
    let deltas = pieces.iter().map(call).chain([last]);
    let mut bytes: Vec<u8> = deltas.flat_map(|delta| stream.chunk(chunk(delta).as_bytes()).unwrap()).collect();
    bytes.extend(stream.end());
    let told: Vec<String> = events(&bytes).iter().map(told).collect();
    told[1..told.len() - 2].to_vec()
}

#[test]
fn calls_whose_pieces_come_in_any_order_are_whole_blocks_one_after_another() {
    let (f, g, h) = (Some("f"), Some("g"), Some("h"));
    let pieces = [
        (0, f, ""),
        (1, g, "{\"b\":"),
        (0, None, "{\"a\":\"}"),
        (2, h, ""),
        (1, None, "2}"),
        (0, None, "\"}"),
        (0, None, "\n"),
        (2, None, "{}"),
    ];
    let expected = [
        "start 0 tool_use",
        "0 {\"a\":\"}",
        "0 \"}",
        "stop 0",
        "start 1 tool_use",
        "1 {\"b\":",
        "1 2}",
        "stop 1",
        "start 2 tool_use",
        "2 {}",
        "stop 2",
    ];
    assert_eq!(told_of_calls(&pieces, json!({})), expected);
    let cut = [(0, f, "{"), (1, g, "{}")];
    let expected = ["start 0 tool_use", "0 {", "stop 0", "start 1 tool_use", "1 {}", "stop 1"];
    assert_eq!(told_of_calls(&cut, json!({})), expected, "a call without an end ends with the answer");
    let expected = [&expected[..], &["start 2 text", "2 So.", "stop 2"]].concat();
    assert_eq!(told_of_calls(&cut, json!({"content": "So."})), expected);
}

#[tokio::test]
async fn interleaved_calls_of_an_upstream_reach_anthropics_clients_in_order() {
    let running = Running::start().await;
    let piece = |index: u32, id: Value, arguments: &str| {
        json!({"id": "c", "choices": [{"index": 0, "finish_reason": null,
        "delta": {"tool_calls": [{"index": index, "id": id, "function": {"name": id, "arguments": arguments}}]}}]})
        .to_string()
    };
    let pieces = [
        piece(0, json!("f"), ""),
        piece(1, json!("g"), ""),
        piece(0, Value::Null, "{\"a\""),
        piece(1, Value::Null, "{\"b\""),
        piece(0, Value::Null, ":1}"),
        piece(1, Value::Null, ":2}"),
    ];
    let answer = pieces.iter().fold(Answer::stream(), |answer, piece| answer.event(piece));
    running.upstream.on("small-upstream", [answer.finish().event("[DONE]").end()]);
    let mut asked = hello();
    asked["model"] = "small".into();
    asked["stream"] = true.into();
    let bytes = running.post("/v1/messages", asked.to_string()).send().await.unwrap().bytes().await.unwrap();
    let told: Vec<String> = events(&bytes).iter().map(told).collect();
    let blocks = ["start 0 tool_use", "0 {\"a\"", "0 :1}", "stop 0", "start 1 tool_use", "1 {\"b\"", "1 :2}", "stop 1"];
    assert_eq!(told[1..told.len() - 2], blocks);
}

fn told(event: &Value) -> String {
    let index = &event["index"];
    match event["type"].as_str().unwrap() {
        "content_block_start" => format!("start {index} {}", event["content_block"]["type"].as_str().unwrap()),
        "content_block_stop" => format!("stop {index}"),
        "content_block_delta" => {
            let delta = &event["delta"];
            let piece = ["text", "thinking", "signature", "partial_json"].iter().find_map(|name| delta[name].as_str());
            format!("{index} {}", piece.unwrap())
        }
        "message_delta" => format!(
            "message_delta {} {}/{}",
            event["delta"]["stop_reason"].as_str().unwrap(),
            event["usage"]["input_tokens"],
            event["usage"]["output_tokens"]
        ),
        other => other.to_owned(),
    }
}

#[tokio::test]
async fn a_route_answers_a_message_whole_and_streamed() {
    let mut running = Running::start().await;
    let response = running.post("/v1/messages", hello().to_string()).send().await.unwrap();
    assert_eq!((response.status().as_u16(), header(&response, "x-satisfice-route")), (200, Some("auto")));
    let message = body(response).await;
    assert_eq!((&message["content"][0]["text"], &message["stop_reason"]), (&json!("ok"), &json!("end_turn")));
    assert_eq!(running.finished().await.reply.content, "ok", "the trace is the same as a chat's");

    let mut body = hello();
    body["stream"] = true.into();
    for model in ["small-upstream", "large-upstream"] {
        running.upstream.on(model, [Answer::says(&["Hel", "lo"])]);
    }
    let response = running.post("/v1/messages", body.to_string()).send().await.unwrap();
    assert_eq!(header(&response, "content-type"), Some("text/event-stream"));
    let events = events(&response.bytes().await.unwrap());
    let text: String = events.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
    assert_eq!((text.as_str(), &events.last().unwrap()["type"]), ("Hello", &json!("message_stop")));
    assert_eq!(events[events.len() - 2]["usage"]["output_tokens"], 5);
}

#[tokio::test]
async fn a_cut_stream_ends_in_an_error_event() {
    let running = Running::start().await;
    running.upstream.on("small-upstream", [Answer::stream().text("begun").end()]);
    let mut body = hello();
    (body["stream"], body["model"]) = (true.into(), "small".into());
    let response = running.post("/v1/messages", body.to_string()).send().await.unwrap();
    let last = events(&response.bytes().await.unwrap()).pop().unwrap();
    assert_eq!((&last["type"], &last["error"]["type"]), (&json!("error"), &json!("api_error")));
}

#[tokio::test]
async fn errors_have_anthropics_shape_and_keys_its_header() {
    let keys = satisfice::server::ApiKeys::new(&["key".into()]);
    let running = Running::with(Options { keys, ..Options::default() }).await;
    let ask =
        |key: &'static str, body: Value| running.post("/v1/messages", body.to_string()).header("x-api-key", key).send();
    let refused = ask("wrong", hello()).await.unwrap();
    assert_eq!(refused.status(), 401);
    assert_eq!(body(refused).await["error"]["type"], "authentication_error");
    let missing =
        ask("key", json!({"model": "nobody", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}))
            .await
            .unwrap();
    assert_eq!(missing.status(), 404);
    let missing = body(missing).await;
    assert_eq!((&missing["type"], &missing["error"]["type"]), (&json!("error"), &json!("not_found_error")));
    let counted = running
        .post(
            "/v1/messages/count_tokens",
            json!({"model": "auto", "messages": [{"role": "user", "content": "one two three"}]}).to_string(),
        )
        .header("x-api-key", "key");
    assert!(body(counted.send().await.unwrap()).await["input_tokens"].as_u64().unwrap() >= 3);
    let nobodys = json!({"model": "nobody", "messages": [{"role": "user", "content": "one two three"}]}).to_string();
    let nobodys = running.post("/v1/messages/count_tokens", nobodys).header("x-api-key", "key").send().await.unwrap();
    assert_eq!(nobodys.status(), 404, "nobody counts for a model that is not there");
}

#[tokio::test]
async fn an_estimate_counts_calls_thoughts_and_files_too() {
    let running = Running::with(Options::default()).await;
    let said = |block: Value| json!({"model": "auto", "messages": [{"role": "assistant", "content": [block]}]});
    let given = |block: Value| json!({"model": "auto", "messages": [{"role": "user", "content": [block]}]});
    let long = "word ".repeat(8000);
    let file = |kind: &str, data: &str| json!({"type": "document", "source": {"type": "base64", "media_type": kind, "data": data}});
    for (body_of, tokens) in [
        (said(json!({"type": "tool_use", "id": "t", "name": "f", "input": {"text": long}})), 10_000),
        (said(json!({"type": "thinking", "thinking": long, "signature": "s"})), 10_000),
        (said(json!({"type": "redacted_thinking", "data": "A".repeat(40_000)})), 7500),
        (said(json!({"type": "web_search_tool_result", "tool_use_id": "t", "content": long})), 10_000),
        (given(file("text/plain", &"QUFB".repeat(10_000))), 7500),
        (given(file("application/pdf", &"JVBE".repeat(100_000))), 15_000),
    ] {
        let counted = running.post("/v1/messages/count_tokens", body_of.to_string()).send().await.unwrap();
        let counted = body(counted).await["input_tokens"].as_u64().unwrap();
        assert!((tokens..tokens + 100).contains(&counted), "{counted}, not {tokens}");
    }
    let mut pdf = given(file("application/pdf", &"JVBE".repeat(100_000)));
    (pdf["model"], pdf["max_tokens"]) = ("narrow".into(), 9.into());
    let refused = running.post("/v1/messages", pdf.to_string()).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    assert!(body(refused).await.to_string().contains("context window of 1000 tokens"));
}
