//! A Responses request → a chat request.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::tools::{self, Tools};
use crate::api::conversation::{Hosted, Protocol};
use crate::api::error::BadRequest;

/// What of a request its response repeats.
#[derive(Debug, Clone, PartialEq)]
pub struct Echo(pub(super) Map<String, Value>);

/// Fields that a response repeats, and what they are where the request has none.
fn echo(request: &Map<String, Value>) -> Echo {
    let defaults = [
        ("instructions", Value::Null),
        ("max_output_tokens", Value::Null),
        ("metadata", json!({})),
        ("parallel_tool_calls", true.into()),
        ("previous_response_id", Value::Null),
        ("reasoning", json!({"effort": null, "summary": null})),
        ("temperature", 1.0.into()),
        ("text", json!({"format": {"type": "text"}})),
        ("tool_choice", "auto".into()),
        ("tools", json!([])),
        ("top_p", 1.0.into()),
        ("truncation", "disabled".into()),
    ];
    let given = |name: &str| request.get(name).filter(|value| !value.is_null()).cloned();
    let fields = defaults.map(|(name, default)| (name, given(name).unwrap_or(default)));
    let more = [("store", false.into())].into_iter().chain(given("user").map(|user| ("user", user)));
    let mut echo: Map<_, _> = fields.into_iter().chain(more).map(|(name, value)| (name.to_owned(), value)).collect();
    echo["tools"].as_array_mut().into_iter().flatten().for_each(complete);
    Echo(echo)
}

/// A function has in a response what a request may leave out.
fn complete(tool: &mut Value) {
    if let Some(tool) = tool.as_object_mut().filter(|tool| tool.get("type") == Some(&"function".into())) {
        tool.entry("parameters").or_insert(Value::Null);
        tool.entry("strict").or_insert(false.into());
    }
}

/// The same request for a chat, and what its response is to repeat.
///
/// # Errors
/// Names the field that is missing, of the wrong kind, or that needs what the gateway does not keep or run.
pub fn request(body: &[u8]) -> Result<(Vec<u8>, Echo), BadRequest> {
    let mut request: Map<String, Value> =
        serde_json::from_slice(body).map_err(|e| BadRequest::body(format!("the body is not a JSON object: {e}")))?;
    refuse_what_needs_state(&request)?;
    let echo = echo(&request);
    let mut out = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        value.into_iter().filter(|value| !value.is_null()).for_each(|value| {
            out.insert(name.into(), value);
        });
    };
    let (mut reasoning, mut text) = (object(&mut request, "reasoning")?, object(&mut request, "text")?);
    put("messages", Some(messages(&mut request)?));
    let given = request.remove("tools").filter(|tools| !tools.is_null()).map(tools::read).transpose()?;
    let Tools { tools, web_search } = given.unwrap_or_default();
    put("tools", (!tools.is_empty()).then(|| tools.into()));
    let choice = request.remove("tool_choice");
    put("web_search_options", web_search.filter(|_| choice.as_ref().is_none_or(tools::may_search)));
    put("tool_choice", choice.map(tools::choice).transpose()?);
    put("max_completion_tokens", request.remove("max_output_tokens").map(max_output_tokens).transpose()?);
    put("reasoning_effort", reasoning.remove("effort"));
    put("reasoning_summary", summary(&reasoning));
    put("verbosity", text.remove("verbosity"));
    put("response_format", text.remove("format").filter(|format| !format.is_null()).map(response_format).transpose()?);
    put("logprobs", wants_logprobs(&request).then(|| true.into()));
    put("stream_options", (request.get("stream") == Some(&true.into())).then(|| json!({"include_usage": true})));
    let own = ["store", "truncation", "background", "stream_options"];
    request.into_iter().filter(|(name, _)| !own.contains(&name.as_str())).for_each(|(name, value)| {
        put(&name, Some(value));
    });
    Ok((serde_json::to_vec(&out).unwrap_or_default(), echo))
}

