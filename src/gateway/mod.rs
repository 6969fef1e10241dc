//! The request path, readable on one screen, and the end-of-stream guard.

mod answer;
mod assessor;
mod balance;
mod bundles;
mod cache;
mod cached;
mod condition;
mod embeddings;
mod error;
mod filter;
mod listing;
mod pace;
mod panel;
mod plan;
mod planning;
mod preferred;
mod recording;
mod rules;
mod sessions;
mod settings;
mod setup;
mod shadow;
mod sink;
mod sources;
mod supported;
mod telling;

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::mpsc;

pub use crate::upstream::Fallbacks;
pub use answer::{Answer, AnswerBody, AnswerStream, Facts};
pub use balance::Balance;
pub use bundles::assess_again;
pub use cache::{CacheRule, CacheSettings, CacheWish, DEFAULT_TTL, How, MAX_KEPT_ANSWER, Tenant};
pub use condition::Condition;
pub use error::GatewayError;
pub use filter::{Demand, Excluded, Reason};
pub use recording::{MAX_KEPT_REPLY, MAX_KEPT_REQUEST, append, record_attempt};
pub use rules::{Rule, Then};
pub use settings::{
    DEFAULT_ATTEMPTS, DEFAULT_DEADLINES, DEFAULT_SHADOW, Resilience, RouteSettings, SegmentSettings, Settings,
};
pub use setup::Setup;
pub use sink::MAX_WAITING;
pub use sources::{Sources, unix_ms};

use crate::api::chat::ChatRequest;
use crate::api::metadata::Metadata;
use crate::difficulty::Bundle;
use crate::features::input_tokens;
use crate::policy::Snapshot;
use crate::telemetry::Metrics;
use crate::trace::kept::{Form, Kept, Key, Shelving};
use crate::trace::{Event, Outcome};
use crate::upstream::{Dispatched, Exhausted, Limits, Reply, UpstreamError, Upstreams};
use bundles::Bundles;
use cache::{Cache, Landing, Ticket};
use cached::{Call, Found};
use error::Listed;
use plan::Plan;
use planning::Routed;
use preferred::Preferred;
use recording::{Origin, Recording};
use sessions::Sessions;
use setup::Asked;
use shadow::Shadows;
use sink::Sink;
use telling::Telling;

/// Answers requests. Shared by all connections; every part of it that changes is swapped whole.
pub struct Gateway {
    setup: ArcSwap<Setup>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    bundles: Bundles,
    cache: Arc<Cache>,
    sink: Arc<Sink>,
    sources: Sources,
    sessions: Sessions,
    shadows: Shadows,
}

/// What a request says beside its body.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wishes {
    /// 0 to 1: stands in place of the route's and the segment's knob.
    pub quality: Option<f64>,
    /// Says which segment of a route it is in, and is kept with its trace.
    pub metadata: Metadata,
    /// The conversation that it belongs to, where the client says so.
    pub session: Option<String>,
    /// Whose request it is: nobody gets another's kept answers.
    pub tenant: Tenant,
    pub cache: CacheWish,
    /// Whether to leave out what the model's provider cannot express, where the body does not say.
    pub drop_unsupported: Option<bool>,
}

impl Gateway {
    /// `snapshot` is what the learner publishes, `events` is where it listens.
    pub fn new(
        setup: Setup,
        snapshot: Arc<ArcSwap<Snapshot>>,
        bundle: Arc<Bundle>,
        events: mpsc::Sender<Event>,
        metrics: Arc<Metrics>,
        sources: Sources,
    ) -> Self {
        let cache = Arc::new(Cache::new(&setup.settings.cache, metrics.cache.clone()));
        let sink = Arc::new(Sink::new(events, metrics));
        Self {
            setup: ArcSwap::from_pointee(setup),
            snapshot,
            bundles: Bundles::new(bundle),
            cache,
            sink,
            sources,
            shadows: Shadows::default(),
            sessions: Sessions::new(),
        }
    }

    /// Begins with these kept answers, the oldest first, and hands what is kept from here on to `shelf`, which may have
    /// no room for it.
    pub fn shelve(&self, shelf: SyncSender<Shelving>, kept: Vec<(Key, Kept)>) {
        self.cache.shelve(shelf, kept);
    }

    /// Answers one chat completion. If the future is dropped before it ends, the upstream call is cancelled and the
    /// request recorded.
    ///
    /// # Errors
    /// See [`GatewayError`]; only an exhausted request has been recorded.
    pub async fn chat(&self, body: Bytes, wishes: Wishes) -> Result<Answer, GatewayError> {
        let arrival = self.sources.arrival();
        let request = ChatRequest::parse(&body)?;
        let setup = self.setup.load_full();
        let name = setup.resolve(&request.model)?;
        let mut request = request.or_drop_unsupported(wishes.drop_unsupported.unwrap_or(setup.drops_unsupported(name)));
        let preferred = Preferred::take(&setup, &mut request)?;
        let (request, preferred) = (&request, preferred.as_ref());
        let call = Call { setup: &setup, name, request, body: &body, wishes: &wishes, preferred, arrival };
        let ticket = match self.cached(&call).await? {
            Found::Answer(answer) => return Ok(answer),
            Found::Nothing(ticket) => ticket,
        };
        let mut plan = self.plan_for(&call).await?;
        let (limits, reading, unable) = (plan.limits(&setup), plan.reading, std::mem::take(&mut plan.rescue.unable));
        let origin = Origin { body: &body, owner: wishes.tenant.owner(), metadata: wishes.metadata };
        let mut recording = Recording::begin(setup, self.sink.clone(), plan, arrival, request, origin);
        let dispatched = panel::dispatch(&mut recording, request, (&limits, arrival.instant)).await;
        match dispatched {
            Ok(Dispatched { target, attempts, reply }) => {
                if let Some(reading) = reading {
                    self.sessions.answered(reading, recording.models()[target].id.clone());
                }
                recording.attempted(attempts, Some(target));
                shadow::begin(&mut recording);
                Ok(answer(recording, reply, request.include_usage, ticket))
            }
            Err(Exhausted { attempts, error }) => {
                recording.attempted(attempts, None);
                let facts = Box::new(recording.facts());
                recording.finish(Outcome::Failed);
                Err(GatewayError::Exhausted { error: unrescued(error, &limits, &unable), facts })
            }
        }
    }

