//! How many further calls all requests together may make to what has failed, so that retries do not add to an outage.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Retry budget earned per first-attempt call, in thousandths: at most 15 % extra calls on average.
const DEPOSIT: i64 = 150;
const CALL: i64 = 1000;
/// What can be saved up; also what there is at the start, so that the first requests of a process may retry.
const RESERVE: i64 = 20 * CALL;

/// A token bucket: each call of a request's first attempt deposits a share of one, and those of further attempts at what
/// has failed take whole ones. As in Finagle's and gRPC's retry budgets, except that an attempt may be several calls:
/// embeddings of many texts.
#[derive(Debug)]
pub struct Budget {
    saved: AtomicI64,
    /// Attempts that it did not pay for.
    suppressed: AtomicU64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { saved: AtomicI64::new(RESERVE), suppressed: AtomicU64::new(0) }
    }
}

impl Budget {
    /// Earns for so many calls of a first attempt.
    pub fn deposit(&self, calls: usize) {
        let more = each(calls, DEPOSIT);
        self.change(|saved| Some(saved.saturating_add(more).min(RESERVE)).filter(|more| *more != saved));
    }

    /// Pays for one more attempt of about so many calls; false: too little is left, which is counted. A full budget is
    /// enough for any attempt.
    pub fn withdraw(&self, calls: usize) -> bool {
        let paid = self.change(|saved| Some(saved - each(calls, CALL).min(RESERVE)).filter(|left| *left >= 0));
        if !paid {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
        }
        paid
    }

    /// Attempts so far that it did not pay for.
    pub fn suppressed(&self) -> u64 {
        self.suppressed.load(Ordering::Relaxed)
    }

    /// The attempt that was to make `expected` calls made `calls`.
    pub fn settle(&self, expected: usize, calls: usize) {
        let more = each(calls, CALL) - each(expected, CALL);
        self.change(|saved| Some(saved.saturating_sub(more).clamp(0, RESERVE)).filter(|left| *left != saved));
    }

    fn change(&self, change: impl Fn(i64) -> Option<i64>) -> bool {
        self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok()
    }
}

fn each(calls: usize, thousandths: i64) -> i64 {
    i64::try_from(calls).unwrap_or(i64::MAX).saturating_mul(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_an_outage_requests_make_little_more_than_one_attempt_each() {
        let budget = Budget::default();
        let mut attempts = 0;
        for _ in 0..10_000 {
            budget.deposit(1);
            attempts += 1 + (0..2).filter(|_| budget.withdraw(1)).count();
        }
        assert!((1.1..1.2).contains(&(attempts as f64 / 1e4)), "{attempts}");
    }

    #[test]
    fn after_quiet_times_no_more_than_the_reserve_is_there() {
        let budget = Budget::default();
        (0..100_000).for_each(|_| budget.deposit(1));
        assert_eq!((0..1000).filter(|_| budget.withdraw(1)).count() as i64, RESERVE / CALL);
    }

    #[test]
    fn an_attempt_of_many_calls_counts_as_so_many() {
        let budget = Budget::default();
        assert!(budget.withdraw(2048), "all that there is will do");
        assert!(!budget.withdraw(1));
        budget.deposit(100);
        assert!(budget.withdraw(8));
        budget.settle(8, 3);
        assert!(budget.withdraw(12) && !budget.withdraw(1), "what was not called is given back");
        budget.deposit(100);
        budget.settle(1, 2048);
        assert!(!budget.withdraw(1), "what was called beyond it is taken");
    }
}
