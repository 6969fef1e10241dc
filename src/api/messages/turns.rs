//! Anthropic's messages, block by block → OpenAI's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::conversation::{Hosted, Marks, Protocol, Signatures, is_signed, tool_mark};
use crate::api::error::BadRequest;
use crate::api::fields::with;

#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct Message {
    role: Role,
    content: Content,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Role {
    User,
    Assistant,
    System,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "it must be a string or a list of blocks")]
pub(super) enum Content {
    Text(String),
    Blocks(Vec<Value>),
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        text: String,
    },
    Image {
        source: Source,
    },
    Document {
        source: Source,
        #[serde(default)]
        title: Option<String>,
        #[serde(default)]
        context: Option<String>,
        #[serde(default)]
        citations: Option<Value>,
    },
    SearchResult {
        source: String,
        title: String,
        content: Vec<Found>,
        #[serde(default)]
        citations: Option<Value>,
    },
    ToolUse {
        id: String,
        name: String,
        #[serde(default)]
        input: Value,
    },
    ToolResult {
        tool_use_id: String,
        #[serde(default)]
        content: Option<Content>,
        #[serde(default)]
        is_error: Option<bool>,
    },
    Thinking {},
    RedactedThinking {},
    /// Anthropic's alone: what its own tools did, for one.
    #[serde(other)]
    Other,
}

/// A text of a search result.
#[derive(Deserialize)]
struct Found {
    text: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Source {
    Base64 {
        media_type: String,
        data: String,
    },
    Url {
        url: String,
    },
    Text {
        data: String,
    },
    File {
        file_id: String,
    },
    /// Anthropic's alone.
    #[serde(other)]
    Other,
}

/// The same messages as a chat has them, the system's first.
///
/// # Errors
/// Names the block that a chat has nothing for.
pub(super) fn messages(system: Option<Content>, messages: Vec<Message>) -> Result<Vec<Value>, BadRequest> {
    let mut out = vec![];
    if let Some(system) = system {
        out.push(json!({"role": "system", "content": plain(system, "system")?}));
    }
    for (i, message) in messages.into_iter().enumerate() {
        let place = format!("messages[{i}]");
        match message.role {
            Role::System => out.push(json!({"role": "system", "content": plain(message.content, &place)?})),
            Role::User => user(message.content, &place, &mut out)?,
            Role::Assistant => out.push(assistant(message.content, &place)?),
        }
    }
    Ok(out)
}

/// Tool results become messages of their own, before what the user says beside them: they must follow the call.
fn user(content: Content, place: &str, out: &mut Vec<Value>) -> Result<(), BadRequest> {
    let blocks = match content {
        Content::Text(text) => {
            out.push(json!({"role": "user", "content": text}));
            return Ok(());
        }
        Content::Blocks(blocks) => blocks,
    };
    let mut parts = vec![];
    for (j, raw) in blocks.into_iter().enumerate() {
        let place = format!("{place}.content[{j}]");
        match block(&raw, &place)? {
            Block::ToolResult { tool_use_id, content, is_error } => {
                out.push(marked(tool_result(tool_use_id, content, is_error == Some(true), &place)?, &raw));
            }
            other => parts.extend(self::parts(other, &raw, &place)?),
        }
    }
    if !parts.is_empty() {
        out.push(json!({"role": "user", "content": parts}));
    }
    Ok(())
}

fn tool_result(id: String, content: Option<Content>, failed: bool, place: &str) -> Result<Value, BadRequest> {
    let content = content.map_or(Ok(Value::from("")), |content| plain(content, place))?;
    let mut message = json!({"role": "tool", "tool_call_id": id, "content": content});
    if failed {
        message["is_error"] = true.into();
    }
    Ok(message)
}

fn assistant(content: Content, place: &str) -> Result<Value, BadRequest> {
    let blocks = match content {
        Content::Text(text) => return Ok(json!({"role": "assistant", "content": text})),
        Content::Blocks(blocks) => blocks,
    };
    let mut answered = Answered::new();
    for (j, raw) in blocks.into_iter().enumerate() {
        answered.add(raw, &format!("{place}.content[{j}]"))?;
    }
    Ok(answered.message())
}

/// The blocks of an assistant's message, each in the field that a chat has for it.
struct Answered {
    parts: Vec<Value>,
    calls: Vec<Value>,
    thoughts: Vec<Value>,
    items: Vec<Value>,
    marks: Marks,
    signatures: Signatures,
}

impl Answered {
    fn new() -> Self {
        let (parts, calls, thoughts, items) = (vec![], vec![], vec![], vec![]);
        let (marks, signatures) = (Marks::new(Protocol::Messages), Signatures::default());
        Self { parts, calls, thoughts, items, marks, signatures }
    }

