//! `POST /v1/embeddings`: OpenAI's request and reply.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::chat::{WireUsage, body, lenient, parse_fields, required};
use super::error::BadRequest;

/// A request for embeddings: what the gateway reads of it, and the whole as it came.
#[derive(Debug, Clone)]
pub struct EmbeddingsRequest {
    /// A model of kind embedding, or `provider/model`.
    pub model: String,
    /// Every field in the client's order, as raw JSON.
    fields: Vec<(String, Bytes)>,
}

impl EmbeddingsRequest {
    /// Reads a request body.
    ///
    /// # Errors
    /// Names the field that is missing or of the wrong kind, and what would be right.
    pub fn parse(body: &Bytes) -> Result<Self, BadRequest> {
        let fields = parse_fields(body)?;
        let model = required(&fields, "model", "an embedding model, or provider/model")?;
        let input: Option<&RawValue> = required(&fields, "input", INPUT)?;
        match input.map(|input| input.get().as_bytes()) {
            Some([b'[', .., b']']) | Some([b'"', _, .., b'"']) => Ok(Self { model, fields }),
            _ => Err(BadRequest::field("input", format!("input must be {INPUT}, and not empty"))),
        }
    }

    /// The body for an upstream that speaks this wire: the client's own bytes with `model` replaced.
    pub fn forward(&self, upstream_model: &str) -> Bytes {
        let size = self.fields.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
        let kept = self.fields.iter().filter(|(name, _)| name != "model");
        body(upstream_model, size, kept.map(|(name, value)| (&**name, &value[..])))
    }
}

const INPUT: &str = "a string, a list of strings, or token ids";

/// A reply, as far as the gateway reads it. The client gets the upstream's own bytes.
#[derive(Debug, Deserialize)]
pub struct EmbeddingsReply<'a> {
    /// The list of embeddings, unread.
    #[serde(borrow)]
    pub data: &'a RawValue,
    #[serde(default, deserialize_with = "lenient")]
    pub usage: Option<WireUsage>,
}
