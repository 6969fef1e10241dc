//! Everything of a request beside its messages.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::allowed::{self, AllowedTools};
use super::custom::{CustomTool, CustomTools};
use super::hosted::Hosted;
use super::unsupported;
use crate::api::chat::ChatRequest;
use crate::api::error::BadRequest;

/// How an answer is to be made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Controls {
    pub tools: Vec<Tool>,
    pub custom: CustomTools,
    /// What is no function, with its place among all tools.
    pub hosted: Vec<(usize, Hosted)>,
    pub hosted_choice: Option<Hosted>,
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
    /// The same in Anthropic's words, as its client said it: `claude_effort`. It does not ask for thoughts.
    pub claude_effort: Option<String>,
    /// Of thoughts, at most. The effort then says about the same, for models that take no number.
    pub thought_tokens: Option<u32>,
    /// What a client of Anthropic's protocol says of thinking.
    pub thinking: Option<Thinking>,
    pub user: Option<String>,
    /// The same as Anthropic's client said it, where that is too long for others: `claude_user`.
    pub claude_user: Option<String>,
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
    /// What the protocol of a wire says of functions beyond all that.
    pub more: Option<Hosted>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

/// Anthropic's `thinking`, which `/v1/messages` hands on as `claude_thinking`: other models are told by an effort.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "snake_case", expecting = "an object")]
pub enum Thinking {
    Enabled {
        budget_tokens: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        display: Option<String>,
    },
    Adaptive {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        display: Option<String>,
    },
    Disabled {},
}

impl Thinking {
    /// How much of the thoughts is to be shown, where that is said.
    pub fn display(&self) -> Option<&str> {
        match self {
            Self::Enabled { display, .. } | Self::Adaptive { display } => display.as_deref(),
            Self::Disabled {} => None,
        }
    }

    /// Tokens.
    pub fn budget(&self) -> Option<u32> {
        match self {
            Self::Enabled { budget_tokens, .. } => Some(*budget_tokens),
            Self::Adaptive { .. } | Self::Disabled {} => None,
        }
    }
}

impl Effort {
    /// A budget of thoughts, tokens, in the words of an effort: what providers that take budgets make of these words,
    /// read backwards.
    pub fn of_budget(tokens: u32) -> Self {
        match tokens {
            0 => Self::None,
            1..=2048 => Self::Low,
            2049..=8192 => Self::Medium,
            _ => Self::High,
        }
    }
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
    hosted: Option<Hosted>,
    #[serde(default)]
    cache_control: Option<Value>,
}

#[derive(Default)]
struct Tools {
    functions: Vec<Tool>,
    custom: Vec<CustomTool>,
    hosted: Vec<(usize, Hosted)>,
}

/// A choice among all tools or of a function, else of a custom tool, else of another.
#[derive(Default)]
struct Choice {
    among: Option<ToolChoice>,
    custom: Option<String>,
    hosted: Option<Hosted>,
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
    /// Whether the model is asked to think before it answers.
    pub fn asks_to_think(&self) -> bool {
        match &self.thinking {
            Some(thinking) => *thinking != Thinking::Disabled {},
            None if self.claude_effort.is_some() => false,
            None => self.effort.is_some_and(|effort| effort != Effort::None),
        }
    }

