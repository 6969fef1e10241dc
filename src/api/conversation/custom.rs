//! Custom tools: their input is free text, or held to a grammar, where a function's is JSON.

use memchr::memmem;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::turns::{ToolCall, Turn};
use super::unsupported;
use crate::api::chat::ChatRequest;
use crate::api::error::BadRequest;

/// The custom tools of a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CustomTools {
    /// In their order.
    pub tools: Vec<CustomTool>,
    /// The one that must be called: `tool_choice`.
    pub chosen: Option<String>,
}

/// A tool that takes any text, or what its grammar allows.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct CustomTool {
    /// Among all tools of the request.
    #[serde(skip)]
    pub place: usize,
    pub name: String,
    #[serde(default)]
    pub description: Option<String>,
    /// `{"type": "text"}`, or `{"type": "grammar", "grammar": {"syntax", "definition"}}`.
    #[serde(default)]
    pub format: Option<Value>,
    /// What is new.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// The first custom tool of `request`, for a wire that has functions and nothing else; none where the client said
/// `drop_unsupported`.
pub fn no_custom_tools(request: &ChatRequest, wire: &str) -> Option<BadRequest> {
    let place = places(request).into_iter().next().filter(|_| !request.drop_unsupported)?;
    let field = format!("tools[{place}]");
    Some(unsupported(&field, &format!("{field} is a custom tool, and {wire} has functions only")))
}

/// `request` without its custom tools; `None`: it has none.
pub fn without_custom_tools(request: &ChatRequest) -> Option<ChatRequest> {
    let places = places(request);
    let tools: Vec<Value> = request.field("tools", "a list of tools").ok()??;
    let kept = tools.into_iter().enumerate().filter(|(i, _)| !places.contains(i)).map(|(_, tool)| tool);
    let kept = (!places.is_empty()).then(|| kept.collect::<Vec<_>>())?;
    let tools = (!kept.is_empty()).then(|| Value::from(kept).to_string().into());
    let choice = request.raw("tool_choice").filter(|choice| tools.is_some() && !choice.starts_with(b"{")).cloned();
    Some(request.clone().with_field("tools", tools).with_field("tool_choice", choice))
}

/// Where in `tools` the custom ones stand. Nothing is read where the word does not occur.
fn places(request: &ChatRequest) -> Vec<usize> {
    #[derive(Deserialize)]
    struct Glance {
        #[serde(rename = "type")]
        kind: String,
    }
    let raw = request.raw("tools").filter(|raw| memmem::find(raw, b"\"custom\"").is_some());
    let tools: Vec<Glance> = raw.and_then(|raw| serde_json::from_slice(raw).ok()).unwrap_or_default();
    tools.iter().enumerate().filter(|(_, tool)| tool.kind == "custom").map(|(i, _)| i).collect()
}

/// Turns for a wire that has functions only: a call of a custom tool is a function's that takes the input by that name.
///
/// # Errors
/// There is such a call, unless it is to be left out, as far as it can be (`drop`).
pub(super) fn functions_only(mut turns: Vec<Turn>, drop: bool) -> Result<Vec<Turn>, BadRequest> {
    for (i, turn) in turns.iter_mut().enumerate() {
        let Turn::Assistant { calls, .. } = turn else { continue };
        for (j, call) in calls.iter_mut().enumerate().filter(|(_, call)| call.custom) {
            if !drop {
                let field = format!("messages[{i}].tool_calls[{j}]");
                let problem = format!("{field} calls a custom tool, and this provider has functions only");
                return Err(unsupported(&field, &problem));
            }
            as_function(call);
        }
    }
    Ok(turns)
}

fn as_function(call: &mut ToolCall) {
    call.custom = false;
    call.arguments = json!({"input": call.arguments}).to_string();
}
