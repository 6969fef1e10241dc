//! `satisfice evaluate --online`: the whole loop, simulated over many seeds.

mod table;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

use anyhow::{Context as _, anyhow, bail, ensure};
use serde::Serialize;

use super::{EvaluateArgs, output, svg};
use crate::cli::stdout::stdout;
use crate::cli::workload;
use crate::difficulty::Bundle;
use crate::difficulty::train::Dataset;
use crate::evaluate::online::{
    Change, Conditions, PolicyReport, Reference, Run, Scenario, Stream, Turn, neighbours, play, report,
};
use crate::evaluate::report::PointReport;
use crate::policy::rivals::{Fixed, LinUcb, Random, SquareCb, TaskBlind};
use crate::policy::{ArmSpec, Knob, NoCandidate, Policy, RouteSpec, Satisficing, Snapshot};

/// Flags of the simulation.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Simulation of the whole loop")]
pub struct OnlineArgs {
    /// Simulate the whole loop: requests one after another, feedback late or never, learning as it comes. One knob.
    #[arg(long)]
    pub online: bool,
    /// Policies: `satisfice` (the default), `cheapest`, `random`, `thompson` (task-blind), `linucb`, `squarecb`,
    /// `always=MODEL`. With --traces all but `satisfice`, whose favourites the knobs stand for; those that learn do so
    /// from the logged answers to earlier requests.
    #[arg(id = "policy", long, num_args = 1.., value_name = "NAME")]
    pub policies: Vec<PolicyName>,
    /// What happens: `none`, `price=MODEL:FACTOR` or `quality=MODEL:LEVEL` for the middle third, `newcomer=MODEL:FACTOR`
    /// joins at half time, at that multiple of its price.
    #[arg(long, value_name = "WHAT", default_value = "none")]
    pub scenario: Plot,
    /// Mean delay of a score, in requests.
    #[arg(long, default_value_t = 0.0, value_name = "REQUESTS")]
    pub delay: f64,
    /// Share of answers that are never scored, 0 to 1.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub missing: f64,
    /// Orders of the stream.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub seeds: usize,
    /// Requests of a run; beyond the workload's, its prompts come again in another order [default: each prompt once].
    #[arg(long, value_name = "N")]
    pub requests: Option<usize>,
    /// Rename the models, so that no prior knows them.
    #[arg(long)]
    pub anonymous: bool,
    /// Ask no two cheap models before a dear one, as a route with `panel = false`.
    #[arg(long)]
    pub alone: bool,
    /// Prompts that all models answer before the first request, as `satisfice calibrate` does.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub calibrate: usize,
    /// In place of a knob: USD that a unit of quality is worth, what policies without a controller are compared at; also
    /// with --traces.
    #[arg(long, value_name = "USD")]
    pub value: Option<f64>,
}

/// A policy by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyName {
    Satisfice,
    Cheapest,
    Random,
    Thompson,
    LinUcb,
    SquareCb,
    Always(String),
}

impl FromStr for PolicyName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "satisfice" => Self::Satisfice,
            "cheapest" => Self::Cheapest,
            "random" => Self::Random,
            "thompson" => Self::Thompson,
            "linucb" => Self::LinUcb,
            "squarecb" => Self::SquareCb,
            text => match text.strip_prefix("always=") {
                Some(model) => Self::Always(model.to_owned()),
                None => {
                    return Err("give satisfice, cheapest, random, thompson, linucb, squarecb or always=MODEL".into());
                }
            },
        })
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Satisfice => f.write_str("satisfice"),
            Self::Cheapest => f.write_str("cheapest"),
            Self::Random => f.write_str("random"),
            Self::Thompson => f.write_str("thompson"),
            Self::LinUcb => f.write_str("linucb"),
            Self::SquareCb => f.write_str("squarecb"),
            Self::Always(model) => write!(f, "always={model}"),
        }
    }
}

/// A scenario as typed: its model is looked up in each workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    model: String,
    change: Change,
}

