//! `satisfice evaluate`: what routing is worth: on recorded prompts of which every model's answer is known, in a
//! simulation of the whole loop, or on traffic that was logged.

mod flags;
pub mod online;
mod output;
mod svg;
pub(super) mod table;
mod traces;

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::stdout::stdout;
use super::workload;
use crate::difficulty::train::{Arm, Dataset, Options};
use crate::difficulty::{Bundle, EncoderFiles, FileEntry};
use crate::evaluate::baselines::oracle;
use crate::evaluate::cross::{Baselines, Forecasts, baselines, cross_validate};
use crate::evaluate::folds::{Folds, Unit};
use crate::evaluate::frontier::Forecast;
use crate::evaluate::judge::{Case, Questions, judge};
use crate::evaluate::report::Report;
use crate::evaluate::router::{Router, price_list};
use crate::evaluate::table::Table;
use crate::policy::Knob;
use flags::Mode;

/// Evaluate routing on recorded workloads: cost-quality frontier, baselines, and what settings of the knob come to.
#[derive(Debug, Clone, clap::Args)]
pub struct EvaluateArgs {
    /// Before the others, which take their values away.
    #[command(flatten)]
    pub given: flags::Given,
    /// Recorded prompts with the quality and cost of several models' answers (.jsonl or .jsonl.gz); may be repeated.
    #[arg(long, conflicts_with = "traces", num_args = 1.., value_name = "FILE")]
    pub workload: Vec<PathBuf>,
    /// Traces that `export` wrote (.jsonl or .jsonl.gz), in place of workloads; may be repeated.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub traces: Vec<PathBuf>,
    /// Folder with weights that `train` wrote [default: those in the program].
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Route among these models only; workloads that know fewer than two of them are left out of the report.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub models: Vec<String>,
    /// Settings of the knob: keep this share of the best model's quality, 0 to 1.
    #[arg(long, num_args = 1.., value_name = "SHARE", allow_negative_numbers = true)]
    pub quality: Vec<f64>,
    /// Settings of the knob: spend at most so much on 1,000 requests.
    #[arg(long, num_args = 1.., value_name = "USD", allow_negative_numbers = true)]
    pub budget_per_1k: Vec<f64>,
    /// Train on all but one of N folds and evaluate on the fold left out, N times, and pool the predictions.
    #[arg(long, value_name = "N")]
    pub cross_validate: Option<usize>,
    /// Make the folds (5, unless --cross-validate says otherwise) of whole tasks, which training then never saw.
    #[arg(long)]
    pub leave_task_out: bool,
    /// Folder with a BERT (see `train --encoder`) that the folds are trained on, in place of the static encoder.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["model", "online"])]
    pub encoder: Option<PathBuf>,
    /// Resamples for the 95% intervals, 0 for none.
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub bootstrap: usize,
    /// Of training and of the resamples.
    #[arg(long, default_value_t = Options::default().seed)]
    pub seed: u64,
    /// Passes over the data when training.
    #[arg(long, default_value_t = Options::default().epochs)]
    pub epochs: usize,
    /// Networks with different seeds whose mean is taken when training.
    #[arg(long, default_value_t = Options::default().members)]
    pub members: usize,
    #[command(flatten)]
    pub online: online::OnlineArgs,
    #[command(flatten)]
    pub off_policy: traces::OffPolicyArgs,
    /// Replace the JSON file and the SVG files where they exist.
    #[arg(long)]
    pub force: bool,
    /// Write the report as JSON; `-` for standard output in place of the table.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write frontier and reliability of each workload as SVG files to this folder; of --online, how it went, to this
    /// file.
    #[arg(long, value_name = "DIR|FILE")]
    pub svg: Option<PathBuf>,
}

/// Folds of --leave-task-out and of baselines beside given weights, and the most that are asked for in reason.
const FOLDS: usize = 5;
const MOST_FOLDS: usize = 100;
/// Resamples at most.
const MOST_RESAMPLES: usize = 10_000;

/// Runs the command.
///
/// # Errors
/// What is wrong with the arguments, a workload (with its line), the weights or the place to write to.
pub fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    check(args)?;
    if args.online.online {
        return online::run(args);
    }
    output::check(args)?;
    if !args.traces.is_empty() {
        return traces::run(args);
    }
    let report = match args.folds() {
        Some(count) => cross_validated(args, count)?,
        None => as_given(args)?,
    };
    let plots = args.svg.as_deref().map_or_else(|| Ok(vec![]), |folder| svg::plots(&report, folder));
    output::write(&report, &table::text(&report), plots, args, &mut stdout())
}

