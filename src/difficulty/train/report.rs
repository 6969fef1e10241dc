//! How a trained network does on prompts that it did not see.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Trained;
use super::calibration::{Bin, Judged, auc, calibration_error, reliability};
use super::data::{Dataset, Outcome};
use super::linear::dot;
use crate::difficulty::DifficultyError;

/// By workload.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub prompts: usize,
    pub workloads: Vec<WorkloadReport>,
}

/// One workload.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkloadReport {
    pub workload: String,
    pub prompts: usize,
    /// Prompts that all of the models answered.
    pub complete: usize,
    /// The model with the highest mean quality, on the complete prompts if there are any.
    pub best: String,
    /// On the complete prompts. `None` where there are none, for what another model would have answered is not known, and
    /// where the best model costs nothing.
    #[serde(flatten)]
    pub costs: Option<Costs>,
    pub arms: Vec<ArmReport>,
}

/// The frontier of plug-in routing: the least cost that keeps a share of the best model's quality, as a share of that
/// model's cost; `None` if none does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Costs {
    pub cost_at_90: Option<f64>,
    pub cost_at_95: Option<f64>,
    pub cost_at_99: Option<f64>,
    pub cost_at_100: Option<f64>,
}

impl Costs {
    /// Shares of the best model's quality, in percent, as the fields have them.
    pub const BARS: [u8; 4] = [90, 95, 99, 100];

    /// In the order of [`Costs::BARS`].
    pub fn all(self) -> [Option<f64>; 4] {
        [self.cost_at_90, self.cost_at_95, self.cost_at_99, self.cost_at_100]
    }
}

/// One model of a workload.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ArmReport {
    pub model: String,
    pub prompts: usize,
    /// Mean quality.
    pub quality: f64,
    /// Chance that of a better and a worse answered prompt the better is ranked higher, by quality above or not above
    /// the median; `None` if all are equal.
    pub auc: Option<f64>,
    /// Expected calibration error over ten bins of equal size.
    pub ece: f64,
    /// The bins that it is the mean over.
    pub reliability: Vec<Bin>,
}

/// A prompt and an arm: what was predicted, and what happened.
struct Case {
    prompt: usize,
    outcome: Outcome,
    quality: f64,
    cost: f64,
}

/// Judges `trained` on `data`, which it should not have seen.
///
/// # Errors
/// The network failed.
pub fn report(trained: &Trained, data: &Dataset) -> Result<Report, DifficultyError> {
    let cases = cases(trained, data)?;
    let of_workload = |workload: usize| {
        let cases: Vec<&Case> = cases.iter().filter(|case| data.arms[case.outcome.arm].workload == workload).collect();
        (!cases.is_empty()).then(|| workload_report(data, workload, &cases))
    };
    Ok(Report { prompts: data.prompts.len(), workloads: (0..data.workloads.len()).filter_map(of_workload).collect() })
}

fn cases(trained: &Trained, data: &Dataset) -> Result<Vec<Case>, DifficultyError> {
    let head = |arm: usize| {
        let (model, workload) = (&data.arms[arm].model, &data.workloads[data.arms[arm].workload]);
        trained.prior.heads.iter().find(|head| head.model == *model && head.workload == *workload)
    };
    let heads: Vec<_> = (0..data.arms.len()).map(head).collect();
    let prices: Vec<_> = (0..data.arms.len())
        .map(|arm| super::heads::prices(&data.of_arm(arm).map(|(_, outcome)| *outcome).collect::<Vec<_>>()))
        .collect();
    let mut cases = Vec::new();
    for (prompt, of) in data.prompts.iter().enumerate() {
        let context = trained.classifier.assess(&of.features)?;
        for &outcome in &of.outcomes {
            let Some(head) = heads[outcome.arm] else { continue };
            let (input, output) = prices[outcome.arm];
            let length = (context.verbosity + dot(&head.token_mean, &context.phi)).exp();
            cases.push(Case {
                prompt,
                outcome,
                quality: 1.0 / (1.0 + (-dot(&head.mean, &context.phi)).exp()),
                cost: (input * f64::from(context.input_tokens) + output * length) * 1e-6,
            });
        }
    }
    Ok(cases)
}