    pub(super) fn read(request: &ChatRequest) -> Result<Self, BadRequest> {
        let Tools { functions, custom, hosted } = tools(request)?;
        let allowed = allowed::read(request)?;
        let choice = if allowed.is_some() { Choice::default() } else { tool_choice(request)? };
        let thinking: Option<Thinking> = request.field("claude_thinking", "Anthropic's `thinking`")?;
        let reasoning = Reasoning::read(request)?;
        Ok(Self {
            tools: functions,
            custom: CustomTools { tools: custom, chosen: choice.custom },
            hosted,
            hosted_choice: choice.hosted,
            tool_choice: choice.among,
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
            effort: reasoning.effort(request)?,
            claude_effort: request.field("claude_effort", "Anthropic's word for an effort")?,
            thought_tokens: reasoning.max_tokens.or(thinking.as_ref().and_then(Thinking::budget)),
            thinking,
            user: request.field("user", "a string")?,
            claude_user: request.field("claude_user", "a string")?,
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

fn tools(request: &ChatRequest) -> Result<Tools, BadRequest> {
    let tools: Vec<WireTool> = request.field("tools", "a list of tools")?.unwrap_or_default();
    let mut read = Tools::default();
    for (i, tool) in tools.into_iter().enumerate() {
        match tool {
            WireTool { function: Some(function), cache_control: cache, hosted: more, .. } => {
                read.functions.push(function.tool(cache, more));
            }
            WireTool { custom: Some(tool), .. } => read.custom.push(CustomTool { place: i, ..tool }),
            WireTool { hosted: Some(tool), .. } => read.hosted.push((i, tool)),
            WireTool { kind, .. } if kind == "function" => {
                let field = format!("tools[{i}].function");
                let problem = format!("{field} is missing; put the function's name and parameters in it");
                return Err(BadRequest::field(field, problem));
            }
            _ if request.drop_unsupported => {}
            WireTool { kind, .. } => {
                let field = format!("tools[{i}]");
                let problem = format!("{field} is of type \"{kind}\", which this provider cannot be asked for");
                return Err(unsupported(&field, &problem));
            }
        }
    }
    Ok(read)
}

impl WireFunction {
    fn tool(self, cache: Option<Value>, more: Option<Hosted>) -> Tool {
        let Self { name, description, parameters, strict } = self;
        Tool { name, description, parameters, strict, cache, more }
    }
}

fn tool_choice(request: &ChatRequest) -> Result<Choice, BadRequest> {
    let expected = "\"none\", \"auto\", \"required\" or {\"type\": \"function\", \"function\": {\"name\": …}}";
    let Some(choice): Option<Value> = request.field("tool_choice", expected)? else {
        return Ok(Choice::default());
    };
    let named = |kind: &str| choice[kind]["name"].as_str().map(str::to_owned);
    let among = |among| Ok(Choice { among: Some(among), ..Choice::default() });
    match (choice.as_str(), named("function"), named("custom"), Hosted::deserialize(&choice["hosted"]).ok()) {
        (Some("none"), ..) => among(ToolChoice::None),
        (Some("auto"), ..) => among(ToolChoice::Auto),
        (Some("required"), ..) => among(ToolChoice::Required),
        (_, Some(name), ..) => among(ToolChoice::Function(name)),
        (.., Some(name), _) => Ok(Choice { custom: Some(name), ..Choice::default() }),
        (.., hosted @ Some(_)) => Ok(Choice { hosted, ..Choice::default() }),
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

/// `request` with an effort in place of OpenRouter's `reasoning`, for a wire that knows efforts alone; `None`: it says
/// nothing there.
///
/// # Errors
/// What cannot be read of the two.
pub fn with_effort_alone(request: &ChatRequest) -> Result<Option<ChatRequest>, BadRequest> {
    if request.raw("reasoning").is_none() {
        return Ok(None);
    }
    let effort = Reasoning::read(request)?.effort(request)?;
    let effort = effort.and_then(|effort| serde_json::to_vec(&effort).ok()).map(Bytes::from);
    Ok(Some(request.clone().with_field("reasoning", None).with_field("reasoning_effort", effort)))
}

/// `reasoning`, as OpenRouter has it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Reasoning {
    effort: Option<Effort>,
    max_tokens: Option<u32>,
    enabled: Option<bool>,
}

impl Reasoning {
    fn read(request: &ChatRequest) -> Result<Self, BadRequest> {
        let expected = "an object with an `effort`, `max_tokens` or `enabled`";
        Ok(request.field("reasoning", expected)?.unwrap_or_default())
    }

    /// `reasoning_effort`, else what this says.
    fn effort(&self, request: &ChatRequest) -> Result<Option<Effort>, BadRequest> {
        let own = request.field("reasoning_effort", "none, minimal, low, medium, high, xhigh or max")?;
        let switched = self.enabled.map(|on| if on { Effort::Medium } else { Effort::None });
        Ok(own.or(self.effort).or(self.max_tokens.map(Effort::of_budget)).or(switched))
    }
}
