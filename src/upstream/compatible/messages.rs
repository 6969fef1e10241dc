//! Messages for providers that are strict about them: roles, fields and the form of tool call ids.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use crate::api::chat::ChatRequest;
use crate::catalog::quirks::Quirks;

/// A message's fields, unread.
type Message = BTreeMap<String, Box<RawValue>>;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The request's messages as `quirks` want them; `None`: they are that already.
pub(super) fn rewritten(quirks: &Quirks, request: &ChatRequest) -> Option<Vec<u8>> {
    if !touched(quirks, request) {
        return None;
    }
    let mut messages: Vec<Message> = serde_json::from_slice(request.raw("messages")?).ok()?;
    for message in &mut messages {
        rewrite(quirks, message);
    }
    serde_json::to_vec(&messages).ok()
}

fn touched(quirks: &Quirks, request: &ChatRequest) -> bool {
    let has = |role: &str| request.messages.iter().any(|message| message.role == role);
    !quirks.message_fields.is_empty()
        || (quirks.developer_role.is_some() && has("developer"))
        || (quirks.tool_call_id_length.is_some() && (has("assistant") || has("tool")))
}

fn rewrite(quirks: &Quirks, message: &mut Message) {
    if !quirks.message_fields.is_empty() {
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
