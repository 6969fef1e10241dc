//! `judge`: a model that grades answers from 0 to 1, asked through the same upstreams, off the request path.
//!
//! The scorer itself only hands answers over to a bounded queue; what the queue has no room for is dropped and counted.
//! [`Desk::run`] asks the judges, a limited number at a time, and tells the learner. Callers with time to wait for
//! grades ask the [`Bench`] directly.

mod question;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::{Scorer, Verdict, reward};
use crate::api::chat::ChatRequest;
use crate::api::preferences::Preferences;
use crate::catalog::providers::is_called;
use crate::catalog::{Model, Usage};
use crate::telemetry::{Judged, Metrics, ModelMetrics};
use crate::trace::{Event, Grade, Outcome, Trace, TraceId};
use crate::upstream::{Dispatched, Exhausted, Limits, Reply, Upstreams, WholeReply};

pub use question::{DEFAULT_RUBRIC, MAX_TOKENS};

/// The most answers that wait for a judge.
const QUEUE: usize = 256;
/// The most judges asked at one time.
const CONCURRENCY: usize = 8;
/// The most calls for one grade.
const ATTEMPTS: usize = 2;
/// What a judge counts beside a client's own score (1), and the share of answers that it grades, unless the
/// configuration says otherwise.
pub const DEFAULT_WEIGHT: f64 = 0.5;
pub const DEFAULT_SHARE: f64 = 0.1;

/// One configured judge, validated.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgeSettings {
    /// The source of its scores.
    pub name: String,
    pub model: Arc<Model>,
    /// Its criteria; how to write the grade down is added to them.
    pub rubric: String,
    /// The share of answers that it grades, 0 to 1, in addition to those of the comparison with the best model, all of
    /// which it grades.
    pub share: f64,
    /// How much a grade counts beside a client's own score; above 0, up to 1.
    pub weight: f64,
}

/// Route → its judges.
pub type Judging = BTreeMap<String, Vec<Arc<JudgeSettings>>>;

/// The judges in force, and how to reach them. A call keeps the ones it began with.
pub struct Bench {
    judges: BTreeMap<String, Vec<Arc<Judge>>>,
    upstreams: Arc<Upstreams>,
    limits: Limits,
    metrics: Arc<Metrics>,
}

struct Judge {
    settings: Arc<JudgeSettings>,
    name: Arc<str>,
    /// `provider/model`.
    label: Arc<str>,
    metrics: ModelMetrics,
}

/// An answer before a judge.
struct Case {
    bench: Arc<Bench>,
    judge: Arc<Judge>,
    trace: TraceId,
    request: Bytes,
    answer: String,
}

/// The scorer: hands answers over, and gives no verdict itself.
pub struct Judges {
    bench: Arc<ArcSwap<Bench>>,
    queue: mpsc::Sender<Case>,
}

/// The other end of the queue.
pub struct Desk {
    queue: mpsc::Receiver<Case>,
}

/// A scorer that hands answers over to whoever is on `bench` at the time, and the desk that works them off.
pub fn judges(bench: Arc<ArcSwap<Bench>>) -> (Judges, Desk) {
    let (sender, queue) = mpsc::channel(QUEUE);
    (Judges { bench, queue: sender }, Desk { queue })
}

impl Bench {
    /// `upstreams` must know the provider of each judge's model; `limits` are those of clients' requests.
    pub fn new(judging: &Judging, upstreams: Arc<Upstreams>, limits: Limits, metrics: Arc<Metrics>) -> Self {
        let judge = |settings: &Arc<JudgeSettings>| {
            let label: Arc<str> = settings.model.id.to_string().into();
            let (name, metrics) = (settings.name.as_str().into(), metrics.model(&label));
            Arc::new(Judge { settings: settings.clone(), name, label, metrics })
        };
        let of_route = |(route, judges): (&String, &Vec<_>)| (route.clone(), judges.iter().map(judge).collect());
        let judges = judging.iter().map(of_route).collect();
        Self { judges, upstreams, limits: Limits { attempts: ATTEMPTS, insists: true, ..limits }, metrics }
    }

