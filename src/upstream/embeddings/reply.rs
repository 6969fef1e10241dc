//! Vectors → OpenAI's reply.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;

use super::{Read, WireAnswer};
use crate::api::embeddings::{EmbeddingsRequest, Encoding};
use crate::catalog::Usage;
use crate::upstream::{NoAnswer, Text, WholeReply};

/// What one answer of a wire holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vectors {
    /// One for each text, in their order.
    pub vectors: Vec<Vec<f64>>,
    /// Of the texts together; `None` where the wire does not say.
    pub tokens: Option<u32>,
}

#[derive(Serialize)]
struct Reply<'a> {
    object: &'static str,
    data: Vec<Item<'a>>,
    model: &'a str,
    usage: ReplyUsage,
}

#[derive(Serialize)]
struct Item<'a> {
    object: &'static str,
    index: usize,
    embedding: Numbers<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Numbers<'a> {
    Float(&'a [f64]),
    Base64(String),
}

impl<'a> Numbers<'a> {
    fn of(vector: &'a [f64], encoding: Encoding) -> Self {
        match encoding {
            Encoding::Float => Self::Float(vector),
            Encoding::Base64 => Self::Base64(base64(vector)),
        }
    }
}

#[derive(Serialize)]
struct ReplyUsage {
    prompt_tokens: u32,
    total_tokens: u32,
}

/// The reply to `request` from the answers of `model`, each of which `read` reads. Where a wire does not count tokens,
/// the reply says 0, as the field is not optional, and nothing is known of the usage.
///
/// # Errors
/// One cannot be read, or there are more or fewer vectors than texts.
pub fn reply(
    model: &str,
    request: &EmbeddingsRequest,
    answers: &[WireAnswer],
    read: Read,
) -> Result<WholeReply, NoAnswer> {
    let read = |answer: &WireAnswer| read(model, answer).map_err(|problem| NoAnswer::or_told(problem, &answer.body));
    let answers: Vec<Vectors> = answers.iter().map(read).collect::<Result<_, _>>()?;
    let vectors: Vec<&[f64]> = answers.iter().flat_map(|answer| &answer.vectors).map(Vec::as_slice).collect();
    let count = request.count();
    if vectors.len() != count {
        return Err(format!("for {count} texts it gave {} vectors", vectors.len()).into());
    }
    let tokens = answers.iter().try_fold(0_u32, |sum, answer| Some(sum.saturating_add(answer.tokens?)));
    let usage = tokens.map(|input_tokens| Usage { input_tokens, ..Usage::default() });
    let body = written(model, &vectors, tokens.unwrap_or(0), request.encoding().unwrap_or_default());
    Ok(WholeReply { body, usage, text: Text::default() })
}

/// Vectors of finite numbers always serialise.
fn written(model: &str, vectors: &[&[f64]], tokens: u32, encoding: Encoding) -> Bytes {
    let item = |(index, vector)| Item { object: "embedding", index, embedding: Numbers::of(vector, encoding) };
    let data = vectors.iter().copied().enumerate().map(item).collect();
    let usage = ReplyUsage { prompt_tokens: tokens, total_tokens: tokens };
    serde_json::to_vec(&Reply { object: "list", data, model, usage }).unwrap_or_default().into()
}

/// As OpenAI writes them: little-endian, 32 bits each.
pub(super) fn base64(vector: &[f64]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| (*number as f32).to_le_bytes()).collect();
    STANDARD.encode(bytes)
}
