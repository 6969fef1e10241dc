//! OpenAI's answers and errors → Anthropic's.

use serde_json::{Value, json};

use super::sources;
use crate::api::answer::{Answer, Call, Choice, Message};
use crate::api::conversation::{Hosted, Piece, Protocol, pieces};
use crate::api::usage::WireUsage;

/// A whole completion as a message.
///
/// # Errors
/// The bytes are no completion.
pub fn reply(body: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let mut answer = Answer::whole(body)?;
    let choice = answer.first();
    let mut end = End::default();
    end.hear(&choice);
    let Choice { mut message, .. } = choice;
    message.refusal = message.refusal.filter(|_| !end.says_why());
    let unsigned = message.unsigned_thoughts().map(thinking);
    let content: Vec<Value> = unsigned.into_iter().chain(in_order(&message)).collect();
    let mut out = json!({
        "id": message_id(&answer.id),
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": content,
        "stop_reason": end.stop_reason(),
        "stop_sequence": end.sequence,
        "usage": end.usage(answer.usage.unwrap_or_default()),
    });
    end.own().for_each(|(name, own)| out[name] = own.clone());
    serde_json::to_vec(&out)
}

/// The blocks that it has, each where it came.
fn in_order(message: &Message) -> Vec<Value> {
    let said = if message.content.is_empty() { message.refusal.as_deref().unwrap_or("") } else { &message.content };
    let sources = [&message.annotations[..], &message.citations].concat();
    let (mut texts, mut at) = (sources::blocks(said, &sources).into(), 0);
    let items: Vec<Hosted> = Hosted::items(&message.hosted_items).collect();
    let pieces = pieces(Some(Protocol::Messages), &items, &message.fields(said)).into_iter();
    let blocks = pieces.flat_map(|piece| match piece {
        Piece::Thoughts(these) => message.thinking_blocks[these].to_vec(),
        Piece::Text(these) => {
            sources::first(&mut texts, these.start - at);
            at = these.end;
            sources::first(&mut texts, these.len())
        }
        Piece::Call(i, _) => vec![tool_use(&message.tool_calls[i])],
        Piece::Item(is) => vec![is.clone()],
        Piece::Message(_) | Piece::Picture(..) => vec![],
    });
    blocks.collect()
}

/// An error of this status in Anthropic's shape.
pub fn error(status: u16, message: &str) -> Vec<u8> {
    let body = json!({"type": "error", "error": {"type": error_type(status), "message": message}});
    serde_json::to_vec(&body).unwrap_or_default()
}

/// The types and statuses are those of Anthropic's documentation of errors.
fn error_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        504 => "timeout_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

/// Thoughts of a provider that signs nothing.
pub(super) fn thinking(text: &str) -> Value {
    json!({"type": "thinking", "thinking": text, "signature": ""})
}

/// Ids of messages begin with `msg_`.
pub(super) fn message_id(id: &str) -> String {
    if id.starts_with("msg_") { id.to_owned() } else { format!("msg_{id}") }
}

/// What is known of how an answer ends, piece by piece.
#[derive(Debug, Default)]
pub(super) struct End {
    finish: Option<String>,
    refused: bool,
    /// It calls tools: some servers say `stop` then, as OpenAI does where the call was forced.
    called: bool,
    /// The stop sequence that it ended at, which most providers do not tell from an end of its own.
    pub(super) sequence: Option<String>,
    /// The provider's own word.
    native: Option<String>,
    /// What the provider's protocol alone says of the answer.
    hosted: Option<Hosted>,
}

impl End {
    pub(super) fn hear(&mut self, choice: &Choice) {
        self.refused |= choice.message.refusal.as_ref().is_some_and(|refusal| !refusal.is_empty());
        self.called |= !choice.message.tool_calls.is_empty();
        let later =
            |word: Option<&str>, before: &mut Option<String>| *before = word.map(str::to_owned).or(before.take());
        later(choice.finish_reason.as_deref(), &mut self.finish);
        later(choice.stop_sequence(), &mut self.sequence);
        later(choice.native_finish_reason.as_deref(), &mut self.native);
        self.hosted = choice.hosted.clone().or(self.hosted.take());
    }

    /// What Anthropic alone says of the answer, such as its container, but for its usage.
    pub(super) fn own(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.fields().filter(|(name, _)| *name != "usage")
    }

    /// Whether it says why Claude refused, which is then no text.
    pub(super) fn says_why(&self) -> bool {
        self.fields().any(|(name, _)| name == "stop_details")
    }

    fn fields(&self) -> impl Iterator<Item = (&String, &Value)> {
        Hosted::fields(Protocol::Messages, self.hosted.as_ref())
    }

    /// Anthropic counts tokens read from and written to its cache apart from the other input.
    pub(super) fn usage(&self, usage: WireUsage) -> Value {
        let (read, written) = (usage.cached_tokens(), usage.cache_write_tokens());
        let mut out = json!({
            "input_tokens": usage.prompt_tokens.saturating_sub(read).saturating_sub(written),
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written,
            "output_tokens": usage.output_tokens(),
        });
        let own = self.fields().filter(|(name, _)| *name == "usage").filter_map(|(_, usage)| usage.as_object());
        own.flatten().for_each(|(name, own)| out[name] = own.clone());
        out
    }

    /// Anthropic's word for it.
    pub(super) fn stop_reason(&self) -> &'static str {
        match self.finish.as_deref() {
            _ if self.refused => "refusal",
            Some("length") => "max_tokens",
            Some("tool_calls" | "function_call") => "tool_use",
            Some("content_filter") => "refusal",
            _ if self.native.as_deref() == Some("pause_turn") => "pause_turn",
            _ if self.native.as_deref() == Some("compaction") => "compaction",
            _ if self.called => "tool_use",
            _ if self.sequence.is_some() => "stop_sequence",
            _ => "end_turn",
        }
    }
}

pub(super) fn tool_use(call: &Call) -> Value {
    let mut block = json!({
        "type": "tool_use",
        "id": call.id.as_deref().unwrap_or_default(),
        "name": call.name().unwrap_or_default(),
        "input": input(&call.function.arguments),
    });
    Hosted::fields(Protocol::Messages, call.hosted.as_deref()).for_each(|(name, own)| block[name] = own.clone());
    block
}

/// A tool's input must be an object. What a model wrote that is not one is kept as Anthropic advises for broken JSON.
fn input(arguments: &str) -> Value {
    match serde_json::from_str(arguments) {
        Ok(Value::Object(input)) => input.into(),
        _ if arguments.trim().is_empty() => json!({}),
        _ => json!({"INVALID_JSON": arguments}),
    }
}
