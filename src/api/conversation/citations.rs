//! Documents, and what searches found, that an answer is to cite.

use std::fmt::Display;

use serde::Deserialize;
use serde_json::Value;

use super::unsupported;
use crate::api::chat::ChatRequest;
use crate::api::error::BadRequest;

/// The first document of `request` whose places are to be cited, for a wire whose answers cite none; none where the
/// client said `drop_unsupported`. Nothing is read where the word does not occur.
pub fn no_citations(request: &ChatRequest, wire: impl Display) -> Option<BadRequest> {
    uncited(request, wire, |_| true)
}

/// The same of what a search found alone, for a model that cites documents at most.
pub fn no_cited_results(request: &ChatRequest, wire: impl Display) -> Option<BadRequest> {
    uncited(request, wire, |part| part["search_result"].is_object())
}

/// Of the parts that are `meant`.
fn uncited(request: &ChatRequest, wire: impl Display, meant: impl Fn(&Value) -> bool) -> Option<BadRequest> {
    #[derive(Deserialize)]
    struct Turn {
        #[serde(default)]
        content: Value,
    }
    let raw = request.raw_with("messages", "citations")?;
    let turns: Vec<Turn> = serde_json::from_slice(raw).ok().filter(|_| !request.drop_unsupported)?;
    let asks = |part: &Value| part["citations"]["enabled"] == true && meant(part);
    let asked = |turn: &Turn| turn.content.as_array()?.iter().position(asks);
    let (message, part) = turns.iter().enumerate().find_map(|(i, turn)| Some((i, asked(turn)?)))?;
    let field = format!("messages[{message}].content[{part}].citations");
    Some(unsupported(&field, &format!("{field}: {wire} does not say where in a document its answers are from")))
}
