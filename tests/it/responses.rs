//! `POST /v1/responses`: OpenAI's newer client protocol in, and its responses and events out.

use satisfice::api::responses::{Stream, reply, request};
use serde_json::{Value, json};

use crate::gateway::{Running, body};
use crate::scripted::Answer;
use crate::wire::events;

fn translated(body: &Value) -> Value {
    serde_json::from_slice(&request(body.to_string().as_bytes()).unwrap().0).unwrap()
}

fn refused(body: Value) -> String {
    request(body.to_string().as_bytes()).unwrap_err().param.unwrap().into_owned()
}

#[test]
fn a_request_means_the_same_as_a_chat() {
    let body = json!({
        "model": "auto", "instructions": "Be brief.", "max_output_tokens": 99, "temperature": 0.2, "store": true,
        "reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"],
        "text": {"format": {"type": "json_schema", "name": "s", "schema": {"type": "object"}, "strict": true}},
        "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": true}],
        "tool_choice": {"type": "function", "name": "f"},
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "See:"}, {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "[{\"type\":\"thinking\",\"thinking\":\"Hm\",\"signature\":\"s\"}]"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Looking.", "annotations": []}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call", "call_id": "c2", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "1"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "2"}]}]});
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    assert_eq!(
        translated(&body),
        json!({
            "model": "auto", "max_completion_tokens": 99, "temperature": 0.2, "reasoning_effort": "low", "reasoning_summary": "auto",
            "include": ["reasoning.encrypted_content"],
            "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": true}},
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {}, "strict": true}}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "See:"}, {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}]},
                {"role": "assistant", "content": [{"type": "text", "text": "Looking."}], "tool_calls": [call("c1"), call("c2")],
                 "thinking_blocks": [{"type": "thinking", "thinking": "Hm", "signature": "s"}]},
                {"role": "tool", "tool_call_id": "c1", "content": "1"},
                {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "2"}]}],
        })
    );
}

#[test]
fn what_needs_a_store_or_runs_elsewhere_is_named() {
    assert_eq!(refused(json!({"model": "m", "input": "x", "previous_response_id": "resp_1"})), "previous_response_id");
    assert_eq!(refused(json!({"model": "m", "input": "x", "background": true})), "background");
    assert_eq!(refused(json!({"model": "m", "input": "x", "truncation": "auto"})), "truncation");
    assert_eq!(refused(json!({"model": "m", "input": "x", "tools": [{"name": "f"}]})), "tools[0].type");
    assert_eq!(refused(json!({"model": "m", "input": [{"type": "item_reference", "id": "1"}]})), "input[0]");
    assert_eq!(refused(json!({"model": "m"})), "input");
    assert_eq!(refused(json!({"model": "m", "input": []})), "input");
    let told =
        |input: Value| request(json!({"model": "m", "input": input}).to_string().as_bytes()).unwrap_err().message;
    assert_eq!(told(Value::Null), "input is missing; give a string or a list of items");
    assert_eq!(told(json!(5)), "input must be a string or a list of items");
    for (field, wrong) in
        [("reasoning", json!(5)), ("text", json!("x")), ("instructions", json!([5])), ("max_output_tokens", json!("x"))]
    {
        assert_eq!(refused(json!({"model": "m", "input": "x", field: wrong})), field);
    }
}

#[test]
fn what_needs_a_store_is_refused_with_what_to_send_in_its_place() {
    let told = |body: Value| request(body.to_string().as_bytes()).unwrap_err().message;
    for field in ["previous_response_id", "conversation"] {
        let told = told(json!({"model": "m", "input": "x", field: "resp_1"}));
        assert!(told.contains("send the whole conversation as `input`"), "{told}");
    }
    for item in
        [json!({"type": "item_reference", "id": "msg_1"}), json!({"id": "msg_1"}), json!({"type": null, "id": "msg_1"})]
    {
        let told = told(json!({"model": "m", "input": [{"role": "user", "content": "Hi"}, item]}));
        assert!(told.starts_with("input[1] refers to an item") && told.contains("send the item itself"), "{told}");
        assert!(told.contains("`providerOptions.openai.store` is false"), "{told}");
    }
    assert!(
        request(
            json!({"model": "m", "input": [{"id": "msg_1", "role": "user", "content": "Hi"}]}).to_string().as_bytes()
        )
        .is_ok()
    );
}

