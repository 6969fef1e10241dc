//! A reply that is OpenAI's already.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::reply::base64;
use crate::api::embeddings::{EmbeddingsReply, EmbeddingsRequest, Encoding};
use crate::upstream::openai::usage;
use crate::upstream::{NoAnswer, Text, WholeReply};

/// `body` as it is, where it is as `request` wants it.
///
/// # Errors
/// It holds no embeddings.
pub fn passed(request: &EmbeddingsRequest, body: Bytes) -> Result<WholeReply, NoAnswer> {
    let reply: EmbeddingsReply = serde_json::from_slice(&body)
        .map_err(|e| NoAnswer::or_told(format!("the answer holds no embeddings: {e}"), &body))?;
    if !reply.data.get().starts_with('[') {
        return Err(NoAnswer::or_told("the answer's `data` is no list of embeddings".into(), &body));
    }
    let usage = reply.usage.map(usage);
    let reencoded = reencoded(request, reply.data, &body);
    Ok(WholeReply { usage, text: Text::default(), body: reencoded.unwrap_or(body) })
}

/// A reply of OpenAI's form with its vectors in base64, where it has lists of numbers though `request` asked for that:
/// some servers of this wire know nothing of `encoding_format`, and some clients read nothing else. `None`: it is as it
/// should be.
fn reencoded(request: &EmbeddingsRequest, data: &RawValue, body: &Bytes) -> Option<Bytes> {
    #[derive(Deserialize)]
    struct Glance<'a> {
        #[serde(borrow)]
        embedding: &'a RawValue,
    }
    let asked = request.encoding().ok() == Some(Encoding::Base64);
    let first = || serde_json::from_str::<Vec<Glance>>(data.get()).ok()?.into_iter().next();
    let numbers = asked && first().is_some_and(|first| first.embedding.get().starts_with('['));
    if !numbers {
        return None;
    }
    let mut reply: Value = serde_json::from_slice(body).ok()?;
    for item in reply.get_mut("data")?.as_array_mut()? {
        let vector: Vec<f64> = Vec::deserialize(&item["embedding"]).ok()?;
        item["embedding"] = base64(&vector).into();
    }
    serde_json::to_vec(&reply).ok().map(Bytes::from)
}
