//! The network as it is served: standardise, a hidden layer and a linear one in candle, clip; then how far from
//! training it is.

use candle_core::{CpuStorage, CustomOp1, Error, Layout};
use safetensors::SafeTensors;

use super::layers::Layers;
use super::{Context, DifficultyError};
use crate::features::{Features, SIGNAL_WIDTH};

/// Standardised features are clipped to ± this.
pub(super) const INPUT_LIMIT: f32 = 5.0;
/// z is clipped to ± this.
pub(super) const LATENT_LIMIT: f32 = 4.0;
/// ln of the relative answer length is clipped to ± this.
const VERBOSITY_LIMIT: f32 = 3.0;

/// The trained weights, as they lie in `network.safetensors`.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// Mean of each feature in training, [width](Self::width) values.
    pub mean: Vec<f32>,
    /// Standard deviation of each, > 0.
    pub deviation: Vec<f32>,
    /// A row a feature of a value a hidden unit.
    pub hidden: Vec<f32>,
    /// One per hidden unit.
    pub hidden_offset: Vec<f32>,
    /// Features + hidden units rows of (axes + 1): features and units → z, and in the last column → ln of the relative
    /// answer length.
    pub projection: Vec<f32>,
    /// axes + 1 values.
    pub offset: Vec<f32>,
    /// m₀: mean of the models' θ, axes + 1 values.
    pub ease: Vec<f32>,
    /// Difficulty −m₀·φ at the percentiles 0, 1, …, 100 of the training prompts.
    pub quantiles: Vec<f32>,
}

/// φ, difficulty, expected length and distance from training.
#[derive(Debug)]
pub struct Classifier {
    weights: Weights,
    layers: Layers,
    /// Of the standardised features.
    input: Layout,
}

impl Weights {
    /// Reads and checks `network.safetensors`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(file: &[u8]) -> Result<Self, String> {
        let tensors = SafeTensors::deserialize(file).map_err(|e| format!("no safetensors file, or cut off ({e})"))?;
        let read = |name| floats(&tensors, name);
        let weights = Self {
            mean: read("mean")?,
            deviation: read("deviation")?,
            hidden: read("hidden")?,
            hidden_offset: read("hidden_offset")?,
            projection: read("projection")?,
            offset: read("offset")?,
            ease: read("ease")?,
            quantiles: read("quantiles")?,
        };
        weights.check()?;
        Ok(weights)
    }

    /// Features that they are made for.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    fn check(&self) -> Result<(), String> {
        let (width, columns, units) = (self.width(), self.offset.len(), self.hidden_offset.len());
        let lengths = [
            ("deviation", self.deviation.len(), width),
            ("hidden", self.hidden.len(), width * units),
            ("projection", self.projection.len(), (width + units) * columns),
            ("ease", self.ease.len(), columns),
            ("quantiles", self.quantiles.len(), 101),
        ];
        match lengths.into_iter().find(|&(_, found, expected)| found != expected) {
            Some((name, found, expected)) => Err(format!("tensor {name} has {found} values, not {expected}")),
            None if width <= SIGNAL_WIDTH => {
                Err(format!("tensor mean has {width} values; more than {SIGNAL_WIDTH} are needed"))
            }
            None if units == 0 => Err("tensor hidden_offset has no values; at least 1 is needed".into()),
            None if columns < 2 => Err(format!("tensor offset has {columns} values; at least 2 are needed")),
            None if self.deviation.iter().any(|&deviation| deviation <= 0.0) => {
                Err("tensor deviation holds a value that is not above 0".into())
            }
            None => ascending("quantiles", &self.quantiles),
        }
    }

    /// The bytes of `network.safetensors`.
    ///
    /// # Errors
    /// Those of safetensors.
    pub fn serialize(&self) -> Result<Vec<u8>, safetensors::SafeTensorError> {
        let tensors = [
            ("mean", &self.mean),
            ("deviation", &self.deviation),
            ("hidden", &self.hidden),
            ("hidden_offset", &self.hidden_offset),
            ("projection", &self.projection),
            ("offset", &self.offset),
            ("ease", &self.ease),
            ("quantiles", &self.quantiles),
        ];
        let bytes =
            tensors.map(|(name, values)| (name, values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>()));
        let views: Result<Vec<_>, _> = bytes
            .iter()
            .map(|(name, bytes)| {
                let shape = vec![bytes.len() / 4];
                safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, bytes).map(|view| (*name, view))
            })
            .collect();
        safetensors::serialize(views?, None)
    }
}