#[test]
fn a_completion_becomes_items() {
    let (_, echo) =
        request(json!({"model": "m", "input": "x", "metadata": {"a": "b"}}).to_string().as_bytes()).unwrap();
    let completion = json!({"id": "chatcmpl-1", "created": 7, "model": "m", "choices": [{"index": 0, "finish_reason": "length",
        "message": {"content": "Text", "reasoning_content": "Hm", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            "annotations": [{"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": 0, "end_index": 1}}]}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 1}}});
    let response: Value = serde_json::from_slice(&reply(completion.to_string().as_bytes(), &echo).unwrap()).unwrap();
    assert_eq!(
        (&response["status"], &response["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("max_output_tokens"))
    );
    assert_eq!(
        (&response["metadata"], &response["store"], &response["created_at"]),
        (&json!({"a": "b"}), &json!(false), &json!(7))
    );
    let kinds: Vec<&str> =
        response["output"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["reasoning", "message", "function_call"]);
    assert_eq!(
        response["output"][1]["content"][0]["annotations"][0],
        json!({"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1})
    );
    assert_eq!(response["usage"]["output_tokens_details"]["reasoning_tokens"], 1);
}

#[test]
fn what_is_known_of_a_text_comes_along_whole_and_streamed() {
    let (_, echo) = request(json!({"model": "m", "input": "x"}).to_string().as_bytes()).unwrap();
    let web =
        json!({"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": 0, "end_index": 1}});
    let page = json!({"type": "page_location", "page_location": {"start_page_number": 1}});
    let token = json!({"token": "Hi", "logprob": -0.5, "bytes": null, "top_logprobs": [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105]}]});
    let usage = json!({"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}});
    let logprobs = json!({"content": [token], "refusal": null});
    let said = json!({"content": "Hi", "annotations": [web], "citations": [page]});
    let choice = |name: &str| json!([{"index": 0, name: said, "logprobs": logprobs, "finish_reason": "length"}]);
    let whole = json!({"id": "c", "model": "m", "choices": choice("message"), "usage": usage}).to_string();
    let whole: Value = serde_json::from_slice(&reply(whole.as_bytes(), &echo).unwrap()).unwrap();
    let item = &whole["output"][0];
    assert_eq!((&whole["status"], &item["status"]), (&json!("incomplete"), &json!("incomplete")));
    let likely = json!({"token": "Hi", "logprob": -0.5, "bytes": [], "top_logprobs": [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105]}]});
    let part = json!({"type": "output_text", "text": "Hi", "logprobs": [likely],
        "annotations": [{"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}],
        "citations": [{"type": "page_location", "start_page_number": 1}]});
    assert_eq!(item["content"], json!([part]));
    assert_eq!(whole["usage"]["input_tokens_details"], json!({"cached_tokens": 4, "cache_write_tokens": 3}));

    let mut stream = Stream::new(echo);
    let chunk = json!({"id": "c", "model": "m", "choices": choice("delta"), "usage": usage}).to_string();
    let bytes = [stream.chunk(chunk.as_bytes()).unwrap(), stream.end()].concat();
    let events = events(&bytes);
    assert_eq!(events.last().unwrap()["response"], whole);
    assert_eq!(events.last().unwrap()["type"], "response.incomplete");
    assert!(events[0]["response"].get("usage").is_none());
    let delta = events.iter().find(|event| event["type"] == "response.output_text.delta").unwrap();
    assert_eq!(delta["logprobs"], json!([likely]));
}

#[test]
fn calls_whose_pieces_come_in_any_order_are_items_of_their_own() {
    let (_, echo) = request(json!({"model": "m", "input": "x"}).to_string().as_bytes()).unwrap();
    let mut stream = Stream::new(echo);
    let begun =
        |index: u32, name: &str| json!({"index": index, "id": name, "function": {"name": name, "arguments": ""}});
    let piece = |index: u32, piece: &str| json!({"index": index, "function": {"arguments": piece}});
    let mut bytes = vec![];
    for call in [begun(0, "f"), begun(1, "g"), piece(0, "{\"a\""), piece(1, "{}"), piece(0, ":1}")] {
        let chunk = json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]});
        bytes.extend(stream.chunk(chunk.to_string().as_bytes()).unwrap());
    }
    bytes.extend(stream.end());
    let events = events(&bytes);
    let of = |kind: &str, field: &str| -> Vec<(u64, String)> {
        let kind = format!("response.{kind}");
        let these = events.iter().filter(|event| event["type"] == *kind);
        these.map(|e| (e["output_index"].as_u64().unwrap(), e[field].as_str().unwrap_or_default().to_owned())).collect()
    };
    let pairs = |pairs: &[(u64, &str)]| pairs.iter().map(|(at, text)| (*at, (*text).to_owned())).collect::<Vec<_>>();
    assert_eq!(of("function_call_arguments.delta", "delta"), pairs(&[(0, "{\"a\""), (1, "{}"), (0, ":1}")]));
    assert_eq!(of("function_call_arguments.done", "arguments"), pairs(&[(0, "{\"a\":1}"), (1, "{}")]));
    assert_eq!(of("output_item.added", "-"), of("output_item.done", "-"));
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(
        (&output[0]["name"], &output[1]["name"], output.as_array().unwrap().len()),
        (&json!("f"), &json!("g"), 2)
    );
}

