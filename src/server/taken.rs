//! An answer on an HTTP/2 connection: it ends where its client stops reading it.
//!
//! Such a client may read all else that comes on the connection, so that no write to its [`Socket`](super::socket)
//! waits; and hyper does not ask an answer for more while its window is shut.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::connection::UnderWay;
use super::socket::{TAKING_DEADLINE, not_taken};

/// A body that is dropped, and its upstream call cancelled, once its client has taken nothing of it for
/// [`TAKING_DEADLINE`], or twice that.
pub(super) struct TakenBody {
    held: Arc<Mutex<Held>>,
    watch: AbortHandle,
}

struct Held {
    /// `None`: it was not taken.
    body: Option<(Body, UnderWay)>,
    /// How often it was asked for more.
    asked: usize,
    /// It has something, or may have, and is not asked for it.
    waits_for_client: bool,
}

impl TakenBody {
    pub(super) fn new(body: Body, under_way: UnderWay) -> Self {
        let held = Held { body: Some((body, under_way)), asked: 0, waits_for_client: true };
        let held = Arc::new(Mutex::new(held));
        let watch = tokio::spawn(watch(Arc::downgrade(&held))).abort_handle();
        Self { held, watch }
    }
}

impl Drop for TakenBody {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

async fn watch(held: Weak<Mutex<Held>>) {
    let mut seen = 0;
    let mut left = None;
    while left.is_none() {
        sleep(TAKING_DEADLINE).await;
        let Some(held) = held.upgrade() else { return };
        left = lock(&held).leave(&mut seen);
    }
}

impl Held {
    /// The body, where nobody has asked for more of it since it was `seen`.
    fn leave(&mut self, seen: &mut usize) -> Option<(Body, UnderWay)> {
        let moved = std::mem::replace(seen, self.asked) != self.asked;
        if moved || !self.waits_for_client { None } else { self.body.take() }
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl http_body::Body for TakenBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut held = lock(&self.held);
        held.asked += 1;
        let Some((body, _)) = &mut held.body else {
            return Poll::Ready(Some(Err(axum::Error::new(not_taken()))));
        };
        let frame = Pin::new(body).poll_frame(cx);
        held.waits_for_client = frame.is_ready();
        frame
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.held).body.as_ref().is_some_and(|(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.held).body.as_ref().map(|(body, _)| body.size_hint()).unwrap_or_default()
    }
}
