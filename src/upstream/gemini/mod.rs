//! Google's wire: `generateContent`, and `batchEmbedContents`, as Gemini's own API has them. [`super::vertex`] speaks it at other paths.

mod answer;
mod citations;
mod controls;
pub(super) mod embeddings;
mod error;
mod request;
mod schema;
mod stream;
mod turns;

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use super::{Asked, Embeddings, Events, KeyHeader, NoAnswer, Provider, WholeReply, WireRequest};
use crate::api::chat::ChatRequest;
use crate::api::error::{BadRequest, ErrorDetail};

/// `POST {base_url}/models/{model}:generateContent`.
#[derive(Debug, Clone, Copy)]
pub struct Gemini;

impl Provider for Gemini {
    fn path(&self, upstream_model: &str, stream: bool) -> String {
        format!("{}:{}", place(upstream_model), method(stream))
    }

    fn key_header(&self) -> KeyHeader {
        KeyHeader::Named("x-goog-api-key")
    }

    fn refuses(&self, request: &ChatRequest) -> Option<BadRequest> {
        request::refuses(request)
    }

    fn request_up_to(
        &self,
        upstream_model: &str,
        _longest: Option<u32>,
        request: &ChatRequest,
    ) -> Result<WireRequest, BadRequest> {
        let body = request::body(upstream_model, request)?;
        Ok(WireRequest::json(&body))
    }

    fn reply(&self, asked: &Asked<'_>, body: Bytes) -> Result<WholeReply, NoAnswer> {
        answer::whole(asked, &body)
    }

    fn events(&self, asked: &Asked<'_>) -> Box<dyn Events> {
        Box::new(stream::Translation::new(asked))
    }

    fn embeddings(&self) -> Option<&dyn Embeddings> {
        Some(self)
    }

    fn error(&self, status: StatusCode, body: &[u8]) -> ErrorDetail {
        error::detail(status, body)
    }

    fn true_status(&self, status: StatusCode, body: &[u8]) -> StatusCode {
        error::true_status(status, body)
    }

    fn retry_after(&self, body: &[u8]) -> Option<Duration> {
        error::retry_after(body)
    }
}

/// A model below the base URL. Tuned models, and what Google's own list gives, are named with their folder.
fn place(upstream_model: &str) -> String {
    let folder = if upstream_model.contains('/') { "" } else { "models/" };
    format!("{folder}{upstream_model}")
}

/// What stands behind the colon of a path.
pub(super) fn method(stream: bool) -> &'static str {
    if stream { "streamGenerateContent?alt=sse" } else { "generateContent" }
}
