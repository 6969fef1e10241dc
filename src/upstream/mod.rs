//! [`Provider`]: pure translation, one file each, no I/O; [`dispatch`] does the network, deadlines, retries, fallbacks.

pub mod dispatch;
pub mod openai;
pub mod settings;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::api::chat::ChatRequest;
use crate::api::error::BadRequest;
use crate::catalog::Usage;

/// One provider's wire: pure translation between OpenAI's chat wire and its own.
pub trait Provider: Send + Sync {
    /// The path below the provider's base URL, and the body to post there.
    ///
    /// # Errors
    /// What this provider cannot express, named by the client's field.
    fn request(&self, upstream_model: &str, request: &ChatRequest) -> Result<WireRequest, BadRequest>;

    /// A whole successful answer → the client's body and what the gateway reads of it.
    ///
    /// # Errors
    /// Why the bytes are no answer.
    fn reply(&self, body: Bytes) -> Result<WholeReply, String>;

    /// One server-sent event's data → what the client gets and what the gateway reads of it.
    ///
    /// # Errors
    /// Why it is no event of this wire, or the error that it carries.
    fn event(&self, data: Bytes) -> Result<StreamItem, String>;

    /// The provider's own words for a refusal: message, and whether another model or a retry may help is decided
    /// from the status by `dispatch`.
    fn error_message(&self, status: StatusCode, body: &[u8]) -> String;
}

/// What to post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireRequest {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A whole answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WholeReply {
    /// For the client, in OpenAI's shape.
    pub body: Bytes,
    pub usage: Option<Usage>,
    pub text: Text,
}

/// One piece of a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamItem {
    /// `data:` of one chunk for the client, in OpenAI's shape, and what it adds to the answer.
    Chunk { data: Bytes, text: Text, usage: Option<Usage>, usage_only: bool },
    /// `data: [DONE]`.
    Done,
}

/// The text (or a piece of it) of the first choice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    pub content: String,
    pub finish_reason: Option<String>,
    pub refusal: bool,
    pub tool_calls: bool,
}

/// How long to wait for each thing before giving up on an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    pub connect: Duration,
    /// From sending the request to the first byte of the answer.
    pub first_byte: Duration,
    /// Between two chunks of a stream.
    pub idle: Duration,
    /// The whole request, all attempts together.
    pub total: Duration,
}

/// One call to one upstream, as dispatch saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Index into the targets that dispatch was given.
    pub target: usize,
    pub status: Option<StatusCode>,
    pub error: Option<UpstreamError>,
    pub duration: Duration,
}

/// Why an attempt gave no answer: who caused it, and whether another try may help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UpstreamError {
    pub cause: Cause,
    pub message: String,
    /// The upstream's status, where it gave one.
    pub status: Option<StatusCode>,
    pub retry_after: Option<Duration>,
}

/// The kinds of upstream failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The caller's request is at fault (400, 404, 413, 422): no other model is asked, the client gets the status.
    Caller,
    /// The gateway's own key or configuration is (401, 403, unknown upstream model): another model may answer.
    Credentials,
    RateLimited,
    /// 5xx.
    Server,
    Connect,
    /// A deadline passed; `message` says which.
    Timeout,
    /// Bytes that are no answer, an error inside a 200, or a stream that was cut.
    Malformed,
}
