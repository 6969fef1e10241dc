//! A response is a list of items. A chat has all of its text in one field, its pictures in another and its calls in a
//! third: where each stood, and what it was besides, is told by its mark, which is the item without what the chat has of
//! it, among the `hosted_items`.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use serde_json::Value;

use super::course::{Stretch, characters, course};
use super::hosted::{Hosted, Protocol};

/// What stands in a chat's text between two messages of a response.
pub const PAUSE: &str = "\n\n";

/// An item of which a chat has something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marked {
    Message,
    Picture,
    Call,
}

impl Marked {
    /// `None`: a chat has nothing of it.
    pub fn of(item: &Value) -> Option<Self> {
        match item["type"].as_str()? {
            "message" => Some(Self::Message),
            "image_generation_call" => Some(Self::Picture),
            "function_call" | "custom_tool_call" => Some(Self::Call),
            _ => None,
        }
    }
}

/// What a chat has of an item of this type, and what is made anew.
fn held(kind: &str) -> &'static [&'static str] {
    match kind {
        "message" => &["id", "status", "role", "content"],
        "image_generation_call" => &["result"],
        "function_call" => &["id", "status", "name", "arguments"],
        "custom_tool_call" => &["id", "status", "name", "input"],
        _ => &["id", "status", "output"],
    }
}

/// The mark of an item.
pub fn mark(item: &Value) -> Value {
    let held = held(item["type"].as_str().unwrap_or_default());
    let fields = item.as_object().into_iter().flatten();
    let own = fields.filter(|(name, value)| !held.contains(&name.as_str()) && !value.is_null());
    own.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Whether a mark tells more than a place.
pub fn tells_more(mark: &Value) -> bool {
    mark.as_object().is_some_and(|mark| mark.keys().any(|name| !["type", "call_id"].contains(&name.as_str())))
}

/// `item` with what its mark says of it.
pub fn marked(mut item: Value, mark: Option<&Value>) -> Value {
    for (name, value) in mark.and_then(Value::as_object).into_iter().flatten() {
        item[name] = value.clone();
    }
    item
}

/// Which items of an answer that grows a chat is told of beside what it has of them: those that say more, and those that
/// do not stand where a chat's fields have them, texts before calls.
#[derive(Debug, Default)]
pub struct Marks {
    /// `thinking_blocks` so far.
    thoughts: usize,
    /// Characters of the text so far.
    said: usize,
    /// Of calls, which are told only if something else comes after them.
    waiting: Vec<Value>,
}

impl Marks {
    /// What to add to the `hosted_items` for an item, or for one with this mark.
    pub fn tell(&mut self, is: Value) -> Vec<Value> {
        let here = self.here(is);
        self.waiting.drain(..).chain([here]).collect()
    }

    /// The same for a call.
    pub fn call(&mut self, mark: Value) -> Vec<Value> {
        if tells_more(&mark) {
            return self.tell(mark);
        }
        let here = self.here(mark);
        self.waiting.push(here);
        vec![]
    }

    /// The same for a message that says something, and what stands before its text. A chat's first one begins untold.
    pub fn message(&mut self, mark: Value) -> (&'static str, Vec<Value>) {
        let is_first = self.said == 0 && self.waiting.is_empty();
        let pause = if self.said > 0 { PAUSE } else { "" };
        self.said += pause.len();
        (pause, if is_first && !tells_more(&mark) { vec![] } else { self.tell(mark) })
    }

    /// The same for so many thoughts.
    pub fn think(&mut self, thoughts: usize) -> Vec<Value> {
        self.thoughts += thoughts;
        std::mem::take(&mut self.waiting)
    }

    /// So many characters are said.
    pub fn say(&mut self, characters: usize) {
        self.said += characters;
    }

    /// Characters so far.
    pub fn said(&self) -> usize {
        self.said
    }

    fn here(&self, is: Value) -> Value {
        Hosted::item(Protocol::Responses, is, self.thoughts, self.said)
    }
}

/// How much a chat has in each of its fields, beside the `hosted_items`.
#[derive(Debug, Default)]
pub struct Fields<'a> {
    /// `thinking_blocks`.
    pub thoughts: usize,
    pub text: &'a str,
    pub pictures: usize,
    /// The id of each call.
    pub calls: Vec<&'a str>,
}

