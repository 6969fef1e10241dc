//! OpenAI's wire, which is also the clients': bytes pass through, and the gateway looks at them on the way. Only what an
//! answer of another wire brought into the conversation stays behind, and calls that a stream mixes up are told apart.

use std::collections::VecDeque;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::calls::Calls;
use super::compatible::messages;
use super::{Asked, Embeddings, Events, NoAnswer, Provider, StreamItem, Text, WholeReply, WireEvent, WireRequest};
use crate::api::answer::Answer;
use crate::api::chat::{ChatReply, ChatRequest, Choice, ReplyMessage};
use crate::api::conversation::{no_citations, no_hosted_tools, without_hosted_tools};
use crate::api::embeddings::EmbeddingsRequest;
use crate::api::error::{BadRequest, ErrorDetail};
use crate::api::halves;
use crate::api::usage::WireUsage;
use crate::catalog::Usage;
use crate::catalog::quirks::Quirks;

/// `POST {base_url}/chat/completions`, of OpenAI and of everybody who speaks its wire.
#[derive(Debug, Clone, Copy)]
pub struct OpenAi;

impl Provider for OpenAi {
    fn path(&self, _upstream_model: &str, _stream: bool) -> String {
        "chat/completions".into()
    }

    fn refuses(&self, request: &ChatRequest) -> Option<BadRequest> {
        let wire = "OpenAI's chat";
        no_hosted_tools(request, None, wire).or_else(|| no_citations(request, wire))
    }

    fn request_up_to(
        &self,
        upstream_model: &str,
        _longest: Option<u32>,
        request: &ChatRequest,
    ) -> Result<WireRequest, BadRequest> {
        if let Some(bad) = self.refuses(request) {
            return Err(bad);
        }
        let bare = without_hosted_tools(request, None);
        let request = bare.as_ref().unwrap_or(request);
        let messages = messages::rewritten(&Quirks::default(), request);
        Ok(WireRequest { headers: HeaderMap::new(), body: request.forward(upstream_model, messages.as_deref()) })
    }

    fn reply(&self, _asked: &Asked<'_>, body: Bytes) -> Result<WholeReply, NoAnswer> {
        let halved = halves::replaced(&body);
        let reply = parse(halved.as_ref().unwrap_or(&body))?;
        let usage = reply.usage().map(usage);
        let choices = reply.choices.unwrap_or_default();
        if choices.is_empty() {
            return Err("the answer has no choices".into());
        }
        let (text, calls) = text(choices, |choice| choice.message.take().or(choice.delta.take()));
        // Calls that no protocol can tell are found now, while another model may still be asked.
        if calls {
            Answer::whole(&body).map_err(|e| format!("the answer's calls cannot be read: {e}"))?;
        }
        Ok(WholeReply { usage, text: Text { length: 0, ..text }, body })
    }

    fn events(&self, _asked: &Asked<'_>) -> Box<dyn Events> {
        Box::<Stream>::default()
    }

    fn embeddings(&self) -> Option<&dyn Embeddings> {
        Some(self)
    }

    fn error(&self, status: StatusCode, body: &[u8]) -> ErrorDetail {
        let parsed: Option<Value> = serde_json::from_slice(body).ok();
        parsed.and_then(|body| detail(&body)).unwrap_or_else(|| ErrorDetail {
            message: plain_message(status, body),
            kind: if status.is_client_error() { "invalid_request_error".into() } else { "server_error".into() },
            param: None,
            code: None,
        })
    }
}

impl Embeddings for OpenAi {
    fn embeddings_path(&self, _upstream_model: &str) -> String {
        "embeddings".into()
    }

    fn embed(&self, upstream_model: &str, request: &EmbeddingsRequest) -> Result<Vec<WireRequest>, BadRequest> {
        Ok(vec![WireRequest { headers: HeaderMap::new(), body: request.forward(upstream_model) }])
    }
}

/// A stream, whose chunks pass through, except that each piece of a call says whose it is.
#[derive(Default)]
struct Stream {
    calls: Calls,
}

impl Events for Stream {
    fn event(&mut self, event: WireEvent, out: &mut VecDeque<StreamItem>) -> Result<(), NoAnswer> {
        if event.name.as_deref() == Some("error") {
            return Err(NoAnswer::Told(event.data));
        }
        out.push_back(self.item(event.data)?);
        Ok(())
    }
}

