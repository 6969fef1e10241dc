//! What the gateway gives back: facts for the headers, and the answer, whole or in pieces.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::vec;

use bytes::Bytes;
use futures_util::Stream;

use super::cache::{Tape, Ticket};
use super::recording::{Recording, kind_name};
use crate::policy::Kind;
use crate::trace::{Outcome, TraceId};
use crate::upstream::{Cause, ReplyStream, StreamItem, UpstreamError};

/// What the response headers say.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Nil where nothing is recorded.
    pub trace: TraceId,
    pub route: Option<Arc<str>>,
    /// `provider/model`; `None` where none answered.
    pub model: Option<Arc<str>>,
    pub kind: Kind,
    /// π of the arm that was chosen; `None` where nothing was decided.
    pub propensity: Option<f64>,
    pub difficulty: Option<f32>,
    pub attempts: usize,
    /// `None` where it is not known, or not yet.
    pub cost_usd: Option<f64>,
    /// How a kept answer was found: `exact`, `semantic` or `shared`.
    pub cache: Option<&'static str>,
    /// Seconds since it was given first.
    pub age_s: Option<u64>,
}

impl Facts {
    /// `exploit`, `explore`, `pinned`, `fallback` or `cache`.
    pub fn decision(&self) -> &'static str {
        kind_name(self.kind)
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
/// Dropping it cancels the upstream call and records that the client left.
pub struct AnswerStream {
    pieces: Source,
    recording: Recording,
    tape: Tape,
    /// The client itself asked for usage.
    show_usage: bool,
    ended: bool,
}

/// Where the pieces come from.
enum Source {
    Upstream(ReplyStream),
    Kept(vec::IntoIter<StreamItem>),
}

impl AnswerStream {
    /// `ticket`: where the answer is to be kept.
    pub(super) fn new(pieces: ReplyStream, recording: Recording, show_usage: bool, ticket: Option<Ticket>) -> Self {
        Self { pieces: Source::Upstream(pieces), recording, tape: Tape::new(ticket), show_usage, ended: false }
    }

    /// One that is kept.
    pub(super) fn again(items: Vec<StreamItem>, recording: Recording, show_usage: bool) -> Self {
        Self { pieces: Source::Kept(items.into_iter()), recording, tape: Tape::new(None), show_usage, ended: false }
    }

    /// `None`: nothing of it is for the client.
    fn take(&mut self, item: StreamItem) -> Option<Bytes> {
        self.recording.first_byte();
        match item {
            StreamItem::Chunk { data, text, usage, usage_only } => {
                self.recording.heard(text);
                usage.into_iter().for_each(|usage| self.recording.used(usage));
                self.tape.take(&data, usage_only);
                (self.show_usage || !usage_only).then_some(data)
            }
            StreamItem::Done => {
                self.recording.so_far().into_iter().for_each(|(trace, now_ms)| self.tape.keep(trace, now_ms));
                self.end(Outcome::Answered);
                Some(Bytes::from_static(b"[DONE]"))
            }
        }
    }

    fn end(&mut self, outcome: Outcome) {
        self.ended = true;
        self.recording.finish(outcome);
    }
}

impl Source {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<StreamItem, UpstreamError>>> {
        match self {
            Self::Upstream(pieces) => Pin::new(pieces).poll_next(cx),
            Self::Kept(items) => Poll::Ready(items.next().map(Ok)),
        }
    }
}

impl Stream for AnswerStream {
    type Item = Result<Bytes, UpstreamError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        while !this.ended {
            match ready!(this.pieces.poll(cx)) {
                Some(Ok(item)) => {
                    if let Some(data) = this.take(item) {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                broken => {
                    let error = broken.and_then(Result::err).unwrap_or_else(ended_early);
                    this.recording.broke(&error);
                    this.end(Outcome::Cut);
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        Poll::Ready(None)
    }
}

fn ended_early() -> UpstreamError {
    UpstreamError {
        cause: Cause::Malformed,
        message: "the upstream's stream ended before [DONE]".into(),
        status: None,
        retry_after: None,
        detail: None,
    }
}
