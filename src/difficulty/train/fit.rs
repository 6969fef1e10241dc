//! The network, fitted in candle: logit of (prompt, arm) = z(x) · θ_arm + c_arm with z = B x of low rank.
//!
//! Models share slopes by name: θ of an arm is its model's plus ρ times its own, so that what a workload says of a
//! model helps another workload, and cannot force it. Loss: weighted cross-entropy with quality as a soft label;
//! AdamW, cosine schedule, dropout on the inputs.

use candle_core::{Device, Result, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::data::Dataset;
use super::options::Options;

/// How much of its slopes an arm has for itself.
const OWN: f32 = 0.5;

/// A fitted network.
#[derive(Debug)]
pub struct Fit {
    /// B: one row of rank values a feature.
    pub projection: Vec<Vec<f64>>,
    /// θ: one row of rank values an arm.
    pub slopes: Vec<Vec<f64>>,
    /// c: one an arm.
    pub intercepts: Vec<f64>,
}

/// Everything that stays the same from batch to batch.
struct Batches {
    inputs: Tensor,
    /// Quality, 0 where unknown.
    labels: Tensor,
    /// Weight of each (prompt, arm), 0 where unknown.
    weights: Tensor,
    prompts: usize,
    width: usize,
}

struct Parameters {
    projection: Var,
    slopes: Var,
    intercepts: Var,
    /// Own and shared slopes → slopes of the arms.
    sharing: Tensor,
}

/// Fits the network to `inputs`, one standardised row a prompt. `progress` hears after every epoch.
///
/// # Errors
/// candle's.
pub fn fit(data: &Dataset, inputs: &[Vec<f32>], options: &Options, progress: &mut dyn FnMut()) -> Result<Fit> {
    let batches = Batches::new(data, inputs)?;
    let mut rng = StdRng::seed_from_u64(options.seed);
    let parameters = Parameters::new(data, &batches, options.rank, &mut rng)?;
    let adam = ParamsAdamW { lr: options.learning_rate, weight_decay: options.weight_decay, ..ParamsAdamW::default() };
    let mut decayed = AdamW::new(vec![parameters.projection.clone(), parameters.slopes.clone()], adam.clone())?;
    let mut free = AdamW::new(vec![parameters.intercepts.clone()], ParamsAdamW { weight_decay: 0.0, ..adam })?;
    let size = options.batch.min(batches.prompts);
    let per_epoch = batches.prompts / size;
    let mut order: Vec<u32> = (0..batches.prompts as u32).collect();
    for epoch in 0..options.epochs {
        order.shuffle(&mut rng);
        for (i, rows) in order.chunks_exact(size).enumerate() {
            let done = (epoch * per_epoch + i + 1) as f64 / (options.epochs * per_epoch) as f64;
            let rate = options.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
            let gradients = batches.loss(&parameters, rows, options.dropout, &mut rng)?.backward()?;
            for optimizer in [&mut decayed, &mut free] {
                optimizer.set_learning_rate(rate);
                optimizer.step(&gradients)?;
            }
        }
        progress();
    }
    parameters.into_fit()
}

impl Batches {
    fn new(data: &Dataset, inputs: &[Vec<f32>]) -> Result<Self> {
        let (prompts, arms) = (data.prompts.len(), data.arms.len());
        let width = inputs.first().map_or(0, Vec::len);
        let mut labels = vec![0f32; prompts * arms];
        let mut weights = vec![0f32; prompts * arms];
        for (i, (prompt, weight)) in data.prompts.iter().zip(data.weights()).enumerate() {
            for outcome in &prompt.outcomes {
                labels[i * arms + outcome.arm] = outcome.quality as f32;
                weights[i * arms + outcome.arm] = (weight * outcome.weight) as f32;
            }
        }
        Ok(Self {
            inputs: Tensor::from_vec(inputs.concat(), (prompts, width), &Device::Cpu)?,
            labels: Tensor::from_vec(labels, (prompts, arms), &Device::Cpu)?,
            weights: Tensor::from_vec(weights, (prompts, arms), &Device::Cpu)?,
            prompts,
            width,
        })
    }

    fn loss(&self, parameters: &Parameters, rows: &[u32], dropout: f32, rng: &mut StdRng) -> Result<Tensor> {
        let index = Tensor::new(rows, &Device::Cpu)?;
        let inputs = (self.inputs.index_select(&index, 0)? * self.mask(rows.len(), dropout, rng)?)?;
        let labels = self.labels.index_select(&index, 0)?;
        let weights = self.weights.index_select(&index, 0)?;
        let losses = cross_entropy(&parameters.logits(&inputs)?, &labels)?;
        (losses * weights)?.sum_all()? / rows.len() as f64
    }

    /// Zero for a dropped input, else what keeps the expectation.
    fn mask(&self, rows: usize, dropout: f32, rng: &mut StdRng) -> Result<Tensor> {
        let kept = 1.0 / (1.0 - dropout);
        let draw = |_| if rng.random::<f32>() < dropout { 0.0 } else { kept };
        Tensor::from_vec((0..rows * self.width).map(draw).collect(), (rows, self.width), &Device::Cpu)
    }
}

/// −y ln σ(l) − (1 − y) ln(1 − σ(l)) = max(l, 0) − y l + ln(1 + e^−|l|), which does not overflow.
fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let softplus = (logits.abs()?.neg()?.exp()? + 1.0)?.log()?;
    (logits.relu()? - (logits * labels)?)? + softplus
}