/// How thoughts are to be shown, which chats have no word for; by its older name too.
fn summary(reasoning: &Map<String, Value>) -> Option<Value> {
    let given = |name: &str| reasoning.get(name).filter(|summary| !summary.is_null()).cloned();
    given("summary").or_else(|| given("generate_summary"))
}

fn wants_logprobs(request: &Map<String, Value>) -> bool {
    let included = |include: &Vec<Value>| include.iter().any(|what| what == "message.output_text.logprobs");
    request.get("top_logprobs").is_some_and(|top| !top.is_null())
        || request.get("include").and_then(Value::as_array).is_some_and(included)
}

/// Fields that speak of what lives in OpenAI's own store, or runs there, and what to do without.
const STATEFUL: [(&str, &str); 4] = [
    ("previous_response_id", NOTHING_KEPT),
    ("conversation", NOTHING_KEPT),
    ("prompt", "the gateway keeps no prompts; send its text as `instructions` or in `input`"),
    ("background", "the gateway answers while the client waits; leave it out, or ask for a `stream`"),
];
const NOTHING_KEPT: &str = "the gateway keeps no responses; send the whole conversation as `input`, with the `output` items of earlier responses";

fn refuse_what_needs_state(request: &Map<String, Value>) -> Result<(), BadRequest> {
    let given = |name: &str| request.get(name).is_some_and(|value| !value.is_null() && *value != json!(false));
    if let Some((name, remedy)) = STATEFUL.iter().find(|(name, _)| given(name)) {
        return Err(BadRequest::field(*name, format!("{name} is not served: {remedy}")));
    }
    match request.get("truncation").and_then(Value::as_str) {
        None | Some("disabled") => Ok(()),
        Some(_) => Err(BadRequest::field("truncation", "truncation must be \"disabled\"; shorten `input` yourself")),
    }
}

/// A field that is an object where it is there.
fn object(request: &mut Map<String, Value>, name: &'static str) -> Result<Map<String, Value>, BadRequest> {
    match request.remove(name).unwrap_or_default() {
        Value::Null => Ok(Map::new()),
        Value::Object(object) => Ok(object),
        _ => Err(BadRequest::field(name, format!("{name} must be an object"))),
    }
}

/// Named here, since the chat request calls it otherwise.
fn max_output_tokens(limit: Value) -> Result<Value, BadRequest> {
    match limit.as_u64().is_some_and(|limit| limit <= u32::MAX.into()) || limit.is_null() {
        true => Ok(limit),
        false => Err(BadRequest::field("max_output_tokens", "max_output_tokens must be a positive integer")),
    }
}

