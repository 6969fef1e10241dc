//! What the arms are expected to answer to the newest requests: the quality and cost of each arm on each request.

use serde::{Deserialize, Serialize};

use super::decide::{mean_loading, set_apart};
use super::solution::Problem;
use super::window::{Ahead, contexts};

/// Scores after which an arm's own weighted residuals are believed by half, and the greatest weight of one.
const RESIDUAL_BELIEF: f64 = 400.0;
const GREATEST_WEIGHT: f64 = 10.0;

/// Predictions on the window, one row per request, one column per arm.
pub struct Forecast {
    pub quality: Vec<Vec<f64>>,
    pub cost: Vec<Vec<f64>>,
    pub summaries: Vec<Summary>,
}

/// One arm on the window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub quality: f64,
    pub deviation: f64,
    pub cost_usd: f64,
}

impl Forecast {
    /// Predicts each arm on each request of the window.
    pub fn new(problem: &Problem) -> Self {
        let d = problem.arms.first().map_or(0, |arm| arm.quality.dim());
        let contexts = contexts(&problem.rows, d);
        let (k, n) = (problem.arms.len(), contexts.len() as f64);
        let prices = problem.spec.prices();
        let mut gradients = vec![vec![0.0; d]; k];
        let (mut quality, mut cost) = (Vec::with_capacity(contexts.len()), Vec::with_capacity(contexts.len()));
        for Ahead { phi, verbosity, input_tokens, consults } in &contexts {
            let outlooks = problem.arms.iter().map(|arm| arm.outlook(problem.shift, phi, 1.0).quality);
            let row: Vec<f64> = outlooks.collect();
            for (gradient, p) in gradients.iter_mut().zip(&row) {
                let slope = p * (1.0 - p) / n;
                gradient.iter_mut().zip(phi).for_each(|(g, x)| *g += slope * x);
            }
            let arms = problem.arms.iter().zip(&prices);
            let mut costs: Vec<f64> =
                arms.map(|(arm, price)| arm.cost(price, phi, *verbosity, *input_tokens)).collect();
            if *consults {
                problem.panels.assemble(phi, &row, &mut costs);
            }
            cost.push(costs);
            quality.push(row);
        }
        let mut loadings: Vec<_> =
            problem.arms.iter().zip(&gradients).map(|(arm, gradient)| arm.loading(gradient)).collect();
        let usual = mean_loading(loadings.iter().map(Vec::as_slice));
        loadings.iter_mut().for_each(|loading| set_apart(loading, &usual));
        let variance = |i: usize| {
            problem.arms[i].quality.variance_along(&gradients[i]) + problem.shift.variance_along(&loadings[i])
        };
        let summary = |i: usize| Summary {
            quality: column_mean(&quality, i),
            deviation: variance(i).sqrt(),
            cost_usd: column_mean(&cost, i),
        };
        let summaries = (0..k).map(summary).collect();
        Self { quality, cost, summaries }
    }

    /// Moves each arm's mean quality by its own scored answers, weighted by 1/π: the doubly robust estimate (Dudík,
    /// Langford & Li, 2011), with clipped weights and shrunk by the effective number of scores. `answered`: the arm that
    /// each request of the window went to.
    pub fn correct(&mut self, problem: &Problem, answered: &[Option<usize>]) {
        let mut sums = vec![(0.0, 0.0, 0.0); problem.arms.len()];
        for ((row, arm), predicted) in problem.rows.iter().zip(answered).zip(&self.quality) {
            if let (Some(score), Some(arm)) = (row.score, *arm) {
                let weight = (1.0 / row.propensity).min(GREATEST_WEIGHT);
                let sum = &mut sums[arm];
                *sum = (sum.0 + weight, sum.1 + weight * weight, sum.2 + weight * (score - predicted[arm]));
            }
        }
        for (summary, (weights, squares, residuals)) in self.summaries.iter_mut().zip(sums) {
            if weights > 0.0 {
                let effective = weights * weights / squares;
                summary.quality += residuals / weights * effective / (effective + RESIDUAL_BELIEF);
            }
        }
    }
}

fn column_mean(rows: &[Vec<f64>], column: usize) -> f64 {
    rows.iter().map(|row| row[column]).sum::<f64>() / rows.len().max(1) as f64
}
