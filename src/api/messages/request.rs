//! Anthropic's request → OpenAI's.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::turns::{Content, Message, messages};
use crate::api::chat::unplaced;
use crate::api::conversation::{Effort, Hosted, Protocol, Thinking, is_known};
use crate::api::error::BadRequest;
use crate::api::fields::object;

/// A body of `POST /v1/messages`. What is not among these fields is handed on as it is; what no chat has either, is named
/// in `claude_fields`: Claude may know it.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Request {
    model: String,
    max_tokens: u32,
    messages: Vec<Message>,
    #[serde(default)]
    system: Option<Content>,
    #[serde(default)]
    tools: Option<Vec<Value>>,
    #[serde(default)]
    tool_choice: Option<ToolChoice>,
    #[serde(default)]
    stop_sequences: Option<Vec<String>>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    thinking: Option<Value>,
    #[serde(default)]
    output_config: Option<OutputConfig>,
    #[serde(default)]
    output_format: Option<Value>,
    #[serde(default)]
    metadata: Option<Metadata>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Tool {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    input_schema: Option<Value>,
    #[serde(default)]
    strict: Option<bool>,
    #[serde(default)]
    cache_control: Option<Value>,
    /// `custom`, if anything.
    #[serde(rename = "type", default)]
    _kind: Option<String>,
    /// What Anthropic alone knows of a tool, such as `input_examples`.
    #[serde(flatten)]
    more: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct ToolChoice {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Default, Deserialize)]
struct OutputConfig {
    #[serde(default)]
    effort: Option<String>,
    #[serde(default)]
    format: Option<Value>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// What Anthropic alone knows of a request: handed to it as it is.
const OWN: [&str; 15] = [
    "billing_policy",
    "cache_control",
    "compaction",
    "container",
    "context_management",
    "diagnostics",
    "fallback_credit_token",
    "fallbacks",
    "inference_geo",
    "mcp_servers",
    "prefill",
    "speed",
    "thread",
    "user_profile_id",
    "workspace_id",
];

/// In which of a chat's fields this translation says what OpenAI's shape has no words for: no client's to say.
const INNER: [&str; 6] =
    ["claude_effort", "claude_fields", "claude_search", "claude_thinking", "claude_user", "hosted"];

/// The longest `user` that OpenAI takes, characters. Those of Anthropic's clients are longer.
const LONGEST_USER: usize = 64;

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    user_id: Option<String>,
}

/// The same request in OpenAI's shape.
///
/// # Errors
/// Names the field that is missing, of the wrong kind, or that OpenAI's shape has nothing for.
pub fn request(body: &[u8]) -> Result<Vec<u8>, BadRequest> {
    request_with(body, &[])
}

/// The same; `betas` are the features that the client names in a header.
///
/// # Errors
/// As [`request`].
pub fn request_with(body: &[u8], betas: &[&str]) -> Result<Vec<u8>, BadRequest> {
    let request: Request = serde_json::from_slice(body).map_err(|e| unreadable(body, &e))?;
    let mut out = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        value.into_iter().for_each(|value| {
            out.insert(name.into(), value);
        });
    };
    put("model", Some(request.model.into()));
    put("messages", Some(messages(request.system, request.messages)?.into()));
    put("max_completion_tokens", Some(request.max_tokens.into()));
    put("stop", request.stop_sequences.map(Value::from));
    put("stream", request.stream.map(Value::from));
    put("stream_options", request.stream.filter(|stream| *stream).map(|_| json!({"include_usage": true})));
    let user = request.metadata.and_then(|metadata| metadata.user_id);
    put("user", user.as_deref().map(short).map(Value::from));
    put("claude_user", user.filter(|user| user.len() > LONGEST_USER).map(Value::from));
    let tools = request.tools.into_iter().flatten().enumerate();
    let (searches, tools): (Vec<_>, Vec<_>) = tools.partition(|(_, tool)| is_search(tool));
    let search = searches.into_iter().next_back().map(|(_, search)| search);
    put("claude_search", search.clone());
    put("web_search_options", search.map(web_search));
    let tools = tools.into_iter().map(|(i, given)| tool(i, given)).collect::<Result<Vec<_>, _>>()?;
    put("tools", (!tools.is_empty()).then(|| tools.into()));
    let choice = request.tool_choice.as_ref();
    put("tool_choice", choice.map(tool_choice).transpose()?);
    put("parallel_tool_calls", choice.and_then(|choice| choice.disable_parallel_tool_use).map(|off| (!off).into()));
    let OutputConfig { effort, format, more } = request.output_config.unwrap_or_default();
    let (thinking, strange) = request.thinking.map(thinking).transpose()?.unwrap_or_default();
    let thought = thinking.as_ref().and_then(Thinking::budget).map(Effort::of_budget);
    put("reasoning_effort", effort.clone().map(Value::from).or(thought.map(|thought| json!(thought))));
    put("claude_effort", effort.map(Value::from));
    put("claude_thinking", thinking.map(|thinking| json!(thinking)));
    put("thinking", strange);
    put("response_format", format.or(request.output_format).map(response_format).transpose()?);
    put("anthropic_beta", (!betas.is_empty()).then(|| json!(betas)));
    let (mut own, rest): (Map<_, _>, Map<_, _>) =
        request.rest.into_iter().partition(|(name, _)| OWN.contains(&name.as_str()));
    own.extend((!more.is_empty()).then(|| ("output_config".to_owned(), more.into())));
    put("hosted", Hosted::said(Protocol::Messages, own));
    if let Some(name) = rest.keys().find(|name| INNER.contains(&name.as_str())) {
        let problem = format!("{name} is no field of Anthropic's Messages API; leave it out");
        return Err(BadRequest::field(name.clone(), problem));
    }
    let unknown: Vec<&String> = rest.keys().filter(|name| !is_known(name)).collect();
    put("claude_fields", (!unknown.is_empty()).then(|| json!(unknown)));
    rest.into_iter().for_each(|(name, value)| put(&name, Some(tier(&name, value))));
    Ok(serde_json::to_vec(&out).unwrap_or_default())
}

