//! Pairs: requests of which the route's answer and the best model's were both judged.
//!
//! Where the best model is drawn, one judgement makes a pair. Where another is, it takes a second call and a second
//! judgement, each of which may fail or be dropped, so that more of these pairs are lost. Hence each kind counts for its
//! share of the requests that were drawn for the comparison and answered, however many pairs came of them
//! (post-stratification). The lost ones of a kind are taken to be like its others.

use serde::{Deserialize, Serialize};

use super::moments::Moments;
use super::sequence::UNSEEN;

/// The pairs of one comparison, in two strata.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Pairs {
    /// Another model than the best was drawn.
    apart: Stratum,
    /// The best model was drawn: its answer is both.
    same: Stratum,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Stratum {
    /// Requests that were answered by the model that was drawn, whether or not a pair came of it.
    answered: usize,
    judged: Moments,
}

impl Pairs {
    fn stratum(&mut self, is_same: bool) -> &mut Stratum {
        if is_same { &mut self.same } else { &mut self.apart }
    }

    /// One more request was answered, by the best model if it `is_same`.
    pub fn answered(&mut self, is_same: bool) {
        self.stratum(is_same).answered += 1;
    }

    /// Both of its answers are judged.
    pub fn push(&mut self, is_same: bool, row: [f64; 3]) {
        self.stratum(is_same).judged.push(row);
    }

    /// One of the rows changed by `change`.
    pub fn revise(&mut self, is_same: bool, change: [f64; 3]) {
        self.stratum(is_same).judged.revise(change);
    }

    /// Pairs so far.
    pub fn rows(&self) -> usize {
        self.apart.judged.rows() + self.same.judged.rows()
    }

    /// All pairs, each kind counted for its share of the requests.
    pub fn moments(&self) -> Moments {
        // More are judged than were answered where the answer came before the knob was set, and its grade after.
        let weighted = |of: &Stratum| (of.answered.max(of.judged.rows()) as f64, of.judged);
        Moments::stratified(&[weighted(&self.apart), weighted(&self.same)], UNSEEN)
    }
}
