//! Circuit breakers: which providers, keys and models fail so steadily that new requests should not go there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::super::{Cause, UpstreamError};

/// Failures in a row that open a breaker.
const FAILURES: u32 = 5;
/// It also opens where half of the calls of a window failed, once there are so many.
const WINDOW_CALLS: u32 = 20;
const WINDOW: Duration = Duration::from_secs(30);
/// How long it stays open before one request may probe.
pub const PAUSE: Duration = Duration::from_secs(10);

/// What a breaker stands before, and so which failures it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// No connection to it can be made.
    Provider,
    /// It is not, or no longer, accepted.
    Key,
    /// It answers with errors, not in time, with nonsense, or drops the connection.
    Model,
}

impl Scope {
    /// The caller's faults and rate limits say nothing against anybody's health: the provider is up and talking.
    pub fn blames(self, error: &UpstreamError) -> bool {
        let key_refused = matches!(
            error.status,
            Some(StatusCode::UNAUTHORIZED | StatusCode::PAYMENT_REQUIRED | StatusCode::FORBIDDEN)
        );
        match error.cause {
            Cause::Connect => self == Self::Provider,
            Cause::Credentials if key_refused => self == Self::Key,
            Cause::Credentials
            | Cause::Configuration
            | Cause::Server
            | Cause::Timeout
            | Cause::Malformed
            | Cause::TooLong => self == Self::Model,
            _ => false,
        }
    }
}

/// How a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Closed,
    /// New requests should not go here.
    Open,
    /// The pause is over: one request may try.
    HalfOpen,
}

impl Condition {
    /// As views and metrics print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Closed until [`FAILURES`] calls in a row failed, or half of at least [`WINDOW_CALLS`] within [`WINDOW`]; then open
/// for [`PAUSE`]; then ready for one probe, whose outcome closes it or opens it again.
///
/// It advises and does not forbid: a call that is made all the same counts like any other.
#[derive(Debug)]
pub struct Breaker {
    scope: Scope,
    /// What it stands before, as the log calls it.
    name: String,
    /// False where the state is closed, which it nearly always is: so much is asked without the lock.
    tripped: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In a row.
    failures: u32,
    window: Window,
    opened: Option<Instant>,
    probing: bool,
}

/// Calls since a moment that moves on when it is [`WINDOW`] ago.
#[derive(Debug, Default)]
struct Window {
    since: Option<Instant>,
    calls: u32,
    failed: u32,
}

impl Breaker {
    pub fn new(scope: Scope, name: String) -> Self {
        Self { scope, name, tripped: AtomicBool::new(false), state: Mutex::default() }
    }

    pub fn condition(&self, now: Instant) -> Condition {
        self.state().condition(now)
    }

    /// Whether a new request should go here.
    pub fn healthy(&self, now: Instant) -> bool {
        if !self.is_tripped() {
            return true;
        }
        let state = self.state();
        match state.condition(now) {
            Condition::Closed => true,
            Condition::Open => false,
            Condition::HalfOpen => !state.probing,
        }
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.state().failures
    }

    /// A call begins. True: it is the probe.
    pub fn begin(&self, now: Instant) -> bool {
        if !self.is_tripped() {
            return false;
        }
        let mut state = self.state();
        let probe = state.condition(now) == Condition::HalfOpen && !state.probing;
        state.probing |= probe;
        probe
    }

    /// A call that `begin` said of whether it is the probe has ended: `None` where nobody knows how, because its client
    /// left.
    pub fn end(&self, probe: bool, outcome: Option<Result<(), &UpstreamError>>, now: Instant) {
        let mut state = self.state();
        state.probing &= !probe;
        match outcome {
            Some(Ok(())) => state.succeeded(now),
            Some(Err(error)) if self.scope.blames(error) => state.failed(now),
            _ => {}
        }
        let (was_open, is_open) = (self.tripped.load(Ordering::Relaxed), state.opened.is_some());
        self.tripped.store(is_open, Ordering::Release);
        drop(state);
        match outcome {
            Some(Err(error)) if is_open && !was_open => {
                tracing::warn!("{} is left alone, but for one try each {} s: {error}", self.name, PAUSE.as_secs());
            }
            _ if was_open && !is_open => tracing::info!("{} answers again", self.name),
            _ => {}
        }
    }

