//! What went wrong, in words that hold no secret, and whose fault it is.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::error::Elapsed;

use super::super::{Cause, UpstreamError};
use super::body::BodyError;
use super::cause::cause_of;
use super::pool::Unsent;
use super::secrets::Secrets;
use super::timing::Passed;
use super::unconnected::{blame, root};
use crate::api::error::{BadRequest, ErrorDetail};

/// The most of an upstream's words that an error quotes, bytes.
const MAX_QUOTE: usize = 2048;

/// Speaks of one provider's faults without giving away its secrets.
#[derive(Debug)]
pub struct Reporter {
    provider: String,
    connect: Duration,
    secrets: Arc<Secrets>,
}

impl Reporter {
    /// `secrets` are kept out of all that it says.
    pub fn new(provider: String, connect: Duration, secrets: Arc<Secrets>) -> Self {
        Self { provider, connect, secrets }
    }

    /// Whose faults these are.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// An error that begins with the provider's name.
    pub fn error(&self, cause: Cause, problem: impl std::fmt::Display) -> UpstreamError {
        UpstreamError::new(cause, self.quote(&format!("provider {}: {problem}", self.provider)))
    }

    pub fn late(&self, passed: Passed) -> UpstreamError {
        let cause = if matches!(passed, Passed::Rest(_)) { Cause::Late } else { Cause::Timeout };
        self.error(cause, passed)
    }

    pub fn malformed(&self, problem: impl std::fmt::Display) -> UpstreamError {
        self.error(Cause::Malformed, problem)
    }

    /// The request did not get through, or no answer began.
    pub fn unsent(&self, unsent: &Unsent) -> UpstreamError {
        match unsent {
            Unsent::Connect(error) if error.is::<Elapsed>() => {
                self.error(Cause::Connect, Passed::Connect(self.connect))
            }
            Unsent::Connect(error) => {
                let (cause, problem) = blame(&**error);
                self.error(cause, problem)
            }
            Unsent::Broken(error) => {
                self.error(Cause::Server, format_args!("the connection broke before the answer: {}", root(error)))
            }
        }
    }

    pub fn body(&self, error: BodyError) -> UpstreamError {
        match error {
            BodyError::Passed(passed) => self.late(passed),
            BodyError::Broken(error) => self.malformed(format_args!("the answer was cut: {}", root(&error))),
            BodyError::TooLong { limit } => {
                self.error(Cause::TooLong, format_args!("the answer is longer than {limit} bytes"))
            }
        }
    }

    /// A refusal with this status, and `how` it came: "answered".
    pub fn refusal(&self, how: &str, status: StatusCode, detail: ErrorDetail) -> UpstreamError {
        let detail = self.clean(detail);
        UpstreamError {
            status: Some(status),
            ..self.error(
                cause_of(status, &detail),
                format_args!("{how} {}: {}{}", named(status), detail.message, remedy(status)),
            )
        }
        .with(detail)
    }

    /// A redirect to `place`, which is not followed: the key would go along.
    pub fn moved(&self, status: StatusCode, place: &str) -> UpstreamError {
        let message =
            format!("it redirects to {place}, and redirects are not followed; give its own address as base_url");
        self.refusal("answered", status, ErrorDetail { message, kind: "server_error".into(), param: None, code: None })
    }

    /// A request that this wire cannot express.
    pub fn inexpressible(&self, bad: BadRequest) -> UpstreamError {
        let detail =
            ErrorDetail { message: bad.message, kind: "invalid_request_error".into(), param: bad.param, code: None };
        self.error(Cause::Inexpressible, format_args!("cannot be asked this: {}", detail.message)).with(detail)
    }

    /// An answer of which a filter of the provider's has left nothing.
    pub fn filtered(&self) -> UpstreamError {
        let message = "its content filter has left nothing of the answer".into();
        let (kind, code) = ("invalid_request_error".into(), Some("content_filter".into()));
        let detail = ErrorDetail { message, kind, param: None, code };
        self.refusal("answered 200, and in it", StatusCode::BAD_REQUEST, detail)
    }

    fn clean(&self, detail: ErrorDetail) -> ErrorDetail {
        ErrorDetail {
            message: self.quote(&detail.message),
            kind: self.quote(&detail.kind).into(),
            param: detail.param.map(|param| self.quote(&param).into()),
            code: detail.code.map(|code| self.quote(&code).into()),
        }
    }

    /// `text` without secrets, on one line, and no longer than [`MAX_QUOTE`].
    fn quote(&self, text: &str) -> String {
        let mut clean: String = self.secrets.redacted(text).chars().map(harmless).collect();
        if clean.len() > MAX_QUOTE {
            clean.truncate(clean.floor_char_boundary(MAX_QUOTE));
            clean.push('…');
        }
        clean
    }
}

impl UpstreamError {
    /// One without a refusal behind it.
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self { cause, message: message.into(), status: None, retry_after: None, detail: None }
    }

    fn with(self, detail: ErrorDetail) -> Self {
        Self { detail: Some(Box::new(detail)), ..self }
    }
}

/// What could begin a line of a log, drive the terminal that shows it or turn the order of its characters, in a form that
/// does not.
fn harmless(c: char) -> char {
    match c {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// Such as "404 Not Found"; a status that has no name, as Anthropic's 529, by its number alone.
fn named(status: StatusCode) -> String {
    status.canonical_reason().map_or(status.as_str().into(), |name| format!("{} {name}", status.as_str()))
}

/// What to do about a refusal of which the provider knows nothing.
fn remedy(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            "; it is the proxy's that HTTP_PROXY or ALL_PROXY names: put user and password into that URL"
        }
        _ => "",
    }
}
