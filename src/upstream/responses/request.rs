//! A chat request → the body of `POST /responses`.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::input;
use crate::api::chat::{self, ChatRequest};
use crate::api::conversation::{
    AllowedTools, Controls, Conversation, CustomTool, FOR_GATEWAYS, Format, JsonSchema, Protocol, Reasoning, Tool,
    ToolChoice, Turn, marked, no_citations, no_hosted_tools, unknown_there, unsupported,
};
use crate::api::error::BadRequest;
use crate::api::fields::object;

/// What chat has and Responses has nothing like.
const UNKNOWN: [&str; 10] = [
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "modalities",
    "n",
    "presence_penalty",
    "seed",
    "stop",
];

/// What is written anew, or not at all; every other field passes as it is.
const TRANSLATED: [&str; 29] = [
    "anthropic_beta",
    "claude_effort",
    "claude_fields",
    "claude_search",
    "claude_thinking",
    "claude_user",
    "drop_unsupported",
    "hosted",
    "include",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "model",
    "models",
    "prediction",
    "provider",
    "reasoning",
    "reasoning_effort",
    "reasoning_summary",
    "response_format",
    "responses_reasoning",
    "store",
    "stream_options",
    "text",
    "tool_choice",
    "tools",
    "verbosity",
    "web_search_options",
];

/// Where the wire's names begin → the client's names.
const CLIENTS_NAMES: [(&str, &str); 5] = [
    ("input", "messages"),
    ("max_output_tokens", "max_completion_tokens"),
    ("reasoning.effort", "reasoning_effort"),
    ("text.format", "response_format"),
    ("text.verbosity", "verbosity"),
];

/// OpenAI takes no smaller limit. Clients that only try whether a model is there ask for a single token.
const LEAST_TOKENS: u32 = 16;

/// What the wire cannot be asked, in a provider's name.
pub(super) fn refuses(provider: &str, request: &ChatRequest) -> Option<BadRequest> {
    let deaf = || unsupported("messages", &format!("provider {provider} takes no sound"));
    let heard = request.needs.audio && !request.drop_unsupported;
    unknown_there(request, &UNKNOWN, provider)
        .or_else(|| heard.then(deaf))
        .or_else(|| no_hosted_tools(request, Some(Protocol::Responses), format_args!("provider {provider}")))
        .or_else(|| no_citations(request, format_args!("provider {provider}")))
}

/// What a client calls the field that an error is about.
pub(super) fn clients_name(param: Cow<'static, str>) -> Cow<'static, str> {
    let name = CLIENTS_NAMES.iter().find(|(wires, _)| param.starts_with(wires));
    name.map_or(param, |(_, clients)| Cow::Borrowed(clients))
}

/// What to post. `thinker`: whose thoughts are given back.
///
/// # Errors
/// What is wrong with a field, named as the client calls it.
pub(super) fn body(model: &str, thinker: &str, request: &ChatRequest) -> Result<Bytes, BadRequest> {
    let Conversation { turns, controls } = Conversation::read_all(request)?;
    let web_search = web_search(request)?;
    let own = [
        ("input", input::items(request, &turns, thinker)?.into()),
        ("include", include(model, request, &turns, &controls)?),
        ("max_output_tokens", json!(controls.max_output_tokens.map(enough))),
        ("reasoning", reasoning(request, &controls)?),
        ("store", json!(request.field("store", "true or false")?.unwrap_or(false))),
        ("stream_options", stream_options(request)?),
        ("text", text(request, &controls.format)?),
        ("tool_choice", tool_choice(&controls, web_search.is_some())),
        ("tools", tools(&controls, web_search)),
    ];
    let own: Vec<(&str, Vec<u8>)> = own
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (*name, value.to_string().into()))
        .collect();
    let is_left_out = |name: &str| [&TRANSLATED[..], &UNKNOWN, &FOR_GATEWAYS].iter().any(|names| names.contains(&name));
    let passed = request.fields().filter(|(name, _)| !is_left_out(name)).map(|(name, value)| (name, &value[..]));
    let own = own.iter().map(|(name, value)| (*name, &value[..]));
    Ok(chat::body(model, request.size(), passed.chain(own)))
}

fn enough(limit: u32) -> u32 {
    if limit == 0 { 0 } else { limit.max(LEAST_TOKENS) }
}

