//! The cache on the request path: what is asked of it, and an answer that is given again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::answer::{Answer, AnswerBody, AnswerStream, Facts};
use super::cache::{self, CacheRule, CacheWish, Follow, Hit, How, Question, Scope, Shared, Ticket, Turn, Waited};
use super::condition::Circumstances;
use super::error::GatewayError;
use super::plan::Plan;
use super::preferred::Preferred;
use super::recording::{Origin, Recording};
use super::setup::{Asked, Setup, Target};
use super::sources::Arrival;
use super::telling::Telling;
use super::{Gateway, Wishes};
use crate::api::chat::ChatRequest;
use crate::catalog::ModelId;
use crate::features::input_tokens;
use crate::policy::{Decision, Knob};
use crate::trace::Outcome;
use crate::trace::kept::Kept;
use crate::upstream::StreamItem;

/// Failed calls of others that a request waits for before it asks for itself: a provider that is down would have them
/// all wait in line.
const OTHERS_CALLS: usize = 3;

/// A request, as far as the cache asks.
pub(super) struct Call<'a> {
    pub(super) setup: &'a Arc<Setup>,
    pub(super) name: Asked,
    pub(super) request: &'a ChatRequest,
    pub(super) body: &'a [u8],
    pub(super) wishes: &'a Wishes,
    pub(super) preferred: Option<&'a Preferred>,
    pub(super) arrival: Arrival,
}

/// What the cache says.
pub(super) enum Found {
    Answer(Answer),
    /// Ask, and keep the answer there.
    Nothing(Option<Ticket>),
}

impl Gateway {
    /// The answer that was given before; else where the new one is to be kept, if it is.
    ///
    /// # Errors
    /// The request takes a kept answer only, and there is none.
    pub(super) async fn cached(&self, call: &Call<'_>) -> Result<Found, GatewayError> {
        let rule = call.rule().filter(|_| call.wishes.cache != CacheWish::NoStore);
        let Some(question) = rule.and_then(|rule| self.question(call, rule)) else {
            return call.missed(None);
        };
        if call.wishes.cache == CacheWish::Refresh {
            return Ok(Found::Nothing(Some(self.cache.alone(question))));
        }
        if let Some(answer) = self.cache.find(&question).and_then(|hit| self.again(call, &hit)) {
            return Ok(Found::Answer(answer));
        }
        if call.wishes.cache == CacheWish::OnlyIfCached {
            self.cache.metrics().misses.inc();
            return call.missed(None);
        }
        // Boxed, so that a request that nothing is kept for carries none of it.
        Box::pin(self.shared(call, question)).await
    }

    fn question(&self, call: &Call<'_>, rule: CacheRule) -> Option<Question> {
        let meaning = rule.semantic_threshold.and_then(|_| {
            let bundle = self.bundles.of(self.snapshot.load().bundle);
            Some((bundle.key, bundle.extractor.meaning(call.request)?.to_vec()))
        });
        Question::new(&call.scope(), call.request, (rule, meaning), call.arrival.at_ms)
    }

    /// The answer of the same request that is under way, or the turn to ask.
    async fn shared(&self, call: &Call<'_>, mut question: Question) -> Result<Found, GatewayError> {
        for _ in 0..OTHERS_CALLS {
            let answer = match self.cache.turn(question) {
                Turn::Ask(ticket) => {
                    self.cache.metrics().misses.inc();
                    return call.missed(Some(ticket));
                }
                Turn::Have(hit) => self.again(call, &hit),
                Turn::Wait(follow, unanswered) => {
                    question = unanswered;
                    match self.wait(call, follow).await {
                        Waited::Answered(kept) => self.again(call, &Hit { kept, how: How::Shared }),
                        Waited::Streamed(shared) => self.listen(call, &shared),
                        Waited::Left => continue,
                        Waited::Alone => break,
                    }
                }
            };
            return answer.map_or_else(|| call.missed(None), |answer| Ok(Found::Answer(answer)));
        }
        self.cache.metrics().misses.inc();
        call.missed(Some(self.cache.alone(question)))
    }

    /// A client that leaves meanwhile is recorded; one that stays is, as what becomes of it.
    async fn wait(&self, call: &Call<'_>, follow: Follow) -> Waited {
        let waiting = self.begin(call, Plan::cached(call.route(), call.segment(), None, 0));
        let waited = follow.wait(call.patience(), call.request.stream).await;
        waiting.withdraw();
        waited
    }

    /// `hit` in the form that is asked for; `None` where it cannot be read, or its model is gone.
    fn again(&self, call: &Call<'_>, hit: &Hit) -> Option<Answer> {
        let kept = &hit.kept;
        let target = call.target(&kept.model)?;
        let rendered = Rendered::of(kept, call.request.stream)?;
        let mut recording = self.repeat(call, hit.how, target);
        recording.said(kept.text.clone());
        self.cache.metrics().hit(hit.how.name(), cost(&call.setup.targets[target], kept));
        let age_s = call.arrival.at_ms.saturating_sub(kept.at_ms) / 1000;
        let facts = Facts { cache: Some(hit.how), age_s: Some(age_s), ..recording.facts() };
        Some(Answer { facts, body: rendered.body(recording, call.request.include_usage) })
    }

    /// The answer to another request as it comes; `None` where its model is gone.
    fn listen(&self, call: &Call<'_>, shared: &Arc<Shared>) -> Option<Answer> {
        let recording = self.repeat(call, How::Shared, call.target(shared.model.as_ref()?)?);
        // What it saves is counted once that is known.
        self.cache.metrics().hit(How::Shared.name(), 0.0);
        let facts = Facts { cache: Some(How::Shared), age_s: Some(0), ..recording.facts() };
        let stream = AnswerStream::shared(shared.follow(recording), call.request.include_usage);
        Some(Answer { facts, body: AnswerBody::Stream(Box::new(stream)) })
    }