    /// Has an answer graded by those judges of its route that `wanted` selects, whatever their share, one after
    /// another. The answer should be [readable](is_readable). `now_ms`: Unix milliseconds.
    pub async fn grade(
        self: &Arc<Self>,
        trace: &Trace,
        wanted: impl Fn(&JudgeSettings) -> bool,
        now_ms: impl Fn() -> u64,
    ) -> Vec<Grade> {
        let judges = trace.route.as_deref().and_then(|route| self.judges.get(route)).into_iter().flatten();
        let mut grades = Vec::new();
        for judge in judges.filter(|judge| wanted(&judge.settings)) {
            grades.push(Case::new(self, judge, trace).judged(&now_ms).await);
        }
        grades
    }
}

impl JudgeSettings {
    /// The question to a judge about `answer` to `request`, a chat's body; `None` where that cannot be read.
    pub fn question(&self, request: &Bytes, answer: &str, trace: TraceId) -> Option<ChatRequest> {
        question::ask(request, answer, &self.rubric, trace)
    }
}

/// Whether a judge could grade it: a whole answer in text, to a request in text that is kept.
pub fn is_readable(trace: &Trace) -> bool {
    let reply = &trace.reply;
    let readable = trace.needs.is_text() && !trace.request.is_empty() && !reply.truncated && !reply.tool_calls;
    trace.outcome == Outcome::Answered && readable
}

impl Scorer for Judges {
    fn name(&self) -> &'static str {
        reward::JUDGE
    }

    /// Always `None`: grades come later, as events.
    fn score(&mut self, trace: &Trace) -> Option<Verdict> {
        let bench = self.bench.load();
        for judge in bench.judges.get(trace.route.as_deref()?)?.iter().filter(|judge| judge.has_drawn(trace)) {
            match self.queue.try_reserve() {
                _ if !is_readable(trace) => bench.metrics.judged(&judge.name, Judged::LeftOut),
                Ok(room) => room.send(Case::new(&bench, judge, trace)),
                Err(_) => bench.metrics.judged(&judge.name, Judged::Dropped),
            }
        }
        None
    }
}

impl Judge {
    /// Whether the answer is drawn: for the comparison, or by the judge's share.
    fn has_drawn(&self, trace: &Trace) -> bool {
        // Nothing is learned from a request that nobody decided.
        let Some(decision) = &trace.decision else { return false };
        let drawn = || decision.audit.is_some() || draw(&self.name, trace.id) < self.settings.share;
        trace.outcome == Outcome::Answered && drawn()
    }

    /// What was billed, USD.
    fn charge(&self, usage: &Usage) -> Option<f64> {
        self.metrics.input_tokens.inc_by(u64::from(usage.input_tokens));
        self.metrics.output_tokens.inc_by(u64::from(usage.output_tokens));
        let usd = self.settings.model.price.as_ref()?.cost(usage);
        self.metrics.cost_usd.inc_by(usd);
        Some(usd)
    }
}

