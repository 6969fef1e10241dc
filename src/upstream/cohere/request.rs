//! A request → the body of Cohere's chat.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use super::super::compatible::order::SHOWN_BELOW;
use super::super::structure;
use crate::api::chat::ChatRequest;
use crate::api::conversation::{
    Controls, Conversation, Effort, Format, Part, PartKind, Source, Tool, ToolCall, ToolChoice, Turn, inexpressible,
    no_citations, one_call_at_a_time, unsupported,
};
use crate::api::error::BadRequest;
use crate::api::fields::object;
use crate::upstream::anthropic::messages::input;

/// The fields that have something like them in Cohere's wire.
const UNDERSTOOD: [&str; 16] = [
    "frequency_penalty",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
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
    "top_p",
];

const PENALTIES: RangeInclusive<f64> = 0.0..=1.0;
/// The least and the most of its `top_p`; of one beyond these the nearest is taken, since without any it is .75.
const P: (f64, f64) = (0.01, 0.99);

/// Cohere's own, which its clients may send: passed on as they are.
const OWN: [&str; 6] = ["citation_options", "documents", "priority", "safety_mode", "strict_tools", "thinking"];

/// What Cohere cannot be asked.
pub(super) fn refuses(request: &ChatRequest) -> Option<BadRequest> {
    let understood = [&UNDERSTOOD[..], &OWN[..]].concat();
    inexpressible(request, &understood, "Cohere")
        .or_else(|| one_call_at_a_time(request, "Cohere"))
        .or_else(|| no_citations(request, "Cohere"))
        .or_else(|| no_other_penalties(request))
}

/// OpenAI's penalties may also be rewards, or twice as hard.
fn no_other_penalties(request: &ChatRequest) -> Option<BadRequest> {
    let wanted = |name| request.field::<f64>(name, "a number").ok().flatten();
    let beyond = |name: &&'static str| wanted(name).is_some_and(|penalty| !PENALTIES.contains(&penalty));
    let name = ["frequency_penalty", "presence_penalty"].into_iter().find(beyond)?;
    let problem = || format!("Cohere takes a `{name}` from 0 to 1 only");
    (!request.drop_unsupported).then(|| unsupported(name, &problem()))
}

/// What to post.
///
/// # Errors
/// What Cohere cannot be asked, named by the client's field.
pub(super) fn body(model: &str, request: &ChatRequest) -> Result<Value, BadRequest> {
    if let Some(bad) = refuses(request) {
        return Err(bad);
    }
    let Conversation { turns, mut controls } = Conversation::read(request)?;
    let mut messages = messages(&turns, request.drop_unsupported)?;
    let tools = tools(&controls);
    let has_documents = request.raw("documents").is_some_and(|raw| !matches!(&raw[..], b"null" | b"[]"));
    if has_documents || !tools.is_null() {
        let told = structure::told_beside_tools(request, &mut controls.format)?;
        let instructions = messages.iter().take_while(|message| message["role"] == "system").count();
        let told = told.map(|words| json!({"role": "system", "content": words}));
        messages.splice(instructions..instructions, told);
    }
    let mut body = object([
        ("model", json!(model)),
        ("messages", messages.into()),
        ("stream", json!(request.stream)),
        ("tools", tools),
        ("tool_choice", tool_choice(&controls)),
        ("strict_tools", if controls.tools.iter().any(|t| t.strict == Some(true)) { json!(true) } else { Value::Null }),
        ("response_format", response_format(&controls.format)),
        ("max_tokens", json!(controls.max_output_tokens)),
        ("stop_sequences", if controls.stop.is_empty() { Value::Null } else { json!(controls.stop) }),
        ("temperature", json!(controls.temperature)),
        ("seed", json!(controls.seed)),
        ("frequency_penalty", json!(controls.frequency_penalty.filter(|penalty| PENALTIES.contains(penalty)))),
        ("presence_penalty", json!(controls.presence_penalty.filter(|penalty| PENALTIES.contains(penalty)))),
        ("k", json!(controls.top_k)),
        ("p", json!(controls.top_p.map(|p| p.clamp(P.0, P.1)))),
        ("logprobs", if controls.logprobs { json!(true) } else { Value::Null }),
        ("thinking", controls.effort.map_or(Value::Null, |effort| thinking(effort, controls.thought_tokens))),
    ]);
    for name in OWN {
        if let Some(own) = request.field::<Value>(name, "JSON")? {
            body[name] = own;
        }
    }
    Ok(body)
}

