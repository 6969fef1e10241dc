//! What is known of a request before it is decided.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::Value;
use minijinja::value::Object;
use serde::Serialize;

use crate::api::chat::ChatRequest;
use crate::api::metadata::Metadata;

/// What a condition may name.
#[derive(Debug, Serialize)]
pub(in crate::gateway) struct Circumstances<'a> {
    metadata: &'a Metadata,
    /// Of the prompt, estimated.
    tokens: u32,
    /// `None`: not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    messages: usize,
    tools: bool,
    images: bool,
    audio: bool,
    json: bool,
    json_schema: bool,
    stream: bool,
    /// UTC, 0 to 23.
    hour: i8,
    /// UTC, 1 (Monday) to 7.
    weekday: i8,
}

pub(super) const NAMES: [&str; 12] = [
    "metadata",
    "tokens",
    "max_output_tokens",
    "messages",
    "tools",
    "images",
    "audio",
    "json",
    "json_schema",
    "stream",
    "hour",
    "weekday",
];

impl<'a> Circumstances<'a> {
    /// Of `request`, which has about `tokens` and came at `at_ms` (Unix milliseconds).
    pub(in crate::gateway) fn new(request: &ChatRequest, tokens: u32, metadata: &'a Metadata, at_ms: u64) -> Self {
        let at = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
        let at = at.to_zoned(TimeZone::UTC);
        let needs = request.needs;
        Self {
            metadata,
            tokens,
            max_output_tokens: request.max_output_tokens,
            messages: request.messages.len(),
            tools: needs.tools,
            images: needs.vision,
            audio: needs.audio,
            json: needs.json,
            json_schema: needs.json_schema,
            stream: request.stream,
            hour: at.hour(),
            weekday: at.weekday().to_monday_one_offset(),
        }
    }
}

/// Metadata that has every key.
#[derive(Debug)]
struct EveryKey;

impl Object for EveryKey {
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some("1".into())
    }
}

/// To try a condition on: a request that has everything, and one that has nothing.
pub(super) fn samples() -> [Value; 2] {
    let sample = |metadata: Value, rest: u32| {
        let value = |name: &str| if name == "metadata" { metadata.clone() } else { rest.into() };
        NAMES.into_iter().map(|name| (name, value(name))).collect()
    };
    [sample(Value::from_object(EveryKey), 1), sample(Value::from_serialize(Metadata::default()), 0)]
}
