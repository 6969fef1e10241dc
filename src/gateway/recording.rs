//! The guard that records a request exactly once: at its end, at its error, or when it is dropped because the client left.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::answer::Facts;
use super::panel::{self, Seat};
use super::plan::Plan;
use super::setup::{Setup, Target};
use super::shadow::Room;
use super::sink::{Ended, Sink, left};
use super::sources::Arrival;
use crate::api::chat::ChatRequest;
use crate::api::metadata::Metadata;
use crate::catalog::{Model, ModelId, Usage};
use crate::features::{input_tokens, tokens};
use crate::policy::{Kind, Verdict};
use crate::telemetry::{ModelMetrics, Told};
use crate::trace::{Attempt, Event, Outcome, Owner, ReplyText, Trace, twin};
use crate::upstream::{self, Text, UpstreamError, WholeReply};

/// Longest request body that a trace keeps; of a longer one nothing is kept, since a part of it would not be JSON.
pub const MAX_KEPT_REQUEST: usize = 256 * 1024;
/// Longest reply text that a trace keeps; a longer one is cut there and marked.
pub const MAX_KEPT_REPLY: usize = 64 * 1024;

/// A request on its way. Dropped before [`finish`](Self::finish): the client left.
pub(super) struct Recording {
    setup: Arc<Setup>,
    sink: Arc<Sink>,
    plan: Plan,
    /// Who is asked before the first choice.
    seats: Option<Box<[Seat; 2]>>,
    began: Instant,
    /// Index into [`Setup::targets`] of the model that answers.
    answering: Option<usize>,
    /// Calls that were made.
    calls: usize,
    /// The targets of calls that were given up, and may be billed.
    given_up: Vec<usize>,
    /// Who was asked when the client left.
    asking: Option<usize>,
    /// Tokens of the prompt, estimated.
    asked: u32,
    /// Bytes of answer text so far, including what the trace does not keep.
    said: usize,
    /// The provider's count is of the whole answer.
    counted: bool,
    /// What the upstreams did for a client that left meanwhile.
    abandoned: OnceLock<Vec<upstream::Attempt>>,
    /// Taken when it is recorded.
    trace: Option<Box<Trace>>,
}

/// What a trace keeps of where its request came from.
pub(super) struct Origin<'a> {
    pub(super) body: &'a [u8],
    pub(super) metadata: Metadata,
    pub(super) owner: Option<Owner>,
}

/// The best model to be asked the same.
pub(super) struct Shadow {
    pub(super) setup: Arc<Setup>,
    pub(super) sink: Arc<Sink>,
    pub(super) plan: Plan,
    pub(super) arrival: Arrival,
    /// As the trace keeps it.
    pub(super) body: Bytes,
    pub(super) metadata: Metadata,
    pub(super) owner: Option<Owner>,
    pub(super) _room: Option<Room>,
}

impl Recording {
    /// Starts the record. Where the answer is streamed, it also tells the learner what was decided: a score may come
    /// before the end. Otherwise the end brings the decision.
    pub(super) fn begin(
        setup: Arc<Setup>,
        sink: Arc<Sink>,
        mut plan: Plan,
        arrival: Arrival,
        request: &ChatRequest,
        origin: Origin<'_>,
    ) -> Self {
        let trace = begun(&setup, &mut plan, arrival, request, origin);
        let seats = plan.members(&setup, trace.decision.as_deref()).map(|members| Box::new(members.map(Seat::new)));
        let asked = trace.decision.as_ref().map_or_else(|| input_tokens(request), |decision| decision.input_tokens);
        if let Some(decided) = decided(&trace).filter(|_| request.stream) {
            sink.send(decided, Told::Decided);
        }
        sink.metrics.in_flight.inc();
        if !matches!(plan.kind, Kind::Shadow | Kind::Cache) {
            sink.metrics.overhead_seconds.observe(arrival.instant.elapsed().as_secs_f64());
        }
        Self {
            setup,
            sink,
            plan,
            seats,
            began: arrival.instant,
            answering: None,
            calls: 0,
            given_up: vec![],
            asking: None,
            asked,
            said: 0,
            counted: false,
            abandoned: OnceLock::new(),
            trace: Some(Box::new(trace)),
        }
    }

    /// The configuration that the request keeps.
    pub(super) fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The models to ask, the first choice first.
    pub(super) fn models(&self) -> Vec<&Model> {
        self.plan.targets.iter().map(|target| &*self.setup.targets[*target].model).collect()
    }

