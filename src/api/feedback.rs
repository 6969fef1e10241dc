//! `POST /v1/feedback`: what a client says of an answer, afterwards.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::error::BadRequest;

/// `{"trace_id": "…", "name": "quality", "value": 0.8}`.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedbackRequest {
    pub trace_id: Uuid,
    /// The metric; `quality` always exists.
    pub name: String,
    pub value: FeedbackValue,
    /// Who says it; one score per (trace, metric, source). `client` unless given.
    pub source: Option<String>,
    /// Free text for the reviewer; kept with the score.
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

impl FeedbackRequest {
    /// Reads a request body.
    ///
    /// # Errors
    /// Names the field that is missing, unknown or of the wrong kind; no field where the body is no JSON object.
    pub fn parse(body: &Bytes) -> Result<Self, BadRequest> {
        let mut fields: BTreeMap<String, &RawValue> =
            serde_json::from_slice(body).map_err(|e| BadRequest::no_object(body, &e))?;
        let request = Self {
            trace_id: required(&mut fields, "trace_id", "the x-satisfice-trace-id of an answer")?,
            name: required(&mut fields, "name", "a metric, such as \"quality\"")?,
            value: required(&mut fields, "value", "a number from 0 to 1, or true or false")?,
            source: optional(&mut fields, "source", "a string")?,
            comment: optional(&mut fields, "comment", "a string")?,
        };
        match fields.into_keys().next() {
            None => Ok(request),
            Some(unknown) => {
                let message = format!("unknown field \"{unknown}\"; there are: trace_id, name, value, source, comment");
                Err(BadRequest::field(unknown, message))
            }
        }
    }
}

fn optional<'a, T: Deserialize<'a>>(
    fields: &mut BTreeMap<String, &'a RawValue>,
    name: &'static str,
    expected: &str,
) -> Result<Option<T>, BadRequest> {
    let Some(raw) = fields.remove(name) else {
        return Ok(None);
    };
    serde_json::from_str(raw.get()).map_err(|_| BadRequest::field(name, format!("{name} must be {expected}")))
}

fn required<'a, T: Deserialize<'a>>(
    fields: &mut BTreeMap<String, &'a RawValue>,
    name: &'static str,
    expected: &str,
) -> Result<T, BadRequest> {
    optional(fields, name, expected)?
        .ok_or_else(|| BadRequest::field(name, format!("{name} is missing; give {expected}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong_field(body: &'static str) -> Option<String> {
        FeedbackRequest::parse(&Bytes::from_static(body.as_bytes())).unwrap_err().param.map(|p| p.into_owned())
    }

    #[test]
    fn the_wrong_field_is_named() {
        const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert_eq!(wrong_field("{"), None);
        assert_eq!(wrong_field("[]"), None);
        assert_eq!(wrong_field("{}").as_deref(), Some("trace_id"));
        assert_eq!(wrong_field(r#"{"trace_id":"x"}"#).as_deref(), Some("trace_id"));
        let of = |value: &str| {
            let body = format!(r#"{{"trace_id":"{ID}","name":"quality","value":{value}}}"#);
            FeedbackRequest::parse(&body.into()).map(|r| r.value).map_err(|e| e.param.unwrap_or_default().into_owned())
        };
        assert_eq!(of("0.5"), Ok(FeedbackValue::Number(0.5)));
        assert_eq!(of("true"), Ok(FeedbackValue::Flag(true)));
        assert_eq!(of("1e999"), Err("value".to_owned()));
        assert_eq!(of("\"good\""), Err("value".to_owned()));
        assert_eq!(of("1, \"colour\": 3"), Err("colour".to_owned()));
    }
}
