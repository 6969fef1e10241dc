//! `satisfice evaluate --traces`: policies on logged traffic, off-policy.

mod report;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail, ensure};
use serde::Serialize;

use super::online::PolicyName;
use super::{EvaluateArgs, output};
use crate::cli::stdout::stdout;
use crate::cli::{numbers, traces};
use crate::evaluate::off_policy::{
    Cheapest, Comparison, Estimates, Fixed, Greedy, Logged, Outcome, Replay, Row, Target, TooFew, Uniform, compare,
    estimate,
};
use crate::policy::rivals::{LinUcb, SquareCb, TaskBlind};
use crate::policy::{Knob, Policy, RouteSpec};
use crate::trace::TraceId;
use crate::trace::line::TraceLine;

/// Shares of the best model's quality that are evaluated where no knob is given.
const USUAL_BARS: [f64; 3] = [0.9, 0.95, 0.99];

/// Flags of off-policy evaluation.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Logged traffic")]
pub struct OffPolicyArgs {
    /// Compare two policies on the same requests, at any time: each is `logged`, `uniform`, `quality=0.95`,
    /// `budget=0.66`, `value=0.1`, a policy as --policy names it, or a model by its name (`model=NAME` where that is one
    /// of these words). At a knob it is what the logged predictions prefer, without exploration: beliefs from which to
    /// draw are not in a trace.
    #[arg(long, num_args = 2, value_names = ["A", "B"])]
    pub compare: Vec<String>,
    /// Cut importance weights at this: narrower intervals, about a slightly wrong value.
    #[arg(long, value_name = "WEIGHT", allow_negative_numbers = true)]
    pub clip: Option<f64>,
    /// Only this route's requests [default: every route by itself].
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,
    /// Only requests that this segment of the route decided [default: all of a route's].
    #[arg(long, value_name = "NAME", requires = "route")]
    pub segment: Option<String>,
}

/// What was found of one route.
#[derive(Debug, Serialize)]
pub struct RouteReport {
    pub route: String,
    /// Null: all of the route's requests.
    pub segment: Option<String>,
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
    /// It was replayed, and learned on the way: see [`Replay`].
    pub learns: bool,
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
pub fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    check(args)?;
    let logs = read(args)?;
    let reports = logs.iter().map(|(route, log)| report_of(route, log, args)).collect::<anyhow::Result<Vec<_>>>()?;
    output::write(&reports, &report::text(&reports), Ok(vec![]), args, &mut stdout())
}

fn check(args: &EvaluateArgs) -> anyhow::Result<()> {
    if let Some(clip) = args.off_policy.clip {
        ensure!(clip.is_finite() && clip >= 1.0, "--clip {clip}: give a weight from 1 on, such as 20");
    }
    Ok(())
}

/// One route's requests, at least one, in the order of decision.
struct Log {
    rows: Vec<Row>,
    /// The training runs that the rows' φ are of.
    bundles: BTreeSet<String>,
    from_ms: u64,
    to_ms: u64,
}

/// A request with its training run, by arrival (Unix milliseconds) and trace: files may come in any order.
type Requests = BTreeMap<(u64, TraceId), (Row, String)>;

impl Log {
    fn new(requests: Requests) -> Self {
        let at_ms = |key: Option<&(u64, TraceId)>| key.map_or(0, |(at_ms, _)| *at_ms);
        let (from_ms, to_ms) = (at_ms(requests.keys().next()), at_ms(requests.keys().next_back()));
        let (rows, bundles) = requests.into_values().unzip();
        Self { rows, bundles, from_ms, to_ms }
    }
}

fn read(args: &EvaluateArgs) -> anyhow::Result<BTreeMap<String, Log>> {
    let (mut logs, mut others) = (BTreeMap::<String, Requests>::new(), BTreeSet::new());
    let OffPolicyArgs { route, segment, .. } = &args.off_policy;
    let is_wanted = |line: &TraceLine| {
        route.as_ref().is_none_or(|wanted| *wanted == line.route)
            && (segment.is_none() || line.decision.segment == *segment)
    };
    traces::each(&args.traces, |_, line| {
        // A calibration's answer was not drawn from anything, and a shadow's is a second one to a request that has its line.
        if !line.decision.kind.is_traffic() {
            return Ok(());
        }
        if is_wanted(&line) {
            let (key, bundle) = ((line.at_ms, line.trace), line.decision.bundle.clone());
            logs.entry(line.route.clone()).or_default().insert(key, (Row::of(line), bundle));
        } else {
            others.insert(place(line));
        }
        Ok(())
    })?;
    match route {
        Some(wanted) if logs.is_empty() => {
            let segment = segment.as_ref().map_or(String::new(), |name| format!(" --segment {name}"));
            let known = others.into_iter().collect::<Vec<_>>().join(", ");
            bail!("--route {wanted}{segment}: no request of it is in the traces; their routes are: {known}");
        }
        _ if logs.is_empty() => {
            bail!("--traces: there is no request that a route decided, only calibrations and shadows")
        }
        _ => Ok(logs.into_iter().map(|(route, requests)| (route, Log::new(requests))).collect()),
    }
}