impl Stream {
    fn item(&mut self, data: Bytes) -> Result<StreamItem, NoAnswer> {
        if &data[..] == b"[DONE]" {
            return Ok(StreamItem::Done);
        }
        let halved = halves::replaced(&data);
        let chunk = parse(halved.as_ref().unwrap_or(&data))?;
        let usage = chunk.usage().map(usage);
        let choices = chunk.choices.unwrap_or_default();
        let usage_only = choices.is_empty() && usage.is_some();
        let (text, calls) = text(choices, |choice| choice.delta.take().or(choice.message.take()));
        let data = if calls { self.calls.numbered(data) } else { data };
        Ok(StreamItem::Chunk { usage, text, usage_only, data })
    }
}

fn parse(bytes: &Bytes) -> Result<ChatReply<'_>, NoAnswer> {
    let reply: ChatReply =
        serde_json::from_slice(bytes).map_err(|e| format!("the answer is not a chat completion: {e}"))?;
    if reply.is_error() {
        return Err(NoAnswer::Told(bytes.clone()));
    }
    match reply.choices.iter().flatten().find_map(failure) {
        Some(failure) => Err(failure),
        None => Ok(reply),
    }
}

/// Ends that are none: OpenRouter's word, DeepSeek's for an answer that it had no room to finish, and Z.ai's for a model that
/// broke off.
const FAILURES: [&str; 3] = ["error", "insufficient_system_resource", "network_error"];

/// Why a choice is no answer, though there may be text of it: OpenRouter's way to tell that its provider failed amid it.
fn failure(choice: &Choice) -> Option<NoAnswer> {
    match &choice.error {
        Some(error) => Some(NoAnswer::inside(error)),
        None => {
            let word = choice.finish_reason.as_deref().filter(|word| FAILURES.contains(word))?;
            Some(NoAnswer::of_kind("server_error", &format!("the answer's finish reason is \"{word}\"")))
        }
    }
}

pub(super) fn usage(wire: WireUsage) -> Usage {
    Usage {
        input_tokens: wire.prompt_tokens,
        output_tokens: wire.output_tokens(),
        cached_input_tokens: wire.cached_tokens(),
        cache_write_tokens: wire.cache_write_tokens(),
        cache_write_1h_tokens: 0,
        reasoning_tokens: wire.reasoning_tokens(),
    }
}

/// The text of the choice with index 0, for streams interleave the pieces of `n` choices, and whether any calls tools.
/// `said`: which of its messages is meant.
fn text(choices: Vec<Choice>, said: impl Fn(&mut Choice) -> Option<ReplyMessage>) -> (Text, bool) {
    let (mut first, mut length, mut calls) = (None, 0, false);
    for mut choice in choices {
        let message = said(&mut choice).unwrap_or_default();
        length += message.length();
        calls |= message.tool_calls.any;
        if choice.index.unwrap_or(0) == 0 {
            first.get_or_insert((message, choice.finish_reason));
        }
    }
    let (message, finish_reason) = first.unwrap_or_default();
    let text = Text {
        content: message.content.text,
        finish_reason,
        refusal: message.refusal.is_some_and(|refusal| !refusal.is_empty()),
        tool_calls: message.tool_calls.any,
        length,
    };
    (text, calls)
}

/// `{"error": {…}}`, and what servers of this wire put in its place: `{"error": "…"}`, `{"message": "…"}`,
/// `{"detail": "…"}`, or one of these in a list.
fn detail(body: &Value) -> Option<ErrorDetail> {
    let body = body.get(0).unwrap_or(body);
    body.get("error")
        .and_then(error_object)
        .or_else(|| error_object(body))
        .or_else(|| body.get("detail").and_then(error_object))
}

fn error_object(error: &Value) -> Option<ErrorDetail> {
    let text = |field: &str| match &error[field] {
        Value::String(text) => Some(text.clone().into()),
        Value::Number(number) => Some(number.to_string().into()),
        _ => None,
    };
    let message = error.as_str().or_else(|| error["message"].as_str())?.to_owned();
    Some(ErrorDetail {
        message,
        kind: text("type").unwrap_or("upstream_error".into()),
        param: text("param"),
        code: text("code"),
    })
}

fn plain_message(status: StatusCode, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    match text.trim() {
        "" => status.canonical_reason().unwrap_or("no message").to_owned(),
        text => text.to_owned(),
    }
}

/// OpenAI's name of the kind of an error, for wires that have none.
pub(super) fn kind_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}
