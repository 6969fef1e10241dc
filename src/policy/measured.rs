//! What was measured of a route as a whole: the quality of its answers, and what it spent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Decision;
use crate::catalog::Name;

/// Predicted quality of the chosen answers, corrected by how the scored ones differed from the prediction. Scores come
/// late and only for some answers: the correction does not need a score of each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    predicted: f64,
    answers: f64,
    surprise: f64,
    scores: f64,
    recent_surprise: f64,
    recent_scores: f64,
}

impl Measured {
    /// Answers in memory.
    const MEMORY: f64 = 1_500.0;
    /// Scores in memory for the bias of predictions.
    const RECENT: f64 = 300.0;
    /// Scores at which half of the bias is believed.
    const BELIEF: f64 = 200.0;
    /// A prediction's bias is corrected by at most this.
    const GREATEST_BIAS: f64 = 0.02;

    /// An answer with this predicted quality was chosen.
    pub fn decided(&mut self, predicted: f64) {
        let keep = 1.0 - 1.0 / Self::MEMORY;
        self.predicted = self.predicted * keep + predicted;
        self.answers = self.answers * keep + 1.0;
        self.surprise *= keep;
        self.scores *= keep;
    }

    /// It was scored `surprise` higher than predicted.
    pub fn scored(&mut self, surprise: f64) {
        let keep = 1.0 - 1.0 / Self::RECENT;
        self.surprise += surprise;
        self.scores += 1.0;
        self.recent_surprise = self.recent_surprise * keep + surprise;
        self.recent_scores = self.recent_scores * keep + 1.0;
    }

    /// A score changed by `change`.
    pub fn revised(&mut self, change: f64) {
        self.surprise += change;
        self.recent_surprise += change;
    }

    /// Mean quality of the route's answers, and how many of them stand behind it; `None` before the first.
    pub fn quality(&self) -> Option<(f64, f64)> {
        let corrected = self.predicted / self.answers + self.surprise / (self.scores + 20.0);
        (self.answers > 0.0).then_some((corrected, self.answers))
    }

    /// By how much the predictions of chosen answers are too low, shrunk.
    pub fn bias(&self) -> f64 {
        let bias = self.recent_surprise / (self.recent_scores + Self::BELIEF);
        bias.clamp(-Self::GREATEST_BIAS, Self::GREATEST_BIAS)
    }
}

/// What a route spent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Spending {
    /// USD since the knob was set.
    pub spent_usd: f64,
    /// Answers that it paid for.
    pub answers: f64,
    /// USD for those.
    answers_usd: f64,
    /// Of each arm: how much more than that it would have cost in their place, estimated. Which of them is best is known
    /// only in the end, and a sum that begins with one and goes on with another is nobody's.
    instead_usd: BTreeMap<Name, f64>,
    /// USD for the best model's answers that no client saw: not part of `spent_usd`.
    pub shadow_usd: f64,
    /// USD for judging answers: not part of `spent_usd` either.
    pub judge_usd: f64,
    paid: f64,
    foreseen: f64,
}

impl Spending {
    const FORESIGHT: f64 = 200.0;

    /// An answer cost `usd`; the means would have chosen one of `greedy` USD.
    pub fn settled(&mut self, usd: f64, greedy: f64) {
        self.spent_usd += usd;
        self.answers_usd += usd;
        self.answers += 1.0;
        let keep = 1.0 - 1.0 / Self::FORESIGHT;
        self.paid = self.paid * keep + usd;
        self.foreseen = self.foreseen * keep + greedy.max(1e-12);
    }

    /// In its place, an answer of `arm` would have cost `more` USD.
    pub fn instead(&mut self, arm: &Name, more: f64) {
        *self.instead_usd.entry(arm.clone()).or_default() += more;
    }

    /// Forgets of which arms it knows what they would have cost, but for those that are still known.
    pub fn retain(&mut self, is_known: impl Fn(&str) -> bool) {
        self.instead_usd.retain(|arm, _| is_known(arm));
    }

