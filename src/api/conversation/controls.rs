//! Everything of a request beside its messages.

use serde::Deserialize;
use serde_json::Value;

use crate::api::chat::ChatRequest;
use crate::api::error::BadRequest;

/// How an answer is to be made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Controls {
    pub tools: Vec<Tool>,
    pub tool_choice: Option<ToolChoice>,
    pub parallel_tool_calls: Option<bool>,
    pub format: Format,
    pub max_output_tokens: Option<u32>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    /// Not OpenAI's, and understood by most others.
    pub top_k: Option<u32>,
    pub presence_penalty: Option<f64>,
    pub frequency_penalty: Option<f64>,
    pub seed: Option<i64>,
    pub stop: Vec<String>,
    /// Answers wanted; 1 where it is not said.
    pub n: u32,
    pub logprobs: bool,
    pub top_logprobs: Option<u32>,
    pub effort: Option<Effort>,
    pub user: Option<String>,
}

/// A function that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    pub name: String,
    pub description: Option<String>,
    /// JSON schema of its arguments.
    pub parameters: Option<Value>,
    pub strict: Option<bool>,
    /// `cache_control`, see [`super::Part::cache`].
    pub cache: Option<Value>,
}

/// `tool_choice`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    None,
    Auto,
    /// Any tool, but one.
    Required,
    Function(String),
}

/// `response_format`.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Format {
    #[default]
    Text,
    JsonObject,
    JsonSchema(JsonSchema),
}

/// The schema that an answer must hold to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct JsonSchema {
    pub name: String,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub schema: Value,
    #[serde(default)]
    pub strict: Option<bool>,
}

/// `reasoning_effort`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    #[serde(alias = "max")]
    Xhigh,
}

/// Custom tools, and what providers run themselves, are no functions: they stay with the wires that know them.
#[derive(Deserialize)]
struct WireTool {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    function: Option<WireFunction>,
    #[serde(default)]
    cache_control: Option<Value>,
}

#[derive(Deserialize)]
struct WireFunction {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    parameters: Option<Value>,
    #[serde(default)]
    strict: Option<bool>,
}

impl Controls {
    pub(super) fn read(request: &ChatRequest) -> Result<Self, BadRequest> {
        let tools: Vec<WireTool> = request.field("tools", "a list of tools")?.unwrap_or_default();
        Ok(Self {
            tools: tools.into_iter().enumerate().map(|(i, tool)| Tool::read(i, tool)).collect::<Result<_, _>>()?,
            tool_choice: tool_choice(request)?,
            parallel_tool_calls: request.field("parallel_tool_calls", "true or false")?,
            format: format(request)?,
            max_output_tokens: request.max_output_tokens,
            temperature: request.field("temperature", "a number")?,
            top_p: request.field("top_p", "a number")?,
            top_k: request.field("top_k", "a positive integer")?,
            presence_penalty: request.field("presence_penalty", "a number")?,
            frequency_penalty: request.field("frequency_penalty", "a number")?,
            seed: request.field("seed", "an integer")?,
            stop: stop(request)?,
            n: request.field("n", "a positive integer")?.unwrap_or(1),
            logprobs: request.field("logprobs", "true or false")?.unwrap_or(false),
            top_logprobs: request.field("top_logprobs", "an integer from 0 to 20")?,
            effort: effort(request)?,
            user: request.field("user", "a string")?,
        })
    }
}

impl Tool {
    fn read(i: usize, tool: WireTool) -> Result<Self, BadRequest> {
        let field = format!("tools[{i}]");
        let Some(function) = tool.function else {
            let problem = format!("{field} is of type \"{}\"; only functions can be asked of this provider", tool.kind);
            return Err(BadRequest::field(field, problem));
        };
        let WireFunction { name, description, parameters, strict } = function;
        Ok(Self { name, description, parameters, strict, cache: tool.cache_control })
    }
}

fn tool_choice(request: &ChatRequest) -> Result<Option<ToolChoice>, BadRequest> {
    let expected = "\"none\", \"auto\", \"required\" or {\"type\": \"function\", \"function\": {\"name\": …}}";
    let Some(choice): Option<Value> = request.field("tool_choice", expected)? else {
        return Ok(None);
    };
    let function = choice["function"]["name"].as_str();
    match (choice.as_str(), function) {
        (Some("none"), _) => Ok(Some(ToolChoice::None)),
        (Some("auto"), _) => Ok(Some(ToolChoice::Auto)),
        (Some("required"), _) => Ok(Some(ToolChoice::Required)),
        (_, Some(name)) => Ok(Some(ToolChoice::Function(name.to_owned()))),
        _ => Err(BadRequest::field("tool_choice", format!("tool_choice must be {expected}"))),
    }
}

fn format(request: &ChatRequest) -> Result<Format, BadRequest> {
    #[derive(Deserialize)]
    #[serde(tag = "type", rename_all = "snake_case")]
    enum Wire {
        Text,
        JsonObject,
        JsonSchema { json_schema: JsonSchema },
    }
    let expected = "{\"type\": \"text\", \"json_object\" or \"json_schema\"}";
    Ok(match request.field("response_format", expected)? {
        None | Some(Wire::Text) => Format::Text,
        Some(Wire::JsonObject) => Format::JsonObject,
        Some(Wire::JsonSchema { json_schema }) => Format::JsonSchema(json_schema),
    })
}

fn stop(request: &ChatRequest) -> Result<Vec<String>, BadRequest> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Wire {
        One(String),
        Many(Vec<String>),
    }
    Ok(match request.field("stop", "a string or a list of strings")? {
        None => vec![],
        Some(Wire::One(stop)) => vec![stop],
        Some(Wire::Many(stops)) => stops,
    })
}

/// `reasoning_effort`, or `reasoning: {effort}` as OpenRouter has it.
fn effort(request: &ChatRequest) -> Result<Option<Effort>, BadRequest> {
    #[derive(Deserialize)]
    struct Reasoning {
        #[serde(default)]
        effort: Option<Effort>,
    }
    let expected = "none, minimal, low, medium, high or xhigh";
    let own = request.field("reasoning_effort", expected)?;
    let nested: Option<Reasoning> = request.field("reasoning", "an object with an `effort`")?;
    Ok(own.or(nested.and_then(|reasoning| reasoning.effort)))
}
