//! Answers given again: in memory within a bound of bytes, the least recently used the first to go; on the disk what a
//! restart begins with. No tenant gets another's.
//!
//! `key` says which requests are one, `similar` which mean the same, `flights` which wait for one call, `shared` which
//! hear one stream, `replay` gives an answer the form that is asked for. Nothing here waits for the disk: what is to be
//! written is handed over, or dropped and counted.

mod flights;
mod key;
#[cfg(test)]
mod recorded;
mod replay;
mod settings;
mod shared;
mod similar;
mod tape;

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use moka::sync;

pub use key::Tenant;
pub use settings::{CacheRule, CacheSettings, DEFAULT_TTL};

use flights::{Flights, Lead, Part};
pub(super) use flights::{Follow, Landing, Waited};
pub(super) use key::Scope;
pub(super) use replay::{stream, whole};
pub(super) use shared::{Listener, Shared};
use similar::Similar;

use crate::api::chat::ChatRequest;
use crate::telemetry::CacheMetrics;
use crate::trace::Trace;
use crate::trace::kept::{Form, Kept, Key, Meaning, Shelving};

/// Longest answer that is kept, bytes.
pub const MAX_KEPT_ANSWER: usize = 1 << 20;
/// How much later than a question an answer to it may be: it came while the question waited for its turn.
const AHEAD_MS: u64 = 60_000;
/// Largest `n` whose answers are cached.
const MOST_CHOICES: u32 = 128;

/// What a request may ask of the cache: `x-satisfice-cache`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CacheWish {
    /// As its route has it.
    #[default]
    Usual,
    /// Neither read nor written.
    NoStore,
    /// Not read, and written.
    Refresh,
    /// Read, and nobody asked.
    OnlyIfCached,
}

/// How an answer was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// The same request had it.
    Exact,
    /// A request that means nearly the same had it.
    Semantic,
    /// The same request was being answered.
    Shared,
}

impl How {
    /// As headers, metrics and traces print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Semantic => "semantic",
            Self::Shared => "shared",
        }
    }
}

/// The answers of one gateway.
#[derive(Debug)]
pub(super) struct Cache {
    memory: sync::Cache<Key, Arc<Kept>>,
    similar: Similar,
    flights: Arc<Flights>,
    shelf: OnceLock<SyncSender<Shelving>>,
    metrics: CacheMetrics,
}

/// One request's question, and where its answer goes if there is none.
#[derive(Debug)]
pub(super) struct Question {
    key: Key,
    meaning: Option<Meaning>,
    rule: CacheRule,
    choices: usize,
    /// Unix milliseconds.
    now_ms: u64,
}

/// An answer that can be given.
#[derive(Debug)]
pub(super) struct Hit {
    pub(super) kept: Arc<Kept>,
    pub(super) how: How,
}

/// Where an answer is to be kept. Dropped without it: whoever waits for it asks instead.
#[derive(Debug)]
pub(super) struct Ticket {
    cache: Arc<Cache>,
    question: Question,
    lead: Option<Lead>,
}

/// What a request does where the cache has no answer to it.
pub(super) enum Turn {
    Ask(Ticket),
    Wait(Follow, Question),
    /// The answer came in the meantime.
    Have(Hit),
}

impl Question {
    /// `meaning`: of the newest user turn, where the rule wants it, and the classifier that it is of. `None` where no
    /// answer to it is kept.
    pub(super) fn new(
        scope: &Scope<'_>,
        request: &ChatRequest,
        (rule, meaning): (CacheRule, Option<(u64, Vec<f32>)>),
        now_ms: u64,
    ) -> Option<Self> {
        let choices = request.field("n", "a positive integer").ok()?.unwrap_or(1);
        let meaning = meaning.and_then(|(embedding, vector)| {
            Some(Meaning { partition: key::except_the_turn(scope, embedding, request)?, vector })
        });
        let question = Self { key: key::exact(scope, request), meaning, rule, choices: choices as usize, now_ms };
        (1..=MOST_CHOICES).contains(&choices).then_some(question)
    }

    /// By the present rule: a shortened life also holds for what is kept already. What a clock that was ahead has dated
    /// later than now is not.
    fn is_fresh(&self, kept: &Kept) -> bool {
        kept.at_ms <= self.now_ms.saturating_add(AHEAD_MS)
            && self.now_ms < kept.until_ms.min(kept.at_ms.saturating_add(millis(self.rule.ttl)))
    }
}

