//! The whole of a chat request, typed: what a translation into another wire needs to know.
//!
//! A request to a provider of OpenAI's own wire is never read this far: its bytes pass through.

mod allowed;
mod citations;
mod content;
mod controls;
mod course;
mod custom;
mod hosted;
mod items;
mod marks;
mod signatures;
mod thoughts;
mod turns;

pub use allowed::AllowedTools;
pub use citations::{no_citations, no_cited_results};
pub use content::{Part, PartKind, Source};
pub use controls::{Controls, Effort, Format, JsonSchema, Thinking, Tool, ToolChoice, with_effort_alone};
pub use course::characters;
pub use custom::{CustomTool, CustomTools, no_custom_tools, with_functions_only};
pub use hosted::{Hosted, Protocol, no_hosted_tools, without_hosted_tools};
pub use marks::{Fields, Marked, Marks, PAUSE, Piece, mark, marked, pieces, tells_more, tool_mark};
pub use signatures::Signatures;
pub use thoughts::{Reasoning, Sealed, is_signed};
pub use turns::{ToolCall, Turn};

use serde::de::IgnoredAny;
use serde_json::Value;

use super::chat::ChatRequest;
use super::error::BadRequest;

/// What a client asked for, in the terms of OpenAI's wire.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversation {
    /// At least one, in the client's order.
    pub turns: Vec<Turn>,
    pub controls: Controls,
}

impl Conversation {
    /// Reads all of `request`, for a wire that has functions and no custom tools, and chooses among all that it has: only
    /// those that are allowed are there.
    ///
    /// # Errors
    /// As [`read_all`](Self::read_all), and a tool that is allowed and not there. Of tools that are no functions, and of
    /// their calls, [`inexpressible`] tells; where they are to be left out, calls of custom tools become functions'.
    pub fn read(request: &ChatRequest) -> Result<Self, BadRequest> {
        Self::read_of(request, None)
    }

    /// The same for a wire that also has what `own` alone knows.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_of(request: &ChatRequest, own: Option<Protocol>) -> Result<Self, BadRequest> {
        let allowed = allowed::with_allowed_tools_only(request)?;
        let request = allowed.as_ref().unwrap_or(request);
        let bare = without_hosted_tools(request, own);
        let request = bare.as_ref().unwrap_or(request);
        let Self { turns, mut controls } = Self::read_all(request)?;
        controls.leave_out_custom_tools();
        Ok(Self { turns: custom::functions_only(turns), controls })
    }

    /// Reads all of `request`.
    ///
    /// # Errors
    /// Names the field that is missing or of the wrong kind, down to its place in a list, and what would be right.
    pub fn read_all(request: &ChatRequest) -> Result<Self, BadRequest> {
        Ok(Self { turns: turns::read(request)?, controls: Controls::read(request)? })
    }
}

/// Fields that ask for nothing which could be missed in an answer: a provider that has nothing like them is asked
/// without them, and nobody needs to be told.
const HINTS: [&str; 23] = [
    "anthropic_beta",
    "claude_effort",
    "claude_fields",
    "claude_search",
    "claude_thinking",
    "claude_user",
    "client_metadata",
    "include",
    "max_tool_calls",
    "metadata",
    "models",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "provider",
    "reasoning_summary",
    "responses_reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream_options",
    "user",
    "verbosity",
];

/// The same, of what clients of OpenRouter and LiteLLM say to those.
pub const FOR_GATEWAYS: [&str; 7] =
    ["caching", "include_reasoning", "litellm_metadata", "route", "session_id", "transforms", "usage"];

fn is_hint(name: &str) -> bool {
    HINTS.contains(&name) || FOR_GATEWAYS.contains(&name)
}

/// Every field that [`Conversation::read`] reads or that the gateway has its own use for.
const READ_ALWAYS: [&str; 5] = ["model", "messages", "stream", "drop_unsupported", "hosted"];

/// What else a chat may say, which each wire translates or refuses.
const OF_CHATS: [&str; 25] = [
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "modalities",
    "n",
    "parallel_tool_calls",
    "presence_penalty",
    "reasoning",
    "reasoning_effort",
    "response_format",
    "seed",
    "stop",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
    "web_search_options",
];

/// Whether a field has a meaning in a chat, or one to the gateway.
pub fn is_known(name: &str) -> bool {
    READ_ALWAYS.contains(&name) || is_hint(name) || OF_CHATS.contains(&name)
}

