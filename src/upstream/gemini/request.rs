//! A request → the body of `generateContent`.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::structure;
use super::controls::{self, Own};
use super::turns;
use crate::api::chat::ChatRequest;
use crate::api::conversation::{
    Controls, Conversation, Part, Turn, inexpressible, no_citations, one_call_at_a_time, unsupported,
};
use crate::api::error::BadRequest;
use crate::api::fields::object;

/// The fields that have something like them in Google's wire.
const UNDERSTOOD: [&str; 22] = [
    "extra_body",
    "frequency_penalty",
    "image_config",
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
    "tool_choice",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
    "web_search_options",
];

/// What Gemini cannot be asked.
pub(super) fn refuses(request: &ChatRequest) -> Option<BadRequest> {
    inexpressible(request, &UNDERSTOOD, "Gemini")
        .or_else(|| one_call_at_a_time(request, "Gemini"))
        .or_else(|| no_citations(request, "Gemini"))
        .or_else(|| request.raw("modalities").and_then(|_| modalities(request).err()))
        .or_else(|| request.raw("web_search_options").and_then(|_| unlimited_search(request)))
}

/// Google searches all of the web as it is now.
fn unlimited_search(request: &ChatRequest) -> Option<BadRequest> {
    let asked: Map<String, Value> = request.field("web_search_options", "an object").ok()??;
    let limit = |name: &str| asked.get(name).is_some_and(|value| !matches!(value, Value::Null | Value::Bool(true)));
    let name = ["filters", "external_web_access"].into_iter().find(|name| limit(name))?;
    let problem = || format!("Google's search cannot be held to `{name}` (of web_search_options)");
    (!request.drop_unsupported).then(|| unsupported("web_search_options", &problem()))
}

/// What to post.
///
/// # Errors
/// What Gemini cannot be asked, named by the client's field.
pub(super) fn body(model: &str, request: &ChatRequest) -> Result<Value, BadRequest> {
    if let Some(bad) = refuses(request) {
        return Err(bad);
    }
    let Conversation { mut turns, mut controls } = Conversation::read(request)?;
    let combines = controls::generation(model) >= controls::COMBINES_SINCE;
    let tools = tools(&controls, combines, request)?;
    if !tools.is_null() && !combines {
        let told = structure::told_beside_tools(request, &mut controls.format)?;
        turns.extend(told.map(|words| Turn::System { parts: vec![Part::text(words)] }));
    }
    let google = google_fields(request)?;
    let own = Own {
        thinking_config: google.thinking_config,
        modalities: modalities(request)?,
        image_config: image_config(request)?,
    };
    let (system, contents) = turns::told_and_said(&turns, controls::generation(model) >= controls::LEVELS_SINCE);
    Ok(object([
        ("systemInstruction", system),
        ("contents", contents),
        ("tools", tools),
        ("toolConfig", controls::tool_config(&controls)),
        ("generationConfig", controls::generation_config(&controls, model, own)),
        ("safetySettings", google.safety_settings),
        ("cachedContent", google.cached_content),
    ]))
}

/// `responseModalities`; null where no picture is asked for.
fn modalities(request: &ChatRequest) -> Result<Value, BadRequest> {
    let asked: Vec<String> = request.field("modalities", "a list such as [\"image\", \"text\"]")?.unwrap_or_default();
    let other = asked.iter().find(|asked| !["image", "text"].contains(&asked.as_str()));
    if let (Some(other), false) = (other, request.drop_unsupported) {
        return Err(unsupported(
            "modalities",
            &format!("Gemini is not asked for \"{other}\", only for text and pictures"),
        ));
    }
    let known = asked.iter().filter(|asked| ["image", "text"].contains(&asked.as_str()));
    let words: Vec<String> = known.map(|asked| asked.to_uppercase()).collect();
    Ok(if words.iter().any(|word| word == "IMAGE") { words.into() } else { Value::Null })
}

/// `image_config`, as OpenRouter's clients say what pictures should be like → Google's words.
fn image_config(request: &ChatRequest) -> Result<Value, BadRequest> {
    #[derive(Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct ImageConfig {
        aspect_ratio: Option<String>,
        image_size: Option<String>,
    }
    let expected = "{\"aspect_ratio\": \"16:9\", \"image_size\": \"2K\"}, or one of them";
    let config: Option<ImageConfig> = request.field("image_config", expected)?;
    let config = config
        .map(|config| object([("aspectRatio", json!(config.aspect_ratio)), ("imageSize", json!(config.image_size))]));
    Ok(config.unwrap_or_default())
}

/// `combines`: the model searches beside functions.
fn tools(controls: &Controls, combines: bool, request: &ChatRequest) -> Result<Value, BadRequest> {
    let functions = controls::functions(&controls.tools);
    let search = request.raw("web_search_options").filter(|raw| &raw[..] != b"null");
    let only_functions = functions.is_some() && !combines;
    if search.is_some() && only_functions && !request.drop_unsupported {
        return Err(unsupported("web_search_options", "this model cannot search while it has functions"));
    }
    let search = search.filter(|_| !only_functions).map(|_| json!({"googleSearch": {}}));
    let tools: Vec<Value> = functions.into_iter().chain(search).collect();
    Ok(if tools.is_empty() { Value::Null } else { tools.into() })
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
