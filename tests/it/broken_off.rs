//! What an answer that broke off cost: what its provider had counted by then, and an estimate of the rest.

use std::time::Duration;

use satisfice::catalog::Usage;
use satisfice::gateway::{DEFAULT_DEADLINES, MAX_KEPT_REQUEST, Settings};
use satisfice::trace::{Outcome, Trace};
use satisfice::upstream::Deadlines;
use satisfice::upstream::settings::Wire;
use serde_json::{Value, json};

use crate::cache::metric;
use crate::gateway::{Options, Running, ask, ask_stream, settings};
use crate::scripted::Answer;

async fn before(wire: Wire) -> Running {
    Running::with(Options { wire, ..Options::default() }).await
}

/// What is recorded of a stream by `small` that breaks off after these events, and what its client got.
async fn cut(wire: Wire, events: &[Value]) -> (Trace, String) {
    let mut running = before(wire).await;
    let answer = events.iter().fold(Answer::stream(), |answer, event| answer.event(&event.to_string()));
    running.upstream.on("small-upstream", [answer.end()]);
    let body = running.chat(ask_stream("small")).await.text().await.unwrap();
    let trace = running.finished().await;
    assert_eq!(trace.outcome, Outcome::Cut, "{body}");
    (trace, body)
}

fn counted(trace: &Trace) -> (u32, u32, u32) {
    let Usage { input_tokens, cached_input_tokens, output_tokens, .. } = trace.usage.unwrap();
    (input_tokens, cached_input_tokens, output_tokens)
}

