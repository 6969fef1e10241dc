//! The record of one request, and the closed set of events that the learner receives.

pub mod json_line;
pub mod kept;
pub mod line;

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::chat::Needs;
use crate::api::metadata::Metadata;
use crate::catalog::{ModelId, Name, Usage};
use crate::policy::{Decision, Kind, RouteSpec, Snapshot};

/// UUIDv7: its order is the order of arrival.
pub type TraceId = Uuid;

/// The id of a request's shadow, and of a shadow's request: the same moment, with the last bit flipped.
pub fn twin(id: TraceId) -> TraceId {
    Uuid::from_u128(id.as_u128() ^ 1)
}

/// Whose a request is: the beginning of the digest of the API key that it came with. No key has that of zeros.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner(pub [u8; 8]);

/// Everything that is kept of one request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    pub id: TraceId,
    /// Arrival, Unix milliseconds.
    pub at_ms: u64,
    /// `None`: nobody's, as it came without a key, or before owners were kept.
    pub owner: Option<Owner>,
    /// `None` where the client named a model.
    pub route: Option<Name>,
    /// What the client said about the request in `x-satisfice-metadata`.
    pub metadata: Metadata,
    pub decision: Option<Arc<Decision>>,
    /// The key of the training run that the decision's φ comes from. Not kept with the body: the ledger has it.
    pub bundle: Option<u64>,
    pub attempts: Vec<Attempt>,
    /// The model that answered.
    pub model: Option<ModelId>,
    pub outcome: Outcome,
    pub needs: Needs,
    pub stream: bool,
    pub usage: Option<Usage>,
    /// All attempts that were billed, USD.
    pub cost_usd: Option<f64>,
    /// Arrival to the first byte of the answer, µs.
    pub first_byte_us: Option<u64>,
    /// Arrival to the end, µs.
    pub total_us: u64,
    /// The request body as the client sent it.
    pub request: Bytes,
    pub reply: ReplyText,
}

impl Trace {
    /// The request whose answer this one is compared with; `None` where this one is not a shadow.
    pub fn shadows(&self) -> Option<TraceId> {
        let is_shadow = self.decision.as_ref().is_some_and(|decision| decision.kind == Kind::Shadow);
        is_shadow.then(|| twin(self.id))
    }
}

/// What scorers and reviewers read of the answer (of its first choice).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyText {
    pub content: String,
    pub finish_reason: Option<String>,
    pub refusal: bool,
    pub tool_calls: bool,
    /// The text was longer than what a trace keeps.
    pub truncated: bool,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Answered,
    /// The client left before the end.
    ClientGone,
    /// The upstream broke off after the first byte.
    Cut,
    /// No model answered.
    Failed,
}

impl Outcome {
    /// As metrics print it, and as it is in traces.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::ClientGone => "client_gone",
            Self::Cut => "cut",
            Self::Failed => "failed",
        }
    }
}

/// One call to one upstream, or why it was not asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    pub model: ModelId,
    /// HTTP status, where a call had one; for an error that came under a 200 in place of an answer, the one it stands
    /// for.
    pub status: Option<u16>,
    /// `None`: it answered, to the end.
    pub error: Option<String>,
    pub duration_us: u64,
}

/// What the learner receives. Closed: a new kind is a decision about what learning means.
#[derive(Debug)]
pub enum Event {
    /// A route chose who streams an answer; sent before the upstream is called, so that a score may come before the
    /// answer ends. Not sent for whole answers: nobody can score them before `Finished`, which carries the decision.
    /// `bundle`: the key of the training run that φ comes from; not always the learner's current one.
    Decided { trace: TraceId, at_ms: u64, owner: Option<Owner>, route: Name, bundle: u64, decision: Arc<Decision> },
    /// The request ended, however it did.
    Finished(Box<Trace>),
    /// A score from outside. The answer comes once it is durable.
    Feedback(Feedback, tokio::sync::oneshot::Sender<Result<Uuid, FeedbackError>>),
    /// One of the gateway's own judges is done with an answer.
    Graded(Grade),
    /// The routes changed; `routes` is the whole set.
    Configured { at_ms: u64, routes: Vec<RouteSpec> },
    /// Another training run's classifier takes over. The answer comes once the snapshot that it decides with is
    /// published.
    Reclassified(Box<Reclassified>, tokio::sync::oneshot::Sender<Result<Adopted, AdoptError>>),
}

/// What the learner needs to learn on another φ.
#[derive(Debug)]
pub struct Reclassified {
    /// Unix milliseconds.
    pub at_ms: u64,
    /// Names the training run.
    pub fingerprint: String,
    /// What it believes before anything was seen; without routes.
    pub prior: Snapshot,
    /// Earlier decisions with φ as it assesses their requests, oldest first: those whose request's body is kept.
    pub assessed: Vec<(TraceId, Decision)>,
}

/// What became of the earlier decisions when a classifier took over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adopted {
    /// Learned from in the new φ, for the first time.
    pub assessed: usize,
    /// Learned from before, and no longer: their bodies are gone.
    pub left_out: u64,
}

/// The earlier classifier stays in use.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the ledger cannot be learned from anew: {0}")]
pub struct AdoptError(pub String);

/// How good somebody found an answer: 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality(f64);

impl Quality {
    /// `None` where `value` is out of range, or not a number.
    pub fn new(value: f64) -> Option<Self> {
        (0.0..=1.0).contains(&value).then_some(Self(value))
    }

    /// 0 to 1.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// A score of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Feedback {
    pub trace: TraceId,
    /// Who gives it, whom others' requests are unknown to; `None`: they are not told apart.
    pub by: Option<Owner>,
    pub metric: String,
    pub source: String,
    pub value: Quality,
    pub comment: Option<String>,
    /// Unix milliseconds.
    pub at_ms: u64,
}

/// The metric that the gateway's own judges write, each with its name as the source. Clients cannot write it.
pub const JUDGE: &str = "judge";

/// The verdict of one of the gateway's own judges on an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Grade {
    pub trace: TraceId,
    /// Its name: the source.
    pub judge: String,
    /// 0 to 1; `None`: it gave no grade, but may still have cost something.
    pub value: Option<f64>,
    /// How much it counts beside a client's own score (1); above 0.
    pub weight: f64,
    /// `None`: the judge's price is not known, or it did not answer.
    pub cost_usd: Option<f64>,
    /// Unix milliseconds.
    pub at_ms: u64,
}

/// Scores of different (metric, source) that one trace keeps.
pub const MAX_SOURCES: usize = 64;

/// Revisions of one score that are kept.
pub const MAX_REVISIONS: u32 = 32;

/// Why a score was not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FeedbackError {
    #[error("no decided request has the trace id {0}; send the value of x-satisfice-trace-id of an answer by a route")]
    UnknownTrace(TraceId),
    #[error(
        "the trace {0} is of a model that was asked by name: no route chose it, and none learns from it; score the \
         answers of a route"
    )]
    Unrouted(TraceId),
    #[error("unknown metric \"{0}\"; the metrics are: quality")]
    UnknownMetric(String),
    #[error("the trace {0} has scores from {MAX_SOURCES} sources, the most that are kept; revise one of them instead")]
    TooManySources(TraceId),
    #[error(
        "the score by \"{0}\" was revised {MAX_REVISIONS} times, the most that are kept; the newest stays as it is"
    )]
    TooManyRevisions(String),
    /// The disk; a retry may help.
    #[error("the score was not kept: {0}; send it again later")]
    Unavailable(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_has_one_name() {
        for outcome in [Outcome::Answered, Outcome::ClientGone, Outcome::Cut, Outcome::Failed] {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.name());
        }
    }
}
