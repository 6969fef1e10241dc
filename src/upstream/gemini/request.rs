//! A request → the body of `generateContent`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{controls, turns};
use crate::api::chat::ChatRequest;
use crate::api::conversation::{Controls, Conversation, inexpressible, one_call_at_a_time};
use crate::api::error::BadRequest;
use crate::upstream::completion::object;

/// The fields that have something like them in Google's wire.
const UNDERSTOOD: [&str; 20] = [
    "extra_body",
    "frequency_penalty",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "n",
    "parallel_tool_calls",
    "presence_penalty",
    "reasoning",
    "reasoning_effort",
    "response_format",
    "seed",
    "stop",
    "temperature",
    "tool_choice",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
    "web_search_options",
];

/// What Gemini cannot be asked.
pub(super) fn refuses(request: &ChatRequest) -> Option<BadRequest> {
    inexpressible(request, &UNDERSTOOD, "Gemini").or_else(|| one_call_at_a_time(request, "Gemini"))
}

/// What to post.
///
/// # Errors
/// What Gemini cannot be asked, named by the client's field.
pub(super) fn body(model: &str, request: &ChatRequest) -> Result<Value, BadRequest> {
    if let Some(bad) = refuses(request) {
        return Err(bad);
    }
    let Conversation { turns, controls } = Conversation::read(request)?;
    let google = google_fields(request)?;
    let (system, contents) = turns::told_and_said(&turns, controls::generation(model) >= controls::LEVELS_SINCE);
    Ok(object([
        ("systemInstruction", system),
        ("contents", contents),
        ("tools", tools(&controls, request)),
        ("toolConfig", controls::tool_config(&controls)),
        ("generationConfig", controls::generation_config(&controls, model, google.thinking_config)),
        ("safetySettings", google.safety_settings),
        ("cachedContent", google.cached_content),
    ]))
}

fn tools(controls: &Controls, request: &ChatRequest) -> Value {
    let functions = controls::functions(&controls.tools);
    let search = request.raw("web_search_options").filter(|raw| &raw[..] != b"null");
    let tools: Vec<Value> = functions.into_iter().chain(search.map(|_| json!({"googleSearch": {}}))).collect();
    if tools.is_empty() { Value::Null } else { tools.into() }
}

/// `extra_body: {google: {…}}`, which Google's own endpoint for OpenAI's clients takes: passed on as they are.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GoogleFields {
    thinking_config: Value,
    cached_content: Value,
    safety_settings: Value,
}

fn google_fields(request: &ChatRequest) -> Result<GoogleFields, BadRequest> {
    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct ExtraBody {
        #[serde(default)]
        google: GoogleFields,
    }
    let expected = "{\"google\": {\"thinking_config\", \"cached_content\" or \"safety_settings\": …}}";
    Ok(request.field::<ExtraBody>("extra_body", expected)?.unwrap_or_default().google)
}
