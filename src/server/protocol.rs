//! Client protocols: what each makes of an answer, which comes in OpenAI's chat shape.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use super::App;
use super::error::ApiError;
use super::headers;
use super::sse::SseBody;
use crate::api::sse::Untold;
use crate::gateway::{Answer, AnswerBody};
use crate::upstream::UpstreamError;

/// One client protocol's side of one answer.
pub(super) trait Protocol: Send + Unpin + 'static {
    /// A whole answer's body.
    ///
    /// # Errors
    /// The upstream's answer is not one that this protocol can tell.
    fn whole(&self, body: Bytes) -> Result<Bytes, ApiError>;

    /// The framed events that one chunk makes; there may be none.
    ///
    /// # Errors
    /// This protocol cannot tell the chunk, nor what follows it.
    fn chunk(&mut self, data: &[u8]) -> Result<Bytes, Untold>;

    /// The stream ended as it should.
    fn end(&mut self) -> Bytes;

    /// The upstream broke the stream off.
    fn cut(&mut self, error: &UpstreamError) -> Bytes;
}

/// `answer` in the client's protocol, with its facts as headers.
pub(super) fn respond(app: &App, answer: Answer, protocol: impl Protocol) -> Result<Response, ApiError> {
    let streamed = matches!(answer.body, AnswerBody::Stream(_));
    let body = match answer.body {
        AnswerBody::Whole(body) => Body::from(protocol.whole(body).map_err(|error| error.facts(&answer.facts))?),
        AnswerBody::Stream(answer) => Body::new(SseBody::new(answer, protocol, app.over.clone())),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers::write(&answer.facts, headers);
    let kind = if streamed { "text/event-stream" } else { "application/json" };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if streamed {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    Ok(response)
}
