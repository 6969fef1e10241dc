//! A streamed answer: body → events → what the client gets and the gateway reads.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use tokio::time::Instant;

use super::super::{Cause, Events, StreamItem, Text, UpstreamError};
use super::body::Body;
use super::choices::Choices;
use super::endpoint::Endpoint;
use super::fault::Reporter;
use super::frames::Frames;
use super::opening::Opening;
use super::vitals::Call;

/// A streamed answer that has begun.
///
/// It ends with [`StreamItem::Done`], also where the upstream leaves `[DONE]` out after a finish reason, or with one
/// error, also where it sends `[DONE]` without one; then there is nothing more. Dropping it cancels the upstream call.
pub struct ReplyStream(Box<Pieces>);

struct Pieces {
    endpoint: Arc<Endpoint>,
    body: Body,
    frames: Frames,
    events: Box<dyn Events>,
    call: Call,
    /// Translated and not yet given on.
    ready: VecDeque<StreamItem>,
    /// Taken to know that the stream has begun, and not yet given on.
    opening: Opening,
    choices: Choices,
    progress: Progress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Nothing came yet.
    Waiting,
    /// Something came, and not yet each choice's finish reason.
    Begun,
    /// They came: it may end.
    Finished,
    Ended,
}

impl ReplyStream {
    /// The stream in `body` once it says something: a failure before that still is a failure of the attempt.
    pub(super) async fn begin(
        endpoint: Arc<Endpoint>,
        body: Body,
        (events, choices): (Box<dyn Events>, Choices),
        call: Call,
    ) -> Result<Self, UpstreamError> {
        let frames = Frames::new(endpoint.provider.framing());
        let (ready, opening, progress) = (VecDeque::new(), Opening::default(), Progress::Waiting);
        let mut pieces = Box::new(Pieces { endpoint, body, frames, events, call, ready, opening, choices, progress });
        while let Some(item) = poll_fn(|cx| pieces.poll_item(cx)).await.transpose()? {
            if pieces.opening.push(item) {
                break;
            }
        }
        pieces.call.begun();
        Ok(Self(pieces))
    }

    /// What has come of it and was not given on yet.
    pub(super) fn begun(&self) -> impl Iterator<Item = &Text> {
        self.0.opening.items().chain(&self.0.ready).filter_map(|item| match item {
            StreamItem::Chunk { text, .. } => Some(text),
            StreamItem::Done => None,
        })
    }
}

impl Pieces {
    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<StreamItem, UpstreamError>>> {
        if self.progress == Progress::Ended {
            return Poll::Ready(None);
        }
        let item = ready!(self.poll_next_item(cx));
        match &item {
            Ok(StreamItem::Chunk { data, text, .. }) => {
                let finished = self.choices.take(data, text);
                self.advance(finished);
            }
            Ok(StreamItem::Done) => {
                self.call.succeeded();
                self.progress = Progress::Ended;
            }
            Err(error) => {
                self.call.failed(error, Instant::now());
                self.progress = Progress::Ended;
                // What came of an unfinished event.
                self.frames = Frames::new(self.endpoint.provider.framing());
            }
        }
        Poll::Ready(Some(item))
    }

    fn advance(&mut self, finish: bool) {
        if finish {
            self.progress = Progress::Finished;
        } else if self.progress == Progress::Waiting {
            self.progress = Progress::Begun;
        }
    }

    fn poll_next_item(&mut self, cx: &mut Context<'_>) -> Poll<Result<StreamItem, UpstreamError>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Poll::Ready(self.checked(item));
            }
            match self.frames.next_event() {
                Ok(Some(event)) => match self.events.event(event, &mut self.ready) {
                    Ok(()) => {
                        // Comments, which keep a connection open while the model does not answer, are not events.
                        self.body.begin();
                        continue;
                    }
                    Err(problem) => return Poll::Ready(Err(self.endpoint.no_answer(problem))),
                },
                Ok(None) => {}
                Err(problem) => return Poll::Ready(Err(self.endpoint.no_answer(problem))),
            }
            match ready!(self.body.poll_piece(cx)) {
                Some(Ok(piece)) => self.frames.push(&piece),
                Some(Err(error)) => return Poll::Ready(Err(self.reporter().body(error))),
                None => self.end()?,
            }
        }
    }

    fn reporter(&self) -> &Reporter {
        &self.endpoint.reporter
    }

    fn checked(&self, item: StreamItem) -> Result<StreamItem, UpstreamError> {
        match item {
            StreamItem::Done if self.progress == Progress::Waiting => {
                Err(self.reporter().malformed("the stream ended before it began"))
            }
            StreamItem::Done if !self.choices.have_finished() => {
                Err(self.reporter().malformed("the stream was cut before its end: no finish reason came"))
            }
            item => Ok(item),
        }
    }

    /// The body ended without saying so.
    fn end(&mut self) -> Result<(), UpstreamError> {
        if self.progress != Progress::Finished {
            return Err(self.reporter().error(Cause::Malformed, "the stream was cut before its end"));
        }
        self.events.end(&mut self.ready);
        self.ready.push_back(StreamItem::Done);
        Ok(())
    }
}

impl Stream for ReplyStream {
    type Item = Result<StreamItem, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.0.opening.pop() {
            Some(item) => Poll::Ready(Some(Ok(item))),
            None => self.0.poll_item(cx),
        }
    }
}

impl fmt::Debug for ReplyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyStream").field("progress", &self.0.progress).finish_non_exhaustive()
    }
}
