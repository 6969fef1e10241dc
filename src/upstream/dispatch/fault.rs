//! What went wrong, in words that hold no secret, and whose fault it is.

use std::time::Duration;

use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::error::Elapsed;

use super::super::{Cause, UpstreamError};
use super::body::BodyError;
use super::pool::Unsent;
use super::timing::Passed;
use super::unconnected::{blame, root};
use crate::api::error::{BadRequest, ErrorDetail};

/// The most of an upstream's words that an error quotes, bytes.
const MAX_QUOTE: usize = 2048;
/// Shorter configured values are no secrets, and replacing them would garble texts.
const MIN_SECRET: usize = 6;

/// Speaks of one provider's faults without giving away its secrets.
#[derive(Debug)]
pub struct Reporter {
    provider: String,
    connect: Duration,
    secrets: Vec<SecretString>,
}

impl Reporter {
    /// `secrets` are kept out of all that it says.
    pub fn new(provider: String, connect: Duration, secrets: Vec<SecretString>) -> Self {
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
        self.error(Cause::Timeout, passed)
    }

    pub fn malformed(&self, problem: impl std::fmt::Display) -> UpstreamError {
        self.error(Cause::Malformed, problem)
    }

    /// The request did not get through, or no answer began.
    pub fn unsent(&self, unsent: &Unsent) -> UpstreamError {
        match unsent {
            Unsent::Connect(error) if error.is::<Elapsed>() => self.late(Passed::Connect(self.connect)),
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
        UpstreamError {
            status: Some(StatusCode::BAD_REQUEST),
            ..self.error(Cause::Unsupported, format_args!("cannot be asked this: {}", detail.message))
        }
        .with(detail)
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
        let mut clean = on_one_line(text);
        for secret in self.secrets.iter().map(ExposeSecret::expose_secret).filter(|s| s.len() >= MIN_SECRET) {
            if clean.contains(secret) {
                clean = clean.replace(secret, "[redacted]");
            }
        }
        if clean.len() > MAX_QUOTE {
            clean.truncate(clean.floor_char_boundary(MAX_QUOTE));
            clean.push('…');
        }
        clean
    }
}

/// `text` with a space in place of each character that would begin another line of a log, drive a terminal, or turn what
/// follows around.
fn on_one_line(text: &str) -> String {
    let turns =
        |c| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || turns(c) { ' ' } else { c }).collect()
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

/// Whom a refusal blames: by its status, and by its words where they are more exact.
fn cause_of(status: StatusCode, detail: &ErrorDetail) -> Cause {
    match status.as_u16() {
        400 | 413 | 422 if is_too_long(detail) => Cause::ContextLength,
        400 | 403 | 422 if is_filtered(detail) => Cause::ContentFilter,
        400 | 422 if is_unsupported(detail) => Cause::Unsupported,
        401..=403 => Cause::Credentials,
        // The path, the host, the protocol or the proxy is wrong: clients make none of them.
        404 | 405 | 407 | 410 | 421 | 426 | 300..=399 => Cause::Configuration,
        408 => Cause::Timeout,
        429 => Cause::RateLimited,
        409 | 423..=425 => Cause::Server,
        400..=499 => Cause::Caller,
        500..=599 => Cause::Server,
        _ => Cause::Malformed,
    }
}

/// OpenAI's code, and the words of those who have none.
fn is_too_long(detail: &ErrorDetail) -> bool {
    const WORDS: [&str; 8] = [
        "context length",
        "context window",
        "context_length",
        "input is too long",
        "maximum prompt length",
        "prompt is too long",
        "maximum number of tokens",
        "too many tokens",
    ];
    let message = detail.message.to_ascii_lowercase();
    detail.code.as_deref() == Some("context_length_exceeded") || WORDS.iter().any(|words| message.contains(words))
}

/// Codes of OpenAI and Azure; Anthropic and others answer 200 and say so in the finish reason.
fn is_filtered(detail: &ErrorDetail) -> bool {
    matches!(
        detail.code.as_deref(),
        Some("content_filter" | "content_policy_violation" | "ResponsibleAIPolicyViolation")
    )
}

/// OpenAI's codes for a field, or a value of one, that this model does not take and another may, and its words where it
/// has no code.
fn is_unsupported(detail: &ErrorDetail) -> bool {
    matches!(detail.code.as_deref(), Some("unsupported_parameter" | "unsupported_value" | "unknown_parameter"))
        || detail.message.starts_with("Unrecognized request argument")
        || detail.message.contains("not supported with this model")
}
