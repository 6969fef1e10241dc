//! `satisfice calibrate`: every prompt of a file to every model of a route. All answers are scored, by the reference
//! answers and by the route's judges, and the posteriors take all of it: about a hundred prompts are worth weeks of
//! exploration.
//!
//! The ledger has each answer as any other (decided, settled, scored: one append; a judge's grade comes after it), so that
//! a killed run keeps what was paid for and the next one asks only for the rest.

mod amount;
mod estimate;
mod plan;
mod prompts;
mod report;
mod send;

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use super::assemble::{Classifiers, reading, retention};
use super::numbers;
use super::serve::Source;
use crate::config::{Flags, Setup};
use crate::difficulty::Bundle;
use crate::gateway::{self, RouteSettings};
use crate::learner::{self, Bounds, Learner, Reading};
use crate::policy::{RouteSpec, RouteState, Snapshot};
use crate::scorers::judge::{Bench, JudgeSettings};
use crate::scorers::{self, reference::Reference};
use crate::store::memory::MemoryStore;
use crate::store::{RedbStore, Store};
use crate::trace::Event;
use crate::upstream::{Limits, Upstreams};
use estimate::Estimate;
use plan::{Known, Plan, Planner};
use report::Sources;
use send::{Sender, Sent};

/// Said when the disk fails.
const NOT_KEPT: &str = "answers could not be written to the ledger, and no more were asked for; see the log above, make \
                        room on the disk, and run it again: what is in the ledger is not asked for twice";

/// `satisfice calibrate`'s flags.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// One JSON object per line: {"messages": […], "reference": the right answer or null}; .jsonl or .jsonl.gz. Answers are
    /// scored by their reference and by the route's judges, which grade every one, whatever their share.
    #[arg(long, value_name = "FILE")]
    pub prompts: PathBuf,
    /// The route whose models are all asked.
    #[arg(long, value_name = "NAME")]
    pub route: String,
    /// The configuration [default: satisfice.toml if it is there, else made from the providers' keys in the environment].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where everything learned is kept; no gateway may be running on it [default: data].
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// A classifier that `train` wrote, as the gateway is given it.
    #[arg(long, value_name = "FOLDER")]
    pub model: Option<PathBuf>,
    /// Spend what it costs, answers and grades. Without it, the cost is estimated and nothing is sent.
    #[arg(long)]
    pub yes: bool,
    /// Begin no more calls once so much was spent, on answers and grades [default: the upper end of the estimate].
    #[arg(long, value_name = "USD", value_parser = numbers::usd, allow_negative_numbers = true)]
    pub max_usd: Option<f64>,
    /// Calls at one time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,
    /// Only the first prompts of the file.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Also ask what the ledger has an answer to; the new answer's scores revise the old one's. Without it, such an
    /// answer only goes to judges that have not graded it.
    #[arg(long)]
    pub again: bool,
}

