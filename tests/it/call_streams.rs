//! Streams of OpenAI's wire whose pieces of calls say badly whose they are: each client gets every call, whole and alone.

use serde_json::{Value, json};

use crate::gateway::{Running, ask_stream};
use crate::scripted::Answer;
use crate::wire::events;

/// Two calls, each at once.
const WHOLE: [&str; 2] = [
    r#"[{"id":"call_a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]"#,
    r#"[{"id":"call_b","type":"function","function":{"name":"f","arguments":"{\"x\":2}"}}]"#,
];
/// The same, each with the index of the other.
const WHOLE_AT_0: [&str; 2] = [
    r#"[{"index":0,"id":"call_a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]"#,
    r#"[{"index":0,"id":"call_b","type":"function","function":{"name":"f","arguments":"{\"x\":2}"}}]"#,
];
const TOGETHER: [&str; 1] = [
    r#"[{"id":"call_a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},{"id":"call_b","type":"function","function":{"name":"f","arguments":"{\"x\":2}"}}]"#,
];
/// Pieces, of which some repeat the id, and some have none or another, but name no tool.
const PIECES: [&str; 6] = [
    r#"[{"id":"call_a","type":"function","function":{"name":"f","arguments":"{\"x\""}}]"#,
    r#"[{"id":"","function":{"name":"","arguments":":"}}]"#,
    r#"[{"id":"call_a","function":{"name":"f","arguments":"1}"}}]"#,
    r#"[{"id":"call_b","type":"function","function":{"name":"f","arguments":""}}]"#,
    r#"[{"function":{"arguments":"{\"x\":"}}]"#,
    r#"[{"id":"chunk_6","function":{"arguments":"2}"}}]"#,
];
const PIECES_AT_0: [&str; 4] = [
    r#"[{"index":0,"id":"call_a","type":"function","function":{"name":"f","arguments":"{\"x\""}}]"#,
    r#"[{"index":0,"function":{"name":"f","arguments":":1}"}}]"#,
    r#"[{"index":0,"id":"call_b","type":"function","function":{"name":"f","arguments":"{\"x\":"}}]"#,
    r#"[{"index":0,"id":null,"function":{"arguments":"2}"}}]"#,
];
/// As OpenAI has it; the pieces of two calls alternate.
const RIGHT: [&str; 4] = [
    r#"[{"index":0,"id":"call_a","type":"function","function":{"name":"f","arguments":"{\"x\""}},{"index":1,"id":"call_b","type":"function","function":{"name":"f","arguments":""}}]"#,
    r#"[{"index":1,"function":{"arguments":"{\"x\":"}}]"#,
    r#"[{"index":0,"function":{"arguments":":1}"}}]"#,
    r#"[{"index":1,"function":{"arguments":"2}"}}]"#,
];

fn streams() -> [Vec<&'static str>; 6] {
    [WHOLE.into(), WHOLE_AT_0.into(), TOGETHER.into(), PIECES.into(), PIECES_AT_0.into(), RIGHT.into()]
}

fn chunk(calls: &str) -> String {
    format!(
        r#"{{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{{"index":0,"delta":{{"tool_calls":{calls}}},"finish_reason":null}}]}}"#
    )
}

fn answer(pieces: &[&str]) -> Answer {
    let answer = pieces.iter().fold(Answer::stream(), |answer, piece| answer.event(&chunk(piece)));
    answer.finish().event("[DONE]").end()
}

async fn told(pieces: &[&str], path: &str, request: Value) -> String {
    let running = Running::start().await;
    running.upstream.on("small-upstream", [answer(pieces)]);
    running.post(path, request.to_string()).send().await.unwrap().text().await.unwrap()
}

fn read(told: &str) -> Vec<Value> {
    events(told.replace("data: [DONE]\n\n", "").as_bytes())
}

/// Id and arguments of each call, put together by its index as OpenAI's SDKs do.
fn put_together(chunks: &[Value]) -> Vec<(String, String)> {
    let mut calls: Vec<(String, String)> = vec![];
    let pieces = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array()).flatten();
    for piece in pieces {
        let index = usize::try_from(piece["index"].as_u64().expect("each has an index")).unwrap();
        if index == calls.len() {
            calls.push((piece["id"].as_str().unwrap().to_owned(), String::new()));
        }
        calls[index].1 += piece["function"]["arguments"].as_str().unwrap();
    }
    calls
}

fn both() -> Vec<(String, String)> {
    [("call_a", "{\"x\":1}"), ("call_b", "{\"x\":2}")].map(|(id, text)| (id.to_owned(), text.to_owned())).into()
}

