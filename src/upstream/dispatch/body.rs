//! An answer's body, piece by piece, each with its deadline.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::pool::Lease;
use super::timing::{Due, Passed, Timing};
use crate::api::room;

/// The rest of an answer as it comes from the network. Dropping it cancels the call.
#[derive(Debug)]
pub struct Body {
    inner: Incoming,
    /// Gives the connection back, or ends it, when the body is dropped.
    _lease: Lease,
    timing: Timing,
    due: Due,
    /// Made at the first wait: most whole answers are there at once and need no timer.
    timer: Option<Pin<Box<Sleep>>>,
}

/// Why a body has no further piece.
#[derive(Debug)]
pub enum BodyError {
    Passed(Passed),
    Broken(hyper::Error),
    TooLong { limit: usize },
}

impl Body {
    /// A body whose first byte is due when `timing` says so.
    pub fn new(inner: Incoming, lease: Lease, timing: Timing) -> Self {
        Self { inner, _lease: lease, timing, due: timing.first_byte, timer: None }
    }

    /// The next piece; `None` at the end.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
                return self.poll_timer(cx).map(|passed| Some(Err(BodyError::Passed(passed))));
            };
            match frame.map(|frame| frame.map(http_body::Frame::into_data)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(BodyError::Broken(error)))),
                Some(Ok(Ok(piece))) => {
                    self.due = self.timing.next_piece(Instant::now());
                    return Poll::Ready(Some(Ok(piece)));
                }
                // Trailers: nothing on this wire is in them.
                Some(Ok(Err(_))) => {}
            }
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Passed> {
        let at = self.due.at;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(self.due.passed)
    }

    /// All of it, without a copy where it comes in one piece.
    ///
    /// # Errors
    /// It broke off, was late, or is longer than `limit` bytes.
    pub async fn whole(mut self, limit: usize) -> Result<Bytes, BodyError> {
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        while let Some(piece) = poll_fn(|cx| self.poll_piece(cx)).await {
            let piece = piece?;
            if first.len() + all.len() + piece.len() > limit {
                return Err(BodyError::TooLong { limit });
            }
            if first.is_empty() && all.is_empty() {
                first = piece;
            } else {
                room::extend(&mut all, &std::mem::take(&mut first), limit);
                room::extend(&mut all, &piece, limit);
            }
        }
        Ok(if all.is_empty() { first } else { all.freeze() })
    }

    /// At most the first `limit` bytes, and what there is of them if the rest does not come.
    pub async fn beginning(mut self, limit: usize) -> Bytes {
        let mut all = BytesMut::new();
        while let Some(Ok(piece)) = poll_fn(|cx| self.poll_piece(cx)).await {
            all.extend_from_slice(&piece[..piece.len().min(limit - all.len())]);
            if all.len() == limit {
                break;
            }
        }
        all.freeze()
    }
}
