//! Embeddings: `batchEmbedContents`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Gemini, place};
use crate::api::embeddings::EmbeddingsRequest;
use crate::api::error::BadRequest;
use crate::upstream::embeddings::{Batch, Read, Vectors, Wanted};
use crate::upstream::{Embeddings, WireAnswer, WireRequest};

/// Google takes so many at once.
const BATCH: Batch = Batch { texts: 100, bytes: usize::MAX };

/// What Google's own clients may say of the vectors, by the names of its API and of its libraries.
const OWN: [(&str, &str); 3] = [("taskType", "taskType"), ("task_type", "taskType"), ("title", "title")];

#[derive(Deserialize)]
struct Answer {
    embeddings: Vec<Embedding>,
    #[serde(default, rename = "usageMetadata")]
    usage: Option<EmbeddingUsage>,
}

/// One text's vector.
#[derive(Deserialize)]
pub(in crate::upstream) struct Embedding {
    pub(in crate::upstream) values: Vec<f64>,
}

/// What a call took, as newer models say it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::upstream) struct EmbeddingUsage {
    #[serde(default)]
    pub(in crate::upstream) prompt_token_count: Option<u32>,
}

impl Embeddings for Gemini {
    fn embeddings_path(&self, upstream_model: &str) -> String {
        format!("{}:batchEmbedContents", place(upstream_model))
    }

    fn embed(&self, upstream_model: &str, request: &EmbeddingsRequest) -> Result<Vec<WireRequest>, BadRequest> {
        let wanted = Wanted::read(request, "Gemini", &OWN)?;
        let model = place(upstream_model);
        let one = |text: &String| {
            let mut one = wanted.own.clone();
            one.insert("model".into(), model.clone().into());
            one.insert("content".into(), content(text));
            one.extend(wanted.dimensions.map(|length| ("outputDimensionality".into(), length.into())));
            Value::Object(one)
        };
        let body = |texts: &[String]| json!({"requests": texts.iter().map(one).collect::<Vec<_>>()});
        Ok(BATCH.split(&wanted.texts).into_iter().map(|texts| WireRequest::json(&body(texts))).collect())
    }

    fn reader(&self) -> Option<Read> {
        Some(|_, answer| vectors(answer))
    }
}

/// A text as a content of Google's.
pub(in crate::upstream) fn content(text: &str) -> Value {
    json!({"parts": [{"text": text}]})
}

fn vectors(answer: &WireAnswer) -> Result<Vectors, String> {
    let answer: Answer =
        serde_json::from_slice(&answer.body).map_err(|e| format!("the answer holds no embeddings of Gemini's: {e}"))?;
    Ok(Vectors {
        vectors: answer.embeddings.into_iter().map(|embedding| embedding.values).collect(),
        tokens: answer.usage.and_then(|usage| usage.prompt_token_count),
    })
}
