//! A simulation's report as text.

use super::super::table::{between, decimals, usd};
use super::{OnlineReport, OnlineWorkload};
use crate::cli::table::figures;
use crate::evaluate::online::{Estimate, PolicyReport, Wait};

/// A figure of the whole stream.
struct Total {
    head: &'static str,
    /// What it is, and its unit.
    legend: &'static str,
    /// `None` where it has no meaning.
    cell: fn(&PolicyReport) -> Option<String>,
}

const TOTALS: [Total; 7] = [
    Total {
        head: "regret",
        legend: "quality of each request's best answer by a model of the route less what was had, summed over the stream; in \
                 answers",
        cell: |policy| policy.regret.map(|sum| estimate(sum, 1)),
    },
    Total {
        head: "regret to kNN",
        legend: "the same against the choices of full-information kNN; below 0: better than it",
        cell: |policy| policy.knn_regret.map(|sum| estimate(sum, 1)),
    },
    Total {
        head: "utility",
        legend: "mean quality less cost, at --value USD for a unit of quality; in units of quality",
        cell: |policy| policy.utility.map(|mean| estimate(mean, 3)),
    },
    Total {
        head: "utility gap to kNN",
        legend: "what full-information kNN has more of it, at the price of quality at which it meets the knob",
        cell: |policy| policy.utility_gap.map(|mean| estimate(mean, 3)),
    },
    Total {
        head: "adopted after",
        legend: "requests until the newcomer is in use for good, over the orders in which it ever is",
        cell: |policy| policy.adopted_after.map(wait),
    },
    Total {
        head: "detected after",
        legend: "scores of the changed model until the alarm, over the orders in which there is one",
        cell: |policy| policy.detected_after.map(wait),
    },
    Total {
        head: "false alarms",
        legend: "for 10,000 scores",
        cell: |policy| policy.false_alarms.map(|rate| estimate(rate, 2)),
    },
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
            let figures = [phase.quality, phase.of_best_quality, phase.usd_per_1k, phase.of_best_cost];
            let cells = figures.map(|figure| cell(figure.map(|mean| estimate(mean, 3))));
            [policy.policy.clone(), phase.phase.to_owned()].into_iter().chain(cells).collect()
        })
    });
    figures("", &std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

/// The figures, and what they are.
fn totals(policies: &[PolicyReport]) -> String {
    let has_meaning = |total: &&Total| policies.iter().any(|policy| (total.cell)(policy).is_some());
    let asked: Vec<&Total> = TOTALS.iter().filter(has_meaning).collect();
    let head = std::iter::once("policy").chain(asked.iter().map(|total| total.head)).map(str::to_owned).collect();
    let row = |policy: &PolicyReport| {
        let cells = asked.iter().map(|total| cell((total.cell)(policy)));
        std::iter::once(policy.policy.clone()).chain(cells).collect()
    };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(policies.iter().map(row)).collect();
    let legend = asked.iter().map(|Total { head, legend, .. }| format!("{head}: {legend}\n"));
    std::iter::once(figures("", &rows)).chain(legend).collect()
}

fn cell(figure: Option<String>) -> String {
    figure.unwrap_or_else(|| "–".into())
}

fn estimate(of: Estimate, digits: usize) -> String {
    let interval = of.interval.map_or_else(String::new, |interval| format!(" ({})", between(interval, digits)));
    format!("{}{interval}", decimals(of.mean, digits))
}

/// With the seeds in which it came to pass: where they are not all, the mean is of the quick ones.
fn wait(of: Wait) -> String {
    let Wait { mean, interval, seeds, of } = of;
    let mean = mean.map_or_else(|| "never".into(), |mean| decimals(mean, 1));
    let interval = interval.map_or_else(String::new, |interval| format!(" ({})", between(interval, 0)));
    format!("{mean}{interval}, {seeds} of {of}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::bootstrap::Interval;

    #[test]
    fn how_many_seeds_a_wait_is_of_is_always_said() {
        let interval = Some(Interval { low: Some(48.2), high: Some(63.9) });
        assert_eq!(wait(Wait { mean: Some(56.42), interval, seeds: 17, of: 20 }), "56.4 (48–64), 17 of 20");
        assert_eq!(wait(Wait { mean: None, interval: None, seeds: 0, of: 20 }), "never, 0 of 20");
    }
}
