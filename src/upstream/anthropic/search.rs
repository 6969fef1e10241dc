//! `web_search_options` → the tool that Anthropic searches the web with; its own clients' tool stays as it is.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::api::chat::ChatRequest;
use crate::api::conversation::unsupported;
use crate::api::error::BadRequest;
use crate::api::fields::object;

/// The version that all models since Claude 3.5 have.
const TOOL: &str = "web_search_20250305";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Options {
    user_location: Option<Location>,
    filters: Option<Filters>,
    max_uses: Value,
}

#[derive(Deserialize)]
struct Location {
    #[serde(default)]
    approximate: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Filters {
    allowed_domains: Value,
    blocked_domains: Value,
}

/// Searching without the web as it is now is OpenAI's alone.
pub(super) fn refuses(request: &ChatRequest) -> Option<BadRequest> {
    let asked: Map<String, Value> = request.field("web_search_options", "an object").ok()??;
    let problem = "Anthropic's search cannot be held to `external_web_access` (of web_search_options)";
    let offline = asked.get("external_web_access") == Some(&false.into()) && !request.drop_unsupported;
    offline.then(|| unsupported("web_search_options", problem))
}

/// The tool; `None`: the web is not to be searched. How much of what is found is read (`search_context_size`) Anthropic
/// leaves to the model.
///
/// # Errors
/// What is wrong in the options.
pub(super) fn tool(request: &ChatRequest) -> Result<Option<Value>, BadRequest> {
    let own: Option<Value> = request.field("claude_search", "Anthropic's tool")?;
    let asked = request.raw("web_search_options").is_some_and(|options| &options[..] != b"null");
    if own.is_some() && asked {
        return Ok(own);
    }
    let Some(Options { user_location, filters, max_uses }) = request.field("web_search_options", "an object")? else {
        return Ok(None);
    };
    let Filters { allowed_domains, blocked_domains } = filters.unwrap_or_default();
    let location = user_location.map(|Location { mut approximate }| {
        approximate.insert("type".into(), "approximate".into());
        approximate
    });
    Ok(Some(object([
        ("type", TOOL.into()),
        ("name", "web_search".into()),
        ("user_location", json!(location)),
        ("allowed_domains", allowed_domains),
        ("blocked_domains", blocked_domains),
        ("max_uses", max_uses),
    ])))
}
