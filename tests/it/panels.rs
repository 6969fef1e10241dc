//! Two cheap models are asked before a dear one, through HTTP: who answers, what it costs, what is recorded.

use std::time::Duration;

use reqwest::Response;
use satisfice::gateway::{RouteSettings, Settings};
use satisfice::policy::{Knob, Panel, Verdict};
use satisfice::trace::{Outcome, Trace};
use satisfice::upstream::Fallbacks;
use serde_json::{Value, json};

use crate::gateway::{Options, Running, ask, body, header, model, route, settings};
use crate::scripted::{Answer, Gate};

/// Of 10 tokens in and 5 out.
const TINY: f64 = 2e-6;
const SMALL: f64 = 2.4e-6;
const LARGE: f64 = 200e-6;

/// A route that wants the best, which is `large` by its price.
fn three(change: impl FnOnce(RouteSettings) -> RouteSettings) -> Settings {
    let models = [model("tiny", 0.1), model("small", 0.12), model("large", 10.0)];
    let route = RouteSettings { knob: Knob::Quality(1.0), ..route("auto", models.to_vec()) };
    Settings { models: models.into(), routes: vec![change(route)], ..settings() }
}

async fn start(change: impl FnOnce(RouteSettings) -> RouteSettings) -> Running {
    Running::with(Options { settings: three(change), ..Options::default() }).await
}

fn says(running: &Running, tiny: &str, small: &str, large: &str) {
    for (model, text) in [("tiny", tiny), ("small", small), ("large", large)] {
        running.upstream.on(&format!("{model}-upstream"), [Answer::completion(text)]);
    }
}

/// Calls of (tiny, small, large).
fn calls(running: &Running) -> [usize; 3] {
    running.upstream.counts(["tiny-upstream", "small-upstream", "large-upstream"])
}

fn panel(trace: &Trace) -> Panel {
    *trace.decision.as_ref().unwrap().panel().expect("a panel")
}

fn cost(response: &Response) -> f64 {
    header(response, "x-satisfice-cost-usd").unwrap().parse().unwrap()
}

fn near(is: f64, should: f64) {
    assert!((is - should).abs() < 1e-9, "{is} {should}");
}

