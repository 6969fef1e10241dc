//! What whole answers and streams share: usage, reasons to stop, citations.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::api::chat::forgiving;
use crate::api::conversation::{Hosted, Protocol, ToolCall};
use crate::api::fields::object;
use crate::api::usage::Count;
use crate::catalog::Usage;
use crate::upstream::blocks::{Citation, WEB};
use crate::upstream::completion::{Ending, Finish};

/// `usage`, whole or as a stream gives it in two parts.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct WireUsage {
    #[serde(default)]
    input_tokens: Count,
    #[serde(default)]
    output_tokens: Count,
    #[serde(default)]
    cache_read_input_tokens: Count,
    #[serde(default)]
    cache_creation_input_tokens: Count,
    #[serde(default, deserialize_with = "forgiving")]
    cache_creation: Option<CacheCreation>,
    #[serde(default, deserialize_with = "forgiving")]
    output_tokens_details: Option<OutputDetails>,
    server_tool_use: Option<Value>,
    service_tier: Option<Value>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
struct CacheCreation {
    #[serde(default)]
    ephemeral_5m_input_tokens: u32,
    #[serde(default)]
    ephemeral_1h_input_tokens: u32,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct OutputDetails {
    #[serde(default)]
    thinking_tokens: u32,
}

impl WireUsage {
    /// Counts are cumulative: what `later` says holds.
    pub fn update(&mut self, later: Self) {
        *self = Self {
            input_tokens: later.input_tokens.or(self.input_tokens),
            output_tokens: later.output_tokens.or(self.output_tokens),
            cache_read_input_tokens: later.cache_read_input_tokens.or(self.cache_read_input_tokens),
            cache_creation_input_tokens: later.cache_creation_input_tokens.or(self.cache_creation_input_tokens),
            cache_creation: later.cache_creation.or(self.cache_creation),
            output_tokens_details: later.output_tokens_details.or(self.output_tokens_details),
            server_tool_use: later.server_tool_use.or(self.server_tool_use.take()),
            service_tier: later.service_tier.or(self.service_tier.take()),
        };
    }

    /// What OpenAI's has no words for; null: nothing.
    pub fn own(&self) -> Value {
        let own = object([
            ("cache_creation", json!(self.cache_creation)),
            ("server_tool_use", json!(self.server_tool_use)),
            ("service_tier", json!(self.service_tier)),
        ]);
        if own.as_object().is_some_and(Map::is_empty) { Value::Null } else { own }
    }

    /// As OpenAI counts: Anthropic's `input_tokens` are only those that its cache had no part in. `None`: not all that is
    /// paid for is known.
    pub fn usage(&self) -> Option<Usage> {
        let kept = self.cache_creation.unwrap_or_default();
        let written = kept.ephemeral_5m_input_tokens.saturating_add(kept.ephemeral_1h_input_tokens);
        let written = self.cache_creation_input_tokens.said().unwrap_or(written);
        let read = self.cache_read_input_tokens.said().unwrap_or(0);
        Some(Usage {
            input_tokens: self.input_tokens.said()?.saturating_add(read).saturating_add(written),
            output_tokens: self.output_tokens.said()?,
            cached_input_tokens: read,
            cache_write_tokens: written,
            cache_write_1h_tokens: kept.ephemeral_1h_input_tokens.min(written),
            reasoning_tokens: self.output_tokens_details.unwrap_or_default().thinking_tokens,
        })
    }
}

/// What a client is told where Claude refused to go on; `None`: it did not. `details`: the `stop_details`.
pub fn refusal(stop_reason: &str, details: &Value) -> Option<String> {
    let words = details["explanation"].as_str().unwrap_or("Claude declined to answer.");
    (stop_reason == "refusal").then(|| words.to_owned())
}

/// `stop_reason` in OpenAI's words. `is_answer`: the tool that was called was there for its input only.
pub fn finish(stop_reason: &str, is_answer: bool) -> Finish {
    match stop_reason {
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" if !is_answer => Finish::ToolCalls,
        "refusal" => Finish::ContentFilter,
        // end_turn, stop_sequence, pause_turn, and what comes after this was written.
        _ => Finish::Stop,
    }
}

/// What more a client may want to know: that the answer is to go on, for one, and in which container (`own`).
pub fn ending(stop_reason: &str, stop_sequence: Option<String>, own: Own) -> Ending {
    let native = ["pause_turn", "compaction"].contains(&stop_reason).then(|| stop_reason.to_owned());
    let refused = stop_reason == "refusal" && own.stop_details.is_null();
    let unsaid = json!({"type": "refusal", "category": null, "explanation": null});
    let own = [
        ("container", own.container),
        ("context_management", own.context_management),
        ("stop_details", if refused { unsaid } else { own.stop_details }),
        ("usage", own.usage),
    ];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Ending { stop_sequence, native, hosted: Hosted::said(Protocol::Messages, own) }
}

/// What Anthropic alone says of an answer.
#[derive(Debug, Default)]
pub struct Own {
    pub container: Value,
    pub context_management: Value,
    /// Of a refusal, whose words are no text for Anthropic's clients.
    pub stop_details: Value,
    pub usage: Value,
}

/// A call, given nothing yet; in `more` is what Anthropic alone says of it. That the model itself calls is not told.
pub fn call(id: String, name: String, mut more: Map<String, Value>) -> ToolCall {
    more.retain(|name, own| !(own.is_null() || (name == "caller" && own["type"] == "direct")));
    let said = |is: Value| Box::new(Hosted { of: Protocol::Messages, is, after: 0, at: 0 });
    let more = (!more.is_empty()).then(|| said(more.into()));
    ToolCall { id, name, more, ..ToolCall::default() }
}

/// A citation. OpenAI knows no more than URLs: places in documents stand under Anthropic's own name for them.
pub fn citation(citation: Value) -> Citation {
    let Value::Object(mut fields) = citation else {
        return Citation { kind: "citation".into(), fields: Map::new() };
    };
    fields.remove("encrypted_index");
    let kind = match fields.remove("type") {
        Some(Value::String(kind)) if kind == "web_search_result_location" => WEB.into(),
        Some(Value::String(kind)) => kind,
        _ => "citation".into(),
    };
    Citation { kind, fields }
}