/// Where a request was decided.
fn place(line: TraceLine) -> String {
    let TraceLine { route, decision, .. } = line;
    decision.segment.map_or(route.clone(), |segment| format!("{route} (segment {segment})"))
}

fn report_of(route: &str, log: &Log, args: &EvaluateArgs) -> anyhow::Result<RouteReport> {
    let rows = &log.rows;
    let judged = rows.iter().filter(|row| row.quality.is_some()).count();
    ensure!(
        judged >= 2,
        "route \"{route}\": {judged} of {} answers were judged, and at least 2 are needed; send scores to /v1/feedback",
        rows.len()
    );
    let menu = Menu { log, value: args.online.value };
    let policies = policies(&menu, args)?.into_iter();
    let policies = policies.filter_map(|policy| policy_report(&policy, rows, args.off_policy.clip)).collect();
    let comparison = match &args.off_policy.compare[..] {
        [first, second] => Some(comparison(route, &menu, (first, second), args.off_policy.clip)?),
        _ => None,
    };
    let (from_ms, to_ms) = (log.from_ms, log.to_ms);
    Ok(RouteReport {
        route: route.to_owned(),
        segment: args.off_policy.segment.clone(),
        requests: rows.len(),
        judged,
        from_ms,
        to_ms,
        clip: args.off_policy.clip,
        policies,
        comparison,
    })
}

/// A policy and what reports call it.
struct Named {
    name: String,
    learns: bool,
    target: Box<dyn Target>,
}

impl Named {
    fn new(name: impl Into<String>, target: impl Target + 'static) -> Self {
        Self { name: name.into(), learns: false, target: Box::new(target) }
    }
}

/// What can be evaluated on a log.
struct Menu<'a> {
    log: &'a Log,
    /// USD that a unit of quality is worth to policies that learn; `None`: quality is all that counts.
    value: Option<f64>,
}

