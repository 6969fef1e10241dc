//! How many further attempts all requests together may make, so that retries do not add to an outage.

use std::sync::atomic::{AtomicI64, Ordering};

/// What a request adds, in thousandths of an attempt: on average no request makes more than 1.15.
const DEPOSIT: i64 = 150;
const ATTEMPT: i64 = 1000;
/// What can be saved up; also what there is at the start, so that the first requests of a process may retry.
const RESERVE: i64 = 20 * ATTEMPT;

/// A token bucket: each request deposits a share of an attempt, and each attempt beyond a request's first takes a whole
/// one. As in Finagle's and gRPC's retry budgets.
#[derive(Debug)]
pub struct Budget(AtomicI64);

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicI64::new(RESERVE))
    }
}

impl Budget {
    /// A request begins.
    pub fn deposit(&self) {
        self.change(|saved| Some((saved + DEPOSIT).min(RESERVE)).filter(|more| *more != saved));
    }

    /// One more attempt, if there is something left for it.
    pub fn withdraw(&self) -> bool {
        self.change(|saved| Some(saved - ATTEMPT).filter(|left| *left >= 0))
    }

    fn change(&self, change: impl Fn(i64) -> Option<i64>) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_an_outage_requests_make_little_more_than_one_attempt_each() {
        let budget = Budget::default();
        let mut attempts = 0;
        for _ in 0..10_000 {
            budget.deposit();
            attempts += 1 + (0..2).filter(|_| budget.withdraw()).count();
        }
        assert!((1.1..1.2).contains(&(attempts as f64 / 1e4)), "{attempts}");
    }

    #[test]
    fn after_quiet_times_no_more_than_the_reserve_is_there() {
        let budget = Budget::default();
        (0..100_000).for_each(|_| budget.deposit());
        assert_eq!((0..1000).filter(|_| budget.withdraw()).count() as i64, RESERVE / ATTEMPT);
    }
}
