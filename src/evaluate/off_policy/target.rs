//! Policies to evaluate.

use super::Row;
use crate::policy::Knob;

/// A policy whose value is asked for.
pub trait Target {
    /// π′ on each of `rows`, which are in the order of decision: a probability for each candidate of the row, which sum
    /// to 1; `None` where the policy cannot answer it. Looks at no outcome of the row itself or of a later one.
    fn over(&self, rows: &[Row]) -> Vec<Option<Vec<f64>>>;
}

/// One that looks at each request by itself.
impl<F: Fn(&Row) -> Option<Vec<f64>>> Target for F {
    fn over(&self, rows: &[Row]) -> Vec<Option<Vec<f64>>> {
        rows.iter().map(self).collect()
    }
}

/// What was done.
#[derive(Debug, Clone, Copy)]
pub struct Logged;

/// Each candidate as often as the others.
#[derive(Debug, Clone, Copy)]
pub struct Uniform;

/// On each request the candidate that was predicted to cost least.
#[derive(Debug, Clone, Copy)]
pub struct Cheapest;

/// Always this model; it answers those requests of which it was a candidate.
#[derive(Debug, Clone)]
pub struct Fixed(pub String);

/// argmax V·p̃ − ĉ on the logged predictions: what the means prefer at one price of quality, without exploration.
#[derive(Debug, Clone, Copy)]
pub struct Greedy {
    /// V: USD for a unit of quality.
    value: f64,
}

impl Target for Logged {
    fn over(&self, rows: &[Row]) -> Vec<Option<Vec<f64>>> {
        let logged = |row: &Row| row.candidates.iter().map(|candidate| candidate.propensity).collect();
        rows.iter().map(|row| Some(logged(row))).collect()
    }
}

impl Target for Uniform {
    fn over(&self, rows: &[Row]) -> Vec<Option<Vec<f64>>> {
        let even = |row: &Row| vec![1.0 / row.candidates.len() as f64; row.candidates.len()];
        rows.iter().map(|row| Some(even(row))).collect()
    }
}

impl Target for Cheapest {
    fn over(&self, rows: &[Row]) -> Vec<Option<Vec<f64>>> {
        Greedy { value: 0.0 }.over(rows)
    }
}

impl Target for Fixed {
    fn over(&self, rows: &[Row]) -> Vec<Option<Vec<f64>>> {
        let arm = |row: &Row| row.candidates.iter().position(|candidate| candidate.arm == self.0);
        rows.iter().map(|row| Some(certain(arm(row)?, row))).collect()
    }
}

impl Target for Greedy {
    fn over(&self, rows: &[Row]) -> Vec<Option<Vec<f64>>> {
        rows.iter().map(|row| Some(certain(self.choice(row), row))).collect()
    }
}

fn certain(arm: usize, row: &Row) -> Vec<f64> {
    (0..row.candidates.len()).map(|k| f64::from(u8::from(k == arm))).collect()
}

impl Greedy {
    /// The policy at a knob, with V solved for on `rows` by their predictions alone: no outcome is looked at, so that
    /// the policy's value can be estimated on the same rows.
    ///
    /// `Quality(q)`: the least V whose choices promise q times what the best single model promises. `BudgetPer1k(usd)`:
    /// the greatest V whose choices are predicted to cost no more; the cheapest choices where even they cost more.
    pub fn at(knob: Knob, rows: &[Row]) -> Self {
        let value = match knob {
            Knob::Quality(q) => {
                let bar = q * best_single(rows);
                least(|value| Self { value }.mean(rows, |candidate| candidate.quality) >= bar)
            }
            Knob::BudgetPer1k(usd) => {
                let over = |value| Self { value }.mean(rows, |candidate| candidate.cost_usd) > usd / 1000.0;
                just_below(least(over))
            }
            Knob::Value(usd) => usd,
        };
        Self { value }
    }

    /// The first of the best; at V = 0, and among equals, the cheapest.
    fn choice(&self, row: &Row) -> usize {
        let worth = |k: usize| self.value * row.candidates[k].quality - row.candidates[k].cost_usd;
        (1..row.candidates.len()).fold(0, |best, k| if worth(k) > worth(best) { k } else { best })
    }

    fn mean(&self, rows: &[Row], of: impl Fn(&crate::policy::Candidate) -> f64) -> f64 {
        rows.iter().map(|row| of(&row.candidates[self.choice(row)])).sum::<f64>() / rows.len().max(1) as f64
    }
}

