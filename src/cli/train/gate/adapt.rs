//! What a gateway with a classifier would know of these prompts' models by now.

use crate::difficulty::train::{Dataset, Outcome, Prompt, Trained};
use crate::difficulty::{ArmPrior, Classifier, Context, DifficultyError, Entrant, Head, Prior, RoutePrior};
use crate::policy::{Arm, Gaussian};

/// A classifier with a head for each arm of `data` that `new` has one for. They learn as a route's posteriors do: each
/// begins at `prior` and the arm's price, as `new` found it, and hears every outcome once, in the data's order.
///
/// # Errors
/// The network fails.
pub fn adapted(classifier: Classifier, prior: &Prior, data: &Dataset, new: &Prior) -> Result<Trained, DifficultyError> {
    let contexts: Vec<Context> =
        data.prompts.iter().map(|prompt| classifier.assess(&prompt.features)).collect::<Result<_, _>>()?;
    let known = heads(new, data);
    let mut adapted = Vec::new();
    for workload in 0..data.workloads.len() {
        let is_known = |arm: &usize| data.arms[*arm].workload == workload && known[*arm].is_some();
        let arms: Vec<usize> = (0..data.arms.len()).filter(is_known).collect();
        let log_price = |arm: usize| known[arm].map_or(0.0, |head| head.log_price);
        let entrant = |&arm: &usize| Entrant { name: &data.arms[arm].model, log_price: Some(log_price(arm)) };
        let begin = prior.route(&arms.iter().map(entrant).collect::<Vec<_>>());
        let rows: Vec<_> =
            data.prompts.iter().zip(&contexts).filter(|(prompt, _)| prompt.workload == workload).collect();
        let thetas = learned(&begin, &arms, &rows);
        for ((&arm, theta), begin) in arms.iter().zip(thetas).zip(begin.arms) {
            adapted.push(head(data, arm, (theta, log_price(arm)), begin, &rows));
        }
    }
    Ok(Trained { classifier, prior: Prior { heads: adapted, ..prior.clone() } })
}

/// θ of each arm, with the shift that they share.
fn learned(begin: &RoutePrior, arms: &[usize], rows: &[(&Prompt, &Context)]) -> Vec<Vec<f64>> {
    let mut posteriors: Vec<Arm> = begin.arms.iter().map(Arm::new).collect();
    let mut shift = Gaussian::about_zero(begin.shift.clone());
    for (prompt, context) in rows {
        for outcome in &prompt.outcomes {
            let Some(arm) = arms.iter().position(|arm| *arm == outcome.arm) else { continue };
            posteriors[arm].learn(&mut shift, &context.phi, outcome.quality, outcome.weight);
        }
    }
    posteriors.iter().map(|arm| arm.theta(&shift)).collect()
}

fn head(
    data: &Dataset,
    arm: usize,
    (mean, log_price): (Vec<f64>, f64),
    begin: ArmPrior,
    rows: &[(&Prompt, &Context)],
) -> Head {
    let outcomes = || rows.iter().filter_map(|(prompt, context)| Some((of(prompt, arm)?, *context)));
    let mut token_mean = begin.token_mean;
    token_mean[0] += surprise(outcomes(), &token_mean);
    Head {
        workload: data.workloads[data.arms[arm].workload].clone(),
        model: data.arms[arm].model.clone(),
        log_price,
        prompts: outcomes().count() as u32,
        effective: None,
        mean,
        covariance: begin.covariance,
        token_mean,
        token_covariance: begin.token_covariance,
    }
}

/// By how much answers are longer, in ln, than the regression says: a gateway learns that soon.
fn surprise<'a>(outcomes: impl Iterator<Item = (&'a Outcome, &'a Context)>, token_mean: &[f64]) -> f64 {
    let (mut sum, mut weights) = (0.0, 0.0);
    for (outcome, context) in outcomes {
        let predicted: f64 = token_mean.iter().zip(&context.phi).map(|(weight, x)| weight * x).sum();
        sum += outcome.weight * (outcome.output_tokens.max(1.0).ln() - context.verbosity - predicted);
        weights += outcome.weight;
    }
    if weights > 0.0 { sum / weights } else { 0.0 }
}

fn of(prompt: &Prompt, arm: usize) -> Option<&Outcome> {
    prompt.outcomes.iter().find(|outcome| outcome.arm == arm)
}

/// The head of each arm of `data`.
pub(super) fn heads<'a>(prior: &'a Prior, data: &Dataset) -> Vec<Option<&'a Head>> {
    let of = |arm: &crate::difficulty::train::Arm| {
        let workload = &data.workloads[arm.workload];
        prior.heads.iter().find(|head| head.model == arm.model && head.workload == *workload)
    };
    data.arms.iter().map(of).collect()
}
