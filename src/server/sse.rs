//! An answer as server-sent events: each piece leaves as soon as it is here.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::StreamExt;
use http_body::Frame;

use super::protocol::Protocol;
use crate::gateway::AnswerStream;

/// The body of a streamed answer in a client's protocol. Dropping it before its end cancels the upstream call.
pub(super) struct SseBody<P> {
    pub(super) answer: Box<AnswerStream>,
    pub(super) protocol: P,
}

impl<P: Protocol + Unpin> http_body::Body for SseBody<P> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        loop {
            let events = match ready!(this.answer.poll_next_unpin(cx)) {
                None => return Poll::Ready(None),
                Some(Ok(data)) if &data[..] == b"[DONE]" => this.protocol.end(),
                Some(Ok(data)) => this.protocol.chunk(&data),
                Some(Err(cut)) => this.protocol.cut(&cut),
            };
            if !events.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(events))));
            }
        }
    }
}