/// Uniform in [0, 1), the same whenever it is asked for: ids are random, and the judges' draws are independent of each
/// other.
fn draw(judge: &str, trace: TraceId) -> f64 {
    let digest = Sha256::new().chain_update(judge).chain_update(trace.as_bytes()).finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    // 53 bits: as many as a number in [0, 1) has.
    (u64::from_be_bytes(first) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Whether a client with these preferences leaves its words to `provider`, which is told of none of them: one that routes
/// itself cannot hold to them either.
fn is_left_to(upstreams: &Upstreams, provider: &str, preferences: &Preferences) -> bool {
    let Preferences { only, ignore, order, allow_fallbacks, deny_data_collection, others, .. } = preferences;
    let named = |names: &[String]| names.iter().any(|name| is_called(provider, name));
    let ordered = *allow_fallbacks || order.is_empty() || named(order);
    let admitted = only.as_deref().is_none_or(named) && !named(ignore) && ordered;
    admitted && others.is_empty() && !(*deny_data_collection && upstreams.collects_data(provider))
}

impl Desk {
    /// Works off the queue until the scorer is gone; grades go to `events`. `now_ms`: Unix milliseconds.
    pub fn run(
        mut self,
        events: mpsc::Sender<Event>,
        now_ms: impl Fn() -> u64 + Send + Sync,
    ) -> impl Future<Output = ()> + Send {
        let cases = stream::poll_fn(move |cx| self.queue.poll_recv(cx));
        async move {
            let (events, now_ms) = (&events, &now_ms);
            cases
                .for_each_concurrent(CONCURRENCY, |case| async move {
                    // A send fails only if the learner has ended.
                    let _ = events.send(Event::Graded(case.judged(now_ms).await)).await;
                })
                .await;
        }
    }
}

impl Case {
    fn new(bench: &Arc<Bench>, judge: &Arc<Judge>, trace: &Trace) -> Self {
        // A copy: the trace's own body takes up room of those that wait for the learner, and a judge takes its time.
        let request = Bytes::copy_from_slice(&trace.request);
        let (trace, answer) = (trace.id, trace.reply.content.clone());
        Self { bench: bench.clone(), judge: judge.clone(), trace, request, answer }
    }

    /// What the learner is told of a grade; also counts it in the metrics.
    async fn judged(&self, now_ms: &impl Fn() -> u64) -> Grade {
        let (value, cost_usd, result) = self.grade().await;
        self.bench.metrics.judged(&self.judge.name, result);
        let JudgeSettings { name: judge, weight, .. } = &*self.judge.settings;
        Grade { trace: self.trace, judge: judge.clone(), value, weight: *weight, cost_usd, at_ms: now_ms() }
    }

    /// The grade, what it cost, and what came of it.
    async fn grade(&self) -> (Option<f64>, Option<f64>, Judged) {
        let judge = &self.judge.settings;
        let Some(question) = judge.question(&self.request, &self.answer, self.trace) else {
            return (None, None, Judged::Unreadable);
        };
        if !self.may_be_read() {
            return (None, None, Judged::Withheld);
        }
        match self.put(&judge.model, &question).await {
            Some(reply) => {
                let cost = reply.usage.and_then(|usage| self.judge.charge(&usage));
                let value = question::grade(&reply.text.content);
                if value.is_none() {
                    tracing::warn!(judge = &*self.judge.name, trace = %self.trace, "a judge answered without a grade");
                }
                (value, cost, if value.is_some() { Judged::Graded } else { Judged::Unreadable })
            }
            None => (None, None, Judged::Failed),
        }
    }

    /// Whether the client leaves what it said to the judge's provider, as its request says.
    fn may_be_read(&self) -> bool {
        let preferences = ChatRequest::parse(&self.request).and_then(|request| Preferences::read(&request));
        let (upstreams, provider) = (&self.bench.upstreams, &self.judge.settings.model.id.provider);
        preferences.is_ok_and(|told| told.is_none_or(|told| is_left_to(upstreams, provider, &told)))
    }

    async fn put(&self, model: &Model, question: &ChatRequest) -> Option<WholeReply> {
        let dispatched = self.bench.upstreams.dispatch(&[model], question, &self.bench.limits).await;
        let (attempts, reply) = match dispatched {
            Ok(Dispatched { attempts, reply: Reply::Whole(reply), .. }) => (attempts, Some(reply)),
            Ok(Dispatched { attempts, .. }) => (attempts, None),
            Err(Exhausted { attempts, error }) => {
                tracing::warn!(judge = &*self.judge.name, %error, "a judge did not answer");
                (attempts, None)
            }
        };
        let made = attempts.iter().filter(|attempt| attempt.was_made());
        made.for_each(|attempt| self.bench.metrics.attempt(&self.judge.label, attempt.result()));
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judge_s_draw_is_its_own_and_uniform() {
        let id = |n: u128| TraceId::from_u128(n);
        let below = |share: f64| (0..20_000).filter(|n| draw("strict", id(*n)) < share).count() as f64 / 20_000.0;
        assert!((below(0.1) - 0.1).abs() < 0.01 && (below(0.7) - 0.7).abs() < 0.01);
        let both = (0..20_000).filter(|n| draw("strict", id(*n)) < 0.5 && draw("mild", id(*n)) < 0.5).count();
        assert!((4_700..5_300).contains(&both), "{both}");
    }
}
