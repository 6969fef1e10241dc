//! Azure OpenAI: OpenAI's wire at other paths, behind content filters.

use bytes::Bytes;
use http::StatusCode;
use memchr::memmem;
use serde_json::{Value, json};
use url::form_urlencoded::byte_serialize;

use super::compatible::{Amended, Compatible};
use super::openai::OpenAi;
use super::{Asked, Embeddings, Events, KeyHeader, NoAnswer, Provider, WholeReply, WireRequest};
use crate::api::chat::ChatRequest;
use crate::api::embeddings::EmbeddingsRequest;
use crate::api::error::{BadRequest, ErrorDetail};

/// An Azure OpenAI resource; its models are deployments.
#[derive(Debug, Clone)]
pub struct Azure {
    inner: Compatible,
    place: Place,
    api_version: Option<String>,
}

/// Where the base URL points, which decides what is left for a path to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `…/openai/v1`: the deployment is the body's `model`.
    V1,
    /// `…/openai`.
    Openai,
    /// `…/openai/deployments/NAME`.
    Deployment,
    Resource,
}

impl Azure {
    /// `base_path`: of the provider's base URL. `api_version` may only be missing where
    /// [`needs_version`](Self::needs_version) says so.
    pub fn new(inner: Compatible, base_path: &str, api_version: Option<String>) -> Self {
        Self { inner, place: Place::of(base_path), api_version }
    }

    /// Whether requests below a base URL with this path must name the API's version.
    pub fn needs_version(base_path: &str) -> bool {
        Place::of(base_path) != Place::V1
    }

    /// Where `operation` is for a deployment.
    fn place(&self, deployment: &str, operation: &str) -> String {
        let name: String = byte_serialize(deployment.as_bytes()).collect();
        // A form writes a space as +, a path does not.
        let name = name.replace('+', "%20");
        let path = match self.place {
            Place::V1 | Place::Deployment => operation.to_owned(),
            Place::Openai => format!("deployments/{name}/{operation}"),
            Place::Resource => format!("openai/deployments/{name}/{operation}"),
        };
        match &self.api_version {
            Some(version) => format!("{path}?api-version={}", byte_serialize(version.as_bytes()).collect::<String>()),
            None => path,
        }
    }
}

impl Place {
    fn of(base_path: &str) -> Self {
        let path = base_path.trim_end_matches('/');
        match path {
            _ if path.ends_with("/openai/v1") => Self::V1,
            _ if path.ends_with("/openai") => Self::Openai,
            _ if path.contains("/openai/deployments/") => Self::Deployment,
            _ => Self::Resource,
        }
    }
}

impl Provider for Azure {
    fn path(&self, upstream_model: &str, _stream: bool) -> String {
        self.place(upstream_model, self.inner.chat_path().unwrap_or("chat/completions"))
    }

    fn key_header(&self) -> KeyHeader {
        KeyHeader::Named("api-key")
    }

    fn refuses(&self, request: &ChatRequest) -> Option<BadRequest> {
        self.inner.refuses(request)
    }

    fn request_up_to(
        &self,
        upstream_model: &str,
        longest: Option<u32>,
        request: &ChatRequest,
    ) -> Result<WireRequest, BadRequest> {
        self.inner.request_up_to(upstream_model, longest, request)
    }

    fn reply(&self, asked: &Asked<'_>, body: Bytes) -> Result<WholeReply, NoAnswer> {
        self.inner.reply(asked, body)
    }

    fn events(&self, asked: &Asked<'_>) -> Box<dyn Events> {
        Amended::events(titled, self.inner.events(asked))
    }

    fn embeddings(&self) -> Option<&dyn Embeddings> {
        Some(self)
    }

    /// A prompt that a filter stopped: `code` is `content_filter`, and the message says which filters.
    fn error(&self, status: StatusCode, body: &[u8]) -> ErrorDetail {
        let mut detail = OpenAi.error(status, body);
        let error: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = &error["error"];
        if error["type"].is_null() && status.is_client_error() {
            detail.kind = "invalid_request_error".into();
        }
        let filters = filtered(&error["innererror"]["content_filter_result"]);
        if !filters.is_empty() {
            detail.message = format!("{} (filtered: {})", detail.message, filters.join(", "));
        }
        detail
    }
}

impl Embeddings for Azure {
    fn embeddings_path(&self, upstream_model: &str) -> String {
        self.place(upstream_model, &self.inner.embeddings_path(upstream_model))
    }

    fn embed(&self, upstream_model: &str, request: &EmbeddingsRequest) -> Result<Vec<WireRequest>, BadRequest> {
        self.inner.embed(upstream_model, request)
    }
}

/// A chunk that tells of filters alone, with what every chunk has: it comes with an empty `object`, and choices without a
/// `delta`.
fn titled(data: Bytes) -> Bytes {
    if memmem::find(&data, br#""object":"""#).is_none() {
        return data;
    }
    let Ok(Value::Object(mut chunk)) = serde_json::from_slice(&data) else { return data };
    chunk.insert("object".into(), "chat.completion.chunk".into());
    let choices = chunk.get_mut("choices").and_then(Value::as_array_mut).into_iter().flatten();
    for choice in choices.filter_map(Value::as_object_mut) {
        choice.entry("delta").or_insert(json!({}));
    }
    serde_json::to_vec(&chunk).map_or(data, Bytes::from)
}

/// `violence: medium`, `jailbreak`: the filters that stopped something.
fn filtered(results: &Value) -> Vec<String> {
    let stopped = results.as_object().into_iter().flatten().filter(|(_, result)| result["filtered"] == true);
    let named = stopped.map(|(name, result)| match result["severity"].as_str() {
        Some(severity) => format!("{name}: {severity}"),
        None => name.clone(),
    });
    named.collect()
}