    /// Whom to ask, by what the client called the model and by what it prefers.
    async fn plan_for(&self, call: &Call<'_>) -> Result<Plan, GatewayError> {
        let Call { setup, request, wishes, preferred, arrival, .. } = *call;
        let at_ms = arrival.at_ms;
        Ok(match (call.name, preferred) {
            (Asked::Route(route), _) => self.plan(Routed { setup, route, request, wishes, preferred, at_ms }).await?,
            (_, Some(preferred)) => {
                let demand = Demand::new(request, input_tokens(request));
                Plan::pinned(preferred.pinned(setup, &demand, &request.model)?)
            }
            (Asked::Deployment(target), None) => Plan::pinned(vec![target]),
            (Asked::Model(first), None) => self.pinned(setup, first),
        })
    }

    /// Asks the model of target `first`, at every provider that has it.
    fn pinned(&self, setup: &Setup, first: usize) -> Plan {
        let name = &setup.targets[first].model.id.model;
        Plan::pinned(setup.deployments(0..setup.settings.models.len(), name, Balance::Weight, &*self.sources.draw))
    }

    /// Input tokens of a chat, estimated as for the hard filters; nothing is asked or recorded.
    ///
    /// # Errors
    /// The body is not a chat request, or there is no such model.
    pub fn count(&self, body: Bytes) -> Result<u32, GatewayError> {
        let request = ChatRequest::parse(&body)?;
        self.setup.load().resolve(&request.model)?;
        Ok(input_tokens(&request))
    }

    /// Serves `setup` from the next request on; those under way keep theirs. How fast models write is remembered.
    pub fn replace(&self, setup: Setup) {
        let setup = setup.paced_as(&self.setup.load());
        self.setup.store(Arc::new(setup));
    }

    /// Has another classifier ready; it decides from the moment on that the learner publishes a snapshot of it.
    pub fn offer(&self, bundle: Arc<Bundle>) {
        self.bundles.offer(bundle, self.snapshot.load().bundle);
    }

    /// What is served now.
    pub fn settings(&self) -> Settings {
        self.setup.load().settings.clone()
    }

    /// Whether the learner is there and has published every route.
    pub fn is_ready(&self) -> bool {
        let snapshot = self.snapshot.load();
        let known = self.setup.load().routes.iter().all(|route| snapshot.routes.contains_key(&*route.name));
        known && self.has_learner()
    }

    /// Whether the learner is there; it ends with the gateway, or in a panic.
    pub fn has_learner(&self) -> bool {
        !self.sink.events.is_closed()
    }

    /// Where scores go.
    pub fn events(&self) -> &mpsc::Sender<Event> {
        &self.sink.events
    }

    /// The wall clock, Unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        (self.sources.now_ms)()
    }

    /// How the upstreams of what is served now stand.
    pub fn upstreams<T>(&self, look: impl FnOnce(&Settings, &Upstreams) -> T) -> T {
        let setup = self.setup.load();
        look(&setup.settings, &setup.upstreams)
    }

    /// The process's metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.sink.metrics
    }
}

/// The error, and why nobody was asked after it where the route falls back on models that are `unable`.
fn unrescued(mut error: UpstreamError, limits: &Limits, unable: &[Excluded]) -> UpstreamError {
    if !unable.is_empty() && limits.fallbacks.of(error.cause).is_some_and(Vec::is_empty) {
        let note = format!("; no model that the route falls back on can answer this request: {}", Listed(unable));
        error.message += &note;
        error.detail.iter_mut().for_each(|detail| detail.message += &note);
    }
    error
}

/// `ticket`: where the answer is to be kept.
fn answer(mut recording: Recording, reply: Reply, show_usage: bool, ticket: Option<Ticket>) -> Answer {
    match reply {
        Reply::Stream(pieces) => {
            let facts = recording.facts();
            let stream = AnswerStream::new(Telling::of_upstream(pieces, recording), show_usage, ticket);
            Answer { facts, body: AnswerBody::Stream(Box::new(stream)) }
        }
        Reply::Whole(reply) => {
            recording.first_byte();
            recording.compare(&reply.text);
            recording.heard(reply.text);
            reply.usage.into_iter().for_each(|usage| recording.used(usage));
            if let (Some(ticket), Some((trace, now_ms))) = (ticket, recording.so_far()) {
                // A copy: what it came in may be a larger buffer.
                let landing = ticket.keep(Form::Whole(Bytes::copy_from_slice(&reply.body)), trace, now_ms);
                landing.into_iter().for_each(Landing::tell);
            }
            let facts = recording.facts();
            recording.finish(Outcome::Answered);
            Answer { facts, body: AnswerBody::Whole(reply.body) }
        }
    }
}
