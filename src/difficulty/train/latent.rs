//! From fitted networks to φ: average them, cut them back to a low rank, whiten, keep the axes that matter.

use super::TrainError;
use super::data::Dataset;
use super::fit::{Fit, fit};
use super::linear::{add_outer, dot, eigen, mirror};
use super::options::Options;
use super::whiten::whiten;
use crate::difficulty::network::LATENT_LIMIT;

/// z = inputs · projection + offset, and every arm's θ in that space.
#[derive(Debug)]
pub struct Latent {
    /// One row of axes a feature.
    pub projection: Vec<Vec<f64>>,
    pub offset: Vec<f64>,
    /// θ: intercept and slopes, one row an arm.
    pub heads: Vec<Vec<f64>>,
}

/// A network without a choice of axes: logit = input · matrix + intercepts.
struct Logits {
    /// One row of arms a feature.
    matrix: Vec<Vec<f64>>,
    intercepts: Vec<f64>,
}

/// Fits `options.members` networks and finds the latent space of their mean.
pub fn latent_space(
    data: &Dataset,
    inputs: &[Vec<f32>],
    options: &Options,
    progress: &mut dyn FnMut(),
) -> Result<Latent, TrainError> {
    let mut logits = Logits::zero(inputs[0].len(), data.arms.len());
    for member in 0..options.members {
        let options = Options { seed: options.seed + 1000 * member as u64, ..options.clone() };
        logits.add(&fit(data, inputs, &options, progress)?, 1.0 / options.members as f64);
    }
    let reduced = logits.reduce(inputs, options.rank);
    Ok(rotate(&reduced, inputs, &data.weights(), options.axes))
}

impl Latent {
    /// φ = [1, z], z clipped.
    pub fn phi(&self, input: &[f32]) -> Vec<f64> {
        let z = product(input, &self.projection);
        let limit = f64::from(LATENT_LIMIT);
        std::iter::once(1.0)
            .chain(z.iter().zip(&self.offset).map(|(z, offset)| (z + offset).clamp(-limit, limit)))
            .collect()
    }
}

impl Logits {
    fn zero(features: usize, arms: usize) -> Self {
        Self { matrix: vec![vec![0.0; arms]; features], intercepts: vec![0.0; arms] }
    }

    fn add(&mut self, fit: &Fit, weight: f64) {
        for (row, projection) in self.matrix.iter_mut().zip(&fit.projection) {
            row.iter_mut().zip(&fit.slopes).for_each(|(value, slopes)| *value += weight * dot(projection, slopes));
        }
        self.intercepts.iter_mut().zip(&fit.intercepts).for_each(|(sum, value)| *sum += weight * value);
    }

    /// The closest network of this rank, in the metric of the inputs: a singular value decomposition of the logits.
    fn reduce(&self, inputs: &[Vec<f32>], rank: usize) -> Fit {
        let arms = self.intercepts.len();
        let logits: Vec<Vec<f64>> = inputs.iter().map(|input| product(input, &self.matrix)).collect();
        let mean: Vec<f64> =
            (0..arms).map(|arm| logits.iter().map(|row| row[arm]).sum::<f64>() / logits.len() as f64).collect();
        let mut scatter = vec![0.0; arms * arms];
        for row in &logits {
            let centred: Vec<f64> = row.iter().zip(&mean).map(|(value, mean)| value - mean).collect();
            add_outer(&mut scatter, &centred, 1.0);
        }
        mirror(&mut scatter, arms);
        let directions: Vec<Vec<f64>> = eigen(scatter, arms).1.into_iter().take(rank).collect();
        let slopes: Vec<Vec<f64>> = (0..arms).map(|arm| directions.iter().map(|v| v[arm]).collect()).collect();
        let kept: Vec<f64> = directions.iter().map(|v| dot(v, &mean)).collect();
        let lost = |arm: usize| mean[arm] - dot(&kept, &slopes[arm]);
        Fit {
            projection: self.matrix.iter().map(|row| directions.iter().map(|v| dot(v, row)).collect()).collect(),
            intercepts: (0..arms).map(|arm| self.intercepts[arm] + lost(arm)).collect(),
            slopes,
        }
    }
}

/// The network in white axes, of which the first `axes` are kept.
fn rotate(fit: &Fit, inputs: &[Vec<f32>], weights: &[f64], axes: usize) -> Latent {
    let rows: Vec<Vec<f64>> = inputs.iter().map(|input| product(input, &fit.projection)).collect();
    let white = whiten(&rows, weights, &fit.slopes);
    let kept = &white.axes[..axes.min(white.axes.len())];
    let head = |(arm, slopes): (usize, &Vec<f64>)| {
        let level = fit.intercepts[arm] + dot(&white.mean, &fit.slopes[arm]);
        std::iter::once(level).chain(slopes.iter().take(kept.len()).copied()).collect()
    };
    Latent {
        projection: fit.projection.iter().map(|row| kept.iter().map(|axis| dot(axis, row)).collect()).collect(),
        offset: kept.iter().map(|axis| -dot(axis, &white.mean)).collect(),
        heads: white.slopes.iter().enumerate().map(head).collect(),
    }
}

/// input · matrix, with one row a input value.
fn product(input: &[f32], matrix: &[Vec<f64>]) -> Vec<f64> {
    let mut out = vec![0.0; matrix.first().map_or(0, Vec::len)];
    for (&value, row) in input.iter().zip(matrix) {
        out.iter_mut().zip(row).for_each(|(sum, weight)| *sum += f64::from(value) * weight);
    }
    out
}
