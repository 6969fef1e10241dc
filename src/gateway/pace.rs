//! How fast a model writes, as a decaying mean of what was measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The weight of the newest measurement.
const NEWEST: f64 = 0.125;

/// One model's output tokens per second, request to end: the bits of an f64, 0 before the first answer. Clones
/// share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace(Arc<AtomicU64>);

impl Pace {
    /// An answer of `tokens` took so long. Two threads at once may lose one of them, which is as if it had not been
    /// measured.
    pub(super) fn observe(&self, tokens: u32, after: Duration) {
        let seconds = after.as_secs_f64();
        if tokens > 0 && seconds > 0.0 {
            let newest = f64::from(tokens) / seconds;
            let mean = self.tokens_per_s().map_or(newest, |mean| mean + NEWEST * (newest - mean));
            self.0.store(mean.to_bits(), Ordering::Relaxed);
        }
    }

    /// `None` before the first answer.
    pub(super) fn tokens_per_s(&self) -> Option<f64> {
        Some(f64::from_bits(self.0.load(Ordering::Relaxed))).filter(|mean| *mean > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_answers_count_most() {
        let pace = Pace::default();
        assert_eq!(pace.tokens_per_s(), None);
        pace.observe(100, Duration::from_secs(2));
        assert_eq!(pace.tokens_per_s(), Some(50.0));
        pace.observe(0, Duration::from_secs(1));
        assert_eq!(pace.tokens_per_s(), Some(50.0));
        (0..40).for_each(|_| pace.observe(30, Duration::from_secs(1)));
        assert!(pace.tokens_per_s().is_some_and(|mean| mean > 30.0 && mean < 30.2));
    }
}
