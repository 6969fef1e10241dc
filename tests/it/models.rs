//! `GET /v1/models` and what watches the process.

use serde_json::{Value, json};

use satisfice::catalog::quirks::Quirks;
use satisfice::upstream::settings::ProviderSettings;

use crate::gateway::{Options, Running, ask, error};
use crate::scripted::Scripted;

#[tokio::test]
async fn routes_come_first_then_models_by_both_names() {
    let running = Running::start().await;
    let body = running.get("/v1/models").send().await.unwrap().bytes().await.unwrap();
    let list: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(list["object"], "list");
    let ids: Vec<&str> = list["data"].as_array().unwrap().iter().map(|card| card["id"].as_str().unwrap()).collect();
    let models = ["small", "test/small", "large", "test/large", "plain", "test/plain"];
    assert_eq!(ids, [&["auto", "narrow"][..], &models].concat());
    let plain = &list["data"][6];
    assert_eq!((&plain["owned_by"], &plain["context_length"]), (&"test".into(), &1000.into()));
    assert_eq!(plain["input_usd_per_mtok"], 0.1);
    assert_eq!(plain["pricing"], json!({"prompt": "0.0000001", "completion": "0.0000002"}));
    for id in ids {
        assert_eq!(running.chat(ask(id)).await.status(), 200, "{id}");
    }
}

#[tokio::test]
async fn a_model_is_shown_with_what_is_known_of_it_and_a_route_with_what_its_models_can() {
    let running = Running::start().await;
    let show = async |id: &str| -> Value {
        let body = running.get(&format!("/v1/models/{id}")).send().await.unwrap().bytes().await.unwrap();
        serde_json::from_slice(&body).unwrap()
    };
    let plain = show("test/plain").await;
    assert_eq!(
        plain,
        json!({
            "id": "test/plain", "object": "model", "created": 0, "owned_by": "test", "name": "test/plain", "display_name": "test/plain", "type": "model",
            "context_length": 1000,
            "architecture": {"modality": "text->text", "input_modalities": ["text"], "output_modalities": ["text"]},
            "pricing": {"prompt": "0.0000001", "completion": "0.0000002"},
            "top_provider": {"context_length": 1000, "max_completion_tokens": null},
            "supported_parameters": ["frequency_penalty", "logit_bias", "logprobs", "max_tokens", "presence_penalty",
                "response_format", "seed", "stop", "temperature", "top_logprobs", "top_p"],
            "input_usd_per_mtok": 0.1, "output_usd_per_mtok": 0.2,
        })
    );
    let auto = show("auto").await;
    assert_eq!((&auto["owned_by"], auto.get("pricing"), auto.get("context_length")), (&"satisfice".into(), None, None));
    assert!(auto["supported_parameters"].as_array().unwrap().contains(&"tools".into()), "{auto}");
    let (status, error) = error(running.get("/v1/models/no/such").send().await.unwrap()).await;
    assert_eq!((status, &error["code"]), (404, &"model_not_found".into()));
}

#[tokio::test]
async fn what_a_provider_does_not_take_is_not_listed() {
    let providers: fn(&Scripted) -> _ = |upstream| {
        let quirks = Quirks { unsupported: Some(vec!["logprobs".into(), "tools".into()]), ..Quirks::default() };
        vec![ProviderSettings { quirks, ..upstream.provider("test") }]
    };
    let running = Running::with(Options { providers: Some(providers), ..Options::default() }).await;
    let body = running.get("/v1/models/small").send().await.unwrap().text().await.unwrap();
    assert!(body.contains("\"seed\"") && !body.contains("\"logprobs\"") && !body.contains("\"tools\""), "{body}");
}

#[tokio::test]
async fn a_gateway_is_alive_ready_and_counts() {
    let running = Running::start().await;
    assert_eq!(running.get("/health").send().await.unwrap().status(), 200);
    assert_eq!(running.get("/ready").send().await.unwrap().status(), 200);
    running.chat(ask("small")).await;
    let metrics = running.get("/metrics").send().await.unwrap().text().await.unwrap();
    for line in [
        "satisfice_requests_total{route=\"\",segment=\"\",model=\"test/small\",outcome=\"answered\",decision=\"pinned\"} 1",
        "satisfice_upstream_attempts_total{model=\"test/small\",result=\"ok\"} 1",
        "satisfice_tokens_total{model=\"test/small\",direction=\"output\"} 5",
        "satisfice_in_flight_requests 0",
        "# TYPE satisfice_learner_scores counter",
        "satisfice_learner_scores_total 0",
        "satisfice_learner_checkpoints_total 0",
        "satisfice_learner_batch_events 0.0",
        "# UNIT satisfice_learner_commit_seconds seconds",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}