fn check(args: &EvaluateArgs) -> anyhow::Result<()> {
    ensure!(
        !args.workload.is_empty() || !args.traces.is_empty(),
        "nothing to evaluate; give recorded prompts with --workload FILE, or logged traffic with --traces FILE"
    );
    args.given.check(args.mode())?;
    for share in &args.quality {
        ensure!((0.0..=1.0).contains(share), "--quality {share}: give a share from 0 to 1");
    }
    for usd in &args.budget_per_1k {
        ensure!(usd.is_finite() && *usd > 0.0, "--budget-per-1k {usd}: give USD for 1,000 requests, above 0");
    }
    if let Some(usd) = args.online.value {
        ensure!(usd.is_finite() && usd > 0.0, "--value {usd}: give USD for a unit of quality, above 0");
    }
    if let Some(count) = args.folds() {
        ensure!(args.model.is_none(), "--model and cross-validation: folds train their own weights; leave one out");
        ensure!((2..=MOST_FOLDS).contains(&count), "--cross-validate {count}: give 2 to {MOST_FOLDS} folds");
    }
    ensure!(
        args.encoder.is_none() || args.folds().is_some(),
        "--encoder trains folds on it: give --cross-validate too; weights that `train --encoder` wrote are judged by --model"
    );
    ensure!(args.bootstrap <= MOST_RESAMPLES, "--bootstrap {}: give at most {MOST_RESAMPLES}", args.bootstrap);
    ensure!(args.epochs > 0 && args.members > 0, "--epochs and --members must be at least 1");
    Ok(())
}

impl EvaluateArgs {
    fn mode(&self) -> Mode {
        match self.folds() {
            _ if !self.traces.is_empty() => Mode::Traces,
            _ if self.online.online => Mode::Online,
            Some(_) => Mode::Folds,
            None => Mode::Workloads,
        }
    }

    fn folds(&self) -> Option<usize> {
        self.cross_validate.or(self.leave_task_out.then_some(FOLDS))
    }

    fn questions(&self) -> Questions {
        Questions { knobs: self.knobs(), resamples: self.bootstrap }
    }

    fn knobs(&self) -> Vec<Knob> {
        let qualities = self.quality.iter().map(|&share| Knob::Quality(share));
        qualities.chain(self.budget_per_1k.iter().map(|&usd| Knob::BudgetPer1k(usd))).collect()
    }

    fn report(&self, protocol: String, cases: &[Case]) -> Report {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let questions = self.questions();
        let workloads = cases.iter().map(|case| judge(case, &questions, &mut rng)).collect();
        Report { protocol, seed: self.seed, resamples: self.bootstrap, workloads }
    }
}

/// Everything that learns is fitted on the other folds.
fn cross_validated(args: &EvaluateArgs, count: usize) -> anyhow::Result<Report> {
    let encoder = args.encoder.as_deref().map_or_else(|| Ok(EncoderFiles::embedded()), EncoderFiles::transformer)?;
    let (data, _) = workload::read(&args.workload, &encoder.extractor()?)?;
    let unit = if args.leave_task_out { Unit::Task } else { Unit::Group };
    let folds = Folds::new(&data, count, unit);
    let mut tables = tables(&data, &args.models)?;
    tables.retain(|table| fold_of_rows(&folds, table).is_some());
    ensure!(!tables.is_empty(), "--leave-task-out: no workload has two tasks; give some, or use --cross-validate");
    let options = Options { seed: args.seed, epochs: args.epochs, members: args.members, ..Options::default() };
    let style = ProgressStyle::with_template("cross-validating: {wide_bar} {pos}/{len} epochs, {elapsed}")?;
    let bar = ProgressBar::new((count * options.members * options.epochs) as u64).with_style(style);
    bar.tick();
    let forecasts = cross_validate(&data, &tables, &folds, &options, &mut || bar.inc(1))?;
    bar.finish_and_clear();
    let case = |(table, forecasts): (_, Forecasts)| Case {
        table,
        forecasts: named(forecasts.satisfice, Some(forecasts.baselines), table),
        folds: fold_of_rows(&folds, table),
    };
    let cases: Vec<Case> = tables.iter().zip(forecasts).map(case).collect();
    Ok(args.report(protocol(count, unit, data.prompts.len()), &cases))
}

/// `None` if the table's prompts are never left out.
fn fold_of_rows(folds: &Folds, table: &Table) -> Option<Vec<usize>> {
    table.rows.iter().map(|row| folds.of[row.prompt]).collect()
}

/// The router under test, what learned of the same prompts, and what knows all.
fn named(ours: Forecast, baselines: Option<Baselines>, table: &Table) -> Vec<(&'static str, Forecast)> {
    let learned = baselines.map(|Baselines { by_task, knn, logistic }| {
        [("table by task", by_task), ("nearest neighbours", knn), ("logistic regression", logistic)]
    });
    let ours = std::iter::once(("satisfice", ours));
    ours.chain(learned.into_iter().flatten()).chain([("oracle", oracle(table))]).collect()
}

