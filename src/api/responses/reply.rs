//! A completion → a response.

use serde_json::{Map, Value, json};

use super::request::Echo;
use crate::api::answer::{Answer, Call, Choice, Message, Usage};
use crate::api::conversation::{Hosted, Protocol};

/// A whole completion as a response.
///
/// # Errors
/// The bytes are no completion.
pub fn reply(body: &[u8], echo: &Echo) -> Result<Vec<u8>, serde_json::Error> {
    let mut answer = Answer::read(body)?;
    let choice = answer.first();
    let state = State::ended(choice.finish_reason.as_deref(), answer.usage);
    let output = output(&answer.id, choice, state.status());
    serde_json::to_vec(&response(&answer, echo, state, output))
}

/// How far a response is.
pub(super) enum State {
    InProgress,
    Ended { incomplete: Option<&'static str>, usage: Option<Usage> },
    Failed { code: &'static str, message: String },
}

impl State {
    pub(super) fn ended(finish: Option<&str>, usage: Option<Usage>) -> Self {
        let incomplete = match finish {
            Some("length") => Some("max_output_tokens"),
            Some("content_filter") => Some("content_filter"),
            _ => None,
        };
        Self::Ended { incomplete, usage }
    }

    pub(super) fn status(&self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Ended { incomplete: None, .. } => "completed",
            Self::Ended { .. } => "incomplete",
            Self::Failed { .. } => "failed",
        }
    }
}

pub(super) fn response(answer: &Answer, echo: &Echo, state: State, output: Vec<Value>) -> Value {
    let mut out: Map<String, Value> = Map::new();
    out.insert("id".into(), id("resp", &answer.id).into());
    out.insert("object".into(), "response".into());
    out.insert("created_at".into(), answer.created.into());
    out.insert("status".into(), state.status().into());
    out.insert("model".into(), answer.model.clone().into());
    out.insert("output".into(), output.into());
    let (error, incomplete, usage) = match state {
        State::InProgress => (Value::Null, Value::Null, None),
        State::Ended { incomplete, usage } => {
            (Value::Null, incomplete.map_or(Value::Null, |reason| json!({"reason": reason})), usage)
        }
        State::Failed { code, message } => (json!({"code": code, "message": message}), Value::Null, None),
    };
    out.insert("error".into(), error);
    out.insert("incomplete_details".into(), incomplete);
    out.extend(usage.map(|usage| ("usage".into(), usage_json(usage))));
    out.extend(echo.0.clone());
    out.into()
}

/// Made of the answer's.
fn id(kind: &str, answer: &str) -> String {
    format!("{kind}_{}", answer.trim_start_matches("chatcmpl-").trim_start_matches("resp_"))
}

/// Items have ids of their own kind; `at` is the item's place among those of the response.
pub(super) fn item_id(kind: &str, answer: &str, at: usize) -> String {
    format!("{}_{at}", id(kind, answer))
}

/// `status`: of the last item, where the answer was cut; those before it are complete.
fn output(answer: &str, choice: Choice, status: &str) -> Vec<Value> {
    let message = choice.message;
    let mut output = thought_and_did(answer, &message);
    let refusal = message.refusal.map(|refusal| json!({"type": "refusal", "refusal": refusal}));
    let sources = message.annotations.into_iter().chain(message.citations).collect();
    let text = Said { text: message.content, sources, logprobs: choice.logprobs.content };
    let text = (!text.text.is_empty()).then(|| text.part());
    let parts: Vec<Value> = text.into_iter().chain(refusal).collect();
    if !parts.is_empty() {
        output.push(said(answer, output.len(), "completed", parts));
    }
    let first = output.len();
    let pictures = message.images.iter().enumerate();
    output.extend(pictures.filter_map(|(i, image)| picture(answer, first + i, image)));
    let first = output.len();
    let calls = message.tool_calls.iter().enumerate();
    output.extend(calls.map(|(i, call)| called(answer, first + i, call, "completed")));
    if let Some(Value::Object(last)) = output.last_mut().filter(|last| last["status"].is_string()) {
        last.insert("status".into(), status.into());
    }
    output
}

/// Thoughts, and what OpenAI's own tools did, in the order of both.
fn thought_and_did(answer: &str, message: &Message) -> Vec<Value> {
    let Message { reasoning_content: text, thinking_blocks: blocks, hosted_items, .. } = message;
    let mut output = vec![];
    let mut said = 0;
    for item in Hosted::items(Protocol::Responses, hosted_items) {
        let before = item.after.clamp(said, blocks.len());
        if before > said {
            output.push(reasoning(answer, output.len(), "", &blocks[said..before]));
            said = before;
        }
        output.push(item.is);
    }
    let text = if said == 0 { &text[..] } else { "" };
    if !text.is_empty() || said < blocks.len() {
        output.push(reasoning(answer, output.len(), text, &blocks[said..]));
    }
    output
}

/// Thoughts; what their provider wants back travels as the encrypted content, which clients return untouched.
pub(super) fn reasoning(answer: &str, at: usize, text: &str, blocks: &[Value]) -> Value {
    let texts = blocks.iter().filter_map(|block| block["thinking"].as_str()).filter(|text| !text.is_empty());
    let joined = texts.collect::<Vec<_>>().join("\n");
    let text = if text.is_empty() { &joined } else { text };
    let summary = if text.is_empty() { json!([]) } else { json!([{"type": "summary_text", "text": text}]) };
    let mut item = json!({"type": "reasoning", "id": item_id("rs", answer, at), "summary": summary});
    if !blocks.is_empty() {
        item["encrypted_content"] = json!(blocks).to_string().into();
    }
    item
}

pub(super) fn said(answer: &str, at: usize, status: &str, parts: Vec<Value>) -> Value {
    json!({"type": "message", "id": item_id("msg", answer, at), "status": status, "role": "assistant", "content": parts})
}

/// The kinds of sources that a response's annotations have: more than a chat's.
const ANNOTATIONS: [&str; 4] = ["container_file_citation", "file_citation", "file_path", "url_citation"];

/// A text, and what is known of it.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) text: String,
    /// A chat's `annotations` and `citations`.
    pub(super) sources: Vec<Value>,
    /// A chat's `logprobs.content`.
    pub(super) logprobs: Vec<Value>,
}

