//! One streamed call, heard by all who ask the same while it lasts.
//!
//! No task of its own carries it: whoever is polled and has heard all that came asks the upstream for more, and wakes
//! the others. So the call goes on while anybody listens, at the pace of the quickest, and is cancelled when the last
//! one leaves.
//!
//! What came is kept for those who are behind or come late, up to [`MAX_KEPT_ANSWER`]. Beyond that nobody new is let
//! in, the one whose call it is sets the pace, and another who falls behind by more than that is cut.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};

use super::super::recording::Recording;
use super::super::telling::{Chunk, Heard, Telling};
use super::tape::Tape;
use super::{Cache, Landing, MAX_KEPT_ANSWER, Ticket};
use crate::catalog::ModelId;
use crate::trace::kept::Form;
use crate::trace::{Outcome, ReplyText};
use crate::upstream::{Cause, UpstreamError};

/// A streamed call. It lives as long as one of its [`Listener`]s.
pub(in crate::gateway) struct Shared {
    state: Mutex<State>,
    waiting: Arc<Waiting>,
    /// The waker that the upstream is given: it wakes all who wait.
    waker: Waker,
    cache: Arc<Cache>,
    /// Who answers.
    pub(in crate::gateway) model: Option<ModelId>,
}

struct State {
    call: Telling,
    tape: Tape,
    /// Taken where the answer is kept, or will not be.
    ticket: Option<Ticket>,
    /// Told by [`Shared::with`].
    landing: Option<Landing>,
    /// Chunks that the one whose call it is has been given; `None`: it left, or has heard the end.
    first: Option<usize>,
    end: Option<End>,
    /// Listeners so far.
    listeners: usize,
}

/// How the call ended.
struct End {
    outcome: Result<(), UpstreamError>,
    said: ReplyText,
    cost_usd: f64,
}

/// One who hears a call. Dropped before the end: its client left.
pub(in crate::gateway) struct Listener {
    shared: Arc<Shared>,
    number: usize,
    /// Chunks that it was given.
    given: usize,
    /// Its own record; `None`: its record is the call's.
    recording: Option<Recording>,
}

impl Shared {
    /// Begins with the one whose call it is, and lets in those who wait for it.
    pub(in crate::gateway) fn begin(call: Telling, ticket: Ticket) -> Listener {
        let waiting = Arc::new(Waiting::default());
        let (waker, cache) = (waiting.clone().into(), ticket.cache.clone());
        let model = call.recording.so_far().and_then(|(trace, _)| trace.model.clone());
        let tape = Tape::default();
        let state = State { call, tape, ticket: None, landing: None, first: Some(0), end: None, listeners: 0 };
        let shared = Arc::new(Self { state: Mutex::new(state), waiting, waker, cache, model });
        ticket.share(&shared);
        shared.with(|state| state.ticket = Some(ticket));
        shared.listen(None)
    }

    /// Whether one who comes now hears all of it. Where it was cut it is better to ask anew.
    pub(super) fn is_whole(&self) -> bool {
        let is_cut = |state: &State| state.end.as_ref().is_some_and(|end| end.outcome.is_err());
        self.with(|state| !is_cut(state) && !state.tape.has_lost(0))
    }

    /// One more who hears it from its beginning, and has a record of its own.
    pub(in crate::gateway) fn follow(self: &Arc<Self>, recording: Recording) -> Listener {
        self.listen(Some(recording))
    }

    fn listen(self: &Arc<Self>, recording: Option<Recording>) -> Listener {
        let number = self.with(|state| {
            state.listeners += 1;
            state.listeners
        });
        Listener { shared: self.clone(), number, given: 0, recording }
    }

    /// The one way to the state. Those who wait for the call are told what became of it once the state is free again:
    /// they look at it as well.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let done = act(&mut state);
        let landing = state.landing.take();
        drop(state);
        landing.into_iter().for_each(Landing::tell);
        done
    }
}

impl State {
    /// What comes after `given` chunks, if it is here.
    fn heard(&self, given: usize) -> Option<Heard> {
        if self.tape.has_lost(given) {
            return Some(Heard::Cut(fell_behind()));
        }
        let end = || match &self.end.as_ref()?.outcome {
            Ok(()) => Some(Heard::Done),
            Err(error) => Some(Heard::Cut(error.clone())),
        };
        self.tape.get(given).map(Heard::Chunk).or_else(end)
    }

    /// Asks the upstream for more. Pending also where the one whose call it is has to hear some of it before.
    fn advance(&mut self, is_first: bool, cx: &mut Context<'_>) -> Poll<()> {
        if !is_first && self.first.is_some() && self.tape.is_over_full() {
            return Poll::Pending;
        }
        match ready!(self.call.poll(cx)) {
            Heard::Chunk(chunk) => self.take(&chunk),
            Heard::Done => self.close(Ok(())),
            Heard::Cut(error) => self.close(Err(error)),
        }
        Poll::Ready(())
    }

