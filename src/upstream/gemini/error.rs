//! Google's errors: `{"error": {"code", "message", "status", "details"}}`, in a stream's place also in a list.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::api::error::ErrorDetail;
use crate::upstream::Provider;
use crate::upstream::openai::{OpenAi, kind_of};

#[derive(Debug, Deserialize)]
struct Failure {
    message: String,
    /// The code's name, such as `INVALID_ARGUMENT`.
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    details: Vec<Value>,
}

/// In OpenAI's shape; `code` is Google's name of the status.
pub(super) fn detail(status: StatusCode, body: &[u8]) -> ErrorDetail {
    let Some(failure) = Failure::read(body) else {
        return OpenAi.error(status, body);
    };
    ErrorDetail {
        kind: kind_of(status).into(),
        param: failure.field().map(Into::into),
        code: failure.status.map(Into::into),
        message: failure.message,
    }
}

/// Google says 400 of a key that it does not know, and of a place or an account that it does not serve.
pub(super) fn true_status(status: StatusCode, body: &[u8]) -> StatusCode {
    let failure = Some(status).filter(|s| *s == StatusCode::BAD_REQUEST).and_then(|_| Failure::read(body));
    match failure {
        Some(failure) if failure.reason() == Some("API_KEY_INVALID") => StatusCode::UNAUTHORIZED,
        Some(failure) if failure.status.as_deref() == Some("FAILED_PRECONDITION") => StatusCode::FORBIDDEN,
        _ => status,
    }
}

/// `RetryInfo`: `"retryDelay": "37.5s"`.
pub(super) fn retry_after(body: &[u8]) -> Option<Duration> {
    let failure = Failure::read(body)?;
    let delay = failure.detail("RetryInfo")?["retryDelay"].as_str()?.strip_suffix('s')?;
    Duration::try_from_secs_f64(delay.parse().ok()?).ok()
}

impl Failure {
    fn read(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let failure = Self::deserialize(&body.get(0).unwrap_or(&body)["error"]).ok()?;
        failure.status.is_some().then_some(failure)
    }

    fn detail(&self, kind: &str) -> Option<&Value> {
        self.details.iter().find(|detail| detail["@type"].as_str().is_some_and(|name| name.ends_with(kind)))
    }

    fn reason(&self) -> Option<&str> {
        self.detail("ErrorInfo")?["reason"].as_str()
    }

    /// The field that a bad request is about, by Google's name.
    fn field(&self) -> Option<String> {
        self.detail("BadRequest")?["fieldViolations"][0]["field"].as_str().map(str::to_owned)
    }
}
