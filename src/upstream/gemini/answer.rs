//! `GenerateContentResponse`: the whole answer, and each event of a stream.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::citations::{self, CitationMetadata, Cited, GroundingMetadata};
use crate::api::chat::forgiving;
use crate::api::conversation::ToolCall;
use crate::api::fields::with;
use crate::api::usage::Count;
use crate::catalog::Usage;
use crate::upstream::completion::{Choice, Completion, Finish, Head, image_json, signature_json};
use crate::upstream::{Asked, NoAnswer, Stamp, WholeReply};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Answer {
    pub(super) candidates: Vec<Candidate>,
    pub(super) prompt_feedback: Option<PromptFeedback>,
    #[serde(deserialize_with = "forgiving")]
    pub(super) usage_metadata: Option<UsageMetadata>,
    pub(super) model_version: Option<String>,
    pub(super) response_id: Option<String>,
    error: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Candidate {
    pub(super) index: usize,
    pub(super) content: Content,
    pub(super) finish_reason: Option<String>,
    pub(super) finish_message: Option<String>,
    pub(super) grounding_metadata: Option<GroundingMetadata>,
    pub(super) citation_metadata: Option<CitationMetadata>,
    pub(super) logprobs_result: Option<LogprobsResult>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Content {
    pub(super) parts: Vec<Part>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Part {
    text: Option<String>,
    thought: bool,
    thought_signature: Option<String>,
    function_call: Option<FunctionCall>,
    inline_data: Option<Blob>,
}

/// Bytes, in base64.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Blob {
    mime_type: String,
    data: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FunctionCall {
    id: Option<String>,
    name: String,
    args: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PromptFeedback {
    block_reason: Option<String>,
    block_reason_message: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct UsageMetadata {
    prompt_token_count: Count,
    candidates_token_count: Count,
    thoughts_token_count: Count,
    cached_content_token_count: Count,
    tool_use_prompt_token_count: Count,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct LogprobsResult {
    chosen_candidates: Vec<Logprob>,
    top_candidates: Vec<TopCandidates>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TopCandidates {
    candidates: Vec<Logprob>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Logprob {
    token: String,
    log_probability: f64,
}

/// What a part says.
pub(super) enum Said {
    Text(String),
    Thought(String),
    Call(ToolCall),
    /// A picture with its signature, as it stands in `images`.
    Picture(Value),
    /// Nothing that OpenAI's wire has a place for.
    Nothing,
}

/// A whole answer.
///
/// # Errors
/// Why it is not one: not of this wire, an error inside, or nothing said for a reason that is not an end.
pub(super) fn whole(asked: &Asked<'_>, body: &[u8]) -> Result<WholeReply, NoAnswer> {
    let (answer, stamp) = (Answer::read(body)?, (asked.stamp)());
    let mut choices = match answer.blocked() {
        Some(reason) => {
            vec![Choice { refusal: Some(reason), finish: Some(Finish::ContentFilter), ..Choice::default() }]
        }
        None => choices(answer.candidates, stamp)?,
    };
    if choices.is_empty() {
        return Err("the answer has no candidates".into());
    }
    choices.iter_mut().for_each(|choice| choice.hold_calls(asked.request));
    let head = Head::stamped(stamp, asked.model).named(answer.response_id, answer.model_version);
    Ok(Completion { head, choices, usage: answer.usage_metadata.and_then(|usage| usage.usage()) }.into_reply())
}

fn choices(candidates: Vec<Candidate>, stamp: Stamp) -> Result<Vec<Choice>, String> {
    let mut calls = 0;
    candidates.into_iter().map(|candidate| candidate.choice(stamp, &mut calls)).collect()
}

impl Answer {
    /// # Errors
    /// It is no answer of this wire, or carries an error.
    pub(super) fn read(body: &[u8]) -> Result<Self, NoAnswer> {
        let answer: Self = serde_json::from_slice(body).map_err(|e| format!("the answer is not Gemini's: {e}"))?;
        match &answer.error {
            Some(_) => Err(NoAnswer::told(body)),
            None => Ok(answer),
        }
    }

    /// Why the prompt was not let through: then there is no candidate.
    pub(super) fn blocked(&self) -> Option<String> {
        let feedback = self.prompt_feedback.as_ref().filter(|_| self.candidates.is_empty())?;
        let reason = feedback.block_reason.as_deref()?;
        let more = feedback.block_reason_message.as_ref().map(|message| format!(": {message}"));
        Some(format!("The prompt was blocked by Google ({reason}){}", more.unwrap_or_default()))
    }
}

impl Candidate {
    /// `calls`: how many calls of the answer came before, for the ids of those that have none.
    fn choice(self, stamp: Stamp, calls: &mut usize) -> Result<Choice, String> {
        let mut choice = Choice::default();
        let Self { content, finish_reason, finish_message, .. } = self;
        for mut part in content.parts {
            choice.signature = part.text_signature().or(choice.signature);
            match part.said(stamp, calls) {
                Said::Text(text) => choice.content.push_str(&text),
                Said::Thought(thought) => choice.reasoning.push_str(&thought),
                Said::Call(call) => choice.calls.push(call),
                Said::Picture(picture) => choice.images.push(picture),
                Said::Nothing => {}
            }
        }
        let silent = choice.content.is_empty() && choice.calls.is_empty() && choice.images.is_empty();
        choice.finish =
            Some(finish(finish_reason.as_deref(), finish_message.as_deref(), !choice.calls.is_empty(), silent)?);
        let mut cited = Cited::default();
        cited.push(&choice.content);
        choice.annotations = citations::annotations(self.grounding_metadata, self.citation_metadata, &cited);
        choice.logprobs = self.logprobs_result.map(LogprobsResult::json);
        Ok(choice)
    }
}

impl Part {
    /// That of any part except calls and pictures, which keep their own. It may come with no text at all.
    pub(super) fn text_signature(&mut self) -> Option<String> {
        let is_text = self.function_call.is_none() && self.inline_data.is_none();
        if is_text { self.thought_signature.take() } else { None }
    }

    pub(super) fn said(self, stamp: Stamp, calls: &mut usize) -> Said {
        match (self.function_call, self.text) {
            (Some(call), _) => {
                *calls += 1;
                Said::Call(call.tool_call(stamp, *calls, self.thought_signature))
            }
            (None, Some(text)) if text.is_empty() => Said::Nothing,
            (None, Some(text)) if self.thought => Said::Thought(text),
            (None, Some(text)) => Said::Text(text),
            // What a model draws while it thinks is no answer.
            (None, None) if self.thought => Said::Nothing,
            (None, None) => {
                let signature = self.thought_signature.as_deref().map(signature_json);
                let picture = self.inline_data.and_then(Blob::picture);
                picture.map_or(Said::Nothing, |is| Said::Picture(with(is, "extra_content", signature.as_ref())))
            }
        }
    }
}

impl Blob {
    fn picture(self) -> Option<Value> {
        let Self { mime_type, data } = self;
        mime_type.starts_with("image/").then(|| image_json(&format!("data:{mime_type};base64,{data}")))
    }
}

impl FunctionCall {
    /// Models before Gemini 3 give no ids: then it is one of the gateway's own.
    fn tool_call(self, stamp: Stamp, number: usize, signature: Option<String>) -> ToolCall {
        let id = self.id.filter(|id| !id.is_empty());
        ToolCall {
            id: id.unwrap_or_else(|| format!("call_{}_{number}", stamp.id.simple())),
            name: self.name,
            arguments: Value::Object(self.args).to_string(),
            signature,
            ..ToolCall::default()
        }
    }
}

/// Google's reason to stop in OpenAI's words; none is `stop`.
///
/// # Errors
/// Nothing was said (`silent`), and the reason is a failure: a call that the model got wrong, for one. Another try or
/// another model may do better.
pub(super) fn finish(reason: Option<&str>, message: Option<&str>, calls: bool, silent: bool) -> Result<Finish, String> {
    match reason.unwrap_or("STOP") {
        "STOP" if calls => Ok(Finish::ToolCalls),
        "STOP" => Ok(Finish::Stop),
        "MAX_TOKENS" => Ok(Finish::Length),
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "MODEL_ARMOR"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => Ok(Finish::ContentFilter),
        other if silent => {
            let more = message.map(|message| format!(": {message}")).unwrap_or_default();
            Err(format!("it stopped before it said anything ({other}){more}"))
        }
        _ if calls => Ok(Finish::ToolCalls),
        _ => Ok(Finish::Stop),
    }
}

impl UsageMetadata {
    /// Thoughts are output, and what tools put into the prompt is input. `None`: not all that is paid for is known.
    pub(super) fn usage(&self) -> Option<Usage> {
        let thoughts = self.thoughts_token_count.said_or_none()?;
        Some(Usage {
            input_tokens: self
                .prompt_token_count
                .said_or_none()?
                .saturating_add(self.tool_use_prompt_token_count.said_or_none()?),
            output_tokens: self.candidates_token_count.said_or_none()?.saturating_add(thoughts),
            cached_input_tokens: self.cached_content_token_count.said().unwrap_or(0),
            reasoning_tokens: thoughts,
            ..Usage::default()
        })
    }
}

impl LogprobsResult {
    /// OpenAI's `logprobs` object.
    pub(super) fn json(self) -> Value {
        let mut tops = self.top_candidates.into_iter();
        let content: Vec<Value> = self
            .chosen_candidates
            .into_iter()
            .map(|chosen| {
                let top = tops.next().unwrap_or_default().candidates.into_iter().map(Logprob::json);
                let mut json = chosen.json();
                json["top_logprobs"] = top.collect();
                json
            })
            .collect();
        json!({"content": content, "refusal": null})
    }
}

impl Logprob {
    fn json(self) -> Value {
        json!({"token": self.token, "logprob": self.log_probability, "bytes": self.token.as_bytes()})
    }
}
