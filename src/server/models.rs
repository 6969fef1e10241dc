//! `GET /v1/models` and `/v1/models/{id}`.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;

use super::error::ApiError;
use super::{App, json};
use crate::api::models::ModelList;

pub(super) async fn list(State(app): State<Arc<App>>) -> Response {
    json(&ModelList { object: "list", data: app.gateway.cards(), has_more: false })
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let id = id.map_or_else(|_| String::new(), |Path(id)| id);
    match app.gateway.cards().into_iter().find(|card| card.id == id) {
        Some(card) => Ok(json(&card)),
        None => {
            let message = format!("no route or model is called {id:?}; GET /v1/models lists what there is");
            Err(ApiError::invalid(StatusCode::NOT_FOUND, message).param("model").code("model_not_found"))
        }
    }
}