impl Parameters {
    fn new(data: &Dataset, batches: &Batches, rank: usize, rng: &mut StdRng) -> Result<Self> {
        let (sharing, shared) = sharing(data)?;
        let mut slopes = uniform(rank * shared, 0.1, rng);
        // The first direction starts as the one on which all agree.
        slopes[..shared].iter_mut().for_each(|slope| *slope += 0.5);
        let projection = uniform(batches.width * rank, 0.3 / (batches.width as f32).sqrt(), rng);
        Ok(Self {
            projection: Var::from_vec(projection, (batches.width, rank), &Device::Cpu)?,
            slopes: Var::from_vec(slopes, (rank, shared), &Device::Cpu)?,
            intercepts: Var::from_tensor(&base_rates(batches)?)?,
            sharing,
        })
    }

    fn logits(&self, inputs: &Tensor) -> Result<Tensor> {
        let slopes = self.slopes.matmul(&self.sharing)?;
        inputs.matmul(&self.projection)?.matmul(&slopes)?.broadcast_add(&self.intercepts)
    }

    fn into_fit(self) -> Result<Fit> {
        let wide = |rows: Vec<Vec<f32>>| rows.into_iter().map(|row| row.into_iter().map(f64::from).collect()).collect();
        let slopes = self.slopes.matmul(&self.sharing)?.t()?;
        let intercepts: Vec<f32> = self.intercepts.to_vec1()?;
        Ok(Fit {
            projection: wide(self.projection.to_vec2()?),
            slopes: wide(slopes.to_vec2()?),
            intercepts: intercepts.into_iter().map(f64::from).collect(),
        })
    }
}

/// The logit of each arm's weighted mean quality.
fn base_rates(batches: &Batches) -> Result<Tensor> {
    let scored = (&batches.labels * &batches.weights)?.sum(0)?;
    let total = batches.weights.sum(0)?.clamp(1e-9, f64::MAX)?;
    let mean = (scored / total)?.clamp(0.02, 0.98)?;
    (&mean / (1.0 - &mean)?)?.log()
}

/// One row a model name and one a arm; one column a arm. Also the number of rows. An arm whose quality never varies
/// says nothing of its model elsewhere, and shares with nobody.
fn sharing(data: &Dataset) -> Result<(Tensor, usize)> {
    let key = |i: usize| {
        let arm = &data.arms[i];
        if super::is_constant(data, i) { format!("{}/{}", arm.workload, arm.model) } else { arm.model.clone() }
    };
    let keys: Vec<String> = (0..data.arms.len()).map(key).collect();
    let mut names = keys.clone();
    names.sort();
    names.dedup();
    let (arms, rows) = (keys.len(), names.len() + keys.len());
    let mut sharing = vec![0f32; rows * arms];
    for (arm, key) in keys.iter().enumerate() {
        let name = names.partition_point(|name| name < key);
        sharing[name * arms + arm] = 1.0;
        sharing[(names.len() + arm) * arms + arm] = OWN;
    }
    Ok((Tensor::from_vec(sharing, (rows, arms), &Device::Cpu)?, rows))
}

/// Uniform values with mean 0 and this standard deviation.
fn uniform(n: usize, deviation: f32, rng: &mut StdRng) -> Vec<f32> {
    let half = deviation * 3f32.sqrt();
    (0..n).map(|_| (2.0 * rng.random::<f32>() - 1.0) * half).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cross_entropy_is_right_and_does_not_overflow() {
        let logits = Tensor::new(&[1f32, 2.0, -100.0, 100.0], &Device::Cpu).expect("tensor");
        let labels = Tensor::new(&[0.3f32, 1.0, 1.0, 0.25], &Device::Cpu).expect("tensor");
        let losses: Vec<f32> = cross_entropy(&logits, &labels).and_then(|l| l.to_vec1()).expect("finite");
        for (loss, expected) in losses.iter().zip([1.013_262, 0.126_928, 100.0, 75.0]) {
            assert!((loss - expected).abs() < 1e-4, "{losses:?}");
        }
    }
}
