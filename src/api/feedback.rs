//! `POST /v1/feedback`: what a client says of an answer, afterwards.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `{"trace_id": "…", "name": "quality", "value": 0.8}`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedbackRequest {
    pub trace_id: Uuid,
    /// The metric; `quality` always exists.
    pub name: String,
    pub value: FeedbackValue,
    /// Who says it; one score per (trace, metric, source). `client` unless given.
    #[serde(default)]
    pub source: Option<String>,
    /// Free text for the reviewer; kept with the score.
    #[serde(default)]
    pub comment: Option<String>,
}

/// A number in the metric's range, or a boolean (1 or 0).
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum FeedbackValue {
    Flag(bool),
    Number(f64),
}

/// The answer, given only once the score is durable.
#[derive(Debug, Clone, Serialize)]
pub struct FeedbackResponse {
    pub feedback_id: Uuid,
}
