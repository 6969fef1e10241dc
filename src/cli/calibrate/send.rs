//! The calls: the real network, so many at a time, each model by its name; answers go to the learner.

use std::future::ready;
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
use crate::trace::{Event, Outcome, ReplyText, Trace};
use crate::upstream::{Dispatched, Limits, Reply, Upstreams};

/// What calls are made with.
pub(super) struct Sender<'a> {
    pub(super) upstreams: &'a Upstreams,
    pub(super) limits: &'a Limits,
    pub(super) route: &'a RouteSettings,
    pub(super) plan: &'a Plan,
    pub(super) learner: &'a Learner,
    /// Unix milliseconds.
    pub(super) now_ms: &'a dyn Fn() -> u64,
}

/// How the calls ended.
#[derive(Default)]
pub(super) struct Sent {
    /// Indices into [`Plan::calls`].
    pub(super) answered: Vec<usize>,
    /// (Index into [`Plan::calls`], why).
    pub(super) failed: Vec<(usize, String)>,
    /// USD, of the answers whose price is known.
    pub(super) usd: f64,
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
        let asking = |index: usize| async move { (index, self.ask(&self.plan.calls[index]).await) };
        let calls = stream::iter(calls).take_until(told).take_while(affordable);
        let mut answers = calls.map(asking).buffer_unordered(concurrency);
        let mut sent = Sent::default();
        while let Some((index, outcome)) = answers.next().await {
            self.take(index, outcome, &mut sent).await?;
            spent.store(sent.usd > limit_usd, Ordering::Relaxed);
            bar.set_message(format!("{:.4} USD, {} failed", sent.usd, sent.failed.len()));
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(sent)
    }

    async fn take(&self, index: usize, outcome: Result<Trace, String>, sent: &mut Sent) -> anyhow::Result<()> {
        match outcome {
            Ok(trace) => {
                sent.usd += trace.cost_usd.unwrap_or_default();
                sent.answered.push(index);
                let kept = self.learner.events.send(Event::Finished(Box::new(trace))).await;
                let dropped = self.learner.counters.dropped_events.load(Ordering::Relaxed);
                ensure!(kept.is_ok() && dropped == 0, super::NOT_KEPT);
            }
            Err(problem) => sent.failed.push((index, problem)),
        }
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

fn bar(calls: usize) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} answers, {msg}, {elapsed} of {duration}")?;
    Ok(ProgressBar::new(calls as u64).with_style(style).with_message("0 USD"))
}
