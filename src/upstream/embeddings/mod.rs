//! Embeddings, for the wires that have them.

mod passed;
mod reply;
mod wanted;

use bytes::Bytes;
use http::HeaderMap;

use super::{NoAnswer, WholeReply, WireRequest};
use crate::api::embeddings::EmbeddingsRequest;
use crate::api::error::BadRequest;

pub use reply::Vectors;
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

    /// How an answer is read; `None`: it is OpenAI's, the only one, and passes as it is.
    fn reader(&self) -> Option<Read> {
        None
    }

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
    ) -> Result<WholeReply, NoAnswer> {
        match self.reader() {
            Some(read) => reply::reply(upstream_model, request, &answers, read),
            None => passed::passed(request, answers.into_iter().next().unwrap_or_default().body),
        }
    }
}

/// What one answer of this model (as the provider calls it) holds, or why it holds no embeddings.
pub type Read = fn(&str, &WireAnswer) -> Result<Vectors, String>;

/// A whole answer to one request.
#[derive(Debug, Clone, Default)]
pub struct WireAnswer {
    /// Some wires count tokens there.
    pub headers: HeaderMap,
    pub body: Bytes,
}
