//! The policy's prior from the network's heads: each model's θ with its uncertainty, and what models have in common.
//!
//! The heads are taken as the network found them. Refitting θ on φ of the same prompts overfits.

use super::data::{Dataset, Outcome, Prompt};
use super::latent::Latent;
use super::linear::{Cholesky, NotPositiveDefinite, add_outer, diagonal, dot};
use crate::difficulty::prior::{self, COUNTED, Head, Population, Prior, USUAL_SLOPE};

/// Variances of θ as the recorded workloads showed them. Of few models, or one workload, training cannot tell by how much
/// others differ, and two models lie on any slope.
struct Usual {
    /// Degrees of freedom for which they count.
    freedom: f64,
    intercept: f64,
    slope: f64,
}

/// Between models of one workload and price: 47 models of six workloads have ten times the degrees of freedom.
const WITHIN: Usual = Usual { freedom: 4.0, intercept: 0.68, slope: 0.006 };
/// Between workloads: counts as one more.
const BETWEEN: Usual = Usual { freedom: 1.0, intercept: 1.5, slope: 0.035 };

/// Variance of ln(output tokens) around its regression.
const LENGTH_NOISE: f64 = 0.3;
/// A newcomer may differ more than models that somebody chose to compare: added to the variance of its intercept …
const STRANGER_LEVEL: f64 = 0.06;
/// … and of each slope.
const STRANGER_SLOPE: f64 = 0.0025;

/// One arm's training data in the latent space.
struct Seen<'a> {
    phi: Vec<&'a [f64]>,
    /// ln(output tokens) − verbosity.
    lengths: Vec<f64>,
    /// How much each prompt counts.
    weights: Vec<f64>,
    log_price: f64,
}

/// Fits the prior. `phi` and `verbosity`: one per prompt.
pub fn prior(
    data: &Dataset,
    space: &Latent,
    phi: &[Vec<f64>],
    verbosity: &[f64],
) -> Result<Prior, NotPositiveDefinite> {
    let seen: Vec<Seen> = (0..data.arms.len()).map(|arm| Seen::new(data, arm, phi, verbosity)).collect();
    let varies: Vec<usize> = (0..data.arms.len()).filter(|&arm| !super::is_constant(data, arm)).collect();
    let lengths: Vec<Vec<f64>> = seen.iter().map(Seen::length_regression).collect::<Result<_, _>>()?;
    let quality = quality(data, space, &seen, &varies);
    let population = Population {
        token_mean: mean(&lengths),
        token_variance: variances(&lengths).into_iter().map(|variance| variance + 0.01).collect(),
        ..quality
    };
    let head = |arm: usize| head(data, arm, &space.heads[arm], &seen[arm], &population);
    let heads = (0..data.arms.len()).filter(|&arm| !seen[arm].phi.is_empty()).map(head).collect::<Result<_, _>>()?;
    Ok(Prior { dimension: space.offset.len() + 1, population, heads })
}

fn head(data: &Dataset, arm: usize, theta: &[f64], seen: &Seen, all: &Population) -> Result<Head, NotPositiveDefinite> {
    let prior: Vec<f64> = all.within.iter().zip(&all.between).map(|(within, between)| within + between).collect();
    let (token_mean, token_covariance) = seen.lengths_given(&all.token_mean, &all.token_variance)?;
    Ok(Head {
        workload: data.workloads[data.arms[arm].workload].clone(),
        model: data.arms[arm].model.clone(),
        log_price: seen.log_price,
        prompts: seen.phi.len() as u32,
        effective: Some(seen.effective()),
        mean: theta.to_vec(),
        covariance: seen.uncertainty(theta, &prior)?,
        token_mean,
        token_covariance,
    })
}

/// What models have in common in quality; the regression of lengths is left empty.
fn quality(data: &Dataset, space: &Latent, seen: &[Seen], varies: &[usize]) -> Population {
    let workloads: Vec<Vec<usize>> = (0..data.workloads.len())
        .map(|workload| varies.iter().copied().filter(|&arm| data.arms[arm].workload == workload).collect())
        .filter(|arms: &Vec<usize>| !arms.is_empty())
        .collect();
    let theta = |arms: &[usize]| arms.iter().map(|&arm| space.heads[arm].clone()).collect::<Vec<_>>();
    let levels: Vec<Vec<f64>> = workloads.iter().map(|arms| mean(&theta(arms))).collect();
    let price_slope = price_slope(&workloads, space, seen);
    let (d, mut residuals) = (space.offset.len() + 1, Vec::new());
    for (arms, level) in workloads.iter().zip(&levels) {
        let usual = arms.iter().map(|&arm| seen[arm].log_price).sum::<f64>() / arms.len() as f64;
        for &arm in arms {
            let mut residual: Vec<f64> =
                space.heads[arm].iter().zip(level).map(|(theta, level)| theta - level).collect();
            residual[0] -= price_slope * (seen[arm].log_price - usual);
            residuals.push(residual);
        }
    }
    let within = WITHIN.beside(&about(&residuals, &vec![0.0; d]), residuals.len().saturating_sub(levels.len() + 1));
    let between = BETWEEN.beside(&about(&levels, &mean(&levels)), levels.len().saturating_sub(1));
    let stranger = |i: usize| if i == 0 { STRANGER_LEVEL } else { STRANGER_SLOPE };
    Population {
        price_slope,
        within: within.into_iter().enumerate().map(|(i, variance)| variance + stranger(i)).collect(),
        between: between.into_iter().map(|variance| variance + 0.01).collect(),
        mean: mean(&levels),
        token_mean: Vec::new(),
        token_variance: Vec::new(),
    }
}

