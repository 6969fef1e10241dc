//! `GET /v1/routes`: what is known of each route, before anything was learned and of routes that are not there.

use serde_json::Value;

use crate::gateway::{Running, error};

async fn shown(running: &Running, path: &str) -> Value {
    let response = running.get(path).send().await.unwrap();
    assert_eq!(response.status(), 200);
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_route_shows_its_knob_its_models_and_nothing_that_was_not_measured() {
    let running = Running::start().await;
    let route = shown(&running, "/v1/routes/auto").await;
    assert_eq!((&route["route"], &route["decided"]), (&"auto".into(), &0.into()));
    assert!(route["knob"]["quality"].as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)), "{route}");
    assert!(route["measured_quality"].is_null() && route["kept"].is_null() && route["spent_usd"] == 0.0, "{route}");
    let names: Vec<&str> = route["models"].as_array().unwrap().iter().map(|m| m["model"].as_str().unwrap()).collect();
    assert_eq!(names, ["small", "large"]);
    let all = shown(&running, "/v1/routes").await;
    assert!(all["routes"].as_array().unwrap().contains(&route), "{all}");
}

#[tokio::test]
async fn an_unknown_route_is_named_with_those_that_there_are() {
    let running = Running::start().await;
    let (status, body) = error(running.get("/v1/routes/nowhere").send().await.unwrap()).await;
    assert_eq!((status, &body["code"], &body["param"]), (404, &"route_not_found".into(), &"name".into()));
    assert!(body["message"].as_str().unwrap().contains("auto"), "{body}");
}