fn workload_report(data: &Dataset, workload: usize, cases: &[&Case]) -> WorkloadReport {
    let of_arm = |arm: usize| cases.iter().copied().filter(|case| case.outcome.arm == arm).collect::<Vec<_>>();
    let arms: Vec<_> = (0..data.arms.len())
        .map(|arm| (arm, of_arm(arm)))
        .filter(|(_, cases)| !cases.is_empty())
        .map(|(arm, cases)| (arm, arm_report(&data.arms[arm].model, &cases)))
        .collect();
    let prompts: Vec<&[&Case]> = cases.chunk_by(|a, b| a.prompt == b.prompt).collect();
    let complete: Vec<&[&Case]> = prompts.iter().copied().filter(|of| of.len() == arms.len()).collect();
    let best = best(if complete.is_empty() { &prompts } else { &complete });
    WorkloadReport {
        workload: data.workloads[workload].clone(),
        prompts: prompts.len(),
        complete: complete.len(),
        best: data.arms[best].model.clone(),
        costs: (arms.len() > 1).then(|| costs(best, &complete)).flatten(),
        arms: arms.into_iter().map(|(_, report)| report).collect(),
    }
}

/// The arm with the highest mean quality on these prompts, at least one.
fn best(prompts: &[&[&Case]]) -> usize {
    let mut arms: BTreeMap<usize, Vec<&Case>> = BTreeMap::new();
    prompts.iter().copied().flatten().for_each(|case| arms.entry(case.outcome.arm).or_default().push(case));
    let quality = |(arm, cases): (usize, Vec<&Case>)| (arm, weighted_quality(&cases));
    arms.into_iter().map(quality).max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(arm, _)| arm)
}

fn arm_report(model: &str, cases: &[&Case]) -> ArmReport {
    let judged = |case: &&Case| Judged { predicted: case.quality, found: case.outcome.quality };
    let judged: Vec<Judged> = cases.iter().map(judged).collect();
    ArmReport {
        model: model.to_owned(),
        prompts: cases.len(),
        quality: round(weighted_quality(cases)),
        auc: auc(&judged).map(round),
        ece: round(calibration_error(&judged)),
        reliability: reliability(&judged).into_iter().map(rounded).collect(),
    }
}

/// Mean quality; where a policy chose whom to ask, of what the model would have made of all prompts.
fn weighted_quality(cases: &[&Case]) -> f64 {
    let sum = |value: &dyn Fn(&Case) -> f64| cases.iter().map(|case| case.outcome.weight * value(case)).sum::<f64>();
    sum(&|case| case.outcome.quality) / sum(&|_| 1.0)
}

fn rounded(bin: Bin) -> Bin {
    Bin { predicted: round(bin.predicted), found: round(bin.found), ..bin }
}

/// To four digits: more would be noise.
fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// `prompts`: each with every model's answer. `None` of no prompts, or where the best model costs nothing.
fn costs(best: usize, prompts: &[&[&Case]]) -> Option<Costs> {
    let answers = prompts.iter().copied().flatten().copied();
    let (quality, cost) = total(answers.filter(|case| case.outcome.arm == best));
    let frontier = (cost > 0.0).then(|| frontier(prompts))?;
    let [cost_at_90, cost_at_95, cost_at_99, cost_at_100] = Costs::BARS.map(|percent| {
        let kept = frontier.iter().filter(|(found, _)| *found >= f64::from(percent) / 100.0 * quality);
        kept.map(|(_, spent)| spent / cost).min_by(f64::total_cmp).map(round)
    });
    Some(Costs { cost_at_90, cost_at_95, cost_at_99, cost_at_100 })
}

/// Quality and cost, summed, of `argmax ν·quality − cost`, for ν over all that is sensible.
fn frontier(prompts: &[&[&Case]]) -> Vec<(f64, f64)> {
    let costs: Vec<f64> = prompts.iter().copied().flatten().map(|case| case.cost).collect();
    let usual = costs.iter().sum::<f64>() / costs.len() as f64;
    let routed = |value: f64| {
        let worth = |case: &Case| value * case.quality - case.cost / usual;
        let chosen = prompts.iter().filter_map(|of| of.iter().max_by(|a, b| worth(a).total_cmp(&worth(b))));
        total(chosen.copied())
    };
    (0..=120).map(|step| routed(10f64.powf(-2.5 + 6.5 * f64::from(step) / 120.0))).collect()
}

