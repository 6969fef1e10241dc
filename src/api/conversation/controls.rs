//! Everything of a request beside its messages.

use serde::Deserialize;
use serde_json::Value;

use super::allowed::{self, AllowedTools};
use super::custom::{CustomTool, CustomTools};
use super::unsupported;
use crate::api::chat::ChatRequest;
use crate::api::error::BadRequest;

/// How an answer is to be made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Controls {
    pub tools: Vec<Tool>,
    pub custom: CustomTools,
    /// Among all tools, or a function.
    pub tool_choice: Option<ToolChoice>,
    /// Among some.
    pub allowed: Option<AllowedTools>,
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

/// What providers run themselves is neither a function nor a custom tool: it stays with the wires that know it.
#[derive(Deserialize)]
struct WireTool {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    function: Option<WireFunction>,
    #[serde(default)]
    custom: Option<CustomTool>,
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
        let (tools, custom) = tools(request)?;
        let allowed = allowed::read(request)?;
        let (tool_choice, chosen) = if allowed.is_some() { (None, None) } else { tool_choice(request)? };
        Ok(Self {
            tools,
            custom: CustomTools { tools: custom, chosen },
            tool_choice,
            allowed,
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

    /// Where there are no others, there is nothing left to choose.
    pub(super) fn leave_out_custom_tools(&mut self) {
        let custom = std::mem::take(&mut self.custom);
        if self.tools.is_empty() && !custom.tools.is_empty() {
            self.tool_choice = None;
        }
    }
}

/// Functions, and custom tools with their places.
fn tools(request: &ChatRequest) -> Result<(Vec<Tool>, Vec<CustomTool>), BadRequest> {
    let tools: Vec<WireTool> = request.field("tools", "a list of tools")?.unwrap_or_default();
    let (mut functions, mut custom) = (vec![], vec![]);
    for (i, tool) in tools.into_iter().enumerate() {
        match tool {
            WireTool { function: Some(function), cache_control, .. } => functions.push(function.cached(cache_control)),
            WireTool { custom: Some(tool), .. } => custom.push(CustomTool { place: i, ..tool }),
            _ if request.drop_unsupported => {}
            WireTool { kind, .. } => {
                let field = format!("tools[{i}]");
                let problem = format!("{field} is of type \"{kind}\", which this provider cannot be asked for");
                return Err(unsupported(&field, &problem));
            }
        }
    }
    Ok((functions, custom))
}

impl WireFunction {
    fn cached(self, cache: Option<Value>) -> Tool {
        let Self { name, description, parameters, strict } = self;
        Tool { name, description, parameters, strict, cache }
    }
}

/// A choice among all tools or of a function, else the custom tool that is chosen.
fn tool_choice(request: &ChatRequest) -> Result<(Option<ToolChoice>, Option<String>), BadRequest> {
    let expected = "\"none\", \"auto\", \"required\" or {\"type\": \"function\", \"function\": {\"name\": …}}";
    let Some(choice): Option<Value> = request.field("tool_choice", expected)? else {
        return Ok((None, None));
    };
    let named = |kind: &str| choice[kind]["name"].as_str().map(str::to_owned);
    match (choice.as_str(), named("function"), named("custom")) {
        (Some("none"), ..) => Ok((Some(ToolChoice::None), None)),
        (Some("auto"), ..) => Ok((Some(ToolChoice::Auto), None)),
        (Some("required"), ..) => Ok((Some(ToolChoice::Required), None)),
        (_, Some(name), _) => Ok((Some(ToolChoice::Function(name)), None)),
        (.., Some(name)) => Ok((None, Some(name))),
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
