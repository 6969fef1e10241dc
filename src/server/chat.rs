//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use super::error::ApiError;
use super::sse::SseBody;
use super::{App, body, headers};
use crate::gateway::{Answer, AnswerBody};

pub(super) async fn complete(
    State(app): State<Arc<App>>,
    request_headers: HeaderMap,
    request: Body,
) -> Result<Response, ApiError> {
    let quality = headers::quality(&request_headers)?;
    let request = body::read(request, app.body_limit).await?;
    Ok(respond(app.gateway.chat(request, quality).await?))
}

/// Facts into headers, and the answer.
pub(super) fn respond(answer: Answer) -> Response {
    let (body, content_type) = match answer.body {
        AnswerBody::Whole(body) => (Body::from(body), "application/json"),
        AnswerBody::Stream(answer) => (Body::new(SseBody { answer }), "text/event-stream"),
    };
    let streamed = content_type == "text/event-stream";
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers::write(&answer.facts, headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if streamed {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    response
}
