//! Turns → `system` and `messages`.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::answered::{Answered, Stretch};
use crate::api::conversation::{Hosted, Part, PartKind, Protocol, Reasoning, Source, ToolCall, Turn};
use crate::api::error::BadRequest;
use crate::api::fields::with;

/// A conversation as Claude's wire and Bedrock's have it.
#[derive(Debug, Default, PartialEq)]
pub struct Messages {
    /// Text blocks.
    pub system: Vec<Value>,
    /// User and assistant in turns, each with at least one block.
    messages: Vec<Message>,
}

#[derive(Debug, PartialEq)]
struct Message {
    role: &'static str,
    content: Vec<Value>,
}

/// Where a part stands in the client's request.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub message: usize,
    pub part: usize,
}

impl Place {
    /// A mistake in this part.
    pub fn problem(self, problem: &str) -> BadRequest {
        let field = format!("messages[{}].content[{}]", self.message, self.part);
        BadRequest::field(field.clone(), format!("{field}: {problem}"))
    }
}

impl Messages {
    /// System and developer turns go to the front; turns of one side that follow each other, and results of tools and
    /// what the user says next, become one message. Parts without any text are left out: Claude refuses them.
    ///
    /// # Errors
    /// A part that Claude cannot be given.
    pub fn write(turns: &[Turn]) -> Result<Self, BadRequest> {
        let mut out = Self::default();
        for (i, turn) in turns.iter().enumerate() {
            match turn {
                Turn::System { parts } => out.system.extend(texts(i, parts, "a system prompt")?),
                Turn::User { parts, .. } => out.say("user", blocks(i, parts)?),
                Turn::Assistant { parts, reasoning, calls, hosted, .. } => {
                    out.say("assistant", answered(i, Answered { parts, reasoning, calls, hosted })?);
                }
                Turn::Tool { call_id, parts, failed, .. } => out.say("user", vec![result(i, call_id, parts, *failed)?]),
            }
        }
        out.trim();
        Ok(out)
    }

    /// Claude goes on with an assistant's last text, and refuses one that ends in white space.
    pub fn trim(&mut self) {
        let last = self.messages.last_mut().filter(|last| last.role == "assistant");
        let block = last.and_then(|last| last.content.last_mut());
        if let Some(Value::String(text)) = block.and_then(|block| block.get_mut("text")) {
            text.truncate(text.trim_end().len());
        }
    }

    /// What one side says, in its message where it spoke last. Nothing makes no message.
    pub fn say(&mut self, role: &'static str, blocks: Vec<Value>) {
        match self.messages.last_mut().filter(|last| last.role == role) {
            Some(last) => last.content.extend(blocks),
            None if blocks.is_empty() => {}
            None => self.messages.push(Message { role, content: blocks }),
        }
    }

    /// Whether neither side has said anything.
    pub fn is_silent(&self) -> bool {
        self.messages.is_empty()
    }

    /// `system`, with these words at its end, and `messages`, as they stand in a request.
    ///
    /// # Errors
    /// Nobody says anything.
    pub fn put(mut self, words: Option<Value>, out: &mut Map<String, Value>) -> Result<(), BadRequest> {
        // A prompt that is all system is a request to the model, too, and it answers users only.
        if self.messages.is_empty() {
            let system = std::mem::take(&mut self.system);
            self.say("user", system);
        }
        if self.messages.is_empty() {
            let problem = "messages hold no text to answer; send at least one with content";
            return Err(BadRequest::field("messages", problem));
        }
        self.system.extend(words);
        if !self.system.is_empty() {
            out.insert("system".into(), self.system.into());
        }
        let message = |Message { role, content }| json!({"role": role, "content": content});
        out.insert("messages".into(), self.messages.into_iter().map(message).collect());
        Ok(())
    }
}

/// Names of the tools that were called.
pub fn called(turns: &[Turn]) -> BTreeSet<&str> {
    let calls = turns.iter().flat_map(|turn| match turn {
        Turn::Assistant { calls, .. } => calls.as_slice(),
        _ => &[],
    });
    calls.map(|call| call.name.as_str()).collect()
}

/// What an assistant thought, said, called, and did with tools that Anthropic runs.
fn answered(message: usize, answered: Answered<'_>) -> Result<Vec<Value>, BadRequest> {
    let mut all = vec![];
    for piece in answered.in_order(Some(Protocol::Messages)) {
        match piece {
            Stretch::Thoughts(these) => all.extend(these.iter().filter_map(thought)),
            Stretch::Texts(these) => all.extend(texts(message, &these, "an assistant's message")?),
            Stretch::Call(this) => all.push(call(this)),
            Stretch::Item(is) => all.push(is.clone()),
        }
    }
    Ok(all)
}

fn blocks(message: usize, parts: &[Part]) -> Result<Vec<Value>, BadRequest> {
    let block = |(part, given): (usize, &Part)| block(Place { message, part }, given).transpose();
    parts.iter().enumerate().filter_map(block).collect()
}

