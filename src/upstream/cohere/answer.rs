//! Cohere's whole answer, and the pieces that it has in common with a stream.

use serde::Deserialize;
use serde_json::{Value, json};

use super::citations::{self, Citation};
use crate::api::conversation::ToolCall;
use crate::catalog::Usage;
use crate::upstream::completion::{Choice, Completion, Finish, Head};
use crate::upstream::{Asked, NoAnswer, WholeReply};

#[derive(Debug, Deserialize)]
struct Answer {
    id: Option<String>,
    finish_reason: Option<String>,
    message: Message,
    usage: Option<WireUsage>,
    #[serde(default)]
    logprobs: Option<Vec<LogprobItem>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    content: Option<Vec<Block>>,
    tool_plan: Option<String>,
    tool_calls: Option<Vec<WireCall>>,
    citations: Option<Vec<Citation>>,
}

/// A block of the answer: text, or a thought.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Block {
    pub(super) text: Option<String>,
    pub(super) thinking: Option<String>,
}

/// A call; in a stream a piece of one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireCall {
    id: String,
    function: Function,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Function {
    name: String,
    arguments: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireUsage {
    /// What is paid for.
    billed_units: Option<Tokens>,
    /// What the model read and wrote, Cohere's own preamble among it.
    tokens: Option<Tokens>,
    cached_tokens: f64,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
struct Tokens {
    input_tokens: f64,
    output_tokens: f64,
}

/// A piece of text with the log probability of each of its tokens.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LogprobItem {
    text: Option<String>,
    logprobs: Vec<f64>,
}

/// A whole answer.
///
/// # Errors
/// It is not one, or the model failed.
pub(super) fn whole(asked: &Asked<'_>, body: &[u8]) -> Result<WholeReply, NoAnswer> {
    let answer: Answer = serde_json::from_slice(body).map_err(|e| format!("the answer is not Cohere's: {e}"))?;
    let finish = finish(answer.finish_reason.as_deref(), None)?;
    let mut choice = answer.message.choice();
    choice.finish = Some(finish);
    choice.hold_calls(asked.request);
    choice.logprobs = answer.logprobs.map(logprobs);
    let head = Head::stamped((asked.stamp)(), asked.model).named(answer.id, None);
    Ok(Completion { head, choices: vec![choice], usage: answer.usage.map(Usage::from) }.into_reply())
}

impl Message {
    fn choice(self) -> Choice {
        let blocks = self.content.unwrap_or_default();
        let plan = self.tool_plan.unwrap_or_default();
        let starts = citations::starts(plan.chars().count(), &blocks);
        let texts = blocks.iter().filter_map(|block| block.text.as_deref());
        let content: String = std::iter::once(&*plan).chain(texts).collect();
        let length = content.chars().count();
        let citations = self.citations.unwrap_or_default();
        Choice {
            content,
            reasoning: blocks.iter().filter_map(|block| block.thinking.as_deref()).collect(),
            calls: self.tool_calls.unwrap_or_default().into_iter().map(ToolCall::from).collect(),
            annotations: citations.into_iter().flat_map(|citation| citation.annotations(&starts, length)).collect(),
            ..Choice::default()
        }
    }
}

impl WireCall {
    /// What a piece adds to the arguments.
    pub(super) fn arguments(self) -> String {
        self.function.arguments
    }
}

impl From<WireCall> for ToolCall {
    fn from(call: WireCall) -> Self {
        Self { id: call.id, name: call.function.name, arguments: call.function.arguments, ..Self::default() }
    }
}

/// Cohere's reason to stop in OpenAI's words; none is `stop`. `said`: what it says of an error.
///
/// # Errors
/// The model failed.
pub(super) fn finish(reason: Option<&str>, said: Option<&str>) -> Result<Finish, NoAnswer> {
    match reason.unwrap_or("COMPLETE") {
        "MAX_TOKENS" | "ERROR_LIMIT" => Ok(Finish::Length),
        "TOOL_CALL" => Ok(Finish::ToolCalls),
        "ERROR_TOXIC" => Ok(Finish::ContentFilter),
        "ERROR" => Err(NoAnswer::of_kind("server_error", said.unwrap_or("the model failed"))),
        "TIMEOUT" => Err(NoAnswer::of_kind("timeout_error", said.unwrap_or("the model took too long"))),
        _ => Ok(Finish::Stop),
    }
}

impl From<WireUsage> for Usage {
    /// What is paid for, where it is said; the wire has whole numbers as floats.
    fn from(usage: WireUsage) -> Self {
        let counted = usage.billed_units.or(usage.tokens).unwrap_or_default();
        let (input, cached) = (count(counted.input_tokens), count(usage.cached_tokens));
        Self {
            input_tokens: input,
            output_tokens: count(counted.output_tokens),
            cached_input_tokens: cached.min(input),
            ..Self::default()
        }
    }
}

/// Saturates; no number is 0.
fn count(number: f64) -> u32 {
    number as u32
}

/// OpenAI's `logprobs` object. Cohere gives the text of several tokens together: theirs is the joint probability.
pub(super) fn logprobs(items: Vec<LogprobItem>) -> Value {
    let content: Vec<Value> = items
        .into_iter()
        .map(|item| {
            let token = item.text.unwrap_or_default();
            let logprob: f64 = item.logprobs.iter().sum();
            json!({"token": token, "logprob": logprob, "bytes": token.as_bytes(), "top_logprobs": []})
        })
        .collect();
    json!({"content": content, "refusal": null})
}
