//! From fitted networks to φ: average them, cut them back to a low rank, whiten, keep the axes that matter.

use super::TrainError;
use super::data::Dataset;
use super::fit::{Batches, Fit, fit};
use super::hidden::Hidden;
use super::linear::{add_outer, dot, eigen, mirror};
use super::options::Options;
use super::whiten::whiten;
use crate::difficulty::network::LATENT_LIMIT;

/// z = [inputs, hidden units] · projection + offset, and every arm's θ in that space.
#[derive(Debug)]
pub struct Latent {
    pub hidden: Hidden,
    /// One row of axes per feature, then one per hidden unit.
    pub projection: Vec<Vec<f64>>,
    pub offset: Vec<f64>,
    /// θ: intercept and slopes, one row an arm.
    pub heads: Vec<Vec<f64>>,
}

/// Networks without a choice of axes: logit = [inputs, hidden units] · matrix + intercepts.
struct Logits {
    /// One row of arms per feature, then one per hidden unit.
    matrix: Vec<Vec<f64>>,
    intercepts: Vec<f64>,
}

/// Fits `options.members` networks for so many epochs and finds the latent space of their mean.
pub fn latent_space(
    data: &Dataset,
    inputs: &[Vec<f32>],
    options: &Options,
    epochs: usize,
    progress: &mut dyn FnMut(),
) -> Result<Latent, TrainError> {
    let batches = Batches::new(data, inputs)?;
    let members = (0..options.members as u64).map(|member| {
        let options = Options { seed: options.seed + 1000 * member, ..options.clone() };
        fit(&batches, &options, epochs, &mut |_| {
            progress();
            Ok(())
        })
    });
    let members = members.collect::<Result<Vec<_>, _>>()?;
    let hidden = Hidden::join(members.iter().map(|fit| &fit.hidden));
    let extended: Vec<Vec<f32>> = inputs.iter().map(|input| hidden.extend(input)).collect();
    let reduced = Logits::mean(&members, inputs[0].len()).reduce(hidden, &extended, options.rank);
    Ok(rotate(reduced, &extended, &data.weights(), options.axes))
}

impl Latent {
    /// φ = [1, z], z clipped.
    pub fn phi(&self, input: &[f32]) -> Vec<f64> {
        let z = product(&self.hidden.extend(input), &self.projection);
        let limit = f64::from(LATENT_LIMIT);
        std::iter::once(1.0)
            .chain(z.iter().zip(&self.offset).map(|(z, offset)| (z + offset).clamp(-limit, limit)))
            .collect()
    }
}

impl Logits {
    /// The mean of networks that look at the same `features`, each with hidden units of its own.
    fn mean(members: &[Fit], features: usize) -> Self {
        let (share, arms) = (1.0 / members.len() as f64, members[0].intercepts.len());
        let mut mean = Self { matrix: vec![vec![0.0; arms]; features], intercepts: vec![0.0; arms] };
        for fit in members {
            let row = |projection: &Vec<f64>| -> Vec<f64> {
                fit.slopes.iter().map(|slopes| share * dot(projection, slopes)).collect()
            };
            let (shared, own) = fit.projection.split_at(features);
            mean.matrix[..features].iter_mut().zip(shared).for_each(|(sum, projection)| add(sum, &row(projection)));
            mean.matrix.extend(own.iter().map(row));
            mean.intercepts.iter_mut().zip(&fit.intercepts).for_each(|(sum, value)| *sum += share * value);
        }
        mean
    }

    /// The closest network of this rank, in the metric of the inputs: a singular value decomposition of the logits.
    fn reduce(&self, hidden: Hidden, inputs: &[Vec<f32>], rank: usize) -> Fit {
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
            hidden,
            projection: self.matrix.iter().map(|row| directions.iter().map(|v| dot(v, row)).collect()).collect(),
            intercepts: (0..arms).map(|arm| self.intercepts[arm] + lost(arm)).collect(),
            slopes,
        }
    }
}

/// The network in white axes, of which the first `axes` are kept.
fn rotate(fit: Fit, inputs: &[Vec<f32>], weights: &[f64], axes: usize) -> Latent {
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
        hidden: fit.hidden,
    }
}

fn add(sum: &mut [f64], row: &[f64]) {
    sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
}

/// input · matrix, with one row per input value.
fn product(input: &[f32], matrix: &[Vec<f64>]) -> Vec<f64> {
    let mut out = vec![0.0; matrix.first().map_or(0, Vec::len)];
    for (&value, row) in input.iter().zip(matrix) {
        out.iter_mut().zip(row).for_each(|(sum, weight)| *sum += f64::from(value) * weight);
    }
    out
}