impl Usual {
    /// θ's variances where `squares` were seen with so much `freedom`: as by a scaled inverse χ².
    fn beside(&self, squares: &[f64], freedom: usize) -> Vec<f64> {
        let usual = |i: usize| if i == 0 { self.intercept } else { self.slope };
        let variance =
            |(i, squares): (usize, &f64)| (self.freedom * usual(i) + squares) / (self.freedom + freedom as f64);
        squares.iter().enumerate().map(variance).collect()
    }
}

/// Slope of θ's intercept on log price: the median over workloads and what is usual, for one of them may turn it round (of
/// small models that were tuned for its very prompts, say).
fn price_slope(workloads: &[Vec<usize>], space: &Latent, seen: &[Seen]) -> f64 {
    let model = |&arm: &usize| (seen[arm].log_price, space.heads[arm][0]);
    let slope = |arms: &Vec<usize>| prior::price_slope(&arms.iter().map(model).collect::<Vec<_>>());
    let mut slopes: Vec<f64> = workloads.iter().map(slope).chain([USUAL_SLOPE]).collect();
    slopes.sort_by(f64::total_cmp);
    let middle = slopes.len() / 2;
    if slopes.len() % 2 == 1 { slopes[middle] } else { (slopes[middle - 1] + slopes[middle]) / 2.0 }
}

impl<'a> Seen<'a> {
    fn new(data: &Dataset, arm: usize, phi: &'a [Vec<f64>], verbosity: &[f64]) -> Self {
        let outcome = |prompt: &Prompt| prompt.outcomes.iter().find(|outcome| outcome.arm == arm).copied();
        let rows = data.prompts.iter().enumerate().filter_map(|(i, prompt)| Some((i, outcome(prompt)?)));
        let (mut seen, mut outcomes) =
            (Self { phi: vec![], lengths: vec![], weights: vec![], log_price: 0.0 }, Vec::new());
        for (i, outcome) in rows {
            seen.phi.push(&phi[i]);
            seen.lengths.push(outcome.log_length() - verbosity[i]);
            seen.weights.push(outcome.weight);
            outcomes.push(outcome);
        }
        let (input, output) = prices(&outcomes);
        Self { log_price: Prior::log_price(input, output), ..seen }
    }

    /// Ridge regression of lengths on φ.
    fn length_regression(&self) -> Result<Vec<f64>, NotPositiveDefinite> {
        const RIDGE: f64 = 20.0;
        /// About what models answer: e⁵ = 148 tokens.
        const USUAL: f64 = 5.0;
        let d = self.phi.first().map_or(1, |phi| phi.len());
        let mut mean = vec![0.0; d];
        mean[0] = USUAL;
        Ok(self.posterior(&mean, &vec![1.0 / RIDGE; d], 1.0, 1.0)?.0)
    }

    /// The regression that starts from the population's, with its covariance.
    fn lengths_given(&self, mean: &[f64], variance: &[f64]) -> Result<(Vec<f64>, Vec<f64>), NotPositiveDefinite> {
        self.posterior(mean, variance, LENGTH_NOISE, self.discount())
    }

    /// Normal posterior of the lengths' regression; each prompt counts `discount`.
    fn posterior(
        &self,
        mean: &[f64],
        variance: &[f64],
        noise: f64,
        discount: f64,
    ) -> Result<(Vec<f64>, Vec<f64>), NotPositiveDefinite> {
        let d = mean.len();
        let mut precision = diagonal(&variance.iter().map(|variance| 1.0 / variance).collect::<Vec<_>>());
        let mut right: Vec<f64> = mean.iter().zip(variance).map(|(mean, variance)| mean / variance).collect();
        for ((phi, length), weight) in self.phi.iter().zip(&self.lengths).zip(&self.weights) {
            let worth = weight * discount / noise;
            add_outer(&mut precision, phi, worth);
            right.iter_mut().zip(*phi).for_each(|(sum, x)| *sum += worth * length * x);
        }
        let factor = Cholesky::new(precision, d)?;
        Ok((factor.solve(&right), factor.inverse()))
    }

