//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;

use super::error::{self, ApiError};
use super::protocol::{Protocol, respond};
use super::{App, headers};
use crate::api::sse::{self, Untold};
use crate::upstream::UpstreamError;

pub(super) async fn complete(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    let wishes = headers::wishes(request.headers())?;
    let request = app.bodies.read(request).await?;
    respond(&app, app.gateway.chat(request, wishes).await?, Chat)
}

/// The shape that answers come in: bytes pass through.
pub(super) struct Chat;

impl Protocol for Chat {
    fn whole(&self, body: Bytes) -> Result<Bytes, ApiError> {
        Ok(body)
    }

    fn chunk(&mut self, data: &[u8]) -> Result<Bytes, Untold> {
        Ok(sse::event(None, data))
    }

    fn end(&mut self) -> Bytes {
        Bytes::from_static(b"data: [DONE]\n\n")
    }

    fn cut(&mut self, error: &UpstreamError) -> Bytes {
        sse::event(None, &error::cut(error).body())
    }
}
