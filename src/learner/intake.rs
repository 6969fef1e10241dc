//! Events → ledger entries: what is new, what is a revision, what is a repetition, what is refused.

use std::sync::atomic::AtomicU64;

use tokio::sync::oneshot;
use uuid::Uuid;

use crate::catalog::Name;
use crate::policy::{Kind, RouteSpec};
use crate::scorers::{Scorer, reward};
use crate::store::{Entry, Scored, Store, StoreError, score_id};
use crate::trace::{Event, Feedback, FeedbackError, Grade, JUDGE, MAX_REVISIONS, MAX_SOURCES, Owner, Trace, TraceId};

use super::again::{self, Again};
use super::counters::Counters;
use super::fold::Fold;
use super::standing::{Standing, is_known_to};

/// Answers a client that sent a score.
type Acknowledge = oneshot::Sender<Result<Uuid, FeedbackError>>;

/// One batch on its way to the ledger.
#[derive(Debug, Default)]
pub(super) struct Intake {
    pub(super) entries: Vec<Entry>,
    /// Events that were taken in.
    pub(super) events: usize,
    /// Staged trace bodies.
    pub(super) bodies: usize,
    /// Answers given again; the ledger has nothing of them unless they are scored.
    pub(super) again: Vec<(TraceId, Entry)>,
    /// Answers of models that were asked by name, and whose they are: there is nothing to score.
    unrouted: Vec<(TraceId, Option<Owner>)>,
    acknowledgements: Vec<(Acknowledge, Uuid)>,
    /// What waited could not be compared with the ledger: the batch must not be written.
    unread: Option<StoreError>,
}

/// What is needed to read an event.
pub(super) struct Desk<'a> {
    pub(super) store: &'a mut dyn Store,
    pub(super) scorers: &'a mut [Box<dyn Scorer>],
    pub(super) fold: &'a mut Fold,
    pub(super) again: &'a mut Again,
    pub(super) counters: &'a Counters,
    /// A request that nobody knows may be one that the ledger could not take.
    pub(super) losing: bool,
}

impl Intake {
    /// A batch of about so many entries.
    pub(super) fn with_room(entries: usize) -> Self {
        Self { entries: Vec::with_capacity(entries), ..Self::default() }
    }

    /// Adds what `event` says; a score that cannot be taken is answered at once.
    pub(super) fn take(&mut self, event: Event, desk: &mut Desk<'_>) {
        self.events += 1;
        let taken = match event {
            Event::Decided { trace, at_ms, owner, route, bundle, decision } => {
                let kind = decision.kind;
                self.decided(kind, trace, Entry::Decided { trace, at_ms, owner, route, bundle, decision }, desk);
                Ok(())
            }
            Event::Finished(trace) => {
                let settled = self.finished(&trace, desk);
                self.stage(&trace, desk);
                settled
            }
            Event::Feedback(feedback, acknowledge) => {
                self.feedback(feedback, acknowledge, desk);
                Ok(())
            }
            Event::Graded(grade) => self.graded(grade, desk),
            Event::Configured { at_ms, routes } => {
                self.configured(at_ms, routes, desk);
                Ok(())
            }
            // The worker handles it: it belongs to no batch.
            Event::Reclassified(..) => Ok(()),
        };
        if let Err(error) = taken {
            Counters::add(&desk.counters.dropped_events, 1);
            tracing::warn!(%error, "the end of a request, or a grade, was not written to the ledger");
        }
    }

    /// Adds the entries that earlier batches could not write to the ledger, in their order.
    pub(super) fn resume(&mut self, waiting: Vec<Entry>, desk: &mut Desk<'_>) {
        for entry in waiting {
            match self.look_up(&entry, desk) {
                Ok(()) => self.record(entry, desk),
                Err(error) => {
                    Counters::add(&desk.counters.dropped_events, 1);
                    tracing::warn!(%error, "what waited for the ledger was not written to it");
                }
            }
        }
    }

    /// Reads where the request of an entry that waited stands, as a replay would.
    ///
    /// # Errors
    /// It will never be known. If it may be known later, the batch waits.
    fn look_up(&mut self, entry: &Entry, desk: &mut Desk<'_>) -> Result<(), StoreError> {
        let Some(trace) = entry.trace().filter(|_| !matches!(entry, Entry::Decided { .. })) else { return Ok(()) };
        standing(desk, trace).map(drop).or_else(|error| self.wait(error))
    }

    /// Keeps the batch from the ledger until the ledger can be read; damage is given back.
    fn wait(&mut self, error: StoreError) -> Result<(), StoreError> {
        if matches!(error, StoreError::Damaged { .. }) {
            return Err(error);
        }
        self.unread = Some(error);
        Ok(())
    }