#[tokio::test]
async fn a_chat_has_each_under_an_index_of_its_own() {
    for pieces in streams() {
        let told = told(&pieces, "/v1/chat/completions", ask_stream("small")).await;
        assert_eq!(put_together(&read(&told)), both(), "{told}");
    }
}

#[tokio::test]
async fn what_is_right_passes_to_the_byte() {
    let told = told(&RIGHT, "/v1/chat/completions", ask_stream("small")).await;
    for piece in RIGHT {
        assert!(told.contains(&format!("data: {}\n\n", chunk(piece))), "{told}");
    }
}

#[tokio::test]
async fn a_response_has_each_as_an_item() {
    for pieces in streams() {
        let request = json!({"model": "small", "input": "Hi", "stream": true});
        let events = read(&told(&pieces, "/v1/responses", request).await);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let output = events.last().unwrap()["response"]["output"].as_array().unwrap().clone();
        let calls: Vec<_> = output.iter().map(|item| (text(&item["call_id"]), text(&item["arguments"]))).collect();
        assert_eq!(calls, both(), "{pieces:?}");
    }
}

#[tokio::test]
async fn a_message_has_each_as_a_block() {
    for pieces in streams() {
        let request = json!({"model": "small", "max_tokens": 9, "stream": true,
                             "messages": [{"role": "user", "content": "Hi"}]});
        let mut calls: Vec<(String, String)> = vec![];
        for event in read(&told(&pieces, "/v1/messages", request).await) {
            match event["type"].as_str().unwrap() {
                "content_block_start" => {
                    calls.push((event["content_block"]["id"].as_str().unwrap().to_owned(), String::new()));
                }
                "content_block_delta" => {
                    let place = usize::try_from(event["index"].as_u64().unwrap()).unwrap();
                    calls[place].1 += event["delta"]["partial_json"].as_str().unwrap();
                }
                _ => {}
            }
        }
        assert_eq!(calls, both(), "{pieces:?}");
    }
}

#[tokio::test]
async fn the_choices_of_one_stream_have_their_own_calls() {
    let running = Running::start().await;
    let piece = |choice: u32, id: &str| {
        let call = json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
        json!({"id": "c", "choices": [{"index": choice, "delta": {"tool_calls": [call]}, "finish_reason": null}]})
            .to_string()
    };
    let pieces = [piece(0, "a"), piece(1, "b"), piece(1, "c"), piece(0, "d")];
    let answer = pieces.iter().fold(Answer::stream(), |answer, piece| answer.event(piece));
    running.upstream.on("small-upstream", [answer.finish().event("[DONE]").end()]);
    let told = running.chat(ask_stream("small")).await.text().await.unwrap();
    let calls = read(&told).into_iter().filter_map(|mut chunk| {
        let choice = chunk["choices"][0].take();
        let call = choice.pointer("/delta/tool_calls/0")?.clone();
        Some((choice["index"].clone(), call["id"].clone(), call["index"].clone()))
    });
    let expected = [(0, "a", 0), (1, "b", 0), (1, "c", 1), (0, "d", 1)];
    assert_eq!(calls.collect::<Vec<_>>(), expected.map(|(choice, id, index)| (json!(choice), json!(id), json!(index))));
}

/// Pieces of a call, and what comes beside them and between.
const AMID: [&[&str]; 3] = [
    &[
        r#"{"content":"\n","tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"f","arguments":""}}]}"#,
        r#"{"content":"\n","tool_calls":[{"index":0,"function":{"arguments":"{\"x\""}}]}"#,
        r#"{"content":"\n","tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}"#,
    ],
    &[
        r#"{"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"f","arguments":"{\"x\""}}]}"#,
        r#"{"reasoning_content":"\n\n"}"#,
        r#"{"content":"\n"}"#,
        r#"{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}"#,
    ],
    &[
        r#"{"content":"\n\n"}"#,
        r#"{"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"get_","arguments":""}}]}"#,
        r#"{"tool_calls":[{"index":0,"id":"","function":{"name":"weather","arguments":""}}]}"#,
        r#"{"tool_calls":[{"index":0,"id":"","function":{"name":"","arguments":"{\"x\""}}]}"#,
        r#"{"content":"\n"}"#,
        r#"{"tool_calls":[{"index":0,"function":{"name":"get_weather","arguments":":1}"}}]}"#,
    ],
];
const NAMES: [&str; 3] = ["f", "f", "get_weather"];

