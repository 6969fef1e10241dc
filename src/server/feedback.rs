//! `POST /v1/feedback`: acknowledged only once it is durable.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use tokio::sync::oneshot;
use tokio::time::timeout;
use uuid::Uuid;

use super::auth::Side;
use super::error::ApiError;
use super::settings::DEFAULT_SOURCE;
use super::{App, auth, json};
use crate::api::error::BadRequest;
use crate::api::feedback::{FeedbackRequest, FeedbackResponse, FeedbackValue};
use crate::trace::{Event, Feedback, FeedbackError, Owner, Quality};

/// Most bytes of a score with its comment.
const BODY_LIMIT: usize = 64 * 1024;
/// Most bytes of a comment.
const MAX_COMMENT: usize = 4 * 1024;
/// Most characters of a source's name.
const MAX_SOURCE: usize = 128;
/// How long to wait for the disk.
const DURABLE_DEADLINE: Duration = Duration::from_secs(10);

pub(super) async fn score(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    let result = take(&app, request).await;
    app.gateway.metrics().feedback(result.is_ok());
    Ok(json(&FeedbackResponse { feedback_id: result? }))
}

async fn take(app: &App, request: Request) -> Result<Uuid, ApiError> {
    let by = auth::confined_to(app, Side::Clients, request.headers());
    let body = app.bodies.read_within(request, BODY_LIMIT).await.map_err(unread)?;
    let feedback = FeedbackRequest::parse(&body)
        .and_then(|request| validate(request, by, app.gateway.now_ms()))
        .and_then(|feedback| unreserved(feedback, &app.admission.load().reserved))
        .map_err(|bad| ApiError::from(bad).unprocessable())?;
    Ok(keep(app, feedback).await?)
}

/// A score has a limit of its own, which no setting raises.
fn unread(error: ApiError) -> ApiError {
    if error.status() != StatusCode::PAYLOAD_TOO_LARGE {
        return error;
    }
    let message = format!("the score is larger than {BODY_LIMIT} bytes; shorten its comment");
    ApiError::invalid(StatusCode::PAYLOAD_TOO_LARGE, message).param("comment").code("body_too_large")
}

fn validate(request: FeedbackRequest, by: Option<Owner>, at_ms: u64) -> Result<Feedback, BadRequest> {
    let given = match request.value {
        FeedbackValue::Flag(flag) => f64::from(u8::from(flag)),
        FeedbackValue::Number(number) => number,
    };
    let value = Quality::new(given).ok_or_else(|| {
        BadRequest::field("value", format!("value must be from 0 to 1, or true or false; it is {given}"))
    })?;
    let source = request.source.unwrap_or_else(|| DEFAULT_SOURCE.into());
    if source.is_empty() || source.chars().count() > MAX_SOURCE {
        let message = format!("source must have 1 to {MAX_SOURCE} characters; leave it out for \"{DEFAULT_SOURCE}\"");
        return Err(BadRequest::field("source", message));
    }
    if let Some(length) = request.comment.as_ref().map(String::len).filter(|length| *length > MAX_COMMENT) {
        let message = format!("comment has {length} bytes, and at most {MAX_COMMENT} are kept; shorten it");
        return Err(BadRequest::field("comment", message));
    }
    let (trace, metric, comment) = (request.trace_id, request.name, request.comment);
    Ok(Feedback { trace, by, metric, source, value, comment, at_ms })
}

/// Whoever unlearns a judge would unlearn what clients say in its name, too.
fn unreserved(feedback: Feedback, reserved: &[String]) -> Result<Feedback, BadRequest> {
    if !reserved.contains(&feedback.source) {
        return Ok(feedback);
    }
    let message =
        format!("the source \"{:.64}\" is one of this gateway's own scorers; give another name", feedback.source);
    Err(BadRequest::field("source", message))
}

/// Waits for the learner's word that it is on disk; not for room in its queue.
async fn keep(app: &App, feedback: Feedback) -> Result<Uuid, FeedbackError> {
    let unavailable = |why: &str| FeedbackError::Unavailable(why.into());
    let (answer, durable) = oneshot::channel();
    let sent = app.gateway.events().try_send(Event::Feedback(feedback, answer));
    sent.map_err(|_| unavailable("the learner is not keeping up"))?;
    match timeout(DURABLE_DEADLINE, durable).await {
        Ok(Ok(kept)) => kept,
        Ok(Err(_)) => Err(unavailable("the learner stopped")),
        Err(_) => Err(unavailable("the disk took too long")),
    }
}