/// Runs the command, and says on `out` what it costs and what came of it.
///
/// # Errors
/// What is wrong with the arguments, the configuration, the prompts (with the line) or the data folder; that `--yes` is
/// missing; that nothing was answered.
pub async fn run(options: &Options, out: &mut impl Write) -> anyhow::Result<()> {
    let flags = Flags { data_dir: options.data_dir.clone(), classifier: options.model.clone(), ..Flags::default() };
    let setup = Source::new(options.config.clone(), flags)?.read()?;
    let route = plan::route(&setup.gateway.routes, &options.route)?;
    let limit = options.limit.map(|limit| limit as usize);
    let prompts = prompts::read(&options.prompts, &options.route, limit)?;
    if prompts.repeated > 0 {
        writeln!(out, "{} lines repeat an earlier request, which is sent once", prompts.repeated)?;
    }
    let bundle = Classifiers::of(&setup).in_use()?;
    let folder = Folder::open(&setup, bundle, options)?;
    let before = state(&folder.snapshot, route)?;
    let judges = setup.judging.get(&route.name).map_or(&[][..], Vec::as_slice);
    let plan = folder.plan((route, judges), &before, prompts.prompts, options.again)?;
    let estimate = Estimate::new(&plan, &before, judges, options.again);
    announce(out, &plan, (route, judges), &estimate, options.again)?;
    if estimate.calls() == 0 {
        let reader = folder.store.reader();
        let sources = Sources { route, plan: &plan, sent: &Sent::default(), reader: &*reader, before: &before };
        return Ok(write!(out, "{}", sources.report(&folder.snapshot, &before)?)?);
    }
    let (usd, limit_usd) = (estimate.usd(), options.max_usd.unwrap_or(estimate.usd().high));
    let (about, most) = (amount::usd(usd.expected), amount::usd(limit_usd));
    ensure!(options.yes, "nothing was sent; add --yes to spend about {about} USD, {most} at most");
    let terms = Terms { again: options.again, concurrency: usize::from(options.concurrency), limit_usd };
    folder.spend(&setup, route, &plan, &before, terms, out).await
}

/// What is asked, what it will teach, and what it costs.
fn announce(
    out: &mut impl Write,
    plan: &Plan,
    (route, judges): (&RouteSettings, &[Arc<JudgeSettings>]),
    estimate: &Estimate,
    again: bool,
) -> std::io::Result<()> {
    let (prompts, models) = (plan.asked.len(), route.models.len());
    writeln!(out, "{prompts} prompts to the {models} models of \"{}\"", route.name)?;
    let known = plan.calls.iter().filter(|call| call.known).count();
    match (known, again) {
        (0, _) => {}
        (_, false) => writeln!(out, "{known} answers are in the ledger and skipped; --again asks for them anew")?,
        (_, true) => writeln!(out, "{known} answers are in the ledger; the new ones revise their scores")?,
    }
    if plan.unfit > 0 {
        writeln!(
            out,
            "{} times a model cannot answer a prompt (its window, or what it can do) and is left out",
            plan.unfit
        )?;
    }
    announce_scorers(out, plan, judges)?;
    if estimate.calls() == 0 {
        return writeln!(out, "there is nothing to ask");
    }
    write!(out, "{}", estimate.table(route, judges))?;
    writeln!(out, "ranges hold for nine of ten, as far as the lengths of the answers are known; see --max-usd")?;
    for model in Estimate::unpriced(route) {
        writeln!(out, "the price of {model} is not known; it counts as the dearest of the route")?;
    }
    for judge in judges.iter().filter(|judge| judge.model.price.is_none()) {
        let model = &judge.model.id;
        writeln!(out, "the price of {model} is not known, and neither sums nor --max-usd count it; give it one")?;
    }
    Ok(())
}

/// Who says how good the answers are, and of which nobody does.
fn announce_scorers(out: &mut impl Write, plan: &Plan, judges: &[Arc<JudgeSettings>]) -> std::io::Result<()> {
    for judge in judges {
        let JudgeSettings { name, model, weight, .. } = &**judge;
        writeln!(
            out,
            "the judge {name} ({}) grades every answer, and counts {weight} beside a reference's 1",
            model.id
        )?;
    }
    let unjudged = plan.asked.iter().filter(|asked| !asked.is_scored()).count();
    if unjudged > 0 {
        writeln!(
            out,
            "{unjudged} prompts have no reference, and no judge grades them: their answers teach length and form, not \
             quality; give references, or the route a judge in [[scorers]]"
        )?;
    }
    Ok(())
}

