//! `GET /health`, `/ready` and `/metrics`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;

use super::error::ApiError;
use super::{App, providers};

const PROMETHEUS_TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The process is alive, and no restart would mend anything.
pub(super) async fn health(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    if app.gateway.has_learner() {
        return Ok(super::json(&serde_json::json!({ "status": "ok" })));
    }
    let message = "the learner has ended: scores are refused and nothing is learned; restart the gateway";
    Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", message).code("learner_ended"))
}

/// Every route has been published by a learner that is alive.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    if app.gateway.is_ready() {
        return Ok(super::json(&serde_json::json!({ "status": "ready" })));
    }
    let message = "the learner has not published every route; requests go to each route's safest model until it has";
    Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", message).code("not_ready"))
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let mut text = String::with_capacity(32 * 1024);
    let mut encode = || {
        app.gateway.metrics().encode(&mut text)?;
        app.learning.encode(&mut text)?;
        providers::encode(&app.gateway, &mut text)
    };
    match encode() {
        Ok(()) => ([(CONTENT_TYPE, PROMETHEUS_TEXT)], text + "# EOF\n").into_response(),
        Err(_) => ApiError::panicked().into_response(),
    }
}
