//! What a text rests on, as Anthropic's clients read it: citations of a block of text.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use crate::api::answer::said_of;

/// Places in documents: Anthropic's name, the name of who has the same (Bedrock's), and where such a place begins and ends
/// in Anthropic's words.
const PLACES: [(&str, &str, [&str; 2]); 3] = [
    ("char_location", "documentChar", ["start_char_index", "end_char_index"]),
    ("content_block_location", "documentChunk", ["start_block_index", "end_block_index"]),
    ("page_location", "documentPage", ["start_page_number", "end_page_number"]),
];

/// A chat's annotation or citation as Anthropic's; `None`: it has no word for such a source.
pub(super) fn citation(source: &Value) -> Option<Value> {
    let kind = source["type"].as_str()?;
    let place = said_of(source)?;
    match kind {
        "url_citation" => place["url"].is_string().then(|| page(place)),
        "search_result_location" => Some(same(kind, place)),
        "searchResultLocation" => Some(bedrocks_result(place)),
        _ if PLACES.iter().any(|(name, ..)| *name == kind) => Some(same(kind, place)),
        _ => PLACES.iter().find(|(_, other, _)| *other == kind).map(|(name, _, ends)| bedrocks(name, ends, place)),
    }
}

/// A page of the web. What is encrypted for Claude nobody else has.
fn page(place: &Value) -> Value {
    json!({
        "type": "web_search_result_location",
        "url": place["url"],
        "title": place["title"],
        "cited_text": place["cited_text"].as_str().unwrap_or_default(),
        "encrypted_index": "",
    })
}

/// Anthropic's own, without what a chat adds: where in the answer the text is that rests on it.
fn same(kind: &str, place: &Value) -> Value {
    let mut citation = place.clone();
    if let Some(fields) = citation.as_object_mut() {
        ["start_index", "end_index"].iter().for_each(|place| drop(fields.remove(*place)));
        fields.insert("type".into(), kind.into());
    }
    citation
}

fn bedrocks(name: &str, [start, end]: &[&str; 2], place: &Value) -> Value {
    json!({
        "type": name,
        "document_index": place["documentIndex"].as_u64().unwrap_or(0),
        "document_title": place["title"],
        "cited_text": place["cited_text"].as_str().unwrap_or_default(),
        *start: place["start"],
        *end: place["end"],
    })
}

fn bedrocks_result(place: &Value) -> Value {
    json!({
        "type": "search_result_location",
        "search_result_index": place["searchResultIndex"].as_u64().unwrap_or(0),
        "source": place["source"].as_str().unwrap_or_default(),
        "title": place["title"],
        "cited_text": place["cited_text"].as_str().unwrap_or_default(),
        "start_block_index": place["start"],
        "end_block_index": place["end"],
    })
}

/// `text` in blocks: each piece that has sources is one, and so is what is between them. A source that does not say which
/// piece rests on it belongs to the last block.
pub(super) fn blocks(text: &str, sources: &[Value]) -> Vec<Value> {
    let cited = sources.iter().filter_map(|source| Some((range(source), citation(source)?)));
    let (mut placed, mut others): (Vec<_>, Vec<_>) = cited.partition(|((from, to), _)| from < to);
    placed.sort_by_key(|(range, _)| *range);
    let bytes = bytes(text, placed.iter().flat_map(|((from, to), _)| [*from, *to]));
    let (mut blocks, mut at) = (vec![], 0);
    for (range, citation) in placed {
        let (from, to) = (bytes[&range.0].max(at), bytes[&range.1]);
        if from < to {
            blocks.extend((from > at).then(|| block(&text[at..from])));
            blocks.push(block(&text[from..to]));
            at = to;
        } else if blocks.is_empty() {
            others.push((range, citation));
            continue;
        }
        cite(&mut blocks, citation);
    }
    blocks.extend((at < text.len()).then(|| block(&text[at..])));
    others.into_iter().for_each(|(_, citation)| cite(&mut blocks, citation));
    blocks
}

/// Takes so many characters from the front of `blocks`; the last of the blocks may be cut there.
pub(super) fn first(blocks: &mut VecDeque<Value>, mut characters: usize) -> Vec<Value> {
    let mut first = vec![];
    while characters > 0
        && let Some(mut block) = blocks.pop_front()
    {
        let text = block["text"].as_str().unwrap_or_default();
        match text.char_indices().nth(characters).map(|(at, _)| text.split_at(at)) {
            None => characters -= text.chars().count(),
            Some((head, rest)) => {
                let (head, rest) = (Value::from(head), Value::from(rest));
                blocks.push_front(block.clone());
                blocks[0]["text"] = rest;
                block["text"] = head;
                characters = 0;
            }
        }
        first.push(block);
    }
    first
}

/// Characters of the answer that rest on a source; an empty range where it does not say.
fn range(source: &Value) -> (usize, usize) {
    let place = said_of(source);
    let at = |name: &str| place.and_then(|place| usize::try_from(place[name].as_u64()?).ok());
    at("start_index").zip(at("end_index")).unwrap_or_default()
}

/// Where in `text` these characters begin, bytes.
fn bytes(text: &str, characters: impl Iterator<Item = usize>) -> BTreeMap<usize, usize> {
    let mut bytes: BTreeMap<usize, usize> = characters.map(|character| (character, text.len())).collect();
    let last = bytes.keys().next_back().copied().unwrap_or(0);
    for (character, (byte, _)) in text.char_indices().enumerate().take_while(|(character, _)| *character <= last) {
        bytes.entry(character).and_modify(|at| *at = byte);
    }
    bytes
}

fn block(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn cite(blocks: &mut [Value], citation: Value) {
    let Some(last) = blocks.last_mut() else { return };
    match last["citations"].as_array_mut() {
        Some(citations) => citations.push(citation),
        None => last["citations"] = json!([citation]),
    }
}
