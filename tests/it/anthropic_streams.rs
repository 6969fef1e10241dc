//! Anthropic's streams, translated, and through the whole gateway.

use bytes::Bytes;
use proptest::prelude::*;
use satisfice::api::sse::Decoder;
use satisfice::catalog::Usage;
use satisfice::trace::Outcome;
use satisfice::upstream::settings::Wire;
use satisfice::upstream::{StreamItem, WireEvent};
use serde_json::{Value, json};

use crate::anthropic::{claude, fixture};
use crate::gateway::{Options, Running, ask, ask_stream, error, header};
use crate::scripted::{Answer, KEY};
use crate::wire;

fn streamed(bytes: &Bytes) -> Vec<StreamItem> {
    wire::streamed(&claude(), &wire::hello(), bytes).unwrap()
}

fn deltas(items: &[StreamItem]) -> Vec<Value> {
    wire::chunks(items).iter().map(|chunk| chunk["choices"][0]["delta"].clone()).collect()
}

fn usage(items: &[StreamItem]) -> Option<Usage> {
    items.iter().rev().find_map(|item| match item {
        StreamItem::Chunk { usage, .. } => *usage,
        StreamItem::Done => None,
    })
}

#[test]
fn reads_a_text_and_lets_pings_and_news_pass() {
    let items = streamed(&fixture!("stream.sse"));
    let cited = json!({"index": 0, "type": "page_location", "page_location": {"cited_text": "!", "document_index": 0,
        "document_title": null, "start_page_number": 1, "end_page_number": 2, "start_index": 0, "end_index": 6}});
    let expected = [
        json!({"role": "assistant", "content": ""}),
        json!({"content": "Hello"}),
        json!({"content": "!"}),
        json!({"citations": [cited]}),
        json!({}),
        Value::Null,
    ];
    assert_eq!(deltas(&items), expected);
    let chunks = wire::chunks(&items);
    assert!(chunks.iter().all(|chunk| chunk["id"] == "msg_1nZdL29xx5MUA1yADyHTEsnR8uuvGzszyY"));
    assert_eq!(chunks[4]["choices"][0]["finish_reason"], "stop");
    let counted = Usage {
        input_tokens: 39,
        output_tokens: 15,
        cached_input_tokens: 10,
        cache_write_tokens: 4,
        ..Usage::default()
    };
    assert_eq!((usage(&items), items.last()), (Some(counted), Some(&StreamItem::Done)));
}

#[test]
fn reads_thoughts_and_parallel_calls_with_their_indices() {
    let items = streamed(&fixture!("tools.sse"));
    let signature = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds";
    let call = |index: usize, id: &str, name: &str| json!({"tool_calls": [{"id": id, "type": "function", "function": {"name": name, "arguments": ""}, "index": index}]});
    let arguments =
        |index: usize, piece: &str| json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]});
    let expected = [
        json!({"role": "assistant", "content": ""}),
        json!({"reasoning_content": "Two cities, "}),
        json!({"reasoning_content": "two calls."}),
        json!({"thinking_blocks": [{"index": 0, "type": "thinking", "thinking": "Two cities, two calls.", "signature": signature}]}),
        json!({"thinking_blocks": [{"index": 1, "type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"}]}),
        json!({"content": "Okay"}),
        call(0, "toolu_01A", "get_weather"),
        arguments(0, "{\"location\":"),
        arguments(0, " \"San Francisco, CA\"}"),
        call(1, "toolu_01B", "now"),
        arguments(1, "{}"),
        json!({}),
        Value::Null,
    ];
    assert_eq!(deltas(&items), expected);
    assert_eq!(wire::chunks(&items)[11]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(usage(&items).unwrap().reasoning_tokens, 40);
}

#[test]
fn a_block_that_is_a_list_is_no_reason_to_fall() {
    let data = [
        json!({"type": "message_start", "message": {"id": "m"}}),
        json!({"type": "content_block_start", "index": 0, "content_block": ["tomorrows", 1]}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}),
        json!({"type": "message_stop"}),
    ];
    let stream = data.map(|event| format!("data: {event}\n\n")).concat();
    let told = wire::streamed(&claude(), &wire::hello(), stream);
    assert!(told.is_err() || told.is_ok_and(|items| items.last() == Some(&StreamItem::Done)));
}

#[test]
fn an_error_amid_a_stream_ends_it_with_its_words() {
    let problem = wire::streamed(&claude(), &wire::hello(), fixture!("overloaded.sse")).unwrap_err();
    assert!(problem.contains("overloaded_error") && problem.contains("Overloaded"), "{problem}");
    let garbage = [WireEvent { name: None, data: "{\"type\":\"message_start\"}".into() }];
    assert!(wire::translated(&claude(), &wire::hello(), garbage).unwrap_err().contains("message"));
}