/// `include`, the client's and what an answer without a store needs.
fn include(model: &str, request: &ChatRequest, turns: &[Turn], controls: &Controls) -> Result<Value, BadRequest> {
    let mut include: Vec<String> = request.field("include", "a list of names")?.unwrap_or_default();
    let mut want = |name: &str, wanted: bool| {
        if wanted && !include.iter().any(|included| included == name) {
            include.push(name.to_owned());
        }
    };
    want("reasoning.encrypted_content", thinks(model) || asks_for_thoughts(request, turns));
    want("message.output_text.logprobs", controls.logprobs);
    Ok(if include.is_empty() { Value::Null } else { json!(include) })
}

/// Whether OpenAI's model of this name thinks: those that do not refuse to encrypt their thoughts. The o series, GPT
/// from 5 on except what chats only, and Codex.
fn thinks(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model).trim_start_matches("ft:");
    let generation = |series: &str| {
        let rest = name.strip_prefix(series)?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok()
    };
    let gpt = generation("gpt-").is_some_and(|generation| generation >= 5) && !name.contains("-chat");
    gpt || generation("o").is_some() || name.starts_with("codex-")
}

/// A client that knows more of the model than its name says.
fn asks_for_thoughts(request: &ChatRequest, turns: &[Turn]) -> bool {
    let given = |name| request.raw(name).is_some_and(|raw| !matches!(&raw[..], b"null" | b"\"none\""));
    let sealed = |turn: &Turn| match turn {
        Turn::Assistant { reasoning, .. } => reasoning.iter().any(|thought| matches!(thought, Reasoning::Sealed(_))),
        _ => false,
    };
    let asks = ["reasoning", "reasoning_effort", "reasoning_summary", "responses_reasoning"];
    asks.iter().any(|name| given(name)) || turns.iter().any(sealed)
}

/// The client's `reasoning`, what a response alone says of it, the summary that it wants, and its effort, which is all
/// that there is for what else OpenRouter's clients say.
fn reasoning(request: &ChatRequest, controls: &Controls) -> Result<Value, BadRequest> {
    let mut reasoning: Map<String, Value> = request.field("reasoning", "an object")?.unwrap_or_default();
    reasoning.retain(|name, _| !["enabled", "exclude", "max_tokens"].contains(&name.as_str()));
    reasoning.extend(request.field::<Map<String, Value>>("responses_reasoning", "an object")?.unwrap_or_default());
    reasoning.extend(controls.effort.map(|effort| ("effort".to_owned(), json!(effort))));
    let summary: Option<Value> = request.field("reasoning_summary", "a string")?;
    reasoning.extend(summary.map(|summary| ("summary".to_owned(), summary)));
    Ok(some(reasoning))
}

/// Usage comes unasked; asking for it is unknown.
fn stream_options(request: &ChatRequest) -> Result<Value, BadRequest> {
    let mut options: Map<String, Value> = request.field("stream_options", "an object")?.unwrap_or_default();
    options.remove("include_usage");
    Ok(some(options))
}

fn text(request: &ChatRequest, format: &Format) -> Result<Value, BadRequest> {
    let mut text: Map<String, Value> = request.field("text", "an object")?.unwrap_or_default();
    let verbosity: Option<Value> = request.field("verbosity", "a string")?;
    let format = match format {
        Format::Text => None,
        Format::JsonObject => Some(json!({"type": "json_object"})),
        Format::JsonSchema(wanted) => Some(json_schema(wanted)),
    };
    text.extend(
        [("format", format), ("verbosity", verbosity)]
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?))),
    );
    Ok(some(text))
}

fn json_schema(wanted: &JsonSchema) -> Value {
    object([
        ("type", "json_schema".into()),
        ("name", json!(wanted.name)),
        ("description", json!(wanted.description)),
        ("schema", wanted.schema.clone()),
        ("strict", json!(wanted.strict)),
    ])
}

/// In the client's order.
fn tools(controls: &Controls, web_search: Option<Value>) -> Value {
    let mut tools: Vec<Value> = controls.tools.iter().map(function).collect();
    let others = controls.custom.tools.iter().map(|tool| (tool.place, custom(tool)));
    let hosted = controls.hosted.iter().filter(|(_, tool)| tool.of == Protocol::Responses);
    let mut others: Vec<(usize, Value)> = others.chain(hosted.map(|(place, tool)| (*place, tool.is.clone()))).collect();
    others.sort_by_key(|(place, _)| *place);
    for (place, tool) in others {
        tools.insert(place.min(tools.len()), tool);
    }
    let mut tools = tools.into_iter().fold(vec![], gathered);
    tools.extend(web_search);
    if tools.is_empty() { Value::Null } else { tools.into() }
}

