//! Reading a request's body, within bounds.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_ENCODING;
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::error::ApiError;

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
    let mut body = request.into_body();
    if body.size_hint().lower() > limit as u64 {
        discard(&mut body, limit).await;
        return Err(ApiError::too_large(limit));
    }
    match in_time(Limited::new(&mut body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            discard(&mut body, limit).await;
            Err(ApiError::too_large(limit))
        }
        Ok(Err(_)) => Err(ApiError::invalid(StatusCode::BAD_REQUEST, "the body broke off; send it again")),
        Err(_) => Err(ApiError::invalid(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not come within {} s; send it again", READ_DEADLINE.as_secs()),
        )),
    }
}

/// Most bodies are there with their heads, and need no timer.
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