fn ascending(name: &str, values: &[f32]) -> Result<(), String> {
    match values.windows(2).position(|pair| pair[0] > pair[1]) {
        Some(i) => Err(format!("tensor {name} must ascend, and value {} is less than the one before", i + 1)),
        None => Ok(()),
    }
}

/// A flat F32 tensor, all finite.
fn floats(tensors: &SafeTensors, name: &str) -> Result<Vec<f32>, String> {
    let tensor = tensors.tensor(name).map_err(|e| format!("tensor {name}: {e}"))?;
    if tensor.dtype() != safetensors::Dtype::F32 {
        return Err(format!("tensor {name} must be F32, not {:?}", tensor.dtype()));
    }
    let values: Vec<f32> = tensor.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    match values.iter().position(|value| !value.is_finite()) {
        Some(i) => Err(format!("tensor {name}: value {i} is not a finite number")),
        None => Ok(values),
    }
}

impl Classifier {
    /// A classifier of checked weights.
    pub fn new(weights: Weights) -> Self {
        Self { layers: Layers::new(&weights), input: Layout::contiguous(weights.width()), weights }
    }

    /// The trained weights.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// φ, difficulty, length and novelty of a request.
    ///
    /// # Errors
    /// The network failed; the caller falls back to a route's safest model.
    pub fn assess(&self, features: &Features) -> Result<Context, DifficultyError> {
        let inputs = self.standardise(&features.values)?;
        let novelty = novelty(features, &inputs);
        let outputs = self.forward(inputs).map_err(run)?;
        let (&verbosity, latent) = outputs.split_last().ok_or_else(|| DifficultyError::Run("no output".into()))?;
        // Far from training z is drawn to the mean, and its uncertainty grows.
        let shrink = 1.0 / (1.0 + novelty / 2.0);
        let z = latent.iter().map(|z| z.clamp(-LATENT_LIMIT, LATENT_LIMIT) * shrink);
        let phi: Vec<f32> = std::iter::once(1.0).chain(z).collect();
        let ease: f32 = phi.iter().zip(&self.weights.ease).map(|(phi, ease)| phi * ease).sum();
        Ok(Context {
            difficulty: percentile(&self.weights.quantiles, -ease),
            phi: phi.into_iter().map(f64::from).collect(),
            widening: 1.0 + f64::from(novelty),
            verbosity: f64::from(verbosity.clamp(-VERBOSITY_LIMIT, VERBOSITY_LIMIT) * shrink),
            input_tokens: features.input_tokens,
        })
    }

    /// (f − mean) / deviation, clipped.
    pub(super) fn standardise(&self, values: &[f32]) -> Result<Vec<f32>, DifficultyError> {
        let width = self.weights.width();
        if values.len() != width {
            return Err(DifficultyError::Run(format!("{} features, not {width}", values.len())));
        }
        Ok(standardise(values, &self.weights.mean, &self.weights.deviation))
    }

    /// The operation is called as it is: tensors of its input and its output would be made for nothing.
    fn forward(&self, inputs: Vec<f32>) -> candle_core::Result<Vec<f32>> {
        match self.layers.cpu_fwd(&CpuStorage::F32(inputs), &self.input)?.0 {
            CpuStorage::F32(outputs) => Ok(outputs),
            _ => Err(Error::Msg("outputs are not F32".into()).bt()),
        }
    }
}

