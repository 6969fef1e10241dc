//! The network, fitted in candle: logit of (prompt, arm) = z(x) · θ_arm + c_arm with z = B [x, h(x)] of low rank and
//! h(x) a layer of rectified units.
//!
//! Models share slopes by name: θ of an arm is its model's plus ρ times its own, so that what a workload says of a
//! model helps another workload, and cannot force it. Loss: weighted cross-entropy with quality as a soft label;
//! AdamW, cosine schedule, dropout on inputs and units.

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::data::Dataset;
use super::hidden::Hidden;
use super::options::Options;

/// How much of its slopes an arm has for itself.
const OWN: f32 = 0.5;

/// A fitted network.
#[derive(Debug)]
pub struct Fit {
    pub hidden: Hidden,
    /// B: one row of rank values per feature, then one per hidden unit.
    pub projection: Vec<Vec<f64>>,
    /// θ: one row of rank values an arm.
    pub slopes: Vec<Vec<f64>>,
    /// c: one per arm.
    pub intercepts: Vec<f64>,
}

/// Prompts as tensors: everything that stays the same from batch to batch.
pub struct Batches {
    inputs: Tensor,
    /// Quality, 0 where unknown.
    labels: Tensor,
    /// Weight of each (prompt, arm), 0 where unknown.
    weights: Tensor,
    /// See [`sharing`].
    sharing: Tensor,
    prompts: usize,
    width: usize,
}

/// A network while it is fitted.
pub struct Parameters {
    hidden: Var,
    hidden_offset: Var,
    projection: Var,
    slopes: Var,
    intercepts: Var,
    /// Own and shared slopes → slopes of the arms.
    sharing: Tensor,
}

/// Fits the network to `batches`, for `epochs` of the `options.epochs` that the schedule is made for. `after_epoch` hears
/// of the network as it then is.
///
/// # Errors
/// candle's.
pub fn fit(
    batches: &Batches,
    options: &Options,
    epochs: usize,
    after_epoch: &mut dyn FnMut(&Parameters) -> Result<()>,
) -> Result<Fit> {
    let mut rng = StdRng::seed_from_u64(options.seed);
    let parameters = Parameters::new(batches, options, &mut rng)?;
    let mut optimizers = parameters.optimizers(options)?;
    let size = options.batch.min(batches.prompts);
    let per_epoch = batches.prompts / size;
    let mut order: Vec<u32> = (0..batches.prompts as u32).collect();
    for epoch in 0..epochs {
        order.shuffle(&mut rng);
        for (i, rows) in order.chunks_exact(size).enumerate() {
            let done = (epoch * per_epoch + i + 1) as f64 / (options.epochs * per_epoch) as f64;
            let rate = options.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
            let gradients = batches.batch_loss(&parameters, rows, options.dropout, &mut rng)?.backward()?;
            for optimizer in &mut optimizers {
                optimizer.set_learning_rate(rate);
                optimizer.step(&gradients)?;
            }
        }
        after_epoch(&parameters)?;
    }
    parameters.into_fit()
}

impl Batches {
    /// `inputs`: one standardised row per prompt.
    pub fn new(data: &Dataset, inputs: &[Vec<f32>]) -> Result<Self> {
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
            sharing: sharing(data)?,
            prompts,
            width,
        })
    }

    /// Mean loss a prompt of a network that was fitted to others, with nothing dropped.
    pub fn loss(&self, parameters: &Parameters) -> Result<f32> {
        let losses = cross_entropy(&parameters.logits(&self.inputs, None)?, &self.labels)?;
        ((losses * &self.weights)?.sum_all()? / self.prompts as f64)?.to_scalar()
    }

    fn batch_loss(&self, parameters: &Parameters, rows: &[u32], dropout: f32, rng: &mut StdRng) -> Result<Tensor> {
        let index = Tensor::new(rows, &Device::Cpu)?;
        let inputs = (self.inputs.index_select(&index, 0)? * mask((rows.len(), self.width), dropout, rng)?)?;
        let units = mask((rows.len(), parameters.hidden_offset.dim(0)?), dropout, rng)?;
        let labels = self.labels.index_select(&index, 0)?;
        let weights = self.weights.index_select(&index, 0)?;
        let losses = cross_entropy(&parameters.logits(&inputs, Some(&units))?, &labels)?;
        (losses * weights)?.sum_all()? / rows.len() as f64
    }
}

