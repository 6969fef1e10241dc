//! The table that `evaluate --traces` prints.

use std::fmt::Write;

use super::{ComparisonReport, PolicyReport, RouteReport};
use crate::cli::table;
use crate::evaluate::off_policy::{Comparison, Estimate, Estimates, FIRST_LOOK};

/// Below this effective number of requests an interval is not to be trusted.
const FEW: f64 = 50.0;
/// Below this support a value rests on what was believed rather than on what was seen.
const SUPPORTED: f64 = 0.99;

const LEARNERS: &str = "Policies that learn: each request as they would have decided it, having learned from the logged answers to those\n\
     before it, in the order of arrival and as if scores came at once.\n";

/// All routes, for people.
pub fn text(reports: &[RouteReport]) -> String {
    let mut out = reports.iter().map(route).collect::<Vec<_>>().join("\n");
    out.push_str(
        "\nValues with 95 % intervals. DR: doubly robust, with what was believed of each answer when it was decided.\n\
         Assumed: whether an answer is judged depends on the request and the model, not on how good the answer is;\n\
         that some models' answers are judged more often is corrected for.\n",
    );
    if reports.iter().flat_map(|report| &report.policies).any(|policy| policy.learns) {
        out.push_str(LEARNERS);
    }
    out
}

fn route(report: &RouteReport) -> String {
    let mut out = format!(
        "route \"{}\"{}: {} requests from {} to {}, {} of them judged{}\n",
        report.route,
        report.segment.as_ref().map_or(String::new(), |segment| format!(", segment \"{segment}\"")),
        report.requests,
        day(report.from_ms),
        day(report.to_ms),
        report.judged,
        report.clip.map_or(String::new(), |clip| format!("; weights cut at {clip}"))
    );
    let header = [
        "policy",
        "quality (DR)",
        "quality (SNIPS)",
        "quality (IPS)",
        "USD per 1k (DR)",
        "ESS",
        "largest w",
        "support",
    ];
    let rows: Vec<[String; 8]> =
        std::iter::once(header.map(String::from)).chain(report.policies.iter().map(policy)).collect();
    out += &table::words("  ", &rows);
    for remark in report.policies.iter().filter_map(|policy| remark(policy, report.requests)) {
        let _ = writeln!(out, "  {remark}");
    }
    if let Some(comparison) = &report.comparison {
        out.push_str(&compared(comparison));
    }
    out
}

fn policy(report: &PolicyReport) -> [String; 8] {
    let Estimates { ips, snips, dr, effective, largest_weight, support, .. } = &report.quality;
    [
        report.policy.clone(),
        interval(dr, 3),
        known(snips.as_ref(), 3),
        known(ips.as_ref(), 3),
        known(report.usd_per_1k.as_ref().map(|usd| &usd.dr), 4),
        format!("{effective:.0}"),
        format!("{largest_weight:.1}"),
        format!("{support:.2}"),
    ]
}

fn known(of: Option<&Estimate>, digits: usize) -> String {
    of.map_or_else(|| "unknown".into(), |of| interval(of, digits))
}

fn interval(of: &Estimate, digits: usize) -> String {
    format!("{:.digits$} [{:.digits$}, {:.digits$}]", of.value, of.low, of.high)
}

fn remark(report: &PolicyReport, requests: usize) -> Option<String> {
    let Estimates { rows, effective, support, .. } = report.quality;
    let mut reasons = Vec::new();
    if support < SUPPORTED {
        reasons.push(format!("the log can tell of only {:.0} % of its choices, the rest is belief", support * 100.0));
    }
    if effective < FEW {
        reasons.push(format!("it rests on as much as {effective:.0} requests"));
    }
    if rows < requests {
        reasons.push(format!("it could answer {rows} of the {requests} requests, and is judged on those"));
    }
    (!reasons.is_empty()).then(|| format!("{}: {}", report.policy, reasons.join("; ")))
}

fn compared(report: &ComparisonReport) -> String {
    let ComparisonReport { first, second, quality, usd } = report;
    let mut out = format!("  {first} less {second}, on the {} requests that both can answer:\n", quality.rows);
    let _ = writeln!(out, "    quality {}", difference(quality, 1.0, 4));
    if let Some(usd) = usd {
        let _ = writeln!(out, "    USD per 1k {}", difference(usd, 1000.0, 4));
    }
    out
}

fn difference(of: &Comparison, unit: f64, digits: usize) -> String {
    let one_look = interval(&of.difference.times(unit), digits);
    let Some((low, high)) = of.anytime else {
        return format!("{one_look}; fewer than {FIRST_LOOK} requests, too few to look at again and again");
    };
    let verdict = match (low > 0.0, high < 0.0) {
        (true, _) => "higher",
        (_, true) => "lower",
        _ => "not told apart yet",
    };
    format!("{one_look}; at any time [{:.digits$}, {:.digits$}]: {verdict}", low * unit, high * unit)
}

fn day(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| ms.to_string(), |at| at.strftime("%Y-%m-%d").to_string())
}
