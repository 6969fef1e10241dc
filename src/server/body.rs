//! Reading a request's body, within bounds.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, EXPECT};
use http_body::Body as _;
use http_body_util::BodyExt;
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

/// The whole body, at most `limit` bytes of it.
pub(super) async fn read(request: Request, limit: usize) -> Result<Bytes, ApiError> {
    if let Some(encoding) = request.headers().get(CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
        return Err(ApiError::encoded(&String::from_utf8_lossy(encoding.as_bytes())));
    }
    // A client that waits to be asked for its body has not begun to send it, and is not asked.
    let waits = request.headers().get(EXPECT).is_some_and(|what| what.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let mut body = request.into_body();
    if body.size_hint().lower() > limit as u64 {
        if !waits {
            discard(&mut body, limit).await;
        }
        return Err(ApiError::too_large(limit));
    }
    match in_time(gather(&mut body, limit)).await {
        Ok(Ok(whole)) => Ok(whole),
        Ok(Err(Unread::TooLong)) => {
            discard(&mut body, limit).await;
            Err(ApiError::too_large(limit))
        }
        Ok(Err(Unread::Broken)) => Err(ApiError::invalid(StatusCode::BAD_REQUEST, "the body broke off; send it again")),
        Err(_) => Err(ApiError::invalid(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not come within {} s; send it again", READ_DEADLINE.as_secs()),
        )),
    }
}

/// Why a body is not whole.
enum Unread {
    TooLong,
    Broken,
}

async fn gather(body: &mut Body, limit: usize) -> Result<Bytes, Unread> {
    let mut whole = Gathered::new(limit);
    while let Some(frame) = body.frame().await {
        // Trailers say nothing here.
        if let Ok(piece) = frame.map_err(|_| Unread::Broken)?.into_data() {
            whole.push(piece).map_err(|TooLong| Unread::TooLong)?;
        }
    }
    Ok(whole.into_bytes())
}

/// Most bodies arrive with their heads, and need no timer.
async fn in_time<F: Future>(reading: F) -> Result<F::Output, Elapsed> {
    let mut reading = pin!(reading);
    match poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await {
        Poll::Ready(read) => Ok(read),
        Poll::Pending => timeout(READ_DEADLINE, reading).await,
    }
}

async fn discard(body: &mut Body, limit: usize) {
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::stream;

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
        let whole = read(Request::new(Body::from_stream(pieces)), 1 << 20).await.unwrap();
        assert_eq!((whole.len(), &whole[..12]), (10_000, &b"012345678901"[..]));
        let (held, most) = (held.load(Ordering::Relaxed), most.load(Ordering::Relaxed));
        assert!(held == 0 && most <= 2, "{most} at once, {held} at the end");
    }
}