/// A piece of a response. What has a mark comes with it.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece<'h> {
    /// These of the `thinking_blocks`; at least one.
    Thoughts(Range<usize>),
    /// Here a message begins.
    Message(&'h Value),
    /// These characters of the text; at least one.
    Text(Range<usize>),
    /// The picture of this place among all.
    Picture(usize, Option<&'h Value>),
    /// The call of this place among all.
    Call(usize, Option<&'h Value>),
    /// What was done with a tool.
    Item(&'h Value),
}

/// The pieces of a response, each once. Pictures without a mark stand behind the text, and calls behind them.
pub fn pieces<'h>(items: &'h [Hosted], fields: &Fields<'_>) -> Vec<Piece<'h>> {
    let starts = starts(items);
    let mut calls: HashMap<&str, usize> = fields.calls.iter().enumerate().map(|(i, id)| (*id, i)).collect();
    let mut called = vec![false; fields.calls.len()];
    let mut pictures = 0..fields.pictures;
    let mut pieces = vec![];
    for stretch in course(Protocol::Responses, items, fields.thoughts, fields.text.chars().count()) {
        let is = match stretch {
            Stretch::Thoughts(these) => {
                pieces.push(Piece::Thoughts(these));
                continue;
            }
            Stretch::Text(these) => {
                let said = without_pause(these, &starts, fields.text);
                pieces.extend((!said.is_empty()).then_some(Piece::Text(said)));
                continue;
            }
            Stretch::Item(is) => is,
        };
        pieces.extend(match Marked::of(is) {
            None => Some(Piece::Item(is)),
            Some(Marked::Message) => Some(Piece::Message(is)),
            Some(Marked::Picture) => pictures.next().map(|i| Piece::Picture(i, Some(is))),
            Some(Marked::Call) => is["call_id"].as_str().and_then(|id| calls.remove(id)).map(|i| {
                called[i] = true;
                Piece::Call(i, Some(is))
            }),
        });
    }
    pieces.extend(pictures.map(|i| Piece::Picture(i, None)));
    pieces.extend((0..called.len()).filter(|i| !called[*i]).map(|i| Piece::Call(i, None)));
    pieces
}

/// The characters at which messages begin.
fn starts(items: &[Hosted]) -> HashSet<usize> {
    let messages = items.iter().filter(|item| Marked::of(&item.is) == Some(Marked::Message));
    messages.map(|item| item.at).collect()
}

/// `these` of `text` without the pause before the message that begins at their end.
fn without_pause(these: Range<usize>, starts: &HashSet<usize>, text: &str) -> Range<usize> {
    let end = these.end.saturating_sub(PAUSE.len());
    let pauses = starts.contains(&these.end) && end >= these.start && characters(text, &(end..these.end)) == PAUSE;
    if pauses { these.start..end } else { these }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_has_a_mark_stands_there_and_the_rest_behind_it() {
        let hosted = |is: Value, after, at| Hosted { of: Protocol::Responses, is, after, at };
        let items = [
            hosted(json!({"type": "message", "phase": "commentary"}), 0, 0),
            hosted(json!({"type": "function_call", "call_id": "b"}), 1, 4),
            hosted(json!({"type": "web_search_call"}), 1, 4),
            hosted(json!({"type": "function_call", "call_id": "gone"}), 1, 4),
            hosted(json!({"type": "message"}), 1, 6),
            hosted(json!({"type": "image_generation_call", "id": "ig_1"}), 1, 10),
        ];
        let fields = Fields { thoughts: 1, text: "Ähm.\n\nSo\n\n", pictures: 2, calls: vec!["a", "b"] };
        let expected = [
            Piece::Message(&items[0].is),
            Piece::Text(0..4),
            Piece::Thoughts(0..1),
            Piece::Call(1, Some(&items[1].is)),
            Piece::Item(&items[2].is),
            Piece::Message(&items[4].is),
            Piece::Text(6..10),
            Piece::Picture(0, Some(&items[5].is)),
            Piece::Picture(1, None),
            Piece::Call(0, None),
        ];
        assert_eq!(pieces(&items, &fields), expected);
    }

    #[test]
    fn a_mark_is_what_a_chat_has_not() {
        let call = json!({"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}",
            "status": "completed", "namespace": "crm", "caller": null});
        let more = mark(&call);
        assert_eq!(more, json!({"type": "function_call", "call_id": "c", "namespace": "crm"}));
        assert!(tells_more(&more) && !tells_more(&json!({"type": "function_call", "call_id": "c"})));
    }
}
