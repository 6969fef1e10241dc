//! Circuit breakers: which providers, keys and models fail so steadily that new requests should not go there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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
        match error.cause {
            Cause::Connect => self == Self::Provider,
            // Without a status there was no key to refuse: no access token was to be had.
            Cause::Credentials if error.status.is_some() => self == Self::Key,
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

/// How a call ended, as far as anybody knows.
#[derive(Debug, Clone, Copy)]
pub enum End<'e> {
    Answered,
    /// Before its answer began.
    Failed(&'e UpstreamError),
    /// Amid its answer.
    Cut(&'e UpstreamError),
    /// Its client left.
    Unknown,
}

/// Closed until [`FAILURES`] calls in a row failed, or half of at least [`WINDOW_CALLS`] within [`WINDOW`]; then open
/// for [`PAUSE`]; then ready for one probe, whose outcome closes it or opens it again. A probe that takes longer than
/// [`PAUSE`] leaves room for another: one that hangs says nothing of whether the next would.
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
    /// Since when a probe is under way.
    probing: Option<Instant>,
    /// The last failure was amid an answer: that another begins does not show that it is well.
    cuts: bool,
    /// The last failure while it was open.
    problem: String,
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
        !self.is_tripped() || self.state().rest(now).is_none()
    }

    /// Why a request should not go here, and from when on one may.
    pub fn left_alone(&self, now: Instant) -> Option<UpstreamError> {
        if !self.is_tripped() {
            return None;
        }
        let state = self.state();
        let rest = state.rest(now)?;
        let problem =
            format!("{} is left alone for now, because of its failures; the last: {}", self.name, state.problem);
        Some(UpstreamError { retry_after: Some(rest), ..UpstreamError::new(Cause::LeftAlone, problem) })
    }

    /// What it stands before, as the log calls it.
    pub fn name(&self) -> &str {
        &self.name
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
        let probe = state.condition(now) == Condition::HalfOpen && state.rest(now).is_none();
        if probe {
            state.probing = Some(now);
        }
        probe
    }

    /// The answer to a call has begun, which ends a `probe` of what had not answered at all.
    pub fn begun(&self, probe: &mut bool, now: Instant) {
        if *probe && !self.state().cuts {
            *probe = false;
            self.end(true, End::Answered, now);
        }
    }

    /// A call that `begin` said of whether it is the probe has ended.
    pub fn end(&self, probe: bool, end: End<'_>, now: Instant) {
        let mut state = self.state();
        if probe {
            state.probing = None;
        }
        match end {
            End::Answered => state.succeeded(now),
            End::Failed(error) | End::Cut(error) if self.scope.blames(error) => {
                state.failed(error, matches!(end, End::Cut(_)), now);
            }
            _ => {}
        }
        let (was_open, is_open) = (self.tripped.load(Ordering::Relaxed), state.opened.is_some());
        self.tripped.store(is_open, Ordering::Release);
        drop(state);
        match end {
            End::Failed(error) | End::Cut(error) if is_open && !was_open => {
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

    /// How long until a request may go there; `None`: one may now.
    fn rest(&self, now: Instant) -> Option<Duration> {
        let since = Some(self.opened?).max(self.probing)?;
        (since + PAUSE).checked_duration_since(now).filter(|rest| !rest.is_zero())
    }

    fn succeeded(&mut self, now: Instant) {
        (self.failures, self.cuts) = (0, false);
        if self.opened.take().is_some() {
            self.window = Window::default();
        }
        self.window.count(false, now);
    }

    fn failed(&mut self, error: &UpstreamError, cut: bool, now: Instant) {
        (self.failures, self.cuts) = (self.failures.saturating_add(1), cut);
        self.window.count(true, now);
        if self.failures >= FAILURES || self.window.is_bad() || self.opened.is_some() {
            self.opened = Some(now);
            self.problem.clone_from(&error.message);
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
    use http::StatusCode;

    use super::*;

    fn error(cause: Cause, status: Option<u16>) -> UpstreamError {
        let status = status.map(|status| StatusCode::from_u16(status).unwrap());
        UpstreamError { status, ..UpstreamError::new(cause, "") }
    }

    fn fail(breaker: &Breaker, now: Instant) {
        let probe = breaker.begin(now);
        breaker.end(probe, End::Failed(&error(Cause::Server, Some(500))), now);
    }

    fn succeed(breaker: &Breaker, now: Instant) {
        let probe = breaker.begin(now);
        breaker.end(probe, End::Answered, now);
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
        breaker.end(true, End::Failed(&error(Cause::Timeout, None)), later);
        assert_eq!(breaker.condition(later), Condition::Open);
        let probe = breaker.begin(later + PAUSE);
        breaker.end(probe, End::Answered, later + PAUSE);
        assert_eq!(breaker.condition(later + PAUSE), Condition::Closed);
    }

    #[test]
    fn a_probe_whose_client_left_makes_room_for_another() {
        let (breaker, start) = (Breaker::new(Scope::Model, "test/model".into()), Instant::now());
        (0..FAILURES).for_each(|_| fail(&breaker, start));
        let probe = breaker.begin(start + PAUSE);
        breaker.end(probe, End::Unknown, start + PAUSE);
        assert!(breaker.healthy(start + PAUSE));
    }

    #[test]
    fn a_probe_that_hangs_leaves_room_for_another_after_a_pause() {
        let (breaker, start) = (Breaker::new(Scope::Model, "test/model".into()), Instant::now());
        (0..FAILURES).for_each(|_| fail(&breaker, start));
        let begun = start + PAUSE;
        assert!(breaker.begin(begun));
        assert_eq!(breaker.left_alone(begun).and_then(|error| error.retry_after), Some(PAUSE));
        assert!(!breaker.begin(begun + PAUSE / 2) && breaker.begin(begun + PAUSE));
    }

    #[test]
    fn what_answers_were_cut_is_well_when_one_ends_and_not_when_one_begins() {
        let (breaker, start) = (Breaker::new(Scope::Model, "test/model".into()), Instant::now());
        let cut = error(Cause::Malformed, None);
        (0..FAILURES).for_each(|_| breaker.end(false, End::Cut(&cut), start));
        let mut probe = breaker.begin(start + PAUSE);
        breaker.begun(&mut probe, start + PAUSE);
        assert!(probe && !breaker.healthy(start + PAUSE));
        breaker.end(probe, End::Answered, start + PAUSE);
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
        assert_eq!(blamed(Cause::Credentials, None), [false, false, true]);
        assert_eq!(blamed(Cause::Configuration, Some(404)), [false, false, true]);
        assert_eq!(blamed(Cause::Server, Some(500)), [false, false, true]);
        assert_eq!(blamed(Cause::RateLimited, Some(429)), [false, false, false]);
        assert_eq!(blamed(Cause::Caller, Some(400)), [false, false, false]);
        assert_eq!(blamed(Cause::Descriptors, None), [false, false, false]);
    }
}
