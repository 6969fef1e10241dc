//! Embeddings, for the wires that have them.

mod reply;
mod wanted;

use bytes::Bytes;
use http::HeaderMap;

use super::{WholeReply, WireRequest};
use crate::api::embeddings::EmbeddingsRequest;
use crate::api::error::BadRequest;

pub(super) use reply::{Vectors, reencoded, reply};
pub(super) use wanted::{Batch, Wanted};

/// One provider's wire for embeddings: pure translation between OpenAI's and its own.
pub trait Embeddings: Send + Sync {
    /// Where this model's embeddings are, below the provider's base URL.
    fn embeddings_path(&self, upstream_model: &str) -> String;

    /// What to post there: at least one request; several share out the input, in its order.
    ///
    /// # Errors
    /// What this provider cannot express, named by the client's field.
    fn embed(&self, upstream_model: &str, request: &EmbeddingsRequest) -> Result<Vec<WireRequest>, BadRequest>;

    /// The successful answers to all that [`embed`](Self::embed) posts, in its order → the client's body and what it
    /// took.
    ///
    /// # Errors
    /// Why they are no answer.
    fn embedded(
        &self,
        upstream_model: &str,
        request: &EmbeddingsRequest,
        answers: Vec<WireAnswer>,
    ) -> Result<WholeReply, String>;
}

/// A whole answer to one request.
#[derive(Debug, Clone, Default)]
pub struct WireAnswer {
    /// Some wires count tokens there.
    pub headers: HeaderMap,
    pub body: Bytes,
}
