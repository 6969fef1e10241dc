//! A Responses request → a chat request.

use serde_json::{Map, Value, json};

use super::input::Messages;
use super::tools::{self, Tools};
use crate::api::error::BadRequest;

/// What of a request its response repeats.
#[derive(Debug, Clone, PartialEq)]
pub struct Echo(pub(super) Map<String, Value>);

impl Echo {
    /// A call of a function that the request has in a namespace says in which.
    pub(super) fn placed(&self, mut item: Value) -> Value {
        let space = self.namespace(&item["name"]).filter(|_| item["type"] == "function_call");
        if let (Some(space), Some(item)) = (space, item.as_object_mut()) {
            item.entry("namespace").or_insert_with(|| space.clone());
        }
        item
    }

    /// `None`: no function of that name is in one, or another of that name may be meant.
    fn namespace(&self, name: &Value) -> Option<&Value> {
        let tools = self.0.get("tools")?.as_array()?;
        let has = |tool: &&Value| tool["tools"].as_array().into_iter().flatten().any(|within| within["name"] == *name);
        let mut spaces = tools.iter().filter(|tool| tool["type"] == "namespace").filter(has);
        let alone = !tools.iter().any(|tool| tool["name"] == *name);
        let space = spaces.next().filter(|_| alone && spaces.next().is_none())?;
        space.get("name")
    }
}

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
    let mut request: Map<String, Value> = serde_json::from_slice(body).map_err(|e| BadRequest::no_object(body, &e))?;
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
    put("reasoning_summary", summary(&mut reasoning));
    reasoning.retain(|_, value| !value.is_null());
    put("responses_reasoning", (!reasoning.is_empty()).then(|| reasoning.into()));
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
fn summary(reasoning: &mut Map<String, Value>) -> Option<Value> {
    let given = ["summary", "generate_summary"].map(|name| reasoning.remove(name).filter(|summary| !summary.is_null()));
    given.into_iter().flatten().next()
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
    let mut out = Messages::new();
    match request.remove("instructions").unwrap_or_default() {
        Value::Null => {}
        Value::String(instructions) => out.put(json!({"role": "system", "content": instructions})),
        _ => return Err(BadRequest::field("instructions", "instructions must be a string")),
    }
    match request.remove("input") {
        Some(Value::Array(items)) if items.is_empty() => {
            return Err(BadRequest::field("input", "input is empty; give a string or at least one item"));
        }
        Some(Value::String(text)) => out.put(json!({"role": "user", "content": text})),
        Some(Value::Array(items)) => {
            for (i, raw) in items.into_iter().enumerate() {
                out.add(raw, &format!("input[{i}]"))?;
            }
        }
        None | Some(Value::Null) => {
            return Err(BadRequest::field("input", "input is missing; give a string or a list of items"));
        }
        Some(_) => return Err(BadRequest::field("input", "input must be a string or a list of items")),
    }
    Ok(out.into_json())
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
