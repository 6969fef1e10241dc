//! Embeddings, version 2; Bedrock asks the same of Cohere's models there.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Cohere;
use crate::api::embeddings::EmbeddingsRequest;
use crate::api::error::BadRequest;
use crate::upstream::embeddings::{Batch, Read, Vectors, Wanted};
use crate::upstream::{Embeddings, WireAnswer, WireRequest};

/// Cohere takes so many at once.
const BATCH: Batch = Batch { texts: 96, bytes: usize::MAX };

/// What Cohere's own clients may say of the vectors.
const OWN: [(&str, &str); 4] =
    [("input_type", "input_type"), ("max_tokens", "max_tokens"), ("priority", "priority"), ("truncate", "truncate")];

/// What texts are taken for where a client does not say: OpenAI's clients know no such thing, Cohere's models must be told.
const INPUT_TYPE: &str = "search_document";

impl Embeddings for Cohere {
    fn embeddings_path(&self, _upstream_model: &str) -> String {
        "embed".into()
    }

    fn embed(&self, upstream_model: &str, request: &EmbeddingsRequest) -> Result<Vec<WireRequest>, BadRequest> {
        let mut bodies = bodies(upstream_model, request, "Cohere")?;
        bodies.iter_mut().for_each(|body| body["model"] = upstream_model.into());
        Ok(bodies.iter().map(WireRequest::json).collect())
    }

    fn reader(&self) -> Option<Read> {
        Some(|_, answer| vectors(answer))
    }
}

/// What to post, except `model`, to a wire that is called `wire` in messages.
///
/// # Errors
/// What Cohere, or this model, cannot be asked.
pub(in crate::upstream) fn bodies(
    model: &str,
    request: &EmbeddingsRequest,
    wire: &str,
) -> Result<Vec<Value>, BadRequest> {
    let wanted = Wanted::read(request, wire, &OWN)?;
    let wanted = if chooses_length(model) { wanted } else { wanted.of_one_length(model)? };
    let mut fields = Map::from_iter([
        ("input_type".to_owned(), json!(INPUT_TYPE)),
        ("embedding_types".to_owned(), json!(["float"])),
    ]);
    fields.extend(wanted.dimensions.map(|length| ("output_dimension".to_owned(), length.into())));
    fields.extend(wanted.own);
    let body = |texts: &[String]| {
        let texts = ("texts".to_owned(), json!(texts));
        std::iter::once(texts).chain(fields.clone()).collect::<Map<_, _>>().into()
    };
    Ok(BATCH.split(&wanted.texts).into_iter().map(body).collect())
}

/// Models before Embed v4 make vectors of one length.
fn chooses_length(model: &str) -> bool {
    !["-v2.", "-v3"].iter().any(|version| model.contains(version))
}

#[derive(Deserialize)]
struct Answer {
    embeddings: ByType,
    #[serde(default)]
    meta: Option<Meta>,
}

/// Older models at Bedrock leave the types out where only one is asked for.
#[derive(Deserialize)]
#[serde(untagged)]
enum ByType {
    Types { float: Vec<Vec<f64>> },
    Float(Vec<Vec<f64>>),
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    billed_units: Option<Billed>,
}

#[derive(Deserialize)]
struct Billed {
    #[serde(default)]
    input_tokens: Option<f64>,
}

/// The vectors of one answer, and what is paid for.
///
/// # Errors
/// It holds none.
pub(in crate::upstream) fn vectors(answer: &WireAnswer) -> Result<Vectors, String> {
    let answer: Answer =
        serde_json::from_slice(&answer.body).map_err(|e| format!("the answer holds no embeddings of Cohere's: {e}"))?;
    let (ByType::Types { float: vectors } | ByType::Float(vectors)) = answer.embeddings;
    let billed = answer.meta.and_then(|meta| meta.billed_units?.input_tokens);
    // The wire has whole numbers as floats.
    Ok(Vectors { vectors, tokens: billed.map(|tokens| tokens as u32) })
}