fn messages(request: &mut Map<String, Value>) -> Result<Value, BadRequest> {
    let mut out = vec![];
    match request.remove("instructions").unwrap_or_default() {
        Value::Null => {}
        Value::String(instructions) => out.push(json!({"role": "system", "content": instructions})),
        _ => return Err(BadRequest::field("instructions", "instructions must be a string")),
    }
    match request.remove("input") {
        Some(Value::Array(items)) if items.is_empty() => {
            return Err(BadRequest::field("input", "input is empty; give a string or at least one item"));
        }
        Some(Value::String(text)) => out.push(json!({"role": "user", "content": text})),
        Some(Value::Array(items)) => {
            for (i, raw) in items.into_iter().enumerate() {
                item(raw, &format!("input[{i}]"), &mut out)?;
            }
        }
        _ => return Err(BadRequest::field("input", "input is missing or wrong; give a string or a list of items")),
    }
    Ok(out.into())
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", expecting = "an object")]
enum Item {
    Message {
        role: String,
        content: Content,
    },
    FunctionCall {
        call_id: String,
        name: String,
        arguments: String,
    },
    CustomToolCall {
        call_id: String,
        name: String,
        input: String,
    },
    #[serde(alias = "custom_tool_call_output")]
    FunctionCallOutput {
        call_id: String,
        output: Content,
    },
    Reasoning {
        #[serde(default)]
        encrypted_content: Option<String>,
    },
    /// A picture that a model made before.
    ImageGenerationCall {
        #[serde(default)]
        result: Option<String>,
        #[serde(default)]
        output_format: Option<String>,
    },
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "its text must be a string or a list of input_text, output_text, refusal, input_image, input_file and input_audio"
)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part {
    #[serde(alias = "output_text", alias = "text", alias = "summary_text")]
    InputText {
        text: String,
    },
    Refusal {
        refusal: String,
    },
    InputImage {
        #[serde(default)]
        image_url: Option<String>,
        #[serde(default)]
        detail: Option<String>,
    },
    InputFile {
        #[serde(default, alias = "file_url")]
        file_data: Option<String>,
        #[serde(default)]
        file_id: Option<String>,
        #[serde(default)]
        filename: Option<String>,
    },
    InputAudio {
        input_audio: Value,
    },
}

/// Items of tools that only OpenAI's own wire knows: they go back to it as they are.
const HOSTED: [&str; 16] = [
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "computer_call",
    "computer_call_output",
    "file_search_call",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "shell_call",
    "shell_call_output",
    "tool_search_call",
    "web_search_call",
];

fn item(mut raw: Value, place: &str, out: &mut Vec<Value>) -> Result<(), BadRequest> {
    if refers(&raw) {
        let problem = "refers to an item, and the gateway keeps none; send the item itself, as it stood in `output`";
        return Err(BadRequest::field(place.to_owned(), format!("{place} {problem}")));
    }
    if let Some(object) = raw.as_object_mut() {
        object.entry("type").or_insert_with(|| "message".into());
    }
    let kind = raw["type"].as_str().unwrap_or("unknown").to_owned();
    if HOSTED.contains(&&*kind) {
        did(raw, out);
        return Ok(());
    }
    let item = Item::deserialize(raw).map_err(|e| {
        let message = format!("{place} (of type \"{kind}\") cannot be translated for a chat: {e}");
        BadRequest::field(place.to_owned(), message)
    })?;
    add(item, place, out)
}

/// What an item says becomes part of the chat's messages.
fn add(item: Item, place: &str, out: &mut Vec<Value>) -> Result<(), BadRequest> {
    match item {
        Item::Message { role, content } => said(&role, parts(content, place)?, out),
        Item::FunctionCall { call_id, name, arguments } => {
            called(out, json!({"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}));
        }
        Item::CustomToolCall { call_id, name, input } => {
            called(out, json!({"id": call_id, "type": "custom", "custom": {"name": name, "input": input}}));
        }
        Item::FunctionCallOutput { call_id, output } => {
            out.push(json!({"role": "tool", "tool_call_id": call_id, "content": parts(output, place)?}));
        }
        Item::Reasoning { encrypted_content } => thought(encrypted_content.as_deref(), out),
        Item::ImageGenerationCall { result, output_format } => {
            append(speaker(out, |_| true), "images", result.map(|data| drawn(&data, output_format.as_deref())));
        }
    }
    Ok(())
}

/// To an item in OpenAI's store; its type may be left out.
fn refers(item: &Value) -> bool {
    let is_message = item["role"].is_string() || item.get("content").is_some();
    item["type"] == "item_reference" || (item["type"].is_null() && item["id"].is_string() && !is_message)
}

fn said(role: &str, content: Value, out: &mut Vec<Value>) {
    match role {
        "assistant" => speaker(out, |message| message["content"].is_null())["content"] = content,
        _ => out.push(json!({"role": role, "content": content})),
    }
}

/// Thoughts whose blocks came along as their encrypted content; others say nothing that a provider could read.
fn thought(encrypted: Option<&str>, out: &mut Vec<Value>) {
    if let Some(blocks) = encrypted.and_then(|kept| serde_json::from_str::<Vec<Value>>(kept).ok()) {
        append(speaker(out, |message| message["content"].is_null()), "thinking_blocks", blocks);
    }
}

fn called(out: &mut Vec<Value>, call: Value) {
    append(speaker(out, |_| true), "tool_calls", [call]);
}

fn drawn(data: &str, format: Option<&str>) -> Value {
    let url = format!("data:image/{};base64,{data}", format.unwrap_or("png"));
    json!({"type": "image_url", "image_url": {"url": url}})
}

/// Of a tool that OpenAI runs, or that its models were made for: after a text it begins a message of its own.
fn did(item: Value, out: &mut Vec<Value>) {
    let message = speaker(out, |message| message["content"].is_null() && message["tool_calls"].is_null());
    let thoughts = message["thinking_blocks"].as_array().map_or(0, Vec::len);
    append(message, "hosted_items", [Hosted::item(Protocol::Responses, item, thoughts, 0)]);
}

/// The assistant's message that an item belongs to: the last one, if it is the assistant's and `open` to it.
fn speaker(out: &mut Vec<Value>, open: impl Fn(&Value) -> bool) -> &mut Value {
    if !out.last().is_some_and(|last| last["role"] == "assistant" && open(last)) {
        out.push(json!({"role": "assistant", "content": null}));
    }
    let last = out.len() - 1;
    &mut out[last]
}

fn append(message: &mut Value, list: &str, more: impl IntoIterator<Item = Value>) {
    match message[list].as_array_mut() {
        Some(items) => items.extend(more),
        None => message[list] = more.into_iter().collect::<Vec<_>>().into(),
    }
}

fn parts(content: Content, place: &str) -> Result<Value, BadRequest> {
    let parts = match content {
        Content::Text(text) => return Ok(text.into()),
        Content::Parts(parts) => parts,
    };
    let part = |(j, part)| part_of(part, &format!("{place}.content[{j}]"));
    parts.into_iter().enumerate().map(part).collect::<Result<Vec<_>, _>>().map(Value::from)
}

fn part_of(part: Part, place: &str) -> Result<Value, BadRequest> {
    match part {
        Part::InputText { text } => Ok(json!({"type": "text", "text": text})),
        Part::Refusal { refusal } => Ok(json!({"type": "refusal", "refusal": refusal})),
        Part::InputImage { image_url: Some(url), detail } => {
            let mut image = json!({"url": url});
            detail.into_iter().for_each(|detail| image["detail"] = detail.into());
            Ok(json!({"type": "image_url", "image_url": image}))
        }
        Part::InputImage { .. } => {
            let field = format!("{place}.image_url");
            Err(BadRequest::field(field.clone(), format!("{field} is missing; give the image as a URL or data: URL")))
        }
        Part::InputFile { file_data: None, file_id: None, .. } => {
            let field = format!("{place}.file_data");
            Err(BadRequest::field(
                field.clone(),
                format!("{field} is missing; give the file as a data: URL, or a `file_url`"),
            ))
        }
        Part::InputFile { file_data, file_id, filename } => {
            let fields = [("file_data", file_data), ("file_id", file_id), ("filename", filename)];
            let file: Map<_, _> =
                fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect();
            Ok(json!({"type": "file", "file": file}))
        }
        Part::InputAudio { input_audio } => Ok(json!({"type": "input_audio", "input_audio": input_audio})),
    }
}

fn response_format(mut format: Value) -> Result<Value, BadRequest> {
    match format["type"].as_str() {
        Some("text" | "json_object") => Ok(format),
        Some("json_schema") => {
            format.as_object_mut().and_then(|format| format.remove("type"));
            Ok(json!({"type": "json_schema", "json_schema": format}))
        }
        _ => {
            let message = "text.format.type must be \"text\", \"json_object\" or \"json_schema\"";
            Err(BadRequest::field("text.format", message))
        }
    }
}
