//! Reading a request's body, within bounds.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, EXPECT};
use http::{HeaderMap, Request, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::error::ApiError;
use crate::api::room::{Gathered, TooLong};

/// How long a client may take to send its body.
const READ_DEADLINE: Duration = Duration::from_secs(120);
/// How much of a body that is too large is read and thrown away, in multiples of the limit, so that the client gets to
/// read the refusal instead of a broken connection.
const DISCARD_FACTOR: usize = 4;
const DISCARD_DEADLINE: Duration = Duration::from_secs(10);
/// Most bytes of long bodies that are held at once, unless one alone may have more.
const ROOM: usize = 256 << 20;
/// A body of so many bytes counts for nothing: most are shorter, and there are fewer connections than would matter.
const SHORT: usize = 64 << 10;

/// Room for the bodies of requests: of each, and of all long ones together.
#[derive(Debug)]
pub(super) struct Bodies {
    /// Of one, bytes.
    limit: usize,
    /// A permit for each byte of long ones.
    room: Arc<Semaphore>,
}

impl Bodies {
    /// At most `limit` bytes each.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, room: Arc::new(Semaphore::new(ROOM.max(limit))) }
    }

    /// Bytes that one may have.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// The whole body. A long one takes its room until nobody holds it any more.
    pub(super) async fn read(&self, request: Request<Body>) -> Result<Bytes, ApiError> {
        self.read_within(request, self.limit).await
    }

    /// The whole body, at most `limit` bytes of it.
    pub(super) async fn read_within(&self, request: Request<Body>, limit: usize) -> Result<Bytes, ApiError> {
        read(request, limit, Share::of(&self.room)).await
    }
}

async fn read(request: Request<Body>, limit: usize, share: Share) -> Result<Bytes, ApiError> {
    if let Some(encoding) = request.headers().get(CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
        return Err(ApiError::encoded(&String::from_utf8_lossy(encoding.as_bytes())));
    }
    let mut body = request.into_body();
    if body.size_hint().lower() > limit as u64 {
        return Err(ApiError::too_large(limit));
    }
    match in_time(gather(&mut body, limit, share)).await {
        Ok(Ok(whole)) => Ok(whole),
        Ok(Err(Unread::TooLong)) => {
            discard(&mut body, limit).await;
            Err(ApiError::too_large(limit))
        }
        Ok(Err(Unread::NoRoom)) => {
            discard(&mut body, limit).await;
            Err(ApiError::no_room())
        }
        Ok(Err(Unread::Broken)) => Err(ApiError::invalid(StatusCode::BAD_REQUEST, "the body broke off; send it again")),
        Err(_) => Err(ApiError::invalid(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not come within {} s; send it again", READ_DEADLINE.as_secs()),
        )),
    }
}

/// A client that waits to be asked for its body has not begun to send it, and is not asked.
fn waits(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|what| what.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// A request's body on its way to who reads it. One that nobody reads, as its request is refused for the head, is thrown
/// away while the refusal goes out.
pub(super) struct Sent {
    /// `None` once it is thrown away.
    body: Option<Incoming>,
    limit: usize,
    /// Somebody reads it, or its client waits to be asked for it.
    is_read: bool,
}

impl Sent {
    /// `request` with its body; of one that nobody reads as much is thrown away as where `limit` is the most.
    pub(super) fn with(request: Request<Incoming>, limit: usize) -> Request<Self> {
        let is_read = waits(request.headers());
        request.map(|body| Self { body: Some(body), limit, is_read })
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take().filter(|body| !self.is_read && !body.is_end_stream()) else { return };
        let limit = self.limit;
        // There is none where the last tasks are dropped.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move { discard(&mut body, limit).await });
    }
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.is_read = true;
        self.body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(http_body::Body::size_hint).unwrap_or_default()
    }
}

/// Why a body is not whole.
enum Unread {
    TooLong,
    NoRoom,
    Broken,
}

/// What one body takes of the room.
struct Share {
    room: Arc<Semaphore>,
    bytes: usize,
    /// `None`: the body is short so far.
    taken: Option<OwnedSemaphorePermit>,
}

impl Share {
    fn of(room: &Arc<Semaphore>) -> Self {
        Self { room: room.clone(), bytes: 0, taken: None }
    }

