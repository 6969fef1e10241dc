//! Messages and tools for providers that are strict about them: roles, fields, parts and the form of tool call ids.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use super::{ids, order};
use crate::api::chat::{self, ChatRequest};
use crate::api::fields::object;
use crate::catalog::quirks::{self, Quirks};

/// A message's fields, unread.
pub(super) type Message = BTreeMap<String, Box<RawValue>>;

/// The request's messages as `quirks` want them; `None`: they are that already.
pub(in crate::upstream) fn rewritten(quirks: &Quirks, request: &ChatRequest) -> Option<Vec<u8>> {
    let raw = request.raw("messages")?;
    let foreign = foreign(quirks, request, "messages");
    if foreign.is_empty() && !touched(quirks, request) {
        return None;
    }
    let mut messages: Vec<Message> = serde_json::from_slice(raw).ok()?;
    messages.retain_mut(|message| {
        let fields = message.len();
        bare(&foreign, message);
        rewrite(quirks, message);
        message.len() == fields || says_something(message)
    });
    serde_json::to_vec(&order::ordered(quirks, messages)).ok()
}

/// The request's tools as `quirks` want them; `None`: they are that already.
pub(super) fn tools(quirks: &Quirks, request: &ChatRequest) -> Option<Vec<u8>> {
    let raw = request.raw("tools")?;
    let foreign = foreign(quirks, request, "tools");
    if foreign.is_empty() && !quirks.parameters {
        return None;
    }
    let mut tools: Vec<Message> = serde_json::from_slice(raw).ok()?;
    for tool in &mut tools {
        bare(&foreign, tool);
        if quirks.parameters {
            replace(tool, "function", with_parameters);
        }
    }
    serde_json::to_vec(&tools).ok()
}

/// A function that takes nothing says so.
fn with_parameters(mut function: Message) -> Message {
    if function.get("parameters").is_none_or(|parameters| parameters.get() == "null") {
        let nothing = to_raw_value(&json!({"type": "object", "properties": {}})).ok();
        function.extend(nothing.map(|nothing| ("parameters".to_owned(), nothing)));
    }
    function
}

/// What is foreign to `quirks` of the names in a field of `request`.
fn foreign<'q>(quirks: &'q Quirks, request: &ChatRequest, field: &str) -> Vec<&'q str> {
    let is_there = |name: &&str| request.raw_with(field, name).is_some();
    match &quirks.foreign {
        Some(names) => names.iter().map(String::as_str).filter(is_there).collect(),
        None => quirks::OURS.into_iter().filter(is_there).collect(),
    }
}

/// Takes these fields from a message, its parts and its calls; or from a tool.
fn bare(foreign: &[&str], message: &mut Message) {
    message.retain(|name, _| !foreign.contains(&name.as_str()));
    for list in ["content", "tool_calls"] {
        replace(message, list, |mut parts: Vec<Message>| {
            parts.iter_mut().for_each(|part| part.retain(|name, _| !foreign.contains(&name.as_str())));
            parts
        });
    }
}

/// An assistant that only thought said nothing to others.
fn says_something(message: &Message) -> bool {
    let words = ["audio", "content", "function_call", "refusal", "tool_calls"];
    words.iter().any(|name| message.get(*name).is_some_and(|value| value.get() != "null"))
}

fn touched(quirks: &Quirks, request: &ChatRequest) -> bool {
    let has = |role: &str| request.messages.iter().any(|message| message.role == role);
    let any = |is: &dyn Fn(&chat::Message) -> bool| request.messages.iter().any(is);
    let goes_on = request.messages.last().is_some_and(|last| last.role == "assistant");
    !quirks.message_fields.is_empty()
        || (quirks.text_results && any(&|message| message.role == "tool" && message.content.has_others))
        || (quirks.flat_media && any(&|message| message.content.has_others))
        || (quirks.developer_role.is_some() && has("developer"))
        || (quirks.answered_results && has("tool"))
        || (quirks.prefill.is_some() && goes_on)
        || (quirks.tool_call_id_length.is_some() && (has("assistant") || has("tool")))
        || quirks.tool_call_id_max.is_some_and(|max| any(&|message| message.tool_calls.longest_id > max))
}

fn rewrite(quirks: &Quirks, message: &mut Message) {
    if !quirks.message_fields.is_empty() {
        say_refusal(quirks, message);
        message.retain(|name, _| quirks.message_fields.contains(name));
    }
    if let Some(role) = &quirks.developer_role {
        replace(message, "role", |own: String| if own == "developer" { role.clone() } else { own });
    }
    if quirks.flat_media {
        replace(message, "content", |parts: Vec<Value>| parts.into_iter().map(flat).collect());
    }
    if quirks.tool_call_id_length.is_some() || quirks.tool_call_id_max.is_some() {
        replace(message, "tool_call_id", |id: String| fitting(quirks, &id));
        replace(message, "tool_calls", |calls: Vec<Map<String, Value>>| {
            calls.into_iter().map(|call| with_fitting_id(quirks, call)).collect()
        });
    }
}

/// A file or sound without the object around it that OpenAI's parts have.
fn flat(mut part: Value) -> Value {
    match part["type"].as_str() {
        Some("file") if part["file"].is_object() => flat_file(part["file"].take()),
        Some("input_audio") if part["input_audio"].is_object() => {
            json!({"type": "input_audio", "input_audio": part["input_audio"]["data"].take()})
        }
        _ => part,
    }
}

fn flat_file(mut file: Value) -> Value {
    match file["file_data"].take() {
        Value::Null => json!({"type": "file", "file_id": file["file_id"].take()}),
        url => {
            object([("type", "document_url".into()), ("document_url", url), ("document_name", file["filename"].take())])
        }
    }
}

/// A refusal is what was said, where there is no such field or part.
fn say_refusal(quirks: &Quirks, message: &mut Message) {
    if quirks.message_fields.iter().any(|name| name == "refusal") {
        return;
    }
    replace(message, "content", |parts: Vec<Value>| parts.into_iter().map(as_text).collect());
    let is_silent = message.get("content").is_none_or(|content| matches!(content.get(), "null" | "\"\""));
    let refusal = message.get("refusal").filter(|refusal| refusal.get() != "null" && is_silent);
    if let Some(refusal) = refusal.cloned() {
        message.insert("content".into(), refusal);
    }
}

fn as_text(mut part: Value) -> Value {
    match part["type"] == "refusal" {
        true => json!({"type": "text", "text": part["refusal"].take()}),
        false => part,
    }
}

/// Changes a field that is there and of the form that is hoped for.
pub(super) fn replace<T>(message: &mut Message, name: &str, change: impl FnOnce(T) -> T)
where
    T: Serialize + DeserializeOwned,
{
    let Some(raw) = message.get_mut(name) else { return };
    let changed = serde_json::from_str(raw.get()).map(change).and_then(|value| to_raw_value(&value));
    if let Ok(changed) = changed {
        *raw = changed;
    }
}

fn with_fitting_id(quirks: &Quirks, mut call: Map<String, Value>) -> Map<String, Value> {
    if let Some(Value::String(id)) = call.get_mut("id") {
        *id = fitting(quirks, id);
    }
    call
}

fn fitting(quirks: &Quirks, id: &str) -> String {
    match (quirks.tool_call_id_length, quirks.tool_call_id_max) {
        (Some(length), _) => ids::exactly(id, length),
        (None, Some(max)) => ids::within(id, max),
        (None, None) => id.to_owned(),
    }
}
