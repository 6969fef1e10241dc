//! What comes piece by piece, put together.

use serde_json::{Map, Value};

/// Texts that come in pieces; any other text is said once, or again as it was.
pub const GROWING: [&str; 9] =
    ["content", "refusal", "reasoning_content", "reasoning", "arguments", "input", "thinking", "transcript", "data"];
/// Those of OpenRouter's [`DETAILS`]: elsewhere, texts of these names come whole.
pub const GROWING_DETAILS: [&str; 3] = ["text", "summary", "data"];
const DETAILS: &str = "reasoning_details";
/// Those of a tool that is called, which is [`TOOLS`] of a call.
const GROWING_TOOL: [&str; 3] = ["name", "arguments", "input"];
const TOOLS: [&str; 3] = ["function", "function_call", "custom"];

/// Adds a piece of an object to what came before of it: `growing` texts and all lists grow, null and the empty text say
/// nothing, nor does a name that comes again, and the rest is replaced.
fn add(whole: &mut Map<String, Value>, piece: &Map<String, Value>, growing: &[&str]) {
    for (name, piece) in piece {
        let growing = match name.as_str() {
            DETAILS => &GROWING_DETAILS,
            tool if TOOLS.contains(&tool) => &GROWING_TOOL,
            _ => growing,
        };
        match (whole.get_mut(name), piece) {
            (None, _) => drop(whole.insert(name.clone(), piece.clone())),
            (Some(_), Value::Null) => {}
            (Some(_), Value::String(nothing)) if nothing.is_empty() => {}
            (Some(whole), again) if name == "name" && whole == again => {}
            (Some(Value::String(text)), Value::String(more)) if growing.contains(&name.as_str()) => text.push_str(more),
            (Some(Value::Array(list)), Value::Array(more)) => {
                more.iter().for_each(|one| add_element(list, one, growing))
            }
            (Some(Value::Object(whole)), Value::Object(piece)) => add(whole, piece, growing),
            (Some(whole), piece) => *whole = piece.clone(),
        }
    }
}

/// An element that says which it is belongs to the earlier one of that index, unless that is of another type; another is
/// a new one.
pub fn add_element(list: &mut Vec<Value>, piece: &Value, growing: &[&str]) {
    let earlier = list.iter_mut().find(|one| is_continued(one, piece));
    match (earlier.and_then(Value::as_object_mut), piece.as_object()) {
        (Some(whole), Some(piece)) => add(whole, piece, growing),
        _ => list.push(piece.clone()),
    }
}

fn is_continued(one: &Value, piece: &Value) -> bool {
    let index = piece["index"].as_u64();
    index.is_some() && index == one["index"].as_u64() && kind(one).zip(kind(piece)).is_none_or(|(a, b)| a == b)
}

fn kind(element: &Value) -> Option<&str> {
    element["type"].as_str().filter(|kind| !kind.is_empty())
}
