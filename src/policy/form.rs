//! How often a route's answers are well formed.

use serde::{Deserialize, Serialize};

use super::Reward;

/// How many answers were well formed, with a prior of one malformed in fifty.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Form {
    answers: f64,
    malformed: f64,
}

impl Default for Form {
    fn default() -> Self {
        Self { answers: 50.0, malformed: 1.0 }
    }
}

impl Form {
    /// An answer that nothing was known of turns out to be well formed or not; a judgement says nothing about its form.
    pub fn hear(&mut self, was: Reward, now: Reward) {
        match (was, now) {
            (Reward::Unknown, Reward::WellFormed) => self.answers += 1.0,
            (Reward::Unknown, Reward::Malformed) => {
                (self.answers, self.malformed) = (self.answers + 1.0, self.malformed + 1.0)
            }
            (Reward::Malformed, Reward::WellFormed) => self.malformed -= 1.0,
            _ => {}
        }
    }

    /// The share of answers that are malformed: above 0, below 1.
    pub fn malformed(&self) -> f64 {
        self.malformed / (self.answers + 1.0)
    }
}
