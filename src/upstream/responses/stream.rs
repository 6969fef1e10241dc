//! A stream: items begin, grow piece by piece, and are done.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Called, Item, Response};
use crate::api::conversation::{Marks, PAUSE, Protocol};
use crate::upstream::blocks::WEB;
use crate::upstream::completion::{Chunks, Head};
use crate::upstream::{Asked, Events, NoAnswer, StreamItem, Text, WireEvent};

/// One stream under way.
///
/// Nothing is said before the model says something: until then another model may still answer in its place.
pub(super) struct Translation {
    chunks: Chunks,
    /// Who can read the thoughts.
    thinker: String,
    begun: bool,
    calls: Vec<Call>,
    /// The part whose text came last, and where it begins in the content, characters.
    part: Option<Place>,
    from: usize,
    /// The message that was last announced, by its item's index, with its mark.
    announced: Option<(usize, Value)>,
    marks: Marks,
    /// The text of a thought that came last.
    thought: Option<(Place, Shown)>,
}

/// A call that has begun; its place in the list is its index.
struct Call {
    /// Of the item.
    output_index: usize,
    /// Of a custom tool.
    custom: bool,
    /// Arguments came.
    argued: bool,
}

/// A part of an item.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
struct Place {
    #[serde(default)]
    output_index: usize,
    #[serde(default, alias = "summary_index")]
    content_index: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Summary,
    Thought,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Event {
    #[serde(rename = "response.created")]
    Created { response: Response },
    #[serde(rename = "response.output_item.added")]
    Added { output_index: usize, item: Value },
    #[serde(rename = "response.output_item.done")]
    Done { output_index: usize, item: Value },
    #[serde(rename = "response.output_text.delta")]
    Text {
        #[serde(flatten)]
        place: Place,
        delta: String,
        #[serde(default)]
        logprobs: Option<Vec<Value>>,
    },
    #[serde(rename = "response.output_text.annotation.added")]
    Annotation { annotation: Value },
    #[serde(rename = "response.refusal.delta")]
    Refusal { delta: String },
    #[serde(rename = "response.reasoning_summary_text.delta")]
    Summary {
        #[serde(flatten)]
        place: Place,
        delta: String,
    },
    #[serde(rename = "response.reasoning_text.delta")]
    Thought {
        #[serde(flatten)]
        place: Place,
        delta: String,
    },
    #[serde(rename = "response.function_call_arguments.delta", alias = "response.custom_tool_call_input.delta")]
    Arguments { output_index: usize, delta: String },
    #[serde(rename = "response.function_call_arguments.done", alias = "response.custom_tool_call_input.done")]
    Argued {
        output_index: usize,
        #[serde(alias = "input")]
        arguments: String,
    },
    #[serde(rename = "response.completed", alias = "response.incomplete", alias = "response.failed")]
    Ended { response: Response },
    #[serde(rename = "error")]
    Error {
        #[serde(default)]
        error: Value,
        #[serde(default)]
        code: Value,
        #[serde(default)]
        message: Value,
    },
    /// Pieces' ends, what the provider's own tools do, and what is new.
    #[serde(other)]
    Other,
}

impl Translation {
    pub(super) fn new(asked: &Asked<'_>, thinker: String) -> Self {
        Self {
            chunks: Chunks::new(Head::stamped((asked.stamp)(), asked.model)),
            thinker,
            begun: false,
            calls: vec![],
            part: None,
            from: 0,
            announced: None,
            marks: Marks::new(Protocol::Responses),
            thought: None,
        }
    }

    /// A piece of the answer; before the first one, who speaks.
    fn put(&mut self, item: StreamItem, out: &mut VecDeque<StreamItem>) {
        if !std::mem::replace(&mut self.begun, true) {
            out.push_back(self.chunks.role());
        }
        out.push_back(item);
    }