    fn is_tripped(&self) -> bool {
        self.tripped.load(Ordering::Acquire)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn condition(&self, now: Instant) -> Condition {
        match self.opened {
            None => Condition::Closed,
            Some(opened) if now < opened + PAUSE => Condition::Open,
            Some(_) => Condition::HalfOpen,
        }
    }

    fn succeeded(&mut self, now: Instant) {
        self.failures = 0;
        if self.opened.take().is_some() {
            self.window = Window::default();
        }
        self.window.count(false, now);
    }

    fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.window.count(true, now);
        if self.failures >= FAILURES || self.window.is_bad() || self.opened.is_some() {
            self.opened = Some(now);
        }
    }
}

impl Window {
    fn count(&mut self, failed: bool, now: Instant) {
        if self.since.is_none_or(|since| now >= since + WINDOW) {
            *self = Self { since: Some(now), calls: 0, failed: 0 };
        }
        self.calls += 1;
        self.failed += u32::from(failed);
    }

    fn is_bad(&self) -> bool {
        self.calls >= WINDOW_CALLS && 2 * self.failed >= self.calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(cause: Cause, status: Option<u16>) -> UpstreamError {
        let status = status.map(|status| StatusCode::from_u16(status).unwrap());
        UpstreamError { status, ..UpstreamError::new(cause, "") }
    }

    fn fail(breaker: &Breaker, now: Instant) {
        let probe = breaker.begin(now);
        breaker.end(probe, Some(Err(&error(Cause::Server, Some(500)))), now);
    }

    fn succeed(breaker: &Breaker, now: Instant) {
        let probe = breaker.begin(now);
        breaker.end(probe, Some(Ok(())), now);
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_probe_decides() {
        let (breaker, start) = (Breaker::new(Scope::Model, "test/model".into()), Instant::now());
        (1..FAILURES).for_each(|_| fail(&breaker, start));
        assert!(breaker.healthy(start));
        fail(&breaker, start);
        assert_eq!(breaker.condition(start), Condition::Open);
        let later = start + PAUSE;
        assert_eq!(breaker.condition(later), Condition::HalfOpen);
        assert!(breaker.begin(later), "the first is the probe");
        assert!(!breaker.healthy(later) && !breaker.begin(later), "there is one at a time");
        breaker.end(true, Some(Err(&error(Cause::Timeout, None))), later);
        assert_eq!(breaker.condition(later), Condition::Open);
        let probe = breaker.begin(later + PAUSE);
        breaker.end(probe, Some(Ok(())), later + PAUSE);
        assert_eq!(breaker.condition(later + PAUSE), Condition::Closed);
    }

    #[test]
    fn a_probe_whose_client_left_makes_room_for_another() {
        let (breaker, start) = (Breaker::new(Scope::Model, "test/model".into()), Instant::now());
        (0..FAILURES).for_each(|_| fail(&breaker, start));
        let probe = breaker.begin(start + PAUSE);
        breaker.end(probe, None, start + PAUSE);
        assert!(breaker.healthy(start + PAUSE));
    }

    #[test]
    fn half_of_a_windows_calls_open_it_though_none_follow_each_other() {
        let (breaker, start) = (Breaker::new(Scope::Model, "test/model".into()), Instant::now());
        for _ in 0..WINDOW_CALLS / 2 {
            succeed(&breaker, start);
            fail(&breaker, start);
        }
        assert_eq!(breaker.condition(start), Condition::Open);
        let slow = Breaker::new(Scope::Model, "test/model".into());
        for i in 0..WINDOW_CALLS {
            succeed(&slow, start + WINDOW * i);
            fail(&slow, start + WINDOW * i);
        }
        assert!(slow.healthy(start + WINDOW * WINDOW_CALLS));
    }

    #[test]
    fn each_scope_counts_its_own_failures() {
        let blamed = |cause, status| {
            let error = error(cause, status);
            [Scope::Provider, Scope::Key, Scope::Model].map(|scope| scope.blames(&error))
        };
        assert_eq!(blamed(Cause::Connect, None), [true, false, false]);
        assert_eq!(blamed(Cause::Credentials, Some(401)), [false, true, false]);
        assert_eq!(blamed(Cause::Configuration, Some(404)), [false, false, true]);
        assert_eq!(blamed(Cause::Server, Some(500)), [false, false, true]);
        assert_eq!(blamed(Cause::RateLimited, Some(429)), [false, false, false]);
        assert_eq!(blamed(Cause::Caller, Some(400)), [false, false, false]);
        assert_eq!(blamed(Cause::Descriptors, None), [false, false, false]);
    }
}
