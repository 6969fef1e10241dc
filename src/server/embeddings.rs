//! `POST /v1/embeddings`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;

use super::chat::Chat;
use super::error::ApiError;
use super::protocol::respond;
use super::{App, headers};

pub(super) async fn create(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    // Most of them decide nothing here, and a wrong one is a mistake all the same.
    let wishes = headers::wishes(request.headers())?;
    let request = app.bodies.read(request).await?;
    respond(&app, app.gateway.embed(request, &wishes).await?, Chat)
}
