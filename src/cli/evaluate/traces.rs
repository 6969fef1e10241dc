//! `satisfice evaluate --traces`: policies on logged traffic, off-policy.

mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde::Serialize;

use crate::cli::traces;
use crate::evaluate::off_policy::{
    Comparison, Estimates, Fixed, Greedy, Logged, Outcome, Row, Target, TooFew, Uniform, compare, estimate,
};
use crate::policy::Knob;

/// Shares of the best model's quality that are evaluated where no knob is given.
const USUAL_BARS: [f64; 3] = [0.9, 0.95, 0.99];

/// Evaluate policies on traffic that was logged with propensities.
#[derive(Debug, Clone, clap::Args)]
pub struct TracesArgs {
    /// Traces that `export` wrote (.jsonl or .jsonl.gz); may be repeated.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub traces: Vec<PathBuf>,
    /// Evaluate our policy at this bar, 0 to 1; may be repeated [default: 0.9 0.95 0.99, if no budget is given].
    #[arg(long, num_args = 1.., value_name = "SHARE", allow_negative_numbers = true)]
    pub quality: Vec<f64>,
    /// Evaluate our policy at this budget, USD per 1,000 requests; may be repeated.
    #[arg(long, num_args = 1.., value_name = "USD", allow_negative_numbers = true)]
    pub budget_per_1k: Vec<f64>,
    /// Compare two policies on the same requests, at any time: each is `logged`, `uniform`, `quality=0.95`,
    /// `budget=0.66`, or a model by its name (`model=NAME` where that is one of these words).
    #[arg(long, num_args = 2, value_names = ["A", "B"])]
    pub compare: Vec<String>,
    /// Cut importance weights at this: narrower intervals, about a slightly wrong value.
    #[arg(long, value_name = "WEIGHT", allow_negative_numbers = true)]
    pub clip: Option<f64>,
    /// Only this route's requests [default: every route by itself].
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,
    /// Write the results as JSON to this file, or, as `-`, print them in place of the table.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Replace the JSON file.
    #[arg(long)]
    pub force: bool,
}

/// What was found of one route.
#[derive(Debug, Serialize)]
pub struct RouteReport {
    pub route: String,
    pub requests: usize,
    /// Requests whose answer somebody judged.
    pub judged: usize,
    /// First and last arrival, Unix milliseconds.
    pub from_ms: u64,
    pub to_ms: u64,
    /// Weights were cut there; null: they were not.
    pub clip: Option<f64>,
    pub policies: Vec<PolicyReport>,
    pub comparison: Option<ComparisonReport>,
}

/// One policy's value.
#[derive(Debug, Serialize)]
pub struct PolicyReport {
    pub policy: String,
    pub quality: Estimates,
    /// USD per 1,000 requests; null where costs are not known.
    pub usd_per_1k: Option<Estimates>,
}

/// Two policies against one another: the first less the second.
#[derive(Debug, Serialize)]
pub struct ComparisonReport {
    pub first: String,
    pub second: String,
    pub quality: Comparison,
    /// USD per request; null where costs are not known.
    pub usd: Option<Comparison>,
}

/// Evaluates, and prints or writes what was found.
///
/// # Errors
/// What is wrong with the arguments or a file, with its line.
pub fn run(args: &TracesArgs) -> anyhow::Result<()> {
    check(args)?;
    let logs = read(args)?;
    let reports = logs.iter().map(|(route, log)| report_of(route, log, args)).collect::<anyhow::Result<Vec<_>>>()?;
    let json = || serde_json::to_string_pretty(&reports).map(|text| text + "\n");
    match args.json.as_deref() {
        Some(path) if path == Path::new("-") => print!("{}", json()?),
        Some(path) => {
            crate::cli::output::write_whole(path, args.force, json()?.as_bytes())?;
            print!("{}", report::text(&reports));
        }
        None => print!("{}", report::text(&reports)),
    }
    Ok(())
}

fn check(args: &TracesArgs) -> anyhow::Result<()> {
    for q in &args.quality {
        ensure!((0.0..=1.0).contains(q), "--quality {q}: give a number from 0 to 1, such as 0.95");
    }
    for usd in &args.budget_per_1k {
        ensure!(usd.is_finite() && *usd > 0.0, "--budget-per-1k {usd}: give a positive number of USD, such as 0.66");
    }
    if let Some(clip) = args.clip {
        ensure!(clip.is_finite() && clip >= 1.0, "--clip {clip}: give a weight from 1 on, such as 20");
    }
    if let Some(path) = args.json.as_deref().filter(|path| path.exists() && !args.force) {
        bail!("{} exists; choose another file, or replace it with --force", path.display());
    }
    Ok(())
}

/// One route's requests, in the order of decision.
#[derive(Default)]
struct Log {
    rows: Vec<Row>,
    from_ms: u64,
    to_ms: u64,
}

fn read(args: &TracesArgs) -> anyhow::Result<BTreeMap<String, Log>> {
    let (mut logs, mut routes) = (BTreeMap::<String, Log>::new(), BTreeSet::new());
    traces::each(&args.traces, |line| {
        if args.route.as_ref().is_none_or(|wanted| *wanted == line.route) {
            let log = logs.entry(line.route.clone()).or_insert(Log { from_ms: u64::MAX, ..Log::default() });
            (log.from_ms, log.to_ms) = (log.from_ms.min(line.at_ms), log.to_ms.max(line.at_ms));
            log.rows.push(Row::of(line));
        } else {
            routes.insert(line.route);
        }
        Ok(())
    })?;
    match &args.route {
        Some(wanted) if logs.is_empty() => {
            let known = routes.into_iter().collect::<Vec<_>>().join(", ");
            bail!("--route {wanted}: no request of it is in the traces; their routes are: {known}");
        }
        _ => Ok(logs),
    }
}