/// (f − mean) / deviation, clipped to ± [`INPUT_LIMIT`].
pub(super) fn standardise(values: &[f32], mean: &[f32], deviation: &[f32]) -> Vec<f32> {
    let scaled = values.iter().zip(mean).zip(deviation).map(|((value, mean), deviation)| (value - mean) / deviation);
    scaled.map(|value| value.clamp(-INPUT_LIMIT, INPUT_LIMIT)).collect()
}

/// ν in [0, 6]: 0 for what training has seen, more the further a prompt is from it: by its signals or its embedding,
/// and in a script or language that the tokenizer cannot spell.
fn novelty(features: &Features, inputs: &[f32]) -> f32 {
    /// The 95 % quantile of the distance in training.
    const USUAL: f32 = 2.4;
    const MOST: f32 = 6.0;
    let distance = mean_square(&inputs[..SIGNAL_WIDTH]).max(mean_square(&inputs[SIGNAL_WIDTH..]));
    let script = features.script();
    let novelty = (distance - USUAL).max(0.0)
        + 10.0 * (script.unknown - 0.05).max(0.0)
        + 6.0 * (script.split - 0.30).max(0.0)
        + 4.0 * (script.non_ascii - 0.05).max(0.0);
    novelty.min(MOST)
}

/// Eight sums side by side: one would wait for each of its additions.
fn mean_square(values: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    for eight in values.chunks(sums.len()) {
        sums.iter_mut().zip(eight).for_each(|(sum, x)| *sum += x * x);
    }
    sums.iter().sum::<f32>() / values.len() as f32
}

/// Where `value` lies among ascending quantiles, 0 to 1, linear in between.
fn percentile(quantiles: &[f32], value: f32) -> f32 {
    let above = quantiles.partition_point(|&quantile| quantile <= value);
    let steps = (quantiles.len() - 1) as f32;
    match above {
        0 => 0.0,
        _ if above == quantiles.len() => 1.0,
        _ => {
            let (low, high) = (quantiles[above - 1], quantiles[above]);
            ((above - 1) as f32 + (value - low) / (high - low)) / steps
        }
    }
}

fn run(error: candle_core::Error) -> DifficultyError {
    DifficultyError::Run(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights() -> Weights {
        let (width, units, columns) = (SIGNAL_WIDTH + 1, 2, 2);
        Weights {
            mean: vec![0.0; width],
            deviation: vec![1.0; width],
            hidden: vec![0.5; width * units],
            hidden_offset: vec![0.0; units],
            projection: vec![0.5; (width + units) * columns],
            offset: vec![0.0; columns],
            ease: vec![1.0; columns],
            quantiles: (0..101).map(|percent| (percent / 2) as f32).collect(),
        }
    }

    #[test]
    fn weights_that_the_network_cannot_run_with_are_refused_and_named() {
        let parse = |weights: &Weights| Weights::parse(&weights.serialize().unwrap());
        assert_eq!(parse(&weights()).unwrap(), weights());
        let no_units = Weights {
            hidden: vec![],
            hidden_offset: vec![],
            projection: vec![0.5; 2 * weights().width()],
            ..weights()
        };
        let mut unsorted = weights();
        unsorted.quantiles.swap(40, 60);
        let mut flat = weights();
        flat.deviation[3] = 0.0;
        for (wrong, told) in [
            (no_units, "tensor hidden_offset has no values; at least 1 is needed"),
            (unsorted, "tensor quantiles must ascend, and value 41 is less than the one before"),
            (flat, "tensor deviation holds a value that is not above 0"),
            (Weights { ease: vec![1.0], ..weights() }, "tensor ease has 1 values, not 2"),
        ] {
            assert_eq!(parse(&wrong).unwrap_err(), told);
        }
    }

    #[test]
    fn percentiles_interpolate_and_stop_at_the_ends() {
        let quantiles = [-1.0, 0.0, 0.0, 2.0, 4.0];
        for (value, expected) in [(-2.0, 0.0), (-0.5, 0.125), (0.0, 0.5), (1.0, 0.625), (4.0, 1.0), (9.0, 1.0)] {
            assert_eq!(percentile(&quantiles, value), expected, "{value}");
        }
    }
}