    /// What the answers would have cost if `arm` had given them all, USD, estimated. Those that it could not give, and
    /// those from before it was there, count with what they did cost.
    pub fn always_usd(&self, arm: Option<&str>) -> f64 {
        self.answers_usd + arm.and_then(|arm| self.instead_usd.get(arm)).unwrap_or(&0.0)
    }

    /// What `arm` would have cost beyond what was spent, USD.
    pub fn saved_usd(&self, arm: Option<&str>) -> f64 {
        self.always_usd(arm) - self.spent_usd
    }

    /// The same, net of what measuring it cost.
    pub fn net_saved_usd(&self, arm: Option<&str>) -> f64 {
        self.saved_usd(arm) - self.shadow_usd - self.judge_usd
    }

    /// USD paid per USD that the greedy choice was predicted to cost, shrunk towards 1 by twenty answers of `scale`
    /// USD.
    pub fn overrun(&self, scale: f64) -> f64 {
        (self.paid + 20.0 * scale) / (self.foreseen + 20.0 * scale)
    }
}

/// What the candidate `k` would have cost, where the answer, by the arm `answered`, cost `usd`: doubly robust (Dudík et
/// al., 2011). Predictions are learned on the prompts that an arm is asked, and are for others; what is right of them on
/// those where `k` was drawn is put right for all that are like them.
pub fn cost_of(decision: &Decision, k: usize, answered: &str, usd: f64) -> f64 {
    /// So that one answer does not count for too many.
    const GREATEST_WEIGHT: f64 = 20.0;
    let candidate = &decision.candidates[k];
    // What a panel cost says nothing of what the model costs by itself.
    let was_drawn = decision.chosen == k && candidate.arm == answered && decision.panel().is_none();
    let weight = if was_drawn { (1.0 / candidate.propensity).min(GREATEST_WEIGHT) } else { 0.0 };
    candidate.cost_usd + weight * (usd - candidate.cost_usd)
}

/// Cost of the candidate that the means preferred at the decision's own shadow price.
pub fn greedy_cost(decision: &Decision) -> f64 {
    if let Some(consult) = &decision.consult {
        return consult.foreseen_usd;
    }
    decision.candidates.get(decision.preferred).map_or(0.0, |candidate| candidate.cost_usd)
}

#[cfg(test)]
mod tests {
    use super::super::{Candidate, Consult, Kind, Knob, Panel, Verdict};
    use super::*;

    /// The dearer of two models is predicted to cost 1 USD and drawn with probability .25.
    fn decision(chosen: usize) -> Decision {
        let candidate =
            |arm: &str, cost_usd, propensity| Candidate { arm: arm.into(), quality: 0.9, cost_usd, propensity };
        let candidates = vec![candidate("small", 0.1, 0.75), candidate("big", 1.0, 0.25)];
        Decision { kind: Kind::Exploit, candidates, chosen, ..Decision::cached("", None, Knob::Quality(0.95), 0) }
    }

    #[test]
    fn what_a_model_would_have_cost_is_right_on_average_though_its_prediction_is_not() {
        let drawn = cost_of(&decision(1), 1, "big", 0.6);
        let mean = 0.75 * cost_of(&decision(0), 1, "small", 0.1) + 0.25 * drawn;
        assert!((mean - 0.6).abs() < 1e-12, "{mean}");
        assert_eq!(cost_of(&decision(1), 1, "small", 0.1), 1.0, "a fallback answered");
    }

    #[test]
    fn what_a_panel_cost_is_foreseen_with_it_and_says_nothing_of_the_model_alone() {
        let panel = Panel { members: [0, 0], same_errors: 0.2, verdict: Verdict::Agreed };
        let consult = Consult { panel: Some(panel), foreseen_usd: 0.4 };
        let decision = Decision { consult: Some(consult), ..decision(1) };
        assert_eq!((cost_of(&decision, 1, "big", 0.2), greedy_cost(&decision)), (1.0, 0.4));
        assert_eq!(greedy_cost(&decision.alone()), 0.1);
    }
}