impl Cache {
    pub(super) fn new(settings: &CacheSettings, metrics: CacheMetrics) -> Self {
        let evictions = metrics.evictions.clone();
        let memory = sync::Cache::builder()
            .max_capacity(settings.memory_bytes)
            .weigher(|_, kept: &Arc<Kept>| u32::try_from(kept.weight()).unwrap_or(u32::MAX))
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener(move |_, _, cause| {
                evictions.inc_by(u64::from(cause == RemovalCause::Size));
            })
            .build();
        Self { memory, similar: Similar::default(), flights: Arc::default(), shelf: OnceLock::new(), metrics }
    }

    /// Begins with `kept`, the oldest first, and hands what comes to `shelf`.
    pub(super) fn shelve(&self, shelf: SyncSender<Shelving>, kept: Vec<(Key, Kept)>) {
        // A gateway has one shelf.
        let _ = self.shelf.set(shelf);
        kept.into_iter().for_each(|(key, kept)| self.hold(key, &Arc::new(kept)));
    }

    /// An answer to the same request, else to one that means nearly the same.
    pub(super) fn find(&self, question: &Question) -> Option<Hit> {
        self.same(question).or_else(|| self.alike(question))
    }

    fn same(&self, question: &Question) -> Option<Hit> {
        let kept = self.memory.get(&question.key)?;
        if question.is_fresh(&kept) {
            return Some(Hit { kept, how: How::Exact });
        }
        self.memory.invalidate(&question.key);
        None
    }

    fn alike(&self, question: &Question) -> Option<Hit> {
        let (meaning, threshold) = (question.meaning.as_ref()?, question.rule.semantic_threshold?);
        let fits = |kept: &Kept| question.is_fresh(kept);
        let key = self.similar.nearest(&meaning.partition, &meaning.vector, threshold, fits)?;
        Some(Hit { kept: self.memory.get(&key)?, how: How::Semantic })
    }

    /// Who asks: of identical requests at one time only the first.
    pub(super) fn turn(self: &Arc<Self>, question: Question) -> Turn {
        match self.flights.join(question.key) {
            Part::Follow(follow) => Turn::Wait(follow, question),
            // A call may have ended since the cache was looked at.
            Part::Lead(lead) => match self.same(&question) {
                Some(hit) => Turn::Have(hit),
                None => Turn::Ask(Ticket { cache: self.clone(), question, lead: Some(lead) }),
            },
        }
    }

    /// Asks, whoever else does.
    pub(super) fn alone(self: &Arc<Self>, question: Question) -> Ticket {
        Ticket { cache: self.clone(), question, lead: None }
    }

    pub(super) fn metrics(&self) -> &CacheMetrics {
        &self.metrics
    }

    fn hold(&self, key: Key, kept: &Arc<Kept>) {
        self.memory.insert(key, kept.clone());
        self.memory.run_pending_tasks();
        self.metrics.bytes.set(i64::try_from(self.memory.weighted_size()).unwrap_or(i64::MAX));
        self.similar.insert(key, kept);
    }

    fn keep(&self, key: Key, kept: &Arc<Kept>) {
        self.hold(key, kept);
        self.metrics.stores.inc();
        if let Some(shelf) = self.shelf.get()
            && shelf.try_send(Shelving::Keep(key, kept.clone())).is_err()
        {
            self.metrics.disk_drops.inc();
        }
    }
}

impl Ticket {
    /// Keeps an answer that came at `at_ms`, where it is whole and not too long; `trace` is what is recorded of it.
    /// Whoever waits for it is to be told.
    #[must_use]
    pub(super) fn keep(self, form: Form, trace: &Trace, at_ms: u64) -> Option<Landing> {
        let Question { key, meaning, rule, choices, .. } = self.question;
        let fits = form.size() <= MAX_KEPT_ANSWER && replay::is_complete(&form, choices);
        let model = trace.model.clone().filter(|_| fits);
        let kept = model.map(|model| Kept {
            at_ms,
            until_ms: at_ms.saturating_add(millis(rule.ttl)),
            model,
            usage: trace.usage,
            text: trace.reply.clone(),
            form,
            meaning,
        });
        let kept = kept.map(Arc::new);
        kept.iter().for_each(|kept| self.cache.keep(key, kept));
        self.lead.map(|lead| lead.land(kept))
    }

    /// The answer comes in pieces: whoever waits for it may listen.
    fn share(&self, shared: &Arc<Shared>) {
        self.lead.iter().for_each(|lead| lead.share(shared));
    }

    /// The answer will not be kept: nobody need wait for it, and is to be told so.
    #[must_use]
    fn part(self) -> Option<Landing> {
        self.lead.map(|lead| lead.land(None))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2)
}
