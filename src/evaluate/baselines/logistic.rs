//! Full-information logistic regression, one per model, on all features: what a plain linear classifier makes of them.

use super::Lesson;
use crate::difficulty::train::linear::{Cholesky, NotPositiveDefinite, add_outer, diagonal, dot};
use crate::evaluate::frontier::Forecast;
use crate::policy::sigmoid;

/// Penalty on squared weights, in prompts; the intercept has none to speak of.
const RIDGE: f64 = 100.0;
const FREE: f64 = 1e-6;
/// Standardised features are clipped to ± this.
const LIMIT: f64 = 5.0;
/// Steps at most, and the largest change of a weight that ends them.
const STEPS: usize = 200;
const STILL: f64 = 1e-4;

/// Quality by logistic regression with quality as a soft label, cost by linear regression, on standardised features.
///
/// # Errors
/// A feature is not finite.
pub fn logistic(lesson: &Lesson, prompts: &[&[f32]]) -> Result<Forecast, NotPositiveDefinite> {
    let scale = Scale::of(&lesson.features);
    let rows: Vec<Vec<f64>> = lesson.features.iter().map(|features| scale.apply(features)).collect();
    let models = lesson.quality.first().map_or(0, |row| row.len());
    let solver = Solver::new(&rows)?;
    let fits: Vec<Fit> = (0..models).map(|model| Fit::new(&solver, &rows, lesson, model)).collect();
    let mut forecast = Forecast::default();
    for x in prompts.iter().map(|prompt| scale.apply(prompt)) {
        forecast.quality.push(fits.iter().map(|fit| sigmoid(dot(&fit.quality, &x))).collect());
        forecast.cost.push(fits.iter().map(|fit| dot(&fit.cost, &x).max(0.0)).collect());
    }
    Ok(forecast)
}

/// One model's weights.
struct Fit {
    quality: Vec<f64>,
    cost: Vec<f64>,
}

impl Fit {
    fn new(solver: &Solver, rows: &[Vec<f64>], lesson: &Lesson, model: usize) -> Self {
        let quality: Vec<f64> = lesson.quality.iter().map(|row| row[model]).collect();
        let cost: Vec<f64> = lesson.cost.iter().map(|row| row[model]).collect();
        Self { quality: solver.logistic(rows, &quality), cost: solver.linear(rows, &cost) }
    }
}

/// XᵀX / 4 + ridge, factored once for all models: the curvature of the logistic loss is nowhere above it, so every step
/// with it goes downhill (Böhning & Lindsay, *Monotonicity of quadratic-approximation algorithms*, 1988).
struct Solver {
    factor: Cholesky,
    ridge: Vec<f64>,
}

impl Solver {
    fn new(rows: &[Vec<f64>]) -> Result<Self, NotPositiveDefinite> {
        let width = rows.first().map_or(0, Vec::len);
        let mut ridge = vec![RIDGE; width];
        ridge.iter_mut().take(1).for_each(|free| *free = FREE);
        let mut bound = diagonal(&ridge);
        rows.iter().for_each(|x| add_outer(&mut bound, x, 0.25));
        Ok(Self { factor: Cholesky::new(bound, width)?, ridge })
    }

    fn logistic(&self, rows: &[Vec<f64>], labels: &[f64]) -> Vec<f64> {
        let mut weights = vec![0.0; self.ridge.len()];
        for _ in 0..STEPS {
            let step = self.factor.solve(&self.gradient(rows, labels, &weights, sigmoid));
            weights.iter_mut().zip(&step).for_each(|(weight, step)| *weight += step);
            if step.iter().all(|step| step.abs() < STILL) {
                break;
            }
        }
        weights
    }

    /// Least squares with a ridge of four times [`RIDGE`]: the same matrix serves.
    fn linear(&self, rows: &[Vec<f64>], targets: &[f64]) -> Vec<f64> {
        let gradient = self.gradient(rows, targets, &vec![0.0; self.ridge.len()], |fit| fit);
        self.factor.solve(&gradient).into_iter().map(|weight| weight / 4.0).collect()
    }

    /// Xᵀ(y − f(Xw)) − ridge · w.
    fn gradient(&self, rows: &[Vec<f64>], labels: &[f64], weights: &[f64], link: fn(f64) -> f64) -> Vec<f64> {
        let mut gradient: Vec<f64> = weights.iter().zip(&self.ridge).map(|(weight, ridge)| -weight * ridge).collect();
        for (x, label) in rows.iter().zip(labels) {
            let residual = label - link(dot(x, weights));
            gradient.iter_mut().zip(x).for_each(|(sum, x)| *sum += residual * x);
        }
        gradient
    }
}

/// Mean and deviation of each feature.
struct Scale(Vec<(f64, f64)>);

impl Scale {
    fn of(rows: &[&[f32]]) -> Self {
        let n = rows.len() as f64;
        let moments = |i: usize| {
            let mean = rows.iter().map(|row| f64::from(row[i])).sum::<f64>() / n;
            let variance = rows.iter().map(|row| (f64::from(row[i]) - mean).powi(2)).sum::<f64>() / n;
            (mean, variance.sqrt() + 1e-6)
        };
        Self((0..rows.first().map_or(0, |row| row.len())).map(moments).collect())
    }

    /// [1, standardised features].
    fn apply(&self, row: &[f32]) -> Vec<f64> {
        let scaled = row.iter().zip(&self.0).map(|(&x, (mean, deviation))| (f64::from(x) - mean) / deviation);
        std::iter::once(1.0).chain(scaled.map(|x| x.clamp(-LIMIT, LIMIT))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_telling_feature_the_mean_is_predicted() {
        let features = [[1.0f32], [1.0], [1.0], [1.0]];
        let lesson = Lesson {
            features: features.iter().map(|row| &row[..]).collect(),
            quality: vec![&[1.0], &[1.0], &[1.0], &[0.0]],
            cost: vec![&[1.0], &[2.0], &[3.0], &[6.0]],
        };
        let forecast = logistic(&lesson, &[&[1.0]]).expect("fits");
        assert!((forecast.quality[0][0] - 0.75).abs() < 1e-3, "{forecast:?}");
        assert!((forecast.cost[0][0] - 3.0).abs() < 1e-3, "{forecast:?}");
    }

    #[test]
    fn the_weights_are_where_the_penalised_likelihood_is_level() {
        let features: Vec<[f32; 2]> = (0..400).map(|i| [(i % 7) as f32, ((i * i) % 11) as f32]).collect();
        let labels: Vec<f64> = (0..400).map(|i| f64::from(u8::from(i % 7 > 2 || i % 5 == 0))).collect();
        let rows: Vec<&[f32]> = features.iter().map(|row| &row[..]).collect();
        let scale = Scale::of(&rows);
        let rows: Vec<Vec<f64>> = rows.iter().map(|row| scale.apply(row)).collect();
        let solver = Solver::new(&rows).expect("fits");
        let weights = solver.logistic(&rows, &labels);
        let gradient = solver.gradient(&rows, &labels, &weights, sigmoid);
        assert!(gradient.iter().all(|slope| slope.abs() < 0.05), "{gradient:?}");
        assert!(weights[1] > 0.3, "{weights:?}");
    }
}