impl FromStr for Plot {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "give none, price=MODEL:FACTOR, quality=MODEL:LEVEL or newcomer=MODEL:FACTOR";
        if text == "none" {
            return Ok(Self { model: String::new(), change: Change::None });
        }
        let (kind, rest) = text.split_once('=').ok_or(form)?;
        let (model, number) = rest.rsplit_once(':').ok_or(form)?;
        let number: f64 = number.parse().map_err(|_| format!("{number:?} is no number; {form}"))?;
        let change = match kind {
            "price" if number > 0.0 && number.is_finite() => Change::Price(number),
            "newcomer" if number > 0.0 && number.is_finite() => Change::Newcomer(number),
            "quality" if (0.0..=1.0).contains(&number) => Change::Quality(number),
            "price" | "newcomer" => return Err(format!("factor {number}: give a number above 0")),
            "quality" => return Err(format!("level {number}: give a number from 0 to 1")),
            _ => return Err(form.into()),
        };
        Ok(Self { model: model.to_owned(), change })
    }
}

/// A simulation's report.
#[derive(Debug, Serialize)]
pub struct OnlineReport {
    /// The classifier's training run.
    pub weights: String,
    pub trained_on_them: bool,
    pub seeds: usize,
    pub workloads: Vec<OnlineWorkload>,
}

/// One workload.
#[derive(Debug, Serialize)]
pub struct OnlineWorkload {
    pub workload: String,
    /// Requests of a run.
    pub requests: usize,
    pub knob: String,
    /// Mean quality that the knob asks for, without the scenario's change and while it holds.
    pub bar: Option<[f64; 2]>,
    pub budget_per_1k: Option<f64>,
    /// The order of shares; by their names in the workload, also where they are anonymous to the policies.
    pub models: Vec<String>,
    /// When the scenario changes what.
    pub turns: Vec<Turn>,
    pub best: String,
    pub best_quality: f64,
    pub best_usd_per_1k: f64,
    /// What full-information nearest neighbours come to at this knob, without the scenario.
    pub knn: Option<PointReport>,
    pub policies: Vec<PolicyReport>,
}

/// Simulates, and prints or writes what was found.
///
/// # Errors
/// What is wrong with the arguments, a workload or the weights.
pub fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    check(args)?;
    let bundle = super::bundle(args)?;
    let (data, sources) = workload::read(&args.workload, &bundle.extractor)?;
    let mut workloads = Vec::new();
    for workload in 0..data.workloads.len() {
        workloads.push(simulate(args, &data, workload, &bundle)?);
    }
    let trained_on_them = sources.iter().any(|source| super::trained_on(&bundle, source));
    let report =
        OnlineReport { weights: bundle.fingerprint.clone(), trained_on_them, seeds: args.online.seeds, workloads };
    let plot = |path: &PathBuf| Ok(vec![(path.clone(), svg::simulation(&report)?)]);
    let plots = args.svg.as_ref().map_or_else(|| Ok(vec![]), plot);
    output::write(&report, &table::text(&report), plots, args, &mut stdout())
}

fn check(args: &EvaluateArgs) -> anyhow::Result<()> {
    let online = &args.online;
    ensure!(args.folds().is_none(), "--online and cross-validation: train with --exclude-fold and give it as --model");
    ensure!((0.0..=1.0).contains(&online.missing), "--missing {}: give a share from 0 to 1", online.missing);
    ensure!((0.0..=1e6).contains(&online.delay), "--delay {}: give requests, from 0 to a million", online.delay);
    ensure!((1..=10_000).contains(&online.seeds), "--seeds {}: give 1 to 10,000", online.seeds);
    ensure!((1..=10_000_000).contains(&online.requests.unwrap_or(1)), "--requests: give 1 to 10,000,000");
    if let Some(path) = &args.svg {
        let named = path.extension().is_some_and(|extension| extension == "svg") && !path.is_dir();
        ensure!(named, "--svg {}: with --online, give the name of one file, in .svg", path.display());
    }
    output::check(args)
}

fn knob(args: &EvaluateArgs) -> anyhow::Result<Knob> {
    let knobs: Vec<Knob> = args.knobs().into_iter().chain(args.online.value.map(Knob::Value)).collect();
    match knobs[..] {
        [] => Ok(Knob::Quality(0.95)),
        [knob] => Ok(knob),
        _ => bail!("--online simulates one setting of the knob; give one of --quality, --budget-per-1k and --value"),
    }
}

fn share(knob: Knob) -> Option<f64> {
    if let Knob::Quality(share) = knob { Some(share) } else { None }
}

fn budget(knob: Knob) -> Option<f64> {
    if let Knob::BudgetPer1k(usd) = knob { Some(usd) } else { None }
}

