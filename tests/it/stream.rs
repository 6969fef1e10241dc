//! `POST /v1/chat/completions`, streamed answers.

use satisfice::trace::{Event, Outcome};
use serde_json::{Value, json};

use crate::gateway::{Running, ask_stream, header};
use crate::scripted::{Answer, Gate};

/// The data of each event of a body.
fn events(body: &str) -> Vec<&str> {
    body.split("\n\n").filter(|event| !event.is_empty()).map(|event| event.strip_prefix("data: ").unwrap()).collect()
}

fn text(event: &str) -> String {
    let chunk: Value = serde_json::from_str(event).unwrap();
    chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn pieces_arrive_as_they_come_and_usage_stays_with_the_gateway() {
    let mut running = Running::start().await;
    running.upstream.on("small-upstream", [Answer::says(&["Hel", "lo"])]);
    let response = running.chat(ask_stream("small")).await;
    assert_eq!(header(&response, "content-type"), Some("text/event-stream"));
    assert_eq!(header(&response, "cache-control"), Some("no-cache"));
    assert_eq!(header(&response, "x-satisfice-model"), Some("test/small"));
    assert_eq!(header(&response, "x-satisfice-cost-usd"), None);
    let body = response.text().await.unwrap();
    let events = events(&body);
    assert_eq!(events.iter().filter(|e| **e != "[DONE]").map(|e| text(e)).collect::<String>(), "Hello");
    assert_eq!(events.last(), Some(&"[DONE]"));
    assert_eq!(events.len(), 4, "two pieces, the finish, [DONE]; no usage: {body}");

    let trace = running.finished().await;
    assert_eq!((trace.outcome, trace.reply.content.as_str()), (Outcome::Answered, "Hello"));
    assert_eq!(trace.usage.unwrap().input_tokens, 10);
    assert!(trace.cost_usd.unwrap() > 0.0 && trace.first_byte_us.unwrap() <= trace.total_us);
    assert_eq!(running.upstream.seen()[0].json()["stream_options"], json!({"include_usage": true}));
}

#[tokio::test]
async fn the_learner_hears_who_streams_before_the_answer_ends() {
    let mut running = Running::start().await;
    let gate = Gate::closed();
    let answer = Answer::stream().text("first").wait(&gate).finish().event("[DONE]").end();
    running.upstream.on("small-upstream", [answer.clone()]);
    running.upstream.on("large-upstream", [answer]);
    let response = running.chat(ask_stream("auto")).await;
    let id = header(&response, "x-satisfice-trace-id").unwrap().to_owned();
    let Event::Decided { trace, decision, .. } = running.event().await else { panic!("no decision") };
    assert_eq!(trace.to_string(), id);
    gate.open();
    response.bytes().await.unwrap();
    assert_eq!(running.finished().await.decision, Some(decision));
}

#[tokio::test]
async fn usage_is_shown_to_a_client_that_asks() {
    let running = Running::start().await;
    let mut request = ask_stream("small");
    request["stream_options"] = json!({"include_usage": true});
    let body = running.chat(request).await.text().await.unwrap();
    let usage: Vec<Value> = events(&body).iter().filter_map(|e| serde_json::from_str(e).ok()).collect();
    assert_eq!(usage.last().unwrap()["usage"]["completion_tokens"], 5, "{body}");
}

#[tokio::test]
async fn a_piece_leaves_at_once() {
    let running = Running::start().await;
    let gate = Gate::closed();
    let answer = Answer::stream().text("first").wait(&gate).text("second").finish().event("[DONE]").end();
    running.upstream.on("small-upstream", [answer]);
    let mut response = running.chat(ask_stream("small")).await;
    let first = response.chunk().await.unwrap().unwrap();
    assert_eq!(text(events(std::str::from_utf8(&first).unwrap())[0]), "first");
    gate.open();
    assert!(response.text().await.unwrap().ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn a_cut_stream_ends_in_an_error_and_no_finish_is_made_up() {
    let mut running = Running::start().await;
    let gate = Gate::closed();
    running.upstream.on("small-upstream", [Answer::stream().text("half").wait(&gate).reset()]);
    let response = running.chat(ask_stream("small")).await;
    gate.open();
    let body = response.text().await.unwrap();
    let events = events(&body);
    assert_eq!(text(events[0]), "half");
    let last: Value = serde_json::from_str(events.last().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "upstream_cut", "{body}");
    assert!(!body.contains("[DONE]") && !body.contains("\"stop\""), "{body}");
    assert_eq!(running.finished().await.outcome, Outcome::Cut);
    assert!(running.stop().await.is_empty());
}

#[tokio::test]
async fn a_stream_that_ends_without_done_was_cut() {
    let mut running = Running::start().await;
    running.upstream.on("small-upstream", [Answer::stream().text("half").end()]);
    let body = running.chat(ask_stream("small")).await.text().await.unwrap();
    assert!(body.contains("upstream_cut") && !body.contains("[DONE]"), "{body}");
    assert_eq!(running.finished().await.outcome, Outcome::Cut);
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_call_and_is_recorded_once() {
    let mut running = Running::start().await;
    running.upstream.on("small-upstream", [Answer::stream().text("so far").hang()]);
    let mut response = running.chat(ask_stream("small")).await;
    response.chunk().await.unwrap().unwrap();
    drop(response);
    running.upstream.until_hung_up(1).await;
    let trace = running.finished().await;
    assert_eq!((trace.outcome, trace.reply.content.as_str()), (Outcome::ClientGone, "so far"));
    let usage = trace.usage.unwrap();
    assert_eq!(usage.output_tokens, 2, "estimated: no provider counts before the end");
    assert!(usage.input_tokens == 4 && trace.cost_usd.unwrap() > 0.0, "the question is 14 bytes");
    assert!(running.stop().await.is_empty());
}

#[tokio::test]
async fn another_model_streams_where_the_first_fails_before_its_first_byte() {
    let mut running = Running::start().await;
    let first = running.chat(ask_stream("auto")).await;
    let chosen = header(&first, "x-satisfice-model").unwrap().trim_start_matches("test/").to_owned();
    first.text().await.unwrap();
    running.finished().await;
    running.upstream.on(&format!("{chosen}-upstream"), [Answer::status(500, "broken")]);
    let response = running.chat(ask_stream("auto")).await;
    assert_eq!(header(&response, "x-satisfice-decision"), Some("fallback"));
    assert_eq!(header(&response, "x-satisfice-attempts"), Some("2"));
    assert!(response.text().await.unwrap().ends_with("data: [DONE]\n\n"));
    assert_eq!(running.finished().await.attempts.len(), 2);
}

#[tokio::test]
async fn a_gateway_that_stops_lets_a_stream_end() {
    let running = Running::start().await;
    let gate = Gate::closed();
    let answer = Answer::stream().text("first").wait(&gate).finish().event("[DONE]").end();
    running.upstream.on("small-upstream", [answer]);
    let response = running.chat(ask_stream("small")).await;
    let rest = tokio::spawn(response.text());
    let upstream = running.upstream.seen().len();
    assert_eq!(upstream, 1);
    gate.open();
    let events = running.stop().await;
    assert!(rest.await.unwrap().unwrap().ends_with("data: [DONE]\n\n"));
    assert_eq!(events.len(), 1);
}

#[tokio::test]
async fn a_gateway_that_is_told_again_to_stop_ends_a_stream_with_an_error_and_records_why() {
    let mut running = Running::start().await;
    let answer = || Answer::stream().text("first").hang();
    running.upstream.on("small-upstream", [answer(), answer()]);
    let mut chat = running.chat(ask_stream("small")).await;
    assert!(chat.chunk().await.unwrap().is_some(), "it has begun");
    let body = r#"{"model":"small","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"Hello"}]}"#;
    let mut message = running.post("/v1/messages", body).send().await.unwrap();
    assert!(message.chunk().await.unwrap().is_some());
    running.tell_to_end_at_once();
    for (told, error) in [(chat, r#""code":"stopping""#), (message, "event: error")] {
        let told = told.text().await.unwrap();
        assert!(told.contains("the gateway was stopped before the answer's end") && told.contains(error), "{told}");
    }
    for _ in 0..2 {
        let trace = running.finished().await;
        let why = trace.attempts[0].error.as_deref();
        assert_eq!((trace.outcome, why), (Outcome::Cut, Some("the gateway was stopped before the answer's end")));
    }
}

#[tokio::test]
async fn a_stream_of_several_choices_has_ended_well_once_each_of_them_has() {
    let mut running = Running::start().await;
    let choice = |index: usize, content: &str, reason: Value| {
        json!({"id": "c", "object": "chat.completion.chunk", "choices": [
            {"index": index, "delta": {"content": content}, "finish_reason": reason}]})
        .to_string()
    };
    let cut = || Answer::stream().event(&choice(0, "a", Value::Null)).event(&choice(1, "b", Value::Null));
    let cut = || cut().event(&choice(0, "", "stop".into()));
    let half = cut().event("[DONE]");
    let ignored =
        Answer::stream().event(&choice(0, "a", Value::Null)).event(&choice(0, "", "stop".into())).event("[DONE]");
    let unseen = Answer::stream().event(&choice(0, "a", "stop".into()));
    let whole = cut().event(&choice(1, "", "length".into())).usage();
    let endings = [
        (cut(), Outcome::Cut),
        (half, Outcome::Cut),
        (unseen, Outcome::Cut),
        (whole, Outcome::Answered),
        (ignored, Outcome::Answered),
    ];
    for (answer, outcome) in endings {
        running.upstream.on("small-upstream", [answer.end()]);
        let mut request = ask_stream("small");
        request["n"] = 2.into();
        let body = running.chat(request).await.text().await.unwrap();
        let cut = outcome == Outcome::Cut;
        assert_eq!((body.contains("[DONE]"), body.contains("the stream was cut")), (!cut, cut), "{body}");
        assert_eq!(running.finished().await.outcome, outcome);
    }
}

#[tokio::test]
async fn an_answer_that_broke_off_costs_all_that_was_said_and_not_what_is_kept_of_it_alone() {
    let mut running = Running::start().await;
    let chunk = |index: usize, delta: Value| {
        json!({"choices": [{"index": index, "delta": delta, "finish_reason": null}]}).to_string()
    };
    let forty = "x".repeat(40);
    let called = json!([{"index": 0, "id": "a", "function": {"name": "f", "arguments": forty}}]);
    let answer = Answer::stream()
        .event(&chunk(0, json!({"reasoning": forty, "reasoning_content": forty})))
        .event(&chunk(0, json!({"content": "y".repeat(100_000)})))
        .event(&chunk(1, json!({"content": forty})))
        .event(&chunk(0, json!({"tool_calls": called})))
        .end();
    running.upstream.on("small-upstream", [answer]);
    running.chat(ask_stream("small")).await.text().await.unwrap();
    let trace = running.finished().await;
    assert_eq!((trace.outcome, trace.reply.truncated), (Outcome::Cut, true));
    assert_eq!(trace.usage.unwrap().output_tokens, (100_000 + 3 * 40) / 4);
}

#[tokio::test]
async fn usage_that_comes_with_the_finish_is_shown_to_who_asks_alone() {
    let mut running = Running::start().await;
    let finish = r#"{"id":"c","usage" : {"prompt_tokens":10,"completion_tokens":5},"x": 1.50,"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let said = r#"{"id":"c","usage":null,"choices":[{"index":0,"delta":{"content":"of \"usage\": 1"}}]}"#;
    let answer = || Answer::stream().event(said).event(finish).event("[DONE]").end();
    running.upstream.on("small-upstream", [answer(), answer()]);
    let body = running.chat(ask_stream("small")).await.text().await.unwrap();
    let without = r#"{"id":"c","x":1.50,"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    assert_eq!(events(&body), [said, without, "[DONE]"]);
    assert_eq!(running.finished().await.usage.unwrap().output_tokens, 5);
    let mut asking = ask_stream("small");
    asking["stream_options"] = json!({"include_usage": true});
    let body = running.chat(asking).await.text().await.unwrap();
    assert_eq!(events(&body), [said, finish, "[DONE]"]);
}
