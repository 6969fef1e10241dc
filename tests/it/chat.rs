//! `POST /v1/chat/completions`, whole answers.

use std::sync::Arc;

use satisfice::gateway::MAX_WAITING;
use satisfice::policy::Kind;
use satisfice::trace::{Event, Outcome, Trace};
use serde_json::{Value, json};

use crate::both_names;
use crate::gateway::{Options, Running, ask, error, header};
use crate::scripted::Answer;

#[tokio::test]
async fn a_route_answers_and_the_learner_hears_the_end_with_its_decision() {
    let mut running = Running::start().await;
    let response = running.chat(ask("auto")).await;
    assert_eq!(response.status(), 200);
    let trace = header(&response, "x-satisfice-trace-id").unwrap().to_owned();
    assert_eq!(header(&response, "x-satisfice-route"), Some("auto"));
    assert_eq!(header(&response, "x-satisfice-attempts"), Some("1"));
    let model = header(&response, "x-satisfice-model").unwrap().to_owned();
    assert!(header(&response, "x-satisfice-propensity").unwrap().parse::<f64>().unwrap() > 0.0);
    assert!((0.0..=1.0).contains(&header(&response, "x-satisfice-difficulty").unwrap().parse::<f64>().unwrap()));
    let cost: f64 = header(&response, "x-satisfice-cost-usd").unwrap().parse().unwrap();

    let Event::Finished(finished) = running.event().await else { panic!("no end") };
    assert_eq!((finished.id.to_string(), finished.route.as_deref()), (trace, Some("auto")));
    assert_eq!(finished.model.unwrap().to_string(), model);
    assert_eq!(finished.decision.unwrap().knob, satisfice::policy::Knob::Quality(0.95));
    assert_eq!(finished.outcome, Outcome::Answered);
    assert_eq!((finished.cost_usd, finished.usage.unwrap().output_tokens), (Some(cost), 5));
    assert_eq!((finished.reply.content.as_str(), finished.reply.finish_reason.as_deref()), ("ok", Some("stop")));
    assert_eq!(serde_json::from_slice::<Value>(&finished.request).unwrap(), ask("auto"));
    assert!(running.stop().await.is_empty());
}

