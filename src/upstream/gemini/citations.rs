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

/// A text whose sources are told by its bytes, while OpenAI counts characters.
#[derive(Debug, Default)]
pub(super) struct Cited {
    text: Vec<u8>,
    /// Characters that have begun by the end of each page: so no source has all of a long text counted.
    begun: Vec<usize>,
}

/// Bytes.
const PAGE: usize = 1024;

impl Cited {
    pub(super) fn push(&mut self, more: &str) {
        self.text.extend_from_slice(more.as_bytes());
        for page in self.text.chunks_exact(PAGE).skip(self.begun.len()) {
            self.begun.push(self.begun.last().unwrap_or(&0) + beginnings(page));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Characters that begin in the first so many bytes.
    fn characters(&self, bytes: usize) -> usize {
        let bytes = bytes.min(self.text.len());
        let page = bytes / PAGE;
        let before = page.checked_sub(1).map_or(0, |last| self.begun[last]);
        before + beginnings(&self.text[page * PAGE..bytes])
    }
}

fn beginnings(utf8: &[u8]) -> usize {
    utf8.iter().filter(|byte| (**byte as i8) >= -64).count()
}

/// One annotation for each piece of `text` and each source of it.
pub(super) fn annotations(
    grounding: Option<GroundingMetadata>,
    citations: Option<CitationMetadata>,
    text: &Cited,
) -> Vec<Value> {
    let grounded = grounding.iter().flat_map(|grounding| grounding.annotations(text));
    let cited = citations.iter().flat_map(|cited| &cited.citations).filter_map(|citation| {
        Some(annotation(&citation.segment, citation.uri.as_deref()?, citation.title.as_deref(), text))
    });
    grounded.chain(cited).collect()
}

impl GroundingMetadata {
    fn annotations(&self, text: &Cited) -> impl Iterator<Item = Value> {
        self.grounding_supports.iter().flat_map(move |support| {
            let places =
                support.grounding_chunk_indices.iter().filter_map(|i| self.grounding_chunks.get(*i)?.web.as_ref());
            places.map(move |place| annotation(&support.segment, &place.uri, place.title.as_deref(), text))
        })
    }
}

fn annotation(segment: &Segment, url: &str, title: Option<&str>, text: &Cited) -> Value {
    let (start, end) = (text.characters(segment.start_index), text.characters(segment.end_index));
    let citation = json!({"start_index": start, "end_index": end, "url": url, "title": title.unwrap_or(url)});
    json!({"type": "url_citation", "url_citation": citation})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_counted_to_any_byte() {
        let text = "Grüße, 世界 🌍! ".repeat(200);
        let mut cited = Cited::default();
        text.split_inclusive(' ').for_each(|piece| cited.push(piece));
        for bytes in (0..=text.len() + 1).chain([usize::MAX]) {
            let counted = text.char_indices().take_while(|(at, _)| *at < bytes).count();
            assert_eq!(cited.characters(bytes), counted, "{bytes}");
        }
    }
}
