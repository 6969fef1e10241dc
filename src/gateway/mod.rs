//! The request path, readable on one screen, and the end-of-stream guard.

mod answer;
mod balance;
mod bundles;
mod cache;
mod cached;
mod error;
mod filter;
mod plan;
mod recording;
mod settings;
mod setup;
mod sources;

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::mpsc;

pub use answer::{Answer, AnswerBody, AnswerStream, Facts};
pub use balance::Balance;
pub use bundles::assess_again;
pub use cache::{CacheRule, CacheSettings, CacheWish, DEFAULT_TTL, MAX_KEPT_ANSWER, Tenant};
pub use error::GatewayError;
pub use filter::{Demand, Excluded, Reason};
pub use recording::{MAX_KEPT_REPLY, MAX_KEPT_REQUEST, append, record_attempt};
pub use settings::{
    DEFAULT_ATTEMPTS, DEFAULT_DEADLINES, Fallbacks, Resilience, RouteSettings, SegmentSettings, Settings,
};
pub use setup::Setup;
pub use sources::{Sources, unix_ms};

use crate::api::chat::ChatRequest;
use crate::api::metadata::Metadata;
use crate::difficulty::{Bundle, DifficultyError};
use crate::features::Features;
use crate::policy::{self, Ask, Decision, Knob, NoCandidate, Snapshot};
use crate::telemetry::Metrics;
use crate::trace::kept::{Form, Kept, Key, Shelving};
use crate::trace::{Event, Outcome};
use crate::upstream::{Dispatched, Exhausted, Reply, Upstreams};
use bundles::{Bundles, Held};
use cache::{Cache, Ticket};
use cached::{Call, Found};
use plan::Plan;
use recording::{Recording, Sink};
use setup::Name;

/// Answers requests. Shared by all connections; every part of it that changes is swapped whole.
pub struct Gateway {
    setup: ArcSwap<Setup>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    bundles: Bundles,
    cache: Arc<Cache>,
    sink: Arc<Sink>,
    sources: Sources,
}

/// What a request says beside its body.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wishes {
    /// 0 to 1: stands in place of the route's and the segment's knob.
    pub quality: Option<f64>,
    /// Says which segment of a route it is in, and is kept with its trace.
    pub metadata: Metadata,
    /// Whose request it is: nobody gets another's kept answers.
    pub tenant: Tenant,
    pub cache: CacheWish,
}

