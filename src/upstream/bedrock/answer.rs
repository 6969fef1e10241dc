//! Whole answers and streams of `Converse`.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::api::chat::forgiving;
use crate::api::conversation::ToolCall;
use crate::api::usage::Count;
use crate::catalog::Usage;
use crate::upstream::blocks::{self, Block, Citation, Pieces, WEB};
use crate::upstream::completion::{Completion, Finish, Head};
use crate::upstream::{Asked, Events, NoAnswer, StreamItem, WholeReply, WireEvent};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    output: Output,
    #[serde(default)]
    stop_reason: String,
    #[serde(default, deserialize_with = "forgiving")]
    usage: Option<TokenUsage>,
}

#[derive(Deserialize)]
struct Output {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: Vec<Content>,
}

/// One block: one of these fields is there.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Content {
    text: Option<String>,
    tool_use: Option<ToolUse>,
    reasoning_content: Option<ReasoningContent>,
    citations_content: Option<CitationsContent>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse {
    tool_use_id: String,
    name: String,
    #[serde(default)]
    input: Value,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReasoningContent {
    reasoning_text: Option<ReasoningText>,
    redacted_content: Option<String>,
    /// Of a stream, as is `signature`.
    text: Option<String>,
    signature: Option<String>,
}

#[derive(Deserialize)]
struct ReasoningText {
    text: String,
    #[serde(default)]
    signature: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CitationsContent {
    content: Vec<CitedText>,
    citations: Vec<Value>,
}

#[derive(Deserialize)]
struct CitedText {
    #[serde(default)]
    text: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TokenUsage {
    input_tokens: Count,
    output_tokens: Count,
    cache_read_input_tokens: Count,
    cache_write_input_tokens: Count,
    #[serde(deserialize_with = "forgiving")]
    cache_details: Vec<CacheDetail>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CacheDetail {
    ttl: String,
    input_tokens: u32,
}

impl TokenUsage {
    /// As OpenAI counts: Bedrock's `inputTokens` are only those that its cache had no part in. `None`: not all that is
    /// paid for is known.
    fn usage(&self) -> Option<Usage> {
        let [read, written] =
            [self.cache_read_input_tokens, self.cache_write_input_tokens].map(|count| count.said().unwrap_or(0));
        let of_hour = self.cache_details.iter().filter(|detail| detail.ttl == "1h");
        let hour = of_hour.fold(0_u32, |sum, detail| sum.saturating_add(detail.input_tokens));
        Some(Usage {
            input_tokens: self.input_tokens.said()?.saturating_add(read).saturating_add(written),
            output_tokens: self.output_tokens.said()?,
            cached_input_tokens: read,
            cache_write_tokens: written,
            cache_write_1h_tokens: hour.min(written),
            reasoning_tokens: 0,
        })
    }
}

impl Content {
    fn block(self) -> Option<Block> {
        let reasoning = self.reasoning_content.unwrap_or_default();
        let thought = reasoning.reasoning_text;
        let thought = thought.map(|ReasoningText { text, signature }| Block::Thinking { thinking: text, signature });
        let cited = self.citations_content.map(|cited| Block::Text {
            text: cited.content.into_iter().map(|piece| piece.text).collect(),
            citations: cited.citations.into_iter().map(citation).collect(),
        });
        self.text
            .map(|text| Block::Text { text, citations: vec![] })
            .or_else(|| {
                self.tool_use.map(|call| {
                    let ToolUse { tool_use_id: id, name, input } = call;
                    Block::Call(ToolCall { id, name, arguments: input.to_string(), ..ToolCall::default() })
                })
            })
            .or(thought)
            .or_else(|| reasoning.redacted_content.map(|data| Block::Redacted { data }))
            .or(cited)
    }
}

/// A place in a document stands under Bedrock's own name for it; a page of the web is what OpenAI knows.
fn citation(citation: Value) -> Citation {
    let location = citation["location"].as_object().and_then(|location| location.iter().next());
    let (kind, place) = location.map_or(("citation".to_owned(), &Value::Null), |(kind, place)| (kind.clone(), place));
    let mut fields: Map<String, Value> = place.as_object().cloned().unwrap_or_default();
    for (name, value) in [("title", &citation["title"]), ("source", &citation["source"])] {
        if value.is_string() {
            fields.insert(name.into(), value.clone());
        }
    }
    let cited = citation["sourceContent"].as_array().into_iter().flatten().filter_map(|piece| piece["text"].as_str());
    let cited: String = cited.collect();
    fields.extend((!cited.is_empty()).then(|| ("cited_text".to_owned(), cited.into())));
    Citation { kind: if kind == "web" { WEB.into() } else { kind }, fields }
}

/// `stopReason` in OpenAI's words.
fn finish(stop_reason: &str, is_answer: bool) -> Finish {
    match stop_reason {
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" if !is_answer => Finish::ToolCalls,
        "guardrail_intervened" | "content_filtered" | "refusal" => Finish::ContentFilter,
        // end_turn, stop_sequence, malformed_model_output, malformed_tool_use, and what comes after this was written.
        _ => Finish::Stop,
    }
}

/// A whole answer.
///
/// # Errors
/// Why the bytes are not one.
pub fn reply(asked: &Asked<'_>, body: &[u8]) -> Result<WholeReply, NoAnswer> {
    let reply: Reply = serde_json::from_slice(body).map_err(|e| format!("the answer is none of Converse: {e}"))?;
    let blocks = reply.output.message.content.into_iter().filter_map(Content::block);
    let (mut choice, is_answer) = blocks::choice(asked, blocks);
    choice.finish = Some(finish(&reply.stop_reason, is_answer));
    let usage = reply.usage.and_then(|usage| usage.usage());
    Ok(Completion { head: Head::stamped((asked.stamp)(), asked.model), choices: vec![choice], usage }.into_reply())
}

/// The translation of one stream. It ends with its bytes.
pub struct Stream(Pieces);

#[derive(Deserialize)]
struct BlockStart {
    start: Content,
}

#[derive(Deserialize)]
struct BlockDelta {
    delta: Delta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Delta {
    text: Option<String>,
    tool_use: Option<Input>,
    reasoning_content: Option<ReasoningContent>,
    citation: Option<Value>,
}

#[derive(Deserialize)]
struct Input {
    #[serde(default)]
    input: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageStop {
    stop_reason: String,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default, deserialize_with = "forgiving")]
    usage: Option<TokenUsage>,
}

impl Stream {
    pub fn new(asked: &Asked<'_>) -> Self {
        Self(Pieces::new(asked))
    }

    fn go_on(&mut self, delta: Delta, out: &mut VecDeque<StreamItem>) {
        let pieces = &mut self.0;
        if let Some(text) = delta.text {
            pieces.text(&text, out);
        }
        if let Some(Input { input }) = delta.tool_use {
            pieces.input(&input, out);
        }
        if let Some(given) = delta.citation {
            pieces.cite(citation(given));
        }
        if let Some(reasoning) = delta.reasoning_content {
            self.think(reasoning, out);
        }
    }

    fn think(&mut self, reasoning: ReasoningContent, out: &mut VecDeque<StreamItem>) {
        if let Some(text) = reasoning.text {
            self.0.think(&text, out);
        }
        if let Some(signature) = reasoning.signature {
            self.0.sign(&signature);
        }
        if let Some(data) = reasoning.redacted_content {
            self.0.redacted(&data, out);
        }
    }
}

impl Events for Stream {
    fn event(&mut self, event: WireEvent, out: &mut VecDeque<StreamItem>) -> Result<(), NoAnswer> {
        let data = &event.data;
        match event.name.as_deref() {
            Some("messageStart") => out.push_back(self.0.chunks.role()),
            Some("contentBlockStart") => {
                let BlockStart { start } = read(data)?;
                if let Some(call) = start.tool_use {
                    let call = ToolCall { id: call.tool_use_id, name: call.name, ..ToolCall::default() };
                    self.0.call(&call, json!({}), out);
                }
            }
            Some("contentBlockDelta") => self.go_on(read::<BlockDelta>(data)?.delta, out),
            Some("contentBlockStop") => self.0.end(out),
            Some("messageStop") => {
                let MessageStop { stop_reason } = read(data)?;
                out.push_back(self.0.chunks.finish(finish(&stop_reason, self.0.is_answer())));
            }
            Some("metadata") => {
                let usage = read::<Metadata>(data)?.usage.and_then(|usage| usage.usage());
                out.extend(usage.map(|usage| self.0.chunks.usage(usage)));
            }
            _ => {}
        }
        Ok(())
    }
}

fn read<'d, T: Deserialize<'d>>(data: &'d [u8]) -> Result<T, String> {
    serde_json::from_slice(data).map_err(|e| format!("no event of ConverseStream: {e}"))
}
