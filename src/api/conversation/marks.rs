//! A response is a list of items, and a message of Anthropic's one of blocks. A chat has all of its text in one field,
//! its thoughts, pictures and calls in others: where each stood, and what it was besides, is told by its mark, which is
//! the item without what the chat has of it, among the `hosted_items`. Who has another protocol than a mark learns from
//! it where something stood.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use serde_json::{Value, json};

use super::course::{Stretch, characters, course};
use super::hosted::{Hosted, Protocol};

/// What stands in a chat's text between two messages of a response.
pub const PAUSE: &str = "\n\n";

/// An item or a block of which a chat has something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marked {
    Thought,
    Message,
    Picture,
    Call,
}

impl Marked {
    /// `None`: a chat has nothing of it.
    pub fn of(item: &Value) -> Option<Self> {
        match item["type"].as_str()? {
            "reasoning" | "thinking" => Some(Self::Thought),
            "message" => Some(Self::Message),
            "image_generation_call" => Some(Self::Picture),
            "function_call" | "custom_tool_call" | "tool_use" => Some(Self::Call),
            _ => None,
        }
    }
}

/// What a chat has of an item of this type, and what is made anew.
fn held(kind: &str) -> &'static [&'static str] {
    match kind {
        "message" => &["id", "status", "role", "content", "extra_content"],
        "image_generation_call" => &["result", "extra_content"],
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

/// The mark of Anthropic's block of a call.
pub fn tool_mark(id: &str) -> Value {
    json!({"type": "tool_use", "id": id})
}

/// That of a thought tells its place only.
fn thought_mark(of: Protocol) -> Value {
    match of {
        Protocol::Responses => json!({"type": "reasoning"}),
        Protocol::Messages => json!({"type": "thinking"}),
    }
}

/// Whether a mark tells more than a place.
pub fn tells_more(mark: &Value) -> bool {
    let place = ["type", "call_id", "id"];
    mark.as_object().is_some_and(|mark| mark.keys().any(|name| !place.contains(&name.as_str())))
}

/// `item` with what its mark says of it.
pub fn marked(mut item: Value, mark: Option<&Value>) -> Value {
    for (name, value) in mark.and_then(Value::as_object).into_iter().flatten() {
        item[name] = value.clone();
    }
    item
}

/// Which items of an answer that grows a chat is told of beside what it has of them: those that say more, and those
/// that do not stand where a chat's fields have them, thoughts before texts before calls.
#[derive(Debug)]
pub struct Marks {
    of: Protocol,
    /// `thinking_blocks` so far.
    thoughts: usize,
    /// Characters of the text so far.
    said: usize,
    /// Of calls, which are told only if something else comes after them.
    waiting: Vec<Value>,
    /// A message began that was told of: its text stands before thoughts.
    speaks: bool,
    /// A text came before which a thought would be put, if it came now and were not told of.
    spoke: bool,
}

impl Marks {
    /// In the words of this protocol.
    pub fn new(of: Protocol) -> Self {
        Self { of, thoughts: 0, said: 0, waiting: vec![], speaks: false, spoke: false }
    }

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
        let told = if self.spoke { self.tell(thought_mark(self.of)) } else { std::mem::take(&mut self.waiting) };
        self.thoughts += thoughts;
        told
    }

    /// The same for so many characters, where there are no messages to be told of.
    pub fn text(&mut self, characters: usize) -> Vec<Value> {
        self.say(characters);
        if characters > 0 { std::mem::take(&mut self.waiting) } else { vec![] }
    }

    /// So many characters are said.
    pub fn say(&mut self, characters: usize) {
        self.said += characters;
        self.spoke |= characters > 0 && !self.speaks;
    }

    /// Characters so far.
    pub fn said(&self) -> usize {
        self.said
    }

    fn here(&mut self, is: Value) -> Value {
        (self.speaks, self.spoke) = (Marked::of(&is) == Some(Marked::Message), false);
        Hosted::item(self.of, is, self.thoughts, self.said)
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

/// A piece of an answer. What has a mark in the reader's own protocol comes with it.
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

/// The pieces of an answer for who has the protocol `of`, if any, each once: all that `fields` say of, and those of
/// `items` that are in its words. Pictures without a mark stand behind the text, and calls behind them.
pub fn pieces<'h>(of: Option<Protocol>, items: &'h [Hosted], fields: &Fields<'_>) -> Vec<Piece<'h>> {
    let is_own = |item: &Hosted| Some(item.of) == of;
    let places: Vec<&Hosted> = items.iter().filter(|item| is_own(item) || Marked::of(&item.is).is_some()).collect();
    let (starts, mut left) = (starts(&places), Left::of(fields));
    let mut pieces = vec![];
    for stretch in course(places, fields.thoughts, fields.text.chars().count()) {
        match stretch {
            Stretch::Thoughts(these) => pieces.push(Piece::Thoughts(these)),
            Stretch::Text(these) => say(without_pause(these, &starts, fields.text), &mut pieces),
            Stretch::Item(item) => pieces.extend(left.take(&item.is, is_own(item))),
        }
    }
    pieces.extend(left.rest());
    pieces
}

/// A text that follows another is one with it, and the pause between them is part of it.
fn say(these: Range<usize>, pieces: &mut Vec<Piece<'_>>) {
    match pieces.last_mut() {
        _ if these.is_empty() => {}
        Some(Piece::Text(before)) => before.end = these.end,
        _ => pieces.push(Piece::Text(these)),
    }
}

/// Pictures and calls that have no place yet.
struct Left<'a> {
    pictures: Range<usize>,
    calls: HashMap<&'a str, usize>,
    called: Vec<bool>,
}

impl<'a> Left<'a> {
    fn of(fields: &Fields<'a>) -> Self {
        let calls = fields.calls.iter().enumerate().map(|(i, id)| (*id, i)).collect();
        Self { pictures: 0..fields.pictures, calls, called: vec![false; fields.calls.len()] }
    }

    /// What stands where `is` is told of; only its own protocol is told more than that.
    fn take<'h>(&mut self, is: &'h Value, own: bool) -> Option<Piece<'h>> {
        let mark = own.then_some(is);
        match Marked::of(is) {
            None => Some(Piece::Item(is)),
            Some(Marked::Thought) => None,
            Some(Marked::Message) => mark.map(Piece::Message),
            Some(Marked::Picture) => self.pictures.next().map(|i| Piece::Picture(i, mark)),
            Some(Marked::Call) => {
                let i = self.calls.remove(is["call_id"].as_str().or(is["id"].as_str())?)?;
                self.called[i] = true;
                Some(Piece::Call(i, mark))
            }
        }
    }

    fn rest<'h>(self) -> impl Iterator<Item = Piece<'h>> {
        let calls = self.called.into_iter().enumerate().filter(|(_, called)| !called);
        self.pictures.map(|i| Piece::Picture(i, None)).chain(calls.map(|(i, _)| Piece::Call(i, None)))
    }
}