/// A result holds texts: the pictures of a run of results follow in a message of the user's.
fn messages(turns: &[Turn], drop: bool) -> Result<Vec<Value>, BadRequest> {
    let (mut messages, mut shown) = (Vec::with_capacity(turns.len() + 1), vec![]);
    for (i, turn) in turns.iter().enumerate() {
        let mut content = content(i, parts_of(turn), drop)?;
        match turn {
            Turn::Tool { .. } => shown.extend(take_pictures(&mut content)),
            _ => messages.extend(from_user(std::mem::take(&mut shown))),
        }
        messages.push(message(turn, content));
    }
    messages.extend(from_user(shown));
    Ok(messages)
}

fn parts_of(turn: &Turn) -> &[Part] {
    match turn {
        Turn::System { parts }
        | Turn::User { parts, .. }
        | Turn::Assistant { parts, .. }
        | Turn::Tool { parts, .. } => parts,
    }
}

fn message(turn: &Turn, content: Value) -> Value {
    match turn {
        Turn::System { .. } => json!({"role": "system", "content": content}),
        Turn::User { .. } => json!({"role": "user", "content": content}),
        Turn::Assistant { calls, .. } => assistant(content, calls),
        Turn::Tool { call_id, .. } => json!({"role": "tool", "tool_call_id": call_id, "content": documents(content)}),
    }
}

/// All that is no text; it says so in their place.
fn take_pictures(content: &mut Value) -> Vec<Value> {
    let Some(parts) = content.as_array_mut() else { return vec![] };
    let pictures: Vec<Value> = parts.extract_if(.., |part| part["type"] != "text").collect();
    parts.extend((!pictures.is_empty()).then(|| json!({"type": "text", "text": SHOWN_BELOW})));
    pictures
}

fn from_user(pictures: Vec<Value>) -> Option<Value> {
    (!pictures.is_empty()).then(|| json!({"role": "user", "content": pictures}))
}

/// What a model says before its calls is its plan.
fn assistant(content: Value, calls: &[ToolCall]) -> Value {
    if calls.is_empty() {
        return json!({"role": "assistant", "content": content});
    }
    let calls: Vec<Value> = calls
        .iter()
        .map(|call| {
            let function = json!({"name": call.name, "arguments": arguments(&call.arguments)});
            json!({"id": call.id, "type": "function", "function": function})
        })
        .collect();
    object([("role", json!("assistant")), ("tool_plan", plan(content)), ("tool_calls", calls.into())])
}

/// An object, as Cohere wants it.
fn arguments(given: &str) -> Cow<'_, str> {
    match serde_json::from_str::<Map<String, Value>>(given) {
        Ok(_) => given.into(),
        Err(_) => input(given).to_string().into(),
    }
}

/// A plan is one text; null where nothing is said.
fn plan(content: Value) -> Value {
    let plan = match content {
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n"),
        Value::String(text) => text,
        _ => String::new(),
    };
    if plan.is_empty() { Value::Null } else { plan.into() }
}

