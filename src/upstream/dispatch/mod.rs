//! The network: one request, several targets, one answer.
//!
//! Up to the first byte of an answer a failure is made good elsewhere; after it, a failure is the client's to see.

mod backoff;
mod body;
mod breaker;
mod budget;
mod capacity;
mod cause;
mod choices;
mod connect;
mod course;
mod embed;
mod endpoint;
mod fallbacks;
mod fault;
mod frames;
mod gather;
mod headers;
mod load;
mod opening;
mod pool;
mod renewal;
mod secrets;
mod sign;
mod stream;
mod target;
mod timing;
mod tls;
mod token;
mod unconnected;
mod vitals;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use foldhash::fast::FixedState;
use tokio::time::Instant;

use super::settings::ProviderSettings;
use super::{Attempt, Cause, Deadlines, Text, UpstreamError, WholeReply};
use crate::api::chat::ChatRequest;
use crate::api::embeddings::EmbeddingsRequest;
use crate::api::error::BadRequest;
use crate::catalog::{Model, ModelId};
pub use breaker::Condition;
use budget::Budget;
use choices::Choices;
use course::Course;
use endpoint::Endpoint;
pub use fallbacks::Fallbacks;
pub(crate) use gather::Gathering;
pub use stream::ReplyStream;
use target::Target;
pub use vitals::Standing;

/// All providers of one configuration: their connection pools and their models' health.
pub struct Upstreams {
    endpoints: HashMap<String, Arc<Endpoint>, FixedState>,
    /// Filled as models are first called; bounded by the configuration, from which all targets come.
    targets: RwLock<HashMap<ModelId, Arc<Target>, FixedState>>,
    budget: Arc<Budget>,
    jitter: Arc<Jitter>,
}

/// A uniform draw in [0, 1).
type Jitter = dyn Fn() -> f64 + Send + Sync;

/// How long, how often, and where a request may try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// All except `connect`, which is the pools' own. A provider's own come before these.
    pub deadlines: Deadlines,
    /// Calls for one request at most; 0 counts as 1.
    pub attempts: usize,
    /// So many of the targets are asked in their order; those behind are there for `fallbacks`.
    pub planned: usize,
    /// Indices into the targets.
    pub fallbacks: Fallbacks<Vec<usize>>,
    /// Ask the next target too where the first has not begun to answer after this: at most once per request, and both may
    /// be billed.
    pub hedge: Option<Duration>,
    /// Ask also whom a breaker leaves alone or who said when to ask again: no client waits, and it is asked but once.
    pub insists: bool,
}

impl Limits {
    /// Of a request without hedging or fallbacks of its own.
    pub fn new(deadlines: Deadlines, attempts: usize) -> Self {
        Self { deadlines, attempts, planned: usize::MAX, fallbacks: Fallbacks::default(), hedge: None, insists: false }
    }
}

/// How a provider stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderStanding {
    pub name: String,
    pub condition: Condition,
    /// Each key's.
    pub keys: Vec<Condition>,
}

/// A request that was answered, or whose answer began.
#[derive(Debug)]
pub struct Dispatched {
    /// Index into the targets: who answers.
    pub target: usize,
    /// Every call that was made, the last of which gave `reply`.
    pub attempts: Vec<Attempt>,
    pub reply: Reply,
}

/// What is asked of a model.
#[derive(Debug, Clone, Copy)]
enum Work<'a> {
    Chat(&'a ChatRequest),
    /// And the calls that were made for it since they were last counted.
    Embeddings(&'a EmbeddingsRequest, &'a AtomicUsize),
}

/// An answer, whole or as it comes.
#[derive(Debug)]
pub enum Reply {
    Whole(WholeReply),
    Stream(ReplyStream),
}

impl Reply {
    /// Whether a filter of the provider's has left nothing of the one answer that `request` asks for, as far as it has come.
    fn is_filtered(&self, request: &ChatRequest) -> bool {
        let mut pieces: Vec<&Text> = match self {
            Self::Whole(reply) => vec![&reply.text],
            Self::Stream(stream) => stream.begun().collect(),
        };
        let filtered = pieces.iter().any(|piece| piece.finish_reason.as_deref() == Some("content_filter"));
        pieces.retain(|piece| piece.tool_calls || !piece.content.is_empty());
        filtered && pieces.is_empty() && Choices::of(request).is_single()
    }
}

/// No target answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Exhausted {
    pub attempts: Vec<Attempt>,
    /// The last attempt's: what the client should hear.
    pub error: UpstreamError,
}

/// Why the network cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    #[error("api_key of provider \"{0}\" holds characters that no HTTP header can carry; is there a line end in it?")]
    ApiKey(String),
    #[error(
        "this machine has no CA certificates to check https providers with; install ca-certificates or set SSL_CERT_FILE"
    )]
    NoCertificates,
    #[error("base_url of provider \"{0}\" is longer than HTTP allows")]
    Url(String),
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

impl Upstreams {
    /// Makes the pools; connects nothing yet. `connect` is how long a connection may take to be made.
    ///
    /// # Errors
    /// Which provider's setting cannot be used, or what this machine lacks.
    pub fn new(providers: Vec<ProviderSettings>, connect: Duration) -> Result<Self, SetupError> {
        Self::made(providers, connect, |_| None)
    }

