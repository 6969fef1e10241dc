//! Messages → `systemInstruction` and `contents`.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::api::conversation::{Part, PartKind, Source, ToolCall, Turn};
use crate::api::fields::{object, with};
use crate::upstream::compatible::order::SHOWN_BELOW;

/// Google's word for "no signature: another model, or a client, wrote this call". Without a signature its models of
/// generation 3 and later refuse a call in a conversation.
const UNSIGNED: &str = "skip_thought_signature_validator";
const SIGNATURE: &str = "thoughtSignature";

/// `systemInstruction` (null where there is none) and `contents`. `newer`: the model is of generation 3 or later, which
/// want signatures of calls and see what is in results.
///
/// Gemini answers contents only: of a conversation that is nothing but instructions, these are what is said.
pub(super) fn told_and_said(turns: &[Turn], newer: bool) -> (Value, Value) {
    let told: Vec<Value> = turns.iter().filter_map(instructions).flatten().map(part).collect();
    let said = contents(turns, newer);
    match (told.is_empty(), said.is_empty()) {
        (true, _) => (Value::Null, said.into()),
        (false, true) => (Value::Null, json!([{"role": "user", "parts": told}])),
        (false, false) => (json!({"parts": told}), said.into()),
    }
}

fn instructions(turn: &Turn) -> Option<&[Part]> {
    match turn {
        Turn::System { parts } => Some(parts),
        _ => None,
    }
}

fn contents(turns: &[Turn], newer: bool) -> Vec<Value> {
    let mut names = HashMap::new();
    // The results of calls that were made at once belong into one content.
    let groups = turns.chunk_by(|a, b| matches!((a, b), (Turn::Tool { .. }, Turn::Tool { .. })));
    let contents = groups.flat_map(|group| content(group, &mut names, newer));
    contents.fold(vec![], |mut contents, next| {
        match contents.last_mut().filter(|last| last["role"] == "model" && next["role"] == "model") {
            Some(last) => append(last, next),
            None => contents.push(next),
        }
        contents
    })
}

/// What the model says after its own words is more of the same: Google refuses calls in any other place.
fn append(content: &mut Value, mut next: Value) {
    if let (Some(parts), Some(more)) = (content["parts"].as_array_mut(), next["parts"].as_array_mut()) {
        parts.append(more);
    }
}

/// One turn, or the results of several calls. `names`: of every call so far, by its id.
fn content<'t>(group: &'t [Turn], names: &mut HashMap<&'t str, &'t str>, newer: bool) -> Vec<Value> {
    match &group[0] {
        Turn::System { .. } => vec![],
        Turn::User { parts, .. } => vec![from_user(parts.iter().map(part).collect())],
        Turn::Assistant { parts, images, calls, signature, .. } => {
            names.extend(calls.iter().map(|call| (&*call.id, &*call.name)));
            let said = signed_parts(parts, images, signature.as_deref());
            let parts: Vec<Value> = said.into_iter().chain(function_calls(calls, newer)).collect();
            if parts.is_empty() { vec![] } else { vec![json!({"role": "model", "parts": parts})] }
        }
        Turn::Tool { .. } => {
            let results = group.iter().filter_map(|turn| function_response(turn, names, newer));
            let (results, shown): (Vec<Value>, Vec<Vec<Value>>) = results.unzip();
            let contents = [results, shown.concat()].into_iter().filter(|parts| !parts.is_empty());
            contents.map(from_user).collect()
        }
    }
}

fn from_user(parts: Vec<Value>) -> Value {
    json!({"role": "user", "parts": parts})
}

/// What it said and drew. The `signature` is that of its text; it stands with the last picture where none has its own, as
/// earlier answers had it, or alone.
fn signed_parts(parts: &[Part], images: &[Part], signature: Option<&str>) -> Vec<Value> {
    let is_said = |given: &&Part| images.is_empty() || given.words() != Some("");
    let mut out: Vec<Value> = parts.iter().filter(is_said).map(part).collect();
    let said = out.len();
    out.extend(images.iter().map(part));
    let Some(signature) = signature else { return out };
    let is_signed = out.iter().any(|part| part.get(SIGNATURE).is_some());
    match (if is_signed { &mut out[..said] } else { &mut out[..] }).last_mut() {
        Some(last) => last[SIGNATURE] = signature.into(),
        None => out.insert(said, json!({"text": "", SIGNATURE: signature})),
    }
    out
}

