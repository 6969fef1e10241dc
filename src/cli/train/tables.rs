//! What `train` prints of a report, and of two side by side.

use super::gate::{Comparison, Kind};
use crate::cli::evaluate::table::reliability;
use crate::difficulty::train::{Costs, Report, WorkloadReport};

/// What a cost is called that is not there.
const UNREACHED: &str = "cannot";
const UNKNOWN: &str = "–";

/// How a network did on prompts that it did not see.
pub fn of_report(report: &Report) -> String {
    let mut text = format!(
        "On {} prompts that were held out, with near-duplicates (the weights written are trained on all):\n",
        report.prompts
    );
    text +=
        &format!("{:<14} {:<28} {:>7} {:>8} {:>6} {:>6}\n", "workload", "model", "prompts", "quality", "AUC", "ECE");
    for workload in &report.workloads {
        for arm in &workload.arms {
            let (name, model, n) = (&workload.workload, &arm.model, arm.prompts);
            let (quality, auc, ece) = (arm.quality, auc(arm.auc), arm.ece);
            text += &format!("{name:<14} {model:<28} {n:>7} {quality:>8.3} {auc:>6} {ece:>6.3}\n");
        }
    }
    let arms = report.workloads.iter().flat_map(|workload| workload.arms.iter().map(move |arm| (workload, arm)));
    text +=
        &reliability(arms.map(|(of, arm)| (format!("{:<14} {}", of.workload, arm.model), arm.reliability.as_slice())));
    text += &costs("best model", report.workloads.iter().map(|of| (of, of.best.as_str(), cells(of))));
    text + reason(report)
}

/// Old and new side by side.
pub fn of_comparison(comparison: &Comparison) -> String {
    let Comparison { against, left_out, old, new, .. } = comparison;
    let mut text =
        format!("Against {against} on the same prompts, both with what a gateway would have learned (old → new):\n");
    if !left_out.is_empty() {
        text += &format!("(on {} prompts: it was trained on {})\n", new.prompts, left_out.join(", "));
    }
    text += &format!("{:<14} {:<28} {:>15} {:>15}\n", "workload", "model", "AUC", "ECE");
    let pairs = || old.workloads.iter().zip(&new.workloads);
    for (before, after) in pairs() {
        for (old, new) in before.arms.iter().zip(&after.arms) {
            let (rank, level) = (auc(old.auc) + " → " + &auc(new.auc), format!("{:.3} → {:.3}", old.ece, new.ece));
            text += &format!("{:<14} {:<28} {rank:>15} {level:>15}\n", before.workload, old.model);
        }
    }
    text += &costs("best model", pairs().map(|(old, new)| (new, new.best.as_str(), both(cells(old), cells(new)))));
    text += reason(new);
    text += "Log loss, and what changed for which prompts (below 0 is better, with 95 % intervals):\n";
    text.extend(comparison.by_task.iter().chain(&comparison.by_difficulty).map(kind));
    text + &format!("{:<43} {}\n", "all", comparison.log_loss.text())
}

/// A line per workload: its best model, and what keeping shares of that one's quality costs on the prompts that all of its
/// models answered.
fn costs<'a>(title: &str, rows: impl Iterator<Item = (&'a WorkloadReport, &'a str, [String; 4])>) -> String {
    let line = |name: &str, model: &str, prompts: &str, cells: [String; 4]| {
        let cells = cells.map(|cell| format!(" {cell:>13}")).concat();
        format!("{name:<14} {model:<28} {prompts:>7}{cells}\n")
    };
    let head = "Cost of keeping a share of the best model's quality, as a share of that model's cost:\n".to_owned();
    let bars = Costs::BARS.map(|bar| format!("{bar} %"));
    let rows = rows.map(|(of, best, cells)| line(&of.workload, best, &of.complete.to_string(), cells));
    head + &line("workload", title, "prompts", bars) + &rows.collect::<String>()
}

/// In the order of [`Costs::BARS`].
fn cells(of: &WorkloadReport) -> [String; 4] {
    let cell = |cost: Option<f64>| cost.map_or_else(|| UNREACHED.into(), |cost| format!("{cost:.2}"));
    of.costs.map_or_else(|| [UNKNOWN; 4].map(String::from), |costs| costs.all().map(cell))
}

fn both(old: [String; 4], new: [String; 4]) -> [String; 4] {
    let mut new = new.into_iter();
    old.map(|old| match new.next().unwrap_or_default() {
        new if old == UNKNOWN => new,
        new => format!("{old} → {new}"),
    })
}

/// Why costs are not known, where they are not.
fn reason(report: &Report) -> &'static str {
    if report.workloads.iter().all(|workload| workload.costs.is_some()) {
        return "";
    }
    "(–: no prompt was answered by all of the models, or the best one costs nothing)\n"
}

fn auc(auc: Option<f64>) -> String {
    auc.map_or_else(|| UNKNOWN.into(), |auc| format!("{auc:.3}"))
}

fn kind(of: &Kind) -> String {
    let (kind, prompts, old, new) = (&of.kind, of.prompts, of.old, of.new);
    format!("{kind:<28} {prompts:>5} prompts  {old:.4} → {new:.4}  {}\n", of.change.text())
}