    fn add(&mut self, raw: Value, place: &str) -> Result<(), BadRequest> {
        let told = match block(&raw, place)? {
            Block::Other => self.marks.tell(raw),
            Block::ToolUse { id, name, input } => {
                self.calls.push(self.signatures.sign(call(&id, &name, &input, &raw)));
                self.marks.call(tool_mark(&id))
            }
            Block::Thinking {} | Block::RedactedThinking {} => {
                let kept = self.signatures.keep(raw);
                let told = kept.as_ref().map(|_| self.marks.think(1));
                self.thoughts.extend(kept);
                told.unwrap_or_default()
            }
            other => {
                let parts = parts(other, &raw, place)?;
                let told = self.marks.text(said(&parts));
                self.parts.extend(parts);
                told
            }
        };
        self.items.extend(told);
        Ok(())
    }

    /// Thoughts that nobody signed stand where those read them who sign none.
    fn message(mut self) -> Value {
        let content = if self.parts.is_empty() { Value::Null } else { self.parts.into() };
        let mut message = json!({"role": "assistant", "content": content});
        let unsigned = self.thoughts.iter().filter(|block| !is_signed(block));
        let shown: String = unsigned.filter_map(|block| block["thinking"].as_str()).collect();
        if !shown.is_empty() {
            message["reasoning_content"] = shown.into();
        }
        let lists = [
            ("tool_calls", self.calls),
            ("thinking_blocks", self.thoughts),
            ("reasoning_details", self.signatures.details()),
            ("hosted_items", self.items),
        ];
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            message[name] = list.into();
        }
        message
    }
}

/// Characters of the texts among `parts`.
fn said(parts: &[Value]) -> usize {
    parts.iter().filter_map(|part| part["text"].as_str()).map(|text| text.chars().count()).sum()
}

/// With what Anthropic alone says of a call, such as who makes it.
fn call(id: &str, name: &str, input: &Value, raw: &Value) -> Value {
    const KNOWN: [&str; 5] = ["type", "id", "name", "input", "cache_control"];
    let function = json!({"name": name, "arguments": input.to_string()});
    let own = raw.as_object().into_iter().flatten().filter(|(name, _)| !KNOWN.contains(&name.as_str()));
    let own = own.map(|(name, value)| (name.clone(), value.clone())).collect();
    let call = json!({"id": id, "type": "function", "function": function});
    marked(with(call, "hosted", Hosted::said(Protocol::Messages, own).as_ref()), raw)
}

/// Text and pictures: a string where that is all.
fn plain(content: Content, place: &str) -> Result<Value, BadRequest> {
    let blocks = match content {
        Content::Text(text) => return Ok(text.into()),
        Content::Blocks(blocks) => blocks,
    };
    let parts = blocks.iter().enumerate().map(|(j, raw)| {
        let place = format!("{place}.content[{j}]");
        self::parts(block(raw, &place)?, raw, &place)
    });
    Ok(parts.collect::<Result<Vec<_>, _>>()?.concat().into())
}

