//! OpenAI's chunks → Anthropic's events.

use bytes::Bytes;
use serde_json::{Value, json};

use super::reply::{error, message_id, stop_reason, usage};
use crate::api::answer::{Answer, Call, Message, Usage};
use crate::api::sse;

/// The translation of one stream. Blocks follow each other: one is open at a time.
#[derive(Debug, Default)]
pub struct Stream {
    begun: bool,
    /// Blocks begun so far, and what the last of them is, if it is still open.
    blocks: usize,
    open: Option<Open>,
    refused: bool,
    finish: Option<String>,
    usage: Usage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    /// Which of the answer's calls.
    Call(usize),
}

impl Stream {
    /// One chunk → the events that it makes, framed. What is no chunk makes none.
    pub fn chunk(&mut self, data: &[u8]) -> Vec<u8> {
        let mut out = vec![];
        let Ok(mut answer) = Answer::read(data) else { return out };
        self.begin(&answer, &mut out);
        self.usage = answer.usage.unwrap_or(self.usage);
        let choice = answer.first();
        self.message(choice.message, &mut out);
        self.finish = choice.finish_reason.or(self.finish.take());
        out
    }

    /// The stream ended as it should.
    pub fn end(&mut self) -> Vec<u8> {
        let mut out = vec![];
        self.close(&mut out);
        let delta = json!({"stop_reason": stop_reason(self.finish.as_deref(), self.refused), "stop_sequence": null});
        put(&mut out, json!({"type": "message_delta", "delta": delta, "usage": usage(self.usage)}));
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

    fn message(&mut self, message: Message, out: &mut Vec<u8>) {
        if !message.reasoning_content.is_empty() {
            self.switch(Open::Thinking, || json!({"type": "thinking", "thinking": "", "signature": ""}), out);
            self.delta(json!({"type": "thinking_delta", "thinking": message.reasoning_content}), out);
        }
        message.thinking_blocks.iter().for_each(|block| self.thought(block, out));
        let refusal = message.refusal.unwrap_or_default();
        self.refused |= !refusal.is_empty();
        for text in [message.content, refusal].into_iter().filter(|text| !text.is_empty()) {
            self.switch(Open::Text, || json!({"type": "text", "text": ""}), out);
            self.delta(json!({"type": "text_delta", "text": text}), out);
        }
        message.tool_calls.into_iter().enumerate().for_each(|(i, call)| self.call(i, call, out));
    }

    /// A whole thought: its text went out before, so what is left of it is its signature; a redacted one is a block of
    /// its own.
    fn thought(&mut self, block: &Value, out: &mut Vec<u8>) {
        if block["type"] == "redacted_thinking" {
            self.close(out);
            self.start(block.clone(), out);
            self.stop(out);
            return;
        }
        if self.open != Some(Open::Thinking) {
            self.switch(Open::Thinking, || json!({"type": "thinking", "thinking": "", "signature": ""}), out);
            self.delta(json!({"type": "thinking_delta", "thinking": block["thinking"]}), out);
        }
        self.delta(json!({"type": "signature_delta", "signature": block["signature"]}), out);
        self.close(out);
    }

    fn call(&mut self, i: usize, call: Call, out: &mut Vec<u8>) {
        let start = || {
            json!({
                "type": "tool_use",
                "id": call.id.as_deref().unwrap_or_default(),
                "name": call.function.name.as_deref().unwrap_or_default(),
                "input": {},
            })
        };
        self.switch(Open::Call(call.index.unwrap_or(i)), start, out);
        if !call.function.arguments.is_empty() {
            self.delta(json!({"type": "input_json_delta", "partial_json": call.function.arguments}), out);
        }
    }

    /// Makes `open` the open block: the one that is, or a new one.
    fn switch(&mut self, open: Open, start: impl FnOnce() -> Value, out: &mut Vec<u8>) {
        if self.open != Some(open) {
            self.close(out);
            self.start(start(), out);
            self.open = Some(open);
        }
    }

    fn start(&mut self, block: Value, out: &mut Vec<u8>) {
        put(out, json!({"type": "content_block_start", "index": self.blocks, "content_block": block}));
        self.blocks += 1;
    }

    fn delta(&self, delta: Value, out: &mut Vec<u8>) {
        put(out, json!({"type": "content_block_delta", "index": self.blocks.saturating_sub(1), "delta": delta}));
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            self.stop(out);
        }
    }

    fn stop(&self, out: &mut Vec<u8>) {
        put(out, json!({"type": "content_block_stop", "index": self.blocks.saturating_sub(1)}));
    }
}

/// Anthropic's events repeat their type as the event's name.
fn put(out: &mut Vec<u8>, event: Value) {
    let name = event["type"].as_str();
    out.extend_from_slice(&sse::event(name, event.to_string().as_bytes()));
}
