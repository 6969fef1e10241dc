//! The calls: the real network, so many at a time, each model by its name; answers, and what judges make of them, go to
//! the learner.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::ensure;
use futures_util::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::plan::{Call, Plan};
use crate::api::metadata::Metadata;
use crate::catalog::Model;
use crate::gateway::{MAX_KEPT_REQUEST, RouteSettings, append, record_attempt};
use crate::learner::Learner;
use crate::scorers::judge::{self, Bench, JudgeSettings};
use crate::trace::{Event, Outcome, ReplyText, Trace};
use crate::upstream::{Dispatched, Limits, Reply, Upstreams};

/// What calls are made with.
pub(super) struct Sender<'a> {
    pub(super) upstreams: &'a Upstreams,
    pub(super) limits: &'a Limits,
    pub(super) route: &'a RouteSettings,
    pub(super) plan: &'a Plan,
    pub(super) learner: &'a Learner,
    pub(super) bench: &'a Arc<Bench>,
    /// The route's, as the plan counts them.
    pub(super) judges: &'a [Arc<JudgeSettings>],
    /// What is known is asked too.
    pub(super) again: bool,
    /// Unix milliseconds.
    pub(super) now_ms: &'a dyn Fn() -> u64,
}

/// How the calls ended.
#[derive(Default)]
pub(super) struct Sent {
    /// Calls that are over, however they ended.
    pub(super) ended: usize,
    /// Indices into [`Plan::calls`].
    pub(super) answered: Vec<usize>,
    /// (Index into [`Plan::calls`], why).
    pub(super) failed: Vec<(usize, String)>,
    /// Grades that judges gave, and that they were to give and did not.
    pub(super) graded: usize,
    pub(super) ungraded: usize,
    /// USD, of the answers and grades whose price is known.
    pub(super) usd: f64,
}

/// How one call ended.
#[derive(Default)]
struct Ended {
    /// Its index into [`Plan::calls`].
    index: usize,
    /// A model was asked: it answered, or why not.
    asked: Option<Result<(), String>>,
    graded: usize,
    ungraded: usize,
    usd: f64,
}

impl Sender<'_> {
    /// Makes `calls` (indices into [`Plan::calls`]), `concurrency` at a time. Once told to stop by Ctrl-C, or more than
    /// `limit_usd` was spent, it begins no more, and waits for those under way: they are paid for.
    ///
    /// # Errors
    /// The answers cannot be kept: it stops there.
    pub(super) async fn send(&self, calls: Vec<usize>, concurrency: usize, limit_usd: f64) -> anyhow::Result<Sent> {
        let (bar, spent) = (bar(calls.len())?, AtomicBool::new(false));
        let told = Box::pin(tokio::signal::ctrl_c());
        let affordable = |_: &usize| ready(!spent.load(Ordering::Relaxed));
        let calls = stream::iter(calls).take_until(told).take_while(affordable);
        let mut calls = calls.map(|index| self.call(index)).buffer_unordered(concurrency);
        let mut sent = Sent::default();
        while let Some(ended) = calls.next().await {
            sent.add(ended?);
            spent.store(sent.usd > limit_usd, Ordering::Relaxed);
            bar.set_message(format!("{:.4} USD, {} failed", sent.usd, sent.failed.len()));
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(sent)
    }

    /// Asks the model, where that is to be, and then the judges. The answer is told first: it is paid for.
    async fn call(&self, index: usize) -> anyhow::Result<Ended> {
        let (call, mut ended) = (&self.plan.calls[index], Ended { index, ..Ended::default() });
        if !call.is_asked(self.again) {
            let kept = self.learner.reader.trace(call.id)?;
            return self.judge(call, kept, ended).await;
        }
        let (outcome, trace) = match self.ask(call).await {
            Ok(trace) => (Ok(()), Some(trace)),
            Err(problem) => (Err(problem), None),
        };
        ended.asked = Some(outcome);
        if let Some(trace) = &trace {
            ended.usd += trace.cost_usd.unwrap_or_default();
            self.tell(Event::Finished(Box::new(trace.clone()))).await?;
        }
        self.judge(call, trace, ended).await
    }

    /// Has the answer graded, if there is one that can be.
    async fn judge(&self, call: &Call, answer: Option<Trace>, mut ended: Ended) -> anyhow::Result<Ended> {
        let Some(answer) = answer.filter(judge::is_readable) else { return Ok(ended) };
        let wanted = |judge: &JudgeSettings| call.judges.iter().any(|&index| self.judges[index].name == judge.name);
        for grade in self.bench.grade(&answer, wanted, self.now_ms).await {
            ended.usd += grade.cost_usd.unwrap_or_default();
            *if grade.value.is_some() { &mut ended.graded } else { &mut ended.ungraded } += 1;
            self.tell(Event::Graded(grade)).await?;
        }
        Ok(ended)
    }

    async fn tell(&self, event: Event) -> anyhow::Result<()> {
        let kept = self.learner.events.send(event).await;
        let dropped = self.learner.counters.dropped_events.load(Ordering::Relaxed);
        ensure!(kept.is_ok() && dropped == 0, super::NOT_KEPT);
        Ok(())
    }

    async fn ask(&self, call: &Call) -> Result<Trace, String> {
        let model = &*self.route.models[call.arm];
        let request = &self.plan.asked[call.asked].prompt.request;
        let (at_ms, began) = ((self.now_ms)(), Instant::now());
        let dispatched = self.upstreams.dispatch(&[model], request, self.limits).await.map_err(|e| e.to_string())?;
        self.trace(call, model, dispatched, at_ms, began)
    }

    fn trace(
        &self,
        call: &Call,
        model: &Model,
        dispatched: Dispatched,
        at_ms: u64,
        began: Instant,
    ) -> Result<Trace, String> {
        let Reply::Whole(answer) = dispatched.reply else {
            return Err("a stream came, which was not asked for".into());
        };
        let prompt = &self.plan.asked[call.asked].prompt;
        let mut reply = ReplyText::default();
        append(&mut reply, answer.text);
        let total_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(Trace {
            id: call.id,
            at_ms,
            owner: None,
            metadata: Metadata::default(),
            route: Some(self.route.name.as_str().into()),
            decision: Some(call.decision.clone().into()),
            bundle: None,
            attempts: dispatched.attempts.into_iter().map(|attempt| record_attempt(&model.id, attempt)).collect(),
            model: Some(model.id.clone()),
            outcome: Outcome::Answered,
            needs: prompt.request.needs,
            stream: false,
            usage: answer.usage,
            cost_usd: model.price.zip(answer.usage).map(|(price, usage)| price.cost(&usage)),
            first_byte_us: None,
            total_us,
            request: if prompt.body.len() <= MAX_KEPT_REQUEST { prompt.body.clone() } else { Default::default() },
            reply,
        })
    }
}

impl Sent {
    fn add(&mut self, ended: Ended) {
        match ended.asked {
            Some(Ok(())) => self.answered.push(ended.index),
            Some(Err(problem)) => self.failed.push((ended.index, problem)),
            None => {}
        }
        self.ended += 1;
        self.graded += ended.graded;
        self.ungraded += ended.ungraded;
        self.usd += ended.usd;
    }
}

fn bar(calls: usize) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} calls, {msg}, {elapsed} of {duration}")?;
    Ok(ProgressBar::new(calls as u64).with_style(style).with_message("0 USD"))
}
