//! A completion → a response.

use serde_json::{Map, Value, json};

use super::request::Echo;
use crate::api::answer::{Answer, Call, Message, Usage};

/// A whole completion as a response.
///
/// # Errors
/// The bytes are no completion.
pub fn reply(body: &[u8], echo: &Echo) -> Result<Vec<u8>, serde_json::Error> {
    let mut answer = Answer::read(body)?;
    let choice = answer.first();
    let state = State::ended(choice.finish_reason.as_deref(), answer.usage.unwrap_or_default());
    let output = output(&answer.id, choice.message);
    serde_json::to_vec(&response(&answer, echo, state, output))
}

/// How far a response is.
pub(super) enum State {
    InProgress,
    Ended { incomplete: Option<&'static str>, usage: Usage },
    Failed { message: String },
}

impl State {
    pub(super) fn ended(finish: Option<&str>, usage: Usage) -> Self {
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
        State::InProgress => (Value::Null, Value::Null, Value::Null),
        State::Ended { incomplete, usage } => {
            let details = incomplete.map_or(Value::Null, |reason| json!({"reason": reason}));
            (Value::Null, details, usage_json(usage))
        }
        State::Failed { message } => (json!({"code": "server_error", "message": message}), Value::Null, Value::Null),
    };
    out.insert("error".into(), error);
    out.insert("incomplete_details".into(), incomplete);
    out.insert("usage".into(), usage);
    out.extend(echo.0.clone());
    out.into()
}

/// Items have ids of their own kind, made of the answer's.
pub(super) fn id(kind: &str, answer: &str) -> String {
    format!("{kind}_{}", answer.trim_start_matches("chatcmpl-").trim_start_matches("resp_"))
}

fn output(answer: &str, message: Message) -> Vec<Value> {
    let mut output = vec![];
    if !message.reasoning_content.is_empty() || !message.thinking_blocks.is_empty() {
        output.push(reasoning(answer, &message.reasoning_content, &message.thinking_blocks));
    }
    let refusal = message.refusal.map(|refusal| json!({"type": "refusal", "refusal": refusal}));
    let text = (!message.content.is_empty()).then(|| output_text(&message.content, &message.annotations));
    let parts: Vec<Value> = text.into_iter().chain(refusal).collect();
    if !parts.is_empty() {
        output.push(said(answer, "completed", parts));
    }
    output.extend(message.images.iter().enumerate().filter_map(|(i, image)| picture(answer, i, image)));
    let calls = message.tool_calls.iter().enumerate();
    output.extend(calls.map(|(i, call)| function_call(answer, i, call, "completed")));
    output
}

/// Thoughts; what their provider wants back travels as the encrypted content, which clients return untouched.
pub(super) fn reasoning(answer: &str, text: &str, blocks: &[Value]) -> Value {
    let texts = blocks.iter().filter_map(|block| block["thinking"].as_str()).filter(|text| !text.is_empty());
    let joined = texts.collect::<Vec<_>>().join("\n");
    let text = if text.is_empty() { &joined } else { text };
    let summary = if text.is_empty() { json!([]) } else { json!([{"type": "summary_text", "text": text}]) };
    let mut item = json!({"type": "reasoning", "id": id("rs", answer), "summary": summary});
    if !blocks.is_empty() {
        item["encrypted_content"] = json!(blocks).to_string().into();
    }
    item
}

pub(super) fn said(answer: &str, status: &str, parts: Vec<Value>) -> Value {
    json!({"type": "message", "id": id("msg", answer), "status": status, "role": "assistant", "content": parts})
}

pub(super) fn output_text(text: &str, annotations: &[Value]) -> Value {
    let annotations: Vec<Value> = annotations.iter().map(flat).collect();
    json!({"type": "output_text", "text": text, "annotations": annotations, "logprobs": []})
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
pub(super) fn picture(answer: &str, i: usize, image: &Value) -> Option<Value> {
    let url = image["image_url"]["url"].as_str()?;
    let (media_type, data) = url.strip_prefix("data:")?.split_once(";base64,")?;
    Some(json!({
        "type": "image_generation_call",
        "id": format!("{}_{i}", id("ig", answer)),
        "status": "completed",
        "output_format": media_type.trim_start_matches("image/"),
        "result": data,
    }))
}

pub(super) fn function_call(answer: &str, i: usize, call: &Call, status: &str) -> Value {
    json!({
        "type": "function_call",
        "id": format!("{}_{i}", id("fc", answer)),
        "call_id": call.id.as_deref().unwrap_or_default(),
        "name": call.function.name.as_deref().unwrap_or_default(),
        "arguments": call.function.arguments,
        "status": status,
    })
}

fn usage_json(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.prompt_tokens_details.cached_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.completion_tokens_details.reasoning_tokens},
        "total_tokens": u64::from(usage.prompt_tokens) + u64::from(usage.completion_tokens),
    })
}
