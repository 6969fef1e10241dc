//! `tool_choice` of the type `allowed_tools`: of the tools that a conversation has, only some may be called now.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::unsupported;
use crate::api::chat::ChatRequest;
use crate::api::error::BadRequest;

/// The tools that may be called.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AllowedTools {
    pub mode: Mode,
    /// The type of each and, in an object of that name, its name; of what providers run themselves, see
    /// [`Hosted`](super::Hosted), what tells it from others.
    pub tools: Vec<Value>,
}

/// How free a model is among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It may call some, or none.
    Auto,
    /// It must call one.
    Required,
}

/// What is allowed of the tools of `request`; `None`: all, or what its `tool_choice` says otherwise. Nothing is read
/// where the word does not occur.
///
/// # Errors
/// What is wrong in it.
pub(super) fn read(request: &ChatRequest) -> Result<Option<AllowedTools>, BadRequest> {
    let said = request.raw_with("tool_choice", "allowed_tools");
    let choice: Option<Value> = said.and_then(|raw| serde_json::from_slice(raw).ok());
    let Some(choice) = choice.filter(|choice| choice["type"] == "allowed_tools") else { return Ok(None) };
    let allowed = AllowedTools::deserialize(&choice["allowed_tools"]).map_err(|e| {
        let expected = "{\"mode\": \"auto\" or \"required\", \"tools\": [{\"type\": …}]}";
        wrong("tool_choice.allowed_tools", &format!("must be {expected}: {e}"))
    });
    allowed.map(Some)
}

/// `request` with no other tools than those that its `tool_choice` allows, for a wire that has no such choice: it says
/// the same. Where none is allowed, all stay, and none is to be called; but none stays where the web may be searched, which
/// some wires have as a tool. `None`: it does not choose so.
///
/// # Errors
/// What is wrong in the choice: it names a tool that is not there, or no tool, and one must be called.
pub fn with_allowed_tools_only(request: &ChatRequest) -> Result<Option<ChatRequest>, BadRequest> {
    let Some(AllowedTools { mode, tools: allowed }) = read(request)? else { return Ok(None) };
    let tools: Vec<Value> = request.field("tools", "a list of tools")?.unwrap_or_default();
    if let Some(i) = allowed.iter().position(|one| !tools.iter().any(|tool| is(tool, one))) {
        let field = format!("tool_choice.allowed_tools.tools[{i}]");
        return Err(wrong(&field, "is none of `tools`; name one of them, or leave it out"));
    }
    if allowed.is_empty() {
        return with_none(mode, request).map(Some);
    }
    let kept: Vec<Value> = tools.into_iter().filter(|tool| allowed.iter().any(|one| is(tool, one))).collect();
    let json = |value: Value| Some(value.to_string().into());
    let narrowed = request.clone().with_field("tools", json(kept.into()));
    Ok(Some(narrowed.with_field("tool_choice", json(serde_json::json!(mode)))))
}

fn with_none(mode: Mode, request: &ChatRequest) -> Result<ChatRequest, BadRequest> {
    let searches = request.raw("web_search_options").is_some_and(|options| &options[..] != b"null");
    match mode {
        Mode::Auto if !searches => Ok(request.clone().with_field("tool_choice", Some("\"none\"".into()))),
        Mode::Required if !searches => {
            Err(wrong("tool_choice.allowed_tools.tools", "is empty; name the tools to choose from"))
        }
        Mode::Required if !request.drop_unsupported => {
            Err(unsupported("tool_choice", "this provider cannot be held to searching the web (`tool_choice`)"))
        }
        Mode::Auto | Mode::Required => Ok(request.clone().with_field("tools", None).with_field("tool_choice", None)),
    }
}

/// Where in `tools` those stand that may not be called.
pub(super) fn barred(request: &ChatRequest) -> Vec<usize> {
    let Ok(Some(AllowedTools { tools: allowed, .. })) = read(request) else { return vec![] };
    let tools: Vec<Value> = request.field("tools", "a list of tools").ok().flatten().unwrap_or_default();
    let is_barred = |tool: &Value| !allowed.iter().any(|one| is(tool, one));
    tools.iter().enumerate().filter(|(_, tool)| is_barred(tool)).map(|(i, _)| i).collect()
}

/// Whether `tool` is the `allowed` one.
fn is(tool: &Value, allowed: &Value) -> bool {
    let named = |kind: &str| tool[kind]["name"] == allowed[kind]["name"];
    tool["type"] == allowed["type"] && named("function") && named("custom") && is_hosted(tool, allowed)
}

/// What providers run themselves has no name, but a type, and fields such as `server_label` that tell it from others.
fn is_hosted(tool: &Value, allowed: &Value) -> bool {
    let (tool, allowed) = (&tool["hosted"], &allowed["hosted"]);
    let said = allowed["is"].as_object().into_iter().flatten();
    let agrees = |(name, value): (&String, &Value)| tool["is"].get(name).is_none_or(|own| own == value);
    tool["of"] == allowed["of"] && said.into_iter().all(agrees)
}

fn wrong(field: &str, problem: &str) -> BadRequest {
    BadRequest::field(field.to_owned(), format!("{field} {problem}"))
}