impl Said {
    /// As a part of a message. Sources that are none of OpenAI's annotations stand beside them, as they do in a chat.
    pub(super) fn part(&self) -> Value {
        let sources = self.sources.iter().map(flat);
        let is_known = |source: &Value| ANNOTATIONS.iter().any(|kind| source["type"] == *kind);
        let (annotations, citations): (Vec<_>, Vec<_>) = sources.partition(is_known);
        let logprobs = logprobs(&self.logprobs);
        let mut part =
            json!({"type": "output_text", "text": self.text, "annotations": annotations, "logprobs": logprobs});
        if !citations.is_empty() {
            part["citations"] = citations.into();
        }
        part
    }
}

/// A chat's log probabilities; a token's bytes, which may be null there, are a list here.
pub(super) fn logprobs(chat: &[Value]) -> Value {
    let token = |token: &Value| {
        let bytes = token["bytes"].as_array().cloned().unwrap_or_default();
        json!({"token": token["token"], "logprob": token["logprob"], "bytes": bytes})
    };
    let with_others = |chosen: &Value| {
        let mut json = token(chosen);
        json["top_logprobs"] = chosen["top_logprobs"].as_array().into_iter().flatten().map(token).collect();
        json
    };
    chat.iter().map(with_others).collect()
}

/// A chat's annotation keeps its fields in an object named after its type; here they stand beside the type.
fn flat(annotation: &Value) -> Value {
    let kind = annotation["type"].as_str().unwrap_or_default();
    let mut flat = annotation.get(kind).cloned().unwrap_or_else(|| json!({}));
    flat["type"] = kind.into();
    flat
}

/// A picture that a model made; OpenAI's own models make theirs with a tool, whose item this is. `None`: there are no
/// bytes of it.
pub(super) fn picture(answer: &str, at: usize, image: &Value) -> Option<Value> {
    let url = image["image_url"]["url"].as_str()?;
    let (media_type, data) = url.strip_prefix("data:")?.split_once(";base64,")?;
    Some(json!({
        "type": "image_generation_call",
        "id": item_id("ig", answer, at),
        "status": "completed",
        "output_format": media_type.trim_start_matches("image/"),
        "result": data,
    }))
}

/// A call of a function or of a custom tool.
pub(super) fn called(answer: &str, at: usize, call: &Call, status: &str) -> Value {
    let (kind, argument) =
        if call.custom.is_some() { ("custom_tool_call", "input") } else { ("function_call", "arguments") };
    json!({
        "type": kind,
        "id": call_item_id(answer, at, call),
        "call_id": call.id.as_deref().unwrap_or_default(),
        "name": call.name().unwrap_or_default(),
        argument: call.text(),
        "status": status,
    })
}

pub(super) fn call_item_id(answer: &str, at: usize, call: &Call) -> String {
    item_id(if call.custom.is_some() { "ctc" } else { "fc" }, answer, at)
}

fn usage_json(usage: Usage) -> Value {
    let input = usage.prompt_tokens_details;
    json!({
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": input.cached_tokens,
            "cache_write_tokens": input.cache_write_tokens(),
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.completion_tokens_details.reasoning_tokens},
        "total_tokens": u64::from(usage.prompt_tokens) + u64::from(usage.completion_tokens),
    })
}
