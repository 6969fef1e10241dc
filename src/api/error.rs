//! OpenAI's error shape: `{"error": {"message", "type", "param", "code"}}`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

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
    /// A mistake in the field `param`.
    pub fn field(param: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), message: message.into() }
    }

    /// A mistake that belongs to no single field, such as a body that is not JSON.
    pub fn body(message: impl Into<String>) -> Self {
        Self { param: None, message: message.into() }
    }
}
