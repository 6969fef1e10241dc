//! `POST /v1/responses`: OpenAI's newer client protocol.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;

use super::error::{self, ApiError};
use super::protocol::{Protocol, respond};
use super::{App, headers};
use crate::api::responses::{Echo, Stream, reply, request};
use crate::api::sse::Untold;
use crate::upstream::UpstreamError;

pub(super) async fn create(State(app): State<Arc<App>>, asked: Request) -> Result<Response, ApiError> {
    let wishes = headers::wishes(asked.headers())?;
    let body = app.bodies.read(asked).await?;
    let (chat, echo) = request(&body)?;
    let answer = app.gateway.chat(chat.into(), wishes).await?;
    respond(&app, answer, Responses { stream: Stream::new(echo.clone()), echo })
}

struct Responses {
    echo: Echo,
    stream: Stream,
}

impl Protocol for Responses {
    fn whole(&self, body: Bytes) -> Result<Bytes, ApiError> {
        reply(&body, &self.echo).map(Bytes::from).map_err(|problem| ApiError::untranslatable(&problem))
    }

    fn chunk(&mut self, data: &[u8]) -> Result<Bytes, Untold> {
        self.stream.chunk(data).map(Bytes::from)
    }

    fn end(&mut self) -> Bytes {
        self.stream.end().into()
    }

    fn cut(&mut self, error: &UpstreamError) -> Bytes {
        let cut = error::cut(error);
        self.stream.cut(cut.status() == StatusCode::TOO_MANY_REQUESTS, cut.message()).into()
    }
}
