//! A report as text, in aligned columns.

use crate::cli::table::figures;
use crate::difficulty::train::Bin;
use crate::evaluate::bootstrap::Interval;
use crate::evaluate::report::{Figures, ModelReport, Report, SettingReport, TaskReport, WorkloadReport};
use crate::evaluate::table::share_of;

/// Tasks that are listed at most.
const TASKS: usize = 15;

/// The whole report.
pub fn text(report: &Report) -> String {
    let intervals = match report.resamples {
        0 => String::new(),
        n => format!(" Intervals: 95% of {n} bootstrap resamples by near-duplicate group, seed {}.", report.seed),
    };
    let head = format!("{}.{intervals}\n", capital(&report.protocol));
    std::iter::once(head).chain(report.workloads.iter().map(workload)).collect()
}

fn workload(report: &WorkloadReport) -> String {
    let incomplete = match report.incomplete {
        0 => String::new(),
        n if n > report.prompts => format!(" ({n} more, and most, were not answered by all; see --models)"),
        n => format!(" ({n} more were not answered by all)"),
    };
    let title = format!(
        "\n== {}: {} prompts{incomplete}, {} models; the best is {}: quality {:.3}, {} USD per 1k\n\n",
        report.workload,
        report.prompts,
        report.models.len(),
        report.best,
        report.best_quality,
        usd(report.best_usd_per_1k)
    );
    let mut out = title + &routers(report) + "\n" + &models(&report.models) + "\n" + &reliability_of(&report.models);
    if !report.settings.is_empty() {
        out += "\n";
        out += &settings(&report.settings);
    }
    if report.tasks.len() > 1 {
        out += "\n";
        out += &tasks(&report.tasks);
    }
    out
}

fn routers(report: &WorkloadReport) -> String {
    let two = report.models.len() == 2;
    let columns = if two { 8 } else { 5 };
    let heads = ["cost at 90%", "at 95%", "at 99%", "at 100%", "AIQ", "APGR", "CPT(50%)", "CPT(80%)"];
    let mut rows = vec![std::iter::once("router").chain(heads).map(str::to_owned).take(columns + 1).collect()];
    for (i, router) in report.routers.iter().enumerate() {
        rows.push(row(&router.router, cells(router.figures, report.best_usd_per_1k), columns));
        if i == 0 && report.intervals != Figures::default() {
            rows.push(row(
                "",
                report.intervals.all().map(|interval| interval.map_or_else(String::new, range)),
                columns,
            ));
        }
    }
    figures("", &rows)
}

fn row(name: &str, cells: [String; 8], columns: usize) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(cells).take(columns + 1).collect()
}

/// A quality that is not reached at any cost is said so; nothing is a share of a best model's cost of 0; other figures
/// without a meaning are left empty.
fn cells(figures: Figures<Option<f64>>, best_usd: f64) -> [String; 8] {
    let mut cells = figures.all().map(|figure| figure.map_or_else(String::new, three));
    let missing = if best_usd > 0.0 { "cannot" } else { "–" };
    cells[..4].iter_mut().filter(|cell| cell.is_empty()).for_each(|cell| missing.clone_into(cell));
    cells
}

fn models(models: &[ModelReport]) -> String {
    let head = ["model", "quality", "USD per 1k", "AUC", "ECE", "cost predicted/found"].map(str::to_owned).to_vec();
    let row = |model: &ModelReport| {
        let (quality, cost) = (three(model.quality), usd(model.usd_per_1k));
        let (auc, predicted_cost) = (if_any(model.auc), if_any(model.predicted_cost));
        vec![model.model.clone(), quality, cost, auc, three(model.ece), predicted_cost]
    };
    figures("", &std::iter::once(head).chain(models.iter().map(row)).collect::<Vec<_>>())
}

fn reliability_of(models: &[ModelReport]) -> String {
    reliability(models.iter().map(|model| (model.model.clone(), model.reliability.as_slice())))
}