    /// Who is asked before the first choice.
    pub(super) fn seats(&self) -> Option<&[Seat; 2]> {
        self.seats.as_deref()
    }

    /// The answer on which a panel agreed, and its target.
    pub(super) fn agreed(&mut self) -> Option<(usize, WholeReply)> {
        let seats = self.seats.as_deref_mut()?;
        let (verdict, target) = (panel::verdict(seats), seats[0].target);
        let reply = if verdict == Verdict::Agreed { seats[0].take_reply() } else { None };
        self.found(verdict);
        Some((target, reply?))
    }

    /// An answer of a member's that may be given because nobody else answers, and its target.
    pub(super) fn spare(&mut self) -> Option<(usize, WholeReply)> {
        let seats = self.seats.as_deref_mut()?;
        let spare = seats.iter_mut().find_map(|seat| Some((seat.target, seat.take_reply()?)))?;
        // It was not drawn, and nobody else's answer shows what it is worth.
        self.found(Verdict::None);
        Some(spare)
    }

    /// Which members of a panel that did not agree said what is answered.
    pub(super) fn compare(&mut self, text: &Text) {
        let differed = |verdict: Option<Verdict>| matches!(verdict, Some(Verdict::Differed(_)));
        if let Some(seats) = self.seats.as_deref().filter(|_| differed(self.verdict())) {
            self.found(Verdict::Differed(panel::like(seats, text)));
        }
    }

    fn verdict(&self) -> Option<Verdict> {
        Some(self.trace.as_deref()?.decision.as_ref()?.panel()?.verdict)
    }

    fn found(&mut self, verdict: Verdict) {
        let decision = self.trace.as_mut().and_then(|trace| trace.decision.as_mut());
        decision.into_iter().for_each(|decision| Arc::make_mut(decision).hear(verdict));
    }

    /// Where dispatch tells the calls of a request whose client leaves before it is answered.
    pub(super) fn abandoned(&self) -> &OnceLock<Vec<upstream::Attempt>> {
        &self.abandoned
    }

    /// What asking the best model the same comes to, once it is known who answers; `None` where it need not be asked, as
    /// where a fallback answers, or where nobody could judge the answer: the request was too long to keep. The room of the
    /// comparison goes with it.
    pub(super) fn shadow(&mut self) -> Option<Shadow> {
        let trace = self.trace.as_deref().filter(|trace| !trace.request.is_empty())?;
        self.answering.filter(|target| self.is_planned(*target))?;
        Some(Shadow {
            setup: self.setup.clone(),
            sink: self.sink.clone(),
            plan: self.plan.shadow(trace.decision.as_ref()?.shadow()?)?,
            arrival: Arrival { id: twin(trace.id), at_ms: trace.at_ms, instant: Instant::now() },
            body: trace.request.clone(),
            metadata: trace.metadata.clone(),
            owner: trace.owner,
            _room: self.plan.room.take(),
        })
    }

    /// What the upstreams did, and which of the plan's targets answers.
    pub(super) fn attempted(&mut self, attempts: Vec<upstream::Attempt>, answering: Option<usize>) {
        let mut before: Vec<_> =
            self.seats.iter_mut().flat_map(|seats| seats.iter_mut()).flat_map(Seat::take_attempts).collect();
        before.extend(attempts);
        let (attempts, targets) = (before, &self.plan.targets);
        self.answering = answering.and_then(|i| targets.get(i).copied());
        let agreed = self.verdict() == Some(Verdict::Agreed);
        if self.answering.is_some_and(|target| !self.is_planned(target)) && !agreed {
            self.plan.kind = Kind::Fallback;
        }
        self.calls = attempts.iter().filter(|attempt| attempt.was_made()).count();
        let given_up = attempts.iter().filter(|attempt| attempt.may_be_billed());
        self.given_up = given_up.filter_map(|a| targets.get(a.target).copied()).collect();
        let targets = attempts.into_iter().filter_map(|a| targets.get(a.target).map(|t| (&self.setup.targets[*t], a)));
        let attempts = targets.map(|(target, attempt)| {
            // How an answer that has begun ends is counted then.
            if attempt.error.is_some() && attempt.was_made() {
                self.sink.metrics.attempt(&target.label, attempt.result());
            }
            record_attempt(&target.model.id, attempt)
        });
        if let Some(trace) = &mut self.trace {
            trace.attempts = attempts.collect();
            trace.model = self.answering.map(|t| self.setup.targets[t].model.id.clone());
        }
    }

