//! The one place where errors become statuses, all of them in OpenAI's shape.

use std::borrow::Cow;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::headers;
use crate::api::error::{BadRequest, ErrorBody, ErrorDetail, bounded};
use crate::gateway::{Facts, GatewayError, Reason};
use crate::store::StoreError;
use crate::trace::FeedbackError;
use crate::upstream::{Cause, UpstreamError};

/// OpenAI's code by which clients know that they must send less.
const TOO_LONG: &str = "context_length_exceeded";

/// An error on its way to the client.
#[derive(Debug)]
pub struct ApiError(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    body: ErrorBody,
    headers: HeaderMap,
    /// As metrics count it: one of a few words.
    reason: &'static str,
}

/// Why a response is an error, for those who count them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused(pub(super) &'static str);

impl ApiError {
    /// `kind` is OpenAI's `type`.
    pub(super) fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        let error = ErrorDetail { message: message.into(), kind: kind.into(), param: None, code: None };
        Self(Box::new(Parts { status, body: ErrorBody { error }, headers: HeaderMap::new(), reason: kind }))
    }

    /// A client's mistake. What a long message quotes of the request is cut: see [`bounded`]; what an upstream says of its
    /// own is cut by `dispatch`.
    pub(super) fn invalid(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, "invalid_request_error", bounded(message.into()))
    }

    pub(super) fn param(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.0.body.error.param = Some(param.into());
        self
    }

    pub(super) fn code(mut self, code: &'static str) -> Self {
        self.0.body.error.code = Some(code.into());
        self.0.reason = code;
        self
    }

    pub(super) fn unauthorized() -> Self {
        let mut error = Self::new(
            StatusCode::UNAUTHORIZED,
            "authentication_error",
            "missing or wrong API key; send a key of this gateway as \"Authorization: Bearer <key>\"",
        );
        error.0.headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        error.code("invalid_api_key")
    }

    pub(super) fn foreign_page() -> Self {
        let message = "a page from elsewhere may ask only with a key: set api_keys under [server], and send one";
        Self::new(StatusCode::FORBIDDEN, "permission_error", message).code("foreign_origin")
    }

    pub(super) fn foreign_host(host: &str) -> Self {
        let message = format!(
            "it was sent to the host \"{host:.64}\", and without a key only what is sent to localhost or a loopback address \
             is answered; ask there, or set api_keys under [server] and send one"
        );
        Self::new(StatusCode::FORBIDDEN, "permission_error", message).code("foreign_host")
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!(
            "the body is larger than {limit} bytes, the most that this gateway takes; \
             send less, such as images by URL, or raise max_body_mib under [server]"
        );
        Self::invalid(StatusCode::PAYLOAD_TOO_LARGE, message).code("body_too_large")
    }

    pub(super) fn no_room() -> Self {
        let message = "the requests under way are all that this gateway holds at once; send it again later";
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", message).code("no_room");
        error.retry_after(Some(Duration::from_secs(1)))
    }

    pub(super) fn encoded(encoding: &str) -> Self {
        let message =
            format!("the body comes as {encoding:.40}, which is not read here; send it without content-encoding");
        Self::invalid(StatusCode::UNSUPPORTED_MEDIA_TYPE, message).code("unsupported_content_encoding")
    }

    pub(super) fn panicked() -> Self {
        let message = "the gateway failed at this request; its log says where";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message).code("internal_error")
    }

    /// A score that is well-formed JSON but not a score: 422 rather than 400.
    pub(super) fn unprocessable(mut self) -> Self {
        if self.0.body.error.param.is_some() {
            self.0.status = StatusCode::UNPROCESSABLE_ENTITY;
        }
        self
    }

    /// An answer that OpenAI's chat wire may carry and that the client's protocol has no words for.
    pub(super) fn untranslatable(problem: &dyn std::fmt::Display) -> Self {
        let message = format!("the upstream's answer cannot be told in this protocol: {problem}");
        Self::new(StatusCode::BAD_GATEWAY, "server_error", message).code("upstream_malformed")
    }

    /// The prompt is longer than any model takes.
    pub(super) fn is_too_long(&self) -> bool {
        self.0.body.error.code.as_deref() == Some(TOO_LONG)
    }

    pub(super) fn status(&self) -> StatusCode {
        self.0.status
    }

    pub(super) fn message(&self) -> &str {
        &self.0.body.error.message
    }

    /// In OpenAI's shape.
    pub(super) fn body(&self) -> Vec<u8> {
        json(&self.0.body)
    }

    /// With a body of another shape.
    pub(super) fn response(self, body: Vec<u8>) -> Response {
        let Parts { status, headers, reason, .. } = *self.0;
        let mut response = Response::new(body.into());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response.extensions_mut().insert(Refused(reason));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    /// With what is known of how the request was answered.
    pub(super) fn facts(mut self, facts: &Facts) -> Self {
        headers::write(facts, &mut self.0.headers);
        self
    }

    fn retry_after(mut self, after: Option<Duration>) -> Self {
        if let Some(after) = after {
            self.0.headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs_f64().ceil().max(1.0) as u64));
        }
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = self.body();
        self.response(body)
    }
}

impl From<BadRequest> for ApiError {
    fn from(bad: BadRequest) -> Self {
        let mut error = Self::invalid(StatusCode::BAD_REQUEST, bad.message);
        error.0.body.error.param = bad.param;
        error
    }
}