/// The same for a body of `count_tokens`, which has no `max_tokens`.
///
/// # Errors
/// As [`request`].
pub fn countable(body: &[u8]) -> Result<Vec<u8>, BadRequest> {
    let mut fields: Map<String, Value> = serde_json::from_slice(body).map_err(|e| unreadable(body, &e))?;
    fields.entry("max_tokens").or_insert_with(|| 1.into());
    request(&serde_json::to_vec(&fields).unwrap_or_default())
}

/// Says where it is wrong. At the top serde names a missing or wrong field in backquotes.
fn unreadable(body: &[u8], error: &serde_json::Error) -> BadRequest {
    if !error.is_data() {
        return BadRequest::no_object(body, error);
    }
    let read = serde_path_to_error::deserialize::<_, Request>(&mut serde_json::Deserializer::from_slice(body));
    let place = read.err().map(|error| error.path().to_string()).filter(|place| place != ".");
    if let Some(place) = place {
        return BadRequest::field(place.clone(), format!("{place}: {}", unplaced(error)));
    }
    let text = error.to_string();
    match text.split('`').nth(1) {
        Some(missing) if text.starts_with("missing") => {
            BadRequest::field(missing.to_owned(), format!("{missing} is missing; Anthropic's Messages API asks for it"))
        }
        Some(field) => BadRequest::field(field.to_owned(), format!("the body is no Messages request: {text}")),
        None => BadRequest::body(format!("the body is no Messages request: {text}")),
    }
}

/// A user's name, or what stands for one that is too long: always the same.
fn short(user: &str) -> String {
    match user.len() {
        ..=LONGEST_USER => user.to_owned(),
        _ => Sha256::digest(user).iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// As other models are told of it too, or of a type that Claude alone can be told of.
fn thinking(given: Value) -> Result<(Option<Thinking>, Option<Value>), BadRequest> {
    if given["type"].as_str().is_some_and(|kind| !["adaptive", "disabled", "enabled"].contains(&kind)) {
        return Ok((None, Some(given)));
    }
    let read = Option::deserialize(given);
    let thinking = read.map_err(|e| BadRequest::field("thinking", format!("thinking: {}", unplaced(&e))))?;
    Ok((thinking, None))
}

/// Anthropic's word for what OpenAI's `service_tier` calls `default`.
fn tier(name: &str, value: Value) -> Value {
    if name == "service_tier" && value == "standard_only" { "default".into() } else { value }
}

/// By any of its names: they have dates.
fn is_search(tool: &Value) -> bool {
    tool["type"].as_str().is_some_and(|kind| kind.starts_with("web_search"))
}

/// A chat has searching the web as an option, with a place's fields in an object that is named after its type.
fn web_search(mut tool: Value) -> Value {
    let mut place = tool["user_location"].take();
    place.as_object_mut().and_then(|place| place.remove("type"));
    let location = if place.is_null() { place } else { json!({"type": "approximate", "approximate": place}) };
    let filters = object([
        ("allowed_domains", tool["allowed_domains"].take()),
        ("blocked_domains", tool["blocked_domains"].take()),
    ]);
    let filters = if filters == json!({}) { Value::Null } else { filters };
    object([("user_location", location), ("filters", filters), ("max_uses", tool["max_uses"].take())])
}

/// A tool of the client's own; any other is for a provider of the same protocol.
fn tool(i: usize, given: Value) -> Result<Value, BadRequest> {
    if given["type"].as_str().is_some_and(|kind| kind != "custom") {
        return Ok(Hosted::tool(Protocol::Messages, given));
    }
    let tool = Tool::deserialize(given).map_err(|e| {
        let field = format!("tools[{i}]");
        BadRequest::field(field.clone(), format!("{field}: {}", unplaced(&e)))
    })?;
    let parameters = tool.input_schema.unwrap_or_else(|| json!({}));
    let function = [
        ("name", tool.name.into()),
        ("parameters", parameters),
        ("description", json!(tool.description)),
        ("strict", json!(tool.strict)),
    ];
    Ok(object([
        ("type", "function".into()),
        ("function", object(function)),
        ("cache_control", json!(tool.cache_control)),
        ("hosted", json!(Hosted::said(Protocol::Messages, tool.more))),
    ]))
}

fn tool_choice(choice: &ToolChoice) -> Result<Value, BadRequest> {
    match (choice.kind.as_str(), &choice.name) {
        ("auto", _) => Ok("auto".into()),
        ("any", _) => Ok("required".into()),
        ("none", _) => Ok("none".into()),
        ("tool", Some(name)) => Ok(json!({"type": "function", "function": {"name": name}})),
        ("tool", None) => Err(BadRequest::field("tool_choice.name", "tool_choice.name is missing; name the tool")),
        (other, _) => {
            let message = format!("tool_choice.type is \"{other}\"; give auto, any, tool or none");
            Err(BadRequest::field("tool_choice.type", message))
        }
    }
}

fn response_format(format: Value) -> Result<Value, BadRequest> {
    match (format["type"].as_str(), format.get("schema")) {
        (Some("json_schema"), Some(schema)) => {
            let schema = json!({"name": "answer", "schema": schema, "strict": true});
            Ok(json!({"type": "json_schema", "json_schema": schema}))
        }
        _ => {
            let message = "output_config.format must be {\"type\": \"json_schema\", \"schema\": {…}}";
            Err(BadRequest::field("output_config.format", message))
        }
    }
}