    /// Whether `target` is the model that was to answer, at whichever provider.
    fn is_planned(&self, target: usize) -> bool {
        let model = |target: usize| &self.setup.targets[target].model.id.model;
        self.plan.targets.first().is_some_and(|first| model(*first) == model(target))
    }

    /// `target` gave this answer before, or gives it to another: nobody is asked, and nothing is billed.
    pub(super) fn replayed(&mut self, target: usize) {
        self.answering = Some(target);
        if let Some(trace) = &mut self.trace {
            trace.model = Some(self.setup.targets[target].model.id.clone());
            trace.cost_usd = Some(0.0);
        }
    }

    /// The answer's text as another record has it.
    pub(super) fn said(&mut self, reply: ReplyText) {
        if let Some(trace) = &mut self.trace {
            trace.reply = reply;
        }
    }

    /// Drops this record: the request goes on under another one.
    pub(super) fn withdraw(mut self) {
        if self.trace.take().is_some() {
            self.sink.metrics.in_flight.dec();
        }
    }

    /// What is recorded by now, and the time: Unix milliseconds.
    pub(super) fn so_far(&self) -> Option<(&Trace, u64)> {
        let trace = self.trace.as_deref()?;
        Some((trace, trace.at_ms + micros(self.began.elapsed()) / 1000))
    }

    /// The metrics of the model that works on the request; `None` where an answer is given again, and no model works.
    fn working(&self) -> Option<&ModelMetrics> {
        let target = self.answering.filter(|_| self.plan.kind != Kind::Cache)?;
        Some(&self.setup.targets[target].metrics)
    }

    /// The first byte of the answer is here; later calls change nothing.
    pub(super) fn first_byte(&mut self) {
        let elapsed = self.began.elapsed();
        if let Some(trace) = self.trace.as_mut().filter(|t| t.first_byte_us.is_none()) {
            trace.first_byte_us = Some(micros(elapsed));
            if let Some(metrics) = self.working() {
                metrics.first_byte_seconds.observe(elapsed.as_secs_f64());
            }
        }
    }

    /// A piece of the answer's text.
    pub(super) fn heard(&mut self, text: Text) {
        self.said += text.length;
        self.counted &= text.length == 0;
        if let Some(trace) = &mut self.trace {
            append(&mut trace.reply, text);
        }
    }

    /// What the provider bills; the newest count holds.
    pub(super) fn used(&mut self, usage: Usage) {
        let price = self.answering.and_then(|t| self.setup.targets[t].model.price);
        let given_up: f64 = self.given_up_usd(usage.input_tokens).map(|(_, usd)| usd).sum();
        let beside: Option<f64> = self.beside().map(|(_, usage)| usage.map(|(_, usd)| usd)).sum();
        if let Some(trace) = &mut self.trace {
            self.counted = trace.reply.finish_reason.is_some();
            trace.usage = Some(usage);
            trace.cost_usd = price.zip(beside).map(|(p, beside)| p.cost(&usage) + given_up + beside);
        }
    }

    /// The targets of calls that were given up, and USD for each. What their providers bill is not known; the prompt, at
    /// least, was sent.
    fn given_up_usd(&self, input_tokens: u32) -> impl Iterator<Item = (&Target, f64)> {
        let prompt = Usage { input_tokens, ..Usage::default() };
        let targets = self.given_up.iter().map(|target| &self.setup.targets[*target]);
        targets.filter_map(move |target| Some((target, target.model.price?.cost(&prompt))))
    }

    /// The targets of a panel's answers that no client sees, and what each used and cost; `None` where nobody knows.
    fn beside(&self) -> impl Iterator<Item = (&Target, Option<(Usage, f64)>)> {
        let seats = self.seats.iter().flat_map(|seats| seats.iter());
        seats.filter_map(|seat| {
            let target = &self.setup.targets[*self.plan.targets.get(seat.target)?];
            let price = target.model.price;
            Some((target, seat.used()?.and_then(|usage| Some((usage, price?.cost(&usage))))))
        })
    }

