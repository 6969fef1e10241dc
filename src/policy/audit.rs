//! Is the bar met? What the scored answers say of it, whatever the model believes of itself.

use serde::{Deserialize, Serialize};

use super::{Decision, Sequence};

/// A rare answer of the best model stands for at most so many requests.
const GREATEST_WEIGHT: f64 = 20.0;

/// Scores of a route since its knob was set, beside what the best model would have got: doubly robust (Dudík, Langford &
/// Li, 2011), from the answers that exploration let it give. Unbiased but for the cut weights, which lean on what was
/// predicted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// Scores of the route's answers.
    pub own: Sequence,
    /// What the best model's would have been.
    pub best: Sequence,
    /// The one less the other.
    pub difference: Sequence,
}

impl Audit {
    /// The answer of a decision was scored; `best` names the model that was best by all that was known before.
    pub(super) fn scored(&mut self, decision: &Decision, best: &str, value: f64) {
        let Some(k) = decision.candidates.iter().position(|candidate| candidate.arm == best) else { return };
        let candidate = &decision.candidates[k];
        let weight = if k == decision.chosen { (1.0 / candidate.propensity).min(GREATEST_WEIGHT) } else { 0.0 };
        let of_best = candidate.quality + weight * (value - candidate.quality);
        self.own.push(value);
        self.best.push(of_best);
        self.difference.push(value - of_best);
    }

    /// A score of the route's answers grew by `change`; what it said of the best model stays.
    pub(super) fn revised(&mut self, change: f64) {
        self.own.revise(change);
        self.difference.revise(change);
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::policy::{Candidate, Kind, Knob};

    /// Two models of quality .6 and .9, predicted as .7 and .7; the better is asked a tenth of the time.
    fn decision(chosen: usize) -> Decision {
        let candidate = |arm: &str, propensity| Candidate { arm: arm.into(), quality: 0.7, cost_usd: 1.0, propensity };
        Decision {
            kind: Kind::Exploit,
            policy: "thompson".into(),
            snapshot_version: 0,
            segment: None,
            knob: Knob::Quality(0.9),
            phi: vec![1.0],
            widening: 1.0,
            verbosity: 0.0,
            input_tokens: 1,
            difficulty: 0.5,
            candidates: vec![candidate("cheap", 0.9), candidate("dear", 0.1)],
            preferred: 0,
            chosen,
            draw: 0.5,
        }
    }

    #[test]
    fn the_best_model_is_judged_by_the_few_answers_that_it_gave() {
        let mut rng = StdRng::seed_from_u64(4);
        let mut audit = Audit::default();
        for _ in 0..4_000 {
            let chosen = usize::from(rng.random_bool(0.1));
            let value = f64::from(u8::from(rng.random_bool([0.6, 0.9][chosen])));
            audit.scored(&decision(chosen), "dear", value);
        }
        let holds = |sequence: Sequence, truth: f64| {
            let (low, high) = sequence.interval().unwrap();
            assert!(low <= truth && truth <= high && high - low < 0.4, "{low} {truth} {high}");
        };
        holds(audit.own, 0.63);
        holds(audit.best, 0.9);
        holds(audit.difference, -0.27);
        assert!(audit.difference.excludes_zero());
    }
}
