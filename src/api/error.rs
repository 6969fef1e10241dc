//! OpenAI's error shape: `{"error": {"message", "type", "param", "code"}}`.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::str::Utf8Error;

use serde::{Deserialize, Serialize};

/// So many characters of each thing that an error quotes.
const LONGEST_QUOTE: usize = 64;
/// So many characters of a field's name, which may be a client's own.
const LONGEST_PARAM: usize = 128;
/// So many bytes of a message, about.
const LONGEST_MESSAGE: usize = 4096;

/// A message whose quotes, in `"` or `` ` ``, are cut to 64 characters each, and that is itself cut at 4 KiB: a client's
/// megabyte is not sent back to it, nor written to a log.
pub fn bounded(message: String) -> String {
    if message.len() <= LONGEST_QUOTE {
        return message;
    }
    let mut out = String::with_capacity(message.len().min(LONGEST_MESSAGE));
    let (mut quote, mut quoted, mut escaped) = (None, 0, false);
    for c in message.chars() {
        match quote {
            Some(mark) if c == mark && !escaped => quote = None,
            Some(_) => quoted += 1,
            None if matches!(c, '"' | '`') => (quote, quoted) = (Some(c), 0),
            None => {}
        }
        escaped = c == '\\' && !escaped;
        if out.len() > LONGEST_MESSAGE {
            out.push('…');
            break;
        }
        match quoted.cmp(&(LONGEST_QUOTE + 1)) {
            Ordering::Greater if quote.is_some() => {}
            Ordering::Equal if quote.is_some() => out.push('…'),
            _ => out.push(c),
        }
    }
    out
}

/// The body of every error that leaves the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

/// What went wrong, in OpenAI's words: `kind` is their `type`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    pub message: String,
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    #[serde(default)]
    pub param: Option<Cow<'static, str>>,
    #[serde(default)]
    pub code: Option<Cow<'static, str>>,
}

/// A client's mistake in one field of its request: which field, what is wrong with it, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadRequest {
    pub param: Option<Cow<'static, str>>,
    pub message: String,
}

impl BadRequest {
    /// A mistake in the field `param`. What a long name or message quotes is cut: see [`bounded`].
    pub fn field(param: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let mut param = param.into();
        if param.chars().nth(LONGEST_PARAM).is_some() {
            param = param.chars().take(LONGEST_PARAM).chain(['…']).collect::<String>().into();
        }
        Self { param: Some(param), message: bounded(message.into()) }
    }

    /// A mistake that belongs to no single field, such as a body that is not JSON.
    pub fn body(message: impl Into<String>) -> Self {
        Self { param: None, message: bounded(message.into()) }
    }

    /// A body that is no text.
    pub fn no_text(error: Utf8Error) -> Self {
        Self::body(format!("the body is not UTF-8 (byte {}); send JSON in UTF-8", error.valid_up_to()))
    }

    /// A body that serde reads no object from.
    pub fn no_object(body: &[u8], error: &serde_json::Error) -> Self {
        let problem = || Self::body(format!("the body is not a JSON object: {error}; send one"));
        std::str::from_utf8(body).map_or_else(Self::no_text, |_| problem())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_cut_and_what_is_said_of_it_stays() {
        let long = "x".repeat(1 << 20);
        let cut = format!("{}…", "x".repeat(64));
        for mark in ['"', '`'] {
            let told = bounded(format!("invalid type: string {mark}{long}{mark}, expected a boolean"));
            assert_eq!(told, format!("invalid type: string {mark}{cut}{mark}, expected a boolean"));
        }
        let escaped = bounded(format!(r#"it is "\"{}\"", and not "a""#, "é".repeat(100)));
        assert_eq!(escaped, format!(r#"it is "\"{}…", and not "a""#, "é".repeat(62)));
        assert_eq!(bounded(format!("\"{}\" is right", "x".repeat(64))), format!("\"{}\" is right", "x".repeat(64)));
        assert!(bounded(long.clone()).len() < 4200);
        assert_eq!(BadRequest::field(long, "x").param.unwrap().chars().count(), 129);
    }
}
