//! Amazon Bedrock's `Converse` and `ConverseStream`, which are the same for all of its models, and `InvokeModel`, which
//! is each vendor's own, for embeddings.
//!
//! Schemas, thinking and sampling of Claude go by the rules of [Anthropic's wire](super::anthropic); the other models'
//! schemas are held to with a tool whose input is the answer. Which model it is stands in its id; an application
//! inference profile's ARN tells nothing, and what it stands for is written behind it: `arn:…/abc#anthropic.claude-…`.

mod answer;
mod document;
mod embeddings;
mod messages;
mod request;

use std::fmt::Write;

use bytes::Bytes;
use http::StatusCode;

use super::openai::OpenAi;
use super::{Asked, Embeddings, Events, Framing, NoAnswer, Provider, WholeReply, WireRequest};
use crate::api::chat::ChatRequest;
use crate::api::conversation::inexpressible;
use crate::api::error::{BadRequest, ErrorDetail};

/// What of OpenAI's wire is understood.
const UNDERSTOOD: [&str; 12] = [
    "max_completion_tokens",
    "max_tokens",
    "parallel_tool_calls",
    "reasoning",
    "reasoning_effort",
    "response_format",
    "stop",
    "temperature",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];

/// `POST {base_url}/model/{model}/converse` and `…/converse-stream`; for embeddings `…/invoke`.
#[derive(Debug, Clone, Copy)]
pub struct Bedrock;

impl Provider for Bedrock {
    fn path(&self, upstream_model: &str, stream: bool) -> String {
        let operation = if stream { "converse-stream" } else { "converse" };
        format!("model/{}/{operation}", encoded(upstream_model))
    }

    fn framing(&self) -> Framing {
        Framing::AwsEventStream
    }

    fn refuses(&self, request: &ChatRequest) -> Option<BadRequest> {
        inexpressible(request, &UNDERSTOOD, "Bedrock's wire")
    }

    fn request_up_to(
        &self,
        upstream_model: &str,
        longest: Option<u32>,
        request: &ChatRequest,
    ) -> Result<WireRequest, BadRequest> {
        if let Some(bad) = self.refuses(request) {
            return Err(bad);
        }
        let body = request::body(upstream_model, longest, request)?;
        Ok(WireRequest::json(&body))
    }

    fn reply(&self, asked: &Asked<'_>, body: Bytes) -> Result<WholeReply, NoAnswer> {
        answer::reply(&Asked { model: called(asked.model), ..*asked }, &body)
    }

    fn events(&self, asked: &Asked<'_>) -> Box<dyn Events> {
        Box::new(answer::Stream::new(&Asked { model: called(asked.model), ..*asked }))
    }

    fn embeddings(&self) -> Option<&dyn Embeddings> {
        Some(self)
    }

    /// `{"message": "…"}`, or `{"Message": "…"}` where it comes from what stands before Bedrock.
    fn error(&self, status: StatusCode, body: &[u8]) -> ErrorDetail {
        let body: Bytes = match serde_json::from_slice::<serde_json::Value>(body) {
            Ok(serde_json::Value::Object(fields)) if fields.contains_key("Message") => {
                serde_json::json!({"message": fields["Message"]}).to_string().into()
            }
            _ => Bytes::copy_from_slice(body),
        };
        let detail = OpenAi.error(status, &body);
        let kind = if status.is_client_error() { "invalid_request_error" } else { "server_error" };
        ErrorDetail { kind: kind.into(), ..detail }
    }
}

/// What Bedrock calls a model: without what is written behind an ARN.
fn called(model: &str) -> &str {
    model.split_once('#').map_or(model, |(arn, _)| arn)
}

/// A model's id or ARN as one segment of a path: all but what RFC 3986 reserves for nothing is escaped, as Amazon's own
/// clients do, since the signature is of the path as it is sent.
fn encoded(model: &str) -> String {
    called(model).bytes().fold(String::with_capacity(model.len() + 8), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte.into()),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
        out
    })
}