/// Why nothing was decided; the request is answered all the same.
#[derive(Debug, thiserror::Error)]
enum Undecided {
    #[error(transparent)]
    Classifier(#[from] DifficultyError),
    #[error("the classifier that the policy learns on is not loaded")]
    AnotherClassifier,
    #[error("the policy does not know the route yet")]
    NewRoute,
    #[error(transparent)]
    Policy(#[from] NoCandidate),
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
        let sink = Arc::new(Sink { events, metrics });
        Self { setup: ArcSwap::from_pointee(setup), snapshot, bundles: Bundles::new(bundle), cache, sink, sources }
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
        let call = Call { setup: &setup, name, request: &request, body: &body, wishes: &wishes, arrival };
        let ticket = match self.cached(&call).await? {
            Found::Answer(answer) => return Ok(answer),
            Found::Nothing(ticket) => ticket,
        };
        let mut plan = match name {
            Name::Deployment(target) => Plan::pinned(vec![target]),
            Name::Model(first) => self.pinned(&setup, first),
            Name::Route(route) => self.plan(&setup, route, &request, &wishes)?,
        };
        let limits = plan.limits(&setup);
        let told = (&body[..], wishes.metadata);
        let mut recording = Recording::begin(setup, self.sink.clone(), plan, arrival, &request, told);
        let dispatched = recording.setup().upstreams.dispatch(&recording.models(), &request, &limits).await;
        match dispatched {
            Ok(dispatched) => Ok(answer(recording, dispatched, request.include_usage, ticket)),
            Err(Exhausted { attempts, error }) => {
                recording.attempted(attempts, None);
                let facts = Box::new(recording.facts());
                recording.finish(Outcome::Failed);
                Err(GatewayError::Exhausted { error, facts })
            }
        }
    }

    /// The model that `first` is, wherever it is.
    fn pinned(&self, setup: &Setup, first: usize) -> Plan {
        let name = &setup.targets[first].model.id.model;
        Plan::pinned(setup.deployments(0..setup.targets.len(), name, Balance::Weight, &*self.sources.draw))
    }

    /// Input tokens of a chat, estimated as for the hard filters; nothing is asked or recorded.
    ///
    /// # Errors
    /// The body is no chat request.
    pub fn count(&self, body: Bytes) -> Result<u32, GatewayError> {
        let request = ChatRequest::parse(&body)?;
        let bundle = self.bundles.of(self.snapshot.load().bundle);
        Ok(bundle.extractor.extract(&request).input_tokens)
    }

    /// extract → hard filters → assess → decide.
    fn plan(&self, setup: &Setup, route: usize, request: &ChatRequest, wishes: &Wishes) -> Result<Plan, GatewayError> {
        // One snapshot and the classifier that it is learned on, from beginning to end: both may be swapped meanwhile.
        let snapshot = self.snapshot.load();
        let bundle = self.bundles.of(snapshot.bundle);
        let features = bundle.extractor.extract(request);
        let fit = fit(setup, route, request, &Demand::new(request, features.input_tokens))?;
        let segment = setup.routes[route].segment(&wishes.metadata).map(|segment| segment.name.clone());
        let ask = Ask { segment: segment.as_deref(), knob: wishes.quality.map(Knob::Quality) };
        let plan = match self.decide(setup, route, (&snapshot, &bundle), &features, &fit, ask) {
            Ok(decision) => Plan::decided(setup, route, &fit, (decision, snapshot.bundle), &*self.sources.draw),
            Err(problem) => {
                tracing::warn!(route = &*setup.routes[route].name, %problem, "undecided; the safest model answers");
                self.sink.metrics.undecided.inc();
                let state = snapshot.routes.get(&*setup.routes[route].name);
                Plan::safest(setup, route, fit, state.map(|state| &**state))
            }
        };
        Ok(Plan { segment, ..plan })
    }

    fn decide(
        &self,
        setup: &Setup,
        route: usize,
        (snapshot, bundle): (&Snapshot, &Held),
        features: &Features,
        fit: &[usize],
        ask: Ask<'_>,
    ) -> Result<Decision, Undecided> {
        let route = &setup.routes[route];
        let state = snapshot.routes.get(&*route.name).ok_or(Undecided::NewRoute)?;
        if bundle.key != snapshot.bundle {
            return Err(Undecided::AnotherClassifier);
        }
        let context = bundle.classifier.assess(features)?;
        let may_answer = |arm: &str| fit.iter().any(|target| setup.targets[*target].model.id.model == arm);
        let arms = state.spec.arms.iter().enumerate();
        let eligible: Vec<usize> = arms.filter(|(_, arm)| may_answer(&arm.arm)).map(|(i, _)| i).collect();
        Ok(policy::decide(snapshot, state, &context, &eligible, ask, (self.sources.draw)())?)
    }

    /// Serves `setup` from the next request on; those under way keep theirs.
    pub fn replace(&self, setup: Setup) {
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
        known && !self.sink.events.is_closed()
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

/// The route's models that can answer, healthy ones only unless none of them is.
fn fit(setup: &Setup, route: usize, request: &ChatRequest, demand: &Demand<'_>) -> Result<Vec<usize>, GatewayError> {
    let mut fit = Vec::with_capacity(setup.routes[route].targets.len());
    let mut excluded = Vec::new();
    for &target in &setup.routes[route].targets {
        let model = &setup.targets[target].model;
        let inexpressible = || setup.upstreams.refuses(&model.id, request).map(Reason::Inexpressible);
        match demand.lacking(model).or_else(inexpressible) {
            None => fit.push(target),
            Some(reason) => excluded.push(Excluded { model: model.id.model.to_string(), reason }),
        }
    }
    if fit.is_empty() {
        return Err(GatewayError::NoModelFits { route: setup.routes[route].name.to_string(), excluded });
    }
    let is_healthy = |target: &usize| setup.upstreams.healthy(&setup.targets[*target].model.id);
    let healthy: Vec<usize> = fit.iter().copied().filter(is_healthy).collect();
    Ok(if healthy.is_empty() { fit } else { healthy })
}

/// `ticket`: where the answer is to be kept.
fn answer(mut recording: Recording, dispatched: Dispatched, show_usage: bool, ticket: Option<Ticket>) -> Answer {
    recording.attempted(dispatched.attempts, Some(dispatched.target));
    match dispatched.reply {
        Reply::Stream(pieces) => {
            let facts = recording.facts();
            let stream = AnswerStream::new(pieces, recording, show_usage, ticket);
            Answer { facts, body: AnswerBody::Stream(Box::new(stream)) }
        }
        Reply::Whole(reply) => {
            recording.first_byte();
            recording.heard(reply.text);
            reply.usage.into_iter().for_each(|usage| recording.used(usage));
            if let (Some(ticket), Some((trace, now_ms))) = (ticket, recording.so_far()) {
                // A copy: what it came in may be a larger buffer.
                ticket.keep(Form::Whole(Bytes::copy_from_slice(&reply.body)), trace, now_ms);
            }
            let facts = recording.facts();
            recording.finish(Outcome::Answered);
            Answer { facts, body: AnswerBody::Whole(reply.body) }
        }
    }
}
