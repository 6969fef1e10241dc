//! Anthropic's content blocks, which follow each other: one is open at a time. Calls of a chat may come piece by piece in
//! any order; what belongs to a later one waits for those before it to end.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::api::sse;

/// So much waits at most, bytes; beyond that the open block ends where it is.
const MAX_WAITING: usize = 4 << 20;

/// What a block is, as far as more of it is told by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Thinking,
    /// Which of the answer's calls.
    Call(usize),
    /// Nothing is added to it.
    Whole,
}

/// The blocks of one answer.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// Begun so far; the last of them may be open.
    begun: usize,
    open: Option<Kind>,
    /// How far the arguments of the open call are.
    arguments: Braces,
    waiting: VecDeque<Block>,
    /// Of all deltas that wait, bytes.
    waits: usize,
}

#[derive(Debug)]
struct Block {
    kind: Kind,
    start: Value,
    deltas: Vec<Value>,
}

impl Blocks {
    /// A piece of the block `kind`: of the one that is open or waits, else of a new one, which begins as `start` has it.
    pub(super) fn piece(&mut self, kind: Kind, start: impl FnOnce() -> Value, delta: Option<Value>, out: &mut Vec<u8>) {
        if self.is_open(kind) {
            delta.into_iter().for_each(|delta| self.delta(&delta, out));
        } else {
            self.wait(kind, start, delta);
        }
        self.advance(out);
    }

    /// A block that comes at once, and whole.
    pub(super) fn whole(&mut self, start: Value, out: &mut Vec<u8>) {
        self.wait(Kind::Whole, || start, None);
        self.advance(out);
    }

    /// Nothing is added any more to the block `kind`.
    pub(super) fn end(&mut self, kind: Kind, out: &mut Vec<u8>) {
        if self.is_open(kind) {
            self.open = Some(Kind::Whole);
        }
        self.waiting.iter_mut().filter(|block| block.kind == kind).for_each(|block| block.kind = Kind::Whole);
        self.advance(out);
    }

    pub(super) fn is_open(&self, kind: Kind) -> bool {
        kind != Kind::Whole && self.open == Some(kind)
    }

    /// Whether the block is open or waits.
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.is_open(kind) || self.waiting.iter().any(|block| block.kind == kind)
    }

    /// Ends the open block and all that wait.
    pub(super) fn end_all(&mut self, out: &mut Vec<u8>) {
        self.close(out);
        while let Some(block) = self.waiting.pop_front() {
            self.begin(block, out);
            self.close(out);
        }
        self.waits = 0;
    }

    fn wait(&mut self, kind: Kind, start: impl FnOnce() -> Value, delta: Option<Value>) {
        self.waits += delta.as_ref().map_or(0, size);
        match self.waiting.iter_mut().rfind(|block| block.kind == kind && kind != Kind::Whole) {
            Some(block) => block.deltas.extend(delta),
            None => self.waiting.push_back(Block { kind, start: start(), deltas: delta.into_iter().collect() }),
        }
    }

    /// Begins what waits as far as what is before it has ended.
    fn advance(&mut self, out: &mut Vec<u8>) {
        while !self.waiting.is_empty() && (self.has_ended() || self.waits > MAX_WAITING) {
            self.close(out);
            if let Some(block) = self.waiting.pop_front() {
                self.waits -= block.deltas.iter().map(size).sum::<usize>();
                self.begin(block, out);
            }
        }
        if self.open == Some(Kind::Whole) {
            self.close(out);
        }
    }

    /// A call ends with its arguments, anything else where something else begins.
    fn has_ended(&self) -> bool {
        !matches!(self.open, Some(Kind::Call(_))) || self.arguments.closed
    }

    fn begin(&mut self, block: Block, out: &mut Vec<u8>) {
        put(out, json!({"type": "content_block_start", "index": self.begun, "content_block": block.start}));
        self.begun += 1;
        (self.open, self.arguments) = (Some(block.kind), Braces::default());
        block.deltas.iter().for_each(|delta| self.delta(delta, out));
    }

    fn delta(&mut self, delta: &Value, out: &mut Vec<u8>) {
        self.arguments.read(delta["partial_json"].as_str().unwrap_or_default());
        put(out, json!({"type": "content_block_delta", "index": self.begun.saturating_sub(1), "delta": delta}));
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            put(out, json!({"type": "content_block_stop", "index": self.begun.saturating_sub(1)}));
        }
    }
}

/// What a delta takes, about, bytes.
fn size(delta: &Value) -> usize {
    let texts = delta.as_object().into_iter().flat_map(|fields| fields.values());
    64 + texts.filter_map(Value::as_str).map(str::len).sum::<usize>()
}

/// Reads a JSON object piece by piece, to know where it ends.
#[derive(Debug, Default)]
struct Braces {
    depth: usize,
    in_string: bool,
    escaped: bool,
    closed: bool,
}

impl Braces {
    fn read(&mut self, piece: &str) {
        piece.bytes().for_each(|byte| self.byte(byte));
    }

    fn byte(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.in_string => self.escaped = true,
            b'"' => self.in_string = !self.in_string,
            _ if self.in_string => {}
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.closed |= self.depth == 0;
            }
            _ => {}
        }
    }
}

/// Anthropic's events repeat their type as the event's name.
pub(super) fn put(out: &mut Vec<u8>, event: Value) {
    let name = event["type"].as_str();
    out.extend_from_slice(&sse::event(name, event.to_string().as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_ends_with_its_last_brace_however_it_is_cut() {
        for (text, closed) in [
            ("{}", true),
            (r#" {"a":{"b":[1,{}]}} "#, true),
            (r#"{"a":"}"#, false),
            (r#"{"a":"\"}"#, false),
            (r#"{"a":"\\"}"#, true),
            (r#"{"a":{}"#, false),
            ("", false),
        ] {
            let (mut whole, mut cut) = (Braces::default(), Braces::default());
            whole.read(text);
            text.split("").for_each(|piece| cut.read(piece));
            assert_eq!((whole.closed, cut.closed), (closed, closed), "{text}");
        }
    }

    #[test]
    fn what_waits_is_bounded() {
        let (mut blocks, mut out) = (Blocks::default(), vec![]);
        blocks.piece(Kind::Call(0), || json!({}), Some(json!({"partial_json": "{"})), &mut out);
        let piece = "x".repeat(MAX_WAITING / 4);
        for _ in 0..4 {
            assert!(blocks.is_open(Kind::Call(0)));
            blocks.piece(Kind::Call(1), || json!({}), Some(json!({"partial_json": piece})), &mut out);
        }
        assert!(blocks.is_open(Kind::Call(1)) && blocks.waits == 0);
    }
}