#[test]
fn what_comes_in_one_chunk_is_told_in_its_order() {
    let (_, echo) = request(json!({"model": "m", "input": "x"}).to_string().as_bytes()).unwrap();
    let mut stream = Stream::new(echo);
    let item = |is: Value, at: usize| json!({"of": "responses", "is": is, "after": 0, "at": at});
    let items = json!([
        item(json!({"type": "web_search_call", "id": "ws_1"}), 4),
        item(json!({"type": "message", "phase": "final_answer"}), 6)
    ]);
    let delta = json!({"content": "One.\n\nTwo.", "hosted_items": items});
    let chunk = json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta}]}).to_string();
    let bytes = [stream.chunk(chunk.as_bytes()).unwrap(), stream.end()].concat();
    let output = events(&bytes).pop().unwrap()["response"]["output"].take();
    let texts = [0, 2].map(|i| output[i]["content"][0]["text"].as_str().unwrap());
    assert_eq!((texts, &output[1]["type"]), (["One.", "Two."], &json!("web_search_call")));
    assert_eq!((output[0].get("phase"), &output[2]["phase"]), (None, &json!("final_answer")));
}

#[test]
fn a_summary_of_thoughts_is_a_part_that_begins_and_ends() {
    let (_, echo) = request(json!({"model": "m", "input": "x"}).to_string().as_bytes()).unwrap();
    let mut stream = Stream::new(echo);
    let chunk = |delta: Value| json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta}]}).to_string();
    let redacted = json!({"thinking_blocks": [{"type": "redacted_thinking", "data": "RW13"}]});
    let mut bytes = stream.chunk(chunk(json!({"reasoning_content": "Hm"})).as_bytes()).unwrap();
    bytes.extend(stream.chunk(chunk(json!({"content": "So."})).as_bytes()).unwrap());
    bytes.extend(stream.chunk(chunk(redacted).as_bytes()).unwrap());
    bytes.extend(stream.end());
    let events = events(&bytes);
    let of_summaries = events.iter().filter(|event| event["type"].as_str().unwrap().contains("summary"));
    let names: Vec<_> = of_summaries.map(|event| event["type"].as_str().unwrap().to_owned()).collect();
    let name = |end: &str| format!("response.reasoning_summary_{end}");
    assert_eq!(
        names,
        ["part.added", "text.delta", "text.done", "part.done"].map(name),
        "a hidden thought has no summary"
    );
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!((&output[0]["summary"][0]["text"], &output[2]["summary"]), (&json!("Hm"), &json!([])));
}

#[test]
fn events_are_numbered_and_the_last_one_holds_the_whole() {
    let (_, echo) = request(json!({"model": "m", "input": "x"}).to_string().as_bytes()).unwrap();
    let mut stream = Stream::new(echo);
    let mut bytes = vec![];
    for delta in [
        json!({"content": "One"}),
        json!({"content": " two"}),
        json!({"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f", "arguments": "{\"a\""}}]}),
        json!({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}),
    ] {
        bytes.extend(
            stream
                .chunk(
                    json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta}]}).to_string().as_bytes(),
                )
                .unwrap(),
        );
    }
    bytes.extend(stream.end());
    let events = events(&bytes);
    let numbers: Vec<u64> = events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
    let names: Vec<&str> =
        events.iter().map(|event| event["type"].as_str().unwrap().trim_start_matches("response.")).collect();
    assert_eq!(
        names,
        [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
        ]
    );
    let whole = &events.last().unwrap()["response"]["output"];
    assert_eq!((&whole[0]["content"][0]["text"], &whole[1]["arguments"]), (&json!("One two"), &json!("{\"a\":1}")));
}

#[tokio::test]
async fn a_route_answers_whole_streamed_and_cut() {
    let running = Running::start().await;
    let ask = |body: Value| running.post("/v1/responses", body.to_string()).send();
    let whole = body(ask(json!({"model": "auto", "input": "Hello"})).await.unwrap()).await;
    assert_eq!((&whole["object"], &whole["output"][0]["content"][0]["text"]), (&json!("response"), &json!("ok")));
    running.upstream.on("small-upstream", [Answer::says(&["Hel", "lo"]), Answer::stream().text("begun").end()]);
    let streamed =
        ask(json!({"model": "small", "input": "Hello", "stream": true})).await.unwrap().bytes().await.unwrap();
    let last = events(&streamed).pop().unwrap();
    assert_eq!((&last["type"], &last["response"]["usage"]["output_tokens"]), (&json!("response.completed"), &json!(5)));
    let cut = ask(json!({"model": "small", "input": "Hello", "stream": true})).await.unwrap().bytes().await.unwrap();
    let last = events(&cut).pop().unwrap();
    assert_eq!((&last["type"], &last["response"]["status"]), (&json!("response.failed"), &json!("failed")));
}