    fn text(&mut self, place: Place, piece: String, tokens: Vec<Value>, out: &mut VecDeque<StreamItem>) {
        if piece.is_empty() && tokens.is_empty() {
            return;
        }
        if self.part.is_none_or(|part| part.output_index != place.output_index) {
            self.begin(place.output_index, out);
        }
        if self.part != Some(place) {
            (self.part, self.from) = (Some(place), self.marks.said());
        }
        self.marks.say(piece.chars().count());
        if !tokens.is_empty() {
            let logprobs = answer::logprobs(tokens);
            let choice = json!({"index": 0, "delta": {"content": piece}, "logprobs": logprobs, "finish_reason": null});
            let text = Text { content: piece, ..Text::default() };
            self.put(self.chunks.chunk(choice, text), out);
        } else {
            self.put(self.chunks.content(&piece), out);
        }
    }

    /// The message at this index begins.
    fn begin(&mut self, output_index: usize, out: &mut VecDeque<StreamItem>) {
        let announced = self.announced.take().filter(|(index, _)| *index == output_index);
        let mark = announced.map_or_else(|| json!({"type": "message"}), |(_, mark)| mark);
        let (pause, told) = self.marks.message(mark);
        if let Some(mut delta) = self.chunks.grown(0, "hosted_items", told) {
            delta["content"] = pause.into();
            let text = Text { content: pause.into(), ..Text::default() };
            self.put(self.chunks.delta(0, delta, text), out);
        }
    }

    fn annotate(&mut self, annotation: Value, out: &mut VecDeque<StreamItem>) {
        if let Some(source) = answer::annotation(annotation, self.from) {
            let name = if source["type"] == WEB { "annotations" } else { "citations" };
            self.list(name, vec![source], out);
        }
    }

    fn refuse(&mut self, piece: &str, out: &mut VecDeque<StreamItem>) {
        let text = Text { refusal: true, ..Text::default() };
        self.put(self.chunks.delta(0, json!({"refusal": piece}), text), out);
    }

    fn think(&mut self, place: (Place, Shown), piece: &str, out: &mut VecDeque<StreamItem>) {
        if piece.is_empty() {
            return;
        }
        let goes_on = self.thought.replace(place).is_none_or(|before| before == place);
        match goes_on {
            true => self.put(self.chunks.reasoning(piece), out),
            false => self.put(self.chunks.reasoning(&format!("{PAUSE}{piece}")), out),
        }
    }

    fn call(
        &mut self,
        output_index: usize,
        (call, mark): (Called, Value),
        custom: bool,
        out: &mut VecDeque<StreamItem>,
    ) {
        let told = self.marks.call(mark);
        self.list("hosted_items", told, out);
        let (index, argued) = (self.calls.len(), !call.arguments.is_empty());
        self.calls.push(Call { output_index, custom, argued });
        self.put(self.chunks.call(index, &call.of(custom)), out);
    }

    fn argue(&mut self, output_index: usize, piece: &str, out: &mut VecDeque<StreamItem>) {
        let Some(index) = self.called(output_index) else { return };
        if !piece.is_empty() {
            self.calls[index].argued = true;
            let custom = self.calls[index].custom;
            let piece = if custom { self.chunks.input(index, piece) } else { self.chunks.arguments(index, piece) };
            self.put(piece, out);
        }
    }

    /// The whole arguments, which say something new only where no pieces of them came.
    fn argued(&mut self, output_index: usize, arguments: &str, out: &mut VecDeque<StreamItem>) {
        if self.called(output_index).is_some_and(|index| !self.calls[index].argued) {
            self.argue(output_index, arguments, out);
        }
    }

    fn called(&self, output_index: usize) -> Option<usize> {
        self.calls.iter().position(|call| call.output_index == output_index)
    }

    fn list(&mut self, name: &'static str, entries: Vec<Value>, out: &mut VecDeque<StreamItem>) {
        if let Some(item) = self.chunks.listed(name, entries) {
            self.put(item, out);
        }
    }

