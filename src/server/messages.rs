//! `POST /v1/messages` and `/v1/messages/count_tokens`: Anthropic's client protocol.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;

use super::error::{self, ApiError};
use super::protocol::{Protocol, respond};
use super::{App, headers, json};
use crate::api::messages::{Stream, reply, request_with};
use crate::api::sse::Untold;
use crate::upstream::UpstreamError;

pub(super) async fn create(State(app): State<Arc<App>>, asked: Request) -> Result<Response, MessagesError> {
    let wishes = headers::wishes(asked.headers())?;
    let betas = headers::betas(asked.headers());
    let body = app.bodies.read(asked).await?;
    let betas: Vec<&str> = betas.iter().map(String::as_str).collect();
    let chat = request_with(&body, &betas).map_err(ApiError::from)?;
    let answer = app.gateway.chat(chat.into(), wishes).await.map_err(ApiError::from)?;
    let mut response = respond(&app, answer, Messages(Stream::default()))?;
    headers::name_for_anthropic(response.headers_mut());
    Ok(response)
}

#[derive(Serialize)]
struct Count {
    input_tokens: u32,
}

/// An estimate: which model's tokenizer will count is not known before it is chosen.
pub(super) async fn count(State(app): State<Arc<App>>, asked: Request) -> Result<Response, MessagesError> {
    let body = app.bodies.read(asked).await?;
    let chat = crate::api::messages::countable(&body).map_err(ApiError::from)?;
    let input_tokens = app.gateway.count(chat.into()).map_err(ApiError::from)?;
    Ok(json(&Count { input_tokens }))
}

/// An error in Anthropic's shape.
pub(super) struct MessagesError(ApiError);

impl From<ApiError> for MessagesError {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

/// Words by which Anthropic's clients know that they must send less.
const TOO_LONG: &str = "prompt is too long";

impl MessagesError {
    fn message(&self) -> Cow<'_, str> {
        let message = self.0.message();
        match self.0.is_too_long() && !message.contains(TOO_LONG) {
            true => format!("{TOO_LONG}: {message}").into(),
            false => message.into(),
        }
    }
}

impl IntoResponse for MessagesError {
    fn into_response(self) -> Response {
        let body = crate::api::messages::error(self.0.status().as_u16(), &self.message());
        let mut response = self.0.response(body);
        headers::name_for_anthropic(response.headers_mut());
        response
    }
}

struct Messages(Stream);

impl Protocol for Messages {
    fn whole(&self, body: Bytes) -> Result<Bytes, ApiError> {
        reply(&body).map(Bytes::from).map_err(|problem| ApiError::untranslatable(&problem))
    }

    fn chunk(&mut self, data: &[u8]) -> Result<Bytes, Untold> {
        self.0.chunk(data).map(Bytes::from)
    }

    fn end(&mut self) -> Bytes {
        self.0.end().into()
    }

    fn cut(&mut self, error: &UpstreamError) -> Bytes {
        let error = error::cut(error);
        self.0.cut(error.status().as_u16(), error.message())
    }
}
