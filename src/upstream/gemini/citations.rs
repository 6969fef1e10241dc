//! Where an answer has what it says from → OpenAI's `annotations`.

use serde::Deserialize;
use serde_json::{Value, json};

/// What a search found, and which pieces of the text rest on it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct GroundingMetadata {
    grounding_chunks: Vec<GroundingChunk>,
    grounding_supports: Vec<GroundingSupport>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct GroundingChunk {
    #[serde(alias = "retrievedContext", alias = "maps")]
    web: Option<Place>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Place {
    uri: String,
    title: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct GroundingSupport {
    segment: Segment,
    grounding_chunk_indices: Vec<usize>,
}

/// Bytes of the text's UTF-8.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Segment {
    start_index: usize,
    end_index: usize,
}

/// What the text repeats of the model's training.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct CitationMetadata {
    /// Gemini's own API and Vertex name it differently.
    #[serde(alias = "citationSources")]
    citations: Vec<Citation>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Citation {
    #[serde(flatten)]
    segment: Segment,
    uri: Option<String>,
    title: Option<String>,
}

/// One annotation for each piece of `text` and each source of it.
pub(super) fn annotations(
    grounding: Option<GroundingMetadata>,
    citations: Option<CitationMetadata>,
    text: &str,
) -> Vec<Value> {
    let grounded = grounding.iter().flat_map(|grounding| grounding.annotations(text));
    let cited = citations.iter().flat_map(|cited| &cited.citations).filter_map(|citation| {
        Some(annotation(&citation.segment, citation.uri.as_deref()?, citation.title.as_deref(), text))
    });
    grounded.chain(cited).collect()
}

impl GroundingMetadata {
    fn annotations(&self, text: &str) -> impl Iterator<Item = Value> {
        self.grounding_supports.iter().flat_map(move |support| {
            let places =
                support.grounding_chunk_indices.iter().filter_map(|i| self.grounding_chunks.get(*i)?.web.as_ref());
            places.map(move |place| annotation(&support.segment, &place.uri, place.title.as_deref(), text))
        })
    }
}

fn annotation(segment: &Segment, url: &str, title: Option<&str>, text: &str) -> Value {
    let (start, end) = (characters(text, segment.start_index), characters(text, segment.end_index));
    let citation = json!({"start_index": start, "end_index": end, "url": url, "title": title.unwrap_or(url)});
    json!({"type": "url_citation", "url_citation": citation})
}

/// Google counts bytes, OpenAI characters.
fn characters(text: &str, bytes: usize) -> usize {
    text.char_indices().take_while(|(at, _)| *at < bytes).count()
}
