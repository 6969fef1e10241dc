//! How an answer is to be made → `generationConfig`, `tools` and `toolConfig`.

use serde_json::{Value, json};

use super::schema;
use crate::api::conversation::{Controls, Effort, Format, Tool, ToolChoice};
use crate::api::fields::object;

/// A model's generation, such as (2, 5).
type Generation = (u32, u32);

/// Models that are told how hard to think by a level, and that want signatures of their calls.
pub(super) const LEVELS_SINCE: Generation = (3, 0);
/// Models that think at all; they are told a number of tokens.
const THINKS_SINCE: Generation = (2, 5);
/// Models that search and hold to a form beside functions. Older ones refuse any two of these.
pub(super) const COMBINES_SINCE: Generation = (3, 0);
/// The Flash models from here on know no level MINIMAL any more, and no Pro model ever did.
const NO_MINIMAL_SINCE: Generation = (3, 7);

/// The generation in a name, as in `gemini-2.5-flash`; the newest where there is none, as in `gemini-flash-latest`.
pub(super) fn generation(model: &str) -> Generation {
    let name = model.rsplit('/').next().unwrap_or(model);
    let number = name.strip_prefix("gemini-").and_then(|rest| rest.split('-').next()).unwrap_or_default();
    let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
    major.parse().ok().zip(minor.parse().ok()).unwrap_or((u32::MAX, 0))
}

/// What a client says beyond OpenAI's controls; each is null where it says nothing.
#[derive(Default)]
pub(super) struct Own {
    /// In Google's words; it comes before an effort.
    pub(super) thinking_config: Value,
    /// `responseModalities`.
    pub(super) modalities: Value,
    /// `imageConfig`.
    pub(super) image_config: Value,
}

/// Null where nothing is to be set.
pub(super) fn generation_config(controls: &Controls, model: &str, own: Own) -> Value {
    let effort = controls.effort.map_or(Value::Null, |effort| thinking_config(effort, controls.thought_tokens, model));
    let (media_type, schema) = format(&controls.format);
    let stops: Vec<&String> = controls.stop.iter().filter(|stop| !stop.is_empty()).collect();
    let config = object([
        ("maxOutputTokens", json!(controls.max_output_tokens)),
        ("temperature", json!(controls.temperature)),
        ("topP", json!(controls.top_p)),
        ("topK", json!(controls.top_k)),
        ("presencePenalty", json!(controls.presence_penalty)),
        ("frequencyPenalty", json!(controls.frequency_penalty)),
        ("seed", json!(controls.seed.map(seed))),
        ("stopSequences", if stops.is_empty() { Value::Null } else { json!(stops) }),
        ("candidateCount", if controls.n > 1 { json!(controls.n) } else { Value::Null }),
        ("responseLogprobs", if controls.logprobs { json!(true) } else { Value::Null }),
        ("logprobs", json!(controls.top_logprobs)),
        ("responseMimeType", media_type),
        ("responseJsonSchema", schema),
        ("thinkingConfig", if own.thinking_config.is_null() { effort } else { own.thinking_config }),
        ("responseModalities", own.modalities),
        ("imageConfig", own.image_config),
    ]);
    if config == json!({}) { Value::Null } else { config }
}

/// Google's seeds have 32 bits; a longer one is folded, so that the same one stays the same.
fn seed(seed: i64) -> i32 {
    i32::try_from(seed).unwrap_or_else(|_| i32::try_from(seed.rem_euclid(1 << 31)).unwrap_or_default())
}

fn format(format: &Format) -> (Value, Value) {
    let json_type = json!("application/json");
    match format {
        Format::Text => (Value::Null, Value::Null),
        Format::JsonObject => (json_type, Value::Null),
        Format::JsonSchema(wanted) => (json_type, schema::cleaned(&wanted.schema)),
    }
}

/// Levels and tokens as Google's own endpoint for OpenAI's clients sets them:
/// <https://ai.google.dev/gemini-api/docs/openai#thinking>. Models that cannot but think do it as little as they can.
/// A number of `tokens` that the client says comes first where the model takes one.
fn thinking_config(effort: Effort, tokens: Option<u32>, model: &str) -> Value {
    let shown = effort != Effort::None;
    match generation(model) {
        generation if generation < THINKS_SINCE => Value::Null,
        generation if generation < LEVELS_SINCE => {
            let flash = model.contains("flash");
            let (least, most) = match () {
                () if model.contains("flash-lite") => (512, 24_576),
                () if flash => (1, 24_576),
                () => (128, 32_768),
            };
            let said = tokens.filter(|_| shown).map(|tokens| tokens.clamp(least, most));
            json!({"thinkingBudget": said.unwrap_or_else(|| budget(effort, flash)), "includeThoughts": shown})
        }
        generation => {
            let minimal = model.contains("flash") && generation < NO_MINIMAL_SINCE;
            json!({"thinkingLevel": level(effort, minimal), "includeThoughts": shown})
        }
    }
}

fn level(effort: Effort, minimal: bool) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal if minimal => "MINIMAL",
        Effort::None | Effort::Minimal | Effort::Low => "LOW",
        Effort::Medium => "MEDIUM",
        Effort::High | Effort::Xhigh | Effort::Max => "HIGH",
    }
}

/// Tokens. Pro models think for 128 at least.
fn budget(effort: Effort, may_be_off: bool) -> u32 {
    match effort {
        Effort::None if may_be_off => 0,
        Effort::None => 128,
        Effort::Minimal | Effort::Low => 1024,
        Effort::Medium => 8192,
        Effort::High | Effort::Xhigh | Effort::Max => 24_576,
    }
}

/// All functions as one tool.
pub(super) fn functions(tools: &[Tool]) -> Option<Value> {
    let declarations: Vec<Value> = tools.iter().map(function).collect();
    (!declarations.is_empty()).then(|| json!({"functionDeclarations": declarations}))
}

fn function(tool: &Tool) -> Value {
    object([
        ("name", json!(tool.name)),
        ("description", json!(tool.description)),
        ("parametersJsonSchema", tool.parameters.as_ref().map_or(Value::Null, schema::cleaned)),
    ])
}

/// Null where the model may do as it likes. VALIDATED is AUTO with calls that hold to their schema.
pub(super) fn tool_config(controls: &Controls) -> Value {
    let strict = controls.tools.iter().any(|tool| tool.strict == Some(true));
    let config = match &controls.tool_choice {
        None | Some(ToolChoice::Auto) if strict => json!({"mode": "VALIDATED"}),
        None => return Value::Null,
        Some(ToolChoice::Auto) => json!({"mode": "AUTO"}),
        Some(ToolChoice::None) => json!({"mode": "NONE"}),
        Some(ToolChoice::Required) => json!({"mode": "ANY"}),
        Some(ToolChoice::Function(name)) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
    };
    json!({"functionCallingConfig": config})
}
