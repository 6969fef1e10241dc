//! The whole of a chat request, typed: what a translation into another wire needs to know.
//!
//! A request to a provider of OpenAI's own wire is never read this far: its bytes pass through.

mod content;
mod controls;
mod turns;

pub use content::{Part, PartKind, Source};
pub use controls::{Controls, Effort, Format, JsonSchema, Tool, ToolChoice};
pub use turns::{Reasoning, ToolCall, Turn};

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
    /// Reads all of `request`.
    ///
    /// # Errors
    /// Names the field that is missing or of the wrong kind, down to its place in a list, and what would be right.
    pub fn read(request: &ChatRequest) -> Result<Self, BadRequest> {
        Ok(Self { turns: turns::read(request)?, controls: Controls::read(request)? })
    }
}

/// Fields that ask for nothing which could be missed in an answer: a provider that has nothing like them is asked
/// without them, and nobody needs to be told.
const HINTS: [&str; 12] = [
    "metadata",
    "models",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "provider",
    "safety_identifier",
    "service_tier",
    "store",
    "stream_options",
    "user",
    "verbosity",
];

/// Every field that [`Conversation::read`] reads or that the gateway has its own use for.
const READ_ALWAYS: [&str; 4] = ["model", "messages", "stream", "drop_unsupported"];

/// The first field of `request` among those that a provider knows nothing like, which `unsupported` names. A field that
/// asks for nothing is left out and nobody is told; so are hints, and everything where the client said
/// `drop_unsupported`.
pub fn unsupported(request: &ChatRequest, unsupported: &[String], provider: &str) -> Option<BadRequest> {
    if request.drop_unsupported || unsupported.is_empty() {
        return None;
    }
    let missed = |name: &str, value: &[u8]| !HINTS.contains(&name) && !asks_nothing(name, value);
    let (name, _) =
        request.fields().find(|(name, value)| unsupported.iter().any(|other| other == name) && missed(name, value))?;
    Some(no_such_field(name, &format!("provider {provider}")))
}

/// A value that is there only because a client writes out its defaults.
fn asks_nothing(name: &str, value: &[u8]) -> bool {
    match (name, value) {
        (_, b"null" | b"{}" | b"[]") => true,
        ("logprobs" | "store", value) => value == b"false",
        ("n", value) => value == b"1",
        ("frequency_penalty" | "presence_penalty" | "top_logprobs", value) => matches!(value, b"0" | b"0.0"),
        _ => false,
    }
}

/// The first field of `request` that a wire which understands `understood` (and what every wire does) cannot express.
/// Null asks for nothing; neither does anything where the client said `drop_unsupported`.
pub fn inexpressible(request: &ChatRequest, understood: &[&str], wire: &str) -> Option<BadRequest> {
    if request.drop_unsupported {
        return None;
    }
    let known = |name: &str| READ_ALWAYS.contains(&name) || HINTS.contains(&name) || understood.contains(&name);
    let (name, _) = request.fields().find(|(name, value)| !known(name) && &value[..] != b"null")?;
    Some(no_such_field(name, wire))
}

fn no_such_field(name: &str, who: &str) -> BadRequest {
    let remedy = "leave it out, ask another model, or send `\"drop_unsupported\": true` to have it left out";
    BadRequest::field(name.to_owned(), format!("{who} knows nothing like `{name}`; {remedy}"))
}
