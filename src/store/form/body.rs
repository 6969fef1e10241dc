//! A trace body: versions 1 and 2, which differ in their usage.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::decision::{DecisionV1, OutcomeV1, UsageV1, UsageV2, mirror};
use crate::api::chat::Needs;
use crate::api::metadata::Metadata;
use crate::catalog::{ModelId, Usage};
use crate::trace::{Attempt, ReplyText, Trace};

pub(super) type TraceV1<'a> = TraceForm<'a, UsageV1>;
pub(super) type TraceWritten<'a> = TraceForm<'a, UsageV2>;

#[derive(Serialize, Deserialize)]
pub(super) struct TraceForm<'a, U> {
    id: [u8; 16],
    at_ms: u64,
    route: Option<Cow<'a, str>>,
    decision: Option<DecisionV1<'a>>,
    attempts: Vec<AttemptV1<'a>>,
    model: Option<ModelIdV1<'a>>,
    outcome: OutcomeV1,
    needs: NeedsV1,
    stream: bool,
    usage: Option<U>,
    cost_usd: Option<f64>,
    first_byte_us: Option<u64>,
    total_us: u64,
    request: Bytes,
    reply: ReplyTextV1<'a>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ModelIdV1<'a> {
    provider: Cow<'a, str>,
    model: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct AttemptV1<'a> {
    model: ModelIdV1<'a>,
    status: Option<u16>,
    error: Option<Cow<'a, str>>,
    duration_us: u64,
}

#[derive(Serialize, Deserialize)]
struct NeedsV1 {
    tools: bool,
    vision: bool,
    audio: bool,
    json_schema: bool,
    json: bool,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ReplyTextV1<'a> {
    content: Cow<'a, str>,
    finish_reason: Option<Cow<'a, str>>,
    refusal: bool,
    tool_calls: bool,
    truncated: bool,
}

mirror!(Needs, NeedsV1[tools, vision, audio, json_schema, json]);

impl<'a> From<&'a Trace> for TraceWritten<'a> {
    fn from(t: &'a Trace) -> Self {
        Self {
            id: t.id.into_bytes(),
            at_ms: t.at_ms,
            route: t.route.as_deref().map(Cow::from),
            decision: t.decision.as_deref().map(DecisionV1::from),
            attempts: t.attempts.iter().map(AttemptV1::from).collect(),
            model: t.model.as_ref().map(ModelIdV1::from),
            outcome: t.outcome.into(),
            needs: t.needs.into(),
            stream: t.stream,
            usage: t.usage.map(UsageV2::from),
            cost_usd: t.cost_usd,
            first_byte_us: t.first_byte_us,
            total_us: t.total_us,
            request: t.request.clone(),
            reply: (&t.reply).into(),
        }
    }
}

impl<U: Into<Usage>> From<TraceForm<'_, U>> for Trace {
    fn from(t: TraceForm<'_, U>) -> Self {
        Self {
            id: Uuid::from_bytes(t.id),
            at_ms: t.at_ms,
            owner: None,
            metadata: Metadata::default(),
            route: t.route.map(Into::into),
            decision: t.decision.map(|decision| Arc::new(decision.into())),
            bundle: None,
            attempts: t.attempts.into_iter().map(Attempt::from).collect(),
            model: t.model.map(Into::into),
            outcome: t.outcome.into(),
            needs: t.needs.into(),
            stream: t.stream,
            usage: t.usage.map(Into::into),
            cost_usd: t.cost_usd,
            first_byte_us: t.first_byte_us,
            total_us: t.total_us,
            request: t.request,
            reply: t.reply.into(),
        }
    }
}

impl<'a> From<&'a Attempt> for AttemptV1<'a> {
    fn from(a: &'a Attempt) -> Self {
        let error = a.error.as_deref().map(Cow::from);
        Self { model: (&a.model).into(), status: a.status, error, duration_us: a.duration_us }
    }
}

impl From<AttemptV1<'_>> for Attempt {
    fn from(a: AttemptV1<'_>) -> Self {
        let error = a.error.map(Cow::into_owned);
        Self { model: a.model.into(), status: a.status, error, duration_us: a.duration_us }
    }
}

impl<'a> From<&'a ModelId> for ModelIdV1<'a> {
    fn from(id: &'a ModelId) -> Self {
        Self { provider: id.provider.as_str().into(), model: id.model.as_str().into() }
    }
}

impl From<ModelIdV1<'_>> for ModelId {
    fn from(id: ModelIdV1<'_>) -> Self {
        Self { provider: id.provider.into(), model: id.model.into() }
    }
}

impl<'a> From<&'a ReplyText> for ReplyTextV1<'a> {
    fn from(r: &'a ReplyText) -> Self {
        Self {
            content: r.content.as_str().into(),
            finish_reason: r.finish_reason.as_deref().map(Cow::from),
            refusal: r.refusal,
            tool_calls: r.tool_calls,
            truncated: r.truncated,
        }
    }
}

impl From<ReplyTextV1<'_>> for ReplyText {
    fn from(r: ReplyTextV1<'_>) -> Self {
        Self {
            content: r.content.into_owned(),
            finish_reason: r.finish_reason.map(Cow::into_owned),
            refusal: r.refusal,
            tool_calls: r.tool_calls,
            truncated: r.truncated,
        }
    }
}
