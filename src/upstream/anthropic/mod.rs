//! Anthropic's Messages API.
//!
//! What OpenAI's wire has and this one has not is refused by name, and nothing is left out unless the client says so
//! (`drop_unsupported`). A JSON schema is held to by `output_config.format` where the model has it and every object of
//! the schema is closed; else, and for JSON mode, which Claude does not have, the answer is the input of a tool that the
//! model must call: that is always JSON, where words in the prompt only ask for it. Where the client has tools of its
//! own, or the model thinks, no call can be forced, and words are what is left.

mod answer;
pub mod answered;
mod events;
pub mod messages;
pub mod model;
mod reply;
mod request;
pub mod sampling;
pub mod schema;
mod search;
pub mod thinking;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;

use super::openai::OpenAi;
use super::{Asked, Events, KeyHeader, NoAnswer, Provider, WholeReply, WireRequest};
use crate::api::chat::ChatRequest;
use crate::api::conversation::{Hosted, Protocol, inexpressible_of, is_known};
use crate::api::error::{BadRequest, ErrorDetail};

/// The version that still lets models up to 4.6 have a temperature; 2026-10-21 takes it from all. Configured `headers`
/// may say another.
const VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// What OpenAI calls the `default` tier. Clouds have their own.
const STANDARD: &str = "standard_only";

/// What of OpenAI's wire is understood; `thinking` is Anthropic's own, and passed on.
const UNDERSTOOD: [&str; 14] = [
    "max_completion_tokens",
    "max_tokens",
    "parallel_tool_calls",
    "reasoning",
    "reasoning_effort",
    "response_format",
    "stop",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
    "web_search_options",
];

/// Anthropic's own, which a chat may hold: passed on as they are.
const OWN: [&str; 6] = ["cache_control", "container", "context_management", "inference_geo", "mcp_servers", "speed"];

/// `POST {base_url}/v1/messages`.
#[derive(Debug, Clone, Copy)]
pub struct Anthropic {
    path: &'static str,
}

impl Anthropic {
    /// Below a base URL with this path: Anthropic's has none, and `/v1` at its end is taken for what it is.
    pub fn below(base_path: &str) -> Self {
        let versioned = base_path.trim_end_matches('/').ends_with("/v1");
        Self { path: if versioned { "messages" } else { "v1/messages" } }
    }
}

impl Provider for Anthropic {
    fn path(&self, _upstream_model: &str, _stream: bool) -> String {
        self.path.into()
    }

    fn key_header(&self) -> KeyHeader {
        KeyHeader::Named("x-api-key")
    }

    fn headers(&self) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static("anthropic-version"), VERSION)])
    }

    fn refuses(&self, request: &ChatRequest) -> Option<BadRequest> {
        let deaf = || BadRequest::field("messages", "Claude does not hear; send a transcript, or ask another model");
        unknown(request).or_else(|| request.needs.audio.then(deaf))
    }

    fn request_up_to(
        &self,
        upstream_model: &str,
        longest: Option<u32>,
        request: &ChatRequest,
    ) -> Result<WireRequest, BadRequest> {
        let mut body = body(upstream_model, longest, request)?;
        if request.raw("service_tier").is_some_and(|tier| &tier[..] == b"\"default\"") {
            body["service_tier"] = STANDARD.into();
        }
        Ok(WireRequest { headers: betas(request)?, ..WireRequest::json(&body) })
    }

    fn reply(&self, asked: &Asked<'_>, body: Bytes) -> Result<WholeReply, NoAnswer> {
        reply::reply(asked, &body)
    }

    fn events(&self, asked: &Asked<'_>) -> Box<dyn Events> {
        Box::new(events::Stream::new(asked))
    }

    /// `{"type": "error", "error": {"type", "message"}}`: OpenAI's shape except for what it lacks.
    fn error(&self, status: StatusCode, body: &[u8]) -> ErrorDetail {
        OpenAi.error(status, body)
    }
}

/// What to post for `model`, which writes `longest` tokens at most. Clouds that offer Claude want most of the same.
///
/// # Errors
/// What Claude, or this Claude, cannot express.
pub fn body(model: &str, longest: Option<u32>, request: &ChatRequest) -> Result<Value, BadRequest> {
    if let Some(bad) = unknown(request) {
        return Err(bad);
    }
    let mut body = request::body(model, longest, request)?;
    for name in OWN {
        if let Some(own) = request.field::<Value>(name, "JSON")? {
            body[name] = own;
        }
    }
    for name in strange(request) {
        if body.get(&name).is_some() {
            let problem = format!("claude_fields: {name} is written from other fields already; leave it out");
            return Err(BadRequest::field("claude_fields", problem));
        }
        let given = request.raw(&name).and_then(|given| serde_json::from_slice(given).ok());
        given.into_iter().for_each(|given: Value| body[&name] = given);
    }
    let said = Hosted::request(request);
    Hosted::fields(Protocol::Messages, said.as_ref()).for_each(|(name, own)| add(&mut body[name], own));
    Ok(body)
}

/// More of an object, or another value.
fn add(to: &mut Value, own: &Value) {
    match (to, own) {
        (Value::Object(fields), Value::Object(own)) => fields.extend(own.clone()),
        (to, own) => *to = own.clone(),
    }
}

/// What a client tries of Anthropic's features, which it names in a header: `anthropic_beta`, as Anthropic's clouds have
/// it in their bodies. Beside those of the provider's configured `headers`.
///
/// # Errors
/// What is wrong in it.
pub fn betas(request: &ChatRequest) -> Result<HeaderMap, BadRequest> {
    let named: Vec<String> = request.field("anthropic_beta", "a list of names")?.unwrap_or_default();
    let value = HeaderValue::from_str(&named.join(","))
        .map_err(|_| BadRequest::field("anthropic_beta", "anthropic_beta holds characters that no header can carry"))?;
    let name = http::HeaderName::from_static("anthropic-beta");
    Ok(if named.is_empty() { HeaderMap::new() } else { HeaderMap::from_iter([(name, value)]) })
}

/// The fields that a client of Anthropic's protocol sent and nobody here knows, such as new ones: passed on as they are.
/// What is known, such as the model, is written by the gateway alone, whatever a client says in `claude_fields`.
fn strange(request: &ChatRequest) -> Vec<String> {
    let named: Option<Vec<String>> = request.field("claude_fields", "a list of names").ok().flatten();
    named.into_iter().flatten().filter(|name| !is_known(name)).collect()
}

fn unknown(request: &ChatRequest) -> Option<BadRequest> {
    let strange = strange(request);
    let strange: Vec<&str> = strange.iter().map(String::as_str).collect();
    let understood = [&UNDERSTOOD[..], &OWN, &strange].concat();
    inexpressible_of(request, &understood, Some(Protocol::Messages), "Anthropic's wire")
        .or_else(|| search::refuses(request))
}