/// One workload, ready to be simulated.
struct Simulation<'a> {
    name: &'a str,
    /// By their names in the workload, in the order of the stream's arms.
    models: Vec<String>,
    stream: Stream,
    scenario: Scenario,
    spec: RouteSpec,
    reference: Option<Reference>,
}

fn simulate(args: &EvaluateArgs, data: &Dataset, workload: usize, bundle: &Bundle) -> anyhow::Result<OnlineWorkload> {
    let simulation = Simulation::new(args, data, workload, bundle)?;
    let policies = simulation.policies(args, &Snapshot::new(bundle.prior.clone()))?;
    Ok(simulation.report(args, policies))
}

impl<'a> Simulation<'a> {
    fn new(args: &EvaluateArgs, data: &'a Dataset, workload: usize, bundle: &Bundle) -> anyhow::Result<Self> {
        let (name, models) = (&data.workloads[workload], models(args, data, workload));
        let mut stream = Stream::new(data, workload, &models, &bundle.classifier)?;
        ensure!(models.len() > 1 && !stream.requests.is_empty(), "{name}: no prompt was answered by two of the models");
        let scenario = scenario(&args.online.scenario, &models)?;
        check_level(&scenario, name, &models, &stream)?;
        let (prompts, calibrate) = (stream.requests.len(), args.online.calibrate);
        ensure!(calibrate < prompts, "--calibrate {calibrate}: {name} has {prompts} prompts; leave some to be routed");
        if args.online.anonymous {
            stream.arms = (0..models.len()).map(|i| format!("model-{i:02}")).collect();
        }
        let spec = route(&stream, knob(args)?);
        let neighbours = neighbours(data, &stream);
        let reference = neighbours.map(|forecast| Reference::new(&stream, &forecast, &scenario, spec.knob));
        Ok(Self { name, models, stream, scenario, spec, reference })
    }

    /// Each policy that is asked for, over all orders of the stream.
    fn policies(&self, args: &EvaluateArgs, prior: &Snapshot) -> anyhow::Result<Vec<PolicyReport>> {
        let Self { stream, scenario, spec, reference, .. } = self;
        let ours = [PolicyName::Satisfice];
        let asked = if args.online.policies.is_empty() { &ours[..] } else { &args.online.policies };
        let outcome = |policy: &PolicyName| {
            let make = maker(policy, (prior, !args.online.alone), &|model| self.arm(model))?;
            let runs = runs(args, stream, spec, &*make, scenario)?;
            let called = make(spec).name().to_owned();
            Ok(report(stream, scenario, reference.as_ref(), called, &runs, args.online.value))
        };
        asked.iter().map(outcome).collect()
    }

    /// What policies call this model.
    fn arm(&self, model: &str) -> anyhow::Result<String> {
        let known = self.models.iter().position(|known| known == model).map(|i| self.stream.arms[i].clone());
        known.with_context(|| format!("no such model in {}; there are {}", self.name, self.models.join(", ")))
    }

    fn report(self, args: &EvaluateArgs, policies: Vec<PolicyReport>) -> OnlineWorkload {
        let Self { name, models, stream, scenario, spec, reference } = self;
        let requests = args.online.requests.unwrap_or(stream.requests.len() - args.online.calibrate);
        let best = stream.best();
        let (best_quality, best_usd) = stream.fixed(best);
        OnlineWorkload {
            workload: name.to_owned(),
            requests,
            knob: spec.knob.to_string(),
            bar: share(spec.knob).map(|share| scenario.best_quality(&stream).map(|best| share * best)),
            budget_per_1k: budget(spec.knob),
            turns: scenario.turns(requests, &models[scenario.arm]),
            best: models[best].clone(),
            best_quality,
            best_usd_per_1k: 1e3 * best_usd,
            models,
            knn: reference.map(|reference| reference.usual().into()),
            policies,
        }
    }
}

/// The workload's models, or those of them that `--models` names.
fn models(args: &EvaluateArgs, data: &Dataset, workload: usize) -> Vec<String> {
    let is_asked = |model: &String| args.models.is_empty() || args.models.contains(model);
    let arms = data.arms.iter().filter(|arm| arm.workload == workload);
    arms.map(|arm| arm.model.clone()).filter(is_asked).collect()
}

fn scenario(plot: &Plot, models: &[String]) -> anyhow::Result<Scenario> {
    if plot.change == Change::None {
        return Ok(Scenario::default());
    }
    let arm = models.iter().position(|model| *model == plot.model);
    let arm = arm.with_context(|| format!("--scenario: no model {}; there are {}", plot.model, models.join(", ")))?;
    Ok(Scenario { arm, change: plot.change })
}

