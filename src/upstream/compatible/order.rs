//! Who may speak after whom, for providers that are strict about it.

use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use super::messages::{Message, replace};
use crate::catalog::quirks::Quirks;

/// Stands in a result for what follows in the user's message.
pub(in crate::upstream) const SHOWN_BELOW: &str = "(What it shows follows in the user's message.)";

/// What the assistant says to results where its own answer to them is missing.
const NOTED: &str = "Understood.";

/// The messages in an order that `quirks` allow.
pub(super) fn ordered(quirks: &Quirks, mut messages: Vec<Message>) -> Vec<Message> {
    if quirks.text_results {
        messages = with_text_results(messages);
    }
    if quirks.answered_results {
        messages = with_answered_results(messages);
    }
    if let Some(field) = &quirks.prefill {
        mark_prefill(&mut messages, field);
    }
    messages
}

/// Each run of tools' results without the pictures in them, which the user shows behind it.
fn with_text_results(messages: Vec<Message>) -> Vec<Message> {
    let mut out = Vec::with_capacity(messages.len() + 1);
    let mut pictures = vec![];
    for mut message in messages {
        if is(&message, "tool") {
            pictures.extend(take_pictures(&mut message));
        } else {
            out.extend(shown(std::mem::take(&mut pictures)));
        }
        out.push(message);
    }
    out.extend(shown(pictures));
    out
}

/// Behind results comes the assistant, though it be with a word.
fn with_answered_results(messages: Vec<Message>) -> Vec<Message> {
    let mut out: Vec<Message> = Vec::with_capacity(messages.len() + 1);
    for message in messages {
        let unanswered = out.last().is_some_and(|last| is(last, "tool"));
        if unanswered && !is(&message, "tool") && !is(&message, "assistant") {
            out.extend(said("assistant", NOTED.into()));
        }
        out.push(message);
    }
    out
}

/// The model goes on with what it said last, if it is told to in this field.
fn mark_prefill(messages: &mut [Message], field: &str) {
    let calls = |message: &Message| message.get("tool_calls").is_some_and(|calls| calls.get().contains('{'));
    let last = messages.last_mut().filter(|last| is(last, "assistant") && !calls(last));
    if let (Some(last), Ok(marked)) = (last, to_raw_value(&true)) {
        last.entry(field.to_owned()).or_insert(marked);
    }
}

fn is(message: &Message, role: &str) -> bool {
    message.get("role").is_some_and(|own| own.get().trim_matches('"') == role)
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
    if pictures.is_empty() { None } else { said("user", pictures.into()) }
}

fn said(role: &str, content: Value) -> Option<Message> {
    let fields = [("role", json!(role)), ("content", content)];
    let field = |(name, value): (&str, Value)| Some((name.to_owned(), to_raw_value(&value).ok()?));
    fields.into_iter().map(field).collect()
}
