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
    assert!(!complete(Value::Null) && !complete(json!("content_filter")));
    assert!(!is_complete(&Form::Whole(completion(json!([])).to_string().into()), 1));
    assert!(!is_complete(&Form::Whole("{".into()), 1));
    assert!(!is_complete(&pieces(&[piece(json!({"index": 0, "delta": {"content": "x"}}))]), 1));
}