    fn take(&mut self, chunk: &Chunk) {
        self.tape.push(chunk);
        if self.tape.is_over_full() {
            self.landing = self.landing.take().or_else(|| self.ticket.take()?.part());
            self.tape.shorten(self.first.unwrap_or(usize::MAX));
        }
    }

    fn close(&mut self, outcome: Result<(), UpstreamError>) {
        let ticket = self.ticket.take().filter(|_| outcome.is_ok());
        if let (Some(ticket), Some((trace, now_ms))) = (ticket, self.call.recording.so_far()) {
            self.landing = ticket.keep(Form::Streamed(self.tape.pieces()), trace, now_ms);
        }
        let cost_usd = self.call.recording.so_far().and_then(|(trace, _)| trace.cost_usd).unwrap_or(0.0);
        self.end = Some(End { outcome, said: self.said(), cost_usd });
        if self.first.is_none() {
            self.call.recording.finish(Outcome::ClientGone);
        }
    }

    /// Ends the call where it is, for all.
    fn stop(&mut self, error: &UpstreamError) {
        if self.end.is_none() {
            self.call.stop(error);
            self.close(Err(error.clone()));
        }
    }

    /// What the call has said by now.
    fn said(&self) -> ReplyText {
        match &self.end {
            Some(end) => end.said.clone(),
            None => self.call.recording.so_far().map(|(trace, _)| trace.reply.clone()).unwrap_or_default(),
        }
    }

    /// The one whose call it is has heard all that it will. Its record ends with the call.
    fn leave(&mut self, outcome: Outcome) {
        if self.first.take().is_some() && self.end.is_some() {
            self.call.recording.finish(outcome);
        }
    }
}

impl Listener {
    /// What comes next.
    pub(in crate::gateway) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        let shared = self.shared.clone();
        shared.with(|state| self.next(state, cx))
    }

    fn next(&mut self, state: &mut State, cx: &Context<'_>) -> Poll<Heard> {
        let Shared { waiting, waker, .. } = &*self.shared;
        let heard = loop {
            if let Some(heard) = state.heard(self.given) {
                break heard;
            }
            // Before the upstream is asked: it may call at any moment from then on.
            waiting.add(self.number, cx.waker());
            ready!(state.advance(self.recording.is_none(), &mut Context::from_waker(waker)));
            waiting.remove(self.number);
            waiting.wake_all();
        };
        self.record(&heard, state);
        Poll::Ready(heard)
    }

    /// Ends the call where it is, because the gateway ends, and records that it was cut.
    pub(in crate::gateway) fn end_early(&mut self, error: &UpstreamError) {
        let shared = self.shared.clone();
        shared.with(|state| {
            state.stop(error);
            self.end(Outcome::Cut, state);
        });
        shared.waiting.wake_all();
    }

    fn record(&mut self, heard: &Heard, state: &mut State) {
        match heard {
            Heard::Chunk(_) => self.give(state),
            Heard::Done => self.end(Outcome::Answered, state),
            Heard::Cut(_) => self.end(Outcome::Cut, state),
        }
    }

    fn give(&mut self, state: &mut State) {
        self.given += 1;
        match &mut self.recording {
            Some(recording) => recording.first_byte(),
            None => state.first = Some(self.given),
        }
        if state.tape.is_over_full() {
            // Others may wait for that.
            state.tape.shorten(state.first.unwrap_or(usize::MAX));
            self.shared.waiting.wake_all();
        }
    }

    fn end(&mut self, outcome: Outcome, state: &mut State) {
        let Some(recording) = &mut self.recording else { return state.leave(outcome) };
        recording.said(state.said());
        recording.finish(outcome);
        if let (Outcome::Answered, Some(end)) = (outcome, &state.end) {
            self.shared.cache.metrics().saved_usd.inc_by(end.cost_usd);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let recording = &mut self.recording;
        self.shared.with(|state| match recording {
            Some(recording) => recording.said(state.said()),
            None => state.leave(Outcome::ClientGone),
        });
        self.shared.waiting.remove(self.number);
        self.shared.waiting.wake_all();
    }
}

/// Listeners that have heard all that came.
#[derive(Default)]
struct Waiting(Mutex<HashMap<usize, Waker>>);

impl Waiting {
    fn add(&self, number: usize, waker: &Waker) {
        self.wakers().insert(number, waker.clone());
    }

    fn remove(&self, number: usize) {
        self.wakers().remove(&number);
    }

    /// Each that still waits after it says so anew.
    fn wake_all(&self) {
        let wakers = mem::take(&mut *self.wakers());
        wakers.into_values().for_each(Waker::wake);
    }

    fn wakers(&self) -> MutexGuard<'_, HashMap<usize, Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
}

fn fell_behind() -> UpstreamError {
    let message = format!(
        "it is shared with another request and longer than the {MAX_KEPT_ANSWER} bytes that wait for a client that reads \
         slowly; read faster, or send x-satisfice-cache: no-store"
    );
    UpstreamError::new(Cause::Timeout, message)
}