    /// Whether the batch may be written.
    ///
    /// # Errors
    /// The ledger could not be read.
    pub(super) fn is_read(&mut self) -> Result<(), StoreError> {
        self.unread.take().map_or(Ok(()), Err)
    }

    /// Answers the clients whose scores are durable now.
    pub(super) fn acknowledge(&mut self) {
        for (acknowledge, id) in self.acknowledgements.drain(..) {
            // A client that has left needs no answer.
            let _ = acknowledge.send(Ok(id));
        }
    }

    /// Tells them that their scores are not durable.
    pub(super) fn refuse(&mut self, error: &StoreError) {
        for (acknowledge, _) in self.acknowledgements.drain(..) {
            let _ = acknowledge.send(Err(FeedbackError::Unavailable(error.to_string())));
        }
    }

    fn record(&mut self, entry: Entry, desk: &mut Desk<'_>) {
        desk.fold.stage(&entry);
        self.entries.push(entry);
    }

    fn stage(&mut self, trace: &Trace, desk: &mut Desk<'_>) {
        match desk.store.stage(trace) {
            Ok(()) => self.bodies += 1,
            Err(error) => {
                Counters::add(&desk.counters.dropped_bodies, 1);
                tracing::warn!(%error, trace = %trace.id, "a trace cannot be kept");
                // Nobody else knows what it needs if it is scored.
                let again = self.again.pop_if(|(id, _)| *id == trace.id);
                again.into_iter().for_each(|(trace, decided)| desk.again.begin(trace, decided));
            }
        }
    }

    fn decided(&mut self, kind: Kind, trace: TraceId, decided: Entry, desk: &mut Desk<'_>) {
        match kind {
            Kind::Cache => desk.again.begin(trace, decided),
            _ => self.record(decided, desk),
        }
    }

    fn configured(&mut self, at_ms: u64, routes: Vec<RouteSpec>, desk: &mut Desk<'_>) {
        let fingerprint = desk.fold.reading().fingerprint.clone();
        self.record(Entry::Configured { at_ms, fingerprint, routes }, desk);
    }

    fn finished(&mut self, trace: &Trace, desk: &mut Desk<'_>) -> Result<(), StoreError> {
        self.unrouted.extend(trace.route.is_none().then_some((trace.id, trace.owner)));
        if again::is_again(trace) {
            desk.again.end(trace.id);
            self.again.extend(again::decided(trace, desk.fold.bundle()).map(|decided| (trace.id, decided)));
            return Ok(());
        }
        let (Some(route), Some(decision)) = (&trace.route, &trace.decision) else { return Ok(()) };
        match standing(desk, trace.id) {
            // Asked again on purpose: the new answer's scores revise those of the first.
            Ok(Some(standing)) if standing.is_settled() && decision.kind != Kind::Pinned => return Ok(()),
            Ok(Some(_)) => {}
            // If it has ended already, or nobody decided it, the end means nothing when it is written.
            Err(error) => self.wait(error)?,
            // The news of the decision was dropped; the trace has it too.
            Ok(None) => {
                let bundle = trace.bundle.unwrap_or_else(|| desk.fold.bundle());
                let (route, decision) = (route.clone(), decision.clone());
                let Trace { id, at_ms, owner, .. } = *trace;
                self.record(Entry::Decided { trace: id, at_ms, owner, route, bundle, decision }, desk);
            }
        }
        self.record(settled(trace), desk);
        self.score(trace, desk);
        Ok(())
    }

    fn score(&mut self, trace: &Trace, desk: &mut Desk<'_>) {
        let verdicts: Vec<_> = desk.scorers.iter_mut().map(|s| (s.metric(), s.name(), s.score(trace))).collect();
        for (metric, source, verdict) in verdicts {
            let Some(verdict) = verdict else { continue };
            Counters::add(&desk.counters.scores, 1);
            let entry = Entry::Scored(Scored {
                trace: trace.id,
                at_ms: trace.at_ms + trace.total_us / 1000,
                metric: metric.to_owned(),
                source: source.to_owned(),
                value: verdict.value,
                weight: 1.0,
                comment: None,
            });
            self.record(entry, desk);
        }
    }

    /// The cost counts even where there is no grade.
    fn graded(&mut self, grade: Grade, desk: &mut Desk<'_>) -> Result<(), StoreError> {
        match standing(desk, grade.trace) {
            Ok(None) => return Ok(()),
            Ok(Some(_)) => {}
            Err(error) => self.wait(error)?,
        }
        let Grade { trace, judge: source, value, weight, cost_usd, at_ms } = grade;
        if let Some(usd) = cost_usd {
            self.record(Entry::Charged { trace, usd }, desk);
        }
        if let Some(value) = value {
            Counters::add(&desk.counters.scores, 1);
            let metric = JUDGE.to_owned();
            self.record(Entry::Scored(Scored { trace, at_ms, metric, source, value, weight, comment: None }), desk);
        }
        Ok(())
    }

