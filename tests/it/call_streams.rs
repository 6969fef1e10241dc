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