/// Mean predicted and found quality in bins of equally many prompts, a line for each of what is named.
pub(in crate::cli) fn reliability<'a>(of: impl Iterator<Item = (String, &'a [Bin])>) -> String {
    let cell = |bin: &Bin| format!("{:.2}→{:.2}", bin.predicted, bin.found);
    let rows: Vec<Vec<String>> =
        of.map(|(name, bins)| std::iter::once(name).chain(bins.iter().map(cell)).collect()).collect();
    let bins = rows.iter().map(|row| row.len() - 1).max().unwrap_or_default();
    let head = (1..=bins).map(|bin| format!("{bin}."));
    let head: Vec<String> = std::iter::once("predicted→found, by tenths".to_owned()).chain(head).collect();
    figures("", &std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

fn settings(settings: &[SettingReport]) -> String {
    let head = ["setting", "quality", "of best", "USD per 1k", "of cost", "frontier: quality", "USD per 1k"];
    let row = |setting: &SettingReport| {
        let frontier = setting.frontier;
        vec![
            format!("--{} {}", setting.knob.replace('_', "-"), setting.asked),
            three(setting.quality),
            share(setting.quality_share, setting.quality_share_interval),
            usd(setting.usd_per_1k),
            share(setting.cost_share, setting.cost_share_interval),
            frontier.map_or_else(|| "cannot".into(), |point| three(point.quality)),
            frontier.map_or_else(String::new, |point| usd(point.usd_per_1k)),
        ]
    };
    figures("", &std::iter::once(head.map(str::to_owned).to_vec()).chain(settings.iter().map(row)).collect::<Vec<_>>())
}

fn tasks(tasks: &[TaskReport]) -> String {
    let mut largest: Vec<&TaskReport> = tasks.iter().collect();
    largest.sort_by_key(|task| std::cmp::Reverse(task.prompts));
    let head = ["task, at 95%", "prompts", "quality", "best model's", "of best", "of cost"].map(str::to_owned).to_vec();
    let row = |task: &&TaskReport| {
        let of_best = if_any(share_of(task.quality, task.best_quality));
        vec![
            task.task.clone(),
            task.prompts.to_string(),
            three(task.quality),
            three(task.best_quality),
            of_best,
            if_any(task.cost_share),
        ]
    };
    let rows: Vec<_> = std::iter::once(head).chain(largest.iter().take(TASKS).map(row)).collect();
    let more = largest.len().saturating_sub(TASKS);
    let rest = if more > 0 { format!("({more} smaller tasks: see --json)\n") } else { String::new() };
    figures("", &rows) + &rest
}

fn share(value: Option<f64>, interval: Option<Interval>) -> String {
    interval.map_or_else(|| if_any(value), |interval| format!("{} ({})", if_any(value), range(interval)))
}

fn if_any(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), three)
}

pub(super) fn range(interval: Interval) -> String {
    between(interval, 3)
}

/// Its ends with so many digits after the point.
pub(super) fn between(interval: Interval, digits: usize) -> String {
    let end = |end: Option<f64>| end.map_or_else(|| "cannot".into(), |end| decimals(end, digits));
    // A dash before a minus sign would read as two of them.
    let (low, high) = (end(interval.low), end(interval.high));
    let to = if high.starts_with('-') { " to " } else { "–" };
    format!("{low}{to}{high}")
}

pub(super) fn three(value: f64) -> String {
    decimals(value, 3)
}

/// So many digits after the point; a zero has no sign.
pub(super) fn decimals(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match text.strip_prefix('-') {
        Some(size) if size.bytes().all(|byte| matches!(byte, b'0' | b'.')) => size.to_owned(),
        _ => text,
    }
}

/// Three digits that mean something.
pub(super) fn usd(value: f64) -> String {
    let digits = if value >= 1.0 { 2 } else { 4 };
    format!("{value:.digits$}")
}

fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_below_zero_reads_as_one() {
        let of = |low, high| range(Interval { low: Some(low), high: Some(high) });
        assert_eq!((of(0.1, 0.25), of(-0.1, 0.25)), ("0.100–0.250".into(), "-0.100–0.250".into()));
        assert_eq!(of(-0.25, -0.1), "-0.250 to -0.100");
        assert_eq!(of(-0.0, -0.0001), "0.000–0.000");
    }
}