/// ln V is sought between these; prices per answer lie far within.
const LOG_VALUES: (f64, f64) = (-30.0, 30.0);
/// Halvings of that interval: to nine digits of V.
const STEPS: usize = 36;

/// The least V at which `reached`, which stays true once it is; 0 if it is true from the start, the greatest V if never.
fn least(reached: impl Fn(f64) -> bool) -> f64 {
    if reached(0.0) {
        return 0.0;
    }
    let (mut low, mut high) = LOG_VALUES;
    for _ in 0..STEPS {
        let middle = (low + high) / 2.0;
        if reached(middle.exp()) { high = middle } else { low = middle }
    }
    high.exp()
}

/// Below the V at which something happens, by more than what the search can tell apart.
fn just_below(value: f64) -> f64 {
    value * (1.0 - 1e-8)
}

/// The highest mean of one model's predictions, over the requests that it could answer.
fn best_single(rows: &[Row]) -> f64 {
    let mut sums = std::collections::BTreeMap::<&str, (f64, f64)>::new();
    for candidate in rows.iter().flat_map(|row| &row.candidates) {
        let sum = sums.entry(&candidate.arm).or_default();
        *sum = (sum.0 + candidate.quality, sum.1 + 1.0);
    }
    sums.values().map(|(sum, n)| sum / n).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::difficulty::Context;
    use crate::policy::Candidate;

    fn row(candidates: &[(&str, f64, f64)]) -> Row {
        let candidate = |&(arm, quality, cost_usd): &(&str, f64, f64)| Candidate {
            arm: arm.into(),
            quality,
            cost_usd,
            propensity: 1.0 / candidates.len() as f64,
        };
        let candidates = candidates.iter().map(candidate).collect();
        let context = Context { phi: vec![1.0], difficulty: 0.5, widening: 1.0, verbosity: 0.0, input_tokens: 1 };
        Row { context, candidates, chosen: 0, answered: Some(0), usage: None, quality: None, cost_usd: None }
    }

    /// The dear model is needed for every fourth.
    fn rows() -> Vec<Row> {
        (0..400).map(|i| row(&[("cheap", if i % 4 == 0 { 0.2 } else { 0.9 }, 1e-3), ("dear", 0.95, 1e-2)])).collect()
    }

    fn means(greedy: Greedy, rows: &[Row]) -> (f64, f64) {
        (greedy.mean(rows, |candidate| candidate.quality), greedy.mean(rows, |candidate| candidate.cost_usd))
    }

    #[test]
    fn the_bar_is_kept_as_cheaply_as_the_predictions_allow() {
        let rows = rows();
        let (quality, cost) = means(Greedy::at(Knob::Quality(0.95), &rows), &rows);
        assert!((quality - 0.9125).abs() < 1e-9 && (cost - 3.25e-3).abs() < 1e-12, "{quality} {cost}");
        let (quality, cost) = means(Greedy::at(Knob::Quality(0.0), &rows), &rows);
        assert!((quality - 0.725).abs() < 1e-9 && (cost - 1e-3).abs() < 1e-12);
        assert_eq!(means(Greedy::at(Knob::Quality(1.0), &rows), &rows).0, means(Greedy { value: 1e9 }, &rows).0);
    }

    #[test]
    fn a_budget_is_not_overspent() {
        let rows = rows();
        for (budget, expected) in [(0.5, 1e-3), (1.0, 1e-3), (3.3, 3.25e-3), (9.9, 3.25e-3), (10.0, 1e-2), (99.0, 1e-2)]
        {
            let (_, cost) = means(Greedy::at(Knob::BudgetPer1k(budget), &rows), &rows);
            assert!((cost - expected).abs() < 1e-12, "{budget}: {cost}");
        }
    }

    #[test]
    fn a_model_answers_only_what_it_was_a_candidate_of() {
        let rows = [row(&[("cheap", 0.5, 1e-3)])];
        assert_eq!(Fixed("cheap".into()).over(&rows), [Some(vec![1.0])]);
        assert_eq!(Fixed("dear".into()).over(&rows), [None]);
    }

    #[test]
    fn the_cheapest_is_who_was_predicted_to_be_on_this_request() {
        let rows = [row(&[("a", 0.5, 2e-3), ("b", 0.9, 1e-3)]), row(&[("a", 0.5, 2e-3), ("b", 0.9, 3e-3)])];
        assert_eq!(Cheapest.over(&rows), [Some(vec![0.0, 1.0]), Some(vec![1.0, 0.0])]);
    }
}
