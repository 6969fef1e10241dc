//! Training: prompts with known outcomes → the network's weights and the policy's prior. Pure, but it takes its time.

mod calibration;
mod data;
mod fit;
mod groups;
mod heads;
mod hidden;
mod latent;
mod length;
pub mod linear;
mod options;
mod report;
mod stopping;
mod whiten;

pub use calibration::{Bin, Judged, auc, calibration_error, reliability};
pub use data::{Arm, Dataset, Outcome, Prompt};
pub use groups::groups;
pub use heads::prices;
pub use options::Options;
pub use report::{ArmReport, Costs, Report, WorkloadReport, report};

use super::DifficultyError;
use super::network::{Classifier, Weights, standardise};
use super::prior::Prior;
use crate::features::SIGNAL_WIDTH;

/// What training makes.
#[derive(Debug)]
pub struct Trained {
    pub classifier: Classifier,
    pub prior: Prior,
}

/// Training cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error("{0} prompts are too few to train on; give at least {MIN_PROMPTS}")]
    TooFew(usize),
    #[error("every model has the same quality on every prompt; there is nothing to learn")]
    NothingToLearn,
    #[error(transparent)]
    Singular(#[from] linear::NotPositiveDefinite),
    #[error("the network cannot be fitted: {0}")]
    Fit(#[from] candle_core::Error),
    #[error(transparent)]
    Classifier(#[from] DifficultyError),
}

/// Prompts below this say too little.
const MIN_PROMPTS: usize = 50;
/// The optimiser is not free of scale: this lowers the embeddings' say against the signals', which are what holds on
/// subjects that training has not seen.
const EMBEDDING_SCALE: f32 = 0.2;

/// Fits network and prior. `progress` hears after every epoch: at most `options.members * options.epochs` times.
///
/// Same data and options on the same machine: same bits.
///
/// # Errors
/// Too little data, or values that are not finite.
pub fn train(data: &Dataset, options: &Options, progress: &mut dyn FnMut()) -> Result<Trained, TrainError> {
    if data.prompts.len() < MIN_PROMPTS {
        return Err(TrainError::TooFew(data.prompts.len()));
    }
    if (0..data.arms.len()).all(|arm| is_constant(data, arm)) {
        return Err(TrainError::NothingToLearn);
    }
    let (mean, deviation) = moments(data);
    let inputs: Vec<Vec<f32>> = data
        .prompts
        .iter()
        .map(|prompt| scale_embeddings(standardise(&prompt.features.values, &mean, &deviation)))
        .collect();
    let epochs = stopping::epochs(data, &inputs, options)?;
    let space = latent::latent_space(data, &inputs, options, epochs, progress)?;
    let length = length::Length::fit(data, &inputs)?;
    let phi: Vec<Vec<f64>> = inputs.iter().map(|input| space.phi(input)).collect();
    let prior = heads::prior(data, &space, &phi, &length.of(&inputs))?;
    let weights = weights(mean, deviation, &space, &length, &prior, &phi);
    Ok(Trained { classifier: Classifier::new(weights), prior })
}

/// Whether an arm's quality never varies (a comparison's reference).
fn is_constant(data: &Dataset, arm: usize) -> bool {
    let mut qualities = data.of_arm(arm).map(|(_, outcome)| outcome.quality);
    let first = qualities.next().unwrap_or_default();
    qualities.all(|quality| (quality - first).abs() < 1e-6)
}

/// Mean and standard deviation of each feature.
fn moments(data: &Dataset) -> (Vec<f32>, Vec<f32>) {
    let n = data.prompts.len() as f64;
    let column = |i: usize| data.prompts.iter().map(move |prompt| f64::from(prompt.features.values[i]));
    let moments = |i: usize| {
        let mean = column(i).sum::<f64>() / n;
        let variance = column(i).map(|value| (value - mean) * (value - mean)).sum::<f64>() / n;
        (mean as f32, (variance.sqrt() + 1e-6) as f32)
    };
    let width = data.prompts.first().map_or(0, |prompt| prompt.features.values.len());
    (0..width).map(moments).unzip()
}

fn scale_embeddings(mut input: Vec<f32>) -> Vec<f32> {
    input[SIGNAL_WIDTH..].iter_mut().for_each(|value| *value *= EMBEDDING_SCALE);
    input
}

/// Everything after standardising, with the embeddings' scale folded into the matrices.
fn weights(
    mean: Vec<f32>,
    deviation: Vec<f32>,
    space: &latent::Latent,
    length: &length::Length,
    prior: &Prior,
    phi: &[Vec<f64>],
) -> Weights {
    let width = mean.len();
    let scale = |feature: usize| {
        let embedded = (SIGNAL_WIDTH..width).contains(&feature);
        if embedded { f64::from(EMBEDDING_SCALE) } else { 1.0 }
    };
    let scaled = |feature: usize, value: f64| (value * scale(feature)) as f32;
    let hidden = &space.hidden;
    let into_units = |feature: usize| hidden.weights.iter().map(move |unit| scaled(feature, unit[feature]));
    // Nothing but the features says how long an answer will be.
    let lengths = length.slopes.iter().chain(std::iter::repeat(&0.0));
    let rows = space.projection.iter().zip(lengths).enumerate();
    let projection =
        rows.flat_map(|(feature, (row, length))| row.iter().chain([length]).map(move |&value| scaled(feature, value)));
    Weights {
        mean,
        deviation,
        hidden: (0..width).flat_map(into_units).collect(),
        hidden_offset: hidden.offset.iter().map(|&value| value as f32).collect(),
        projection: projection.collect(),
        offset: space.offset.iter().chain([&0.0]).map(|&value| value as f32).collect(),
        ease: prior.population.mean.iter().map(|&value| value as f32).collect(),
        quantiles: difficulty_quantiles(&prior.population.mean, phi),
    }
}

/// −m₀·φ at the percentiles 0, 1, …, 100.
fn difficulty_quantiles(ease: &[f64], phi: &[Vec<f64>]) -> Vec<f32> {
    let mut difficulties: Vec<f64> = phi.iter().map(|phi| -linear::dot(ease, phi)).collect();
    difficulties.sort_by(f64::total_cmp);
    let at = |percent: usize| difficulties[percent * (difficulties.len() - 1) / 100] as f32;
    (0..=100).map(at).collect()
}
