//! `GET /v1/models` and what watches the process.

use serde_json::Value;

use crate::gateway::{Running, ask};

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
    for id in ids {
        assert_eq!(running.chat(ask(id)).await.status(), 200, "{id}");
    }
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
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}