    fn feedback(&mut self, feedback: Feedback, acknowledge: Acknowledge, desk: &mut Desk<'_>) {
        let id = score_id(feedback.trace, &feedback.metric, &feedback.source);
        let news = match self.admit(&feedback, desk) {
            Ok(news) => news,
            Err(error) => {
                Counters::add(&desk.counters.refused, 1);
                let _ = acknowledge.send(Err(error));
                return;
            }
        };
        Counters::add(news.counter(desk.counters), 1);
        if news != News::Repeated {
            self.record(Entry::Scored(scored(feedback)), desk);
        }
        self.acknowledgements.push((acknowledge, id));
    }

    fn admit(&mut self, feedback: &Feedback, desk: &mut Desk<'_>) -> Result<News, FeedbackError> {
        if feedback.metric != reward::QUALITY {
            return Err(FeedbackError::UnknownMetric(feedback.metric.clone()));
        }
        let standing = self.scorable(feedback.trace, desk).map_err(|e| FeedbackError::Unavailable(e.to_string()))?;
        // A shadow's id can be told from its request's, but whoever sends a score has not seen its answer.
        let standing = standing.filter(|standing| !standing.is_shadow());
        let standing = standing.filter(|standing| standing.is_known_to(feedback.by));
        let Some(standing) = standing else { return Err(self.unknown(feedback, desk)) };
        let Feedback { metric, source, value, comment, .. } = feedback;
        match standing.score_by(metric, source) {
            None if standing.sources() >= MAX_SOURCES => Err(FeedbackError::TooManySources(feedback.trace)),
            None => Ok(News::First),
            Some(score) if score.says(value.get(), comment.as_deref()) => Ok(News::Repeated),
            // The ledger keeps each of them, for good.
            Some(score) if score.revisions() >= MAX_REVISIONS => Err(FeedbackError::TooManyRevisions(source.clone())),
            Some(_) => Ok(News::Revised),
        }
    }

    /// Why there is nothing to score.
    fn unknown(&self, Feedback { trace, by, .. }: &Feedback, desk: &Desk<'_>) -> FeedbackError {
        let here = || self.unrouted.iter().find(|(id, _)| id == trace).map(|(_, owner)| *owner);
        let kept = || desk.store.reader().trace(*trace).ok().flatten().filter(|kept| kept.route.is_none());
        let owner = here().or_else(|| kept().map(|kept| kept.owner));
        match owner {
            Some(owner) if is_known_to(owner, *by) => FeedbackError::Unrouted(*trace),
            _ if desk.losing => {
                FeedbackError::Unavailable("the ledger could not take all requests of the last minutes".into())
            }
            _ => FeedbackError::UnknownTrace(*trace),
        }
    }

    /// The standing of a request that may be scored; an answer given again gets one with its first score.
    fn scorable<'a>(&mut self, trace: TraceId, desk: &'a mut Desk<'_>) -> Result<Option<&'a Standing>, StoreError> {
        if standing(desk, trace)?.is_none() {
            let decided = desk.again.decided(trace, &self.again, desk.store, desk.fold.bundle())?;
            decided.into_iter().for_each(|decided| self.record(decided, desk));
        }
        Ok(desk.fold.standing(trace))
    }
}

/// What a score adds to what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    First,
    Revised,
    /// The same value again, as when a client did not get the answer. Not written, but acknowledged.
    Repeated,
}

impl News {
    fn counter(self, counters: &Counters) -> &AtomicU64 {
        match self {
            News::First => &counters.scores,
            News::Revised => &counters.revisions,
            News::Repeated => &counters.duplicates,
        }
    }
}

/// Where a trace stands after the whole ledger and this batch; `None`: nobody decided it.
fn standing<'a>(desk: &'a mut Desk<'_>, trace: TraceId) -> Result<Option<&'a Standing>, StoreError> {
    let after_all = desk.fold.position() + 1;
    desk.fold.load(desk.store, trace, after_all)?;
    Ok(desk.fold.standing(trace))
}

fn settled(trace: &Trace) -> Entry {
    Entry::Settled {
        trace: trace.id,
        arm: trace.model.as_ref().map(|id| {
            let credited = trace.decision.as_ref().map(|decision| decision.credited(&id.model));
            credited.map_or_else(|| id.model.clone(), Name::from)
        }),
        usage: trace.usage,
        cost_usd: trace.cost_usd,
        outcome: trace.outcome,
    }
}

fn scored(feedback: Feedback) -> Scored {
    let Feedback { trace, metric, source, value, comment, at_ms, .. } = feedback;
    Scored { trace, at_ms, metric, source, value: value.get(), weight: 1.0, comment }
}
