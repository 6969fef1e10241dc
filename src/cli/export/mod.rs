//! `satisfice export`: the ledger and the trace bodies → a file of traces, one decided request per line.

mod output;
mod parquet;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use serde_json::value::RawValue;

use super::stdout::say;
use crate::policy::{Decision, Kind};
use crate::scorers::reward::{self, Part};
use crate::store::{
    Entry, LEDGER_FILE, Position, RedbStore, Retention, Scored, Store, StoreError, TraceReader, newest_scores,
};
use crate::trace::line::{DecisionLine, RewardLine, ScoreLine, SettlementLine, TraceLine, VERSION};
use crate::trace::{TraceId, twin};
use output::Output;

/// `satisfice export`'s flags.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// File to write, .jsonl, .jsonl.gz or .parquet (a row per request, nested things as JSON); it must not exist, unless --force is given.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The data folder of a gateway that is not running.
    #[arg(long, default_value = "data", value_name = "FOLDER")]
    pub data_dir: PathBuf,
    /// Only requests that came within this time before now, such as 7d, 12h or 2w [default: all].
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub since: Option<Duration>,
    /// Only this route's requests [default: all routes].
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,
    /// Leave out the scores of this source, as `unlearn` of [server] does; may be given several times.
    #[arg(long, value_name = "SOURCE")]
    pub without: Vec<String>,
    /// Replace the file.
    #[arg(long)]
    pub force: bool,
}

/// Sources of scores that a message names, at most.
const MOST_NAMED: usize = 20;

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Decided requests: lines.
    pub requests: usize,
    /// Lines with the request's body.
    pub bodies: usize,
    /// Lines with an answer that somebody judged: not only its form.
    pub judged: usize,
}

/// Writes the file, whole or not at all, and says what is in it. `now_ms`: the wall clock, Unix milliseconds.
///
/// # Errors
/// The file exists or cannot be written, the data folder is in use or cannot be read, nothing is to be exported, or a
/// source that is left out has no score.
pub fn run(options: &Options, now_ms: u64) -> anyhow::Result<Summary> {
    let after_ms = options.since.map_or(0, |since| now_ms.saturating_sub(since.as_millis() as u64));
    let mut output = Output::create(&options.out, options.force)?;
    let store = open(&options.data_dir)?;
    let mut export = Export::new(&store, after_ms, options);
    export.write(&mut output)?;
    export.check_sources()?;
    let (summary, seen) = (export.summary, export.routes);
    if summary.requests == 0 {
        bail!(nothing(options, &seen));
    }
    output.finish()?;
    let Summary { requests, bodies, judged } = summary;
    say(format_args!(
        "wrote {}: {requests} requests, {bodies} with their body, {judged} judged",
        options.out.display()
    ));
    Ok(summary)
}

/// A data folder that has a ledger, and that nobody uses.
fn open(folder: &Path) -> anyhow::Result<RedbStore> {
    let name = folder.display();
    ensure!(
        folder.join(LEDGER_FILE).is_file(),
        "{name} holds no {LEDGER_FILE}; give the --data-dir of a gateway that has run"
    );
    RedbStore::open(folder, Retention::default()).map_err(|error| match error {
        StoreError::InUse(folder) => anyhow!(
            "the data folder {folder} is in use by a running gateway; stop the gateway while you export, or export a \
             copy that was made while it was stopped"
        ),
        other => other.into(),
    })
}

fn nothing(options: &Options, routes: &BTreeSet<String>) -> String {
    let since = if options.since.is_some() { " since then" } else { "" };
    let known = routes.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    match &options.route {
        Some(route) if !routes.contains(route) && !routes.is_empty() => {
            format!("no route \"{route}\" decided a request{since}; these did: {known}")
        }
        _ => {
            format!("no request was decided{since}; nothing is written (give a longer --since, or another --data-dir)")
        }
    }
}

struct Export<'a> {
    store: &'a RedbStore,
    reader: Arc<dyn TraceReader>,
    after_ms: u64,
    route: Option<&'a str>,
    without: &'a [String],
    summary: Summary,
    /// Routes that decided anything in the time asked for.
    routes: BTreeSet<String>,
    /// Those of `without` that have no score so far.
    unheard: BTreeSet<&'a str>,
    /// Sources that have one: the first few.
    sources: BTreeSet<String>,
}

impl<'a> Export<'a> {
    fn new(store: &'a RedbStore, after_ms: u64, options: &'a Options) -> Self {
        let (route, without) = (options.route.as_deref(), &*options.without);
        let (summary, routes, sources) = (Summary::default(), BTreeSet::new(), BTreeSet::new());
        let unheard = without.iter().map(String::as_str).collect();
        Self { store, reader: store.reader(), after_ms, route, without, summary, routes, unheard, sources }
    }

    /// One request in memory at a time: each is looked up when the ledger comes to its decision.
    fn write(&mut self, output: &mut Output) -> anyhow::Result<()> {
        let (store, mut failure) = (self.store, None);
        let visited = store.replay(0, &mut |_, entry| {
            self.entry(entry, output).map_err(|error| {
                failure = Some(error);
                StoreError::Failed("the export has stopped".into())
            })
        });
        failure.map_or(Ok(()), Err)?;
        Ok(visited?)
    }

