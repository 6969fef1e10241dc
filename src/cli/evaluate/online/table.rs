//! A simulation's report as text.

use super::super::table::{aligned, range, three, usd};
use super::{OnlineReport, OnlineWorkload};
use crate::evaluate::online::{Estimate, PolicyReport};

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
    let head = format!(
        "\n== {}: {} requests at {}; the best is {}: quality {:.3}, {} USD per 1k\n\n",
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
    let head = ["policy", "regret", "utility", "adopted after", "detected after", "false alarms per 10k scores"];
    let row = |policy: &PolicyReport| {
        let figures = [policy.regret, policy.utility, policy.adopted_after, policy.detected_after, policy.false_alarms];
        std::iter::once(policy.policy.clone()).chain(figures.map(cell)).collect()
    };
    let rows = policies.iter().map(row);
    aligned(&std::iter::once(head.map(str::to_owned).to_vec()).chain(rows).collect::<Vec<_>>())
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
