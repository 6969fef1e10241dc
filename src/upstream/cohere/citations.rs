//! Citations → OpenAI's `annotations`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Block;

/// A piece of a block and where it is from.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Citation {
    /// Characters within the block.
    start: usize,
    end: usize,
    /// Which block.
    content_index: usize,
    /// `TEXT_CONTENT`, or what is not shown as the answer's text: a plan or a thought.
    #[serde(rename = "type")]
    kind: Option<String>,
    sources: Vec<Source>,
}

/// A document that the client gave, or a tool's result.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Source {
    id: Option<String>,
    #[serde(alias = "tool_output")]
    document: Value,
}

/// Where the text of each block begins in the whole, characters; so many come before all of them.
pub(super) fn starts(before: usize, blocks: &[Block]) -> Vec<usize> {
    let length = |block: &Block| block.text.as_deref().map_or(0, |text| text.chars().count());
    let start = |before: &mut usize, block| Some(std::mem::replace(before, *before + length(block)));
    blocks.iter().scan(before, start).collect()
}

impl Citation {
    /// One for each source. A source without a URL stands with its id. `starts`: of each block in the text, which has
    /// `length` characters by now; what is said to lie beyond them lies at their end.
    pub(super) fn annotations(self, starts: &[usize], length: usize) -> Vec<Value> {
        if self.kind.as_deref().is_some_and(|kind| kind != "TEXT_CONTENT") {
            return vec![];
        }
        let start = starts.get(self.content_index).copied().unwrap_or(0);
        let (start, end) = (start.saturating_add(self.start), start.saturating_add(self.end));
        let (start, end) = (start.min(length), end.min(length));
        self.sources.iter().map(|source| source.annotation(start, end)).collect()
    }
}

impl Source {
    fn annotation(&self, start: usize, end: usize) -> Value {
        let id = self.id.as_deref().unwrap_or_default();
        let url = self.document["url"].as_str().unwrap_or(id);
        let title = self.document["title"].as_str().unwrap_or(url);
        let citation = json!({"start_index": start, "end_index": end, "url": url, "title": title});
        json!({"type": "url_citation", "url_citation": citation})
    }
}
