//! Turns → items of `input`.

use serde_json::{Value, json};

use crate::api::chat::ChatRequest;
use crate::api::conversation::{
    Hosted, Part, PartKind, Protocol, Reasoning, Sealed, Source, Stretch, ToolCall, Turn, characters, course,
    unsupported,
};
use crate::api::error::BadRequest;
use crate::api::fields::object;

/// The turns of `request` in their order. `thinker`: whose thoughts are given back.
///
/// # Errors
/// A part of a model's own message that is no text, by its place.
pub(super) fn items(request: &ChatRequest, turns: &[Turn], thinker: &str) -> Result<Vec<Value>, BadRequest> {
    let (mut items, mut custom) = (vec![], vec![]);
    for (i, (message, turn)) in request.messages.iter().zip(turns).enumerate() {
        match turn {
            Turn::System { parts } | Turn::User { parts, .. } => items.push(said(&message.role, content(parts))),
            Turn::Assistant { parts, reasoning, calls, hosted, .. } => {
                let text = spoken(i, parts, request.drop_unsupported)?;
                items.extend(answered(thinker, reasoning, hosted, &text, calls));
                custom.extend(calls.iter().filter(|call| call.custom).map(|call| &call.id));
            }
            Turn::Tool { call_id, parts, .. } => {
                let kind = if custom.contains(&call_id) { "custom_tool_call_output" } else { "function_call_output" };
                items.push(json!({"type": kind, "call_id": call_id, "output": content(parts)}));
            }
        }
    }
    Ok(items)
}

fn said(role: &str, content: Value) -> Value {
    json!({"type": "message", "role": role, "content": content})
}

/// What a model thought, did with OpenAI's own tools, said and called. A thought that nothing came of is refused.
fn answered(thinker: &str, reasoning: &[Reasoning], hosted: &[Hosted], text: &str, calls: &[ToolCall]) -> Vec<Value> {
    let did = hosted.iter().any(|item| item.of == Protocol::Responses);
    let nothing_came = text.is_empty() && calls.is_empty() && !did;
    let thought = |thought: &Reasoning| match thought {
        Reasoning::Sealed(sealed) if sealed.thinker == thinker && !nothing_came => Some(reasoning_item(sealed)),
        _ => None,
    };
    let stretches = course(Protocol::Responses, hosted, reasoning.len(), text.chars().count()).into_iter();
    let items = stretches.flat_map(|stretch| match stretch {
        Stretch::Thoughts(these) => reasoning[these].iter().filter_map(thought).collect(),
        Stretch::Text(these) => vec![said("assistant", characters(text, &these).into())],
        Stretch::Item(is) => vec![is.clone()],
    });
    items.chain(calls.iter().map(called)).collect()
}

fn reasoning_item(thought: &Sealed) -> Value {
    let summary = match &*thought.summary {
        "" => json!([]),
        text => json!([{"type": "summary_text", "text": text}]),
    };
    object([
        ("type", "reasoning".into()),
        ("id", json!(thought.id)),
        ("summary", summary),
        ("encrypted_content", json!(thought.content)),
    ])
}

fn called(call: &ToolCall) -> Value {
    let ToolCall { id, name, arguments, .. } = call;
    match call.custom {
        true => json!({"type": "custom_tool_call", "call_id": id, "name": name, "input": arguments}),
        false => json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments}),
    }
}

/// A model's own words, in one string: in any other form they would need the id that they had.
fn spoken(message: usize, parts: &[Part], drop: bool) -> Result<String, BadRequest> {
    let text = |(part, given): (usize, &Part)| match &given.kind {
        PartKind::Text(text) | PartKind::Refusal(text) => Ok(text.clone()),
        _ if drop => Ok(String::new()),
        _ => {
            let field = format!("messages[{message}].content[{part}]");
            Err(unsupported(&field, &format!("{field}: an assistant's message is nothing but text in Responses")))
        }
    };
    parts.iter().enumerate().map(text).collect()
}

/// Text alone is a string.
fn content(parts: &[Part]) -> Value {
    match parts {
        [] => "".into(),
        [Part { kind: PartKind::Text(text), breakpoint: None, .. }] => json!(text),
        parts => parts.iter().filter_map(input).collect(),
    }
}

/// Sound is nothing: it was refused before, or is to be left out.
fn input(part: &Part) -> Option<Value> {
    let mut input = match &part.kind {
        PartKind::Text(text) | PartKind::Refusal(text) => json!({"type": "input_text", "text": text}),
        PartKind::Image { source, detail } => image(source, detail.as_deref()),
        PartKind::File { source, name } => file(source, name.as_deref()),
        PartKind::Audio { .. } => return None,
    };
    if let Some(breakpoint) = &part.breakpoint {
        input["prompt_cache_breakpoint"] = breakpoint.clone();
    }
    Some(input)
}

fn image(source: &Source, detail: Option<&str>) -> Value {
    let (url, id) = match source {
        Source::Id(id) => (None, Some(id)),
        source => (Some(url(source)), None),
    };
    object([
        ("type", "input_image".into()),
        ("image_url", json!(url)),
        ("file_id", json!(id)),
        ("detail", detail.unwrap_or("auto").into()),
    ])
}

fn file(source: &Source, name: Option<&str>) -> Value {
    let field = match source {
        Source::Url(_) => "file_url",
        Source::Base64 { .. } => "file_data",
        Source::Id(_) => "file_id",
    };
    object([("type", "input_file".into()), ("filename", json!(name)), (field, url(source).into())])
}

fn url(source: &Source) -> String {
    match source {
        Source::Url(url) | Source::Id(url) => url.clone(),
        Source::Base64 { media_type, data } => format!("data:{media_type};base64,{data}"),
    }
}