    /// A name that was mistyped leaves nothing out.
    fn check_sources(&self) -> anyhow::Result<()> {
        let Some(unheard) = self.unheard.first() else { return Ok(()) };
        let sources: Vec<_> = self.sources.iter().map(|source| format!("\"{source}\"")).collect();
        let there =
            if sources.is_empty() { "it has none at all".into() } else { format!("it has: {}", sources.join(", ")) };
        bail!("--without {unheard}: the ledger has no score of that source; {there}")
    }

    fn hear(&mut self, source: &str) {
        self.unheard.remove(source);
        if self.sources.len() < MOST_NAMED && !self.sources.contains(source) {
            self.sources.insert(source.to_owned());
        }
    }

    fn entry(&mut self, entry: Entry, output: &mut Output) -> anyhow::Result<()> {
        if let Entry::Scored(scored) = &entry {
            self.hear(&scored.source);
        }
        let Entry::Decided { trace, at_ms, decision, .. } = &entry else { return Ok(()) };
        // Of an answer that was given again nothing was decided.
        if *at_ms < self.after_ms || decision.kind == Kind::Cache {
            return Ok(());
        }
        let history = self.store.history(*trace, Position::MAX)?;
        // Where another classifier took over, the decision stands there again as that one assesses it: the first is what
        // was decided.
        let first = history.iter().find(|known| matches!(known, Entry::Decided { .. }));
        if first != Some(&entry) {
            return Ok(());
        }
        let Entry::Decided { trace, at_ms, route, bundle, decision, .. } = entry else { return Ok(()) };
        let route = String::from(route);
        self.routes.insert(route.clone());
        if self.route.is_some_and(|wanted| wanted != route) {
            return Ok(());
        }
        let asked = self.asked(trace, &decision)?;
        let decision = DecisionLine { asked, ..DecisionLine::of(Arc::unwrap_or_clone(decision), bundle) };
        let line = self.line((trace, at_ms, route), decision, history)?;
        self.summary.requests += 1;
        self.summary.bodies += usize::from(line.request.is_some());
        self.summary.judged += usize::from(line.judged().is_some());
        output.line(&line)
    }

    /// What is known of a request beside its decision.
    fn line(
        &self,
        (trace, at_ms, route): (TraceId, u64, String),
        decision: DecisionLine,
        history: Vec<Entry>,
    ) -> anyhow::Result<TraceLine> {
        let settlement = history.iter().find_map(settlement);
        let mut scores = newest_scores(history);
        scores.retain(|scored| !self.without.contains(&scored.source));
        let (metadata, request) = self.reader.trace(trace)?.map(|kept| (kept.metadata, kept.request)).unzip();
        Ok(TraceLine {
            version: VERSION,
            trace,
            at_ms,
            route,
            metadata,
            request: request.filter(|body| !body.is_empty()).map(|body| on_one_line(&body)).transpose()?,
            decision,
            reward: resolved(settlement.as_ref(), &scores),
            settlement,
            scores: scores.into_iter().map(score).collect(),
        })
    }

    /// The probability with which a shadow was asked for: its request was in the sample, and another model was drawn. Where
    /// the ledger no longer has that draw, as if it had been certain.
    fn asked(&self, trace: TraceId, decision: &Decision) -> anyhow::Result<Option<f64>> {
        let Some(audit) = decision.audit.filter(|_| decision.kind == Kind::Shadow) else { return Ok(None) };
        let drawn = self.store.history(twin(trace), Position::MAX)?.into_iter().find_map(|entry| match entry {
            Entry::Decided { decision: own, .. } => Some(own.candidates.get(decision.chosen)?.propensity),
            _ => None,
        });
        Ok(Some(audit.share * (1.0 - drawn.unwrap_or(0.0))).filter(|asked| *asked > 0.0))
    }
}

/// Line breaks stand only between the tokens of JSON, where a space is as good.
fn on_one_line(body: &[u8]) -> anyhow::Result<Box<RawValue>> {
    let bytes = body.iter().map(|&byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }).collect();
    let text = String::from_utf8(bytes).context("a request body that was kept is not UTF-8")?;
    RawValue::from_string(text).context("a request body that was kept is not JSON")
}

fn settlement(entry: &Entry) -> Option<SettlementLine> {
    let Entry::Settled { arm, usage, cost_usd, outcome, .. } = entry else { return None };
    Some(SettlementLine { arm: arm.clone(), usage: *usage, cost_usd: *cost_usd, outcome: *outcome })
}

fn score(scored: Scored) -> ScoreLine {
    let Scored { metric, source, value, weight, at_ms, .. } = scored;
    ScoreLine { metric, source, value, weight, at_ms }
}

fn part(score: &Scored) -> Part<'_> {
    Part { metric: &score.metric, value: score.value, weight: score.weight }
}

/// As the learner believes it: of answers only.
fn resolved(settlement: Option<&SettlementLine>, scores: &[Scored]) -> Option<RewardLine> {
    settlement?.arm.as_ref()?;
    let (value, weight) = reward::resolve(scores.iter().map(part)).worth()?;
    Some(RewardLine { value, weight })
}

fn span(text: &str) -> Result<Duration, String> {
    let days = jiff::SpanRelativeTo::days_are_24_hours();
    let parsed = text.parse::<jiff::Span>().and_then(|span| span.to_duration(days));
    let length = parsed.ok().and_then(|length| Duration::try_from(length).ok()).filter(|length| !length.is_zero());
    length.ok_or_else(|| "give a span of time, such as 7d, 12h or 2w".into())
}
