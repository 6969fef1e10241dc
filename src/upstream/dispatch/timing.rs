//! The deadlines of a call as points in time.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use futures_util::TryFutureExt;
use tokio::time::{Instant, timeout_at};

use super::super::Deadlines;

/// A point in time and what it means when it passes.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    pub at: Instant,
    pub passed: Passed,
}

/// Which deadline passed, and how long it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    Connect(Duration),
    FirstByte(Duration),
    Idle(Duration),
    Total(Duration),
    /// The request's total deadline, of which earlier calls had taken so much that this one had less than its own.
    Rest(Duration),
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(after) => write!(f, "no connection within {after:?} (the connect deadline)"),
            Self::FirstByte(after) => write!(f, "no byte of an answer within {after:?} (the first-byte deadline)"),
            Self::Idle(after) => write!(f, "silent for {after:?} within its answer (the idle deadline)"),
            Self::Total(after) | Self::Rest(after) => {
                write!(f, "no whole answer within {after:?} (the total deadline)")
            }
        }
    }
}

impl Due {
    /// The end of the whole request, all attempts together.
    pub fn total(after: Duration, now: Instant) -> Self {
        Self { at: far(now, after), passed: Passed::Total(after) }
    }

    /// This deadline, or `other` if it comes first.
    fn or(self, other: Self) -> Self {
        if other.at <= self.at { other } else { self }
    }

    /// The output of `future`, if it comes in time. Not an `async fn`, which would have room for `future` twice.
    pub fn bound<F: Future>(self, future: F) -> impl Future<Output = Result<F::Output, Passed>> {
        timeout_at(self.at, future).map_err(move |_| self.passed)
    }
}

/// The deadlines of one attempt.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    pub first_byte: Due,
    idle: Duration,
    /// The end of the request.
    pub total: Due,
}

impl Timing {
    /// Of an attempt that begins `now` in a request that must end by `total`.
    pub fn new(deadlines: &Deadlines, total: Due, now: Instant) -> Self {
        let after = deadlines.first_byte;
        let first_byte = Due { at: far(now, after), passed: Passed::FirstByte(after) }.or(total);
        Self { first_byte, idle: deadlines.idle, total }
    }

    /// The same for one that begins after others of its request have taken of their time.
    pub fn after_others(self) -> Self {
        let Passed::Total(after) = self.first_byte.passed else { return self };
        let rest = Due { passed: Passed::Rest(after), ..self.total };
        Self { first_byte: rest, total: rest, ..self }
    }

    /// When the next piece is due after one that came `now`.
    pub fn next_piece(&self, now: Instant) -> Due {
        Due { at: far(now, self.idle), passed: Passed::Idle(self.idle) }.or(self.total)
    }
}

/// `now + after`; a century away where that is beyond what the clock can say.
fn far(now: Instant, after: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    now.checked_add(after).unwrap_or(now + CENTURY)
}