impl Menu<'_> {
    fn at(&self, knob: Knob) -> Named {
        let name = match knob {
            Knob::Quality(q) => format!("quality={q}"),
            Knob::BudgetPer1k(usd) => format!("budget={usd}"),
            Knob::Value(usd) => format!("value={usd}"),
        };
        Named::new(name, Greedy::at(knob, &self.log.rows))
    }

    fn models(&self) -> BTreeSet<&str> {
        self.log.rows.iter().flat_map(|row| &row.candidates).map(|candidate| candidate.arm.as_str()).collect()
    }

    fn model(&self, name: &str) -> anyhow::Result<Named> {
        let known = self.models();
        ensure!(
            known.contains(name),
            "neither a policy nor a model of these traces; the policies are logged, uniform, quality=Q, budget=USD, \
             value=USD, cheapest, thompson, linucb and squarecb, the models {}",
            known.iter().copied().collect::<Vec<_>>().join(", ")
        );
        Ok(Named::new(name, Fixed(name.to_owned())))
    }

    /// As `--policy` names it.
    fn policy(&self, name: &PolicyName) -> anyhow::Result<Named> {
        match name {
            PolicyName::Satisfice => bail!(
                "what it believed when it decided is not in a trace; `logged` is what it did, and --quality and \
                 --budget-per-1k give its favourites at other knobs"
            ),
            PolicyName::Cheapest => Ok(Named::new("cheapest", Cheapest)),
            PolicyName::Random => Ok(Named::new("uniform", Uniform)),
            PolicyName::Thompson => Ok(self.learner("thompson", |spec| Box::new(TaskBlind::new(spec)))),
            PolicyName::LinUcb => {
                self.check_phi()?;
                Ok(self.learner("linucb", |spec| Box::new(LinUcb::new(spec))))
            }
            PolicyName::SquareCb => {
                self.check_phi()?;
                Ok(self.learner("squarecb", |spec| Box::new(SquareCb::new(spec))))
            }
            PolicyName::Always(model) => self.model(model),
        }
    }

    fn learner(&self, name: &str, make: fn(&RouteSpec) -> Box<dyn Policy>) -> Named {
        let knob = self.value.map_or(Knob::Quality(1.0), Knob::Value);
        Named { learns: true, ..Named::new(name, Replay::new(&self.log.rows, knob, make)) }
    }

    /// φ of one training run says nothing in another's.
    fn check_phi(&self) -> anyhow::Result<()> {
        let Log { rows, bundles, .. } = self.log;
        let runs = || bundles.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        ensure!(
            bundles.len() == 1,
            "it learns on the features of one training run, and the requests were assessed by {} ({}); leave it out, or \
             give the requests of one",
            bundles.len(),
            runs()
        );
        let width = |row: &Row| row.context.phi.len();
        ensure!(
            rows.windows(2).all(|pair| width(&pair[0]) == width(&pair[1])),
            "the requests' phi have several lengths; export them again"
        );
        Ok(())
    }

    /// As `--compare` names it.
    fn parse(&self, text: &str) -> anyhow::Result<Named> {
        let usd = |typed: &str| numbers::usd(typed).map_err(anyhow::Error::msg);
        match text.split_once('=') {
            _ if text == "logged" => Ok(Named::new(text, Logged)),
            _ if text == "uniform" => Ok(Named::new(text, Uniform)),
            Some(("quality", typed)) => Ok(self.at(Knob::Quality(numbers::share(typed).map_err(anyhow::Error::msg)?))),
            Some(("budget", typed)) => Ok(self.at(Knob::BudgetPer1k(usd(typed)?))),
            Some(("value", typed)) => Ok(self.at(Knob::Value(usd(typed)?))),
            Some(("model", name)) => self.model(name),
            _ => text.parse().map_or_else(|_| self.model(text), |policy| self.policy(&policy)),
        }
    }
}

fn policies(menu: &Menu, args: &EvaluateArgs) -> anyhow::Result<Vec<Named>> {
    let asked: Vec<Knob> = args.knobs().into_iter().chain(menu.value.map(Knob::Value)).collect();
    let knobs = if asked.is_empty() { USUAL_BARS.map(Knob::Quality).to_vec() } else { asked };
    let mut all = vec![Named::new("logged", Logged)];
    all.extend(knobs.into_iter().map(|knob| menu.at(knob)));
    let models = menu.models().into_iter().map(|name| Named::new(name, Fixed(name.to_owned())));
    let usual: Vec<Named> = models.chain([Named::new("uniform", Uniform)]).collect();
    for policy in &args.online.policies {
        let policy = menu.policy(policy).with_context(|| format!("--policy {policy}"))?;
        if all.iter().chain(&usual).all(|other| other.name != policy.name) {
            all.push(policy);
        }
    }
    all.extend(usual);
    Ok(all)
}

/// `None` where hardly any request that it can answer was judged.
fn policy_report(policy: &Named, rows: &[Row], clip: Option<f64>) -> Option<PolicyReport> {
    let of = |outcome| estimate(rows, &*policy.target, outcome, clip).ok();
    Some(PolicyReport {
        policy: policy.name.clone(),
        learns: policy.learns,
        quality: of(Outcome::Quality)?,
        usd_per_1k: of(Outcome::Cost).map(|usd| usd.times(1000.0)),
    })
}

fn comparison(
    route: &str,
    menu: &Menu,
    (first, second): (&str, &str),
    clip: Option<f64>,
) -> anyhow::Result<ComparisonReport> {
    let named = |text: &str| menu.parse(text).with_context(|| format!("--compare {text}"));
    let (first, second) = (named(first)?, named(second)?);
    let of = |outcome| compare(&menu.log.rows, (&*first.target, &*second.target), outcome, clip);
    let few = |error: TooFew| format!("route \"{route}\": {} and {}: {error}", first.name, second.name);
    let quality = of(Outcome::Quality).map_err(|error| anyhow::Error::msg(few(error)))?;
    let usd = of(Outcome::Cost).ok();
    Ok(ComparisonReport { first: first.name, second: second.name, quality, usd })
}
