use super::*;

fn pieces(chunks: &[Value]) -> Form {
    let chunks: Vec<String> = chunks.iter().map(Value::to_string).collect();
    Form::Streamed(Pieces::of(chunks.iter().map(|chunk| (chunk.as_bytes(), false))))
}

fn piece(choice: Value) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})
}

fn completion(choices: Value) -> Value {
    json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "system_fingerprint": "fp",
           "choices": choices, "usage": {"prompt_tokens": 1, "completion_tokens": 2}})
}

fn whole_json(form: &Form) -> Value {
    serde_json::from_slice(&whole(form).unwrap()).unwrap()
}

#[test]
fn chunks_join_to_the_answer_that_they_are_of() {
    let call = |call: Value| piece(json!({"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": null}));
    let form = pieces(&[
        piece(json!({"index": 0, "delta": {"role": "assistant", "content": "Hel"}, "finish_reason": null})),
        piece(json!({"index": 0, "delta": {"role": "assistant", "content": "lo"}, "finish_reason": null})),
        piece(json!({"index": 1, "delta": {"content": "Other"}, "finish_reason": "stop"})),
        call(json!({"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}})),
        call(json!({"index": 0, "function": {"arguments": "{\"x\":"}})),
        call(json!({"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}})),
        call(json!({"index": 2, "id": "d", "type": "custom", "custom": {"name": "sh", "input": "ls"}})),
        call(json!({"index": 0, "function": {"arguments": "1}"}})),
        call(json!({"index": 2, "custom": {"input": " -l"}})),
        piece(json!({"index": 0, "delta": {}, "finish_reason": "tool_calls"})),
        json!({"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": {"prompt_tokens": 3}}),
    ]);
    assert!(is_complete(&form, 2) && !is_complete(&form, 1) && !is_complete(&form, 3));
    assert_eq!(
        whole_json(&form),
        json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [
            {"index": 0, "finish_reason": "tool_calls", "logprobs": null, "message": {"role": "assistant", "content": "Hello", "refusal": null, "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}},
                {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
                {"id": "d", "type": "custom", "custom": {"name": "sh", "input": "ls -l"}}]}},
            {"index": 1, "finish_reason": "stop", "logprobs": null, "message": {"role": "assistant", "content": "Other", "refusal": null}},
        ], "usage": {"prompt_tokens": 3}})
    );
}

#[test]
fn an_answer_that_is_cut_to_chunks_and_joined_again_is_the_same() {
    let answer = completion(json!([
        {"index": 0, "message": {"role": "assistant", "content": "Hi", "refusal": null, "annotations": [{"a": 1}, {"a": 2}],
            "hosted_items": [{"of": "responses", "is": {"type": "mcp_call"}, "after": 0}]},
         "logprobs": {"content": [{"token": "Hi", "logprob": -0.5}]}, "finish_reason": "stop"},
        {"index": 1, "message": {"role": "assistant", "content": null, "refusal": null, "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
         "logprobs": null, "finish_reason": "tool_calls"}]));
    let form = Form::Whole(answer.to_string().into());
    assert!(is_complete(&form, 2) && !is_complete(&form, 1));
    let items = stream(&form).unwrap();
    assert_eq!(items.last(), Some(&StreamItem::Done));
    let chunks: Vec<(Bytes, bool)> = items
        .into_iter()
        .filter_map(|item| match item {
            StreamItem::Chunk { data, usage_only, .. } => Some((data, usage_only)),
            StreamItem::Done => None,
        })
        .collect();
    assert_eq!(chunks.iter().filter(|(_, usage_only)| *usage_only).count(), 1);
    let first: Value = serde_json::from_slice(&chunks[0].0).unwrap();
    assert_eq!(first["choices"][0]["delta"]["annotations"], json!([{"a": 1, "index": 0}, {"a": 2, "index": 1}]));
    assert_eq!(first["choices"][0]["delta"]["hosted_items"][0]["index"], 0);
    let again = Form::Streamed(Pieces::of(chunks.iter().map(|(data, only)| (&data[..], *only))));
    assert_eq!(whole_json(&again), answer);
    assert_eq!(whole_json(&form), answer);
}

#[test]
fn an_answer_without_an_end_or_ended_by_a_filter_is_not_complete() {
    let choice = |finish: Value| json!([{"index": 0, "message": {"content": "x"}, "finish_reason": finish}]);
    let complete = |finish| is_complete(&Form::Whole(completion(choice(finish)).to_string().into()), 1);
    assert!(complete(json!("stop")) && complete(json!("length")));
    assert!(!complete(Value::Null) && !complete(json!("")) && !complete(json!("content_filter")));
    assert!(!is_complete(&Form::Whole(completion(json!([])).to_string().into()), 1));
    assert!(!is_complete(&Form::Whole("{".into()), 1));
    assert!(!is_complete(&pieces(&[piece(json!({"index": 0, "delta": {"content": "x"}}))]), 1));
}

#[test]
fn choices_that_do_not_say_which_they_are_are_the_first() {
    for index in [None, Some(Value::Null)] {
        let said = |content: &str, finish: Value| {
            let mut choice = json!({"delta": {"content": content}, "finish_reason": finish});
            index.iter().for_each(|index| choice["index"] = index.clone());
            piece(choice)
        };
        let form = pieces(&[said("a", Value::Null), said("b", Value::Null), said("c", json!("stop"))]);
        assert!(is_complete(&form, 1));
        let choices = whole_json(&form)["choices"].take();
        assert_eq!((choices.as_array().unwrap().len(), &choices[0]["message"]["content"]), (1, &json!("abc")));
        assert_eq!((&choices[0]["index"], &choices[0]["finish_reason"]), (&json!(0), &json!("stop")));
    }
}

#[test]
fn every_text_that_comes_in_pieces_comes_back_whole() {
    let entry = |list: &str, entry: Value| json!({list: [entry]});
    let call = |at: &str, name: &str, text: &str| entry("tool_calls", json!({"index": 0, at: {name: text}}));
    let detail = |kind: &str, name: &str, text: &str| {
        entry("reasoning_details", json!({"index": 0, "type": format!("reasoning.{kind}"), "format": "f", name: text}))
    };
    type Delta<'a> = &'a dyn Fn(&str) -> Value;
    let fields: [(&str, Delta<'_>); 13] = [
        ("/content", &|text| json!({"content": text})),
        ("/refusal", &|text| json!({"refusal": text})),
        ("/reasoning", &|text| json!({"reasoning": text})),
        ("/reasoning_content", &|text| json!({"reasoning_content": text})),
        ("/audio/transcript", &|text| json!({"audio": {"id": "a", "transcript": text}})),
        ("/tool_calls/0/function/arguments", &|text| call("function", "arguments", text)),
        ("/tool_calls/0/custom/input", &|text| call("custom", "input", text)),
        ("/tool_calls/0/function/name", &|text| call("function", "name", text)),
        ("/tool_calls/0/custom/name", &|text| call("custom", "name", text)),
        ("/thinking_blocks/0/thinking", &|text| entry("thinking_blocks", json!({"index": 0, "thinking": text}))),
        ("/reasoning_details/0/text", &|text| detail("text", "text", text)),
        ("/reasoning_details/0/summary", &|text| detail("summary", "summary", text)),
        ("/reasoning_details/0/data", &|text| detail("encrypted", "data", text)),
    ];
    for (path, delta) in fields {
        let told = ["One ", "two ", "three"].map(|text| piece(json!({"index": 0, "delta": delta(text)})));
        let whole = whole_json(&pieces(&told));
        let message = &whole["choices"][0]["message"];
        assert_eq!(message.pointer(path), Some(&json!("One two three")), "{path}: {message}");
        assert!(message["reasoning_details"][0]["format"].as_str().is_none_or(|format| format == "f"), "{message}");
    }
}

#[test]
fn details_of_one_index_and_two_types_stay_two() {
    let summary = json!({"type": "reasoning.summary", "summary": "s", "index": 0});
    let encrypted = json!({"type": "reasoning.encrypted", "data": "e", "index": 0});
    let told =
        [&summary, &encrypted].map(|detail| piece(json!({"index": 0, "delta": {"reasoning_details": [detail]}})));
    let details = whole_json(&pieces(&told))["choices"][0]["message"]["reasoning_details"].take();
    assert_eq!(details, json!([summary, encrypted]));
}

#[test]
fn what_comes_again_or_empty_says_nothing() {
    let call = |id: &str, name: &str, arguments: &str| {
        let function = json!({"name": name, "arguments": arguments});
        let call = json!({"index": 0, "id": id, "type": "function", "function": function});
        piece(
            json!({"index": 0, "delta": {"role": "assistant", "content": "", "tool_calls": [call]}, "finish_reason": ""}),
        )
    };
    let end = piece(json!({"index": 0, "delta": {}, "finish_reason": "tool_calls"}));
    for (id, name) in [("", ""), ("a", "f")] {
        let form = pieces(&[call("a", "f", "{\"x\""), call(id, name, ":"), call(id, name, "1}")]);
        assert!(!is_complete(&form, 1), "it has no finish reason");
        let form = pieces(&[call("a", "f", "{\"x\""), call(id, name, ":"), call(id, name, "1}"), end.clone()]);
        assert!(is_complete(&form, 1));
        let whole = whole_json(&form);
        let expected = json!([{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}}]);
        assert_eq!(whole["choices"][0]["message"]["tool_calls"], expected);
        assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls");
    }
}

#[test]
fn an_answer_that_an_error_ended_is_not_complete() {
    let form = pieces(&[piece(json!({"index": 0, "delta": {"content": "x"}, "finish_reason": "error"}))]);
    assert!(!is_complete(&form, 1));
}
