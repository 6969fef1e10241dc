//! `POST /v1/embeddings`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;

use super::error::ApiError;
use super::{App, body, chat};

pub(super) async fn create(State(app): State<Arc<App>>, request: Body) -> Result<Response, ApiError> {
    let request = body::read(request, app.body_limit).await?;
    Ok(chat::respond(app.gateway.embed(request).await?))
}
