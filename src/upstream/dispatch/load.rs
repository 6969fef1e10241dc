//! How busy and how quick a model is, as this process sees it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// After so long a sample has lost all but 1/e of its weight.
const DECAY: Duration = Duration::from_secs(10);

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
        let latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        latency.map(|mean| Duration::from_secs_f64(mean.seconds))
    }
}

impl PeakEwma {
    fn with(self, sample: f64, now: Instant) -> f64 {
        let weight = (-(now - self.at).as_secs_f64() / DECAY.as_secs_f64()).exp();
        sample.max(self.seconds * weight + sample * (1.0 - weight))
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
}
