//! Conditional routes, and conversations that stay where their prompt is cached.

use std::sync::Arc;

use satisfice::catalog::{Model, Price};
use satisfice::gateway::{Condition, Fallbacks, Resilience, Rule, Settings, Then};
use satisfice::policy::Kind;
use serde_json::{Value, json};

use crate::gateway::{Options, Running, ask, error, header, model, settings};
use crate::scripted::Answer;

fn ruled(rules: Vec<Rule>) -> Options {
    let mut settings = settings();
    settings.routes[0].rules = rules;
    Options { settings, ..Options::default() }
}

fn rule(when: &str, then: Then) -> Rule {
    Rule { when: Condition::parse(when).unwrap(), then }
}

fn only(model: &str) -> Then {
    Then::Models(vec![model.into()])
}

#[tokio::test]
async fn the_first_rule_that_holds_says_which_models_may_answer() {
    let rules = vec![
        rule("metadata.tier == 'gold'", only("large")),
        rule("tools", only("large")),
        rule("not stream", only("small")),
    ];
    let running = Running::with(ruled(rules)).await;
    let send = |body: Value, metadata: &'static str| {
        running.post("/v1/chat/completions", body.to_string()).header("x-satisfice-metadata", metadata).send()
    };
    let mut with_tools = ask("auto");
    with_tools["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
    for (body, metadata, expected) in [
        (ask("auto"), "tier=gold", "test/large"),
        (with_tools, "tier=tin", "test/large"),
        (ask("auto"), "tier=tin", "test/small"),
    ] {
        let response = send(body, metadata).await.unwrap();
        assert_eq!(header(&response, "x-satisfice-model"), Some(expected));
        assert_eq!(header(&response, "x-satisfice-propensity"), Some("1"), "one model is left");
    }
}

#[tokio::test]
async fn a_number_in_the_metadata_is_compared_as_a_number() {
    let rules = vec![rule("metadata.budget > 100", only("large")), rule("true", only("small"))];
    let running = Running::with(ruled(rules)).await;
    for (metadata, expected) in [
        ("budget=250.5", "test/large"),
        ("budget=5", "test/small"),
        ("budget=-1", "test/small"),
        ("budget=plenty", "test/small"),
        ("team=search", "test/small"),
    ] {
        let body = ask("auto").to_string();
        let response = running.post("/v1/chat/completions", body).header("x-satisfice-metadata", metadata).send().await;
        assert_eq!(header(&response.unwrap(), "x-satisfice-model"), Some(expected), "{metadata}");
    }
}

#[tokio::test]
async fn a_canary_is_drawn_by_its_weight_and_logged_as_pinned() {
    let canary = Then::Weights(vec![("small".into(), 3.0), ("large".into(), 1.0)]);
    let mut running = Running::with(ruled(vec![rule("true", canary)])).await;
    let response = running.chat(ask("auto")).await;
    // The draw of the test is a half, and the first three quarters are the small model's.
    assert_eq!(header(&response, "x-satisfice-decision"), Some("pinned"));
    assert_eq!(header(&response, "x-satisfice-model"), Some("test/small"));
    assert_eq!(header(&response, "x-satisfice-propensity"), Some("0.75"));
    let decision = running.finished().await.decision.unwrap();
    assert_eq!((decision.kind, &*decision.policy), (Kind::Pinned, "rule"));
    assert_eq!(decision.candidates.iter().map(|candidate| candidate.propensity).collect::<Vec<_>>(), [0.75, 0.25]);
}

#[tokio::test]
async fn where_a_rules_models_cannot_answer_nobody_else_does() {
    let mut options = ruled(vec![rule("images", only("plain"))]);
    let plain = options.settings.models[2].clone();
    options.settings.routes[0].models.push(plain);
    let running = Running::with(options).await;
    let mut picture = ask("auto");
    picture["messages"][0]["content"] =
        json!([{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]);
    let (status, error) = error(running.chat(picture).await).await;
    assert_eq!((status, &error["param"]), (400, &json!("messages")), "{error}");
}

#[tokio::test]
async fn a_rule_holds_for_what_the_route_falls_back_on_too() {
    for (when, status, asked) in [("true", 502, 0), ("false", 200, 1)] {
        let mut options = ruled(vec![rule(when, only("small"))]);
        let fallbacks = Fallbacks { error: Some(vec![options.settings.models[1].clone()]), ..Fallbacks::default() };
        options.settings.routes[0].models.truncate(1);
        options.settings.routes[0].resilience = Resilience { fallbacks, ..Resilience::default() };
        let running = Running::with(options).await;
        running.upstream.on("small-upstream", [Answer::status(500, "out of order")]);
        assert_eq!(running.chat(ask("auto")).await.status(), status, "{when}");
        assert_eq!(running.upstream.counts(["large-upstream"]), [asked]);
    }
}

/// Two models that nobody knows, of one price, whose providers charge a hundredth for what they have read before.
fn twins() -> Settings {
    let mut settings = settings();
    let price = Price { cached_input: Some(0.1), ..Price::of(10.0, 0.01) };
    let twin = |name: &str| Arc::new(Model { price: Some(price), ..(*model(name, 1.0)).clone() });
    let twins = vec![twin("twin-a"), twin("twin-b")];
    settings.models.extend(twins.clone());
    settings.routes[0].models = twins;
    settings.routes[0].segments.clear();
    settings
}

#[tokio::test]
async fn a_conversation_stays_with_the_model_that_has_read_it() {
    let running = Running::with(Options { settings: twins(), ..Options::default() }).await;
    let long = "the quick brown fox jumps over the lazy dog ".repeat(200);
    let turns = |answers: usize| {
        let mut turns = vec![json!({"role": "user", "content": long})];
        (0..answers).for_each(|i| {
            turns.push(json!({"role": "assistant", "content": "ok"}));
            turns.push(json!({"role": "user", "content": format!("and {i}?")}));
        });
        json!({"model": "auto", "messages": turns})
    };
    let first = running.chat(turns(0)).await;
    let usual = header(&first, "x-satisfice-model").unwrap().to_owned();
    let other = if usual == "test/twin-a" { "test/twin-b" } else { "test/twin-a" };
    let upstream = |id: &str| format!("{}-upstream", id.trim_start_matches("test/"));

    // Another conversation whose usual model is out of order for once: the other one reads it, and keeps it.
    let other_turns = |answers: usize| {
        let mut body = turns(answers);
        body["messages"][0]["content"] = format!("{long} Once more.").into();
        body
    };
    running.upstream.on(&upstream(&usual), [Answer::status(500, "out of order"), Answer::completion("ok")]);
    for answers in 0..3 {
        let response = running.chat(other_turns(answers)).await;
        assert_eq!(header(&response, "x-satisfice-model"), Some(other), "turn {answers}");
    }
    let elsewhere = running.chat(turns(1)).await;
    assert_eq!(header(&elsewhere, "x-satisfice-model"), Some(&*usual), "the first conversation is where it was");
}

#[tokio::test]
async fn a_session_is_what_its_header_says() {
    let running = Running::start().await;
    let send = |session: String| {
        let body = ask("auto").to_string();
        running.post("/v1/chat/completions", body).header("x-satisfice-session", session).send()
    };
    assert_eq!(send("s-1".into()).await.unwrap().status(), 200);
    let (status, refused) = error(send("s".repeat(257)).await.unwrap()).await;
    assert_eq!((status, &refused["param"]), (400, &json!("x-satisfice-session")));
}
