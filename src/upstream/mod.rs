//! [`Provider`]: pure translation, one file each, no I/O; [`Upstreams::dispatch`] does the network, deadlines,
//! retries, fallbacks.

pub mod anthropic;
pub mod azure;
pub mod bedrock;
pub mod blocks;
mod calls;
pub mod cohere;
pub mod compatible;
pub mod completion;
mod dispatch;
pub mod embeddings;
pub mod event_stream;
pub mod gemini;
pub mod mistral;
pub mod openai;
pub mod responses;
pub mod settings;
pub mod structure;
pub mod told;
pub mod vertex;

pub(crate) use dispatch::Gathering;
pub use dispatch::{
    Condition, Dispatched, Exhausted, Fallbacks, Limits, ProviderStanding, Reply, ReplyStream, SetupError, Standing,
    Upstreams,
};
pub use embeddings::{Embeddings, WireAnswer};
pub use told::NoAnswer;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use crate::api::chat::ChatRequest;
use crate::api::error::{BadRequest, ErrorDetail};
use crate::catalog::Usage;

/// One provider's wire: pure translation between OpenAI's chat wire and its own.
pub trait Provider: Send + Sync {
    /// Where this model's chat is, below the provider's base URL, with a query where the wire wants one; asked once for
    /// each model.
    fn path(&self, upstream_model: &str, stream: bool) -> String;

    /// Where the configured `api_key` stands.
    fn key_header(&self) -> KeyHeader {
        KeyHeader::Bearer
    }

    /// Sent with each request, below configured headers of the same name.
    fn headers(&self) -> HeaderMap {
        HeaderMap::new()
    }

    /// How a stream is cut into events.
    fn framing(&self) -> Framing {
        Framing::ServerSentEvents
    }

    /// A cheap look at what [`request_up_to`](Self::request_up_to) would refuse for any model of this provider, asked
    /// before one is chosen: a route's other models may be of another wire.
    fn refuses(&self, _request: &ChatRequest) -> Option<BadRequest> {
        None
    }

    /// What to post there. `longest` is what the model can write at most, tokens, where that is known: some wires must be
    /// told how long an answer may be.
    ///
    /// # Errors
    /// What this provider cannot express, named by the client's field.
    fn request_up_to(
        &self,
        upstream_model: &str,
        longest: Option<u32>,
        request: &ChatRequest,
    ) -> Result<WireRequest, BadRequest>;

    /// A whole successful answer → the client's body and what the gateway reads of it.
    ///
    /// # Errors
    /// Why the bytes are not an answer.
    fn reply(&self, asked: &Asked<'_>, body: Bytes) -> Result<WholeReply, NoAnswer>;

    /// The translation of one stream, from its first event.
    fn events(&self, asked: &Asked<'_>) -> Box<dyn Events>;

    /// How this wire is asked for embeddings; `None`: not served by it.
    fn embeddings(&self) -> Option<&dyn Embeddings> {
        None
    }

    /// The provider's own words for a refusal, in OpenAI's shape. Whether another model or a retry may help is
    /// decided from the status by `dispatch`.
    fn error(&self, status: StatusCode, body: &[u8]) -> ErrorDetail;

    /// The status that tells what is at fault, where this wire's own does not: Google answers 400 to a bad key.
    fn true_status(&self, status: StatusCode, _body: &[u8]) -> StatusCode {
        status
    }

    /// How long a refusal asks to be left alone, where its body and not a header says so.
    fn retry_after(&self, _body: &[u8]) -> Option<Duration> {
        None
    }
}

/// One stream's translation. It remembers what the wire does not repeat.
pub trait Events: Send {
    /// One event → what the client gets and what the gateway reads of it, appended to `out`; nothing, where the event
    /// says nothing to a client.
    ///
    /// # Errors
    /// Why it is not an event of this wire, or the error that it carries.
    fn event(&mut self, event: WireEvent, out: &mut VecDeque<StreamItem>) -> Result<(), NoAnswer>;

    /// The stream's bytes ended after a finish reason and without a last event: what is still owed to the client,
    /// except [`StreamItem::Done`].
    fn end(&mut self, _out: &mut VecDeque<StreamItem>) {}
}

/// What an answer's translation must know of its request.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// As the provider calls it.
    pub model: &'a str,
    pub request: &'a ChatRequest,
    /// Makes a fresh one, which most answers need not.
    pub stamp: fn() -> Stamp,
}

/// For wires whose answers have no id and no time of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub id: Uuid,
    /// Unix seconds.
    pub created_s: u64,
}

/// One event of a stream, as its framing gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireEvent {
    /// `:event-type` of an AWS event stream; of a server-sent event no more than `error`: its data repeat any other.
    pub name: Option<String>,
    pub data: Bytes,
}

/// How the bytes of a stream are cut into events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    ServerSentEvents,
    AwsEventStream,
}

impl Framing {
    /// The media type of such a stream.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::ServerSentEvents => "text/event-stream",
            Self::AwsEventStream => "application/vnd.amazon.eventstream",
        }
    }
}

/// Where a provider wants its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyHeader {
    /// `authorization: Bearer …`.
    Bearer,
    /// The key alone, under this name.
    Named(&'static str),
}

