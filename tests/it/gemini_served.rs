//! A client of OpenAI's wire before a provider of Google's: through the whole gateway.

use satisfice::trace::Outcome;
use satisfice::upstream::settings::Wire;
use serde_json::{Value, json};

use crate::gateway::{Options, Running, ask, ask_stream, body, header, settings};
use crate::scripted::Answer;
use crate::wire;

const TOOLS: &str = include_str!("../fixtures/gemini/tools.sse");

async fn start() -> Running {
    Running::with(Options { wire: Wire::Gemini, ..Options::default() }).await
}

#[tokio::test]
async fn streamed_calls_of_gemini_are_openais() {
    let mut running = start().await;
    running.upstream.on("small-upstream", [Answer::stream().piece(&TOOLS[..700]).piece(&TOOLS[700..]).end()]);
    let mut request = ask_stream("small");
    request["tools"] = json!([{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]);
    request["stream_options"] = json!({"include_usage": true});
    let body = running.chat(request).await.text().await.unwrap();
    let events: Vec<&str> = body.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
    assert_eq!(events.last(), Some(&"[DONE]"), "Google ends a stream without a word: {body}");
    let chunks: Vec<Value> =
        events[..events.len() - 1].iter().map(|data| serde_json::from_str(data).unwrap()).collect();
    let deltas = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]);
    let calls: Vec<(u64, &str)> = deltas
        .filter_map(|delta| delta.get("tool_calls"))
        .map(|call| (call[0]["index"].as_u64().unwrap(), call[0]["function"]["arguments"].as_str().unwrap()))
        .collect();
    assert_eq!(calls, [(0, r#"{"city":"Oulu"}"#), (1, r#"{"city":"Turku"}"#), (2, "{}")]);
    assert_eq!(chunks[chunks.len() - 2]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(chunks.last().unwrap()["usage"]["completion_tokens"], 40);

    let trace = running.finished().await;
    assert_eq!((trace.outcome, &*trace.reply.content), (Outcome::Answered, "Looking."));
    assert_eq!(trace.usage.unwrap().input_tokens, 80);
    let seen = &running.upstream.seen()[0];
    assert_eq!(seen.line, "POST /v1/models/small-upstream:streamGenerateContent?alt=sse");
    assert_eq!(seen.headers["x-goog-api-key"], crate::scripted::KEY);
    assert!(!seen.headers.contains_key("authorization"));
    assert_eq!(seen.json()["contents"][0]["parts"][0]["text"], "What is 2 + 2?");
}

/// The signatures in what Gemini is given.
fn signatures(running: &Running) -> Vec<Value> {
    let sent = running.upstream.seen().pop().unwrap().json();
    let contents = sent["contents"].as_array().unwrap().iter();
    let parts = contents.flat_map(|content| content["parts"].as_array().unwrap());
    parts.filter(|part| part["functionCall"].is_object()).map(|part| part["thoughtSignature"].clone()).collect()
}

#[tokio::test]
async fn signatures_of_calls_travel_through_anthropics_messages() {
    let running = start().await;
    let whole = Answer::json(include_str!("../fixtures/gemini/tools.json"));
    running.upstream.on("small-upstream", [whole, Answer::stream().piece(TOOLS).end()]);
    let ask = |messages: &Value, stream: bool| {
        let body = json!({"model": "small", "max_tokens": 100, "stream": stream, "messages": messages});
        running.post("/v1/messages", body.to_string()).send()
    };
    let question = json!({"role": "user", "content": "Weather?"});
    let answer = body(ask(&json!([question]), false).await.unwrap()).await["content"].take();
    let told = ask(&json!([question]), true).await.unwrap().bytes().await.unwrap();
    let streamed = blocks(&wire::events(&told));
    for content in [answer, streamed] {
        let calls = content.as_array().unwrap().iter().filter(|block| block["type"] == "tool_use");
        let result = |call: &Value| json!({"type": "tool_result", "tool_use_id": call["id"], "content": "3"});
        let results: Vec<Value> = calls.map(result).collect();
        let assistant = json!({"role": "assistant", "content": content});
        ask(&json!([question, assistant, {"role": "user", "content": results}]), false).await.unwrap();
        let signatures = signatures(&running);
        assert_eq!((signatures[0].as_str(), signatures.len()), (Some("c2lnbmVk"), results.len()));
        assert!(signatures[1..].iter().all(Value::is_null), "{signatures:?}");

        let claude = Running::with(Options { wire: Wire::Anthropic, ..Options::default() }).await;
        let messages = json!([question, assistant, {"role": "user", "content": results}]);
        let body = json!({"model": "small", "max_tokens": 100, "messages": messages});
        claude.post("/v1/messages", body.to_string()).send().await.unwrap();
        assert!(!claude.upstream.seen()[0].json().to_string().contains("c2lnbmVk"), "nobody else is given them");
    }
}

/// The blocks that these events tell of.
fn blocks(events: &[Value]) -> Value {
    let mut blocks: Vec<Value> = vec![];
    for event in events {
        let (start, input) = (&event["content_block"], &event["delta"]["partial_json"]);
        match event["type"].as_str() {
            Some("content_block_start") => blocks.push(start.clone()),
            Some("content_block_delta") if input.is_string() => {
                let block = &mut blocks[event["index"].as_u64().unwrap() as usize];
                block["input"] = serde_json::from_str(input.as_str().unwrap()).unwrap();
            }
            _ => {}
        }
    }
    blocks.into()
}

#[tokio::test]
async fn signatures_of_calls_travel_through_responses() {
    let running = start().await;
    let whole = Answer::json(include_str!("../fixtures/gemini/tools.json"));
    running.upstream.on("small-upstream", [whole, Answer::stream().piece(TOOLS).end()]);
    let ask = |input: &Value, stream: bool| {
        running.post("/v1/responses", json!({"model": "small", "input": input, "stream": stream}).to_string()).send()
    };
    let question = json!({"role": "user", "content": "Weather?"});
    let answer = body(ask(&json!([question]), false).await.unwrap()).await["output"].take();
    let told = ask(&json!([question]), true).await.unwrap().bytes().await.unwrap();
    let streamed = wire::events(&told).pop().unwrap()["response"]["output"].take();
    for output in [answer, streamed] {
        let output = output.as_array().unwrap();
        let calls = output.iter().filter(|item| item["type"] == "function_call");
        let result = |call: &Value| json!({"type": "function_call_output", "call_id": call["call_id"], "output": "3"});
        let results: Vec<Value> = calls.map(result).collect();
        let input = [std::slice::from_ref(&question), &output[..], &results[..]].concat();
        ask(&input.into(), false).await.unwrap();
        let signatures = signatures(&running);
        assert_eq!((signatures[0].as_str(), signatures.len()), (Some("c2lnbmVk"), results.len()));
        assert!(signatures[1..].iter().all(Value::is_null), "{signatures:?}");
    }
}

#[tokio::test]
async fn a_bad_key_is_not_the_clients_fault_and_another_model_answers() {
    let running = start().await;
    let error = include_str!("../fixtures/gemini/error_key.json");
    running.upstream.on("small-upstream", [Answer::whole(400, &[("content-type", "application/json")], error)]);
    running.upstream.on("large-upstream", [Answer::json(include_str!("../fixtures/gemini/answer.json"))]);
    let response = running.chat(ask("small")).await;
    assert_eq!(response.status(), 502, "the gateway's own key is at fault");
    let response = running.chat(ask("auto")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "x-satisfice-model"), Some("test/large"));
}

#[tokio::test]
async fn what_gemini_knows_nothing_like_is_refused_by_name() {
    let running = start().await;
    let mut request = ask("small");
    request["logit_bias"] = json!({"5": 1});
    let response = running.chat(request).await;
    assert_eq!(response.status(), 400);
    let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(body["error"]["param"], "logit_bias");
    assert!(running.upstream.seen().is_empty());
}

#[tokio::test]
async fn what_gemini_knows_nothing_like_is_left_out_where_body_header_or_route_say_so() {
    let mut settings = settings();
    settings.routes[0].drop_unsupported = true;
    let running = Running::with(Options { wire: Wire::Gemini, settings, ..Options::default() }).await;
    for model in ["small-upstream", "large-upstream"] {
        running.upstream.on(model, [Answer::json(include_str!("../fixtures/gemini/answer.json"))]);
    }
    for (model, body, header, status) in [
        ("small", None, None, 400),
        ("small", None, Some("true"), 200),
        ("small", Some(true), Some("false"), 200),
        ("small", Some(false), Some("true"), 400),
        ("auto", None, None, 200),
        ("auto", None, Some("false"), 400),
        ("auto", Some(false), None, 400),
        ("auto", None, Some("perhaps"), 400),
    ] {
        let mut request = ask(model);
        request["logit_bias"] = json!({"5": 1});
        body.into_iter().for_each(|drop: bool| request["drop_unsupported"] = drop.into());
        let posted = running.post("/v1/chat/completions", request.to_string());
        let posted = match header {
            Some(header) => posted.header("x-satisfice-drop-unsupported", header),
            None => posted,
        };
        assert_eq!(posted.send().await.unwrap().status(), status, "{model} {body:?} {header:?}");
    }
    let sent: Vec<Value> = running.upstream.seen().iter().map(crate::scripted::Seen::json).collect();
    assert!(sent.iter().all(|sent| !sent.to_string().contains("unsupported")), "{sent:?}");
}