fn amid(deltas: &[&str]) -> Answer {
    let chunk = |delta: &&str| {
        format!(r#"{{"id":"c","model":"m","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#)
    };
    let answer = deltas.iter().fold(Answer::stream(), |answer, delta| answer.event(&chunk(delta)));
    answer.finish().event("[DONE]").end()
}

async fn told_of(answer: Answer, path: &str) -> Vec<Value> {
    let running = Running::start().await;
    running.upstream.on("small-upstream", [answer]);
    let told = running.post(path, crate::both_names::request(path, true)).send().await.unwrap().text().await.unwrap();
    read(&told)
}

#[tokio::test]
async fn what_comes_amid_a_call_takes_nothing_from_it_in_a_response() {
    for (deltas, name) in AMID.into_iter().zip(NAMES) {
        let events = told_of(amid(deltas), "/v1/responses").await;
        let last = events.last().unwrap();
        assert_eq!(last["type"], "response.completed");
        let output = last["response"]["output"].as_array().unwrap();
        let call = output.iter().find(|item| item["type"] == "function_call").unwrap();
        assert_eq!((&call["name"], &call["arguments"]), (&json!(name), &json!("{\"x\":1}")), "{deltas:?}");
        assert!(output.iter().all(|item| item["type"] == "reasoning" || item["status"] == "completed"), "{output:?}");
        let of = |kind: &str| events.iter().filter(|event| event["type"] == kind).collect::<Vec<_>>();
        let added = of("response.output_item.added");
        let places: Vec<_> = added.iter().map(|event| event["output_index"].as_u64().unwrap()).collect();
        assert_eq!(places, (0..output.len() as u64).collect::<Vec<_>>());
        for done in of("response.output_item.done") {
            let place = usize::try_from(done["output_index"].as_u64().unwrap()).unwrap();
            assert_eq!((&done["item"], &done["item"]["id"]), (&output[place], &added[place]["item"]["id"]));
        }
        let delta = of("response.function_call_arguments.delta");
        assert!(delta.iter().all(|delta| delta["item_id"] == call["id"]));
        let texts = ["response.output_text.delta", "response.reasoning_summary_text.delta"].map(of).concat();
        let said: String = texts.iter().map(|piece| piece["delta"].as_str().unwrap()).collect();
        assert_eq!(said, "\n\n\n", "{deltas:?}");
    }
}

#[tokio::test]
async fn what_comes_amid_a_call_takes_nothing_from_it_in_a_message() {
    for (deltas, name) in AMID.into_iter().zip(NAMES) {
        let events = told_of(amid(deltas), "/v1/messages").await;
        let begins = |event: &&Value| event["content_block"]["type"] == "tool_use";
        let calls: Vec<&Value> = events.iter().filter(begins).map(|event| &event["content_block"]).collect();
        assert_eq!(
            (calls.len(), &calls[0]["name"], &calls[0]["id"]),
            (1, &json!(name), &json!("call_a")),
            "{deltas:?}"
        );
        let given: String = events.iter().filter_map(|event| event["delta"]["partial_json"].as_str()).collect();
        assert_eq!(given, "{\"x\":1}");
        assert_eq!(events.last().unwrap()["type"], "message_stop");
    }
}

#[tokio::test]
async fn a_call_that_is_given_nothing_is_told_all_the_same() {
    let call = r#"{"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"f"}}]}"#;
    let response = told_of(amid(&[call]), "/v1/responses").await.pop().unwrap()["response"].take();
    assert_eq!((&response["output"][0]["name"], &response["output"][0]["arguments"]), (&json!("f"), &json!("")));
    let events = told_of(amid(&[call]), "/v1/messages").await;
    assert!(events.iter().any(|event| event["content_block"]["name"] == "f"), "{events:?}");
}

#[tokio::test]
async fn a_piece_of_no_call_ends_the_stream_in_an_error_unless_it_is_blank() {
    let call =
        r#"{"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"f","arguments":"{}"}}]}"#;
    let stray = |given: &str| json!({"tool_calls": [{"index": 7, "function": {"arguments": given}}]}).to_string();
    let late = |given: &str| json!({"tool_calls": [{"index": 0, "function": {"arguments": given}}]}).to_string();
    for (path, error, well) in
        [("/v1/responses", "response.failed", "response.completed"), ("/v1/messages", "error", "message_stop")]
    {
        for (given, last) in [("{\"y\":2}", error), (" \n", well)] {
            let events = told_of(amid(&[call, &stray(given)]), path).await;
            assert_eq!(events.last().unwrap()["type"], last, "{path} {given}");
        }
    }
    for (given, last) in [("{\"y\":2}", "error"), (" \n", "message_stop")] {
        let events = told_of(amid(&[call, r#"{"content":"And"}"#, &late(given)]), "/v1/messages").await;
        assert_eq!(events.last().unwrap()["type"], last, "the block has ended: {given}");
    }
}
