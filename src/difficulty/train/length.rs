//! How long an answer will be, relative to what is usual for the model: a ridge regression on the features.

use super::data::{Dataset, Prompt};
use super::linear::{Cholesky, NotPositiveDefinite, add_outer};

/// ln of the relative length = slopes · standardised features.
#[derive(Debug)]
pub struct Length {
    pub slopes: Vec<f64>,
}

impl Length {
    /// Fits within workloads: what a whole workload's answers have in common is the arms' business.
    pub fn fit(data: &Dataset, inputs: &[Vec<f32>]) -> Result<Self, NotPositiveDefinite> {
        const RIDGE: f64 = 100.0;
        let width = inputs[0].len();
        let targets = targets(data);
        let centres = centres(data, inputs);
        let mut normal = super::linear::diagonal(&vec![RIDGE; width]);
        let mut right = vec![0.0; width];
        for (i, weight) in weights(data).into_iter().enumerate() {
            let centre = &centres[data.prompts[i].workload];
            let x: Vec<f64> = inputs[i].iter().zip(centre).map(|(&x, centre)| f64::from(x) - centre).collect();
            add_outer(&mut normal, &x, weight);
            right.iter_mut().zip(&x).for_each(|(sum, x)| *sum += weight * targets[i] * x);
        }
        Ok(Self { slopes: Cholesky::new(normal, width)?.solve(&right) })
    }

    /// The relative length of each prompt's answers, as logarithms.
    pub fn of(&self, inputs: &[Vec<f32>]) -> Vec<f64> {
        let length = |input: &Vec<f32>| {
            let sum: f64 = input.iter().zip(&self.slopes).map(|(&x, slope)| f64::from(x) * slope).sum();
            sum.clamp(-3.0, 3.0)
        };
        inputs.iter().map(length).collect()
    }
}

/// Mean over a prompt's arms of ln(output tokens), less the arm's mean.
fn targets(data: &Dataset) -> Vec<f64> {
    let usual: Vec<f64> = (0..data.arms.len())
        .map(|arm| {
            let (n, sum) =
                data.of_arm(arm).fold((0.0, 0.0), |(n, sum), (_, o)| (n + o.weight, sum + o.weight * o.log_length()));
            sum / f64::max(n, 1e-9)
        })
        .collect();
    let target = |prompt: &Prompt| {
        let sum: f64 = prompt.outcomes.iter().map(|outcome| outcome.log_length() - usual[outcome.arm]).sum();
        sum / prompt.outcomes.len().max(1) as f64
    };
    data.prompts.iter().map(target).collect()
}

/// A prompt counts by its workload's size to the power −½ and its outcomes' mean weight; 1 on average.
fn weights(data: &Dataset) -> Vec<f64> {
    let sizes = sizes(data);
    let outcomes = |prompt: &Prompt| {
        prompt.outcomes.iter().map(|outcome| outcome.weight).sum::<f64>() / prompt.outcomes.len().max(1) as f64
    };
    let raw = data.prompts.iter().map(|prompt| sizes[prompt.workload].powf(-0.5) * outcomes(prompt));
    let raw: Vec<f64> = raw.collect();
    let mean = raw.iter().sum::<f64>() / raw.len() as f64;
    raw.into_iter().map(|weight| weight / mean).collect()
}

/// Mean input of each workload.
fn centres(data: &Dataset, inputs: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let sizes = sizes(data);
    let mut centres = vec![vec![0.0; inputs[0].len()]; sizes.len()];
    for (prompt, input) in data.prompts.iter().zip(inputs) {
        let share = 1.0 / sizes[prompt.workload];
        centres[prompt.workload].iter_mut().zip(input).for_each(|(sum, &x)| *sum += share * f64::from(x));
    }
    centres
}

fn sizes(data: &Dataset) -> Vec<f64> {
    let mut sizes = vec![0.0; data.workloads.len()];
    data.prompts.iter().for_each(|prompt| sizes[prompt.workload] += 1.0);
    sizes
}
