//! A small circuit breaker: which models fail so steadily that new requests should not go there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::super::Cause;

/// Failures in a row that open the breaker.
const FAILURES: u32 = 5;
/// How long it stays open before one request may probe.
const PAUSE: Duration = Duration::from_secs(10);

/// One model's health. Closed until [`FAILURES`] calls in a row failed; then open for [`PAUSE`]; then ready for one
/// probe, whose outcome closes it or opens it again.
///
/// It advises and does not forbid: a call that is made all the same counts like any other.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    opened: Option<Instant>,
    probing: bool,
}

impl Breaker {
    /// Whether a new request should go here.
    pub fn healthy(&self, now: Instant) -> bool {
        let state = self.state();
        state.opened.is_none() || state.ready_to_probe(now)
    }

    /// A call begins.
    pub fn begin(self: &Arc<Self>, now: Instant) -> Call {
        let mut state = self.state();
        let probe = state.ready_to_probe(now);
        state.probing |= probe;
        Call { breaker: Arc::clone(self), probe, open: true }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn ready_to_probe(&self, now: Instant) -> bool {
        !self.probing && self.opened.is_some_and(|opened| now >= opened + PAUSE)
    }

    fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES {
            self.opened = Some(now);
        }
    }
}

/// A call under way. Dropped without an outcome (its client left) it counts neither way.
#[derive(Debug)]
pub struct Call {
    breaker: Arc<Breaker>,
    probe: bool,
    open: bool,
}

impl Call {
    /// The model answered to the end.
    pub fn succeeded(&mut self) {
        self.settle(|state| {
            state.failures = 0;
            state.opened = None;
        });
    }

    /// It did not. The caller's faults and rate limits say nothing against a model's health: it is up and talking.
    pub fn failed(&mut self, cause: Cause, now: Instant) {
        self.settle(|state| {
            if !matches!(cause, Cause::Caller | Cause::Unsupported | Cause::RateLimited) {
                state.failed(now);
            }
        });
    }

    fn settle(&mut self, change: impl FnOnce(&mut State)) {
        if std::mem::take(&mut self.open) {
            let mut state = self.breaker.state();
            state.probing &= !self.probe;
            change(&mut state);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.settle(|_| ());
    }
}
