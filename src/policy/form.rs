//! What malformed answers take from their arms' means, and well-formed ones give back.

use serde::{Deserialize, Serialize};

use super::Reward;

/// A malformed answer is scored 0. If a share f of answers is malformed, the mean quality of the others is p/(1−f): each
/// of those that nobody judges moves its mean towards that, so that form alone leaves p where it is unless an arm's
/// share differs from the route's. What is given is what was taken, f/(1−f) each where all goes on as it does: without
/// malformed answers nothing moves, however many come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Form {
    /// Malformed answers that are not made good yet.
    owed: f64,
}

impl Form {
    /// One malformed answer is made good over about so many well-formed ones.
    const HORIZON: f64 = 50.0;

    /// What an answer is worth now in place of what it `was`; by which share of its expected quality a well-formed one is
    /// raised.
    pub fn hear(&mut self, was: Reward, now: Reward) -> f64 {
        match (was, now) {
            (Reward::Malformed, Reward::Malformed) => 0.0,
            (_, Reward::Malformed) => {
                self.owed += 1.0;
                0.0
            }
            (Reward::Malformed, _) => {
                self.owed -= 1.0;
                0.0
            }
            (Reward::Unknown, Reward::WellFormed) => {
                let raise = self.raise();
                self.owed -= raise;
                raise
            }
            _ => 0.0,
        }
    }

    /// What a well-formed answer is raised by these days. One that is judged after all gives it back, since its score says
    /// all: the raise of its time is not remembered, and is this on average.
    pub fn raise(&self) -> f64 {
        self.owed / Self::HORIZON
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_what_was_taken() {
        let mut form = Form::default();
        let given = |form: &mut Form| (0..500).map(|_| form.hear(Reward::Unknown, Reward::WellFormed)).sum::<f64>();
        assert_eq!(given(&mut form), 0.0, "nothing was taken");
        (0..3).for_each(|_| assert_eq!(form.hear(Reward::Unknown, Reward::Malformed), 0.0));
        assert!((form.raise() - 0.06).abs() < 1e-12);
        assert!((given(&mut form) - 3.0).abs() < 1e-3);
        form.hear(Reward::Unknown, Reward::Malformed);
        form.hear(Reward::Malformed, Reward::WellFormed);
        assert!(given(&mut form).abs() < 1e-3, "the blame was taken back");
    }

    #[test]
    fn where_a_share_of_answers_is_malformed_the_others_are_raised_by_its_odds() {
        let mut form = Form::default();
        let mut raises = Vec::new();
        for answer in 0..4_000 {
            match answer % 10 {
                0 => drop(form.hear(Reward::Unknown, Reward::Malformed)),
                _ => raises.push(form.hear(Reward::Unknown, Reward::WellFormed)),
            }
        }
        let late = &raises[2_000..];
        let mean = late.iter().sum::<f64>() / late.len() as f64;
        assert!((mean - 1.0 / 9.0).abs() < 0.002, "{mean}");
    }
}
