//! Custom tools: their input is free text, or held to a grammar, where a function's is JSON.

use std::borrow::Cow;
use std::fmt::Display;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::allowed::{barred, with_allowed_tools_only};
use super::turns::Turn;
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

/// As much of a tool or of a call as tells what it is.
#[derive(Deserialize)]
struct Glance<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
}

impl Glance<'_> {
    fn is_custom(&self) -> bool {
        self.kind == "custom"
    }
}

/// The first custom tool of `request`, or the first call of one, for a wire that has functions and nothing else; none
/// where the client said `drop_unsupported`, or allows none of them to be called.
pub fn no_custom_tools(request: &ChatRequest, wire: impl Display) -> Option<BadRequest> {
    if request.drop_unsupported {
        return None;
    }
    let places = places(request);
    let barred = if places.is_empty() { vec![] } else { barred(request) };
    if let Some(place) = places.iter().find(|place| !barred.contains(place)) {
        let field = format!("tools[{place}]");
        return Some(unsupported(&field, &format!("{field} is a custom tool, and {wire} has functions only")));
    }
    let (message, call) = first_call(request)?;
    let field = format!("messages[{message}].tool_calls[{call}]");
    Some(unsupported(&field, &format!("{field} calls a custom tool, and {wire} has functions only")))
}

/// `request` for a provider that speaks OpenAI's wire, but knows functions only and no choice among some of them: without
/// its custom tools, as [`Conversation::read`](super::Conversation::read) has it. `None`: it is that already.
///
/// # Errors
/// What is wrong in the choice.
pub fn with_functions_only(request: &ChatRequest) -> Result<Option<ChatRequest>, BadRequest> {
    let allowed = with_allowed_tools_only(request)?;
    let functions = without_custom_tools(allowed.as_ref().unwrap_or(request)).or(allowed);
    let calls = calls_of_functions(request);
    Ok(match calls {
        Some(messages) => Some(functions.unwrap_or_else(|| request.clone()).with_field("messages", Some(messages))),
        None => functions,
    })
}

fn without_custom_tools(request: &ChatRequest) -> Option<ChatRequest> {
    let places = Some(places(request)).filter(|places| !places.is_empty())?;
    let tools: Vec<Value> = request.field("tools", "a list of tools").ok()??;
    let kept = tools.into_iter().enumerate().filter(|(i, _)| !places.contains(i)).map(|(_, tool)| tool);
    let kept: Vec<Value> = kept.collect();
    let tools = (!kept.is_empty()).then(|| Value::from(kept).to_string().into());
    let choice = request.raw("tool_choice").filter(|choice| tools.is_some() && !names_custom(choice)).cloned();
    Some(request.clone().with_field("tools", tools).with_field("tool_choice", choice))
}

fn names_custom(choice: &[u8]) -> bool {
    serde_json::from_slice::<Glance>(choice).is_ok_and(|choice| choice.is_custom())
}

/// Where in `tools` the custom ones stand. Nothing is read where the word does not occur.
fn places(request: &ChatRequest) -> Vec<usize> {
    let raw = request.raw_with("tools", "custom");
    let tools: Vec<Glance> = raw.and_then(|raw| serde_json::from_slice(raw).ok()).unwrap_or_default();
    tools.iter().enumerate().filter(|(_, tool)| tool.is_custom()).map(|(i, _)| i).collect()
}

/// The messages of a conversation with calls, if there may be a custom tool's among them: then the word occurs.
fn messages(request: &ChatRequest) -> Option<&Bytes> {
    let has_calls = || request.messages.iter().any(|message| message.tool_calls.any);
    request.raw_with("messages", "custom").filter(|_| has_calls())
}

/// Message and call.
fn first_call(request: &ChatRequest) -> Option<(usize, usize)> {
    #[derive(Deserialize)]
    struct Turn<'a> {
        #[serde(borrow, default)]
        tool_calls: Option<Vec<Glance<'a>>>,
    }
    let turns: Vec<Turn> = serde_json::from_slice(messages(request)?).ok()?;
    let call = |turn: &Turn| turn.tool_calls.as_ref()?.iter().position(Glance::is_custom);
    turns.iter().enumerate().find_map(|(i, turn)| Some((i, call(turn)?)))
}

/// The messages with calls of functions in place of those of custom tools; `None`: there are no such calls.
fn calls_of_functions(request: &ChatRequest) -> Option<Bytes> {
    first_call(request)?;
    let mut turns: Vec<Value> = serde_json::from_slice(messages(request)?).ok()?;
    let calls = turns.iter_mut().filter_map(|turn| turn.get_mut("tool_calls")?.as_array_mut()).flatten();
    for call in calls.filter(|call| call["type"] == "custom") {
        let function = json!({"name": call["custom"]["name"], "arguments": as_arguments(&call["custom"]["input"])});
        *call = json!({"id": call["id"], "type": "function", "function": function});
    }
    Some(Value::from(turns).to_string().into())
}

/// Turns for a wire that has functions only: a call of a custom tool is a function's that takes the input by that name.
pub(super) fn functions_only(mut turns: Vec<Turn>) -> Vec<Turn> {
    let calls = turns.iter_mut().flat_map(|turn| match turn {
        Turn::Assistant { calls, .. } => calls.as_mut_slice(),
        _ => &mut [],
    });
    for call in calls.filter(|call| call.custom) {
        call.custom = false;
        call.arguments = as_arguments(&call.arguments.as_str().into());
    }
    turns
}

fn as_arguments(input: &Value) -> String {
    json!({"input": input}).to_string()
}
