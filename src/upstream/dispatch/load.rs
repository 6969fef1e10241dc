//! How busy and how quick a model is, as this process sees it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// After so long a sample has lost all but 1/e of its weight.
const DECAY: Duration = Duration::from_secs(10);
/// Whoever waits so many times as long as usual for an answer to begin, and at least [`PATIENT`], has waited for too long.
const UNUSUAL: f64 = 5.0;
const PATIENT: Duration = Duration::from_secs(2);

/// Calls under way, and the time to an answer's beginning.
#[derive(Debug, Default)]
pub struct Load {
    in_flight: AtomicU32,
    latency: Mutex<Option<PeakEwma>>,
}

/// A decaying mean that rises to a peak at once and falls slowly: an upstream that turned slow is left alone before many
/// requests have waited for it. As in Finagle's load balancers ("peak EWMA").
#[derive(Debug, Clone, Copy)]
struct PeakEwma {
    seconds: f64,
    at: Instant,
}

impl Load {
    pub fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// An answer began `after` its call.
    pub fn observe(&self, after: Duration, now: Instant) {
        let mut latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        let sample = after.as_secs_f64();
        let seconds = latency.map_or(sample, |mean| mean.with(sample, now));
        *latency = Some(PeakEwma { seconds, at: now });
    }

    /// The decaying mean; `None` before the first answer.
    pub fn latency(&self) -> Option<Duration> {
        self.mean().map(|mean| Duration::from_secs_f64(mean.seconds))
    }

    /// What to choose by: the mean, and the less of it the longer nothing was heard, so that who was slow once is asked
    /// again some time. `None` before the first answer.
    pub fn presumed_latency(&self, now: Instant) -> Option<Duration> {
        self.mean().map(|mean| Duration::from_secs_f64(mean.seconds * mean.weight(now)))
    }

    /// Whether a call has been under way for longer than anybody should wait for its answer to begin.
    pub fn is_overdue(&self, waited: Duration) -> bool {
        waited >= PATIENT.max(self.latency().unwrap_or_default().mul_f64(UNUSUAL))
    }

    fn mean(&self) -> Option<PeakEwma> {
        *self.latency.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PeakEwma {
    fn with(self, sample: f64, now: Instant) -> f64 {
        let weight = self.weight(now);
        sample.max(self.seconds * weight + sample * (1.0 - weight))
    }

    /// What the last sample is still worth.
    fn weight(self, now: Instant) -> f64 {
        (-(now - self.at).as_secs_f64() / DECAY.as_secs_f64()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_rises_at_once_and_falls_slowly() {
        let (load, start) = (Load::default(), Instant::now());
        let ms = |ms| Duration::from_millis(ms);
        load.observe(ms(10), start);
        load.observe(ms(1000), start);
        assert_eq!(load.latency(), Some(ms(1000)));
        load.observe(ms(10), start + ms(100));
        assert!(load.latency() > Some(ms(900)));
        load.observe(ms(10), start + DECAY * 10);
        assert!(load.latency() < Some(ms(11)));
    }

    #[test]
    fn who_was_slow_once_is_presumed_quick_again_when_nothing_was_heard_for_a_while() {
        let (load, start) = (Load::default(), Instant::now());
        load.observe(Duration::from_secs(3), start);
        assert_eq!(load.presumed_latency(start), Some(Duration::from_secs(3)));
        assert!(load.presumed_latency(start + DECAY * 5) < Some(Duration::from_millis(30)));
        assert_eq!(load.latency(), Some(Duration::from_secs(3)), "what was measured stays");
    }

    #[test]
    fn nobody_should_wait_for_several_times_as_long_as_usual() {
        let load = Load::default();
        assert!(load.is_overdue(PATIENT) && !load.is_overdue(PATIENT / 2));
        load.observe(PATIENT, Instant::now());
        assert!(!load.is_overdue(PATIENT * 4) && load.is_overdue(PATIENT * 5));
    }
}