/// The data folder, held by this process, and what it has taught.
struct Folder {
    store: Box<dyn Store>,
    bundle: Bundle,
    reading: Reading,
    specs: Vec<RouteSpec>,
    snapshot: Snapshot,
    known: Known,
    now_ms: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl Folder {
    /// Only reads: a folder that is not there yet is not made for an estimate.
    fn open(setup: &Setup, bundle: Bundle, options: &Options) -> anyhow::Result<Self> {
        let store: Box<dyn Store> = match options.yes || setup.data_dir.exists() {
            true => Box::new(RedbStore::open(&setup.data_dir, retention(setup))?),
            false => Box::new(MemoryStore::default()),
        };
        let reading = reading(setup, &bundle);
        let restored = learner::restore(&*store, Snapshot::new(bundle.prior.clone()), reading.clone())?;
        let specs: Vec<RouteSpec> = setup.gateway.route_specs().into_iter().map(|s| keep_knob(s, &restored)).collect();
        let known = Known::read(&*store, &bundle.fingerprint)?;
        let now_ms = gateway::Sources::system().now_ms;
        let snapshot = if learner::has_routes(&restored, &specs) { restored } else { restored.configure(&specs) };
        Ok(Self { store, bundle, reading, snapshot, specs, known, now_ms })
    }

    fn plan(
        &self,
        (route, judges): (&RouteSettings, &[Arc<JudgeSettings>]),
        state: &RouteState,
        prompts: Vec<prompts::Prompt>,
        again: bool,
    ) -> anyhow::Result<Plan> {
        let (bundle, snapshot, known) = (&self.bundle, &self.snapshot, &self.known);
        let (reader, at_ms) = (&*self.store.reader(), (self.now_ms)());
        Planner { bundle, route, snapshot, state, known, judges, reader, again, at_ms }.plan(prompts)
    }

    /// Each answer goes to the disk at once: it is paid for.
    fn settings(&self) -> learner::Settings {
        learner::Settings {
            routes: self.specs.clone(),
            reading: self.reading.clone(),
            prior: Snapshot::new(self.bundle.prior.clone()),
            at_ms: (self.now_ms)(),
            bounds: Bounds { linger: Duration::ZERO, ..Bounds::default() },
        }
    }

    /// Makes the calls that are worth it, learns, and reports.
    async fn spend(
        self,
        setup: &Setup,
        route: &RouteSettings,
        plan: &Plan,
        before: &RouteState,
        terms: Terms,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        let upstreams = Arc::new(Upstreams::new(setup.providers.clone(), setup.gateway.deadlines.connect)?);
        let limits = Limits { insists: true, ..Limits::new(setup.gateway.deadlines, setup.gateway.attempts) };
        let bench = Arc::new(Bench::new(&setup.judging, upstreams.clone(), limits.clone(), Arc::default()));
        let judges = setup.judging.get(&route.name).map_or(&[][..], Vec::as_slice);
        let settings = self.settings();
        let mut scorers = scorers::built_in();
        scorers.push(Box::new(Reference::new(references(plan))));
        let learner = learner::spawn(settings, self.store, scorers)?;
        let (snapshot, reader) = (learner.snapshot.clone(), learner.reader.clone());
        let (upstreams, limits, now_ms) = (&upstreams, &limits, &*self.now_ms);
        let calls = worth(plan, terms.again);
        let all = calls.len();
        let (learning, bench, again) = (&learner, &bench, terms.again);
        let sender = Sender { upstreams, limits, route, plan, learner: learning, bench, judges, again, now_ms };
        let sent = sender.send(calls, terms.concurrency, terms.limit_usd).await;
        finish(learner, self.specs, (self.now_ms)()).await?;
        let (sent, snapshot) = (sent?, snapshot.load_full());
        summarise(out, &sent, all, terms.again)?;
        let after = state(&snapshot, route)?;
        let sources = Sources { route, plan, sent: &sent, reader: &*reader, before };
        write!(out, "{}", sources.report(&snapshot, &after)?)?;
        ensure_some(&sent)?;
        ensure_graded(&sent)?;
        ensure_all(&sent, all, terms.limit_usd)
    }
}

/// How the calls are made.
#[derive(Debug, Clone, Copy)]
struct Terms {
    again: bool,
    /// Calls at one time.
    concurrency: usize,
    /// Once more was spent, no more calls begin.
    limit_usd: f64,
}

/// Of `all` calls that were to be made; `again`: also those whose answers are known.
fn summarise(out: &mut impl Write, sent: &Sent, all: usize, again: bool) -> std::io::Result<()> {
    let (answered, failed) = (sent.answered.len(), sent.failed.len());
    writeln!(out, "\n{answered} answers for {} USD, {failed} calls failed", amount::usd(sent.usd))?;
    if sent.graded + sent.ungraded > 0 {
        let later = if sent.ungraded > 0 { "; the next run asks for them" } else { "" };
        writeln!(out, "{} grades by judges (their cost is in that), {} not given{later}", sent.graded, sent.ungraded)?;
    }
    match all - sent.ended {
        0 => Ok(()),
        left if again => writeln!(
            out,
            "stopped before {left} calls; the next run asks for those without an answer, and with --again for all anew"
        ),
        left => writeln!(out, "stopped before {left} calls; the next run asks for them"),
    }
}

fn state(snapshot: &Snapshot, route: &RouteSettings) -> anyhow::Result<Arc<RouteState>> {
    snapshot.routes.get(&route.name).cloned().with_context(|| format!("the policy has no route \"{}\"", route.name))
}

/// A calibration turns no knob: where the ledger has the route at one, as `serve --quality` sets it, it stays.
fn keep_knob(spec: RouteSpec, restored: &Snapshot) -> RouteSpec {
    let knob = restored.routes.get(&spec.name).map_or(spec.knob, |known| known.spec.knob);
    RouteSpec { knob, ..spec }
}

fn references(plan: &Plan) -> HashMap<crate::trace::TraceId, String> {
    let reference = |call: &plan::Call| Some((call.id, plan.asked[call.asked].prompt.reference.clone()?));
    plan.calls.iter().filter_map(reference).collect()
}

fn worth(plan: &Plan, again: bool) -> Vec<usize> {
    let calls = plan.calls.iter().enumerate().filter(|(_, call)| call.is_open(again));
    calls.map(|(index, _)| index).collect()
}

/// Works off what the learner was told. The routes are told anew, so that the controller solves on what it knows now.
async fn finish(learner: Learner, routes: Vec<RouteSpec>, at_ms: u64) -> anyhow::Result<()> {
    let counters = learner.counters.clone();
    // It has ended already, if it does not hear this; then the counters say so.
    let _ = learner.events.send(Event::Configured { at_ms, routes }).await;
    tokio::task::spawn_blocking(move || learner.stop()).await?;
    ensure!(counters.dropped_events.load(Ordering::Relaxed) == 0, NOT_KEPT);
    Ok(())
}

/// Who agreed to a price is asked before more is spent.
fn ensure_all(sent: &Sent, all: usize, limit_usd: f64) -> anyhow::Result<()> {
    let left = all - sent.ended;
    ensure!(
        left == 0 || sent.usd <= limit_usd,
        "stopped before {left} calls: {} USD were spent, more than the {} that were agreed to; what was \
         answered is learned, and the next run estimates the rest from it (--max-usd sets another limit)",
        amount::usd(sent.usd),
        amount::usd(limit_usd)
    );
    Ok(())
}

fn ensure_some(sent: &Sent) -> anyhow::Result<()> {
    match sent.failed.last() {
        Some((_, problem)) if sent.answered.is_empty() => bail!("no model answered: {problem}; nothing was learned"),
        _ => Ok(()),
    }
}

fn ensure_graded(sent: &Sent) -> anyhow::Result<()> {
    let none = sent.graded == 0 && sent.ungraded > 0;
    ensure!(
        !none,
        "no judge gave a grade, see the log above; mend that and run it again: no answer is asked for twice"
    );
    Ok(())
}