/// `tools` and one more, which stands in its namespace: a chat has functions only one by one.
fn gathered(mut tools: Vec<Value>, mut tool: Value) -> Vec<Value> {
    let space = tool.as_object_mut().filter(|tool| tool.get("namespace").is_some_and(Value::is_object));
    let Some(space) = space.and_then(|tool| tool.shift_remove("namespace")) else {
        tools.push(tool);
        return tools;
    };
    let last = tools.last_mut().filter(|last| last["type"] == "namespace" && last["name"] == space["name"]);
    match last.and_then(|last| last["tools"].as_array_mut()) {
        Some(others) => others.push(tool),
        None => {
            tools.push(with(json!({"type": "namespace", "tools": [tool]}), space.as_object().unwrap_or(&Map::new())))
        }
    }
    tools
}

/// Responses hold to a schema unless told otherwise; chat does not.
fn function(tool: &Tool) -> Value {
    let nothing = || json!({"type": "object", "properties": {}});
    let own = object([
        ("type", "function".into()),
        ("name", json!(tool.name)),
        ("description", json!(tool.description)),
        ("parameters", tool.parameters.clone().unwrap_or_else(nothing)),
        ("strict", json!(tool.strict.unwrap_or(false))),
    ]);
    marked(own, tool.more.as_ref().filter(|more| more.of == Protocol::Responses).map(|more| &more.is))
}

/// Chat has a grammar in an object of that name; here its fields stand beside the type.
fn custom(tool: &CustomTool) -> Value {
    let format = tool.format.as_ref().map(|format| match format["grammar"].as_object() {
        Some(grammar) => with(json!({"type": "grammar"}), grammar),
        None => format.clone(),
    });
    let own = object([
        ("type", "custom".into()),
        ("name", json!(tool.name)),
        ("description", json!(tool.description)),
        ("format", json!(format)),
    ]);
    with(own, &tool.more)
}

fn tool_choice(controls: &Controls, searches: bool) -> Value {
    if let Some(allowed) = &controls.allowed {
        return allowed_tools(allowed, searches);
    }
    if let Some(hosted) = controls.hosted_choice.as_ref().filter(|choice| choice.of == Protocol::Responses) {
        return hosted.is.clone();
    }
    match &controls.tool_choice {
        None => controls.custom.chosen.as_ref().map_or(Value::Null, |name| json!({"type": "custom", "name": name})),
        Some(ToolChoice::None) => "none".into(),
        Some(ToolChoice::Auto) => "auto".into(),
        Some(ToolChoice::Required) => "required".into(),
        Some(ToolChoice::Function(name)) => json!({"type": "function", "name": name}),
    }
}

/// What a chat says of searching the web is no matter of choosing a tool.
fn allowed_tools(allowed: &AllowedTools, searches: bool) -> Value {
    let flat = |tool: &Value| match tool["type"].as_str().and_then(|kind| tool[kind].as_object()) {
        Some(hosted) if tool["type"] == "hosted" => hosted.get("is").cloned().unwrap_or_default(),
        Some(named) => with(json!({"type": tool["type"]}), named),
        None => tool.clone(),
    };
    let search = searches.then(|| json!({"type": "web_search"}));
    let tools: Vec<Value> = allowed.tools.iter().map(flat).chain(search).collect();
    json!({"type": "allowed_tools", "mode": allowed.mode, "tools": tools})
}

/// `web_search_options` as the tool that it is here.
fn web_search(request: &ChatRequest) -> Result<Option<Value>, BadRequest> {
    #[derive(Deserialize)]
    struct Options {
        #[serde(default)]
        search_context_size: Value,
        #[serde(default)]
        user_location: Option<Location>,
        /// What the tool has and a chat has not.
        #[serde(flatten)]
        more: Map<String, Value>,
    }
    #[derive(Deserialize)]
    struct Location {
        #[serde(default)]
        approximate: Map<String, Value>,
    }
    let options: Option<Options> = request.field("web_search_options", "an object")?;
    let location = |Location { mut approximate }| {
        approximate.insert("type".into(), "approximate".into());
        Value::from(approximate)
    };
    Ok(options.map(|options| {
        let own = object([
            ("type", "web_search".into()),
            ("search_context_size", options.search_context_size),
            ("user_location", options.user_location.map(location).into()),
        ]);
        with(own, &options.more)
    }))
}

/// An object with more fields.
fn with(mut object: Value, more: &Map<String, Value>) -> Value {
    more.iter().for_each(|(name, value)| object[name] = value.clone());
    object
}

/// Null where there is nothing in it.
fn some(map: Map<String, Value>) -> Value {
    if map.is_empty() { Value::Null } else { map.into() }
}