    /// Counts a panel's answers that no client sees. Returns their USD, as far as they are known.
    fn count_beside(&self) -> f64 {
        let mut sum = 0.0;
        for (target, known) in self.beside() {
            self.sink.metrics.attempt(&target.label, "ok");
            if let Some((usage, usd)) = known {
                target.metrics.used((usage.input_tokens, usage.output_tokens), usd);
                sum += usd;
            }
        }
        sum
    }

    /// Where nobody answers, those calls are all that was spent.
    fn bill_given_up(&mut self) {
        if self.answering.is_some() || self.trace.is_none() {
            return;
        }
        let mut spent = self.beside().filter_map(|(_, known)| known).map(|(_, usd)| usd).reduce(|sum, usd| sum + usd);
        for (target, usd) in self.given_up_usd(self.asked) {
            target.metrics.cost_usd.inc_by(usd);
            spent = Some(spent.unwrap_or(0.0) + usd);
        }
        self.trace.iter_mut().for_each(|trace| trace.cost_usd = spent);
    }

    /// What the response headers say, as far as it is known by now.
    pub(super) fn facts(&self) -> Facts {
        let trace = self.trace.as_deref();
        let decision = trace.and_then(|t| t.decision.as_ref()).filter(|d| d.kind != Kind::Cache);
        // Whoever answers in another's place was not drawn.
        let drawn = decision.filter(|_| self.plan.kind != Kind::Fallback);
        Facts {
            trace: trace.map(|t| t.id).unwrap_or_default(),
            route: self.plan.route.map(|r| self.setup.routes[r].name.clone()),
            model: self.answering.map(|t| self.setup.targets[t].label.clone()),
            kind: self.plan.kind,
            propensity: drawn.and_then(|d| d.candidates.get(d.chosen)).map(|c| c.propensity),
            difficulty: decision.map(|d| d.difficulty),
            attempts: self.calls,
            cost_usd: trace.and_then(|t| t.cost_usd),
            cache: None,
            age_s: None,
        }
    }

    /// The answer broke off, and so its attempt failed after all.
    pub(super) fn broke(&mut self, error: &UpstreamError) {
        if let Some(attempt) = self.trace.as_mut().and_then(|trace| trace.attempts.last_mut()) {
            attempt.error = Some(error.message.clone());
        }
    }

    /// Records the end. A second call, or the drop after it, does nothing.
    pub(super) fn finish(&mut self, outcome: Outcome) {
        if matches!(outcome, Outcome::ClientGone | Outcome::Cut) {
            self.estimate();
        }
        self.bill_given_up();
        let Some(mut trace) = self.trace.take() else {
            return;
        };
        // Where the best model itself has answered, that ends the comparison.
        self.plan.room = None;
        let elapsed = self.began.elapsed();
        trace.outcome = outcome;
        trace.total_us = micros(elapsed);
        self.count(&trace, elapsed);
        self.sink.finished(trace);
    }

    /// A provider bills what it had said when an answer broke off, but most count it only at the end. So what is not
    /// counted yet is estimated at four bytes per token, as for limits.
    fn estimate(&mut self) {
        let begun = |trace: &&Trace| trace.first_byte_us.is_some() && self.plan.kind != Kind::Cache && !self.counted;
        let Some(trace) = self.trace.as_deref().filter(begun) else { return };
        let known = trace.usage.unwrap_or_default();
        let input_tokens = if known.input_tokens == 0 { self.asked } else { known.input_tokens };
        self.used(Usage { input_tokens, output_tokens: known.output_tokens.max(tokens(self.said)), ..known });
    }

    fn count(&self, trace: &Trace, elapsed: Duration) {
        if let Some(target) = self.answering.filter(|_| self.plan.kind != Kind::Cache) {
            let result = if trace.outcome == Outcome::Cut { "cut" } else { "ok" };
            self.sink.metrics.attempt(&self.setup.targets[target].label, result);
        }
        if let (Some(target), Some(usage), Outcome::Answered) = (self.answering, trace.usage, trace.outcome) {
            self.setup.targets[target].pace.observe(usage.output_tokens, elapsed);
        }
        let beside_usd = self.count_beside();
        if let Some(panel) = trace.decision.as_ref().and_then(|decision| decision.panel()) {
            let route = self.plan.route.map(|r| self.setup.routes[r].name.clone());
            self.sink.metrics.panel(route, panel.verdict.name());
        }
        self.sink.count(Ended {
            route: self.plan.route.map(|r| self.setup.routes[r].name.clone()),
            segment: self.plan.segment.clone(),
            target: self.answering.map(|t| &self.setup.targets[t]),
            asked: self.asking.map(|t| &self.setup.targets[t]),
            outcome: trace.outcome,
            kind: self.plan.kind,
            usage: trace.usage.unwrap_or_default(),
            cost_usd: (trace.cost_usd.unwrap_or(0.0) - beside_usd).max(0.0),
            elapsed,
        });
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let left_at_the_panel = self.calls == 0 && self.answering.is_none() && self.seats.is_some();
        if let Some(attempts) = self.abandoned.take().or_else(|| left_at_the_panel.then(Vec::new)) {
            self.asking = attempts.last().and_then(|last| self.plan.targets.get(last.target).copied());
            self.attempted(attempts, None);
        }
        self.finish(left());
    }
}