    /// The record of a request that gets the answer of `target` to another.
    fn repeat(&self, call: &Call<'_>, how: How, target: usize) -> Recording {
        let snapshot = self.snapshot.load();
        let decision = call.decision(how, snapshot.version);
        let mut recording = self.begin(call, Plan::cached(call.route(), call.segment(), decision, snapshot.bundle));
        recording.replayed(target);
        recording
    }

    fn begin(&self, call: &Call<'_>, plan: Plan) -> Recording {
        let Call { body, wishes, .. } = *call;
        let origin = Origin { body, metadata: wishes.metadata.clone(), owner: wishes.tenant.owner() };
        Recording::begin(call.setup.clone(), self.sink.clone(), plan, call.arrival, call.request, origin)
    }
}

/// A kept answer as it is asked for.
enum Rendered {
    Whole(Bytes),
    Stream(Vec<StreamItem>),
}

impl Rendered {
    fn of(kept: &Kept, stream: bool) -> Option<Self> {
        Some(match stream {
            true => Self::Stream(cache::stream(&kept.form)?),
            false => Self::Whole(cache::whole(&kept.form)?),
        })
    }

    fn body(self, mut recording: Recording, show_usage: bool) -> AnswerBody {
        match self {
            Self::Stream(items) => {
                AnswerBody::Stream(Box::new(AnswerStream::new(Telling::again(items, recording), show_usage, None)))
            }
            Self::Whole(body) => {
                recording.first_byte();
                recording.finish(Outcome::Answered);
                AnswerBody::Whole(body)
            }
        }
    }
}

impl Call<'_> {
    fn route(&self) -> Option<usize> {
        match self.name {
            Asked::Route(route) => Some(route),
            Asked::Model(_) | Asked::Deployment(_) => None,
        }
    }

    /// Which of the models gave an answer.
    fn target(&self, model: &ModelId) -> Option<usize> {
        self.setup.targets.iter().position(|target| target.model.id == *model)
    }

    fn segment(&self) -> Option<Arc<str>> {
        let route = &self.setup.routes[self.route()?];
        route.segment(&self.wishes.metadata).map(|segment| segment.name.clone())
    }

    fn rule(&self) -> Option<CacheRule> {
        match self.route() {
            Some(route) => self.setup.settings.routes[route].cache,
            None => self.setup.settings.cache.models,
        }
    }

    /// No answer, and perhaps a place for one.
    fn missed(&self, ticket: Option<Ticket>) -> Result<Found, GatewayError> {
        match self.wishes.cache {
            CacheWish::OnlyIfCached => Err(GatewayError::NotCached { asked: self.request.model.clone() }),
            _ => Ok(Found::Nothing(ticket)),
        }
    }

    /// Every model that may come to answer, and all that chooses among them.
    fn scope(&self) -> Scope<'_> {
        let (tenant, asked) = (self.wishes.tenant, self.request.model.as_str());
        let models = self.answering().into_iter().map(|target| &*self.setup.targets[target].model).collect();
        let preferences = self.preferred.map(Preferred::as_told);
        let scope = Scope { tenant, asked, models, preferences, ..Scope::default() };
        let Some(route) = self.route() else { return scope };
        let (settings, route) = (&self.setup.settings.routes[route], &self.setup.routes[route]);
        let circumstances =
            || Circumstances::new(self.request, input_tokens(self.request), &self.wishes.metadata, self.arrival.at_ms);
        let segments = settings.segments.iter().map(|segment| format!("{} {:?}", segment.name, segment.knob));
        Scope {
            knobs: segments.chain([format!("{:?}", settings.knob)]).collect(),
            quality: self.wishes.quality,
            segment: route.segment(&self.wishes.metadata).map(|segment| &*segment.name),
            rule: route.rule(circumstances).map(|then| format!("{then:?}")),
            ..scope
        }
    }

    /// Indices into the set-up's targets.
    fn answering(&self) -> Vec<usize> {
        let name_of = |target: usize| &self.setup.targets[target].model.id.model;
        match self.name {
            Asked::Deployment(target) => vec![target],
            Asked::Model(first) => {
                (0..self.setup.targets.len()).filter(|target| name_of(*target) == name_of(first)).collect()
            }
            Asked::Route(route) => {
                let route = &self.setup.routes[route];
                route.targets.iter().chain(route.fallbacks.iter().flatten()).copied().collect()
            }
        }
    }

    /// What a route's trace and the learner get in place of a decision: scores of the answer are kept with it.
    fn decision(&self, how: How, version: u64) -> Option<Decision> {
        let segment = self.segment();
        let settings = &self.setup.settings.routes[self.route()?];
        let own = settings.segments.iter().find(|own| segment.as_deref() == Some(&own.name)).map(|own| own.knob);
        let knob = self.wishes.quality.map(Knob::Quality).or(own).unwrap_or(settings.knob);
        Some(Decision::cached(how.name(), segment.as_deref(), knob, version))
    }

    /// As long as for an upstream's first byte, and no longer than the request may take.
    fn patience(&self) -> Duration {
        let limits = self.route().map_or(&self.setup.limits, |route| &self.setup.routes[route].limits);
        limits.deadlines.first_byte.min(limits.deadlines.total.saturating_sub(self.arrival.instant.elapsed()))
    }
}

/// USD that the answer had cost; 0 where that is not known.
fn cost(target: &Target, kept: &Kept) -> f64 {
    target.model.price.zip(kept.usage).map_or(0.0, |(price, usage)| price.cost(&usage))
}