/// A model can be made worse than it is, and not better.
fn check_level(scenario: &Scenario, workload: &str, models: &[String], stream: &Stream) -> anyhow::Result<()> {
    let Change::Quality(level) = scenario.change else { return Ok(()) };
    let (model, usual) = (&models[scenario.arm], stream.fixed(scenario.arm).0);
    ensure!(
        level < usual,
        "--scenario quality={model}:{level}: its quality in {workload} is {usual:.3}; give a level below that"
    );
    Ok(())
}

fn route(stream: &Stream, knob: Knob) -> RouteSpec {
    let arms = stream.arms.iter().zip(&stream.prices);
    let arms = arms.map(|(arm, price)| ArmSpec { arm: arm.clone(), price: Some(*price), context_window: None });
    RouteSpec { name: "auto".into(), knob, explore: true, arms: arms.collect(), segments: Vec::new() }
}

type Maker<'a> = Box<dyn Fn(&RouteSpec) -> Box<dyn Policy> + Sync + 'a>;

fn maker<'a>(
    policy: &PolicyName,
    (prior, consults): (&'a Snapshot, bool),
    arm: &dyn Fn(&str) -> anyhow::Result<String>,
) -> anyhow::Result<Maker<'a>> {
    Ok(match policy {
        PolicyName::Satisfice => {
            Box::new(move |spec| Box::new(Satisficing::new(prior.clone(), spec).consulting(consults)))
        }
        PolicyName::Cheapest => Box::new(|spec| Box::new(Fixed::cheapest(spec))),
        PolicyName::Random => Box::new(|spec| Box::new(Random::new(spec))),
        PolicyName::Thompson => Box::new(|spec| Box::new(TaskBlind::new(spec))),
        PolicyName::LinUcb => Box::new(|spec| Box::new(LinUcb::new(spec))),
        PolicyName::SquareCb => Box::new(|spec| Box::new(SquareCb::new(spec))),
        PolicyName::Always(model) => {
            let arm = arm(model).with_context(|| format!("--policy always={model}"))?;
            Box::new(move |spec| Box::new(Fixed::model(spec, &arm)))
        }
    })
}

/// One run per seed, on all cores.
fn runs(
    args: &EvaluateArgs,
    stream: &Stream,
    spec: &RouteSpec,
    make: &(dyn Fn(&RouteSpec) -> Box<dyn Policy> + Sync),
    scenario: &Scenario,
) -> anyhow::Result<Vec<Run>> {
    let online = &args.online;
    let conditions = |seed: usize| Conditions {
        seed: args.seed.wrapping_add(seed as u64),
        delay: online.delay,
        missing: online.missing,
        requests: online.requests,
        calibration: online.calibrate,
    };
    let played = on_all_cores(online.seeds, |seed| play(stream, spec, make, scenario, &conditions(seed)))?;
    Ok(played.into_iter().collect::<Result<_, NoCandidate>>()?)
}

/// What `one` makes of 0 to `n` − 1, in their order.
///
/// # Errors
/// It panicked; the others are worked off before that is said.
fn on_all_cores<T: Send>(n: usize, one: impl Fn(usize) -> T + Sync) -> anyhow::Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let i = next.fetch_add(1, Ordering::Relaxed);
        (i < n).then(|| (i, one(i)))
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let ended: Vec<std::thread::Result<Vec<(usize, T)>>> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(|| std::iter::from_fn(work).collect())).collect();
        handles.into_iter().map(ScopedJoinHandle::join).collect()
    });
    let mut done = Vec::with_capacity(n);
    for part in ended {
        done.extend(
            part.map_err(|_| anyhow!("a simulation stopped by a mistake in this program, which is shown above"))?,
        );
    }
    done.sort_by_key(|(i, _)| *i);
    Ok(done.into_iter().map(|(_, made)| made).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_on_all_cores_comes_in_order_and_whole_or_not_at_all() {
        assert_eq!(on_all_cores(50, |i| 2 * i).unwrap(), (0..50).map(|i| 2 * i).collect::<Vec<_>>());
        let broken = on_all_cores(50, |i| assert_ne!(i, 7)).expect_err("one of them panics");
        assert!(broken.to_string().contains("a mistake in this program"), "{broken}");
    }
}
