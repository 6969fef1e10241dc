//! A stream of messages' events → chunks.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{StopDetails, WireUsage, annotation, finish, redacted_block, refusal, thinking_block};
use crate::api::conversation::ToolCall;
use crate::upstream::completion::{Chunks, Head};
use crate::upstream::structure::{ANSWER, Structure};
use crate::upstream::{Asked, Events, StreamItem, Text, WireEvent};

/// The translation of one stream. Blocks come one after another, each with its start, its deltas and its stop.
pub struct Stream {
    chunks: Chunks,
    /// The request has a tool whose input is the answer.
    answers_by_tool: bool,
    block: Block,
    /// Calls so far.
    calls: usize,
    /// Characters of the content so far.
    said: usize,
    usage: WireUsage,
    /// The usage is still to be told.
    owes_usage: bool,
    is_answer: bool,
}

/// The block that is coming.
enum Block {
    None,
    Text { from: usize, citations: Vec<Value> },
    Thinking { thinking: String, signature: String },
    Tool { input: Value, began: bool },
    Answer { input: Value, began: bool },
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Start,
    },
    ContentBlockStart {
        content_block: BlockStart,
    },
    ContentBlockDelta {
        delta: Delta,
    },
    ContentBlockStop,
    MessageDelta {
        delta: MessageDelta,
        #[serde(default)]
        usage: WireUsage,
    },
    MessageStop,
    Error {
        error: Value,
    },
    /// `ping`, and what is new: the wire's versioning rules ask clients to let it pass.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Start {
    id: Option<String>,
    model: Option<String>,
    #[serde(default)]
    usage: WireUsage,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum BlockStart {
    Text {
        #[serde(default)]
        text: String,
    },
    Thinking {
        #[serde(default)]
        thinking: String,
        #[serde(default)]
        signature: String,
    },
    RedactedThinking {
        data: String,
    },
    ToolUse {
        id: String,
        name: String,
        #[serde(default)]
        input: Value,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Delta {
    TextDelta {
        text: String,
    },
    InputJsonDelta {
        partial_json: String,
    },
    ThinkingDelta {
        thinking: String,
    },
    SignatureDelta {
        signature: String,
    },
    CitationsDelta {
        citation: Value,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct MessageDelta {
    stop_reason: Option<String>,
    #[serde(default)]
    stop_details: Option<StopDetails>,
}

impl Stream {
    pub fn new(asked: &Asked<'_>) -> Self {
        Self {
            chunks: Chunks { head: Head::stamped(asked.stamp, asked.model) },
            answers_by_tool: Structure::is_answer(asked.request, ANSWER),
            block: Block::None,
            calls: 0,
            said: 0,
            usage: WireUsage::default(),
            owes_usage: false,
            is_answer: false,
        }
    }
}

impl Events for Stream {
    fn event(&mut self, event: WireEvent, out: &mut VecDeque<StreamItem>) -> Result<(), String> {
        let event = serde_json::from_slice(&event.data).map_err(|e| format!("no event of a message: {e}"))?;
        match event {
            Event::MessageStart { message } => out.push_back(self.begin(message)),
            Event::ContentBlockStart { content_block } => self.begin_block(content_block, out),
            Event::ContentBlockDelta { delta } => self.go_on(delta, out),
            Event::ContentBlockStop => self.end_block(out),
            Event::MessageDelta { delta, usage } => self.finish(delta, usage, out),
            Event::MessageStop => {
                self.end(out);
                out.push_back(StreamItem::Done);
            }
            Event::Error { error } => return Err(error_words(&error)),
            Event::Other => {}
        }
        Ok(())
    }

    fn end(&mut self, out: &mut VecDeque<StreamItem>) {
        if std::mem::take(&mut self.owes_usage) {
            out.push_back(self.chunks.usage(self.usage.usage()));
        }
    }
}

impl Stream {
    fn begin(&mut self, message: Start) -> StreamItem {
        self.chunks.head = self.chunks.head.clone().named(message.id, message.model);
        self.usage = message.usage;
        self.owes_usage = true;
        self.chunks.role()
    }

    fn begin_block(&mut self, start: BlockStart, out: &mut VecDeque<StreamItem>) {
        self.block = match start {
            BlockStart::Text { text } => {
                let from = self.said;
                self.say(&text, out);
                Block::Text { from, citations: vec![] }
            }
            BlockStart::Thinking { thinking, signature } => {
                self.think(&thinking, out);
                Block::Thinking { thinking, signature }
            }
            BlockStart::RedactedThinking { data } => {
                out.push_back(self.chunks.thinking_block(&redacted_block(&data)));
                Block::None
            }
            BlockStart::ToolUse { name, input, .. } if self.answers_by_tool && name == ANSWER => {
                self.is_answer = true;
                Block::Answer { input, began: false }
            }
            BlockStart::ToolUse { id, name, input } => {
                let call = ToolCall { id, name, arguments: String::new(), signature: None };
                out.push_back(self.chunks.call(self.calls, &call));
                self.calls += 1;
                Block::Tool { input, began: false }
            }
            BlockStart::Other => Block::None,
        };
    }

    fn go_on(&mut self, delta: Delta, out: &mut VecDeque<StreamItem>) {
        match (delta, &mut self.block) {
            (Delta::TextDelta { text }, _) => self.say(&text, out),
            (Delta::CitationsDelta { citation }, Block::Text { citations, .. }) => citations.push(citation),
            (Delta::ThinkingDelta { thinking: more }, Block::Thinking { thinking, .. }) => {
                thinking.push_str(&more);
                self.think(&more, out);
            }
            (Delta::SignatureDelta { signature: more }, Block::Thinking { signature, .. }) => signature.push_str(&more),
            (Delta::InputJsonDelta { partial_json }, Block::Tool { began, .. }) => {
                *began |= !partial_json.is_empty();
                self.argue(&partial_json, out);
            }
            (Delta::InputJsonDelta { partial_json }, Block::Answer { began, .. }) => {
                *began |= !partial_json.is_empty();
                self.say(&partial_json, out);
            }
            _ => {}
        }
    }

    /// A call whose input did not come in pieces had it all at its start.
    fn end_block(&mut self, out: &mut VecDeque<StreamItem>) {
        match std::mem::replace(&mut self.block, Block::None) {
            Block::Text { from, citations } if !citations.is_empty() => {
                let annotations: Vec<Value> = citations.into_iter().map(|c| annotation(c, from, self.said)).collect();
                out.push_back(self.chunks.delta(0, json!({"annotations": annotations}), Text::default()));
            }
            Block::Thinking { thinking, signature } => {
                out.push_back(self.chunks.thinking_block(&thinking_block(&thinking, &signature)));
            }
            Block::Tool { input, began: false } => self.argue(&whole(&input), out),
            Block::Answer { input, began: false } => self.say(&whole(&input), out),
            _ => {}
        }
    }

    fn finish(&mut self, delta: MessageDelta, usage: WireUsage, out: &mut VecDeque<StreamItem>) {
        self.usage.update(usage);
        let Some(reason) = delta.stop_reason else { return };
        if let Some(words) = refusal(&reason, delta.stop_details) {
            let text = Text { refusal: true, ..Text::default() };
            out.push_back(self.chunks.delta(0, json!({"refusal": words}), text));
        }
        out.push_back(self.chunks.finish(finish(&reason, self.is_answer)));
    }

    fn say(&mut self, piece: &str, out: &mut VecDeque<StreamItem>) {
        if !piece.is_empty() {
            self.said += piece.chars().count();
            out.push_back(self.chunks.content(piece));
        }
    }

    fn think(&self, piece: &str, out: &mut VecDeque<StreamItem>) {
        if !piece.is_empty() {
            out.push_back(self.chunks.reasoning(piece));
        }
    }

    /// More arguments of the newest call.
    fn argue(&self, piece: &str, out: &mut VecDeque<StreamItem>) {
        if !piece.is_empty() {
            out.push_back(self.chunks.arguments(self.calls.saturating_sub(1), piece));
        }
    }
}

fn whole(input: &Value) -> String {
    if input.is_object() { input.to_string() } else { "{}".into() }
}

fn error_words(error: &Value) -> String {
    let word = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
    format!("{}: {}", word("type"), word("message"))
}