/// The record of a request as it begins.
fn begun(
    setup: &Setup,
    plan: &mut Plan,
    arrival: Arrival,
    request: &ChatRequest,
    Origin { body, metadata, owner }: Origin<'_>,
) -> Trace {
    let decision = plan.decision.take().map(Arc::new);
    Trace {
        id: arrival.id,
        at_ms: arrival.at_ms,
        owner,
        route: plan.route.map(|route| setup.settings.routes[route].name.as_str().into()),
        metadata,
        bundle: decision.is_some().then_some(plan.bundle),
        decision,
        attempts: Vec::new(),
        model: None,
        outcome: Outcome::ClientGone,
        needs: request.needs,
        stream: request.stream,
        usage: None,
        cost_usd: None,
        first_byte_us: None,
        total_us: 0,
        request: kept(body),
        reply: ReplyText::default(),
    }
}

/// What the learner may hear before the end; `None`: nothing was decided.
fn decided(trace: &Trace) -> Option<Event> {
    let (route, bundle, decision) = (trace.route.clone()?, trace.bundle?, trace.decision.clone()?);
    let Trace { id, at_ms, owner, .. } = *trace;
    Some(Event::Decided { trace: id, at_ms, owner, route, bundle, decision })
}

/// A copy: the body lies in its connection's read buffer, which cannot be used again while a trace waits with it.
fn kept(body: &[u8]) -> Bytes {
    if body.len() <= MAX_KEPT_REQUEST { Bytes::copy_from_slice(body) } else { Bytes::new() }
}

/// One call to `model`, as traces have it.
pub fn record_attempt(model: &ModelId, attempt: upstream::Attempt) -> Attempt {
    Attempt {
        model: model.clone(),
        status: attempt.status.map(|s| s.as_u16()),
        error: attempt.error.map(|e| e.message),
        duration_us: micros(attempt.duration),
    }
}

/// Adds a piece of the answer's text, as far as a trace keeps it.
pub fn append(reply: &mut ReplyText, text: Text) {
    let room = if reply.truncated { 0 } else { MAX_KEPT_REPLY - reply.content.len() };
    if text.content.len() > room {
        reply.truncated = true;
    }
    if !reply.truncated && reply.content.is_empty() {
        reply.content = text.content;
    } else {
        let cut = text.content.floor_char_boundary(room);
        reply.content.push_str(&text.content[..cut]);
    }
    reply.finish_reason = text.finish_reason.or(reply.finish_reason.take());
    reply.refusal |= text.refusal;
    reply.tool_calls |= text.tool_calls;
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(content: &str) -> Text {
        Text { content: content.into(), ..Text::default() }
    }

    #[test]
    fn a_long_reply_is_cut_between_characters_and_marked() {
        let mut reply = ReplyText::default();
        append(&mut reply, piece(&"a".repeat(MAX_KEPT_REPLY - 1)));
        assert!(!reply.truncated);
        append(&mut reply, piece("é"));
        append(&mut reply, piece("b"));
        assert!(reply.truncated);
        assert!(reply.content.len() <= MAX_KEPT_REPLY);
        assert_eq!(reply.content.trim_start_matches('a'), "", "what comes after the cut is left out too");
    }

    #[test]
    fn pieces_join_and_the_last_finish_reason_holds() {
        let mut reply = ReplyText::default();
        append(&mut reply, piece("ab"));
        append(&mut reply, Text { content: "c".into(), finish_reason: Some("stop".into()), ..Text::default() });
        append(&mut reply, piece(""));
        assert_eq!((reply.content.as_str(), reply.finish_reason.as_deref()), ("abc", Some("stop")));
    }
}
