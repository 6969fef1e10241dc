//! Cohere's wire, version 2: chat and embeddings.

mod answer;
mod citations;
pub(super) mod embeddings;
mod request;
mod stream;

use bytes::Bytes;
use http::StatusCode;

use super::openai::{OpenAi, kind_of};
use super::{Asked, Embeddings, Events, NoAnswer, Provider, WholeReply, WireRequest};
use crate::api::chat::ChatRequest;
use crate::api::error::{BadRequest, ErrorDetail};

/// `POST {base_url}/chat` and `…/embed`.
#[derive(Debug, Clone, Copy)]
pub struct Cohere;

impl Provider for Cohere {
    fn path(&self, _upstream_model: &str, _stream: bool) -> String {
        "chat".into()
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

    /// `{"message": "…"}`.
    fn error(&self, status: StatusCode, body: &[u8]) -> ErrorDetail {
        ErrorDetail { kind: kind_of(status).into(), ..OpenAi.error(status, body) }
    }
}
