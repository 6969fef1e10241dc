//! What stands where an answer should be, under a 200: nonsense, or an error of the provider's own.

use std::fmt;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

/// Why what came is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// It is not of the provider's wire.
    Malformed(String),
    /// It is longer than its bound, which this says.
    TooLong(String),
    /// An error, as the body of a refusal would have it.
    Told(Bytes),
}

impl NoAnswer {
    /// An error in the provider's own words.
    pub fn told(body: &[u8]) -> Self {
        Self::Told(Bytes::copy_from_slice(body))
    }

    /// The error in `body`, where it tells one; else the `problem` that there was in reading it.
    pub fn or_told(problem: String, body: &Bytes) -> Self {
        if tells(body) { Self::Told(body.clone()) } else { Self::Malformed(problem) }
    }

    /// An error object that stands in an answer.
    pub fn inside(error: &Value) -> Self {
        Self::Told(json!({"error": error}).to_string().into())
    }

    /// An error of which a wire says no more than its kind and a few words.
    pub fn of_kind(kind: &str, message: &str) -> Self {
        Self::Told(json!({"type": kind, "message": message}).to_string().into())
    }
}

impl From<String> for NoAnswer {
    fn from(problem: String) -> Self {
        Self::Malformed(problem)
    }
}

impl From<&str> for NoAnswer {
    fn from(problem: &str) -> Self {
        Self::Malformed(problem.into())
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(problem) | Self::TooLong(problem) => f.write_str(problem),
            Self::Told(body) => write!(f, "an error instead of an answer: {}", String::from_utf8_lossy(body)),
        }
    }
}

/// Whether a body is an error, of whatever kind.
fn tells(body: &[u8]) -> bool {
    let read: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = read.get("error").or_else(|| read.get(0)?.get("error"));
    error.is_some_and(|error| !error.is_null()) || status(body).is_some()
}

/// The status that an error would have had in place of the 200 that it came under: the one that it names, else that of
/// its kind; `None` where it says neither. Providers have it in a field of `error`, or of the body itself.
pub fn status(body: &[u8]) -> Option<StatusCode> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let body = body.get(0).unwrap_or(&body);
    let error = body.get("error").filter(|error| error.is_object()).unwrap_or(body);
    let said = ["code", "status", "status_code", "type"].map(|field| &error[field]);
    said.iter().find_map(|said| numbered(said)).or_else(|| said.iter().find_map(|said| named(said.as_str()?)))
}

fn numbered(said: &Value) -> Option<StatusCode> {
    let number = said.as_u64().or_else(|| said.as_str()?.parse().ok())?;
    let number = u16::try_from(number).ok().filter(|number| (400..600).contains(number))?;
    StatusCode::from_u16(number).ok()
}

/// The kinds of errors that OpenAI, Anthropic, Amazon, Google and those who speak their wires name, and the statuses
/// that they give them elsewhere: "`rate_limit_error`", "`RESOURCE_EXHAUSTED`", "`throttlingException`".
fn named(kind: &str) -> Option<StatusCode> {
    let letters: String = kind.chars().filter(char::is_ascii_alphabetic).collect();
    let letters = letters.to_ascii_lowercase();
    let letters = letters.trim_end_matches("exception").trim_end_matches("error");
    let status = match letters {
        "badrequest"
        | "contentfilter"
        | "contentpolicyviolation"
        | "contextlengthexceeded"
        | "invalidargument"
        | "invalidprompt"
        | "invalidrequest"
        | "validation" => 400,
        "authentication" | "invalidapikey" | "unauthenticated" | "unauthorized" => 401,
        "billing" => 402,
        "accessdenied" | "forbidden" | "permission" | "permissiondenied" => 403,
        "modelnotfound" | "notfound" => 404,
        "requesttoolarge" => 413,
        "modelstream" => 424,
        // OpenAI's `type` of a limit is what it limits: "requests" or "tokens".
        "insufficientquota" | "quotaexceeded" | "ratelimit" | "ratelimited" | "ratelimitexceeded" | "requests"
        | "resourceexhausted" | "throttling" | "tokens" | "toomanyrequests" => 429,
        "api" | "internal" | "internalserver" | "server" => 500,
        "serviceunavailable" | "unavailable" => 503,
        "deadlineexceeded" | "timeout" => 504,
        "engineoverloaded" | "overloaded" => 529,
        _ => return None,
    };
    StatusCode::from_u16(status).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_stands_for_the_status_that_it_names_or_that_of_its_kind() {
        for (body, expected) in [
            (r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, Some(529)),
            (r#"{"error":{"type":"rate_limit_error","message":"m"}}"#, Some(429)),
            (r#"{"error":{"message":"m","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#, Some(429)),
            (r#"{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}"#, Some(503)),
            (r#"[{"error":{"message":"m","status":"RESOURCE_EXHAUSTED"}}]"#, Some(429)),
            (r#"{"error":{"code":"502","message":"m"}}"#, Some(502)),
            (r#"{"type":"modelStreamErrorException","message":"m"}"#, Some(424)),
            (r#"{"type":"throttlingException","message":"m"}"#, Some(429)),
            (r#"{"object":"error","message":"m","type":"BadRequestError","code":400}"#, Some(400)),
            (r#"{"error":{"message":"m","type":"server_error","code":null}}"#, Some(500)),
            (r#"{"error":{"message":"m","code":1302}}"#, None),
            (r#"{"error":"m"}"#, None),
            ("nonsense", None),
        ] {
            assert_eq!(status(body.as_bytes()).map(|status| status.as_u16()), expected, "{body}");
        }
    }
}
