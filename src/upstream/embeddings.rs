//! Embeddings, for the wires that have them.

use bytes::Bytes;
use http::HeaderMap;

use super::openai::{self, OpenAi};
use super::{NoAnswer, Text, WholeReply, WireRequest};
use crate::api::embeddings::{EmbeddingsReply, EmbeddingsRequest};
use crate::api::error::BadRequest;

/// One provider's wire for embeddings: pure translation between OpenAI's and its own.
pub trait Embeddings: Send + Sync {
    /// Where this model's embeddings are, below the provider's base URL.
    fn embeddings_path(&self, upstream_model: &str) -> String;

    /// What to post there.
    ///
    /// # Errors
    /// What this provider cannot express, named by the client's field.
    fn embed(&self, upstream_model: &str, request: &EmbeddingsRequest) -> Result<WireRequest, BadRequest>;

    /// A successful answer → the client's body and what it took.
    ///
    /// # Errors
    /// Why the bytes are no answer.
    fn embedded(&self, body: Bytes) -> Result<WholeReply, NoAnswer>;
}

impl Embeddings for OpenAi {
    fn embeddings_path(&self, _upstream_model: &str) -> String {
        "embeddings".into()
    }

    fn embed(&self, upstream_model: &str, request: &EmbeddingsRequest) -> Result<WireRequest, BadRequest> {
        Ok(WireRequest { headers: HeaderMap::new(), body: request.forward(upstream_model) })
    }

    fn embedded(&self, body: Bytes) -> Result<WholeReply, NoAnswer> {
        let reply: Result<EmbeddingsReply, _> = serde_json::from_slice(&body);
        let reply = reply.map_err(|e| format!("the answer holds no embeddings: {e}"))?;
        if !reply.data.get().starts_with('[') {
            return Err("the answer's `data` is no list of embeddings".into());
        }
        Ok(WholeReply { usage: reply.usage.map(openai::usage), text: Text::default(), body })
    }
}
