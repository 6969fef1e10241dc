//! OpenAI's Responses, without its store: each request carries the whole conversation, and none is kept unless the
//! client says so (`store`).
//!
//! Fields that chat and Responses have alike, and those that nobody knows yet, pass to the byte; what chat has and
//! Responses has not is refused by name. Thoughts come back encrypted and are given back to the model that had them,
//! and to no other: another account cannot read them, and models that do not think refuse them.

mod answer;
mod input;
mod request;
mod stream;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::openai::OpenAi;
use super::{Asked, Embeddings, Events, NoAnswer, Provider, WholeReply, WireRequest};
use crate::api::chat::ChatRequest;
use crate::api::error::{BadRequest, ErrorDetail};

/// `POST {base_url}/responses`, of OpenAI and of everybody who speaks its wire.
#[derive(Debug, Clone)]
pub struct Responses {
    provider: String,
}

impl Responses {
    /// `provider`: as refusals call it; thoughts are its own.
    pub fn of(provider: impl Into<String>) -> Self {
        Self { provider: provider.into() }
    }

    /// Who can read the thoughts of this model.
    fn thinker(&self, model: &str) -> String {
        format!("{}/{model}", self.provider)
    }
}

impl Provider for Responses {
    fn path(&self, _upstream_model: &str, _stream: bool) -> String {
        "responses".into()
    }

    fn refuses(&self, request: &ChatRequest) -> Option<BadRequest> {
        request::refuses(&self.provider, request)
    }

    fn request_up_to(
        &self,
        upstream_model: &str,
        _longest: Option<u32>,
        request: &ChatRequest,
    ) -> Result<WireRequest, BadRequest> {
        if let Some(bad) = self.refuses(request) {
            return Err(bad);
        }
        let body = request::body(upstream_model, &self.thinker(upstream_model), request)?;
        Ok(WireRequest { headers: HeaderMap::new(), body })
    }

    fn reply(&self, asked: &Asked<'_>, body: Bytes) -> Result<WholeReply, NoAnswer> {
        answer::whole(asked, &self.thinker(asked.model), &body)
    }

    fn events(&self, asked: &Asked<'_>) -> Box<dyn Events> {
        Box::new(stream::Translation::new(asked, self.thinker(asked.model)))
    }

    fn embeddings(&self) -> Option<&dyn Embeddings> {
        Some(&OpenAi)
    }

    /// As chat's, except that fields which the client wrote by another name have that name.
    fn error(&self, status: StatusCode, body: &[u8]) -> ErrorDetail {
        let detail = OpenAi.error(status, body);
        ErrorDetail { param: detail.param.map(request::clients_name), ..detail }
    }
}