fn protocol(count: usize, unit: Unit, prompts: usize) -> String {
    let folds = match unit {
        Unit::Group => "folds of near-duplicate groups",
        Unit::Task => "folds of whole tasks (workloads of one task only are trained on and not judged)",
    };
    format!(
        "cross-validated on {prompts} prompts: all that learns was fitted without the fold it predicts, {count} {folds}; \
         settings of the knob were solved on the other folds"
    )
}

/// The given weights on the given prompts, beside baselines that learned from the other folds of these.
fn as_given(args: &EvaluateArgs) -> anyhow::Result<Report> {
    let bundle = bundle(args)?;
    let (data, sources) = workload::read(&args.workload, &bundle.extractor)?;
    let tables = tables(&data, &args.models)?;
    let folds = Folds::new(&data, FOLDS, Unit::Group);
    let (mut cases, mut alone) = (Vec::with_capacity(tables.len()), Vec::new());
    for table in &tables {
        let prices = price_list(&data, table, &(0..table.rows.len()).collect::<Vec<_>>());
        let router = Router::new(&bundle.classifier, &bundle.prior, table, &prices);
        let forecast = router.forecast(table.rows.iter().map(|row| &data.prompts[row.prompt]))?;
        let baselines = baselines(&data, table, &folds)?;
        if baselines.is_none() {
            alone.push(table.workload.as_str());
        }
        cases.push(Case { table, forecasts: named(forecast, baselines, table), folds: None });
    }
    let seen: Vec<&str> =
        sources.iter().filter(|source| trained_on(&bundle, source)).map(|s| s.name.as_str()).collect();
    Ok(args.report(as_given_protocol(&bundle.fingerprint, &seen, &alone), &cases))
}

fn bundle(args: &EvaluateArgs) -> anyhow::Result<Bundle> {
    Ok(match &args.model {
        Some(folder) => Bundle::load(folder).with_context(|| format!("--model {}", folder.display()))?,
        None => Bundle::embedded()?,
    })
}

fn trained_on(bundle: &Bundle, source: &FileEntry) -> bool {
    bundle.manifest.training_data.iter().any(|entry| entry.sha256 == source.sha256)
}

/// `seen`: files that the weights were trained on. `alone`: workloads without baselines that learn.
fn as_given_protocol(fingerprint: &str, seen: &[&str], alone: &[&str]) -> String {
    let seen = if seen.is_empty() {
        "its manifest names none of these files as training data".to_owned()
    } else {
        format!("it was TRAINED on {}: figures there flatter it, use --cross-validate", seen.join(", "))
    };
    let alone = if alone.is_empty() {
        String::new()
    } else {
        format!(", and are left out of {}, whose prompts are all in one fold", alone.join(", "))
    };
    format!(
        "weights {fingerprint} on the prompts as given; {seen}; settings of the knob were solved on the same prompts; the \
         table by task, nearest neighbours and logistic regression know all answers to the prompts, but not to those of \
         the fold that they predict ({FOLDS} folds of near-duplicate groups){alone}"
    )
}

/// Of every workload that knows at least two of the models (of all, if none are named).
fn tables(data: &Dataset, models: &[String]) -> anyhow::Result<Vec<Table>> {
    if let Some(unknown) = models.iter().find(|name| data.arms.iter().all(|arm| arm.model != **name)) {
        let mut known: Vec<&str> = data.arms.iter().map(|arm| arm.model.as_str()).collect();
        known.sort_unstable();
        known.dedup();
        bail!("--models {unknown}: no workload has this model; they have {}", known.join(", "));
    }
    let keep = |name: &str| models.is_empty() || models.iter().any(|model| model == name);
    let tables: Vec<Table> =
        (0..data.workloads.len()).filter_map(|workload| Table::new(data, workload, keep)).collect();
    ensure!(
        !tables.is_empty(),
        "no workload has a prompt that two or more models, and all that are to be compared, answered; routing needs \
         some{}",
        rarest(data, keep).map_or_else(String::new, |rare| format!(": {rare}"))
    );
    Ok(tables)
}

/// The model whose answers are missing most often, where leaving it out might help.
fn rarest(data: &Dataset, keep: impl Fn(&str) -> bool) -> Option<String> {
    let answers = |arm: &usize| data.of_arm(*arm).count();
    let arms = (0..data.arms.len()).filter(|&arm| keep(&data.arms[arm].model));
    let rare = arms.clone().min_by_key(answers)?;
    let Arm { workload, model } = &data.arms[rare];
    let others: Vec<&str> = arms
        .filter(|&arm| arm != rare && data.arms[arm].workload == *workload)
        .map(|arm| data.arms[arm].model.as_str())
        .collect();
    let prompts = data.prompts.iter().filter(|prompt| prompt.workload == *workload).count();
    (others.len() > 1).then(|| {
        let (name, answers) = (&data.workloads[*workload], answers(&rare));
        format!("{model} answered {answers} of {name}'s {prompts}; leave it out with --models {}", others.join(","))
    })
}
