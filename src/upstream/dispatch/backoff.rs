//! How long to wait before the same model is asked again.

use std::time::Duration;

use super::super::UpstreamError;

/// The first wait, before chance shortens it; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(4);
/// An upstream that wants a longer pause than this is not waited for: the client hears of it instead.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The wait after `failures` (≥ 1) failed calls, the last with `error`: exponential, between half and all of it by
/// `draw` in [0, 1), and no shorter than the upstream's Retry-After. `None`: a retry does not help, or not soon.
pub fn pause(error: &UpstreamError, failures: usize, draw: f64) -> Option<Duration> {
    let asked = error.retry_after.unwrap_or_default();
    if !error.cause.may_pass() || asked > PATIENCE {
        return None;
    }
    let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(u32::MAX).min(8);
    let full = (FIRST * 2u32.pow(doublings)).min(LONGEST);
    Some(full.mul_f64(0.5 + 0.5 * draw).max(asked))
}
