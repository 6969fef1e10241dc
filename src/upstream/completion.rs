//! Answers in OpenAI's shape, for the wires that have another: whole ([`Completion`]) and as a stream ([`Chunks`]).

use std::collections::HashMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Stamp, StreamItem, Text, WholeReply};
use crate::api::chat::ChatRequest;
use crate::api::conversation::{Hosted, ToolCall, keeps_first_call};
use crate::catalog::Usage;

/// Why a model stopped, in OpenAI's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    Stop,
    Length,
    ToolCalls,
    ContentFilter,
}

impl Finish {
    /// As it stands in `finish_reason`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
        }
    }
}

/// Who answers, the same in every piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// `chatcmpl-…`, or the provider's own id of the answer.
    pub id: String,
    pub created_s: u64,
    /// The provider's name of the model.
    pub model: String,
}

impl Head {
    /// For a wire whose answers carry no id.
    pub fn stamped(stamp: Stamp, model: &str) -> Self {
        Self { id: format!("chatcmpl-{}", stamp.id.simple()), created_s: stamp.created_s, model: model.to_owned() }
    }

    /// With the provider's id and its own name of the model, where it gave them.
    #[must_use]
    pub fn named(mut self, id: Option<String>, model: Option<String>) -> Self {
        self.id = id.unwrap_or(self.id);
        self.model = model.unwrap_or(self.model);
        self
    }
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    pub head: Head,
    /// One for each of `n`; at least one.
    pub choices: Vec<Choice>,
    pub usage: Option<Usage>,
}

/// One of `n` answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choice {
    pub content: String,
    /// What the model thought, as far as it may be shown: `reasoning_content`.
    pub reasoning: String,
    /// The same with what the provider wants back: `thinking_blocks`, in Anthropic's form.
    pub thinking_blocks: Vec<Value>,
    pub calls: Vec<ToolCall>,
    /// Pictures that the model made: `images`, see [`image_json`].
    pub images: Vec<Value>,
    /// What the provider wants back with the text, see [`signature_json`].
    pub signature: Option<String>,
    pub refusal: Option<String>,
    /// Pages of the web that were cited: `annotations`.
    pub annotations: Vec<Value>,
    /// Places in documents that were cited: `citations`, since OpenAI's annotations have no words for them.
    pub citations: Vec<Value>,
    /// What was done with tools that one protocol alone knows: `hosted_items`, see [`Hosted`](crate::api::conversation::Hosted).
    pub hosted: Vec<Value>,
    /// OpenAI's `logprobs` object.
    pub logprobs: Option<Value>,
    pub finish: Option<Finish>,
    pub ending: Ending,
}

/// What more there is to know of why a model stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ending {
    /// The stop sequence, where the provider says so: `stop_reason`, as vLLM has it.
    pub stop_sequence: Option<String>,
    /// The provider's own word, where OpenAI's says less: `native_finish_reason`, as OpenRouter has it.
    pub native: Option<String>,
    /// What one protocol alone says of the answer, see [`Hosted`].
    pub hosted: Option<Value>,
}

impl Ending {
    fn told(&self, mut choice: Value) -> Value {
        self.hosted.iter().for_each(|hosted| choice["hosted"] = hosted.clone());
        for (name, word) in [("stop_reason", &self.stop_sequence), ("native_finish_reason", &self.native)] {
            word.iter().for_each(|word| choice[name] = word.as_str().into());
        }
        choice
    }
}

impl Completion {
    /// For the client and for the gateway.
    pub fn into_reply(self) -> WholeReply {
        let text = self.choices.first().map(Choice::text).unwrap_or_default();
        let choices: Vec<Value> = self.choices.iter().enumerate().map(|(i, choice)| choice.json(i)).collect();
        let mut body = self.head.json("chat.completion", choices);
        if let Some(usage) = self.usage {
            body.insert("usage".into(), usage_json(&usage));
        }
        WholeReply { body: bytes(&body), usage: self.usage, text }
    }
}

impl Choice {
    /// Its first call only, where a client wants no more, and the wire could not be told so.
    pub fn hold_calls(&mut self, request: &ChatRequest) {
        if keeps_first_call(request) {
            self.calls.truncate(1);
        }
    }

    fn text(&self) -> Text {
        Text {
            content: self.content.clone(),
            finish_reason: self.finish.map(|finish| finish.name().to_owned()),
            refusal: self.refusal.is_some(),
            tool_calls: !self.calls.is_empty(),
            ..Text::default()
        }
    }