/// Quality and cost of these answers.
fn total<'a>(cases: impl Iterator<Item = &'a Case>) -> (f64, f64) {
    cases.fold((0.0, 0.0), |(q, c), case| (q + case.outcome.quality, c + case.outcome.cost_usd))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(prompt: usize, arm: usize, quality: f64, predicted: f64, cost: f64) -> Case {
        let outcome =
            Outcome { arm, quality, cost_usd: cost, input_tokens: 1.0, output_tokens: 1.0, said: None, weight: 1.0 };
        Case { prompt, outcome, quality: predicted, cost }
    }

    fn costs_of(best: usize, cases: &[Case]) -> Option<[Option<f64>; 4]> {
        let cases: Vec<&Case> = cases.iter().collect();
        costs(best, &cases.chunk_by(|a, b| a.prompt == b.prompt).collect::<Vec<_>>()).map(Costs::all)
    }

    #[test]
    fn routing_asks_the_dear_model_only_where_it_is_needed() {
        let cases: Vec<Case> = (0..10)
            .flat_map(|i| {
                let easy = i < 8;
                let cheap = if easy { 1.0 } else { 0.0 };
                [case(i, 0, cheap, cheap, 1.0), case(i, 1, 1.0, 1.0, 10.0)]
            })
            .collect();
        assert_eq!(costs_of(1, &cases), Some([Some(0.28); 4]));
    }

    #[test]
    fn what_keeps_a_bar_costs_more_the_higher_it_is_and_a_wrong_prediction_keeps_none() {
        let answers =
            |i: usize, cheap: f64| [case(i, 0, cheap, 0.5 + 0.04 * i as f64, 1.0), case(i, 1, 1.0, 1.0, 10.0)];
        let cases: Vec<Case> = (0..10).flat_map(|i| answers(i, if i < 1 { 0.0 } else { 1.0 })).collect();
        assert_eq!(costs_of(1, &cases), Some([Some(0.1), Some(0.19), Some(0.19), Some(0.19)]));
        let dear: Vec<Case> = (0..2).flat_map(|i| [case(i, 0, 1.0, 0.5, 1.0), case(i, 1, 0.4, 0.9, 0.5)]).collect();
        assert_eq!(costs_of(0, &dear), Some([None; 4]), "the worse model looks better and costs less");
    }

    #[test]
    fn costs_are_of_the_prompts_that_all_models_answered_and_no_share_of_what_a_free_model_costs() {
        let arm = |model: &str| super::super::Arm { workload: 0, model: model.into() };
        let data = Dataset { workloads: vec!["w".into()], arms: vec![arm("small"), arm("large")], prompts: vec![] };
        let report = |cases: &[Case]| workload_report(&data, 0, &cases.iter().collect::<Vec<_>>());
        // The large model answered every other prompt, of which the small one cannot do any.
        let all = |i: usize| [case(i, 0, f64::from(i % 2 == 1), 0.9, 1.0), case(i, 1, 1.0, 0.95, 10.0)];
        let half: Vec<Case> =
            (0..20).flat_map(all).filter(|case| case.prompt % 2 == 0 || case.outcome.arm == 0).collect();
        let found = report(&half);
        assert_eq!((found.prompts, found.complete, found.best.as_str()), (20, 10, "large"));
        assert_eq!(found.costs.map(Costs::all), Some([Some(1.0); 4]));
        let alone: Vec<Case> = half.into_iter().filter(|case| case.prompt % 2 != case.outcome.arm).collect();
        let alone = report(&alone);
        assert_eq!((alone.complete, alone.best.as_str(), alone.costs), (0, "large", None), "one answer a prompt");
        let free: Vec<Case> = (0..4).flat_map(|i| [case(i, 0, 0.5, 0.5, 0.0), case(i, 1, 1.0, 1.0, 0.0)]).collect();
        assert_eq!(report(&free).costs, None);
    }
}
