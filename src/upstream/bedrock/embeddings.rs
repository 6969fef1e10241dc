//! Embeddings: `InvokeModel`, whose bodies are each model's own.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Bedrock, encoded};
use crate::api::embeddings::EmbeddingsRequest;
use crate::api::error::BadRequest;
use crate::upstream::cohere::embeddings as cohere;
use crate::upstream::embeddings::{Read, Vectors, Wanted};
use crate::upstream::{Embeddings, WireAnswer, WireRequest};

/// As refusals call it.
const WIRE: &str = "Bedrock";
/// Where Bedrock counts the tokens of models that do not say it themselves.
const TOKEN_COUNT: &str = "x-amzn-bedrock-input-token-count";

/// Models that are asked alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// The first Titan, which has no parameters.
    TitanG1,
    TitanV2,
    /// Titan's pictures and texts, of which this asks texts.
    TitanMultimodal,
    /// Nova, the same.
    Nova,
    Cohere,
}

impl Family {
    /// By what stands in a model's id, or in that of its inference profile.
    fn of(model: &str) -> Option<Self> {
        let known = [
            ("titan-embed-text-v2", Self::TitanV2),
            ("titan-embed-image", Self::TitanMultimodal),
            ("titan-embed", Self::TitanG1),
            ("multimodal-embeddings", Self::Nova),
            ("cohere.embed", Self::Cohere),
        ];
        known.iter().find(|(part, _)| model.contains(part)).map(|(_, family)| *family)
    }

    fn bodies(self, model: &str, request: &EmbeddingsRequest) -> Result<Vec<Value>, BadRequest> {
        let each = |wanted: &Wanted, body: fn(&str, &Wanted) -> Value| {
            wanted.texts.iter().map(|text| body(text, wanted)).collect::<Vec<_>>()
        };
        match self {
            Self::TitanG1 => Ok(each(&Wanted::read(request, WIRE, &[])?.of_one_length(model)?, titan)),
            Self::TitanV2 => Ok(each(&Wanted::read(request, WIRE, &[("normalize", "normalize")])?, titan)),
            Self::TitanMultimodal => Ok(each(&Wanted::read(request, WIRE, &[])?, titan_multimodal)),
            Self::Nova => {
                let own = [("embeddingPurpose", "embeddingPurpose"), ("embedding_purpose", "embeddingPurpose")];
                Ok(each(&Wanted::read(request, WIRE, &own)?, nova))
            }
            Self::Cohere => cohere::bodies(model, request, WIRE),
        }
    }

    fn vectors(self, answer: &WireAnswer) -> Result<Vectors, String> {
        let vectors = match self {
            Self::TitanG1 | Self::TitanV2 | Self::TitanMultimodal => titans(answer),
            Self::Nova => novas(answer),
            Self::Cohere => cohere::vectors(answer),
        }?;
        Ok(Vectors { tokens: vectors.tokens.or_else(|| counted(answer)), ..vectors })
    }
}

impl Embeddings for Bedrock {
    fn embeddings_path(&self, upstream_model: &str) -> String {
        format!("model/{}/invoke", encoded(upstream_model))
    }

    fn embed(&self, upstream_model: &str, request: &EmbeddingsRequest) -> Result<Vec<WireRequest>, BadRequest> {
        let family = Family::of(upstream_model).ok_or_else(|| unknown(upstream_model))?;
        Ok(family.bodies(upstream_model, request)?.iter().map(WireRequest::json).collect())
    }

    fn reader(&self) -> Option<Read> {
        Some(|upstream_model, answer| {
            let family = Family::of(upstream_model).ok_or_else(|| unknown(upstream_model).message)?;
            family.vectors(answer)
        })
    }
}

fn unknown(model: &str) -> BadRequest {
    let known = "Amazon's Titan and Nova, and Cohere's Embed, by their ids";
    BadRequest::field("model", format!("how {model} is asked for embeddings at Bedrock is not known; ask {known}"))
}

fn titan(text: &str, wanted: &Wanted) -> Value {
    let mut body = json!({"inputText": text});
    if let Some(length) = wanted.dimensions {
        body["dimensions"] = length.into();
    }
    if let Some(normalize) = wanted.own.get("normalize") {
        body["normalize"] = normalize.clone();
    }
    body
}

fn titan_multimodal(text: &str, wanted: &Wanted) -> Value {
    let mut body = json!({"inputText": text});
    if let Some(length) = wanted.dimensions {
        body["embeddingConfig"] = json!({"outputEmbeddingLength": length});
    }
    body
}

/// A text that is too long is an error, as it is at OpenAI: Nova must be told what to do with it.
fn nova(text: &str, wanted: &Wanted) -> Value {
    let mut params = json!({"embeddingPurpose": "GENERIC_INDEX", "text": {"truncationMode": "NONE", "value": text}});
    if let Some(purpose) = wanted.own.get("embeddingPurpose") {
        params["embeddingPurpose"] = purpose.clone();
    }
    if let Some(length) = wanted.dimensions {
        params["embeddingDimension"] = length.into();
    }
    json!({"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": params})
}

fn titans(answer: &WireAnswer) -> Result<Vectors, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        embedding: Vec<f64>,
        #[serde(default)]
        input_text_token_count: Option<u32>,
    }
    let answer: Answer = serde_json::from_slice(&answer.body).map_err(|e| none("Titan", &e))?;
    Ok(Vectors { vectors: vec![answer.embedding], tokens: answer.input_text_token_count })
}

fn novas(answer: &WireAnswer) -> Result<Vectors, String> {
    #[derive(Deserialize)]
    struct Answer {
        embeddings: Vec<Vector>,
    }
    #[derive(Deserialize)]
    struct Vector {
        embedding: Vec<f64>,
    }
    let answer: Answer = serde_json::from_slice(&answer.body).map_err(|e| none("Nova", &e))?;
    Ok(Vectors { vectors: answer.embeddings.into_iter().map(|vector| vector.embedding).collect(), tokens: None })
}

fn none(whose: &str, error: &serde_json::Error) -> String {
    format!("the answer holds no embeddings of {whose}'s: {error}")
}

fn counted(answer: &WireAnswer) -> Option<u32> {
    answer.headers.get(TOKEN_COUNT)?.to_str().ok()?.parse().ok()
}