    /// An item begins.
    fn added(&mut self, output_index: usize, (item, mark): (Item, Value), out: &mut VecDeque<StreamItem>) {
        match item {
            Item::FunctionCall(call) => self.call(output_index, (call, mark), false, out),
            Item::CustomToolCall(call) => self.call(output_index, (call, mark), true, out),
            Item::Message { .. } => self.announced = Some((output_index, mark)),
            _ => {}
        }
    }

    fn done(&mut self, output_index: usize, (item, mark): (Item, Value), out: &mut VecDeque<StreamItem>) {
        let begun = self.called(output_index).is_some();
        match item {
            Item::FunctionCall(call) | Item::CustomToolCall(call) if begun => {
                self.argued(output_index, &call.arguments, out);
            }
            Item::FunctionCall(call) => self.call(output_index, (call, mark), false, out),
            Item::CustomToolCall(call) => self.call(output_index, (call, mark), true, out),
            Item::Reasoning(thought) => {
                if let Some(block) = thought.block(&self.thinker) {
                    let told = self.marks.think(1);
                    self.list("hosted_items", told, out);
                    self.list("thinking_blocks", vec![block], out);
                }
            }
            Item::ImageGenerationCall { result: Some(data), output_format } => {
                let told = self.marks.tell(mark);
                self.list("hosted_items", told, out);
                self.list("images", vec![answer::picture(&data, output_format.as_deref())], out);
            }
            Item::Hosted(item) => {
                let told = self.marks.tell(item);
                self.list("hosted_items", told, out);
            }
            Item::ImageGenerationCall { .. } | Item::Message { .. } | Item::Other => {}
        }
    }

    fn end(&mut self, response: &Response, out: &mut VecDeque<StreamItem>) -> Result<(), NoAnswer> {
        response.check()?;
        self.put(self.chunks.finish(response.finish(!self.calls.is_empty())), out);
        out.extend(response.usage().map(|usage| self.chunks.usage(usage)));
        out.push_back(StreamItem::Done);
        Ok(())
    }
}

impl Events for Translation {
    fn event(&mut self, event: WireEvent, out: &mut VecDeque<StreamItem>) -> Result<(), NoAnswer> {
        if &event.data[..] == b"[DONE]" {
            return Ok(());
        }
        match serde_json::from_slice(&event.data).map_err(|e| no_event(&event.data, &e))? {
            Event::Created { response } => self.chunks.head = response.head(self.chunks.head.clone()),
            Event::Added { output_index, item } => self.added(output_index, Item::read(item)?, out),
            Event::Other => {}
            Event::Done { output_index, item } => self.done(output_index, Item::read(item)?, out),
            Event::Text { place, delta, logprobs } => self.text(place, delta, logprobs.unwrap_or_default(), out),
            Event::Annotation { annotation } => self.annotate(annotation, out),
            Event::Refusal { delta } => self.refuse(&delta, out),
            Event::Summary { place, delta } => self.think((place, Shown::Summary), &delta, out),
            Event::Thought { place, delta } => self.think((place, Shown::Thought), &delta, out),
            Event::Arguments { output_index, delta } => self.argue(output_index, &delta, out),
            Event::Argued { output_index, arguments } => self.argued(output_index, &arguments, out),
            Event::Ended { response } => self.end(&response, out)?,
            Event::Error { error, code, message } => return Err(failure(error, &code, &message)),
        }
        Ok(())
    }
}

/// An error's fields stand in an object, or, as the documentation has it, in the event itself.
fn failure(error: Value, code: &Value, message: &Value) -> NoAnswer {
    let error = if error.is_object() { error } else { json!({"code": code, "message": message}) };
    NoAnswer::inside(&error)
}

fn no_event(data: &[u8], error: &serde_json::Error) -> NoAnswer {
    let read: Value = serde_json::from_slice(data).unwrap_or_default();
    match read["error"].is_object() {
        true => NoAnswer::told(data),
        false => format!("no event of a response: {error}").into(),
    }
}
