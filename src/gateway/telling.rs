//! An answer on its way in pieces, with the record of who asked for it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::vec;

use bytes::Bytes;
use futures_util::Stream;

use super::recording::Recording;
use crate::trace::Outcome;
use crate::upstream::{Cause, ReplyStream, StreamItem, UpstreamError};

/// A stream as it is told, and its record.
pub(super) struct Telling {
    source: Source,
    pub(super) recording: Recording,
}

/// Where the pieces come from.
enum Source {
    Upstream(ReplyStream),
    Kept(vec::IntoIter<StreamItem>),
    /// Nowhere any more: the upstream's connection may serve another request.
    Over,
}

/// What comes next of a stream; after its end nothing does.
#[derive(Debug)]
pub(super) enum Heard {
    Chunk(Chunk),
    /// It ended well.
    Done,
    Cut(UpstreamError),
}

/// The data of one chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) data: Bytes,
    /// It has the usage and nothing else.
    pub(super) usage_only: bool,
}

impl Telling {
    pub(super) fn of_upstream(pieces: ReplyStream, recording: Recording) -> Self {
        Self { source: Source::Upstream(pieces), recording }
    }

    /// One that was kept.
    pub(super) fn again(items: Vec<StreamItem>, recording: Recording) -> Self {
        Self { source: Source::Kept(items.into_iter()), recording }
    }

    /// As [`poll`](Self::poll), with its end recorded too.
    pub(super) fn poll_to_the_end(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        let heard = ready!(self.poll(cx));
        match heard {
            Heard::Chunk(_) => {}
            Heard::Done => self.recording.finish(Outcome::Answered),
            Heard::Cut(_) => self.recording.finish(Outcome::Cut),
        }
        Poll::Ready(heard)
    }

    /// Ends it where it is, and records that it was cut.
    pub(super) fn end_early(&mut self, error: &UpstreamError) {
        self.stop(error);
        self.recording.finish(Outcome::Cut);
    }

    /// Ends it where it is, and records why; its end is for the caller to record.
    pub(super) fn stop(&mut self, error: &UpstreamError) {
        self.recording.broke(error);
        self.source = Source::Over;
    }

    /// The next of it, recorded; its end is for the caller to record.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        let heard = match ready!(self.source.poll(cx)) {
            Some(Ok(StreamItem::Chunk { data, text, usage, usage_only })) => {
                self.recording.first_byte();
                self.recording.heard(text);
                usage.into_iter().for_each(|usage| self.recording.used(usage));
                return Poll::Ready(Heard::Chunk(Chunk { data, usage_only }));
            }
            Some(Ok(StreamItem::Done)) => Heard::Done,
            Some(Err(error)) => Heard::Cut(error),
            None => Heard::Cut(ended_early()),
        };
        if let Heard::Cut(error) = &heard {
            self.recording.broke(error);
        }
        self.source = Source::Over;
        Poll::Ready(heard)
    }
}

impl Source {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<StreamItem, UpstreamError>>> {
        match self {
            Self::Upstream(pieces) => Pin::new(pieces).poll_next(cx),
            Self::Kept(items) => Poll::Ready(items.next().map(Ok)),
            Self::Over => Poll::Ready(None),
        }
    }
}

fn ended_early() -> UpstreamError {
    UpstreamError::new(Cause::Malformed, "the upstream's stream ended before [DONE]")
}
