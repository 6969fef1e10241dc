//! One request's way through its targets: who is asked next, how often, and when it is given up.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::super::{Attempt, Cause, UpstreamError};
use super::breaker::Scope;
use super::timing::{Due, Passed, Timing};
use super::{Dispatched, Exhausted, Limits, Reply, Upstreams, Work, backoff, local};
use crate::catalog::Model;

/// Up to the first byte of an answer a failure is made good elsewhere.
pub struct Course<'a> {
    upstreams: &'a Upstreams,
    work: Work<'a>,
    targets: &'a [&'a Model],
    limits: &'a Limits,
    total: Due,
    attempts: Vec<Attempt>,
    /// Calls that the last attempt made, at least 1.
    calls: usize,
    /// The attempt under way was paid for: see [`Budget`](super::budget::Budget).
    paid: bool,
    /// Targets to ask, in this order.
    queue: VecDeque<usize>,
    /// Targets that failed and may answer later, and from when on they may be asked again.
    later: Vec<(usize, Instant)>,
    /// Targets that were to be asked and, as was known, would not have answered then.
    passed_over: Vec<usize>,
    /// Calls under way, and since when: a second one where it is hedged.
    asking: [Option<(usize, Instant)>; 2],
    /// Two were asked at once, which is done once.
    hedged: bool,
    /// Is told the attempts where it is given up before its end.
    abandoned: &'a OnceLock<Vec<Attempt>>,
}

/// What a call gave, and whose it was.
type Called = (usize, Result<Reply, UpstreamError>);

impl<'a> Course<'a> {
    pub fn new(
        upstreams: &'a Upstreams,
        targets: &'a [&'a Model],
        work: Work<'a>,
        (limits, since): (&'a Limits, Instant),
        abandoned: &'a OnceLock<Vec<Attempt>>,
    ) -> Self {
        let total = Due::total(limits.deadlines.total, since);
        let queue = (0..limits.planned.min(targets.len())).collect();
        Self {
            upstreams,
            work,
            targets,
            limits,
            total,
            attempts: Vec::with_capacity(1),
            calls: 1,
            paid: false,
            queue,
            later: vec![],
            passed_over: vec![],
            asking: [None; 2],
            hedged: false,
            abandoned,
        }
    }

    pub async fn run(&mut self) -> Result<Dispatched, Exhausted> {
        if Instant::now() >= self.total.at {
            return Err(Exhausted { attempts: vec![], error: late(self.total.passed) });
        }
        self.upstreams.budget.deposit(1);
        let mut last = None;
        while let Some(target) = self.queue.pop_front() {
            let barred = self.barred(target);
            // Why a call failed says more than why another was not made.
            let tells = barred.is_none() || last.is_none();
            let (target, error) = match self.ask_unless(barred, target).await {
                Ok(dispatched) => return Ok(dispatched),
                Err(failed) => failed,
            };
            let goes_on = self.go_on(target, &error).await;
            last = if tells { Some(error) } else { last };
            if !goes_on {
                break;
            }
        }
        Err(Exhausted { attempts: std::mem::take(&mut self.attempts), error: last.unwrap_or_else(nobody) })
    }

    /// Calls `target`, unless it is `barred`; who failed, if nobody answered, and why.
    async fn ask_unless(
        &mut self,
        barred: Option<UpstreamError>,
        target: usize,
    ) -> Result<Dispatched, (usize, UpstreamError)> {
        if let Some(error) = barred {
            self.pass_over(target, &error);
            return Err((target, error));
        }
        let (target, reply) = self.call(target).await;
        self.count_calls();
        let reply = reply.map_err(|error| (target, error))?;
        Ok(Dispatched { target, attempts: std::mem::take(&mut self.attempts), reply })
    }

    /// Why `target` is not to be asked now.
    fn barred(&self, target: usize) -> Option<UpstreamError> {
        let look = || self.upstreams.known(&self.targets[target].id, |target| target.vitals.barred(Instant::now()));
        if self.limits.insists { None } else { look().flatten() }
    }

    /// It may be waited for, once: others who wait for the same may find it limited again.
    fn pass_over(&mut self, target: usize, error: &UpstreamError) {
        if self.passed_over.contains(&target) {
            self.later.retain(|(other, _)| *other != target);
        } else {
            self.passed_over.push(target);
            self.put_off(target, error);
        }
    }

    async fn call(&mut self, target: usize) -> Called {
        if let Some(after) = self.limits.hedge.filter(|_| !self.hedged && !self.queue.is_empty()) {
            // Boxed: two calls at once take twice the room, which no other request should have to make.
            return Box::pin(self.hedged(target, after)).await;
        }
        let began = Instant::now();
        self.asking[0] = Some((target, began));
        let reply = self.ask(target).await;
        self.called(target, began, reply)
    }

