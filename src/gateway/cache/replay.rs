//! A kept answer in the form that is asked for: as it came where it came so, else translated. Pure.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::api::chat::ChatReply;
use crate::api::growing::{GROWING, add_element};
use crate::trace::kept::{Form, Pieces};
use crate::upstream::{StreamItem, Text};

/// Whether `form` is the whole of what was asked for: `n` answers, each with the reason why it ended. One that a filter or
/// an error ended is not whole.
pub(super) fn is_complete(form: &Form, n: usize) -> bool {
    let mut finished = vec![false; n];
    let mut fits = true;
    let mut look = |bytes: &[u8]| match serde_json::from_slice::<ChatReply<'_>>(bytes) {
        Ok(reply) => {
            for choice in reply.choices.unwrap_or_default() {
                let index = choice.index.unwrap_or(0) as usize;
                fits &= index < n && !matches!(choice.finish_reason.as_deref(), Some("content_filter" | "error"));
                finished.iter_mut().skip(index).take(1).for_each(|end| *end |= choice.finish_reason.is_some());
            }
        }
        Err(_) => fits = false,
    };
    match form {
        Form::Whole(body) => look(body),
        Form::Streamed(pieces) => pieces.iter().for_each(|(piece, _)| look(&piece)),
    }
    fits && finished.iter().all(|end| *end)
}

/// The body of the whole answer; `None` where what is kept cannot be read.
pub(in crate::gateway) fn whole(form: &Form) -> Option<Bytes> {
    match form {
        Form::Whole(body) => Some(body.clone()),
        Form::Streamed(pieces) => joined(pieces),
    }
}

/// The chunks of the stream and its end; `None` where what is kept cannot be read.
pub(in crate::gateway) fn stream(form: &Form) -> Option<Vec<StreamItem>> {
    let chunk = |(data, usage_only)| StreamItem::Chunk { data, text: Text::default(), usage: None, usage_only };
    let chunks: Vec<StreamItem> = match form {
        Form::Streamed(pieces) => pieces.iter().map(chunk).collect(),
        Form::Whole(body) => cut(body)?.into_iter().map(chunk).collect(),
    };
    Some(chunks.into_iter().chain([StreamItem::Done]).collect())
}

/// A completion as chunks: what each choice says, then why it ended, then what it all took.
fn cut(body: &Bytes) -> Option<Vec<(Bytes, bool)>> {
    let mut head: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let Value::Array(choices) = head.remove("choices")? else { return None };
    let usage = head.remove("usage").filter(|usage| !usage.is_null());
    head.insert("object".into(), "chat.completion.chunk".into());
    let (mut said, mut ended) = (vec![], vec![]);
    for choice in choices {
        let Value::Object(mut choice) = choice else { return None };
        let end = json!({"index": choice.get("index").unwrap_or(&json!(0)), "delta": {}, "logprobs": null,
                         "finish_reason": choice.insert("finish_reason".into(), Value::Null)});
        let mut message = choice.remove("message")?;
        LISTS.iter().for_each(|name| number(message.get_mut(name)));
        choice.insert("delta".into(), message);
        said.push(chunk(&head, json!([choice]), None));
        ended.push(chunk(&head, json!([end]), None));
    }
    let took = usage.map(|usage| (chunk(&head, json!([]), Some(usage)), true));
    Some(said.into_iter().chain(ended).map(|chunk| (chunk, false)).chain(took).collect())
}

fn chunk(head: &Map<String, Value>, choices: Value, usage: Option<Value>) -> Bytes {
    let mut chunk = head.clone();
    chunk.insert("choices".into(), choices);
    usage.into_iter().for_each(|usage| drop(chunk.insert("usage".into(), usage)));
    bytes(&chunk)
}

/// Lists of a message whose entries say in a stream where in the whole list they stand.
const LISTS: [&str; 6] = ["tool_calls", "thinking_blocks", "hosted_items", "annotations", "citations", "images"];

fn number(list: Option<&mut Value>) {
    for (i, entry) in objects(list).enumerate() {
        entry.insert("index".into(), i.into());
    }
}

fn objects(list: Option<&mut Value>) -> impl Iterator<Item = &mut Map<String, Value>> {
    list.and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

/// Chunks as one completion.
fn joined(pieces: &Pieces) -> Option<Bytes> {
    let mut reply = Map::new();
    let mut choices: Vec<Value> = vec![];
    for (piece, _) in pieces.iter() {
        let mut chunk: Map<String, Value> = serde_json::from_slice(&piece).ok()?;
        let mut of_choices = chunk.remove("choices").unwrap_or_default();
        objects(Some(&mut of_choices)).filter(|choice| choice.get("index").is_none_or(Value::is_null)).for_each(first);
        of_choices.as_array().into_iter().flatten().for_each(|choice| add_element(&mut choices, choice, &GROWING));
        for (name, value) in chunk.into_iter().filter(|(_, value)| !value.is_null()) {
            reply.insert(name, value);
        }
    }
    reply.insert("object".into(), "chat.completion".into());
    choices.iter_mut().for_each(close);
    let usage = reply.remove("usage");
    reply.insert("choices".into(), choices.into());
    usage.into_iter().for_each(|usage| drop(reply.insert("usage".into(), usage)));
    Some(bytes(&reply))
}

/// A choice that does not say which it is, is the first: [`is_complete`] reads it so too.
fn first(choice: &mut Map<String, Value>) {
    choice.insert("index".into(), 0.into());
}

/// `delta` becomes the `message` that it is the sum of, with what a whole one always has.
fn close(choice: &mut Value) {
    let Some(choice) = choice.as_object_mut() else { return };
    let mut message = choice.remove("delta").unwrap_or_else(|| json!({}));
    for name in LISTS {
        objects(message.get_mut(name)).for_each(|entry| drop(entry.remove("index")));
    }
    if let Some(message) = message.as_object_mut() {
        message.entry("role").or_insert_with(|| "assistant".into());
        message.entry("content").or_insert(Value::Null);
        message.entry("refusal").or_insert(Value::Null);
    }
    choice.insert("message".into(), message);
    choice.entry("logprobs").or_insert(Value::Null);
}

/// JSON values always serialise.
fn bytes(body: &Map<String, Value>) -> Bytes {
    serde_json::to_vec(body).unwrap_or_default().into()
}

#[cfg(test)]
mod tests;
