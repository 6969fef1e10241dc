//! Anthropic's request → OpenAI's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::api::chat::unplaced;
use crate::api::conversation::{Effort, Hosted, Protocol, Thinking};
use crate::api::error::BadRequest;
use crate::api::fields::object;

/// A body of `POST /v1/messages`. What is not among these fields is unknown here and handed on as it is.
#[derive(Deserialize)]
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
    thinking: Option<Thinking>,
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
struct Message {
    role: Role,
    content: Content,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Role {
    User,
    Assistant,
    System,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "it must be a string or a list of blocks")]
enum Content {
    Text(String),
    Blocks(Vec<Value>),
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        text: String,
    },
    Image {
        source: Source,
    },
    Document {
        source: Source,
        #[serde(default)]
        title: Option<String>,
        #[serde(default)]
        context: Option<String>,
        #[serde(default)]
        citations: Option<Value>,
    },
    SearchResult {
        source: String,
        title: String,
        content: Vec<Found>,
        #[serde(default)]
        citations: Option<Value>,
    },
    ToolUse {
        id: String,
        name: String,
        #[serde(default)]
        input: Value,
    },
    ToolResult {
        tool_use_id: String,
        #[serde(default)]
        content: Option<Content>,
        #[serde(default)]
        is_error: Option<bool>,
    },
    Thinking {},
    RedactedThinking {},
}

