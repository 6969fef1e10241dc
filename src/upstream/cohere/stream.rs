//! A stream: `message-start`, blocks and calls piece by piece, `message-end`.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::json;

use super::answer::{self, Block, LogprobItem, WireCall, WireUsage};
use super::citations::Citation;
use crate::api::conversation::{ToolCall, keeps_first_call};
use crate::catalog::Usage;
use crate::upstream::completion::{Chunks, Head};
use crate::upstream::{Asked, Events, NoAnswer, StreamItem, Text, WireEvent};

/// One stream under way.
pub(super) struct Translation {
    chunks: Chunks,
    first_call_only: bool,
    /// Characters of text so far.
    length: usize,
    /// Where the text of each block begins, for citations.
    starts: Vec<usize>,
}

/// An event; what it carries depends on its kind.
#[derive(Debug, Deserialize)]
struct Event {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    index: usize,
    #[serde(default)]
    delta: Delta,
    #[serde(default)]
    logprobs: Option<LogprobItem>,
    /// Of an error in place of an event.
    #[serde(default)]
    message: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Delta {
    message: Message,
    finish_reason: Option<String>,
    usage: Option<WireUsage>,
    error: Option<String>,
}

/// One new thing, in a field that a whole answer has a list in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    content: Option<Block>,
    tool_plan: Option<String>,
    tool_calls: Option<WireCall>,
    citations: Option<Citation>,
}

impl Translation {
    pub(super) fn new(asked: &Asked<'_>) -> Self {
        let chunks = Chunks::new(Head::stamped((asked.stamp)(), asked.model));
        Self { chunks, first_call_only: keeps_first_call(asked.request), length: 0, starts: vec![] }
    }

    fn start(&mut self, id: Option<String>) -> StreamItem {
        self.chunks.head = self.chunks.head.clone().named(id, None);
        self.chunks.role()
    }

    fn block(&mut self, block: Block, out: &mut VecDeque<StreamItem>) {
        if let Some(thought) = block.thinking.filter(|thought| !thought.is_empty()) {
            out.push_back(self.chunks.reasoning(&thought));
        }
        self.text(&block.text.unwrap_or_default(), out);
    }

    fn text(&mut self, text: &str, out: &mut VecDeque<StreamItem>) {
        self.length += text.chars().count();
        out.extend((!text.is_empty()).then(|| self.chunks.content(text)));
    }

    fn message(&mut self, kind: &str, index: usize, message: Message, out: &mut VecDeque<StreamItem>) {
        match kind {
            "content-start" => {
                self.starts.push(self.length);
                self.block(message.content.unwrap_or_default(), out);
            }
            "content-delta" => {
                self.block(message.content.unwrap_or_default(), out);
            }
            "tool-plan-delta" => self.text(&message.tool_plan.unwrap_or_default(), out),
            "tool-call-start" | "tool-call-delta" if self.first_call_only && index > 0 => {}
            "tool-call-start" => {
                let call = message.tool_calls.map(ToolCall::from);
                out.extend(call.map(|call| self.chunks.call(index, &call)));
            }
            "tool-call-delta" => {
                let piece = message.tool_calls.map(WireCall::arguments);
                out.extend(piece.map(|piece| self.chunks.arguments(index, &piece)));
            }
            "citation-start" => {
                let citation = message.citations.unwrap_or_default();
                out.extend(self.chunks.listed("annotations", citation.annotations(&self.starts, self.length)));
            }
            // The ends of blocks, calls and citations, and what is yet to come.
            _ => {}
        }
    }

    fn stop(&self, delta: Delta, out: &mut VecDeque<StreamItem>) -> Result<(), NoAnswer> {
        out.push_back(self.chunks.finish(answer::finish(delta.finish_reason.as_deref(), delta.error.as_deref())?));
        out.extend(delta.usage.map(|usage| self.chunks.usage(Usage::from(usage))));
        out.push_back(StreamItem::Done);
        Ok(())
    }

    fn logprobs(&self, item: LogprobItem) -> StreamItem {
        let logprobs = answer::logprobs(vec![item]);
        let choice = json!({"index": 0, "delta": {}, "logprobs": logprobs, "finish_reason": null});
        self.chunks.chunk(choice, Text::default())
    }
}

impl Events for Translation {
    fn event(&mut self, event: WireEvent, out: &mut VecDeque<StreamItem>) -> Result<(), NoAnswer> {
        if &event.data[..] == b"[DONE]" {
            return Ok(());
        }
        let data = event.data;
        let event: Event = serde_json::from_slice(&data).map_err(|e| format!("not an event of Cohere's: {e}"))?;
        match &*event.kind {
            "message-start" => out.push_back(self.start(event.id)),
            "message-end" => self.stop(event.delta, out)?,
            "" if event.message.is_some() => return Err(NoAnswer::Told(data)),
            "" => return Err("an event without a `type`".into()),
            kind => self.message(kind, event.index, event.delta.message, out),
        }
        out.extend(event.logprobs.map(|item| self.logprobs(item)));
        Ok(())
    }
}
