//! Mistral: OpenAI's wire, except that an answer's content may be a list of chunks, thoughts among them, and that whole
//! answers lack what OpenAI's always have. What differs in requests is data: `models/providers.toml`.

use std::borrow::Cow;

use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::compatible::{Amended, Compatible};
use super::{Asked, Embeddings, Events, NoAnswer, Provider, WholeReply, WireRequest};
use crate::api::chat::ChatRequest;
use crate::api::error::{BadRequest, ErrorDetail};

/// Mistral's own API.
#[derive(Debug, Clone)]
pub struct Mistral(pub Compatible);

impl Provider for Mistral {
    fn path(&self, upstream_model: &str, stream: bool) -> String {
        self.0.path(upstream_model, stream)
    }

    fn refuses(&self, request: &ChatRequest) -> Option<BadRequest> {
        self.0.refuses(request)
    }

    fn request_up_to(
        &self,
        upstream_model: &str,
        longest: Option<u32>,
        request: &ChatRequest,
    ) -> Result<WireRequest, BadRequest> {
        self.0.request_up_to(upstream_model, longest, request)
    }

    fn reply(&self, asked: &Asked<'_>, body: Bytes) -> Result<WholeReply, NoAnswer> {
        self.0.reply(asked, whole(body))
    }

    fn events(&self, asked: &Asked<'_>) -> Box<dyn Events> {
        Amended::events(plain, self.0.events(asked))
    }

    fn embeddings(&self) -> Option<&dyn Embeddings> {
        self.0.embeddings()
    }

    /// Mistral says what it does not take as a list: `{"detail": [{"loc": ["body", "x"], "msg": "…"}]}`.
    fn error(&self, status: StatusCode, body: &[u8]) -> ErrorDetail {
        let detail = self.0.error(status, body);
        let error: Value = serde_json::from_slice(body).unwrap_or_default();
        let list = error["detail"].as_array().or_else(|| error["message"]["detail"].as_array());
        let problems: Vec<String> = list.into_iter().flatten().filter_map(problem).collect();
        if problems.is_empty() {
            return detail;
        }
        let field = list.and_then(|list| list.first()?["loc"].get(1)?.as_str());
        ErrorDetail {
            message: problems.join("; "),
            kind: "invalid_request_error".into(),
            param: field.map(|field| field.to_owned().into()),
            code: None,
        }
    }
}

/// `x.y: what is wrong`.
fn problem(entry: &Value) -> Option<String> {
    let message = entry["msg"].as_str()?;
    let place = entry["loc"].as_array().into_iter().flatten().skip(1).map(|step| match step {
        Value::String(name) => name.clone(),
        other => other.to_string(),
    });
    let place = place.collect::<Vec<_>>().join(".");
    Some(if place.is_empty() { message.to_owned() } else { format!("{place}: {message}") })
}

/// As much of a chunk as tells whether it is of OpenAI's form already.
#[derive(Deserialize)]
struct Glance<'a> {
    #[serde(default, borrow)]
    choices: Vec<ChoiceGlance<'a>>,
}

#[derive(Deserialize)]
struct ChoiceGlance<'a> {
    #[serde(default, borrow)]
    delta: Option<MessageGlance<'a>>,
    #[serde(default, borrow)]
    finish_reason: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct MessageGlance<'a> {
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
}

impl ChoiceGlance<'_> {
    fn is_plain(&self) -> bool {
        let content = self.delta.as_ref().and_then(|delta| delta.content);
        !content.is_some_and(|content| content.get().starts_with('['))
            && self.finish_reason.as_deref() != Some("model_length")
    }
}

/// A chunk in OpenAI's form: itself where it is that.
fn plain(data: Bytes) -> Bytes {
    let glance: Option<Glance> = serde_json::from_slice(&data).ok();
    match glance.is_none_or(|glance| glance.choices.iter().all(ChoiceGlance::is_plain)) {
        true => data,
        false => rewritten(data, |choice| make_plain(choice, "delta")),
    }
}

/// A whole answer in OpenAI's form.
fn whole(data: Bytes) -> Bytes {
    rewritten(data, |choice| {
        make_plain(choice, "message");
        choice.entry("logprobs").or_insert(Value::Null);
        choice.get_mut("message").and_then(Value::as_object_mut).into_iter().for_each(complete);
    })
}

fn rewritten(data: Bytes, rewrite: impl Fn(&mut Map<String, Value>)) -> Bytes {
    let Ok(mut answer) = serde_json::from_slice::<Value>(&data) else { return data };
    let choices = answer.get_mut("choices").and_then(Value::as_array_mut);
    choices.into_iter().flatten().filter_map(Value::as_object_mut).for_each(rewrite);
    serde_json::to_vec(&answer).map_or(data, Bytes::from)
}

fn make_plain(choice: &mut Map<String, Value>, message: &str) {
    if let Some(reason) = choice.get_mut("finish_reason").filter(|reason| *reason == "model_length") {
        *reason = "length".into();
    }
    if let Some(Value::Object(message)) = choice.get_mut(message)
        && let Some(Value::Array(chunks)) = message.get("content")
    {
        Chunks::read(chunks.clone()).write(message);
    }
}

/// What OpenAI's messages always have, and calls their type; no calls are no list.
fn complete(message: &mut Map<String, Value>) {
    message.entry("refusal").or_insert(Value::Null);
    if message.get("tool_calls").is_some_and(Value::is_null) {
        message.remove("tool_calls");
    }
    let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten();
    for call in calls.filter_map(Value::as_object_mut) {
        call.entry("type").or_insert("function".into());
    }
}

/// What stands in a list of content chunks.
#[derive(Default)]
struct Chunks {
    text: String,
    thinking: String,
    /// Chunks that are neither, such as references to documents.
    others: Vec<Value>,
}

impl Chunks {
    fn read(chunks: Vec<Value>) -> Self {
        let mut read = Self::default();
        for chunk in chunks {
            match chunk["type"].as_str() {
                Some("text") => read.text += chunk["text"].as_str().unwrap_or_default(),
                Some("thinking") => read.thinking += &thoughts(&chunk["thinking"]),
                _ => read.others.push(chunk),
            }
        }
        read
    }

    fn write(self, message: &mut Map<String, Value>) {
        message.insert("content".into(), self.text.into());
        if !self.thinking.is_empty() {
            message.insert("reasoning_content".into(), self.thinking.into());
        }
        if !self.others.is_empty() {
            message.insert("content_chunks".into(), self.others.into());
        }
    }
}

/// The text of a thought: a string, or chunks again.
fn thoughts(thinking: &Value) -> String {
    match thinking {
        Value::String(text) => text.clone(),
        Value::Array(chunks) => chunks.iter().filter_map(|chunk| chunk["text"].as_str()).collect(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_plain_stays_as_it_is_to_the_byte() {
        for body in [r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}"#, "[DONE]", "nonsense"] {
            let body = Bytes::from_static(body.as_bytes());
            assert_eq!(plain(body.clone()).as_ptr(), body.as_ptr());
        }
    }

    #[test]
    fn what_is_no_answer_stays_what_it_is() {
        for body in ["nonsense", "[1]", "7", r#"{"choices":[1,null]}"#, r#"{"choices":{}}"#] {
            assert_eq!(whole(Bytes::from_static(body.as_bytes())), body.as_bytes());
        }
    }
}