/// A text of a search result.
#[derive(Deserialize)]
struct Found {
    text: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Source {
    Base64 { media_type: String, data: String },
    Url { url: String },
    Text { data: String },
    File { file_id: String },
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

#[derive(Deserialize)]
struct OutputConfig {
    #[serde(default)]
    effort: Option<String>,
    #[serde(default)]
    format: Option<Value>,
}

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
    put("user", request.metadata.and_then(|metadata| metadata.user_id).map(Value::from));
    let tools = request.tools.into_iter().flatten().enumerate();
    let (searches, tools): (Vec<_>, Vec<_>) = tools.partition(|(_, tool)| is_search(tool));
    put("web_search_options", searches.into_iter().next_back().map(|(_, search)| web_search(search)));
    let tools = tools.into_iter().map(|(i, given)| tool(i, given)).collect::<Result<Vec<_>, _>>()?;
    put("tools", (!tools.is_empty()).then(|| tools.into()));
    let choice = request.tool_choice.as_ref();
    put("tool_choice", choice.map(tool_choice).transpose()?);
    put("parallel_tool_calls", choice.and_then(|choice| choice.disable_parallel_tool_use).map(|off| (!off).into()));
    let (effort, format) = request.output_config.map_or((None, None), |config| (config.effort, config.format));
    let thought = request.thinking.as_ref().and_then(Thinking::budget).map(Effort::of_budget);
    put("reasoning_effort", effort.map(Value::from).or(thought.map(|thought| json!(thought))));
    put("claude_thinking", request.thinking.map(|thinking| json!(thinking)));
    put("response_format", format.or(request.output_format).map(response_format).transpose()?);
    put("anthropic_beta", (!betas.is_empty()).then(|| json!(betas)));
    request.rest.into_iter().for_each(|(name, value)| put(&name, Some(value)));
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
    let read = serde_path_to_error::deserialize::<_, Request>(&mut serde_json::Deserializer::from_slice(body));
    let place = read.err().map(|error| error.path().to_string()).filter(|place| error.is_data() && place != ".");
    if let Some(place) = place {
        return BadRequest::field(place.clone(), format!("{place}: {}", unplaced(error)));
    }
    let text = error.to_string();
    let field = text.split('`').nth(1).filter(|_| error.is_data()).map(str::to_owned);
    let message = format!("the body is no Messages request: {text}");
    field.map_or_else(|| BadRequest::body(message.clone()), |field| BadRequest::field(field, message.clone()))
}

fn messages(system: Option<Content>, messages: Vec<Message>) -> Result<Vec<Value>, BadRequest> {
    let mut out = vec![];
    if let Some(system) = system {
        out.push(json!({"role": "system", "content": plain(system, "system")?}));
    }
    for (i, message) in messages.into_iter().enumerate() {
        let place = format!("messages[{i}]");
        match message.role {
            Role::System => out.push(json!({"role": "system", "content": plain(message.content, &place)?})),
            Role::User => user(message.content, &place, &mut out)?,
            Role::Assistant => out.push(assistant(message.content, &place)?),
        }
    }
    Ok(out)
}

/// Tool results become messages of their own, before what the user says beside them: they must follow the call.
fn user(content: Content, place: &str, out: &mut Vec<Value>) -> Result<(), BadRequest> {
    let blocks = match content {
        Content::Text(text) => {
            out.push(json!({"role": "user", "content": text}));
            return Ok(());
        }
        Content::Blocks(blocks) => blocks,
    };
    let mut parts = vec![];
    for (j, raw) in blocks.into_iter().enumerate() {
        let place = format!("{place}.content[{j}]");
        match block(&raw, &place)? {
            Block::ToolResult { tool_use_id, content, is_error } => {
                out.push(marked(tool_result(tool_use_id, content, is_error == Some(true), &place)?, &raw));
            }
            other => parts.extend(self::parts(other, &raw, &place)?),
        }
    }
    if !parts.is_empty() {
        out.push(json!({"role": "user", "content": parts}));
    }
    Ok(())
}

fn tool_result(id: String, content: Option<Content>, failed: bool, place: &str) -> Result<Value, BadRequest> {
    let content = content.map_or(Ok(Value::from("")), |content| plain(content, place))?;
    let mut message = json!({"role": "tool", "tool_call_id": id, "content": content});
    if failed {
        message["is_error"] = true.into();
    }
    Ok(message)
}

fn assistant(content: Content, place: &str) -> Result<Value, BadRequest> {
    let blocks = match content {
        Content::Text(text) => return Ok(json!({"role": "assistant", "content": text})),
        Content::Blocks(blocks) => blocks,
    };
    let (mut parts, mut calls, mut thoughts, mut did) = (vec![], vec![], vec![], vec![]);
    for (j, raw) in blocks.into_iter().enumerate() {
        let place = format!("{place}.content[{j}]");
        if is_hosted(&raw) {
            did.push(Hosted::item(Protocol::Messages, raw, thoughts.len(), said(&parts)));
            continue;
        }
        match block(&raw, &place)? {
            Block::ToolUse { id, name, input } => {
                let function = json!({"name": name, "arguments": input.to_string()});
                calls.push(marked(json!({"id": id, "type": "function", "function": function}), &raw));
            }
            Block::Thinking {} | Block::RedactedThinking {} => thoughts.push(raw),
            other => parts.extend(self::parts(other, &raw, &place)?),
        }
    }
    let content = if parts.is_empty() { Value::Null } else { parts.into() };
    let mut message = json!({"role": "assistant", "content": content});
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    if !thoughts.is_empty() {
        message["thinking_blocks"] = thoughts.into();
    }
    if !did.is_empty() {
        message["hosted_items"] = did.into();
    }
    Ok(message)
}

/// Characters of the texts among `parts`.
fn said(parts: &[Value]) -> usize {
    parts.iter().filter_map(|part| part["text"].as_str()).map(|text| text.chars().count()).sum()
}

/// Of a tool that Anthropic runs: it goes back to it as it is.
fn is_hosted(block: &Value) -> bool {
    let kind = block["type"].as_str().unwrap_or_default();
    ["server_tool_use", "mcp_tool_use"].contains(&kind) || kind.ends_with("_tool_result")
}

/// Text and pictures: a string where that is all.
fn plain(content: Content, place: &str) -> Result<Value, BadRequest> {
    let blocks = match content {
        Content::Text(text) => return Ok(text.into()),
        Content::Blocks(blocks) => blocks,
    };
    let parts = blocks.iter().enumerate().map(|(j, raw)| {
        let place = format!("{place}.content[{j}]");
        self::parts(block(raw, &place)?, raw, &place)
    });
    Ok(parts.collect::<Result<Vec<_>, _>>()?.concat().into())
}

fn block(raw: &Value, place: &str) -> Result<Block, BadRequest> {
    Block::deserialize(raw).map_err(|e| {
        let kind = raw["type"].as_str().unwrap_or("unknown");
        let message = format!("{place} (of type \"{kind}\") cannot be translated for other providers: {e}");
        BadRequest::field(place.to_owned(), message)
    })
}

/// With the `cache_control` of the block that it was.
fn marked(mut out: Value, raw: &Value) -> Value {
    if let Some(cache) = raw.get("cache_control").filter(|cache| !cache.is_null()) {
        out["cache_control"] = cache.clone();
    }
    out
}

/// OpenAI's parts of a block, the last of them with its `cache_control`: what a document's title and context say stands
/// before it where OpenAI's part has no place for them.
fn parts(block: Block, raw: &Value, place: &str) -> Result<Vec<Value>, BadRequest> {
    let (mut parts, part) = match block {
        Block::Text { text } => (vec![], text_part(&text)),
        Block::Image { source } => (vec![], json!({"type": "image_url", "image_url": {"url": source.url(place)?}})),
        Block::Document { source: Source::Text { data }, title, context, citations } if !asks(&citations) => {
            (title.iter().chain(&context).map(|text| text_part(text)).collect(), text_part(&data))
        }
        Block::Document { source, title, context, citations } => {
            let before = context.iter().map(|text| text_part(text)).collect();
            let mut file = json!({"type": "file", "file": source.file(title, place)?});
            citations.into_iter().for_each(|citations| file["citations"] = citations);
            (before, file)
        }
        Block::SearchResult { source, title, content, citations } => {
            let lines = [title, source].into_iter().chain(content.into_iter().map(|found| found.text));
            let mut found = text_part(&lines.collect::<Vec<_>>().join("\n"));
            found["search_result"] = without_marks(raw);
            citations.into_iter().for_each(|citations| found["citations"] = citations);
            (vec![], found)
        }
        _ => {
            let message = format!("{place}: a block of type {} does not belong here", raw["type"]);
            return Err(BadRequest::field(place.to_owned(), message));
        }
    };
    parts.push(marked(part, raw));
    Ok(parts)
}

/// A search result without what stands beside it in a part.
fn without_marks(raw: &Value) -> Value {
    let fields = raw.as_object().into_iter().flatten();
    let own = fields.filter(|(name, _)| !["cache_control", "citations"].contains(&name.as_str()));
    own.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn text_part(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

/// Whether the places in a document that the answer rests on are asked for.
fn asks(citations: &Option<Value>) -> bool {
    citations.as_ref().is_some_and(|citations| citations["enabled"] == true)
}

impl Source {
    /// `file` of OpenAI's part.
    fn file(self, title: Option<String>, place: &str) -> Result<Value, BadRequest> {
        Ok(match self {
            Self::File { file_id } => json!({"file_id": file_id}),
            Self::Text { data } => {
                let url = format!("data:text/plain;base64,{}", STANDARD.encode(data));
                json!({"file_data": url, "filename": title.unwrap_or_else(|| "document.txt".into())})
            }
            source => {
                let filename = title.unwrap_or_else(|| "document.pdf".into());
                json!({"file_data": source.url(place)?, "filename": filename})
            }
        })
    }

    fn url(self, place: &str) -> Result<String, BadRequest> {
        match self {
            Self::Base64 { media_type, data } => Ok(format!("data:{media_type};base64,{data}")),
            Self::Url { url } => Ok(url),
            Self::Text { .. } | Self::File { .. } => {
                let message = format!("{place}.source must be of type base64 or url here");
                Err(BadRequest::field(format!("{place}.source"), message))
            }
        }
    }
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
    let more: Map<_, _> = tool.more.into_iter().filter(|(_, value)| !value.is_null()).collect();
    let more = if more.is_empty() { Value::Null } else { Hosted::more(Protocol::Messages, more.into()) };
    Ok(object([
        ("type", "function".into()),
        ("function", object(function)),
        ("cache_control", json!(tool.cache_control)),
        ("hosted", more),
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
