//! OpenAI's chunks → Anthropic's events.

use bytes::Bytes;
use serde_json::{Value, json};

use super::blocks::{Blocks, Kind, put};
use super::reply::{End, error, message_id, tool_use};
use super::sources;
use crate::api::answer::{Answer, Call, Grown, Message};
use crate::api::conversation::{Piece, Protocol, characters, pieces};
use crate::api::naming::{Naming, Told, stray};
use crate::api::sse::{self, Untold};
use crate::api::usage::WireUsage;

/// The translation of one stream.
#[derive(Debug, Default)]
pub struct Stream {
    begun: bool,
    grown: Grown,
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
    pub fn chunk(&mut self, data: &[u8]) -> Result<Vec<u8>, Untold> {
        let mut out = vec![];
        match self.tell(data, &mut out) {
            Ok(()) => Ok(out),
            Err(problem) => Err(Untold { told: out, problem }),
        }
    }

    fn tell(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        let mut answer = Answer::chunk(data)?;
        let choice = answer.first();
        self.end.hear(&choice);
        self.begin(&answer, out);
        self.usage = answer.usage.unwrap_or(self.usage);
        self.message(choice.message, out)?;
        if choice.finish_reason.is_some() {
            self.end_blocks(out);
        }
        Ok(())
    }

    /// The stream ended as it should.
    pub fn end(&mut self) -> Vec<u8> {
        let mut out = vec![];
        self.end_blocks(&mut out);
        let delta = json!({"stop_reason": self.end.stop_reason(), "stop_sequence": self.end.sequence});
        let mut last = json!({"type": "message_delta", "delta": delta, "usage": self.end.usage(self.usage)});
        for (name, own) in self.end.own() {
            let place =
                if ["container", "stop_details"].contains(&name.as_str()) { &mut last["delta"] } else { &mut last };
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
            "usage": self.end.usage(answer.usage.unwrap_or_default()),
        });
        put(out, json!({"type": "message_start", "message": message}));
    }

    fn end_blocks(&mut self, out: &mut Vec<u8>) {
        if let Some((index, call)) = self.naming.end() {
            self.begin_call(index, call, out);
        }
        self.grown.sealed().into_iter().for_each(|block| self.blocks.whole(block, out));
        self.blocks.end_all(out);
    }

    fn message(&mut self, mut message: Message, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        let items = self.grown.items(&message, &message.content);
        if let Some(thoughts) = message.unsigned_thoughts() {
            self.think(&thoughts.into(), out);
        }
        let pieces = pieces(Some(Protocol::Messages), &items, &message.fields(&message.content));
        let last = pieces.iter().rposition(|piece| matches!(piece, Piece::Text(_)));
        if last.is_none() {
            self.pause(&message.content, out);
            self.cite(&message, out);
        }
        let mut calls = std::mem::take(&mut message.tool_calls);
        for (place, piece) in pieces.into_iter().enumerate() {
            match piece {
                Piece::Thoughts(these) => {
                    message.thinking_blocks[these].iter().for_each(|block| self.thought(block, out));
                }
                Piece::Text(these) => self.say(&characters(&message.content, &these), out),
                Piece::Call(i, _) => self.call(i, std::mem::take(&mut calls[i]), out)?,
                Piece::Item(is) => self.blocks.whole(is.clone(), out),
                Piece::Message(_) | Piece::Picture(..) => {}
            }
            if Some(place) == last {
                self.cite(&message, out);
            }
        }
        let refusal = message.refusal.filter(|_| !self.end.says_why());
        self.say(refusal.as_deref().unwrap_or_default(), out);
        Ok(())
    }

    /// Stands between two messages, which are one text where nothing else came between them.
    fn pause(&mut self, pause: &str, out: &mut Vec<u8>) {
        if self.blocks.is_open(Kind::Text) {
            self.say(pause, out);
        }
    }

    fn say(&mut self, text: &str, out: &mut Vec<u8>) {
        if !text.is_empty() {
            let delta = json!({"type": "text_delta", "text": text});
            self.blocks.piece(Kind::Text, empty_text, Some(delta), out);
        }
    }

    /// The sources of the text so far, which ends with them.
    fn cite(&mut self, message: &Message, out: &mut Vec<u8>) {
        let sources = [&message.annotations[..], &message.citations].concat();
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
