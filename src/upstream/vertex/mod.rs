//! Vertex: Google's cloud. Gemini as [`super::gemini`] has it and Claude as [`super::anthropic`] has it, at paths of a
//! project and a place; access tokens in place of a key.

mod account;
mod embeddings;

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use super::anthropic::{self, Anthropic};
use super::gemini::{self, Gemini};
use super::{Asked, Embeddings, Events, NoAnswer, Provider, WholeReply, WireRequest};
use crate::api::chat::ChatRequest;
use crate::api::error::{BadRequest, ErrorDetail};

pub use account::ServiceAccount;

/// The version of Anthropic's wire, which stands in the body here.
const ANTHROPIC_VERSION: &str = "vertex-2023-10-16";

/// `POST {base_url}/publishers/google/models/{model}:generateContent` (for embeddings `:predict`, or `:embedContent`), and
/// `…/anthropic/…:rawPredict`; the base URL ends with `/projects/{project}/locations/{location}`. A model may be named
/// with its publisher (`google/…`), and a tuned one by its endpoint (`endpoints/…`).
#[derive(Debug, Clone, Copy)]
pub struct Vertex;

impl Provider for Vertex {
    fn path(&self, upstream_model: &str, stream: bool) -> String {
        let (publisher, method) = match is_claude(upstream_model) {
            true => ("anthropic", if stream { "streamRawPredict" } else { "rawPredict" }),
            false => ("google", gemini::method(stream)),
        };
        place(upstream_model, publisher, method)
    }

    /// What neither of them can be asked.
    fn refuses(&self, request: &ChatRequest) -> Option<BadRequest> {
        Gemini.refuses(request).filter(|_| claude().refuses(request).is_some())
    }

    fn request_up_to(
        &self,
        upstream_model: &str,
        longest: Option<u32>,
        request: &ChatRequest,
    ) -> Result<WireRequest, BadRequest> {
        if !is_claude(upstream_model) {
            return Gemini.request_up_to(upstream_model, longest, request);
        }
        let mut body = anthropic::body(upstream_model, longest, request)?;
        if let Some(fields) = body.as_object_mut() {
            // The path names the model.
            fields.remove("model");
            fields.insert("anthropic_version".into(), ANTHROPIC_VERSION.into());
        }
        Ok(WireRequest { headers: anthropic::betas(request)?, ..WireRequest::json(&body) })
    }

    fn reply(&self, asked: &Asked<'_>, body: Bytes) -> Result<WholeReply, NoAnswer> {
        if is_claude(asked.model) { claude().reply(asked, body) } else { Gemini.reply(asked, body) }
    }

    fn events(&self, asked: &Asked<'_>) -> Box<dyn Events> {
        if is_claude(asked.model) { claude().events(asked) } else { Gemini.events(asked) }
    }

    fn embeddings(&self) -> Option<&dyn Embeddings> {
        Some(self)
    }

    /// Google's, or, of what went through to Claude, Anthropic's.
    fn error(&self, status: StatusCode, body: &[u8]) -> ErrorDetail {
        Gemini.error(status, body)
    }

    fn true_status(&self, status: StatusCode, body: &[u8]) -> StatusCode {
        Gemini.true_status(status, body)
    }

    fn retry_after(&self, body: &[u8]) -> Option<Duration> {
        Gemini.retry_after(body)
    }
}

/// `method` of a model below the base URL; `publisher` is of those that are named without one.
fn place(upstream_model: &str, publisher: &str, method: &str) -> String {
    match upstream_model.split_once('/') {
        Some(("endpoints" | "publishers", _)) => format!("{upstream_model}:{method}"),
        Some((publisher, model)) => format!("publishers/{publisher}/models/{model}:{method}"),
        None => format!("publishers/{publisher}/models/{upstream_model}:{method}"),
    }
}

fn is_claude(upstream_model: &str) -> bool {
    upstream_model.contains("claude")
}

/// Its path is not asked for.
fn claude() -> Anthropic {
    Anthropic::below("")
}

/// The server of a place: `global`, a region such as `europe-west4`, or one of the multi-regions `us` and `eu`.
pub fn home(location: &str) -> String {
    match location {
        "global" => "https://aiplatform.googleapis.com/v1".into(),
        "us" | "eu" => format!("https://aiplatform.{location}.rep.googleapis.com/v1"),
        region => format!("https://{region}-aiplatform.googleapis.com/v1"),
    }
}