    /// Room for so many more bytes; it is taken as they come, so that nobody has it for what is not sent.
    fn grow(&mut self, bytes: usize) -> Result<(), Unread> {
        self.bytes += bytes;
        if self.bytes <= SHORT {
            return Ok(());
        }
        let taken = self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let lacking = u32::try_from(self.bytes - taken).map_err(|_| Unread::NoRoom)?;
        let more = self.room.clone().try_acquire_many_owned(lacking).map_err(|_| Unread::NoRoom)?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }

    /// `whole`, which has the room as long as anybody holds a part of it.
    fn held_by(self, whole: Bytes) -> Bytes {
        match self.taken {
            Some(_taken) => Bytes::from_owner(Held { whole, _taken }),
            None => whole,
        }
    }
}

/// A long body and its room.
struct Held {
    whole: Bytes,
    _taken: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.whole
    }
}

async fn gather(body: &mut Body, limit: usize, mut share: Share) -> Result<Bytes, Unread> {
    let mut whole = Gathered::new(limit);
    while let Some(frame) = body.frame().await {
        // Trailers say nothing here.
        if let Ok(piece) = frame.map_err(|_| Unread::Broken)?.into_data() {
            let length = piece.len();
            whole.push(piece).map_err(|TooLong| Unread::TooLong)?;
            share.grow(length)?;
        }
    }
    Ok(share.held_by(whole.into_bytes()))
}

/// Most bodies arrive with their heads, and need no timer.
async fn in_time<F: Future>(reading: F) -> Result<F::Output, Elapsed> {
    let mut reading = pin!(reading);
    match poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await {
        Poll::Ready(read) => Ok(read),
        Poll::Pending => timeout(READ_DEADLINE, reading).await,
    }
}

async fn discard<B: http_body::Body<Data = Bytes> + Unpin>(body: &mut B, limit: usize) {
    let rest = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > limit.saturating_mul(DISCARD_FACTOR) {
                break;
            }
        }
    };
    // What is left after the deadline closes the connection, which is the point of it.
    let _elapsed = timeout(DISCARD_DEADLINE, rest).await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::response::IntoResponse;
    use futures_util::stream;
    use http::header::RETRY_AFTER;

    use super::*;

    /// A byte in a buffer of its own.
    struct Piece {
        byte: [u8; 1],
        held: Arc<AtomicUsize>,
    }

    impl AsRef<[u8]> for Piece {
        fn as_ref(&self) -> &[u8] {
            &self.byte
        }
    }

    impl Drop for Piece {
        fn drop(&mut self) {
            self.held.fetch_sub(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn a_body_in_many_small_pieces_holds_none_of_their_buffers() {
        let (held, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (held_by_pieces, seen) = (held.clone(), most.clone());
        let pieces = stream::iter((0..10_000).map(move |i| {
            seen.fetch_max(held_by_pieces.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            let piece = Piece { byte: [b'0' + (i % 10) as u8], held: held_by_pieces.clone() };
            Ok::<_, std::io::Error>(Bytes::from_owner(piece))
        }));
        let whole = Bodies::new(1 << 20).read(Request::new(Body::from_stream(pieces))).await.unwrap();
        assert_eq!((whole.len(), &whole[..12]), (10_000, &b"012345678901"[..]));
        let (held, most) = (held.load(Ordering::Relaxed), most.load(Ordering::Relaxed));
        assert!(held == 0 && most <= 2, "{most} at once, {held} at the end");
    }

    #[tokio::test]
    async fn long_bodies_have_room_together_which_short_ones_do_not_need() {
        let bodies = Bodies { limit: 1 << 20, room: Arc::new(Semaphore::new(1 << 20)) };
        let read = |bytes: usize| bodies.read(Request::new(Body::from(vec![b'x'; bytes])));
        let held = [read(600 << 10).await.unwrap(), read(400 << 10).await.unwrap()];
        let refused = read(65 << 10).await.unwrap_err().into_response();
        assert_eq!(
            (refused.status(), &refused.headers()[RETRY_AFTER]),
            (StatusCode::SERVICE_UNAVAILABLE, &"1".parse().unwrap())
        );
        assert_eq!(read(SHORT).await.unwrap().len(), SHORT);
        let part = held[1].slice(..3);
        drop(held);
        assert_eq!((read(600 << 10).await.unwrap().len(), &part[..]), (600 << 10, &b"xxx"[..]));
        assert!(read(700 << 10).await.is_err(), "a part that is held keeps the whole");
        drop(part);
        assert!(read(1 << 20).await.is_ok());
    }
}