#[test]
fn the_input_of_the_answers_tool_is_streamed_as_the_content() {
    let request = wire::chat(
        r#"{"model":"a","messages":[{"role":"user","content":"x"}],"stream":true,"response_format":{"type":"json_object"}}"#,
    );
    let bytes = String::from_utf8(fixture!("tools.sse").to_vec()).unwrap().replace("get_weather", "answer");
    let first_call_only =
        bytes.split("event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":4").next();
    let finish = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":1}}\n\n";
    let items = wire::streamed(&claude(), &request, format!("{}{finish}", first_call_only.unwrap())).unwrap();
    let content: String =
        deltas(&items).iter().filter_map(|delta| delta["content"].as_str().map(str::to_owned)).collect();
    assert_eq!(content, "Okay{\"location\": \"San Francisco, CA\"}");
    assert_eq!(wire::chunks(&items).last().unwrap()["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn a_client_of_openais_gets_claudes_calls_and_thoughts_through_the_gateway() {
    let mut running = Running::with(Options { wire: Wire::Anthropic, ..Options::default() }).await;
    let answer = Answer::stream().piece(&fixture!("tools.sse")[..700]).piece(&fixture!("tools.sse")[700..]).end();
    running.upstream.on("small-upstream", [answer]);
    let mut request = ask_stream("small");
    request["tools"] = json!([{"type": "function", "function": {"name": "get_weather"}}]);
    request["stream_options"] = json!({"include_usage": true});
    let body = running.chat(request).await.text().await.unwrap();
    let events: Vec<&str> = body.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
    assert_eq!(events.last(), Some(&"[DONE]"));
    let chunks: Vec<Value> = events.iter().filter_map(|event| serde_json::from_str(event).ok()).collect();
    let own = wire::chunks(&streamed(&fixture!("tools.sse")));
    let deltas = |chunks: &[Value]| chunks.iter().map(|c| c["choices"][0]["delta"].clone()).collect::<Vec<_>>();
    assert_eq!(deltas(&chunks), deltas(&own));
    assert_eq!(chunks.last().unwrap()["usage"]["completion_tokens"], 89);

    let trace = running.finished().await;
    assert_eq!((trace.outcome, trace.reply.content.as_str()), (Outcome::Answered, "Okay"));
    assert_eq!((trace.usage.unwrap().input_tokens, trace.reply.tool_calls), (472, true));
    let seen = &running.upstream.seen()[0];
    assert_eq!((seen.line.as_str(), seen.headers["x-api-key"].to_str().unwrap()), ("POST /v1/messages", KEY));
    assert_eq!(seen.headers["anthropic-version"], "2023-06-01");
    assert!(!seen.headers.contains_key("authorization"));
}

#[tokio::test]
async fn what_claude_cannot_be_asked_is_refused_before_it_is_sent() {
    let running = Running::with(Options { wire: Wire::Anthropic, ..Options::default() }).await;
    let mut request = ask("small");
    request["seed"] = 7.into();
    let (status, error) = error(running.chat(request).await).await;
    assert_eq!((status, &error["param"]), (400, &json!("seed")));
    assert!(running.upstream.seen().is_empty());
}

#[tokio::test]
async fn an_overloaded_claude_is_asked_again() {
    let running = Running::with(Options { wire: Wire::Anthropic, ..Options::default() }).await;
    let overloaded = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let busy = Answer::whole(529, &[("content-type", "application/json")], overloaded);
    running.upstream.on("small-upstream", [busy, Answer::json(fixture!("message.json"))]);
    let response = running.chat(ask("small")).await;
    assert_eq!(header(&response, "x-satisfice-attempts"), Some("2"));
    let answer: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "Hi! My name is Claude. 😀");
}

proptest! {
    #[test]
    fn what_comes_out_does_not_depend_on_the_cuts(cuts in proptest::collection::vec(0usize..2000, 0..12)) {
        let bytes = fixture!("tools.sse");
        let mut decoder = Decoder::new(1 << 20);
        let mut events = vec![];
        let mut from = 0;
        let mut ends: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([bytes.len()]).collect();
        ends.sort_unstable();
        for end in ends {
            decoder.push(&bytes[from..end]);
            from = end;
            events.extend(std::iter::from_fn(|| decoder.next_event().unwrap()));
        }
        let events = events.into_iter().map(|data| WireEvent { name: None, data });
        let items = wire::translated(&claude(), &wire::hello(), events).unwrap();
        prop_assert_eq!(items, streamed(&bytes));
    }
}

#[test]
fn an_odd_count_does_not_cost_the_answer() {
    let event = |name: &str, data: Value| format!("event: {name}\ndata: {data}\n\n");
    let start = json!({"type": "message_start", "message": {"id": "m", "model": "c", "usage": null}});
    let block = json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}});
    let piece = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "fine"}});
    let odd = json!({"output_tokens": 2.0, "input_tokens": "7", "cache_read_input_tokens": -1});
    let end = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": odd});
    let stream = [
        event("message_start", start),
        event("content_block_start", block),
        event("content_block_delta", piece),
        event("content_block_stop", json!({"type": "content_block_stop", "index": 0})),
        event("message_delta", end),
        event("message_stop", json!({"type": "message_stop"})),
    ];
    let items = streamed(&stream.concat().into());
    assert!(deltas(&items).contains(&json!({"content": "fine"})));
    let counted = usage(&items).map(|usage| (usage.input_tokens, usage.output_tokens));
    assert_eq!(counted, Some((7, 2)));
    assert_eq!(items.last(), Some(&StreamItem::Done));
}
