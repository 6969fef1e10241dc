//! What malformed answers take from their arm's mean, and its well-formed ones give back.

use serde::{Deserialize, Serialize};

use super::Reward;

/// A malformed answer that nobody judges moves its arm's mean as a score of 0 would, and it moves back once somebody
/// does. If a share f of an arm's answers is malformed, the mean quality of the others is p/(1−f), or 1 if that is less:
/// each of those that nobody judges moves the mean towards that. So an arm that loses its form falls at once, is held to
/// be no better than 1 − f as long as it goes on, and rises to where it was with its own well-formed answers once that is
/// over. No other arm rises, of whose answers nothing was learned; and without malformed answers nothing moves, however
/// many come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Form {
    /// Quality that malformed answers took and that is not given back yet.
    owed: f64,
}

impl Form {
    /// What one malformed answer took is given back over about so many well-formed ones.
    const HORIZON: f64 = 50.0;

    /// By how much an answer, of the quality that `expected` tells, is held to be better now than it `was`. Most answers
    /// are of arms that owe nothing, and nothing need be expected of them.
    pub fn hear(&mut self, was: Reward, now: Reward, expected: impl Fn() -> f64) -> f64 {
        match (was, now) {
            (Reward::Malformed, Reward::Malformed) | (Reward::WellFormed, Reward::WellFormed) => 0.0,
            (Reward::Malformed, _) => self.give(expected()),
            (Reward::Unknown, Reward::WellFormed) => self.give(self.raise(expected)),
            // The raise of its time is not remembered, and is this on average.
            (Reward::WellFormed, Reward::Malformed) => self.give(-expected()) - self.raise(expected),
            (Reward::WellFormed, _) => -self.raise(expected),
            (_, Reward::Malformed) => self.give(-expected()),
            _ => 0.0,
        }
    }

    fn give(&mut self, change: f64) -> f64 {
        self.owed -= change;
        change
    }

    /// What a well-formed answer is raised by these days.
    fn raise(&self, expected: impl Fn() -> f64) -> f64 {
        if self.owed == 0.0 { 0.0 } else { (self.owed / Self::HORIZON).min(1.0 - expected()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: f64 = 0.6;

    fn hear(form: &mut Form, was: Reward, now: Reward) -> f64 {
        form.hear(was, now, || EXPECTED)
    }

    #[test]
    fn what_is_given_back_is_what_was_taken() {
        let mut form = Form::default();
        let given = |form: &mut Form| (0..1_000).map(|_| hear(form, Reward::Unknown, Reward::WellFormed)).sum::<f64>();
        assert_eq!(given(&mut form), 0.0, "nothing was taken");
        (0..100).for_each(|_| assert_eq!(hear(&mut form, Reward::Unknown, Reward::Malformed), -EXPECTED));
        assert_eq!(form.raise(|| EXPECTED), 1.0 - EXPECTED, "no answer is better than 1");
        assert!((given(&mut form) - 100.0 * EXPECTED).abs() < 1e-3);
        hear(&mut form, Reward::Unknown, Reward::Malformed);
        hear(&mut form, Reward::Malformed, Reward::WellFormed);
        assert!(given(&mut form).abs() < 1e-3, "the blame was taken back");
    }

    #[test]
    fn where_a_share_of_answers_is_malformed_the_others_are_raised_by_its_odds() {
        let mut form = Form::default();
        let mut raises = Vec::new();
        for answer in 0..4_000 {
            match answer % 10 {
                0 => drop(hear(&mut form, Reward::Unknown, Reward::Malformed)),
                _ => raises.push(hear(&mut form, Reward::Unknown, Reward::WellFormed)),
            }
        }
        let late = &raises[2_000..];
        let mean = late.iter().sum::<f64>() / late.len() as f64;
        assert!((mean - EXPECTED / 9.0).abs() < 0.002, "{mean}");
    }
}
