//! What the server shows of decisions and answers. Its own types: the API stays as it is, whatever becomes of the policy's
//! and the traces'.

use serde::Serialize;

use crate::policy::{Audited, Candidate, Decision, Knob, Panel, Verdict};
use crate::trace::{ReplyText, Trace};

/// The cost-quality knob, such as `{"quality": 0.95}`.
#[derive(Serialize)]
pub(super) enum KnobView {
    #[serde(rename = "quality")]
    Quality(f64),
    #[serde(rename = "budget_per_1k")]
    BudgetPer1k(f64),
    #[serde(rename = "value")]
    Value(f64),
}

/// What the policy decided, and what it knew.
#[derive(Serialize)]
pub(super) struct DecisionView {
    kind: &'static str,
    policy: String,
    snapshot_version: u64,
    segment: Option<String>,
    knob: KnobView,
    phi: Vec<f64>,
    widening: f64,
    verbosity: f64,
    input_tokens: u32,
    difficulty: f64,
    candidates: Vec<CandidateView>,
    /// Indices into `candidates`.
    preferred: usize,
    chosen: usize,
    draw: f64,
    audit: Option<AuditView>,
    panel: Option<PanelView>,
}

#[derive(Serialize)]
struct CandidateView {
    arm: String,
    quality: f64,
    cost_usd: f64,
    propensity: f64,
}

/// How the request came into the sample on which its route is compared with the best model.
#[derive(Serialize)]
struct AuditView {
    share: f64,
    /// An index into the candidates.
    best: usize,
}

/// The two that were asked before the drawn model.
#[derive(Serialize)]
struct PanelView {
    /// Indices into the candidates; where they agree, the first one's answer is given.
    members: [usize; 2],
    verdict: &'static str,
    /// Of those that differed: which said what was answered in the end.
    like: Option<[bool; 2]>,
}

impl From<&Panel> for PanelView {
    fn from(panel: &Panel) -> Self {
        let like = if let Verdict::Differed(like) = panel.verdict { Some(like) } else { None };
        Self { members: panel.members, verdict: panel.verdict.name(), like }
    }
}

/// Tokens, as the provider billed them.
#[derive(Serialize)]
pub(super) struct UsageView {
    input_tokens: u32,
    output_tokens: u32,
    cached_input_tokens: u32,
    cache_write_tokens: u32,
    cache_write_1h_tokens: u32,
    reasoning_tokens: u32,
}

/// The answer's first choice.
#[derive(Serialize)]
pub(super) struct ReplyView {
    content: String,
    finish_reason: Option<String>,
    refusal: bool,
    tool_calls: bool,
    truncated: bool,
}

impl From<Knob> for KnobView {
    fn from(knob: Knob) -> Self {
        match knob {
            Knob::Quality(share) => Self::Quality(share),
            Knob::BudgetPer1k(usd) => Self::BudgetPer1k(usd),
            Knob::Value(usd) => Self::Value(usd),
        }
    }
}

impl From<&Decision> for DecisionView {
    fn from(decision: &Decision) -> Self {
        Self {
            kind: decision.kind.name(),
            policy: decision.policy.to_string(),
            snapshot_version: decision.snapshot_version,
            segment: decision.segment.clone(),
            knob: decision.knob.into(),
            phi: decision.phi.clone(),
            widening: decision.widening,
            verbosity: decision.verbosity,
            input_tokens: decision.input_tokens,
            difficulty: f64::from(decision.difficulty),
            candidates: decision.candidates.iter().map(CandidateView::from).collect(),
            preferred: decision.preferred,
            chosen: decision.chosen,
            draw: decision.draw,
            audit: decision.audit.map(|Audited { share, best }| AuditView { share, best }),
            panel: decision.panel().map(PanelView::from),
        }
    }
}

impl From<&Candidate> for CandidateView {
    fn from(Candidate { arm, quality, cost_usd, propensity }: &Candidate) -> Self {
        Self { arm: arm.to_string(), quality: *quality, cost_usd: *cost_usd, propensity: *propensity }
    }
}

impl UsageView {
    /// What the answer took; `None` where nobody counted.
    pub(super) fn of(trace: &Trace) -> Option<Self> {
        trace.usage.map(|usage| Self {
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cached_input_tokens: usage.cached_input_tokens,
            cache_write_tokens: usage.cache_write_tokens,
            cache_write_1h_tokens: usage.cache_write_1h_tokens,
            reasoning_tokens: usage.reasoning_tokens,
        })
    }
}

impl From<ReplyText> for ReplyView {
    fn from(ReplyText { content, finish_reason, refusal, tool_calls, truncated }: ReplyText) -> Self {
        Self { content, finish_reason, refusal, tool_calls, truncated }
    }
}