fn block(raw: &Value, place: &str) -> Result<Block, BadRequest> {
    Block::deserialize(raw).map_err(|e| {
        let kind = raw["type"].as_str().unwrap_or("unknown");
        let message = format!("{place} (of type \"{kind}\") cannot be translated for other providers: {e}");
        BadRequest::field(place.to_owned(), message)
    })
}

/// With the `cache_control` of the block that it was.
fn marked(out: Value, raw: &Value) -> Value {
    with(out, "cache_control", raw.get("cache_control"))
}

impl Block {
    /// Whether a chat has no part for it.
    fn is_own(&self) -> bool {
        match self {
            Self::Image { source } => matches!(source, Source::File { .. } | Source::Other),
            Self::Document { source, .. } => matches!(source, Source::Other),
            other => matches!(other, Self::Other),
        }
    }
}

/// OpenAI's parts of a block, the last of them with its `cache_control`: what a document's title and context say stands
/// before it where OpenAI's part has no place for them.
fn parts(block: Block, raw: &Value, place: &str) -> Result<Vec<Value>, BadRequest> {
    if block.is_own() {
        return Ok(vec![Hosted::tool(Protocol::Messages, raw.clone())]);
    }
    let (mut parts, part) = match block {
        Block::Text { text } => (vec![], text_part(&text)),
        Block::Image { source } => (vec![], json!({"type": "image_url", "image_url": {"url": source.url(place)?}})),
        Block::Document { source: Source::Text { data }, title, context, citations } if !asks(&citations) => {
            (title.iter().chain(&context).map(|text| text_part(text)).collect(), text_part(&data))
        }
        Block::Document { source, title, context, citations } => {
            let before = context.iter().map(|text| text_part(text)).collect();
            let file = json!({"type": "file", "file": source.file(title, place)?});
            (before, with(file, "citations", citations.as_ref()))
        }
        Block::SearchResult { source, title, content, citations } => {
            let lines = [title, source].into_iter().chain(content.into_iter().map(|found| found.text));
            let mut found = text_part(&lines.collect::<Vec<_>>().join("\n"));
            found["search_result"] = without_marks(raw);
            (vec![], with(found, "citations", citations.as_ref()))
        }
        _ => {
            let message = format!("{place}: a block of type {} does not belong here", raw["type"]);
            return Err(BadRequest::field(place.to_owned(), message));
        }
    };
    parts.push(marked(part, raw));
    Ok(parts)
}

/// A search result without what stands beside it in a part.
fn without_marks(raw: &Value) -> Value {
    let fields = raw.as_object().into_iter().flatten();
    let own = fields.filter(|(name, _)| !["cache_control", "citations"].contains(&name.as_str()));
    own.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn text_part(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

/// Whether the places in a document that the answer rests on are asked for.
fn asks(citations: &Option<Value>) -> bool {
    citations.as_ref().is_some_and(|citations| citations["enabled"] == true)
}

impl Source {
    /// `file` of OpenAI's part.
    fn file(self, title: Option<String>, place: &str) -> Result<Value, BadRequest> {
        Ok(match self {
            Self::File { file_id } => json!({"file_id": file_id}),
            Self::Text { data } => {
                let url = format!("data:text/plain;base64,{}", STANDARD.encode(data));
                json!({"file_data": url, "filename": title.unwrap_or_else(|| "document.txt".into())})
            }
            source => {
                let filename = title.unwrap_or_else(|| "document.pdf".into());
                json!({"file_data": source.url(place)?, "filename": filename})
            }
        })
    }

    fn url(self, place: &str) -> Result<String, BadRequest> {
        match self {
            Self::Base64 { media_type, data } => Ok(format!("data:{media_type};base64,{data}")),
            Self::Url { url } => Ok(url),
            Self::Text { .. } | Self::File { .. } | Self::Other => {
                let message = format!("{place}.source must be of type base64 or url here");
                Err(BadRequest::field(format!("{place}.source"), message))
            }
        }
    }
}