    fn json(&self, index: usize) -> Value {
        let mut message = Map::new();
        message.insert("role".into(), "assistant".into());
        let silent = self.content.is_empty() && (!self.calls.is_empty() || self.refusal.is_some());
        message.insert("content".into(), if silent { Value::Null } else { self.content.clone().into() });
        message.insert("refusal".into(), self.refusal.clone().into());
        put_some(&mut message, "reasoning_content", &self.reasoning, self.reasoning.is_empty());
        put_some(&mut message, "thinking_blocks", &self.thinking_blocks, self.thinking_blocks.is_empty());
        put_some(&mut message, "annotations", &self.annotations, self.annotations.is_empty());
        put_some(&mut message, "citations", &self.citations, self.citations.is_empty());
        put_some(&mut message, "hosted_items", &self.hosted, self.hosted.is_empty());
        put_some(&mut message, "images", &self.images, self.images.is_empty());
        let calls: Vec<Value> = self.calls.iter().map(call_json).collect();
        put_some(&mut message, "tool_calls", &calls, calls.is_empty());
        message.extend(self.signature.as_deref().map(|signature| ("extra_content".into(), signature_json(signature))));
        let finish = self.finish.map(Finish::name);
        let choice = json!({"index": index, "message": message, "logprobs": self.logprobs, "finish_reason": finish});
        self.ending.told(choice)
    }
}

/// The pieces of a streamed answer's first and only choice, or of one among `n`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunks {
    pub head: Head,
    /// How long the lists of each choice are by now: see [`Self::grown`].
    lists: HashMap<(usize, &'static str), usize>,
}

impl Chunks {
    pub fn new(head: Head) -> Self {
        Self { head, lists: HashMap::new() }
    }

    /// The delta of choice `index` (0 to n − 1) by which its list `name` has grown; `None`: by nothing. Each entry says
    /// as `index` where in the whole list it stands: OpenAI's SDKs put lists together by it, and fail without.
    pub fn grown(&mut self, index: usize, name: &'static str, mut entries: Vec<Value>) -> Option<Value> {
        let length = self.lists.entry((index, name)).or_default();
        for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
            entry.insert("index".into(), (*length).into());
            *length += 1;
        }
        (!entries.is_empty()).then(|| json!({name: entries}))
    }

    /// The same as a chunk of the first choice.
    pub fn listed(&mut self, name: &'static str, entries: Vec<Value>) -> Option<StreamItem> {
        let delta = self.grown(0, name, entries)?;
        Some(self.delta(0, delta, Text::default()))
    }

    /// The first piece: who speaks.
    pub fn role(&self) -> StreamItem {
        self.role_with(&Ending::default())
    }

    /// The same, with what is known so far of how it ends.
    pub fn role_with(&self, ending: &Ending) -> StreamItem {
        self.delta_with(json!({"role": "assistant", "content": ""}), Text::default(), ending)
    }

    /// More of the answer.
    pub fn content(&self, piece: &str) -> StreamItem {
        let text = Text { content: piece.to_owned(), ..Text::default() };
        self.delta(0, json!({"content": piece}), text)
    }

    /// More of what the model thinks.
    pub fn reasoning(&self, piece: &str) -> StreamItem {
        self.delta(0, json!({"reasoning_content": piece}), Text::default())
    }

    /// A whole thought with what the provider wants back.
    pub fn thinking_block(&mut self, block: Value) -> Option<StreamItem> {
        self.listed("thinking_blocks", vec![block])
    }

    /// A call begins; `index` counts the calls of the answer from 0. Its arguments may come along or follow.
    pub fn call(&self, index: usize, call: &ToolCall) -> StreamItem {
        let mut json = call_json(call);
        json["index"] = index.into();
        self.more_of_call(json)
    }

    /// More of a call's arguments.
    pub fn arguments(&self, index: usize, piece: &str) -> StreamItem {
        self.more_of_call(json!({"index": index, "function": {"arguments": piece}}))
    }

    /// More of a custom tool's input.
    pub fn input(&self, index: usize, piece: &str) -> StreamItem {
        self.more_of_call(json!({"index": index, "custom": {"input": piece}}))
    }

    fn more_of_call(&self, call: Value) -> StreamItem {
        self.delta(0, json!({"tool_calls": [call]}), Text { tool_calls: true, ..Text::default() })
    }

    /// The choice ends.
    pub fn finish(&self, finish: Finish) -> StreamItem {
        self.finish_with(finish, &Ending::default())
    }

    /// The same, with what more there is to know of it.
    pub fn finish_with(&self, finish: Finish, ending: &Ending) -> StreamItem {
        let text = Text { finish_reason: Some(finish.name().to_owned()), ..Text::default() };
        let choice = json!({"index": 0, "delta": {}, "logprobs": null, "finish_reason": finish.name()});
        self.chunk(ending.told(choice), text)
    }

    /// Any other piece, with what is known by now of how it ends.
    pub fn delta_with(&self, delta: Value, text: Text, ending: &Ending) -> StreamItem {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": null});
        self.chunk(ending.told(choice), text)
    }

    /// Any other piece of choice `index` (0 to n − 1); `text` is what the gateway reads of it, for choice 0 only.
    pub fn delta(&self, index: usize, delta: Value, text: Text) -> StreamItem {
        self.chunk(json!({"index": index, "delta": delta, "logprobs": null, "finish_reason": null}), text)
    }

    /// One choice's piece, as it stands in `choices`.
    pub fn chunk(&self, choice: Value, text: Text) -> StreamItem {
        let text = Text { length: length(&choice["delta"]), ..text };
        let body = self.head.json("chat.completion.chunk", vec![choice]);
        StreamItem::Chunk { data: bytes(&body), text, usage: None, usage_only: false }
    }

    /// What it all took: the last chunk.
    pub fn usage(&self, usage: Usage) -> StreamItem {
        let mut body = self.head.json("chat.completion.chunk", vec![]);
        body.insert("usage".into(), usage_json(&usage));
        StreamItem::Chunk { data: bytes(&body), text: Text::default(), usage: Some(usage), usage_only: true }
    }
}