#[tokio::test]
async fn a_trace_is_where_sdks_look_for_the_id_of_a_request_and_an_upstreams_own_is_not() {
    let running = Running::start().await;
    let own = [("x-request-id", "req_upstream"), ("request-id", "req_upstream")];
    let answer = json!({"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]}).to_string();
    for (path, name) in [
        ("/v1/chat/completions", "x-request-id"),
        ("/v1/responses", "x-request-id"),
        ("/v1/messages", "x-request-id"),
        ("/v1/messages", "request-id"),
    ] {
        for status in [200, 400] {
            running.upstream.on("small-upstream", [Answer::whole(status, &own, &answer)]);
            let response = running.post(path, both_names::request(path, false)).send().await.unwrap();
            assert_eq!(response.status(), status, "{path}");
            let trace = header(&response, "x-satisfice-trace-id").unwrap();
            assert!(trace.parse::<uuid::Uuid>().is_ok());
            assert_eq!(header(&response, name), Some(trace), "{path}");
        }
    }
}

#[tokio::test]
async fn tools_schemas_and_fields_that_nobody_knows_pass_both_ways() {
    let running = Running::start().await;
    let reply = json!({"id": "x", "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
        "role": "assistant", "content": null, "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "2", "type": "function", "function": {"name": "g", "arguments": "{}"}}]}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2}, "system_fingerprint": "fp", "novelty": [1, 2]});
    running.upstream.on("small-upstream", [Answer::json(reply.to_string())]);
    let mut request = ask("small");
    request["tools"] = json!([{"type": "function", "function": {"name": "f", "parameters": {}}}]);
    request["parallel_tool_calls"] = true.into();
    request["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "s", "schema": {}}});
    request["seed"] = 7.into();
    request["logprobs"] = true.into();
    request["nobody_knows"] = json!({"a": [1, null]});
    let response = running.chat(request.clone()).await;
    let answered: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(answered, reply);
    request["model"] = "small-upstream".into();
    assert_eq!(running.upstream.seen()[0].json(), request);
}

#[tokio::test]
async fn a_named_model_is_pinned_and_nothing_is_decided() {
    let mut running = Running::start().await;
    for name in ["large", "test/large"] {
        let response = running.chat(ask(name)).await;
        assert_eq!(header(&response, "x-satisfice-decision"), Some("pinned"));
        assert_eq!(header(&response, "x-satisfice-model"), Some("test/large"));
        assert_eq!(header(&response, "x-satisfice-route"), None);
        assert_eq!(header(&response, "x-satisfice-propensity"), None);
        let Event::Finished(trace) = running.event().await else { panic!("something was decided") };
        assert_eq!((trace.route, trace.decision), (None, None));
    }
}

#[tokio::test]
async fn the_next_model_answers_where_the_first_fails() {
    let mut running = Running::start().await;
    let first = running.chat(ask("auto")).await;
    let chosen = header(&first, "x-satisfice-model").unwrap().trim_start_matches("test/").to_owned();
    running.finished().await;
    running.upstream.on(&format!("{chosen}-upstream"), [Answer::status(503, "busy")]);

    let response = running.chat(ask("auto")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "x-satisfice-decision"), Some("fallback"));
    assert_eq!(header(&response, "x-satisfice-attempts"), Some("2"));
    assert_eq!(header(&response, "x-satisfice-propensity"), None, "another one was drawn");
    assert_ne!(header(&response, "x-satisfice-model"), Some(format!("test/{chosen}").as_str()));
    let trace = running.finished().await;
    let statuses: Vec<_> = trace.attempts.iter().map(|a| (a.status, a.error.is_some())).collect();
    assert_eq!(statuses, [(Some(503), true), (Some(200), false)]);
    assert_eq!(trace.attempts[0].model.model, chosen);
    let decision = trace.decision.unwrap();
    assert_eq!(decision.candidates[decision.chosen].arm, chosen);
}

#[tokio::test]
async fn without_a_published_policy_the_safest_model_answers() {
    let mut running = Running::with(Options { published: false, ..Options::default() }).await;
    let response = running.chat(ask("auto")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "x-satisfice-decision"), Some("fallback"));
    assert_eq!(header(&response, "x-satisfice-model"), Some("test/large"), "the dearest");
    let Event::Finished(trace) = running.event().await else { panic!("something was decided") };
    assert_eq!((trace.route.as_deref(), trace.decision), (Some("auto"), None));
    assert_eq!(running.get("/ready").send().await.unwrap().status(), 503);
    let metrics = running.get("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("satisfice_undecided_requests_total 1"), "{metrics}");
}

#[tokio::test]
async fn that_nothing_can_be_decided_is_told_once_and_not_with_each_request() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let lines = tracing_subscriber::fmt().with_writer(Arc::new(log.reopen().unwrap())).finish();
    let _of_this_thread = tracing::subscriber::set_default(lines);
    let running = Running::with(Options { published: false, ..Options::default() }).await;
    for _ in 0..3 {
        assert_eq!(running.chat(ask("auto")).await.status(), 200);
    }
    let told = std::fs::read_to_string(log.path()).unwrap();
    assert_eq!(told.matches("undecided").count(), 1, "{told}");
}

#[tokio::test]
async fn a_gateway_whose_learner_ended_answers_and_says_that_it_is_to_be_restarted() {
    let mut running = Running::start().await;
    assert_eq!(running.get("/health").send().await.unwrap().status(), 200);
    running.lose_learner();
    assert_eq!(running.chat(ask("auto")).await.status(), 200);
    let (status, error) = error(running.get("/health").send().await.unwrap()).await;
    assert_eq!((status, &error["code"]), (503, &"learner_ended".into()));
    assert_eq!(running.get("/ready").send().await.unwrap().status(), 503);
}

#[tokio::test]
async fn the_quality_of_one_request_is_its_own() {
    let mut running = Running::start().await;
    let request = running.post("/v1/chat/completions", ask("auto").to_string());
    let response = request.header("x-satisfice-quality", "0.5").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let decision = running.finished().await.decision.unwrap();
    assert_eq!(decision.knob, satisfice::policy::Knob::Quality(0.5));
    assert_ne!(decision.kind, Kind::Pinned);
}

#[tokio::test]
async fn a_learner_that_does_not_keep_up_delays_nobody_and_drops_are_counted() {
    let mut running = Running::with(Options { room: 1, ..Options::default() }).await;
    for _ in 0..3 {
        assert_eq!(running.chat(ask("auto")).await.status(), 200);
    }
    let metrics = running.get("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("satisfice_events_dropped_total{kind=\"finished\"} 2"), "{metrics}");
    assert!(matches!(running.event().await, Event::Finished(_)));
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_call_and_is_recorded() {
    let mut running = Running::start().await;
    running.upstream.on("small-upstream", [Answer::default().hang()]);
    let request = running.post("/v1/chat/completions", ask("small").to_string()).send();
    tokio::select! {
        _ = request => panic!("the upstream says nothing"),
        () = running.upstream.until_seen(1) => {}
    }
    running.upstream.until_hung_up(1).await;
    let trace = running.finished().await;
    assert_eq!((trace.outcome, trace.model), (Outcome::ClientGone, None));
    let asked: Vec<_> = trace.attempts.iter().map(|call| (call.model.to_string(), call.status)).collect();
    assert_eq!(asked, [("test/small".to_owned(), None)], "whom it did not wait for");
    assert_eq!(trace.attempts[0].error.as_deref(), Some("the client left before the answer began"));
    assert!(running.stop().await.is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_while_another_is_asked_is_recorded_with_who_failed_before() {
    let mut running = Running::start().await;
    running.upstream.on("small-upstream", [Answer::status(500, "broken")]);
    let body =
        serde_json::json!({"models": ["large"], "model": "small", "messages": [{"role": "user", "content": "x"}]});
    running.upstream.on("large-upstream", [Answer::default().hang()]);
    let request = running.post("/v1/chat/completions", body.to_string()).send();
    tokio::select! {
        _ = request => panic!("the second upstream says nothing"),
        () = running.upstream.until_seen(2) => {}
    }
    let trace = running.finished().await;
    let asked: Vec<_> = trace.attempts.iter().map(|call| (call.model.to_string(), call.status)).collect();
    assert_eq!(asked, [("test/small".to_owned(), Some(500)), ("test/large".to_owned(), None)]);
}

#[tokio::test]
async fn a_learner_that_is_stuck_is_sent_ends_without_bodies_once_those_that_wait_take_64_mib() {
    let mut running = Running::with(Options { room: 400, ..Options::default() }).await;
    let mut long = ask("small");
    long["messages"][0]["content"] = "x".repeat(250_000).into();
    let room = MAX_WAITING / long.to_string().len();
    for _ in 0..room + 2 {
        assert_eq!(running.chat(long.clone()).await.status(), 200);
    }
    let metrics = running.get("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("satisfice_events_dropped_total{kind=\"body\"} 2"), "{metrics}");
    for n in 0..room + 2 {
        let Trace { request, reply, usage, .. } = running.finished().await;
        assert_eq!((request.is_empty(), reply.truncated), (n >= room, n >= room), "{n}");
        assert!(reply.content.is_empty() == reply.truncated && usage.is_some());
    }
    running.chat(long).await;
    assert!(!running.finished().await.request.is_empty(), "there is room again");
}
