//! What the gateway gives back: facts for the headers, and the answer, whole or in pieces.

use std::fmt::Display;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;

use super::cache::{How, Listener, Shared, Ticket};
use super::telling::{Heard, Telling};
use crate::api::chat::without_usage;
use crate::policy::Kind;
use crate::trace::TraceId;
use crate::upstream::{Cause, UpstreamError};

/// What the response headers say.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Nil where nothing is recorded.
    pub trace: TraceId,
    pub route: Option<Arc<str>>,
    /// `provider/model`; `None` where none answered.
    pub model: Option<Arc<str>>,
    pub kind: Kind,
    /// π of the model that answers; `None` where nothing was decided, or another one was drawn.
    pub propensity: Option<f64>,
    pub difficulty: Option<f32>,
    /// Calls to upstreams that were made.
    pub attempts: usize,
    /// `None` where it is not known, or not yet.
    pub cost_usd: Option<f64>,
    /// How a kept answer was found; `None`: it is a new one.
    pub cache: Option<How>,
    /// Seconds since it was given first.
    pub age_s: Option<u64>,
}

impl Facts {
    /// `exploit`, `explore`, `pinned`, `fallback` or `cache`.
    pub fn decision(&self) -> &'static str {
        self.kind.name()
    }
}

/// An answer.
pub struct Answer {
    pub facts: Facts,
    pub body: AnswerBody,
}

/// The answer's body in OpenAI's shape.
pub enum AnswerBody {
    Whole(Bytes),
    Stream(Box<AnswerStream>),
}

/// The `data` of each server-sent event, `[DONE]` the last. An error is the last item too: the answer was cut there.
/// Dropping it records that the client left, and cancels the upstream call if nobody else hears it.
pub struct AnswerStream {
    source: Source,
    /// The client itself asked for usage.
    show_usage: bool,
    ended: bool,
}

enum Source {
    Own(Telling),
    Shared(Listener),
}

impl AnswerStream {
    /// `ticket`: where the answer is to be kept; others may hear it meanwhile.
    pub(super) fn new(telling: Telling, show_usage: bool, ticket: Option<Ticket>) -> Self {
        let source = match ticket {
            None => Source::Own(telling),
            Some(ticket) => Source::Shared(Shared::begin(telling, ticket)),
        };
        Self { source, show_usage, ended: false }
    }

    /// One that hears another request's call.
    pub(super) fn shared(listener: Listener, show_usage: bool) -> Self {
        Self { source: Source::Shared(listener), show_usage, ended: false }
    }

    /// Ends the stream because the gateway stops, and records it. Returns the error for the client; `None` if it had ended.
    pub fn end_early(&mut self) -> Option<UpstreamError> {
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        let error = UpstreamError::new(Cause::Abandoned, "the gateway was stopped before the answer's end");
        self.source.end_early(&error);
        Some(error)
    }

    /// Ends the stream because a chunk of it cannot be told in the client's protocol, and records it. Returns the error for
    /// the client.
    pub fn end_unreadable(&mut self, problem: &dyn Display) -> UpstreamError {
        self.ended = true;
        let message = format!("a chunk of the upstream's cannot be told in this protocol: {problem}");
        let error = UpstreamError::new(Cause::Malformed, message);
        self.source.end_early(&error);
        error
    }

    /// `None`: nothing of it is for the client.
    fn tell(&mut self, heard: Heard) -> Option<Result<Bytes, UpstreamError>> {
        self.ended = !matches!(heard, Heard::Chunk(_));
        match heard {
            Heard::Chunk(chunk) if self.show_usage => Some(Ok(chunk.data)),
            Heard::Chunk(chunk) => (!chunk.usage_only).then(|| Ok(without_usage(chunk.data))),
            Heard::Done => Some(Ok(Bytes::from_static(b"[DONE]"))),
            Heard::Cut(error) => Some(Err(error)),
        }
    }
}

impl Source {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        match self {
            Self::Shared(listener) => listener.poll(cx),
            Self::Own(telling) => telling.poll_to_the_end(cx),
        }
    }

    fn end_early(&mut self, error: &UpstreamError) {
        match self {
            Self::Own(telling) => telling.end_early(error),
            Self::Shared(listener) => listener.end_early(error),
        }
    }
}

impl Stream for AnswerStream {
    type Item = Result<Bytes, UpstreamError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        while !this.ended {
            let heard = ready!(this.source.poll(cx));
            if let Some(told) = this.tell(heard) {
                return Poll::Ready(Some(told));
            }
        }
        Poll::Ready(None)
    }
}
