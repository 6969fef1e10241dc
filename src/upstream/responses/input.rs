//! Turns → items of `input`.

use serde_json::{Value, json};

use crate::api::chat::ChatRequest;
use crate::api::conversation::{
    Fields, Hosted, Part, PartKind, Piece, Protocol, Reasoning, Sealed, Source, ToolCall, Turn, characters, marked,
    pieces, unsupported,
};
use crate::api::error::BadRequest;
use crate::api::fields::object;
use crate::upstream::compatible::ids::within;

/// The longest id of a call, characters.
const MAX_ID: usize = 64;

/// The turns of `request` in their order. `thinker`: whose thoughts are given back.
///
/// # Errors
/// A part of a model's own message that is no text, by its place.
pub(super) fn items(request: &ChatRequest, turns: &[Turn], thinker: &str) -> Result<Vec<Value>, BadRequest> {
    let (mut items, mut custom) = (vec![], vec![]);
    for (i, (message, turn)) in request.messages.iter().zip(turns).enumerate() {
        match turn {
            Turn::System { parts } | Turn::User { parts, .. } => items.push(said(&message.role, content(parts))),
            Turn::Assistant { parts, reasoning, calls, images, hosted, .. } => {
                let text = spoken(i, parts, request.drop_unsupported)?;
                let pictures = pictures(i, images, request.drop_unsupported)?;
                items.extend(Answered { text: &text, reasoning, pictures, calls }.items(thinker, hosted));
                custom.extend(calls.iter().filter(|call| call.custom).map(|call| &call.id));
            }
            Turn::Tool { call_id, parts, hosted, .. } => {
                let kind = if custom.contains(&call_id) { "custom_tool_call_output" } else { "function_call_output" };
                let output = json!({"type": kind, "call_id": within(call_id, MAX_ID), "output": content(parts)});
                items.push(marked(output, own(hosted)));
            }
        }
    }
    Ok(items)
}

fn said(role: &str, content: Value) -> Value {
    json!({"type": "message", "role": role, "content": content})
}

/// What the wire alone says of a result.
fn own(hosted: &[Hosted]) -> Option<&Value> {
    hosted.iter().find(|item| item.of == Protocol::Responses).map(|item| &item.is)
}

/// What a model answered before.
struct Answered<'a> {
    text: &'a str,
    reasoning: &'a [Reasoning],
    /// As items.
    pictures: Vec<Value>,
    calls: &'a [ToolCall],
}

impl Answered<'_> {
    /// What it thought, did with OpenAI's own tools, said, drew and called. A thought that nothing came of is refused.
    fn items(mut self, thinker: &str, hosted: &[Hosted]) -> Vec<Value> {
        let calls = self.calls.iter().map(|call| &*call.id).collect();
        let (thoughts, pictures) = (self.reasoning.len(), self.pictures.len());
        let fields = Fields { thoughts, text: self.text, pictures, calls };
        let pieces = pieces(Some(Protocol::Responses), hosted, &fields);
        let something_came = pieces.iter().any(|piece| !matches!(piece, Piece::Thoughts(_) | Piece::Message(_)));
        let mut message = None;
        let mut items = vec![];
        for piece in pieces {
            match piece {
                Piece::Thoughts(these) if something_came => items.extend(given_back(&self.reasoning[these], thinker)),
                Piece::Thoughts(_) => {}
                Piece::Message(mark) => message = Some(mark),
                Piece::Text(these) => {
                    items.push(marked(said("assistant", characters(self.text, &these).into()), message.take()));
                }
                Piece::Picture(i, mark) => items.push(marked(self.pictures[i].take(), mark)),
                Piece::Call(i, mark) => items.push(marked(called(&self.calls[i]), mark)),
                Piece::Item(is) => items.push(is.clone()),
            }
        }
        items
    }
}

/// Those of the thoughts that their thinker can read.
fn given_back(thoughts: &[Reasoning], thinker: &str) -> impl Iterator<Item = Value> {
    thoughts.iter().filter_map(move |thought| match thought {
        Reasoning::Sealed(sealed) if sealed.thinker == thinker => Some(reasoning_item(sealed)),
        _ => None,
    })
}

/// Pictures that a model made before, as the work of the tool that makes them here; of the id that is its own, a mark
/// tells.
fn pictures(message: usize, images: &[Part], drop: bool) -> Result<Vec<Value>, BadRequest> {
    let item = |(i, part): (usize, &Part)| match &part.kind {
        PartKind::Image { source: Source::Base64 { data, .. }, .. } => {
            let id = format!("ig_{message}_{i}");
            Some(Ok(json!({"type": "image_generation_call", "id": id, "status": "completed", "result": data})))
        }
        _ if drop => None,
        _ => {
            let field = format!("messages[{message}].images[{i}]");
            let problem =
                format!("{field}: a picture that a model made is nothing but a base64 data: URL in Responses");
            Some(Err(unsupported(&field, &problem)))
        }
    };
    images.iter().enumerate().filter_map(item).collect()
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
    let ToolCall { name, arguments, .. } = call;
    let id = within(&call.id, MAX_ID);
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