/// The beginning of a message of Claude's whose prompt was 600 new tokens and 400 cached ones, and 40 bytes of it.
fn begun() -> [Value; 3] {
    let usage = json!({"input_tokens": 600, "cache_read_input_tokens": 400, "output_tokens": 1});
    [
        json!({"type": "message_start", "message": {"id": "m", "model": "claude", "usage": usage}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x".repeat(40)}}),
    ]
}

/// An event of Gemini's that says this, and counts so.
fn said(text: &str, counts: Value) -> Value {
    let content = json!({"role": "model", "parts": [{"text": text}]});
    json!({"candidates": [{"content": content, "index": 0}], "usageMetadata": counts})
}

fn chunk(delta: Value, finish: Option<&str>) -> Value {
    json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
}

#[tokio::test]
async fn what_claude_counted_of_the_prompt_is_kept_of_an_answer_that_was_cut() {
    let (trace, body) = cut(Wire::Anthropic, &begun()).await;
    assert_eq!(counted(&trace), (1000, 400, 10));
    assert!(!body.contains("usage"), "no client hears of it: {body}");
    let overloaded = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    let (trace, _) = cut(Wire::Anthropic, &[&begun()[..], &[overloaded]].concat()).await;
    assert_eq!(counted(&trace), (1000, 400, 10));
}

#[tokio::test]
async fn a_prompt_that_was_not_counted_is_estimated() {
    let mut events = begun();
    for message in [json!({"id": "m"}), json!({"id": "m", "usage": {"input_tokens": 0, "output_tokens": 0}})] {
        events[0] = json!({"type": "message_start", "message": message});
        let (trace, _) = cut(Wire::Anthropic, &events).await;
        assert_eq!(counted(&trace), (4, 0, 10), "the question is 14 bytes");
    }
}

#[tokio::test]
async fn what_claude_counted_of_the_prompt_is_kept_of_an_answer_whose_client_left() {
    let mut running = before(Wire::Anthropic).await;
    let answer = begun().iter().fold(Answer::stream(), |answer, event| answer.event(&event.to_string()));
    running.upstream.on("small-upstream", [answer.hang()]);
    let mut response = running.chat(ask_stream("small")).await;
    response.chunk().await.unwrap().unwrap();
    drop(response);
    let trace = running.finished().await;
    let (input, cached, _) = counted(&trace);
    assert_eq!((trace.outcome, input, cached), (Outcome::ClientGone, 1000, 400));
}

#[tokio::test]
async fn what_gemini_counted_with_each_event_is_kept_of_an_answer_that_was_cut() {
    let counts = |output: u32| json!({"promptTokenCount": 1000, "candidatesTokenCount": output});
    let (trace, body) = cut(Wire::Gemini, &[said("hel", counts(300)), said("lo", counts(600))]).await;
    assert_eq!(counted(&trace), (1000, 0, 600));
    assert!((trace.cost_usd.unwrap() - (1000.0 * 0.1 + 600.0 * 0.2) / 1e6).abs() < 1e-12);
    assert!(!body.contains("usage"), "no client hears of it: {body}");
    let prompt = || json!({"promptTokenCount": 1000, "totalTokenCount": 1000});
    let (trace, _) = cut(Wire::Gemini, &[said(&"x".repeat(40), prompt()), said(&"x".repeat(40), prompt())]).await;
    assert_eq!(counted(&trace), (1000, 0, 20), "the answer was not counted yet");
}

#[tokio::test]
async fn a_count_from_before_the_answer_does_not_stand_for_it() {
    let mut first = chunk(json!({"role": "assistant", "content": ""}), None);
    first["usage"] = json!({"prompt_tokens": 1000, "completion_tokens": 0, "total_tokens": 1000});
    let rest = chunk(json!({"content": "hello there my friend ".repeat(20)}), None);
    let (trace, _) = cut(Wire::OpenAi, &[first, rest]).await;
    assert_eq!(counted(&trace), (1000, 0, 110));
    assert!((trace.cost_usd.unwrap() - (1000.0 * 0.1 + 110.0 * 0.2) / 1e6).abs() < 1e-12);
}

#[tokio::test]
async fn the_count_of_an_answer_that_had_finished_stands_though_its_client_left_before_the_end() {
    let mut running = Running::start().await;
    let long = chunk(json!({"content": "x".repeat(400)}), Some("stop")).to_string();
    running.upstream.on("small-upstream", [Answer::stream().event(&long).usage().hang()]);
    let mut asking = ask_stream("small");
    asking["stream_options"] = json!({"include_usage": true});
    let mut response = running.chat(asking).await;
    let mut body = vec![];
    while !String::from_utf8_lossy(&body).contains("completion_tokens") {
        body.extend(response.chunk().await.unwrap().unwrap());
    }
    drop(response);
    let trace = running.finished().await;
    assert_eq!((trace.outcome, counted(&trace)), (Outcome::ClientGone, (10, 0, 5)));
}

#[tokio::test]
async fn the_prompt_of_a_call_that_its_client_did_not_wait_for_is_estimated() {
    let mut running = Running::start().await;
    running.upstream.on("small-upstream", [Answer::default().hang()]);
    let mut asking = ask("small");
    asking["messages"][0]["content"] = "word ".repeat(4000).into();
    let asked = tokio::spawn(running.post("/v1/chat/completions", asking.to_string()).send());
    running.upstream.until_seen(1).await;
    asked.abort();
    let trace = running.finished().await;
    assert_eq!((trace.outcome, trace.model, trace.usage), (Outcome::ClientGone, None, None));
    assert!((trace.cost_usd.unwrap() - 5000.0 * 0.1 / 1e6).abs() < 1e-12, "{:?}", trace.cost_usd);
    metric(&running, "satisfice_cost_usd_total{model=\"test/small\"} 0.0005").await;
}

#[tokio::test]
async fn the_prompts_of_calls_that_were_late_are_estimated() {
    let deadlines = Deadlines { first_byte: Duration::from_millis(50), ..DEFAULT_DEADLINES };
    let settings = Settings { deadlines, attempts: 2, ..settings() };
    let mut running = Running::with(Options { settings, ..Options::default() }).await;
    running.upstream.on("", [Answer::default().hang()]);
    let mut asking = ask("auto");
    asking["messages"][0]["content"] = "word ".repeat(4000).into();
    assert_eq!(running.chat(asking).await.status(), 504);
    let trace = running.finished().await;
    assert_eq!((trace.outcome, trace.attempts.len()), (Outcome::Failed, 2));
    assert!((trace.cost_usd.unwrap() - 5000.0 * (0.1 + 1.0) / 1e6).abs() < 1e-12, "{:?}", trace.cost_usd);
    metric(&running, "satisfice_cost_usd_total{model=\"test/small\"} 0.0005").await;
}

/// The input tokens that are recorded of an answer to `content` that is cut before anybody counted.
async fn estimated(running: &mut Running, model: &str, content: &Value) -> u32 {
    let mut asking = ask_stream(model);
    asking["messages"][0]["content"] = content.clone();
    running.chat(asking).await.text().await.unwrap();
    let trace = running.finished().await;
    assert_eq!(trace.outcome, Outcome::Cut);
    trace.usage.unwrap().input_tokens
}

#[tokio::test]
async fn a_prompt_is_estimated_alike_whether_a_model_or_a_route_is_asked() {
    let mut running = Running::start().await;
    for model in ["small-upstream", "large-upstream"] {
        running.upstream.on(model, [Answer::stream().text("half").end()]);
    }
    let picture = format!("data:image/png;base64,{}", "A".repeat(200_000));
    let seen = json!([{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": picture}}]);
    let long = Value::from("word ".repeat(MAX_KEPT_REQUEST / 4));
    for (content, tokens) in [(seen, 768), (long, u32::try_from(MAX_KEPT_REQUEST / 16 * 5).unwrap())] {
        for model in ["auto", "small"] {
            assert_eq!(estimated(&mut running, model, &content).await, tokens, "{model}");
        }
    }
}
