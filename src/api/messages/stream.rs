//! OpenAI's chunks → Anthropic's events.

use bytes::Bytes;
use serde_json::{Value, json};

use super::blocks::{Blocks, Kind, put};
use super::reply::{End, error, message_id, tool_use, usage};
use super::sources;
use crate::api::answer::{Answer, Call, Message};
use crate::api::conversation::{Hosted, Protocol};
use crate::api::naming::{Naming, Told, stray};
use crate::api::sse;
use crate::api::usage::WireUsage;

/// The translation of one stream.
#[derive(Debug, Default)]
pub struct Stream {
    begun: bool,
    blocks: Blocks,
    naming: Naming,
    end: End,
    usage: WireUsage,
}

impl Stream {
    /// One chunk → the events that it makes, framed; there may be none.
    ///
    /// # Errors
    /// It is no chunk, or goes on with a call that has ended: the stream cannot be told any further.
    pub fn chunk(&mut self, data: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
        let mut out = vec![];
        let mut answer = Answer::chunk(data)?;
        self.begin(&answer, &mut out);
        self.usage = answer.usage.unwrap_or(self.usage);
        let choice = answer.first();
        self.end.hear(&choice);
        self.message(choice.message, &mut out)?;
        if choice.finish_reason.is_some() {
            self.end_blocks(&mut out);
        }
        Ok(out)
    }

    /// The stream ended as it should.
    pub fn end(&mut self) -> Vec<u8> {
        let mut out = vec![];
        self.end_blocks(&mut out);
        let delta = json!({"stop_reason": self.end.stop_reason(), "stop_sequence": self.end.sequence});
        let mut last = json!({"type": "message_delta", "delta": delta, "usage": usage(self.usage)});
        for (name, own) in self.end.own() {
            let place = if name == "container" { &mut last["delta"] } else { &mut last };
            place[name] = own.clone();
        }
        put(&mut out, last);
        put(&mut out, json!({"type": "message_stop"}));
        out
    }

    /// The stream was cut: an error is its last event.
    pub fn cut(&mut self, status: u16, message: &str) -> Bytes {
        sse::event(Some("error"), &error(status, message))
    }

    fn begin(&mut self, answer: &Answer, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let message = json!({
            "id": message_id(&answer.id),
            "type": "message",
            "role": "assistant",
            "model": answer.model,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": usage(answer.usage.unwrap_or_default()),
        });
        put(out, json!({"type": "message_start", "message": message}));
    }

    fn end_blocks(&mut self, out: &mut Vec<u8>) {
        if let Some((index, call)) = self.naming.end() {
            self.begin_call(index, call, out);
        }
        self.blocks.end_all(out);
    }

    fn message(&mut self, message: Message, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        if !message.thoughts().is_empty() {
            self.think(&message.thoughts().into(), out);
        }
        message.thinking_blocks.iter().for_each(|block| self.thought(block, out));
        let did = Hosted::items(Protocol::Messages, &message.hosted_items);
        did.for_each(|item| self.blocks.whole(item.is, out));
        let refusal = message.refusal.unwrap_or_default();
        for text in [message.content, refusal].into_iter().filter(|text| !text.is_empty()) {
            let delta = json!({"type": "text_delta", "text": text});
            self.blocks.piece(Kind::Text, empty_text, Some(delta), out);
        }
        self.cite(&[message.annotations, message.citations].concat(), out);
        message.tool_calls.into_iter().enumerate().try_for_each(|(i, piece)| self.call(i, piece, out))
    }

    /// The sources of the text so far, which ends with them.
    fn cite(&mut self, sources: &[Value], out: &mut Vec<u8>) {
        for citation in sources.iter().filter_map(sources::citation) {
            let delta = json!({"type": "citations_delta", "citation": citation});
            self.blocks.piece(Kind::Text, empty_text, Some(delta), out);
        }
        if !sources.is_empty() {
            self.blocks.end(Kind::Text, out);
        }
    }

    fn think(&mut self, text: &Value, out: &mut Vec<u8>) {
        let start = || json!({"type": "thinking", "thinking": "", "signature": ""});
        let delta = json!({"type": "thinking_delta", "thinking": text});
        self.blocks.piece(Kind::Thinking, start, Some(delta), out);
    }

    /// A whole thought: its text went out before, so what is left of it is its signature; a redacted one is a block of
    /// its own.
    fn thought(&mut self, block: &Value, out: &mut Vec<u8>) {
        if block["type"] == "redacted_thinking" {
            return self.blocks.whole(block.clone(), out);
        }
        if !self.blocks.has(Kind::Thinking) {
            self.think(&block["thinking"], out);
        }
        let signature = json!({"type": "signature_delta", "signature": block["signature"]});
        self.blocks.piece(Kind::Thinking, || Value::Null, Some(signature), out);
        self.blocks.end(Kind::Thinking, out);
    }

    fn call(&mut self, place: usize, piece: Call, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        for told in self.naming.hear(place, piece)? {
            match told {
                Told::Begins(index, call) => self.begin_call(index, call, out),
                Told::Given(index, more) => self.give(index, more, out)?,
            }
        }
        Ok(())
    }

    fn begin_call(&mut self, index: usize, call: Call, out: &mut Vec<u8>) {
        self.blocks.piece(Kind::Call(index), || tool_use(&call), None, out);
    }

    fn give(&mut self, index: usize, more: String, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        let kind = Kind::Call(index);
        if !self.blocks.has(kind) {
            return stray(&more);
        }
        let delta = json!({"type": "input_json_delta", "partial_json": more});
        self.blocks.piece(kind, || Value::Null, Some(delta), out);
        Ok(())
    }
}

fn empty_text() -> Value {
    json!({"type": "text", "text": ""})
}
