//! A simulation's report as text.

use super::super::table::{aligned, range, three, usd};
use super::{OnlineReport, OnlineWorkload};
use crate::evaluate::online::{Estimate, PolicyReport};

/// What is summed up over the stream, column by column.
const TOTALS: [&str; 7] = [
    "regret",
    "regret to kNN",
    "utility",
    "utility gap to kNN",
    "adopted after",
    "detected after",
    "false alarms per 10k scores",
];

/// The whole report.
pub fn text(report: &OnlineReport) -> String {
    let trained =
        if report.trained_on_them { "; they were TRAINED on some of these prompts, which flatters them" } else { "" };
    let head = format!(
        "The whole loop simulated, {} orders; intervals: 95% of bootstrap resamples of the orders; weights {}{trained}.\n",
        report.seeds, report.weights
    );
    std::iter::once(head).chain(report.workloads.iter().map(workload)).collect()
}

fn workload(report: &OnlineWorkload) -> String {
    let knn = report.knn.map_or_else(String::new, |knn| {
        format!("; full-information kNN: {:.3}, {} USD per 1k", knn.quality, usd(knn.usd_per_1k))
    });
    let head = format!(
        "\n== {}: {} requests at {}; the best is {}: quality {:.3}, {} USD per 1k{knn}\n\n",
        report.workload,
        report.requests,
        report.knob,
        report.best,
        report.best_quality,
        usd(report.best_usd_per_1k)
    );
    head + &phases(&report.policies) + "\n" + &totals(&report.policies)
}

fn phases(policies: &[PolicyReport]) -> String {
    let head = ["policy", "phase", "quality", "of best", "USD per 1k", "of cost"].map(str::to_owned).to_vec();
    let rows = policies.iter().flat_map(|policy| {
        policy.phases.iter().map(|phase| {
            let figures = [phase.quality, phase.of_best_quality, phase.usd_per_1k, phase.of_best_cost].map(cell);
            [policy.policy.clone(), phase.phase.to_owned()].into_iter().chain(figures).collect()
        })
    });
    aligned(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

fn totals(policies: &[PolicyReport]) -> String {
    let figures = |policy: &PolicyReport| {
        let p = policy;
        [p.regret, p.knn_regret, p.utility, p.utility_gap, p.adopted_after, p.detected_after, p.false_alarms]
    };
    // What no policy has, its column would be empty.
    let asked: Vec<usize> = (0..TOTALS.len()).filter(|&i| policies.iter().any(|p| figures(p)[i].is_some())).collect();
    let head = std::iter::once("policy").chain(asked.iter().map(|&i| TOTALS[i])).map(str::to_owned).collect();
    let row = |policy: &PolicyReport| {
        let cells = asked.iter().map(|&i| cell(figures(policy)[i]));
        std::iter::once(policy.policy.clone()).chain(cells).collect()
    };
    aligned(&std::iter::once(head).chain(policies.iter().map(row)).collect::<Vec<_>>())
}

fn cell(estimate: Option<Estimate>) -> String {
    estimate.map_or_else(
        || "–".into(),
        |estimate| {
            let interval = estimate.interval.map_or_else(String::new, |interval| format!(" ({})", range(interval)));
            format!("{}{interval}", three(estimate.mean))
        },
    )
}