/// Zero for what is dropped, else what keeps the expectation.
fn mask((rows, columns): (usize, usize), dropout: f32, rng: &mut StdRng) -> Result<Tensor> {
    let kept = 1.0 / (1.0 - dropout);
    let draw = |_| if rng.random::<f32>() < dropout { 0.0 } else { kept };
    Tensor::from_vec((0..rows * columns).map(draw).collect(), (rows, columns), &Device::Cpu)
}

/// −y ln σ(l) − (1 − y) ln(1 − σ(l)) = max(l, 0) − y l + ln(1 + e^−|l|), which does not overflow.
fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let softplus = (logits.abs()?.neg()?.exp()? + 1.0)?.log()?;
    (logits.relu()? - (logits * labels)?)? + softplus
}

impl Parameters {
    fn new(batches: &Batches, options: &Options, rng: &mut StdRng) -> Result<Self> {
        let (width, units, rank) = (batches.width, options.hidden, options.rank);
        let shared = batches.sharing.dim(0)?;
        let mut slopes = uniform(rank * shared, 0.1, rng);
        // The first direction starts as the one on which all agree.
        slopes[..shared].iter_mut().for_each(|slope| *slope += 0.5);
        let mut projection = uniform(width * rank, 0.3 / (width as f32).sqrt(), rng);
        projection.extend(uniform(units * rank, 0.3 / (units as f32).sqrt(), rng));
        let hidden = uniform(width * units, 1.0 / (width as f32).sqrt(), rng);
        Ok(Self {
            hidden: Var::from_vec(hidden, (width, units), &Device::Cpu)?,
            hidden_offset: Var::zeros(units, DType::F32, &Device::Cpu)?,
            projection: Var::from_vec(projection, (width + units, rank), &Device::Cpu)?,
            slopes: Var::from_vec(slopes, (rank, shared), &Device::Cpu)?,
            intercepts: Var::from_tensor(&base_rates(batches)?)?,
            sharing: batches.sharing.clone(),
        })
    }

    /// One for what decays, one for what does not.
    fn optimizers(&self, options: &Options) -> Result<[AdamW; 2]> {
        let adam = |weight_decay| ParamsAdamW { lr: options.learning_rate, weight_decay, ..ParamsAdamW::default() };
        let decayed = [&self.hidden, &self.projection, &self.slopes].map(Var::clone).to_vec();
        let free = [&self.hidden_offset, &self.intercepts].map(Var::clone).to_vec();
        Ok([AdamW::new(decayed, adam(options.weight_decay))?, AdamW::new(free, adam(0.0))?])
    }

    /// `mask` multiplies the hidden units' values.
    fn logits(&self, inputs: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let units = inputs.matmul(&self.hidden)?.broadcast_add(&self.hidden_offset)?.relu()?;
        let units = mask.map_or_else(|| Ok(units.clone()), |mask| &units * mask)?;
        let slopes = self.slopes.matmul(&self.sharing)?;
        let extended = Tensor::cat(&[inputs, &units], 1)?;
        extended.matmul(&self.projection)?.matmul(&slopes)?.broadcast_add(&self.intercepts)
    }

    fn into_fit(self) -> Result<Fit> {
        let wide = |values: Vec<f32>| -> Vec<f64> { values.into_iter().map(f64::from).collect() };
        let rows = |matrix: &Tensor| Ok::<_, candle_core::Error>(matrix.to_vec2()?.into_iter().map(wide).collect());
        Ok(Fit {
            hidden: Hidden { weights: rows(&self.hidden.t()?)?, offset: wide(self.hidden_offset.to_vec1()?) },
            projection: rows(&self.projection)?,
            slopes: rows(&self.slopes.matmul(&self.sharing)?.t()?)?,
            intercepts: wide(self.intercepts.to_vec1()?),
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

/// One row per model name and one per arm; one column per arm. An arm whose quality never varies
/// says nothing of its model elsewhere, and shares with nobody.
fn sharing(data: &Dataset) -> Result<Tensor> {
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
    Tensor::from_vec(sharing, (rows, arms), &Device::Cpu)
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