fn report_of(route: &str, log: &Log, args: &TracesArgs) -> anyhow::Result<RouteReport> {
    let rows = &log.rows;
    let judged = rows.iter().filter(|row| row.quality.is_some()).count();
    ensure!(
        judged >= 2,
        "route \"{route}\": {judged} of {} answers were judged, and at least 2 are needed; send scores to /v1/feedback",
        rows.len()
    );
    let policies = policies(rows, args).into_iter();
    let policies = policies.filter_map(|policy| policy_report(&policy, rows, args.clip)).collect();
    let comparison = match &args.compare[..] {
        [first, second] => Some(comparison(route, rows, (first, second), args.clip)?),
        _ => None,
    };
    let (from_ms, to_ms) = (log.from_ms, log.to_ms);
    Ok(RouteReport {
        route: route.to_owned(),
        requests: rows.len(),
        judged,
        from_ms,
        to_ms,
        clip: args.clip,
        policies,
        comparison,
    })
}

/// A policy and what reports call it.
struct Named {
    name: String,
    target: Box<dyn Target>,
}

impl Named {
    fn new(name: impl Into<String>, target: impl Target + 'static) -> Self {
        Self { name: name.into(), target: Box::new(target) }
    }

    fn at(knob: Knob, rows: &[Row]) -> Self {
        let name = match knob {
            Knob::Quality(q) => format!("quality={q}"),
            Knob::BudgetPer1k(usd) => format!("budget={usd}"),
        };
        Self::new(name, Greedy::at(knob, rows))
    }

    /// As `--compare` names it.
    fn parse(text: &str, rows: &[Row]) -> anyhow::Result<Self> {
        let model = |name: &str| {
            let known = models(rows);
            ensure!(
                known.contains(name),
                "--compare {text}: neither a policy nor a model of these traces; the policies are logged, uniform, \
                 quality=Q and budget=USD, the models {}",
                known.iter().copied().collect::<Vec<_>>().join(", ")
            );
            Ok(Self::new(name, Fixed(name.to_owned())))
        };
        match text.split_once('=') {
            _ if text == "logged" => Ok(Self::new(text, Logged)),
            _ if text == "uniform" => Ok(Self::new(text, Uniform)),
            Some(("quality", share)) => {
                let share = share.parse().ok().filter(|share| (0.0..=1.0).contains(share));
                Ok(Self::at(
                    Knob::Quality(share.with_context(|| format!("--compare {text}: give a share from 0 to 1"))?),
                    rows,
                ))
            }
            Some(("budget", usd)) => {
                let usd = usd.parse::<f64>().ok().filter(|usd| usd.is_finite() && *usd > 0.0);
                let usd = usd.with_context(|| format!("--compare {text}: give a positive number of USD"))?;
                Ok(Self::at(Knob::BudgetPer1k(usd), rows))
            }
            Some(("model", name)) => model(name),
            _ => model(text),
        }
    }
}

fn models(rows: &[Row]) -> BTreeSet<&str> {
    rows.iter().flat_map(|row| &row.candidates).map(|candidate| candidate.arm.as_str()).collect()
}

fn policies(rows: &[Row], args: &TracesArgs) -> Vec<Named> {
    let usual = if args.quality.is_empty() && args.budget_per_1k.is_empty() { &USUAL_BARS[..] } else { &[] };
    let bars = args.quality.iter().chain(usual).map(|q| Knob::Quality(*q));
    let knobs = bars.chain(args.budget_per_1k.iter().map(|usd| Knob::BudgetPer1k(*usd)));
    let mut all = vec![Named::new("logged", Logged)];
    all.extend(knobs.map(|knob| Named::at(knob, rows)));
    all.extend(models(rows).into_iter().map(|name| Named::new(name, Fixed(name.to_owned()))));
    all.push(Named::new("uniform", Uniform));
    all
}

/// `None` where hardly any request that it can answer was judged.
fn policy_report(policy: &Named, rows: &[Row], clip: Option<f64>) -> Option<PolicyReport> {
    let of = |outcome| estimate(rows, &*policy.target, outcome, clip).ok();
    Some(PolicyReport {
        policy: policy.name.clone(),
        quality: of(Outcome::Quality)?,
        usd_per_1k: of(Outcome::Cost).map(|usd| usd.times(1000.0)),
    })
}

fn comparison(
    route: &str,
    rows: &[Row],
    (first, second): (&str, &str),
    clip: Option<f64>,
) -> anyhow::Result<ComparisonReport> {
    let (first, second) = (Named::parse(first, rows)?, Named::parse(second, rows)?);
    let of = |outcome| compare(rows, (&*first.target, &*second.target), outcome, clip);
    let few = |error: TooFew| format!("route \"{route}\": {} and {}: {error}", first.name, second.name);
    let quality = of(Outcome::Quality).map_err(|error| anyhow::Error::msg(few(error)))?;
    let usd = of(Outcome::Cost).ok();
    Ok(ComparisonReport { first: first.name, second: second.name, quality, usd })
}
