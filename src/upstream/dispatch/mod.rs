//! The network: one request, several targets, one answer.
//!
//! Up to the first byte of an answer a failure is made good elsewhere; after it, a failure is the client's to see.

mod backoff;
mod body;
mod breaker;
mod connect;
mod endpoint;
mod fault;
mod pool;
mod stream;
mod timing;
mod tls;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use foldhash::fast::FixedState;
use tokio::time::{Instant, sleep_until};

use super::settings::ProviderSettings;
use super::{Attempt, Cause, Deadlines, UpstreamError, WholeReply};
use crate::api::chat::ChatRequest;
use crate::catalog::{Model, ModelId};
use endpoint::{Endpoint, Target};
pub use stream::ReplyStream;
use timing::{Due, Timing};

/// All providers of one configuration: their connection pools and their models' health.
pub struct Upstreams {
    endpoints: HashMap<String, Arc<Endpoint>>,
    /// Filled as models are first called; bounded by the configuration, from which all targets come.
    targets: RwLock<HashMap<ModelId, Arc<Target>, FixedState>>,
    jitter: Box<Jitter>,
}

/// A uniform draw in [0, 1).
type Jitter = dyn Fn() -> f64 + Send + Sync;

/// How long, and how often, a request may try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All but `connect`, which is the pools' own.
    pub deadlines: Deadlines,
    /// Calls for one request at most; 0 counts as 1.
    pub attempts: usize,
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

impl Dispatched {
    /// No fallback answers.
    pub fn is_first_choice(&self) -> bool {
        self.target == 0
    }
}

/// An answer, whole or as it comes.
#[derive(Debug)]
pub enum Reply {
    Whole(WholeReply),
    Stream(ReplyStream),
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
        let tls = tls::client_config(providers.iter().any(|provider| provider.base_url.scheme() == "https"))?;
        let tls = Arc::new(tls);
        let mut endpoints = HashMap::with_capacity(providers.len());
        for provider in providers {
            let endpoint = Endpoint::new(provider, tls.clone(), connect)?;
            endpoints.insert(endpoint.name().to_owned(), Arc::new(endpoint));
        }
        Ok(Self { endpoints, targets: RwLock::default(), jitter: Box::new(rand::random::<f64>) })
    }

    /// Draws the jitter of retries from `jitter` (uniform in [0, 1)) in place of the thread's generator.
    #[must_use]
    pub fn with_jitter(self, jitter: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        Self { jitter: Box::new(jitter), ..self }
    }

    /// Whether new requests should go to this model: false after several failures in a row, until a pause is over and
    /// one request may try it again.
    pub fn healthy(&self, model: &ModelId) -> bool {
        self.known(model).is_none_or(|target| target.breaker.healthy(Instant::now()))
    }

    /// Asks `targets` in their order until one answers; a single one is asked again after a pause where that may help.
    /// A streamed answer has begun when it is given back: its first event is there.
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
        let total = Due::total(limits.deadlines.total, Instant::now());
        let mut attempts = Vec::with_capacity(1);
        let mut next = Some(0);
        let mut last = nobody();
        while let Some(target) = next.filter(|&target| target < targets.len()) {
            let started = Instant::now();
            let timing = Timing::new(&limits.deadlines, total, started);
            let reply = self.call(targets[target], request, timing).await;
            attempts.push(attempt(target, &reply, started));
            match reply {
                Ok(reply) => return Ok(Dispatched { target, attempts, reply }),
                Err(error) => last = error,
            }
            let may_go_on = attempts.len() < limits.attempts && Instant::now() < total.at;
            next = match targets.len() {
                _ if !may_go_on => None,
                1 => self.pause(&last, attempts.len(), total).await.then_some(target),
                _ => last.cause.another_may_answer().then_some(target + 1),
            };
        }
        Err(Exhausted { attempts, error: last })
    }

    /// Waits until the same model may be asked again after `failures` calls. False, at once: that does not help, or
    /// not in time.
    async fn pause(&self, error: &UpstreamError, failures: usize, total: Due) -> bool {
        let pause = backoff::pause(error, failures, (self.jitter)());
        match pause.map(|pause| Instant::now() + pause).filter(|until| *until < total.at) {
            Some(until) => {
                sleep_until(until).await;
                true
            }
            None => false,
        }
    }

    async fn call(&self, model: &Model, request: &ChatRequest, timing: Timing) -> Result<Reply, UpstreamError> {
        let target = self.target(model)?;
        target.call(&model.upstream_name, request, timing).await
    }

    fn target(&self, model: &Model) -> Result<Arc<Target>, UpstreamError> {
        if let Some(target) = self.known(&model.id) {
            return Ok(target);
        }
        let endpoint = self.endpoints.get(&model.id.provider).ok_or_else(|| unconfigured(&model.id))?;
        let target = Target::new(Arc::clone(endpoint), model)?;
        let mut targets = self.targets.write().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(targets.entry(model.id.clone()).or_insert_with(|| Arc::new(target))))
    }

    fn known(&self, model: &ModelId) -> Option<Arc<Target>> {
        self.targets.read().unwrap_or_else(PoisonError::into_inner).get(model).cloned()
    }
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstreams").field("providers", &self.endpoints.keys()).finish_non_exhaustive()
    }
}

fn attempt(target: usize, reply: &Result<Reply, UpstreamError>, started: Instant) -> Attempt {
    let error = reply.as_ref().err();
    let status = match error {
        None => Some(http::StatusCode::OK),
        Some(error) => error.status,
    };
    Attempt { target, status, error: error.cloned(), duration: started.elapsed() }
}

fn unconfigured(model: &ModelId) -> UpstreamError {
    local(format!("{model}: no provider of that name is configured"))
}

fn nobody() -> UpstreamError {
    local("there is no model to ask".into())
}

/// An error that is the gateway's own.
fn local(message: String) -> UpstreamError {
    UpstreamError { cause: Cause::Credentials, message, status: None, retry_after: None, detail: None }
}
