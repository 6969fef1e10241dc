//! `POST /v1/embeddings`: asked, counted, passed on; never routed.

use std::sync::Arc;

use satisfice::catalog::{Model, Price};
use satisfice::gateway::Settings;
use serde_json::{Value, json};

use crate::gateway::{Options, Running, ask, error, header, model_of, settings};
use crate::scripted::Answer;

const REPLY: &str = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AACAPwAAAEA="}],
    "model":"e","usage":{"prompt_tokens":8,"total_tokens":8}}"#;

/// `vectors` at two providers, for 0.02 USD a million tokens.
async fn running() -> Running {
    let vectors = |provider: &str| -> Arc<Model> {
        let model = model_of(provider, "vectors", &format!("{provider}-vectors"), 0.02);
        let price = Some(Price::of(0.02, 0.0));
        Arc::new(Model { price, ..(*model).clone() })
    };
    let settings = Settings { embeddings: vec![vectors("test"), vectors("other")], ..settings() };
    Running::with(Options { settings, ..Options::default() }).await
}

async fn embed(running: &Running, body: Value) -> reqwest::Response {
    running.post("/v1/embeddings", body.to_string()).send().await.unwrap()
}

#[tokio::test]
async fn an_answer_passes_through_to_the_byte_and_is_counted() {
    let running = running().await;
    running.upstream.on("test-vectors", [Answer::json(REPLY)]);
    let body = json!({"model": "test/vectors", "input": ["a", "b"], "encoding_format": "base64", "x_own": 1});
    let response = embed(&running, body).await;
    assert_eq!((response.status().as_u16(), header(&response, "x-satisfice-model")), (200, Some("test/vectors")));
    assert_eq!(header(&response, "x-satisfice-cost-usd"), Some("0.00000016"));
    assert_eq!(header(&response, "x-satisfice-trace-id"), None, "nothing is recorded");
    assert_eq!(response.text().await.unwrap(), REPLY);
    let seen = &running.upstream.seen()[0];
    assert_eq!(seen.line, "POST /v1/embeddings");
    let sent = json!({"model": "test-vectors", "input": ["a", "b"], "encoding_format": "base64", "x_own": 1});
    assert_eq!(seen.json(), sent);
    let metrics = running.get("/metrics").send().await.unwrap().text().await.unwrap();
    for line in [
        "satisfice_requests_total{route=\"\",segment=\"\",model=\"test/vectors\",outcome=\"answered\",decision=\"pinned\"} 1",
        "satisfice_tokens_total{model=\"test/vectors\",direction=\"input\"} 8",
        "satisfice_cost_usd_total{model=\"test/vectors\"} 1.6e-7",
        "satisfice_upstream_attempts_total{model=\"test/vectors\",result=\"ok\"} 1",
        "satisfice_in_flight_requests 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn another_provider_of_the_model_answers_where_the_first_fails() {
    let running = running().await;
    // The draw, a half, falls on the second of two equal weights.
    running.upstream.on("other-vectors", [Answer::status(503, "busy")]);
    running.upstream.on("test-vectors", [Answer::json(REPLY)]);
    let response = embed(&running, json!({"model": "vectors", "input": "a"})).await;
    assert_eq!(header(&response, "x-satisfice-model"), Some("test/vectors"));
    assert_eq!(header(&response, "x-satisfice-attempts"), Some("2"));
    assert_eq!(header(&response, "x-satisfice-decision"), Some("pinned"), "the model is the one that was asked for");
    let named = embed(&running, json!({"model": "test/vectors", "input": [1, 2, 3]})).await;
    assert_eq!(header(&named, "x-satisfice-attempts"), Some("1"));
}

#[tokio::test]
async fn what_cannot_be_embedded_is_refused_with_its_field() {
    let running = running().await;
    for (body, status, param, words) in [
        (json!({"model": "auto", "input": "a"}), 400, "model", "routing does not apply to embeddings"),
        (json!({"model": "small", "input": "a"}), 400, "model", "answers chats"),
        (json!({"model": "nothing", "input": "a"}), 404, "model", "there are: vectors"),
        (json!({"input": "a"}), 400, "model", "model is missing"),
        (json!({"model": "vectors"}), 400, "input", "input is missing"),
        (json!({"model": "vectors", "input": ""}), 400, "input", "not empty"),
        (json!({"model": "vectors", "input": {"a": 1}}), 400, "input", "a list of strings"),
    ] {
        let (found, error) = error(embed(&running, body.clone()).await).await;
        assert_eq!((found, &error["param"]), (status, &param.into()), "{body} {error}");
        assert!(error["message"].as_str().unwrap().contains(words), "{error}");
    }
    let (status, error) = error(running.chat(ask("vectors")).await).await;
    assert_eq!((status, &error["param"]), (400, &"model".into()));
    assert!(error["message"].as_str().unwrap().contains("/v1/embeddings"), "{error}");
    assert!(running.upstream.seen().is_empty());
}

#[tokio::test]
async fn an_upstreams_refusal_and_nonsense_reach_the_client_as_errors() {
    let running = running().await;
    running.upstream.on("test-vectors", [Answer::status(400, "too long")]);
    let (status, error_body) = error(embed(&running, json!({"model": "test/vectors", "input": "a"})).await).await;
    assert_eq!((status, error_body["message"].as_str()), (400, Some("too long")));
    running.upstream.on("other-vectors", [Answer::json(r#"{"data":"none"}"#)]);
    let (status, error_body) = error(embed(&running, json!({"model": "other/vectors", "input": "a"})).await).await;
    assert_eq!((status, error_body["code"].as_str()), (502, Some("upstream_malformed")));
}
