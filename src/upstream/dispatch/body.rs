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
use crate::api::room::{Gathered, TooLong};

/// The rest of an answer as it comes from the network. Dropping it cancels the call.
#[derive(Debug)]
pub struct Body {
    inner: Incoming,
    /// Gives the connection back, or ends it, when the body is dropped.
    _lease: Lease,
    timing: Timing,
    due: Due,
    /// The answer has begun: each further piece has a deadline of its own.
    begun: bool,
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
    /// A body whose answer is due to begin when `timing` says so for the first byte. Whoever reads it says when it has.
    pub fn new(inner: Incoming, lease: Lease, timing: Timing) -> Self {
        Self { inner, _lease: lease, timing, due: timing.first_byte, begun: false, timer: None }
    }

    /// The answer has begun with the last piece.
    pub fn begin(&mut self) {
        if !std::mem::replace(&mut self.begun, true) {
            self.due = self.timing.next_piece(Instant::now());
        }
    }

    /// It begins with any piece.
    fn takes_any_piece(&mut self) {
        self.begun = true;
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
                    let now = Instant::now();
                    if let Some(passed) = self.overdue(now) {
                        return Poll::Ready(Some(Err(BodyError::Passed(passed))));
                    }
                    if self.begun {
                        self.due = self.timing.next_piece(now);
                    }
                    return Poll::Ready(Some(Ok(piece)));
                }
                // Trailers: nothing on this wire is in them.
                Some(Ok(Err(_))) => {}
            }
        }
    }

    /// The deadline that ends an answer whose pieces keep coming. The idle deadline is not checked here: a piece may only
    /// have waited for a slow reader.
    fn overdue(&self, now: Instant) -> Option<Passed> {
        let due = if self.begun { self.timing.total } else { self.due };
        (now >= due.at).then_some(due.passed)
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
        self.takes_any_piece();
        let mut all = Gathered::new(limit);
        while let Some(piece) = poll_fn(|cx| self.poll_piece(cx)).await {
            all.push(piece?).map_err(|TooLong| BodyError::TooLong { limit })?;
        }
        Ok(all.into_bytes())
    }

    /// At most the first `limit` bytes, and what there is of them if the rest does not come.
    pub async fn beginning(mut self, limit: usize) -> Bytes {
        self.takes_any_piece();
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