/// `None`: the part says nothing.
fn block(place: Place, part: &Part) -> Result<Option<Value>, BadRequest> {
    if let Some(own) = &part.hosted {
        return Ok(Some(own.is.clone()));
    }
    let block = match &part.kind {
        PartKind::Text(text) | PartKind::Refusal(text) if text.trim().is_empty() => return Ok(None),
        PartKind::Text(text) | PartKind::Refusal(text) => match &part.search_result {
            Some(found) => cited(found.clone(), part.citations.as_ref()),
            None => json!({"type": "text", "text": text}),
        },
        PartKind::Image { source, .. } => json!({"type": "image", "source": self::source(source)}),
        PartKind::File { source, name } => cited(file(place, source, name.as_deref())?, part.citations.as_ref()),
        PartKind::Audio { .. } => {
            return Err(place.problem("Claude does not hear; send a transcript, or ask another model"));
        }
    };
    Ok(Some(with(block, "cache_control", part.cache.as_ref())))
}

/// Of the blocks that files make, pictures are not cited.
fn cited(block: Value, citations: Option<&Value>) -> Value {
    let citations = citations.filter(|_| block["type"] != "image");
    with(block, "citations", citations)
}

fn texts(message: usize, parts: &[Part], place: &str) -> Result<Vec<Value>, BadRequest> {
    let blocks = blocks(message, parts)?;
    match blocks.iter().any(|block| block["type"] != "text") {
        true => {
            let field = format!("messages[{message}].content");
            Err(BadRequest::field(field.clone(), format!("{field}: {place} can hold nothing but text for Claude")))
        }
        false => Ok(blocks),
    }
}

fn source(source: &Source) -> Value {
    match source {
        Source::Url(url) => json!({"type": "url", "url": url}),
        Source::Base64 { media_type, data } => json!({"type": "base64", "media_type": media_type, "data": data}),
        Source::Id(id) => json!({"type": "file", "file_id": id}),
    }
}

/// A PDF, a plain text, or a picture that was sent as a file.
fn file(place: Place, source: &Source, name: Option<&str>) -> Result<Value, BadRequest> {
    let content = match source {
        Source::Base64 { media_type, .. } if media_type.starts_with("image/") => {
            return Ok(json!({"type": "image", "source": self::source(source)}));
        }
        Source::Base64 { media_type, data } if media_type.starts_with("text/") => plain(place, data)?,
        Source::Base64 { media_type, .. } if media_type != "application/pdf" => {
            return Err(place.problem(&format!("Claude reads PDFs, plain text and pictures, and not {media_type}")));
        }
        source => self::source(source),
    };
    let mut block = json!({"type": "document", "source": content});
    if let Some(name) = name {
        block["title"] = name.into();
    }
    Ok(block)
}

fn plain(place: Place, data: &str) -> Result<Value, BadRequest> {
    let text = STANDARD.decode(data).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or_else(|| place.problem("the file is no base64 of a text in UTF-8"))?;
    Ok(json!({"type": "text", "media_type": "text/plain", "data": text}))
}

/// Thoughts that are not Claude's are refused.
fn thought(reasoning: &Reasoning) -> Option<Value> {
    match reasoning {
        Reasoning::Thinking { thinking, signature } if reasoning.is_signed() => {
            Some(json!({"type": "thinking", "thinking": thinking, "signature": signature}))
        }
        Reasoning::RedactedThinking { data } => Some(json!({"type": "redacted_thinking", "data": data})),
        Reasoning::Thinking { .. } | Reasoning::Sealed(_) => None,
    }
}

fn call(call: &ToolCall) -> Value {
    let mut block = json!({"type": "tool_use", "id": id(&call.id), "name": call.name, "input": input(&call.arguments)});
    Hosted::fields(Protocol::Messages, call.more.as_deref()).for_each(|(name, own)| block[name] = own.clone());
    with(block, "cache_control", call.cache.as_ref())
}

/// A call's arguments as the object that Claude's wire and Bedrock's want. What is not one is wrapped, as Anthropic's page
/// on fine-grained tool streaming advises, so that the model sees what it wrote.
pub fn input(arguments: &str) -> Value {
    match serde_json::from_str(arguments) {
        Ok(Value::Object(input)) => Value::Object(input),
        _ if arguments.trim().is_empty() => json!({}),
        _ => json!({"INVALID_JSON": arguments}),
    }
}

/// Ids of calls hold letters, digits, `_` and `-` only; those that other providers gave may hold more.
pub fn id(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

/// The marker of a part belongs to the whole result: blocks within it cannot have one.
fn result(message: usize, call_id: &str, parts: &[Part], failed: bool) -> Result<Value, BadRequest> {
    let plain: Vec<Part> = parts.iter().map(|part| Part { cache: None, ..part.clone() }).collect();
    let mut result = json!({"type": "tool_result", "tool_use_id": id(call_id), "content": blocks(message, &plain)?});
    if failed {
        result["is_error"] = true.into();
    }
    Ok(with(result, "cache_control", parts.iter().rev().find_map(|part| part.cache.as_ref())))
}