    /// Asks `target`; where it has not begun to answer `after` that time, the next one as well, and takes whichever
    /// answers first. The other call is cancelled.
    async fn hedged(&mut self, target: usize, after: Duration) -> Called {
        let began = Instant::now();
        self.asking[0] = Some((target, began));
        let first = self.ask(target);
        tokio::pin!(first);
        if let Ok(reply) = timeout(after, &mut first).await {
            return self.called(target, began, reply);
        }
        if !self.may_hedge() {
            let reply = first.await;
            return self.called(target, began, reply);
        }
        self.hedged = true;
        let (rival, rival_began) = (self.queue[0], Instant::now());
        self.asking[1] = Some((rival, rival_began));
        let second = self.ask(rival);
        tokio::pin!(second);
        let (done, reply) = tokio::select! { reply = &mut first => (0, reply), reply = &mut second => (1, reply) };
        let (winner, reply) = match reply {
            Err(error) => {
                self.lost(done, &error);
                (1 - done, if done == 0 { second.await } else { first.await })
            }
            reply => {
                self.lost(1 - done, &superseded());
                (done, reply)
            }
        };
        self.queue.pop_front();
        let (winner, began) = [(target, began), (rival, rival_began)][winner];
        self.called(winner, began, reply)
    }

    /// One of two calls is over, and the other one answers or is still under way.
    fn lost(&mut self, call: usize, error: &UpstreamError) {
        if let Some((target, began)) = self.asking[call].take() {
            self.attempts.push(attempt(target, Some(error), began));
            self.put_off(target, error);
        }
    }

