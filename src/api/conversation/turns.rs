//! Messages, typed.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::content::Part;
use super::hosted::Hosted;
use super::signatures::signature;
use super::thoughts::Reasoning;
use crate::api::chat::ChatRequest;
use crate::api::error::BadRequest;

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub enum Turn {
    /// Role `system` or `developer`.
    System {
        parts: Vec<Part>,
    },
    User {
        parts: Vec<Part>,
        name: Option<String>,
    },
    Assistant {
        parts: Vec<Part>,
        reasoning: Vec<Reasoning>,
        calls: Vec<ToolCall>,
        /// Pictures that it made before: `images`, as gateways hand them out. Most wires have no place for them.
        images: Vec<Part>,
        /// What it did with tools that one protocol alone knows: `hosted_items`.
        hosted: Vec<Hosted>,
        /// What the provider wants back with the text (Gemini's thought signature).
        signature: Option<String>,
    },
    /// What a tool gave back.
    Tool {
        call_id: String,
        parts: Vec<Part>,
        /// The call failed: `is_error`, Anthropic's word, which `/v1/messages` hands on.
        failed: bool,
        /// What one protocol alone says of it: `hosted_items`.
        hosted: Vec<Hosted>,
    },
}

/// A model's call of a function, or of a custom tool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Call")]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    /// JSON, as the model wrote it; models err, so it may be none. A custom tool's input is any text.
    pub arguments: String,
    pub custom: bool,
    /// What the provider wants back with the call (Gemini's thought signature).
    pub signature: Option<String>,
    /// `cache_control`, see [`Part::cache`].
    pub cache: Option<Value>,
    /// What one protocol alone says of it.
    pub more: Option<Box<Hosted>>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Parts,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    thinking_blocks: Option<Vec<Reasoning>>,
    #[serde(default)]
    tool_calls: Option<Vec<ToolCall>>,
    /// What calls were before there could be several.
    #[serde(default)]
    function_call: Option<Function>,
    #[serde(default)]
    images: Option<Vec<Part>>,
    #[serde(default)]
    hosted_items: Option<Vec<Hosted>>,
    #[serde(default)]
    tool_call_id: Option<String>,
    #[serde(default)]
    is_error: Option<bool>,
    /// Of all of the message, as clients of gateways write it beside a content that is a string.
    #[serde(default)]
    cache_control: Option<Value>,
    #[serde(default)]
    extra_content: Option<Value>,
}

#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    id: String,
    #[serde(default)]
    function: Option<Function>,
    #[serde(default)]
    custom: Option<Custom>,
    /// Where Google's own OpenAI-compatible endpoint puts a thought signature.
    #[serde(default)]
    extra_content: Option<Value>,
    #[serde(default)]
    cache_control: Option<Value>,
    #[serde(default)]
    hosted: Option<Box<Hosted>>,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    arguments: String,
}

#[derive(Deserialize)]
struct Custom {
    name: String,
    #[serde(default)]
    input: String,
}

/// A string, null, or a list.
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Parts {
    #[default]
    None,
    Text(String),
    List(Vec<Value>),
}

pub(super) fn read(request: &ChatRequest) -> Result<Vec<Turn>, BadRequest> {
    let raw = request.raw("messages").map_or(&b"[]"[..], |raw| raw);
    let messages: Vec<&RawValue> = serde_json::from_slice(raw).map_err(|e| problem("messages", &e))?;
    let turns = messages.iter().enumerate().map(|(i, message)| turn(i, message));
    let mut turns = turns.collect::<Result<Vec<_>, _>>()?;
    tell_old_calls_apart(&mut turns);
    Ok(turns)
}

/// Old calls have no ids, and the name that stands for one comes again with the next; a result follows its call at once.
fn tell_old_calls_apart(turns: &mut [Turn]) {
    for i in 1..turns.len() {
        if let [Turn::Assistant { calls, .. }, Turn::Tool { call_id, .. }] = &mut turns[i - 1..=i]
            && let [call] = &mut calls[..]
            && call.id == call.name
            && call.id == *call_id
        {
            call.id = format!("{}_{i}", call.name);
            call_id.clone_from(&call.id);
        }
    }
}

fn turn(i: usize, raw: &RawValue) -> Result<Turn, BadRequest> {
    let message: Message = serde_json::from_str(raw.get()).map_err(|e| problem(&format!("messages[{i}]"), &e))?;
    let mut parts = parts(i, message.content)?;
    if let (Some(last), Some(cache)) = (parts.last_mut(), message.cache_control) {
        last.cache.get_or_insert(cache);
    }
    match message.role.as_str() {
        "system" | "developer" => Ok(Turn::System { parts }),
        "user" => Ok(Turn::User { parts, name: message.name }),
        "tool" | "function" => {
            let call_id = message.tool_call_id.or(message.name);
            let call_id = call_id.ok_or_else(|| missing(&format!("messages[{i}].tool_call_id")))?;
            let (failed, hosted) = (message.is_error == Some(true), message.hosted_items.unwrap_or_default());
            Ok(Turn::Tool { call_id, parts, failed, hosted })
        }
        "assistant" => Ok(Turn::Assistant {
            parts: parts.into_iter().chain(message.refusal.map(Part::text)).collect(),
            reasoning: message.thinking_blocks.unwrap_or_default(),
            images: message.images.unwrap_or_default(),
            hosted: message.hosted_items.unwrap_or_default(),
            calls: message.tool_calls.into_iter().flatten().chain(message.function_call.map(old_call)).collect(),
            signature: signature(message.extra_content.as_ref()),
        }),
        other => {
            let field = format!("messages[{i}].role");
            let remedy = "the roles are system, developer, user, assistant and tool";
            Err(BadRequest::field(field.clone(), format!("{field} is \"{other}\"; {remedy}")))
        }
    }
}

/// It has no id: its result, of the role `function`, goes by the name.
fn old_call(Function { name, arguments }: Function) -> ToolCall {
    ToolCall { id: name.clone(), name, arguments, ..ToolCall::default() }
}

fn parts(i: usize, parts: Parts) -> Result<Vec<Part>, BadRequest> {
    match parts {
        Parts::None => Ok(vec![]),
        Parts::Text(text) => Ok(vec![Part::text(text)]),
        Parts::List(list) => {
            let part = |(j, part)| {
                serde_json::from_value(part).map_err(|e| problem(&format!("messages[{i}].content[{j}]"), &e))
            };
            list.into_iter().enumerate().map(part).collect()
        }
    }
}

impl TryFrom<Call> for ToolCall {
    type Error = &'static str;

    fn try_from(call: Call) -> Result<Self, Self::Error> {
        let (custom, name, arguments) = match (call.function, call.custom) {
            (Some(function), _) => (false, function.name, function.arguments),
            (None, Some(custom)) => (true, custom.name, custom.input),
            (None, None) => return Err("a tool call has neither `function` nor `custom`"),
        };
        let signature = signature(call.extra_content.as_ref());
        Ok(Self { id: call.id, name, arguments, custom, signature, cache: call.cache_control, more: call.hosted })
    }
}

fn missing(field: &str) -> BadRequest {
    BadRequest::field(field.to_owned(), format!("{field} is missing; give the id of the call that it answers"))
}

fn problem(field: &str, error: &serde_json::Error) -> BadRequest {
    BadRequest::field(field.to_owned(), format!("{field} cannot be read: {error}"))
}