/// The model signs only the first of the calls that it makes at once.
fn function_calls(calls: &[ToolCall], signed: bool) -> impl Iterator<Item = Value> {
    let unsigned = signed && calls.iter().all(|call| call.signature.is_none());
    calls.iter().enumerate().map(move |(i, call)| {
        let stand_in = (unsigned && i == 0).then_some(UNSIGNED);
        object([
            ("functionCall", json!({"id": call.id, "name": call.name, "args": args(&call.arguments)})),
            (SIGNATURE, json!(call.signature.as_deref().or(stand_in))),
        ])
    })
}

/// Arguments are an object; what a model wrote that is not one stays readable.
fn args(arguments: &str) -> Value {
    match serde_json::from_str(arguments) {
        Ok(args @ Value::Object(_)) => args,
        Ok(Value::Null) => json!({}),
        _ if arguments.trim().is_empty() => json!({}),
        Ok(other) => json!({"arguments": other}),
        Err(_) => json!({"arguments": arguments}),
    }
}

/// A result names its function, which OpenAI's wire says at the call only. One whose call is not there has at least
/// its id: for the old role `function` this is the name. What an older model is to see of it stands beside it.
fn function_response(turn: &Turn, names: &HashMap<&str, &str>, newer: bool) -> Option<(Value, Vec<Value>)> {
    let Turn::Tool { call_id, parts, failed, .. } = turn else { return None };
    let (texts, media): (Vec<&Part>, _) = parts.iter().partition(|part| part.words().is_some());
    let mut output: Vec<&str> = texts.into_iter().filter_map(Part::words).collect();
    let media: Vec<Value> = media.into_iter().map(part).collect();
    let (media, shown) = if newer { (media, vec![]) } else { (vec![], media) };
    output.extend((!shown.is_empty()).then_some(SHOWN_BELOW));
    let kind = if *failed { "error" } else { "output" };
    let response = object([
        ("id", json!(call_id)),
        ("name", json!(names.get(&**call_id).copied().unwrap_or(call_id))),
        ("response", json!({kind: output_value(&output.join("\n"))})),
        ("parts", if media.is_empty() { Value::Null } else { media.into() }),
    ]);
    Some((json!({"functionResponse": response}), shown))
}

/// An object or a list as such; any other text to the letter.
fn output_value(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => value,
        _ => text.into(),
    }
}

fn part(part: &Part) -> Value {
    let is = match &part.kind {
        PartKind::Text(text) | PartKind::Refusal(text) => json!({"text": text}),
        PartKind::Image { source, .. } | PartKind::File { source, .. } => media(source),
        PartKind::Audio { data, format } => inline(&format!("audio/{format}"), data),
    };
    with(is, SIGNATURE, part.signature.as_deref().map(Value::from).as_ref())
}

fn media(source: &Source) -> Value {
    match source {
        Source::Base64 { media_type, data } => inline(media_type, data),
        Source::Url(uri) | Source::Id(uri) => {
            json!({"fileData": object([("mimeType", json!(media_type_of(uri))), ("fileUri", json!(uri))])})
        }
    }
}

fn inline(media_type: &str, data: &str) -> Value {
    json!({"inlineData": {"mimeType": media_type, "data": data}})
}

/// What the end of a URL's path says of it.
fn media_type_of(uri: &str) -> Option<&'static str> {
    let path = uri.split(['?', '#']).next().unwrap_or(uri);
    let extension = path.rsplit('/').next()?.rsplit_once('.')?.1.to_ascii_lowercase();
    Some(match &*extension {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "heif" => "image/heif",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "mp3" => "audio/mp3",
        "wav" => "audio/wav",
        "flac" => "audio/flac",
        "ogg" => "audio/ogg",
        "mp4" => "video/mp4",
        "mov" => "video/mov",
        "webm" => "video/webm",
        _ => return None,
    })
}