/// `parallel_tool_calls: false`, for a wire whose models call as many functions at once as they like, and a choice among
/// several of them.
pub fn one_call_at_a_time(request: &ChatRequest, wire: &str) -> Option<BadRequest> {
    let asked = !request.drop_unsupported && wants_one_call(request) && !has_one_callable(request);
    let problem = || format!("{wire} cannot be held to one call at a time (`parallel_tool_calls`)");
    asked.then(|| unsupported("parallel_tool_calls", &problem()))
}

/// Whether, on such a wire, an answer is to have its first call only: what is lost is another call of the same function,
/// for which the client did not ask.
pub fn keeps_first_call(request: &ChatRequest) -> bool {
    wants_one_call(request) && has_one_callable(request)
}

fn wants_one_call(request: &ChatRequest) -> bool {
    request.raw("parallel_tool_calls").is_some_and(|raw| &raw[..] == b"false")
}

/// One function is chosen, or there is no other.
fn has_one_callable(request: &ChatRequest) -> bool {
    let tools: Option<Vec<IgnoredAny>> = request.field("tools", "a list").ok().flatten();
    let choice: Option<Value> = request.field("tool_choice", "a choice").ok().flatten();
    tools.is_none_or(|tools| tools.len() < 2) || choice.is_some_and(|choice| choice["type"] == "function")
}

/// The first field of `request` among those that a provider knows nothing like, which `unknown` names. A field that asks
/// for nothing is left out and nobody is told; so are hints, and everything where the client said `drop_unsupported`.
pub fn unknown_there(request: &ChatRequest, unknown: &[impl AsRef<str>], provider: &str) -> Option<BadRequest> {
    if request.drop_unsupported || unknown.is_empty() {
        return None;
    }
    let missed = |name: &str, value: &[u8]| !is_hint(name) && !asks_for_nothing(name, value);
    let (name, _) = request
        .fields()
        .find(|(name, value)| unknown.iter().any(|other| other.as_ref() == *name) && missed(name, value))?;
    Some(unsupported(name, &format!("provider {provider} knows nothing like `{name}`")))
}

/// The first field of `request` that a wire which understands `understood` (and what every wire does) cannot express, or
/// its first tool that is no function: such a wire has functions only.
/// What is said to be as it is anyhow (null, `n: 1`) asks for nothing; neither does anything where the client said
/// `drop_unsupported`.
pub fn inexpressible(request: &ChatRequest, understood: &[&str], wire: &str) -> Option<BadRequest> {
    inexpressible_of(request, understood, None, wire)
}

/// The same for a wire that also has what `own` alone knows.
pub fn inexpressible_of(
    request: &ChatRequest,
    understood: &[&str],
    own: Option<Protocol>,
    wire: &str,
) -> Option<BadRequest> {
    if request.drop_unsupported {
        return None;
    }
    let known = |name: &str| READ_ALWAYS.contains(&name) || is_hint(name) || understood.contains(&name);
    let missed = request.fields().find(|(name, value)| !known(name) && !asks_for_nothing(name, value));
    let missed = missed.map(|(name, _)| unsupported(name, &format!("{wire} knows nothing like `{name}`")));
    missed.or_else(|| no_custom_tools(request, wire)).or_else(|| no_hosted_tools(request, own, wire))
}

/// A `problem` with a field that its provider cannot express, and the remedies there are.
pub fn unsupported(field: &str, problem: &str) -> BadRequest {
    let remedy = "leave it out, ask another model, or have it left out: `\"drop_unsupported\": true`, or a header \
                  x-satisfice-drop-unsupported";
    BadRequest::field(field.to_owned(), format!("{problem}; {remedy}"))
}

/// Whether a field says no more than its absence would.
fn asks_for_nothing(name: &str, value: &[u8]) -> bool {
    let number = || serde_json::from_slice::<f64>(value).ok();
    let default = match name {
        "n" => number() == Some(1.0),
        "frequency_penalty" | "presence_penalty" | "top_logprobs" => number() == Some(0.0),
        "logprobs" | "store" => value == b"false",
        "modalities" => value == b"[\"text\"]",
        // The web is searched as it is by default.
        "web_search_options" => return value == b"null",
        _ => false,
    };
    default || matches!(value, b"null" | b"{}" | b"[]")
}
