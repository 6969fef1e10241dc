//! Version 1 of a trace body.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::decision::{DecisionV1, OutcomeV1, UsageV1, mirror};
use crate::api::chat::Needs;
use crate::catalog::ModelId;
use crate::trace::{Attempt, ReplyText, Trace};

#[derive(Serialize, Deserialize)]
pub(super) struct TraceV1 {
    id: [u8; 16],
    at_ms: u64,
    route: Option<String>,
    decision: Option<DecisionV1>,
    attempts: Vec<AttemptV1>,
    model: Option<ModelIdV1>,
    outcome: OutcomeV1,
    needs: NeedsV1,
    stream: bool,
    usage: Option<UsageV1>,
    cost_usd: Option<f64>,
    first_byte_us: Option<u64>,
    total_us: u64,
    request: Bytes,
    reply: ReplyTextV1,
}

#[derive(Serialize, Deserialize)]
struct ModelIdV1 {
    provider: String,
    model: String,
}

#[derive(Serialize, Deserialize)]
struct AttemptV1 {
    model: ModelIdV1,
    status: Option<u16>,
    error: Option<String>,
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
struct ReplyTextV1 {
    content: String,
    finish_reason: Option<String>,
    refusal: bool,
    tool_calls: bool,
    truncated: bool,
}

mirror!(ModelId, ModelIdV1[provider, model]);
mirror!(Needs, NeedsV1[tools, vision, audio, json_schema, json]);
mirror!(ReplyText, ReplyTextV1[content, finish_reason, refusal, tool_calls, truncated]);

impl From<&Trace> for TraceV1 {
    fn from(t: &Trace) -> Self {
        Self {
            id: t.id.into_bytes(),
            at_ms: t.at_ms,
            route: t.route.clone(),
            decision: t.decision.as_ref().map(DecisionV1::from),
            attempts: t.attempts.iter().map(AttemptV1::from).collect(),
            model: t.model.clone().map(ModelIdV1::from),
            outcome: t.outcome.into(),
            needs: t.needs.into(),
            stream: t.stream,
            usage: t.usage.map(UsageV1::from),
            cost_usd: t.cost_usd,
            first_byte_us: t.first_byte_us,
            total_us: t.total_us,
            request: t.request.clone(),
            reply: t.reply.clone().into(),
        }
    }
}

impl From<TraceV1> for Trace {
    fn from(t: TraceV1) -> Self {
        Self {
            id: Uuid::from_bytes(t.id),
            at_ms: t.at_ms,
            route: t.route,
            decision: t.decision.map(Into::into),
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

impl From<&Attempt> for AttemptV1 {
    fn from(a: &Attempt) -> Self {
        Self { model: a.model.clone().into(), status: a.status, error: a.error.clone(), duration_us: a.duration_us }
    }
}

impl From<AttemptV1> for Attempt {
    fn from(a: AttemptV1) -> Self {
        Self { model: a.model.into(), status: a.status, error: a.error, duration_us: a.duration_us }
    }
}