impl From<GatewayError> for ApiError {
    fn from(error: GatewayError) -> Self {
        let message = error.to_string();
        match error {
            GatewayError::BadRequest(bad) => bad.into(),
            GatewayError::UnknownModel { .. } => {
                Self::invalid(StatusCode::NOT_FOUND, message).param("model").code("model_not_found")
            }
            GatewayError::NoModelFits { excluded, .. } => {
                let reasons: Vec<Reason> = excluded.into_iter().map(|excluded| excluded.reason).collect();
                // A shorter prompt is what helps where it is too long for any.
                let told = reasons.iter().position(is_context).unwrap_or(0);
                let reason = reasons.into_iter().nth(told);
                let code = if reason.as_ref().is_some_and(is_context) { TOO_LONG } else { "no_model_fits" };
                let mut error = Self::invalid(StatusCode::BAD_REQUEST, message).code(code);
                error.0.body.error.param = reason.and_then(Reason::field);
                error
            }
            GatewayError::NotCached { .. } => {
                Self::invalid(StatusCode::GATEWAY_TIMEOUT, message).param("x-satisfice-cache").code("not_cached")
            }
            GatewayError::Exhausted { error, facts } => exhausted(&error).facts(&facts),
        }
    }
}

impl From<FeedbackError> for ApiError {
    fn from(error: FeedbackError) -> Self {
        let message = error.to_string();
        match error {
            FeedbackError::UnknownTrace(_) => {
                Self::invalid(StatusCode::NOT_FOUND, message).param("trace_id").code("trace_not_found")
            }
            FeedbackError::Unrouted(_) => {
                Self::invalid(StatusCode::UNPROCESSABLE_ENTITY, message).param("trace_id").code("not_routed")
            }
            FeedbackError::UnknownMetric(_) => {
                Self::invalid(StatusCode::UNPROCESSABLE_ENTITY, message).param("name").code("unknown_metric")
            }
            FeedbackError::TooManySources(_) => {
                Self::invalid(StatusCode::UNPROCESSABLE_ENTITY, message).param("source").code("too_many_sources")
            }
            FeedbackError::TooManyRevisions(_) => {
                let message = bounded(message);
                Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message)
                    .param("source")
                    .code("too_many_revisions")
            }
            FeedbackError::Unavailable(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", message).code("feedback_unavailable")
            }
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "traces cannot be read");
        let message = "the traces cannot be read now; the gateway's log says why";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", message).code("store_unavailable")
    }
}

/// What ends a stream that its upstream broke off, or that the gateway ends because it ends itself.
pub(super) fn cut(error: &UpstreamError) -> ApiError {
    let message = format!("the answer was cut: {error}");
    match error.cause {
        Cause::RateLimited => limited(message),
        Cause::Abandoned => ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", message).code("stopping"),
        _ => ApiError::new(StatusCode::BAD_GATEWAY, "server_error", message).code("upstream_cut"),
    }
}

fn is_context(reason: &Reason) -> bool {
    matches!(reason, Reason::ContextWindow { .. })
}

/// Every model that was asked failed; the last failure decides.
fn exhausted(error: &UpstreamError) -> ApiError {
    let message = error.to_string();
    let failed = |status, code| ApiError::new(status, "server_error", message.clone()).code(code);
    let answer = match error.cause {
        Cause::ContextLength => too_long(error),
        Cause::Caller | Cause::Inexpressible | Cause::Unsupported | Cause::ContentFilter => rejected(error),
        Cause::Superseded | Cause::Abandoned => failed(StatusCode::BAD_GATEWAY, "upstream_failed"),
        Cause::RateLimited => limited(message),
        Cause::Timeout | Cause::Late => failed(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout"),
        Cause::Connect => failed(StatusCode::SERVICE_UNAVAILABLE, "upstream_unreachable"),
        Cause::LeftAlone => failed(StatusCode::SERVICE_UNAVAILABLE, "upstream_left_alone"),
        Cause::Descriptors => failed(StatusCode::SERVICE_UNAVAILABLE, "no_descriptors"),
        Cause::Credentials => failed(StatusCode::BAD_GATEWAY, "upstream_credentials"),
        Cause::Configuration => failed(StatusCode::BAD_GATEWAY, "upstream_configuration"),
        Cause::Server => failed(StatusCode::BAD_GATEWAY, "upstream_failed"),
        Cause::Malformed => failed(StatusCode::BAD_GATEWAY, "upstream_malformed"),
        Cause::TooLong => failed(StatusCode::BAD_GATEWAY, "upstream_too_long"),
    };
    answer.retry_after(error.retry_after)
}

fn limited(message: String) -> ApiError {
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message).code("rate_limit_exceeded")
}

/// The upstream found fault with the client's request: its own words and status.
fn rejected(error: &UpstreamError) -> ApiError {
    let status = error.status.unwrap_or(StatusCode::BAD_REQUEST);
    let mut answer = ApiError::invalid(status, error.to_string()).code("upstream_rejected");
    if let Some(detail) = &error.detail {
        answer.0.body.error = (**detail).clone();
    }
    answer
}

/// The upstream's words, with the status and code that OpenAI has for it, whatever the upstream's are.
fn too_long(error: &UpstreamError) -> ApiError {
    let mut answer = rejected(error).code(TOO_LONG);
    answer.0.status = StatusCode::BAD_REQUEST;
    answer
}

/// An error body always serialises.
fn json(body: &ErrorBody) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}