/// The characters at which messages begin.
fn starts(items: &[&Hosted]) -> HashSet<usize> {
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
        assert_eq!(pieces(Some(Protocol::Responses), &items, &fields), expected);

        let places = [
            Piece::Text(0..4),
            Piece::Thoughts(0..1),
            Piece::Call(1, None),
            Piece::Text(6..10),
            Piece::Picture(0, None),
            Piece::Picture(1, None),
            Piece::Call(0, None),
        ];
        assert_eq!(pieces(Some(Protocol::Messages), &items, &fields), places, "others learn where something stood");
        assert_eq!(pieces(None, &items, &fields), places);
    }

    #[test]
    fn only_what_stands_elsewhere_than_in_a_chat_is_told_of() {
        let mut marks = Marks::new(Protocol::Messages);
        let mut told = vec![marks.think(1), marks.text(2), marks.call(tool_mark("a")), marks.call(tool_mark("b"))];
        assert!(told.concat().is_empty(), "thoughts, text and calls");
        told = vec![marks.think(1), marks.text(3), marks.think(2), marks.text(0), marks.call(tool_mark("c"))];
        let place = |is, after, at| Hosted::item(Protocol::Messages, is, after, at);
        let expected =
            [place(tool_mark("a"), 1, 2), place(tool_mark("b"), 1, 2), place(json!({"type": "thinking"}), 2, 5)];
        assert_eq!(told.concat(), expected);
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