impl Head {
    fn json(&self, object: &str, choices: Vec<Value>) -> Map<String, Value> {
        let fields = [
            ("id", self.id.clone().into()),
            ("object", object.into()),
            ("created", self.created_s.into()),
            ("model", self.model.clone().into()),
            ("choices", choices.into()),
        ];
        fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    }
}

/// Of what a delta adds to what the model wrote, bytes.
fn length(delta: &Value) -> usize {
    let text = |value: &Value| value.as_str().map_or(0, str::len);
    let given = |call: &Value| text(&call["function"]["arguments"]) + text(&call["custom"]["input"]);
    let calls: usize = delta["tool_calls"].as_array().into_iter().flatten().map(given).sum();
    ["content", "refusal", "reasoning_content"].map(|name| text(&delta[name])).iter().sum::<usize>() + calls
}

/// A call as it stands in `tool_calls`, except for a stream's `index`.
pub fn call_json(call: &ToolCall) -> Value {
    let mut json = match call.custom {
        true => json!({"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}),
        false => json!({
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }),
    };
    if let Some(signature) = &call.signature {
        json["extra_content"] = signature_json(signature);
    }
    if let Some(more) = &call.more {
        json["hosted"] = Hosted::more(more.of, more.is.clone());
    }
    json
}

/// A picture, by its data: URL, as it stands in `images`, where OpenRouter and LiteLLM have what a model drew, except for a
/// stream's `index`.
pub fn image_json(url: &str) -> Value {
    json!({"type": "image_url", "image_url": {"url": url}})
}

/// `extra_content` of a call, a picture or a message: where Google's own OpenAI-compatible endpoint puts a thought signature.
pub fn signature_json(signature: &str) -> Value {
    json!({"google": {"thought_signature": signature}})
}

/// OpenAI's `usage` object.
pub fn usage_json(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": u64::from(usage.input_tokens) + u64::from(usage.output_tokens),
        "prompt_tokens_details": prompt_details(usage),
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    })
}

/// `cached_tokens` is OpenAI's; what was written to the cache stands there as OpenRouter names it and as LiteLLM does.
fn prompt_details(usage: &Usage) -> Value {
    let mut details = json!({"cached_tokens": usage.cached_input_tokens});
    if usage.cache_write_tokens > 0 {
        details["cache_write_tokens"] = usage.cache_write_tokens.into();
        details["cache_creation_tokens"] = usage.cache_write_tokens.into();
    }
    details
}

fn put_some(map: &mut Map<String, Value>, name: &str, value: &impl Serialize, empty: bool) {
    if !empty {
        map.insert(name.into(), json!(value));
    }
}

/// JSON values always serialise.
fn bytes(body: &Map<String, Value>) -> Bytes {
    serde_json::to_vec(body).unwrap_or_default().into()
}
