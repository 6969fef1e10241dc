//! Versions 1 and 2 of a trace body.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::decision::{AuditedV2, DecisionV1, OutcomeV1, UsageV1, mirror};
use crate::api::chat::Needs;
use crate::catalog::ModelId;
use crate::policy::Decision;
use crate::trace::{Attempt, ReplyText, Trace};

#[derive(Serialize, Deserialize)]
pub(super) struct TraceV1<'a> {
    id: [u8; 16],
    at_ms: u64,
    route: Option<Cow<'a, str>>,
    decision: Option<DecisionV1<'a>>,
    attempts: Vec<AttemptV1<'a>>,
    model: Option<ModelIdV1<'a>>,
    outcome: OutcomeV1,
    needs: NeedsV1,
    stream: bool,
    usage: Option<UsageV1>,
    cost_usd: Option<f64>,
    first_byte_us: Option<u64>,
    total_us: u64,
    request: Bytes,
    reply: ReplyTextV1<'a>,
}

/// Version 1 and what its decision is audited by.
#[derive(Serialize, Deserialize)]
pub(super) struct TraceV2<'a> {
    first: TraceV1<'a>,
    audit: Option<AuditedV2>,
}

#[derive(Serialize, Deserialize)]
struct ModelIdV1<'a> {
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
struct ReplyTextV1<'a> {
    content: Cow<'a, str>,
    finish_reason: Option<Cow<'a, str>>,
    refusal: bool,
    tool_calls: bool,
    truncated: bool,
}

mirror!(Needs, NeedsV1[tools, vision, audio, json_schema, json]);

impl<'a> From<&'a Trace> for TraceV2<'a> {
    fn from(t: &'a Trace) -> Self {
        let audit = t.decision.as_ref().and_then(|decision| decision.audit);
        Self { first: t.into(), audit: audit.map(AuditedV2::from) }
    }
}

impl From<TraceV2<'_>> for Trace {
    fn from(TraceV2 { first, audit }: TraceV2<'_>) -> Self {
        let trace = Self::from(first);
        let audit = audit.map(Into::into);
        let audited = |decision: Arc<Decision>| Arc::new(Decision { audit, ..Arc::unwrap_or_clone(decision) });
        Self { decision: trace.decision.map(audited), ..trace }
    }
}

impl<'a> From<&'a Trace> for TraceV1<'a> {
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
            usage: t.usage.map(UsageV1::from),
            cost_usd: t.cost_usd,
            first_byte_us: t.first_byte_us,
            total_us: t.total_us,
            request: t.request.clone(),
            reply: (&t.reply).into(),
        }
    }
}

impl From<TraceV1<'_>> for Trace {
    fn from(t: TraceV1<'_>) -> Self {
        Self {
            id: Uuid::from_bytes(t.id),
            at_ms: t.at_ms,
            route: t.route.map(Cow::into_owned),
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
        Self { provider: id.provider.into_owned(), model: id.model.into_owned() }
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
