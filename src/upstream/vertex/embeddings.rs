//! Embeddings: `predict` of Google's text models, `embedContent` of the newer Gemini.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Vertex, place};
use crate::api::embeddings::EmbeddingsRequest;
use crate::api::error::BadRequest;
use crate::api::fields::object;
use crate::upstream::embeddings::{Batch, Read, Vectors, Wanted};
use crate::upstream::gemini::embeddings::{Embedding, EmbeddingUsage, content};
use crate::upstream::{Embeddings, WireAnswer, WireRequest};

/// 250 texts, and 20,000 tokens together, most of which have three bytes at least.
const TEXT_MODELS: Batch = Batch { texts: 250, bytes: 60_000 };

/// As Gemini's, and what Google's cloud has beyond it.
const OWN: [(&str, &str); 5] = [
    ("taskType", "taskType"),
    ("task_type", "taskType"),
    ("title", "title"),
    ("autoTruncate", "autoTruncate"),
    ("auto_truncate", "autoTruncate"),
];

/// How a model is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Predict(Batch),
    /// One text a call.
    EmbedContent,
}

impl Method {
    /// <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api>: the first Gemini
    /// takes one text a call, those after it know no `predict`.
    fn of(upstream_model: &str) -> Self {
        let name = upstream_model.rsplit('/').next().unwrap_or_default();
        match () {
            () if name.starts_with("gemini-embedding-001") => Self::Predict(Batch::ONE),
            () if name.starts_with("gemini") => Self::EmbedContent,
            () => Self::Predict(TEXT_MODELS),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Predict(_) => "predict",
            Self::EmbedContent => "embedContent",
        }
    }
}

impl Embeddings for Vertex {
    fn embeddings_path(&self, upstream_model: &str) -> String {
        place(upstream_model, "google", Method::of(upstream_model).name())
    }

    fn embed(&self, upstream_model: &str, request: &EmbeddingsRequest) -> Result<Vec<WireRequest>, BadRequest> {
        let wanted = Wanted::read(request, "Vertex", &OWN)?;
        let bodies: Vec<Value> = match Method::of(upstream_model) {
            Method::Predict(batch) => batch.split(&wanted.texts).into_iter().map(|t| predict(&wanted, t)).collect(),
            Method::EmbedContent => wanted.texts.iter().map(|text| embed_content(&wanted, text)).collect(),
        };
        Ok(bodies.iter().map(WireRequest::json).collect())
    }

    fn reader(&self) -> Option<Read> {
        Some(|upstream_model, answer| match Method::of(upstream_model) {
            Method::Predict(_) => predicted(answer),
            Method::EmbedContent => content_embedded(answer),
        })
    }
}

/// Google writes the fields of an instance with underscores here.
fn predict(wanted: &Wanted, texts: &[String]) -> Value {
    let said = |name: &str| wanted.own.get(name).cloned().unwrap_or_default();
    let instance =
        |text: &String| object([("content", json!(text)), ("task_type", said("taskType")), ("title", said("title"))]);
    let instances: Vec<Value> = texts.iter().map(instance).collect();
    let parameters =
        object([("outputDimensionality", json!(wanted.dimensions)), ("autoTruncate", said("autoTruncate"))]);
    let parameters = if parameters == json!({}) { Value::Null } else { parameters };
    object([("instances", instances.into()), ("parameters", parameters)])
}

fn embed_content(wanted: &Wanted, text: &str) -> Value {
    let mut config: Map<String, Value> = wanted.own.clone();
    config.extend(wanted.dimensions.map(|length| ("outputDimensionality".into(), length.into())));
    let config = if config.is_empty() { Value::Null } else { config.into() };
    object([("content", content(text)), ("embedContentConfig", config)])
}

fn predicted(answer: &WireAnswer) -> Result<Vectors, String> {
    #[derive(Deserialize)]
    struct Answer {
        predictions: Vec<Prediction>,
    }
    #[derive(Deserialize)]
    struct Prediction {
        embeddings: Predicted,
    }
    #[derive(Deserialize)]
    struct Predicted {
        values: Vec<f64>,
        #[serde(default)]
        statistics: Statistics,
    }
    #[derive(Default, Deserialize)]
    struct Statistics {
        /// A whole number, which comes as a float at times.
        #[serde(default)]
        token_count: Option<f64>,
    }
    let answer: Answer = serde_json::from_slice(&answer.body).map_err(none)?;
    let counts = answer.predictions.iter().map(|prediction| prediction.embeddings.statistics.token_count);
    let tokens: Option<f64> = counts.sum();
    let vectors = answer.predictions.into_iter().map(|prediction| prediction.embeddings.values).collect();
    // Saturates.
    Ok(Vectors { vectors, tokens: tokens.map(|tokens| tokens as u32) })
}

fn content_embedded(answer: &WireAnswer) -> Result<Vectors, String> {
    #[derive(Deserialize)]
    struct Answer {
        embedding: Embedding,
        #[serde(default, rename = "usageMetadata")]
        usage: Option<EmbeddingUsage>,
    }
    let answer: Answer = serde_json::from_slice(&answer.body).map_err(none)?;
    let tokens = answer.usage.and_then(|usage| usage.prompt_token_count);
    Ok(Vectors { vectors: vec![answer.embedding.values], tokens })
}

fn none(error: serde_json::Error) -> String {
    format!("the answer holds no embeddings of Vertex's: {error}")
}