    fn ask(&self, target: usize) -> impl Future<Output = Result<Reply, UpstreamError>> + use<'a> {
        let (upstreams, work, model) = (self.upstreams, self.work, self.targets[target]);
        let (deadlines, total) = (self.limits.deadlines, self.total);
        let is_first = self.attempts.is_empty() && self.asking[1].is_none();
        let may_be_empty = !self.has_rescue(target);
        async move {
            let target = upstreams.target(model)?;
            let deadlines = target.endpoint.deadlines.over(deadlines);
            let timing = || {
                let timing = Timing::new(&deadlines, total, Instant::now());
                if is_first { timing } else { timing.after_others() }
            };
            match work {
                Work::Chat(request) => {
                    let reply = target.call(request, timing()).await?;
                    let is_there = may_be_empty || !reply.is_filtered(request);
                    if is_there { Ok(reply) } else { Err(target.endpoint.reporter.filtered()) }
                }
                Work::Embeddings(request, made) => target.embed(request, made, &timing).await,
            }
        }
    }

    /// Whether somebody else may be asked where a filter leaves nothing of `target`'s answer.
    fn has_rescue(&self, target: usize) -> bool {
        let is_left = |other: &usize| *other != target && !self.is_behind(*other);
        let rescue = self.limits.fallbacks.content_filter.as_ref();
        rescue.is_some_and(|list| list.iter().any(is_left)) && self.attempts.len() + 1 < self.limits.attempts
    }

    fn called(&mut self, target: usize, began: Instant, reply: Result<Reply, UpstreamError>) -> Called {
        self.asking = [None; 2];
        self.attempts.push(attempt(target, reply.as_ref().err(), began));
        reply.as_ref().err().into_iter().for_each(|error| self.put_off(target, error));
        (target, reply)
    }

    /// An attempt at embeddings may be many calls, and each of them counts.
    fn count_calls(&mut self) {
        let Work::Embeddings(_, made) = self.work else { return };
        let made = made.swap(0, Ordering::Relaxed).max(1);
        match self.attempts.len() {
            0 | 1 => self.upstreams.budget.deposit(made - 1),
            _ if self.paid => self.upstreams.budget.settle(self.calls, made),
            _ => {}
        }
        self.calls = made;
    }

    /// Decides who is next after `target` failed. False: nobody, or not in time. Its other keys come first, but leave the
    /// last attempt to others: what ails one key may ail all of them.
    async fn go_on(&mut self, target: usize, error: &UpstreamError) -> bool {
        self.reorder(target, error);
        if self.key_has_room(target, error) && (self.queue.is_empty() || self.attempts.len() + 1 < self.limits.attempts)
        {
            self.queue.push_front(target);
        }
        if let Some(&next) = self.queue.front() {
            return self.may_ask(next);
        }
        match self.soonest() {
            Some((target, at)) if at < self.total.at && self.may_ask(target) => {
                sleep_until(at).await;
                self.queue.push_back(target);
                true
            }
            _ => false,
        }
    }

    /// A cause may have a list of its own, which then takes the place of the rest. Who is not to be asked is not waited
    /// for either.
    fn reorder(&mut self, target: usize, error: &UpstreamError) {
        match self.limits.fallbacks.of(error.cause) {
            Some(list) => self.queue = list.iter().copied().filter(|candidate| !self.is_behind(*candidate)).collect(),
            None if !error.cause.another_may_answer() => {
                self.queue.clear();
                self.later.clear();
            }
            None if error.cause == Cause::ContextLength => {
                let (targets, window) = (self.targets, self.targets[target].context_window);
                self.queue.retain(|candidate| targets[*candidate].context_window > window);
                self.later.retain(|(candidate, _)| targets[*candidate].context_window > window);
            }
            None => {}
        }
    }

    /// Notes from when on `target`, whose call failed just now, may be asked again, if ever.
    fn put_off(&mut self, target: usize, error: &UpstreamError) {
        self.later.retain(|(other, _)| *other != target);
        self.later.extend(self.pause(target, error).map(|pause| (target, Instant::now() + pause)));
    }

    /// Until a key has room where one was refused, else as the failure says.
    fn pause(&self, target: usize, error: &UpstreamError) -> Option<Duration> {
        if self.key_has_room(target, error) {
            return Some(Duration::ZERO);
        }
        if self.barred(target).is_some_and(|barred| barred.cause == Cause::LeftAlone) {
            return None;
        }
        if Scope::Key.blames(error) {
            return self.room_in(target).filter(|wait| *wait <= backoff::PATIENCE);
        }
        let failures = self.attempts.iter().filter(|attempt| attempt.target == target).count();
        backoff::pause(error, failures, (self.upstreams.jitter)())
    }

    /// A rate limit or a refusal is one key's: with another key the same model may answer at once.
    fn key_has_room(&self, target: usize, error: &UpstreamError) -> bool {
        let is_of_key = error.cause == Cause::RateLimited || Scope::Key.blames(error);
        is_of_key && self.room_in(target) == Some(Duration::ZERO)
    }

    fn room_in(&self, target: usize) -> Option<Duration> {
        self.upstreams.known(&self.targets[target].id, |target| target.vitals.room_in(Instant::now())).flatten()
    }

    /// The target that may be asked again first.
    fn soonest(&self) -> Option<(usize, Instant)> {
        self.later.iter().copied().min_by_key(|(_, at)| *at)
    }

    /// Within the request's own attempts and time. To ask again who failed, or instead somebody who is not well, also has
    /// to be within what all requests together may add to an outage.
    fn may_ask(&mut self, next: usize) -> bool {
        let is_well = || self.upstreams.healthy(&self.targets[next].id, Instant::now());
        let is_ill = || !self.attempts.is_empty() && self.barred(next).is_none() && !is_well();
        self.paid = self.has_failed(next) || is_ill();
        self.has_room() && (!self.paid || self.upstreams.budget.withdraw(self.calls))
    }

    /// Whether the next target may be asked beside the one under way: always an addition.
    fn may_hedge(&self) -> bool {
        let next = self.queue.front().filter(|next| self.barred(**next).is_none());
        next.is_some() && self.has_room() && self.upstreams.budget.withdraw(self.calls)
    }

    fn has_room(&self) -> bool {
        let under_way = self.asking.iter().flatten().count();
        self.attempts.len() + under_way < self.limits.attempts && Instant::now() < self.total.at
    }

    /// Whether it had its turn.
    fn is_behind(&self, target: usize) -> bool {
        self.has_failed(target) || self.passed_over.contains(&target)
    }

    /// Whether a call of this request to `target` has failed.
    fn has_failed(&self, target: usize) -> bool {
        self.attempts.iter().any(|attempt| attempt.target == target)
    }
}

/// Attempts left here mean the caller dropped the future: hand them over, so that they are recorded.
impl Drop for Course<'_> {
    fn drop(&mut self) {
        let under_way = self.asking.into_iter().flatten();
        self.attempts.extend(under_way.map(|(target, began)| attempt(target, Some(&abandoned()), began)));
        if !self.attempts.is_empty() {
            let _told_before = self.abandoned.set(std::mem::take(&mut self.attempts));
        }
    }
}

fn attempt(target: usize, error: Option<&UpstreamError>, began: Instant) -> Attempt {
    let status = match error {
        None => Some(http::StatusCode::OK),
        Some(error) => error.status,
    };
    Attempt { target, status, error: error.cloned(), duration: began.elapsed() }
}

/// There was no time left to ask anybody: no upstream is at fault.
fn late(passed: Passed) -> UpstreamError {
    UpstreamError::new(Cause::Late, passed.to_string())
}

fn nobody() -> UpstreamError {
    local("there is no model to ask".into())
}

/// A hedged call that lost: it was cancelled, and its provider may bill what it had done.
fn superseded() -> UpstreamError {
    UpstreamError::new(Cause::Superseded, "another model answered first")
}

/// Whether its provider would have answered, and bills it, is not known.
fn abandoned() -> UpstreamError {
    UpstreamError::new(Cause::Abandoned, "the client left before the answer began")
}
