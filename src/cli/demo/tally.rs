//! What was measured, and what fixed choices would have given on the same puzzles.

use super::models::{LADDER, SimulatedModel, strongest};
use super::puzzles::Puzzle;
pub use crate::cli::interval::Interval as Quality;
use crate::cli::interval::Z;

/// One answered and scored request.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// Index into the run's puzzles.
    pub puzzle: usize,
    /// Index into [`LADDER`].
    pub model: usize,
    pub right: bool,
    pub cost_usd: f64,
    pub trace_id: String,
    /// `x-satisfice-decision`.
    pub decision: String,
    /// `x-satisfice-difficulty`: as assessed from the prompt, 0 to 1.
    pub assessed: f64,
}

/// The share of right answers with its score interval (Wilson 1927); of none, nothing is known.
pub fn measured(answered: &[Answered]) -> Quality {
    let mean = answered.iter().filter(|a| a.right).count() as f64 / answered.len().max(1) as f64;
    Quality::of_mean(mean, answered.len())
}

/// The share of the answers that each model of [`LADDER`] gave.
pub fn shares(answered: &[Answered]) -> [f64; LADDER.len()] {
    let one = 1.0 / answered.len().max(1) as f64;
    answered.iter().fold([0.0; LADDER.len()], |mut shares, a| {
        shares[a.model] += one;
        shares
    })
}

/// USD of all these requests.
pub fn spend(answered: &[Answered]) -> f64 {
    answered.iter().map(|a| a.cost_usd).sum()
}

/// What a fixed choice gives on puzzles, from the simulation's own curves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// Its interval holds 95% of what would be measured on these puzzles.
    pub quality: Quality,
    pub usd_per_1k: f64,
}

/// Always the same model.
pub fn always(model: &SimulatedModel, puzzles: &[Puzzle]) -> Expected {
    expected(puzzles.iter().map(|p| (model.chance(p), model.expected_cost(p))))
}

/// Any model, each as likely.
pub fn random(puzzles: &[Puzzle]) -> Expected {
    let mean = |of: &dyn Fn(&SimulatedModel) -> f64| LADDER.iter().map(of).sum::<f64>() / LADDER.len() as f64;
    expected(puzzles.iter().map(|p| (mean(&|m| m.chance(p)), mean(&|m| m.expected_cost(p)))))
}

/// Sums up (chance of a right answer, USD) of independent requests.
fn expected(requests: impl ExactSizeIterator<Item = (f64, f64)>) -> Expected {
    let n = requests.len().max(1) as f64;
    let (sum, variance, usd) =
        requests.fold((0.0, 0.0, 0.0), |(sum, var, usd), (p, cost)| (sum + p, var + p * (1.0 - p), usd + cost));
    let (mean, half) = (sum / n, Z * f64::sqrt(variance) / n);
    let quality = Quality { mean, low: (mean - half).max(0.0), high: (mean + half).min(1.0) };
    Expected { quality, usd_per_1k: 1_000.0 * usd / n }
}

/// A run so far, kept up request by request.
#[derive(Debug, Default)]
pub struct Tally {
    pub answered: Vec<Answered>,
    /// USD that the strongest model would have cost on the same puzzles.
    pub always_best_usd: f64,
    pub spent_usd: f64,
}

impl Tally {
    /// Takes in the next answer.
    pub fn add(&mut self, answered: Answered, puzzle: &Puzzle) {
        self.always_best_usd += strongest().expected_cost(puzzle);
        self.spent_usd += answered.cost_usd;
        self.answered.push(answered);
    }

    /// The last `n` answers, or all where there are fewer.
    pub fn last(&self, n: usize) -> &[Answered] {
        &self.answered[self.answered.len().saturating_sub(n)..]
    }

    /// The first `n` answers, or all where there are fewer.
    pub fn first(&self, n: usize) -> &[Answered] {
        &self.answered[..n.min(self.answered.len())]
    }
}

/// Pearson's correlation of the pairs; 0 where one side does not vary.
pub fn correlation(pairs: &[(f64, f64)]) -> f64 {
    let n = pairs.len().max(1) as f64;
    let (mx, my) = (pairs.iter().map(|p| p.0).sum::<f64>() / n, pairs.iter().map(|p| p.1).sum::<f64>() / n);
    let (sxy, sxx, syy) = pairs.iter().fold((0.0, 0.0, 0.0), |(sxy, sxx, syy), (x, y)| {
        let (dx, dy) = (x - mx, y - my);
        (sxy + dx * dy, sxx + dx * dx, syy + dy * dy)
    });
    if sxx * syy > 0.0 { sxy / f64::sqrt(sxx * syy) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::puzzles::generate;
    use super::super::scorer;
    use super::*;

    fn answers(right: usize, wrong: usize) -> Vec<Answered> {
        let one = |right| Answered {
            puzzle: 0,
            model: usize::from(right),
            right,
            cost_usd: 0.5,
            trace_id: String::new(),
            decision: String::new(),
            assessed: 0.0,
        };
        [vec![one(true); right], vec![one(false); wrong]].concat()
    }

    #[test]
    fn the_interval_is_wilsons() {
        // R: prop.test(81, 263, correct = FALSE) gives 0.2553–0.3662 (Newcombe 1998, table I).
        let quality = measured(&answers(81, 182));
        assert!((quality.low - 0.2553).abs() < 5e-5 && (quality.high - 0.3662).abs() < 5e-5, "{quality:?}");
        let all = measured(&answers(20, 0));
        assert!(all.mean == 1.0 && all.high == 1.0 && (all.low - 0.8389).abs() < 5e-5, "{all:?}");
        assert_eq!(measured(&[]), Quality { mean: 0.0, low: 0.0, high: 1.0 });
    }

    #[test]
    fn shares_and_spend_sum_up() {
        let answered = answers(3, 1);
        assert_eq!(shares(&answered), [0.25, 0.75, 0.0, 0.0, 0.0]);
        assert_eq!(spend(&answered), 2.0);
        assert_eq!(shares(&[]), [0.0; 5]);
    }

    #[test]
    fn a_measured_run_of_a_fixed_model_falls_into_its_expected_interval() {
        let puzzles = generate(21, 3_000);
        for model in &LADDER {
            let Expected { quality, .. } = always(model, &puzzles);
            let inside = (0..20)
                .filter(|seed| {
                    let right = puzzles.iter().filter(|p| scorer::is_right(&p.answer, &model.answer(p, *seed)));
                    let share = right.count() as f64 / puzzles.len() as f64;
                    quality.low <= share && share <= quality.high
                })
                .count();
            assert!(inside >= 15, "{}: {inside} of 20 runs", model.name);
        }
    }

    #[test]
    fn random_is_the_mean_of_the_fixed_models() {
        let puzzles = generate(2, 300);
        let fixed: Vec<Expected> = LADDER.iter().map(|m| always(m, &puzzles)).collect();
        let mean = |of: fn(&Expected) -> f64| fixed.iter().map(of).sum::<f64>() / 5.0;
        assert!((random(&puzzles).quality.mean - mean(|e| e.quality.mean)).abs() < 1e-9);
        assert!((random(&puzzles).usd_per_1k - mean(|e| e.usd_per_1k)).abs() < 1e-9);
    }

    #[test]
    fn correlation_is_pearsons() {
        assert!((correlation(&[(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)]) - 1.0).abs() < 1e-12);
        assert!((correlation(&[(1.0, 1.0), (2.0, 3.0), (3.0, 2.0)]) - 0.5).abs() < 1e-12);
        assert_eq!(correlation(&[(1.0, 1.0), (1.0, 2.0)]), 0.0);
    }
}