/// Text alone is a string.
fn content(i: usize, parts: &[Part], drop: bool) -> Result<Value, BadRequest> {
    match parts {
        [] => Ok(json!("")),
        [Part { kind: PartKind::Text(text) | PartKind::Refusal(text), .. }] => Ok(json!(text)),
        _ => {
            let parts = parts.iter().enumerate().filter_map(|(j, one)| part(i, j, one, drop).transpose());
            let parts: Vec<Value> = parts.collect::<Result<_, _>>()?;
            Ok(if parts.is_empty() { json!("") } else { parts.into() })
        }
    }
}

/// `None`: left out, as the client wants what cannot be said to be.
fn part(i: usize, j: usize, part: &Part, drop: bool) -> Result<Option<Value>, BadRequest> {
    match &part.kind {
        PartKind::Text(text) | PartKind::Refusal(text) => Ok(Some(json!({"type": "text", "text": text}))),
        PartKind::Image { source: Source::Url(url), detail } => Ok(Some(image(url, detail.as_deref()))),
        PartKind::Image { source: Source::Base64 { media_type, data }, detail } => {
            Ok(Some(image(&format!("data:{media_type};base64,{data}"), detail.as_deref())))
        }
        _ if drop => Ok(None),
        _ => {
            let field = format!("messages[{i}].content[{j}]");
            Err(BadRequest::field(
                field.clone(),
                format!("{field}: Cohere takes texts and pictures, and no files or sound"),
            ))
        }
    }
}

fn image(url: &str, detail: Option<&str>) -> Value {
    json!({"type": "image_url", "image_url": object([("url", json!(url)), ("detail", json!(detail))])})
}

/// A tool's result that is an object, or a list of them, as documents, which an answer can cite one by one; any other
/// as it is.
fn documents(content: Value) -> Value {
    let document = |data: Value| json!({"type": "document", "document": {"data": data}});
    match content.as_str().and_then(|text| serde_json::from_str(text).ok()) {
        Some(data @ Value::Object(_)) => json!([document(data)]),
        Some(Value::Array(list)) if !list.is_empty() && list.iter().all(Value::is_object) => {
            list.into_iter().map(document).collect()
        }
        _ => content,
    }
}

/// Where one function is chosen, it is the only one that is offered.
fn tools(controls: &Controls) -> Value {
    let offered =
        |tool: &&Tool| !matches!(&controls.tool_choice, Some(ToolChoice::Function(name)) if *name != tool.name);
    let tools: Vec<Value> = controls.tools.iter().filter(offered).map(tool).collect();
    if tools.is_empty() { Value::Null } else { tools.into() }
}

fn tool(tool: &Tool) -> Value {
    let nothing = || json!({"type": "object", "properties": {}});
    let function = object([
        ("name", json!(tool.name)),
        ("description", json!(tool.description)),
        ("parameters", tool.parameters.clone().unwrap_or_else(nothing)),
    ]);
    json!({"type": "function", "function": function})
}

fn tool_choice(controls: &Controls) -> Value {
    match &controls.tool_choice {
        None | Some(ToolChoice::Auto) => Value::Null,
        Some(ToolChoice::None) => json!("NONE"),
        Some(ToolChoice::Required | ToolChoice::Function(_)) => json!("REQUIRED"),
    }
}

fn response_format(format: &Format) -> Value {
    match format {
        Format::Text => Value::Null,
        Format::JsonObject => json!({"type": "json_object"}),
        Format::JsonSchema(wanted) => json!({"type": "json_object", "json_schema": wanted.schema}),
    }
}

/// Cohere counts tokens; the numbers are those that Google's endpoint for OpenAI's clients has for its own models.
/// A number of `tokens` that the client says comes first.
fn thinking(effort: Effort, tokens: Option<u32>) -> Value {
    let budget = match effort {
        Effort::None => return json!({"type": "disabled"}),
        _ if tokens.is_some() => json!(tokens),
        Effort::Minimal | Effort::Low => json!(1024),
        Effort::Medium => json!(8192),
        Effort::High | Effort::Xhigh | Effort::Max => Value::Null,
    };
    object([("type", json!("enabled")), ("token_budget", budget)])
}