async fn text(response: Response) -> String {
    body(response).await["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn where_two_cheap_models_agree_theirs_is_the_answer_and_the_dear_one_is_not_asked() {
    let mut running = start(|route| route).await;
    says(&running, "2 + 2 makes 4.\n\nThe answer is 4.", "{\"answer\": \"4\"}", "unasked");
    let response = running.chat(ask("auto")).await;
    assert_eq!(header(&response, "x-satisfice-attempts"), Some("2"));
    assert!(matches!(header(&response, "x-satisfice-decision"), Some("exploit" | "explore")));
    assert_eq!(header(&response, "x-satisfice-propensity"), Some("1"), "of what was drawn");
    near(cost(&response), TINY + SMALL);
    let answered = header(&response, "x-satisfice-model").unwrap().to_owned();
    let text = text(response).await;
    let trace = running.finished().await;
    let decision = trace.decision.clone().unwrap();
    let first = &decision.candidates[panel(&trace).members[0]].arm;
    assert_eq!(answered, format!("test/{first}"), "who spoke is named");
    assert_eq!(text.contains("makes"), *first == "tiny", "and it is its answer");
    assert_eq!(panel(&trace).verdict, Verdict::Agreed);
    assert_eq!(decision.candidates[decision.chosen].arm, "large", "the draw stays what it was");
    assert_eq!((trace.outcome, trace.attempts.len()), (Outcome::Answered, 2));
    near(trace.cost_usd.unwrap(), TINY + SMALL);
    assert_eq!(calls(&running), [1, 1, 0]);
    let metrics = running.get("/metrics").send().await.unwrap().text().await.unwrap();
    for line in [
        r#"satisfice_panels_total{route="auto",verdict="agreed"} 1"#,
        r#"satisfice_upstream_attempts_total{model="test/tiny",result="ok"} 1"#,
        r#"satisfice_upstream_attempts_total{model="test/small",result="ok"} 1"#,
        r#"satisfice_tokens_total{model="test/tiny",direction="output"} 5"#,
        r#"satisfice_tokens_total{model="test/small",direction="output"} 5"#,
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn where_they_differ_the_dear_one_answers_and_it_is_known_who_said_the_same() {
    let mut running = start(|route| route).await;
    says(&running, "The answer is 5.", "The answer is 4.", "\\boxed{4}");
    let response = running.chat(ask("auto")).await;
    assert_eq!(header(&response, "x-satisfice-model"), Some("test/large"));
    assert_eq!(header(&response, "x-satisfice-attempts"), Some("3"));
    near(cost(&response), TINY + SMALL + LARGE);
    assert_eq!(text(response).await, "\\boxed{4}");
    let trace = running.finished().await;
    let decision = trace.decision.clone().unwrap();
    let like = panel(&trace).members.map(|member| decision.candidates[member].arm == "small");
    assert_eq!(panel(&trace).verdict, Verdict::Differed(like));
    let asked: Vec<&str> = trace.attempts.iter().map(|attempt| attempt.model.model.as_str()).collect();
    assert!(asked.len() == 3 && asked[2] == "large", "{asked:?}");
    near(trace.cost_usd.unwrap(), TINY + SMALL + LARGE);
}

#[tokio::test]
async fn where_there_is_nothing_to_compare_or_a_member_fails_the_dear_one_answers() {
    let mut running = start(|route| route).await;
    says(&running, "Four, I think.", "The answer is 4.", "It is 4.");
    let response = running.chat(ask("auto")).await;
    assert_eq!(header(&response, "x-satisfice-model"), Some("test/large"));
    assert_eq!(panel(&running.finished().await).verdict, Verdict::Incomparable);
    running.upstream.on("tiny-upstream", [Answer::status(500, "out of order")]);
    running.upstream.on("small-upstream", [Answer::completion("The answer is 4.")]);
    running.upstream.on("large-upstream", [Answer::completion("It is 4.")]);
    let response = running.chat(ask("auto")).await;
    assert_eq!((response.status().as_u16(), header(&response, "x-satisfice-attempts")), (200, Some("3")));
    assert_eq!(header(&response, "x-satisfice-decision"), Some("exploit"));
    near(cost(&response), SMALL + LARGE);
    let trace = running.finished().await;
    assert_eq!((panel(&trace).verdict, trace.attempts.len()), (Verdict::None, 3));
    assert_eq!(trace.attempts.iter().filter(|attempt| attempt.error.is_some()).count(), 1);
}

#[tokio::test]
async fn a_member_s_answer_is_better_than_none() {
    let mut running = start(|mut route| {
        route.resilience.fallbacks = Fallbacks { error: Some(vec![]), ..Fallbacks::default() };
        route
    })
    .await;
    running.upstream.on("tiny-upstream", [Answer::completion("The answer is 5.")]);
    running.upstream.on("small-upstream", [Answer::completion("The answer is 4.")]);
    running.upstream.on("large-upstream", [Answer::status(500, "out of order")]);
    let response = running.chat(ask("auto")).await;
    assert_eq!((response.status().as_u16(), header(&response, "x-satisfice-decision")), (200, Some("fallback")));
    assert_eq!(header(&response, "x-satisfice-propensity"), None, "it was not drawn");
    near(cost(&response), TINY + SMALL);
    let trace = running.finished().await;
    assert_eq!((panel(&trace).verdict, trace.outcome), (Verdict::None, Outcome::Answered));
    assert_eq!(calls(&running), [1, 1, 3], "the drawn one is tried as often as ever");
}

#[tokio::test]
async fn answers_that_are_cut_off_refused_or_call_tools_are_not_compared() {
    let running = start(|route| route).await;
    let reply = |finish: &str, message: Value| {
        let choice = json!({"index": 0, "message": message, "finish_reason": finish});
        let usage = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15});
        Answer::json(json!({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}).to_string())
    };
    let said = |text: &str| json!({"role": "assistant", "content": text});
    let refusal = json!({"role": "assistant", "content": "The answer is 4.", "refusal": "I would rather not."});
    for odd in [reply("length", said("The answer is 4.")), reply("stop", refusal)] {
        let before = calls(&running)[2];
        running.upstream.on("tiny-upstream", [odd]);
        running.upstream.on("small-upstream", [Answer::completion("The answer is 4.")]);
        running.upstream.on("large-upstream", [Answer::completion("It is 4.")]);
        assert_eq!(header(&running.chat(ask("auto")).await, "x-satisfice-model"), Some("test/large"));
        assert_eq!(calls(&running)[2], before + 1);
    }
}

#[tokio::test]
async fn who_cannot_wait_wants_several_answers_or_says_who_may_answer_gets_no_panel() {
    let running = start(|route| route).await;
    let with = |field: &str, value: Value| {
        let mut body = ask("auto");
        body[field] = value;
        body
    };
    let tool = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    for body in [
        with("stream", true.into()),
        with("n", 2.into()),
        with("tools", tool),
        with("models", json!(["small"])),
        with("provider", json!({"allow_fallbacks": false})),
        ask("large"),
    ] {
        let answer = if body["stream"] == true { Answer::says(&["4"]) } else { Answer::completion("It is 4.") };
        running.upstream.on("large-upstream", [answer]);
        let before = calls(&running);
        drop(running.chat(body.clone()).await.bytes().await);
        let after = calls(&running);
        assert_eq!([after[0] - before[0], after[1] - before[1], after[2] - before[2]], [0, 0, 1], "{body}");
    }
}

#[tokio::test]
async fn a_route_may_do_without() {
    let mut running = start(|route| RouteSettings { panel: false, ..route }).await;
    says(&running, "The answer is 4.", "The answer is 4.", "The answer is 4.");
    let response = running.chat(ask("auto")).await;
    assert_eq!((header(&response, "x-satisfice-model"), calls(&running)), (Some("test/large"), [0, 0, 1]));
    assert_eq!(running.finished().await.decision.unwrap().consult, None);
}

#[tokio::test]
async fn a_client_that_leaves_at_the_panel_is_recorded_once_with_what_was_asked_and_used() {
    let mut running = start(|route| route).await;
    let gate = Gate::closed();
    running.upstream.on("tiny-upstream", [Answer::completion("The answer is 4.")]);
    running.upstream.on("small-upstream", [Answer::raw("").wait(&gate)]);
    let (url, client) = (running.url.clone(), crate::gateway::client());
    let leaving = tokio::spawn(async move {
        client.post(format!("{url}/v1/chat/completions")).body(ask("auto").to_string()).send().await
    });
    running.upstream.until_seen(2).await;
    while body(running.get("/v1/providers").send().await.unwrap()).await["providers"][0]["models"][0]["in_flight"] != 0
    {
    }
    leaving.abort();
    running.upstream.until_hung_up(1).await;
    let trace = running.finished().await;
    assert_eq!((trace.outcome, panel(&trace).verdict), (Outcome::ClientGone, Verdict::None));
    let asked: Vec<&str> = trace.attempts.iter().map(|attempt| attempt.model.model.as_str()).collect();
    assert!(asked.len() == 2 && asked.contains(&"tiny") && asked.contains(&"small"), "{asked:?}");
    assert!(trace.cost_usd.unwrap() > TINY, "what was used, and the other's prompt: {:?}", trace.cost_usd);
    assert_eq!(calls(&running)[2], 0);
}

#[tokio::test]
async fn a_slow_member_leaves_the_dear_one_the_time_to_answer() {
    let mut running = start(|mut route| {
        route.resilience.total = Some(Duration::from_secs(6));
        route
    })
    .await;
    let gate = Gate::closed();
    running.upstream.on("tiny-upstream", [Answer::raw("").wait(&gate)]);
    running.upstream.on("small-upstream", [Answer::completion("The answer is 4.")]);
    running.upstream.on("large-upstream", [Answer::completion("It is 4.")]);
    let response = running.chat(ask("auto")).await;
    assert_eq!((response.status().as_u16(), header(&response, "x-satisfice-model")), (200, Some("test/large")));
    let trace = running.finished().await;
    assert_eq!(panel(&trace).verdict, Verdict::None);
    drop(gate);
}
