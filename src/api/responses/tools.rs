//! A response's tools, and the choice among them, as a chat has them.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use crate::api::conversation::{Hosted, Protocol};
use crate::api::error::BadRequest;
use crate::api::fields::with;

/// A chat has searching the web as an option, `web_search_options`.
#[derive(Default)]
pub(super) struct Tools {
    pub(super) tools: Vec<Value>,
    pub(super) web_search: Option<Value>,
}

/// The tools of a request.
///
/// # Errors
/// Names the one that is not a tool.
pub(super) fn read(given: Value) -> Result<Tools, BadRequest> {
    let Value::Array(given) = given else { return Err(BadRequest::field("tools", "tools must be a list")) };
    let (mut tools, unique) = (Tools::default(), is_each_name_unique(&given));
    for (i, given) in given.into_iter().enumerate() {
        match given {
            search if is_search(&search) => tools.web_search = Some(web_search(search)),
            space if unique && is_of_functions(&space) => tools.tools.extend(one_by_one(space)),
            other => tools.tools.push(tool(i, other)?),
        }
    }
    Ok(tools)
}

/// Also within namespaces: a chat could not tell two functions of one name apart.
fn is_each_name_unique(tools: &[Value]) -> bool {
    let mut seen = HashSet::new();
    let within = tools.iter().flat_map(|tool| tool["tools"].as_array().into_iter().flatten());
    tools.iter().chain(within).filter_map(|tool| tool["name"].as_str()).all(|name| seen.insert(name))
}

/// Whether it is a namespace, and in it are functions alone.
fn is_of_functions(tool: &Value) -> bool {
    let functions = tool["tools"].as_array().filter(|tools| !tools.is_empty() && tool["type"] == "namespace");
    functions.is_some_and(|tools| tools.iter().all(|tool| tool["type"] == "function"))
}

/// The functions of a namespace, each with what is said of that.
fn one_by_one(mut space: Value) -> Vec<Value> {
    let Value::Array(functions) = space["tools"].take() else { return vec![] };
    space.as_object_mut().into_iter().for_each(|space| space.retain(|name, _| name != "type" && name != "tools"));
    let placed = |mut tool: Value| {
        tool.as_object_mut().and_then(|tool| tool.shift_remove("type"));
        function(with(tool, "namespace", Some(&space)))
    };
    functions.into_iter().map(placed).collect()
}

/// By any of its names: they have dates.
fn is_search(tool: &Value) -> bool {
    tool["type"].as_str().is_some_and(|kind| kind.starts_with("web_search"))
}

/// A chat has a place's fields in an object that is named after its type.
fn web_search(mut tool: Value) -> Value {
    tool.as_object_mut().and_then(|tool| tool.remove("type"));
    if let Some(Value::Object(mut place)) = tool.get_mut("user_location").map(Value::take) {
        place.remove("type");
        tool["user_location"] = json!({"type": "approximate", "approximate": place});
    }
    tool
}

/// A chat has a tool's fields in an object that is named after its type.
fn tool(i: usize, mut tool: Value) -> Result<Value, BadRequest> {
    let kind = tool.as_object_mut().and_then(|tool| tool.shift_remove("type")).unwrap_or_default();
    match kind.as_str() {
        Some("function") => Ok(function(tool)),
        Some("custom") => {
            if tool["format"]["type"] == "grammar" {
                tool["format"] = nested(tool["format"].take());
            }
            Ok(json!({"type": "custom", "custom": tool}))
        }
        // What OpenAI runs itself: for a provider of the same protocol.
        Some(_) => {
            tool["type"] = kind;
            Ok(Hosted::tool(Protocol::Responses, tool))
        }
        None => {
            let field = format!("tools[{i}].type");
            Err(BadRequest::field(field.clone(), format!("{field} must be \"function\", or the type of another tool")))
        }
    }
}

/// What a chat has of a function.
const FUNCTION: [&str; 4] = ["name", "description", "parameters", "strict"];

/// What only a response says of it stands beside it, as far as that asks for anything.
fn function(tool: Value) -> Value {
    let Value::Object(fields) = tool else { return json!({"type": "function", "function": tool}) };
    let (own, mut more): (Map<_, _>, Map<_, _>) =
        fields.into_iter().partition(|(name, _)| FUNCTION.contains(&name.as_str()));
    more.retain(|_, value| !matches!(value, Value::Null | Value::Bool(false)));
    let more = (!more.is_empty()).then(|| Hosted::more(Protocol::Responses, more.into()));
    with(json!({"type": "function", "function": own}), "hosted", more.as_ref())
}

fn nested(mut grammar: Value) -> Value {
    grammar.as_object_mut().and_then(|grammar| grammar.remove("type"));
    json!({"type": "grammar", "grammar": grammar})
}

/// Whether a choice lets a model search the web: as a tool it may be none of those that are allowed.
pub(super) fn may_search(choice: &Value) -> bool {
    choice["type"] != "allowed_tools" || choice["tools"].as_array().is_some_and(|tools| tools.iter().any(is_search))
}

/// `tool_choice` as a chat has it.
///
/// # Errors
/// It is not a choice.
pub(super) fn choice(choice: Value) -> Result<Value, BadRequest> {
    if choice.is_string() || choice.is_null() {
        return Ok(choice);
    }
    if choice["type"] == "allowed_tools" {
        return allowed(&choice);
    }
    if is_other(&choice) {
        return Ok(Hosted::tool(Protocol::Responses, choice));
    }
    named(&choice).ok_or_else(|| {
        let message = "tool_choice must be \"auto\", \"none\", \"required\", {\"type\": \"function\" or \"custom\", \
                       \"name\": …}, {\"type\": \"allowed_tools\", \"mode\": …, \"tools\": […]} or {\"type\": …} of another tool";
        BadRequest::field("tool_choice", message)
    })
}

/// A chat has mode and tools in an object that is named after the type, and searching the web is not one of its tools. What
/// OpenAI runs itself stands there as it does among the tools.
fn allowed(choice: &Value) -> Result<Value, BadRequest> {
    let Some(tools) = choice["tools"].as_array() else {
        let message = "tool_choice.tools must be a list of tools, such as {\"type\": \"function\", \"name\": …}";
        return Err(BadRequest::field("tool_choice.tools", message));
    };
    let tool = |(i, tool): (usize, &Value)| {
        let other = || Some(Hosted::tool(Protocol::Responses, tool.clone())).filter(|_| is_other(tool));
        named(tool).or_else(other).ok_or_else(|| {
            let field = format!("tool_choice.tools[{i}]");
            let expected = "a function or a custom tool, {\"type\": …, \"name\": …}, or {\"type\": …} of another tool";
            BadRequest::field(field.clone(), format!("{field} must be {expected}"))
        })
    };
    let tools = tools.iter().enumerate().filter(|(_, tool)| !is_search(tool)).map(tool);
    let tools = tools.collect::<Result<Vec<_>, _>>()?;
    Ok(json!({"type": "allowed_tools", "allowed_tools": {"mode": choice["mode"], "tools": tools}}))
}

/// Neither a function nor a custom tool.
fn is_other(tool: &Value) -> bool {
    tool["type"].as_str().is_some_and(|kind| !["function", "custom"].contains(&kind))
}

/// A chat has a tool's name in an object that is named after its type.
fn named(tool: &Value) -> Option<Value> {
    let kind = tool["type"].as_str().filter(|kind| matches!(*kind, "function" | "custom"))?;
    let name = tool["name"].as_str()?;
    Some(json!({"type": kind, kind: {"name": name}}))
}