    /// Laplace's covariance of θ: (S₀⁻¹ + discount · Σ p(1 − p) φφᵀ)⁻¹.
    fn uncertainty(&self, theta: &[f64], prior: &[f64]) -> Result<Vec<f64>, NotPositiveDefinite> {
        let mut precision = diagonal(&prior.iter().map(|variance| 1.0 / variance).collect::<Vec<_>>());
        let discount = self.discount();
        for (phi, weight) in self.phi.iter().zip(&self.weights) {
            let p = 1.0 / (1.0 + (-dot(theta, phi)).exp());
            add_outer(&mut precision, phi, weight * discount * (p * (1.0 - p)).max(1e-3));
        }
        Ok(Cholesky::new(precision, theta.len())?.inverse())
    }

    /// What a prompt of weight 1 counts: together they count as many as they are by their effect, and [`COUNTED`] at most.
    fn discount(&self) -> f64 {
        let sum: f64 = self.weights.iter().sum();
        if sum > 0.0 { COUNTED.min(self.effective()) / sum } else { 1.0 }
    }

    /// (Σw)² / Σw²: so many prompts of equal weight say as much.
    fn effective(&self) -> f64 {
        let (sum, squares) = self.weights.iter().fold((0.0, 0.0), |(sum, squares), w| (sum + w, squares + w * w));
        if sum > 0.0 { sum * sum / squares } else { 0.0 }
    }
}

impl Outcome {
    /// ln of the output tokens, at least one.
    pub(super) fn log_length(&self) -> f64 {
        self.output_tokens.max(1.0).ln()
    }
}

/// USD per million input and output tokens, by least squares on what calls cost; one price for both where the calls do
/// not tell them apart.
pub fn prices(outcomes: &[Outcome]) -> (f64, f64) {
    let sum = |f: &dyn Fn(&Outcome) -> f64| outcomes.iter().map(f).sum::<f64>();
    let (ii, oo) = (sum(&|o| o.input_tokens * o.input_tokens), sum(&|o| o.output_tokens * o.output_tokens));
    let io = sum(&|o| o.input_tokens * o.output_tokens);
    let (ic, oc) = (sum(&|o| o.input_tokens * o.cost_usd), sum(&|o| o.output_tokens * o.cost_usd));
    let determinant = ii * oo - io * io;
    let (input, output) = ((oo * ic - io * oc) / determinant, (ii * oc - io * ic) / determinant);
    if determinant > 1e-9 * ii * oo && input >= 0.0 && output >= 0.0 {
        return (1e6 * input, 1e6 * output);
    }
    let blended = 1e6 * sum(&|o| o.cost_usd) / sum(&|o| o.input_tokens + o.output_tokens).max(1.0);
    (blended, blended)
}

fn mean(rows: &[Vec<f64>]) -> Vec<f64> {
    let d = rows.first().map_or(0, Vec::len);
    (0..d).map(|i| rows.iter().map(|row| row[i]).sum::<f64>() / rows.len() as f64).collect()
}

fn variances(rows: &[Vec<f64>]) -> Vec<f64> {
    let freedom = rows.len().saturating_sub(1).max(1) as f64;
    about(rows, &mean(rows)).into_iter().map(|squares| squares / freedom).collect()
}

/// Sums of squared distances to a centre.
fn about(rows: &[Vec<f64>], centre: &[f64]) -> Vec<f64> {
    let squares = |i: usize| rows.iter().map(|row| (row[i] - centre[i]).powi(2)).sum();
    (0..centre.len()).map(squares).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(input: f64, output: f64, cost_usd: f64) -> Outcome {
        Outcome { arm: 0, quality: 1.0, cost_usd, input_tokens: input, output_tokens: output, said: None, weight: 1.0 }
    }

    #[test]
    fn many_models_show_by_how_much_they_differ_and_two_of_one_workload_do_not() {
        assert_eq!(WITHIN.beside(&[0.001, 0.001], 0), [WITHIN.intercept + 0.000_25, WITHIN.slope + 0.000_25]);
        assert_eq!(BETWEEN.beside(&[0.0, 0.0], 0), [BETWEEN.intercept, BETWEEN.slope]);
        let many = WITHIN.beside(&[40.0 * 0.5, 40.0 * 0.02], 40);
        assert!((many[0] - 0.5).abs() < 0.02 && (many[1] - 0.02).abs() < 0.002, "{many:?}");
    }

    #[test]
    fn prices_are_found_from_what_calls_cost() {
        let cost = |input: f64, output: f64| (2.5 * input + 10.0 * output) * 1e-6;
        let calls: Vec<_> = [(100.0, 20.0), (50.0, 300.0), (10.0, 10.0)].map(|(i, o)| call(i, o, cost(i, o))).into();
        let (input, output) = prices(&calls);
        assert!((input - 2.5).abs() < 1e-6 && (output - 10.0).abs() < 1e-6, "{input} {output}");
        let (input, output) = prices(&[call(100.0, 1.0, 0.0002), call(100.0, 1.0, 0.0002)]);
        assert!(input == output && (input - 1.980_198).abs() < 1e-5, "{input}");
    }
}
