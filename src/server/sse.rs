//! An answer as server-sent events: each piece leaves as soon as it is here.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::StreamExt;
use http_body::Frame;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::protocol::Protocol;
use crate::api::sse::Untold;
use crate::gateway::AnswerStream;
use crate::upstream::UpstreamError;

/// The body of a streamed answer in a client's protocol. Dropping it before its end cancels the upstream call.
pub(super) struct SseBody<P> {
    answer: Box<AnswerStream>,
    protocol: P,
    /// The gateway ends, and so must the stream.
    over: Pin<Box<OwnedNotified>>,
}

impl<P: Protocol> SseBody<P> {
    /// A stream that ends at the latest when `over` notifies all.
    pub(super) fn new(answer: Box<AnswerStream>, protocol: P, over: Arc<Notify>) -> Self {
        Self { answer, protocol, over: Box::pin(over.notified_owned()) }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, UpstreamError>>> {
        match self.answer.poll_next_unpin(cx) {
            Poll::Pending => self.over.as_mut().poll(cx).map(|()| self.answer.end_early().map(Err)),
            ready => ready,
        }
    }

    /// A chunk that the protocol cannot tell ends the stream: were it left out, nobody would know that something is missing.
    fn chunk(&mut self, data: &[u8]) -> Bytes {
        self.protocol.chunk(data).unwrap_or_else(|Untold { mut told, problem }| {
            told.extend(self.protocol.cut(&self.answer.end_unreadable(&problem)));
            told.into()
        })
    }
}

impl<P: Protocol> http_body::Body for SseBody<P> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        loop {
            let events = match ready!(this.poll_answer(cx)) {
                None => return Poll::Ready(None),
                Some(Ok(data)) if &data[..] == b"[DONE]" => this.protocol.end(),
                Some(Ok(data)) => this.chunk(&data),
                Some(Err(cut)) => this.protocol.cut(&cut),
            };
            if !events.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(events))));
            }
        }
    }
}
