//! How fast a model answers, as decaying means of what was measured.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The weight of the newest measurement.
const NEWEST: f64 = 0.125;

/// One model's pace, since the configuration took effect.
#[derive(Debug, Default)]
pub(super) struct Pace {
    latency_s: Mean,
    tokens_per_s: Mean,
}

impl Pace {
    /// An answer began after so long; of a whole answer, that is all of it.
    pub(super) fn began(&self, after: Duration) {
        self.latency_s.take(after.as_secs_f64());
    }

    /// An answer of `tokens` took so long from its request to its end.
    pub(super) fn ended(&self, tokens: u32, after: Duration) {
        let seconds = after.as_secs_f64();
        if tokens > 0 && seconds > 0.0 {
            self.tokens_per_s.take(f64::from(tokens) / seconds);
        }
    }

    /// Seconds to the first byte; `None` before the first answer.
    pub(super) fn latency_s(&self) -> Option<f64> {
        self.latency_s.get()
    }

    /// Output tokens per second; `None` before the first answer.
    pub(super) fn tokens_per_s(&self) -> Option<f64> {
        self.tokens_per_s.get()
    }
}

/// A decaying mean of positive numbers, as the bits of an f64; 0 before the first.
#[derive(Debug, Default)]
struct Mean(AtomicU64);

impl Mean {
    /// Two threads at once may lose one measurement, which is as if it had not been made.
    fn take(&self, value: f64) {
        let mean = self.get().map_or(value, |mean| mean + NEWEST * (value - mean));
        self.0.store(mean.to_bits(), Ordering::Relaxed);
    }

    fn get(&self) -> Option<f64> {
        Some(f64::from_bits(self.0.load(Ordering::Relaxed))).filter(|mean| *mean > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_answers_count_most() {
        let pace = Pace::default();
        assert_eq!((pace.latency_s(), pace.tokens_per_s()), (None, None));
        pace.began(Duration::from_secs(1));
        pace.ended(100, Duration::from_secs(2));
        assert_eq!((pace.latency_s(), pace.tokens_per_s()), (Some(1.0), Some(50.0)));
        (0..40).for_each(|_| pace.began(Duration::from_secs(3)));
        assert!(pace.latency_s().is_some_and(|mean| mean > 2.9 && mean < 3.0));
        pace.ended(0, Duration::from_secs(1));
        assert_eq!(pace.tokens_per_s(), Some(50.0));
    }
}
