//! Messages and tools for providers that are strict about them: roles, fields and the form of tool call ids.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::LazyLock;

use foldhash::fast::FixedState;
use memchr::memmem::Finder;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use crate::api::chat::{self, ChatRequest};
use crate::catalog::quirks::{self, Quirks};

/// A message's fields, unread.
type Message = BTreeMap<String, Box<RawValue>>;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// [`quirks::OURS`], and what finds them: made once, since most requests are searched for all of them in vain.
static OURS: LazyLock<[(&str, Finder); 6]> = LazyLock::new(|| quirks::OURS.map(|name| (name, Finder::new(name))));

/// Stands in a result for what follows in the user's message.
pub(in crate::upstream) const SHOWN_BELOW: &str = "(What it shows follows in the user's message.)";

/// The request's messages as `quirks` want them; `None`: they are that already.
pub(in crate::upstream) fn rewritten(quirks: &Quirks, request: &ChatRequest) -> Option<Vec<u8>> {
    let raw = request.raw("messages")?;
    let foreign = foreign(quirks, raw);
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
    if quirks.text_results {
        messages = with_text_results(messages);
    }
    serde_json::to_vec(&messages).ok()
}

/// The request's tools as `quirks` want them; `None`: they are that already.
pub(super) fn tools(quirks: &Quirks, raw: &[u8]) -> Option<Vec<u8>> {
    let foreign = foreign(quirks, raw);
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

/// What is foreign to `quirks` of the names in `raw`.
fn foreign<'q>(quirks: &'q Quirks, raw: &[u8]) -> Vec<&'q str> {
    match &quirks.foreign {
        Some(names) => names.iter().map(String::as_str).filter(|name| occurs(name, &Finder::new(name), raw)).collect(),
        None => OURS.iter().filter(|(name, finder)| occurs(name, finder, raw)).map(|(name, _)| *name).collect(),
    }
}

/// Whether `name`, in quotes, is anywhere in `raw`.
fn occurs(name: &str, finder: &Finder, raw: &[u8]) -> bool {
    let is_quoted = |at: usize| raw[..at].ends_with(b"\"") && raw[at + name.len()..].starts_with(b"\"");
    finder.find_iter(raw).any(is_quoted)
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
    let shows = |message: &chat::Message| message.role == "tool" && message.content.has_others;
    !quirks.message_fields.is_empty()
        || (quirks.text_results && request.messages.iter().any(shows))
        || (quirks.developer_role.is_some() && has("developer"))
        || (quirks.tool_call_id_length.is_some() && (has("assistant") || has("tool")))
}

/// Each run of tools' results without the pictures in them, which the user shows behind it.
fn with_text_results(messages: Vec<Message>) -> Vec<Message> {
    let mut out = Vec::with_capacity(messages.len() + 1);
    let mut pictures = vec![];
    for mut message in messages {
        if is_result(&message) {
            pictures.extend(take_pictures(&mut message));
        } else {
            out.extend(shown(std::mem::take(&mut pictures)));
        }
        out.push(message);
    }
    out.extend(shown(pictures));
    out
}

fn is_result(message: &Message) -> bool {
    message.get("role").is_some_and(|role| role.get() == "\"tool\"")
}

/// All that is no text; it says so in their place.
fn take_pictures(message: &mut Message) -> Vec<Value> {
    let mut pictures = vec![];
    replace(message, "content", |parts: Vec<Value>| {
        let (mut texts, others): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| part["type"] == "text");
        if !others.is_empty() {
            texts.push(json!({"type": "text", "text": SHOWN_BELOW}));
        }
        pictures = others;
        texts
    });
    pictures
}

fn shown(pictures: Vec<Value>) -> Option<Message> {
    let fields = [("role", json!("user")), ("content", json!(pictures))];
    let message = fields.into_iter().map(|(name, value)| Some((name.to_owned(), to_raw_value(&value).ok()?)));
    message.collect::<Option<Message>>().filter(|_| !pictures.is_empty())
}

fn rewrite(quirks: &Quirks, message: &mut Message) {
    if !quirks.message_fields.is_empty() {
        say_refusal(quirks, message);
        message.retain(|name, _| quirks.message_fields.contains(name));
    }
    if let Some(role) = &quirks.developer_role {
        replace(message, "role", |own: String| if own == "developer" { role.clone() } else { own });
    }
    if let Some(length) = quirks.tool_call_id_length {
        replace(message, "tool_call_id", |id: String| fitting(&id, length));
        replace(message, "tool_calls", |calls: Vec<Map<String, Value>>| {
            calls.into_iter().map(|call| with_fitting_id(call, length)).collect::<Vec<_>>()
        });
    }
}

/// A refusal is what was said, where there is no such field.
fn say_refusal(quirks: &Quirks, message: &mut Message) {
    let is_silent = message.get("content").is_none_or(|content| matches!(content.get(), "null" | "\"\""));
    let takes_refusals = quirks.message_fields.iter().any(|name| name == "refusal");
    let refusal = message.get("refusal").filter(|refusal| refusal.get() != "null" && is_silent && !takes_refusals);
    if let Some(refusal) = refusal.cloned() {
        message.insert("content".into(), refusal);
    }
}

/// Changes a field that is there and of the form that is hoped for.
fn replace<T>(message: &mut Message, name: &str, change: impl FnOnce(T) -> T)
where
    T: Serialize + DeserializeOwned,
{
    let Some(raw) = message.get_mut(name) else { return };
    let changed = serde_json::from_str(raw.get()).map(change).and_then(|value| to_raw_value(&value));
    if let Ok(changed) = changed {
        *raw = changed;
    }
}

fn with_fitting_id(mut call: Map<String, Value>, length: usize) -> Map<String, Value> {
    if let Some(Value::String(id)) = call.get_mut("id") {
        *id = fitting(id, length);
    }
    call
}

/// An id of exactly `length` letters and digits: itself, or one that is always the same for it.
fn fitting(id: &str, length: usize) -> String {
    if id.len() == length && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return id.to_owned();
    }
    let mut rest = FixedState::default().hash_one(id);
    let digit = |_| {
        let digit = DIGITS[(rest % 62) as usize];
        rest /= 62;
        char::from(digit)
    };
    (0..length).map(digit).collect()
}