/// What to post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireRequest {
    /// Beyond those of every request, and beside configured ones of the same name.
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl WireRequest {
    /// JSON, with no headers beyond those of every request.
    pub fn json(body: &Value) -> Self {
        Self { headers: HeaderMap::new(), body: body.to_string().into() }
    }
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
    /// `data:` of one chunk for the client, in OpenAI's shape, and what it adds to the answer. `usage`: what the provider
    /// had counted by then, which need not be in `data`.
    Chunk { data: Bytes, text: Text, usage: Option<Usage>, usage_only: bool },
    /// `data: [DONE]`.
    Done,
}

/// Has the newest piece of `items` tell the gateway, and no client, what the provider has `counted` by now: the answer may
/// break off before its end, where clients hear of it.
fn tell_count(items: &mut VecDeque<StreamItem>, counted: Option<Usage>) {
    if let Some(StreamItem::Chunk { usage, .. }) = items.back_mut() {
        *usage = usage.or(counted);
    }
}

/// The text (or a piece of it) of the first choice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    pub content: String,
    pub finish_reason: Option<String>,
    pub refusal: bool,
    pub tool_calls: bool,
    /// Of what the model wrote in this piece of a stream, bytes, of all choices: texts, thoughts, what calls are given. 0 of
    /// a whole answer, which nobody breaks off.
    pub length: usize,
}

/// How long to wait for each thing before giving up on an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// A property of the connection pools, which are made with it: [`Upstreams::new`].
    pub connect: Duration,
    /// From sending the request to the first byte of the answer.
    pub first_byte: Duration,
    /// Between two pieces of the answer.
    pub idle: Duration,
    /// The whole request, all attempts together.
    pub total: Duration,
}

/// One call to one upstream, as dispatch saw it, or why none was made.
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
    /// The upstream's status, where it refused with one, or told an error that stands for one where an answer should be.
    pub status: Option<StatusCode>,
    pub retry_after: Option<Duration>,
    /// The upstream's own error object, where it refused: what the client of a [`Cause::Caller`] should see.
    pub detail: Option<Box<ErrorDetail>>,
}

/// The kinds of upstream failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The caller's request is at fault (400, 413, 422 and the like): no other model is asked, the client gets the
    /// status.
    Caller,
    /// This provider cannot express the request, which was not sent; another may take it.
    Inexpressible,
    /// Its model refuses a field of it, or as much of it at once; another may take it.
    Unsupported,
    /// The gateway's own key or account is (401, and 402, 403 or 400 whose words say so): another model may answer.
    Credentials,
    /// The gateway's own configuration is: nothing could be sent, nobody answers at its `base_url` (404, 405, 421, 426, a
    /// redirect), there is no model of its `upstream_name` (404, 410), its account may not ask this model (403), or the
    /// proxy wants a password (407). Another model may answer.
    Configuration,
    RateLimited,
    /// The prompt is too long for this model; one with a larger window may take it.
    ContextLength,
    /// The provider will not have this content.
    ContentFilter,
    /// A hedged call that was cancelled because another answered first.
    Superseded,
    /// Cancelled because its client left before the answer began.
    Abandoned,
    /// It was not asked: its breaker is open.
    LeftAlone,
    /// 5xx, 409, 423 to 425, or the connection broke before the answer began: the model failed, not the request.
    Server,
    /// No connection could be made, or none within its deadline.
    Connect,
    /// The gateway had no file descriptor left to connect with: no provider's fault.
    Descriptors,
    /// A deadline passed after the request was sent, or the upstream says so itself (408); `message` says which.
    Timeout,
    /// The request's time was up before this call had had its own, because others came before it.
    Late,
    /// Bytes that are no answer, an error inside a 200 that does not say of what kind it is, or a stream that was cut.
    Malformed,
    /// The answer, or one event of it, is longer than is read: it would be so again.
    TooLong,
}

impl Attempt {
    /// Whether a call was made.
    pub fn was_made(&self) -> bool {
        self.error.as_ref().is_none_or(|error| error.cause != Cause::Inexpressible)
    }

    /// The request was sent, and the call given up before its end: its provider may bill what it had done by then.
    pub fn may_be_billed(&self) -> bool {
        let given_up = |error: &UpstreamError| match error.cause {
            Cause::Superseded | Cause::Abandoned | Cause::Late => true,
            Cause::Timeout => error.status.is_none(),
            _ => false,
        };
        self.error.as_ref().is_some_and(given_up)
    }

    /// How it ended, as metrics count it: `ok`, or the [name](Cause::name) of its failure's cause.
    pub fn result(&self) -> &'static str {
        self.error.as_ref().map_or("ok", |error| error.cause.name())
    }
}

impl Cause {
    /// As metrics print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Inexpressible => "inexpressible",
            Self::Unsupported => "unsupported",
            Self::Credentials => "credentials",
            Self::Configuration => "configuration",
            Self::RateLimited => "rate_limited",
            Self::ContextLength => "context_length",
            Self::ContentFilter => "content_filter",
            Self::Superseded => "superseded",
            Self::Abandoned => "abandoned",
            Self::LeftAlone => "left_alone",
            Self::Server => "server",
            Self::Connect => "connect",
            Self::Descriptors => "descriptors",
            Self::Timeout => "timeout",
            Self::Late => "late",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
        }
    }

    /// Another model may do what this one could not.
    pub fn another_may_answer(self) -> bool {
        !matches!(self, Self::Caller | Self::ContentFilter)
    }

    /// The same model may answer a little later.
    pub fn may_pass(self) -> bool {
        matches!(
            self,
            Self::RateLimited | Self::Server | Self::Connect | Self::Descriptors | Self::Timeout | Self::Malformed
        )
    }
}
