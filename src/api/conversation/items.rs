//! Items of a response in what was said before, which stay with OpenAI's own wire.

use std::fmt::Display;

use serde::Deserialize;
use serde_json::Value;

use super::hosted::Protocol;
use super::marks::Marked;
use super::unsupported;
use crate::api::chat::ChatRequest;
use crate::api::error::BadRequest;

/// What OpenAI's tools did, which others may go on without: the answer says what came of it.
const SPARED: [&str; 16] = [
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "computer_call",
    "computer_call_output",
    "file_search_call",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "shell_call",
    "shell_call_output",
    "tool_search_call",
    "web_search_call",
];

/// The first item of OpenAI's in a conversation that another wire cannot go on without: a summary in place of what was
/// said before, for one.
pub(super) fn no_items(request: &ChatRequest, own: Option<Protocol>, wire: impl Display) -> Option<BadRequest> {
    #[derive(Deserialize)]
    struct Turn {
        #[serde(default)]
        hosted_items: Option<Vec<Value>>,
    }
    let raw = request.raw_with("messages", "hosted_items").filter(|_| own != Some(Protocol::Responses))?;
    let turns: Vec<Turn> = serde_json::from_slice(raw).ok()?;
    let is_missed = |item: &Value| {
        let is = &item["is"];
        let kind = is["type"].as_str().unwrap_or_default();
        let is_spared = SPARED.contains(&kind) || kind.ends_with("_call_output") || Marked::of(is).is_some();
        item["of"] == "responses" && !is_spared
    };
    let place = |turn: &Turn| turn.hosted_items.as_ref()?.iter().position(is_missed);
    let (message, item) = turns.iter().enumerate().find_map(|(i, turn)| Some((i, place(turn)?)))?;
    let kind = turns[message].hosted_items.as_ref()?[item]["is"]["type"].as_str().unwrap_or_default().to_owned();
    let field = format!("messages[{message}].hosted_items[{item}]");
    Some(unsupported(&field, &format!("{field} is of type \"{kind}\", which {wire} cannot be given")))
}