    /// Draws the jitter of retries from `jitter` (uniform in [0, 1)) in place of the thread's generator.
    #[must_use]
    pub fn with_jitter(self, jitter: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        Self { jitter: Arc::new(jitter), ..self }
    }

    /// Whether new requests should go to this model: false after several failures in a row, until a pause is over and
    /// one request may try it again.
    pub fn healthy(&self, model: &ModelId, now: Instant) -> bool {
        self.known(model, |target| target.vitals.healthy(now)).unwrap_or(true)
    }

    /// Why this model's provider cannot be asked `request`, as far as a cheap look tells.
    pub fn refuses(&self, model: &ModelId, request: &ChatRequest) -> Option<BadRequest> {
        self.endpoints.get(&*model.provider)?.provider.refuses(request)
    }

    /// How a model stands; `None` before it was first called.
    pub fn standing(&self, model: &ModelId) -> Option<Standing> {
        self.known(model, |target| target.vitals.standing(Instant::now()))
    }

    /// How each provider stands, and each of its keys, by the providers' names.
    pub fn providers(&self) -> Vec<ProviderStanding> {
        let now = Instant::now();
        let mut providers: Vec<_> = self.endpoints.values().map(|endpoint| endpoint.standing(now)).collect();
        providers.sort_by(|a, b| a.name.cmp(&b.name));
        providers
    }

    /// Attempts so far that were not made because too many others had failed.
    pub fn suppressed_retries(&self) -> u64 {
        self.budget.suppressed()
    }

    /// The names of all providers, sorted.
    pub fn provider_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.endpoints.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Whether this provider may keep what it is asked, as far as the configuration says.
    pub fn collects_data(&self, provider: &str) -> bool {
        self.endpoints.get(provider).is_none_or(|endpoint| endpoint.collects_data)
    }

    /// Whether this provider chooses among others itself, and reads `provider` for it.
    pub fn routes_itself(&self, provider: &str) -> bool {
        self.endpoints.get(provider).is_some_and(|endpoint| endpoint.routes_itself)
    }

    /// Asks `targets` until one answers: the first [`Limits::planned`] in their order, the others where
    /// [`Limits::fallbacks`] says so; where all failed, the one that may answer again the soonest is asked after that
    /// pause. Who is known to fail, or has said when to ask again, is not asked before that; see [`Limits::insists`].
    /// A streamed answer has begun when it is given back: the first event that says something is there.
    ///
    /// Dropping the future cancels the call under way.
    ///
    /// # Errors
    /// No target answered within `limits`, or the fault is the caller's, which no other target would mend.
    pub async fn dispatch(
        &self,
        targets: &[&Model],
        request: &ChatRequest,
        limits: &Limits,
    ) -> Result<Dispatched, Exhausted> {
        self.dispatch_telling(targets, request, (limits, Instant::now()), &OnceLock::new()).await
    }

    /// The same for a request whose total deadline counts from `since`; where the future is dropped before its end,
    /// `abandoned` is told the calls by then.
    ///
    /// # Errors
    /// As [`dispatch`](Self::dispatch).
    pub async fn dispatch_telling(
        &self,
        targets: &[&Model],
        request: &ChatRequest,
        (limits, since): (&Limits, Instant),
        abandoned: &OnceLock<Vec<Attempt>>,
    ) -> Result<Dispatched, Exhausted> {
        Course::new(self, targets, Work::Chat(request), (limits, since), abandoned).run().await
    }

    /// Asks `targets` for embeddings, as [`dispatch`](Self::dispatch) does for an answer; the reply is whole. Where the
    /// future is dropped before its end, `abandoned` is told the calls by then.
    ///
    /// # Errors
    /// As [`dispatch`](Self::dispatch).
    pub async fn embed(
        &self,
        targets: &[&Model],
        request: &EmbeddingsRequest,
        limits: &Limits,
        abandoned: &OnceLock<Vec<Attempt>>,
    ) -> Result<Dispatched, Exhausted> {
        let made = AtomicUsize::new(0);
        let (work, limits) = (Work::Embeddings(request, &made), (limits, Instant::now()));
        Course::new(self, targets, work, limits, abandoned).run().await
    }

    fn target(&self, model: &Model) -> Result<Arc<Target>, UpstreamError> {
        if let Some(target) = self.known(&model.id, Arc::clone) {
            return Ok(target);
        }
        let endpoint = self.endpoints.get(model.id.provider.as_str()).ok_or_else(|| unconfigured(&model.id))?;
        let target = Target::new(Arc::clone(endpoint), model)?;
        let mut targets = self.targets.write().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(targets.entry(model.id.clone()).or_insert_with(|| Arc::new(target))))
    }

    /// What there is to see of a model that was called before.
    fn known<T>(&self, model: &ModelId, look: impl FnOnce(&Arc<Target>) -> T) -> Option<T> {
        self.targets.read().unwrap_or_else(PoisonError::into_inner).get(model).map(look)
    }
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstreams").field("providers", &self.endpoints.keys()).finish_non_exhaustive()
    }
}

fn unconfigured(model: &ModelId) -> UpstreamError {
    local(format!("{model}: no provider of that name is configured"))
}

/// An error that is the gateway's own.
fn local(message: String) -> UpstreamError {
    UpstreamError::new(Cause::Configuration, message)
}
