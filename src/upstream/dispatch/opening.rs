//! Where a streamed answer begins: at the first piece that says something. Until then another model may still answer in
//! its place, so pieces that only say who speaks are held back.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::StreamItem;

/// Most that is held back, bytes; a stream that opens with more has begun.
const MAX_BYTES: usize = 64 << 10;
/// What a piece counts at least, bytes.
const LEAST: usize = 1 << 10;

/// The pieces of a stream before and up to the first one that says something.
#[derive(Debug, Default)]
pub struct Opening {
    items: VecDeque<StreamItem>,
    bytes: usize,
}

impl Opening {
    /// The next piece. True: the stream has begun.
    pub fn push(&mut self, item: StreamItem) -> bool {
        let begun = match &item {
            StreamItem::Done => true,
            StreamItem::Chunk { data, .. } => {
                self.bytes += data.len().max(LEAST);
                self.bytes > MAX_BYTES || says_something(&item)
            }
        };
        self.items.push_back(item);
        begun
    }

    /// What is held back.
    pub fn items(&self) -> impl Iterator<Item = &StreamItem> {
        self.items.iter()
    }

    /// Removes the oldest held-back piece.
    pub fn pop(&mut self) -> Option<StreamItem> {
        self.items.pop_front()
    }
}

/// As much of a chunk as tells whether a client could use it.
#[derive(Deserialize)]
struct Glance<'a> {
    #[serde(default, borrow)]
    choices: Option<Vec<ChoiceGlance<'a>>>,
}

#[derive(Deserialize)]
struct ChoiceGlance<'a> {
    #[serde(default, borrow)]
    delta: Option<BTreeMap<&'a str, &'a RawValue>>,
    #[serde(default, borrow)]
    finish_reason: Option<&'a RawValue>,
}

/// A chunk that cannot be read counts as saying something: the client may be able to read it.
fn says_something(item: &StreamItem) -> bool {
    let StreamItem::Chunk { data, text, .. } = item else { return true };
    if !text.content.is_empty() || text.tool_calls || text.finish_reason.is_some() {
        return true;
    }
    let glance = serde_json::from_slice::<Glance>(data).ok();
    glance.is_none_or(|glance| glance.choices.iter().flatten().any(ChoiceGlance::says_something))
}

impl ChoiceGlance<'_> {
    fn says_something(&self) -> bool {
        let said = |(name, value): (&&str, &&RawValue)| *name != "role" && !is_empty(value);
        self.finish_reason.is_some_and(|reason| !is_empty(reason)) || self.delta.iter().flatten().any(said)
    }
}

fn is_empty(value: &RawValue) -> bool {
    matches!(value.get(), "null" | "\"\"" | "[]" | "{}")
}

#[cfg(test)]
mod tests {
    use super::super::super::Text;
    use super::*;

    fn chunk(data: &str) -> StreamItem {
        StreamItem::Chunk { data: data.to_owned().into(), text: Text::default(), usage: None, usage_only: false }
    }

    #[test]
    fn a_role_and_empty_fields_say_nothing() {
        for (choices, says) in [
            (r#"[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}]"#, false),
            (r#"[{"index":1,"delta":{"role":"assistant","tool_calls":[],"reasoning":""}}]"#, false),
            (r#"[{"delta":{}},{"delta":null}]"#, false),
            ("[]", false),
            ("null", false),
            (r#"[{"delta":{"role":"assistant","content":" "}}]"#, true),
            (r#"[{"delta":{"content":""}},{"index":1,"delta":{"content":"x"}}]"#, true),
            (r#"[{"delta":{"role":"assistant","reasoning_content":"Hm"}}]"#, true),
            (r#"[{"delta":{"images":[{"type":"image_url"}]}}]"#, true),
            (r#"[{"index":1,"delta":{},"finish_reason":"stop"}]"#, true),
            ("7", true),
        ] {
            assert_eq!(says_something(&chunk(&format!(r#"{{"choices":{choices}}}"#))), says, "{choices}");
        }
        assert!(Opening::default().push(StreamItem::Done));
    }

    #[test]
    fn no_more_than_its_bound_is_held_and_all_of_it_comes_in_its_order() {
        let mut opening = Opening::default();
        let pieces: Vec<StreamItem> =
            (0..).map(|i| chunk(&format!(r#"{{"id":"{i}","choices":[]}}"#))).take(99).collect();
        let held = pieces.iter().take_while(|piece| !opening.push((*piece).clone())).count();
        assert_eq!(held, MAX_BYTES / LEAST);
        let came: Vec<StreamItem> = std::iter::from_fn(|| opening.pop()).collect();
        assert_eq!(came, pieces[..=held]);
        assert!(Opening::default().push(chunk(&format!(r#"{{"choices":[],"pad":"{}"}}"#, "x".repeat(MAX_BYTES)))));
    }
}
