//! A stream of messages' events → chunks.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::{self, Own, WireUsage};
use crate::api::chat::forgiving;
use crate::upstream::blocks::Pieces;
use crate::upstream::{Asked, Events, NoAnswer, StreamItem, Text, WireEvent, tell_count};

/// The translation of one stream.
pub struct Stream {
    pieces: Pieces,
    usage: WireUsage,
    /// The usage is still to be told.
    owes_usage: bool,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Start,
    },
    ContentBlockStart {
        content_block: Value,
    },
    ContentBlockDelta {
        delta: Value,
    },
    ContentBlockStop,
    MessageDelta {
        delta: MessageDelta,
        #[serde(default, deserialize_with = "forgiving")]
        usage: Box<WireUsage>,
        #[serde(default)]
        context_management: Value,
    },
    MessageStop,
    Error,
    /// `ping`, and what is new: the wire's versioning rules ask clients to let it pass.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Start {
    id: Option<String>,
    model: Option<String>,
    #[serde(default, deserialize_with = "forgiving")]
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
        #[serde(flatten)]
        more: Map<String, Value>,
    },
    /// What Anthropic's own tools did, and what is new.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: String },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: String },
    #[serde(rename = "signature_delta")]
    Signature { signature: String },
    #[serde(rename = "citations_delta")]
    Citations { citation: Value },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct MessageDelta {
    stop_reason: Option<String>,
    #[serde(default)]
    stop_sequence: Option<String>,
    #[serde(default)]
    stop_details: Value,
    #[serde(default)]
    container: Value,
}

impl Stream {
    pub fn new(asked: &Asked<'_>) -> Self {
        Self { pieces: Pieces::new(asked), usage: WireUsage::default(), owes_usage: false }
    }
}

impl Events for Stream {
    fn event(&mut self, event: WireEvent, out: &mut VecDeque<StreamItem>) -> Result<(), NoAnswer> {
        let read = serde_json::from_slice(&event.data).map_err(|e| format!("no event of a message: {e}"))?;
        match read {
            Event::MessageStart { message } => {
                out.push_back(self.begin(message));
                tell_count(out, self.usage.usage());
            }
            Event::ContentBlockStart { content_block } => self.begin_block(content_block, out)?,
            Event::ContentBlockDelta { delta } => self.go_on(delta, out)?,
            Event::ContentBlockStop => self.pieces.end(out),
            Event::MessageDelta { delta, usage, context_management } => {
                self.usage.update(*usage);
                self.finish(delta, context_management, out);
            }
            Event::MessageStop => {
                self.end(out);
                out.push_back(StreamItem::Done);
            }
            Event::Error => return Err(NoAnswer::Told(event.data)),
            Event::Other => {}
        }
        Ok(())
    }

    fn end(&mut self, out: &mut VecDeque<StreamItem>) {
        if std::mem::take(&mut self.owes_usage) {
            out.extend(self.usage.usage().map(|usage| self.pieces.chunks.usage(usage)));
        }
    }
}

impl Stream {
    fn begin(&mut self, message: Start) -> StreamItem {
        let chunks = &mut self.pieces.chunks;
        chunks.head = chunks.head.clone().named(message.id, message.model);
        self.usage = message.usage;
        self.owes_usage = true;
        let own = Own { usage: self.usage.own(), ..Own::default() };
        chunks.role_with(&answer::ending("", None, own))
    }

    fn begin_block(&mut self, start: Value, out: &mut VecDeque<StreamItem>) -> Result<(), NoAnswer> {
        match BlockStart::deserialize(&start).map_err(|e| format!("no block of a message: {e}"))? {
            BlockStart::Text { text } => self.pieces.text(&text, out),
            BlockStart::Thinking { thinking, signature } => {
                self.pieces.think(&thinking, out);
                self.pieces.sign(&signature);
            }
            BlockStart::RedactedThinking { data } => self.pieces.redacted(&data, out),
            BlockStart::ToolUse { id, name, input, more } => {
                self.pieces.call(&answer::call(id, name, more), input, out);
            }
            BlockStart::Other => self.pieces.hosted(start),
        }
        Ok(())
    }

    fn go_on(&mut self, delta: Value, out: &mut VecDeque<StreamItem>) -> Result<(), NoAnswer> {
        match Delta::deserialize(&delta).map_err(|e| format!("no piece of a message: {e}"))? {
            Delta::Text { text } => self.pieces.text(&text, out),
            Delta::Citations { citation } => self.pieces.cite(answer::citation(citation)),
            Delta::Thinking { thinking } => self.pieces.think(&thinking, out),
            Delta::Signature { signature } => self.pieces.sign(&signature),
            Delta::InputJson { partial_json } => self.pieces.input(&partial_json, out),
            Delta::Other => {
                if let Value::Object(more) = delta {
                    self.pieces.grow(more);
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self, delta: MessageDelta, context_management: Value, out: &mut VecDeque<StreamItem>) {
        let MessageDelta { stop_reason: Some(reason), stop_sequence, stop_details, container } = delta else { return };
        let chunks = &self.pieces.chunks;
        let refusal = answer::refusal(&reason, &stop_details);
        let own = Own { container, context_management, stop_details, usage: self.usage.own() };
        let ending = answer::ending(&reason, stop_sequence, own);
        if let Some(words) = refusal {
            let text = Text { refusal: true, ..Text::default() };
            out.push_back(chunks.delta_with(json!({"refusal": words}), text, &ending));
        }
        let finish = answer::finish(&reason, self.pieces.is_answer());
        out.push_back(chunks.finish_with(finish, &ending));
        tell_count(out, self.usage.usage());
    }
}
