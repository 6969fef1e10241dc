//! Exported traces as training data: each is a prompt with the outcome of the one model that answered it.
//!
//! An answer that the policy drew with probability π stands for 1/π prompts, so that each model's answers are as if it
//! had been asked about every prompt; so does a shadow, which was asked for with a probability of its own. 1/π is cut at
//! [`GREATEST_WEIGHT`], and a model's weights are scaled to a mean of 1: how much a model's answers count together is the
//! business of how many there are.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::api::chat::ChatRequest;
use crate::cli::traces;
use crate::cli::workload::{Reader, file_name};
use crate::difficulty::train::Outcome;
use crate::difficulty::{FileEntry, Span};
use crate::trace::line::TraceLine;

/// What a manifest says of such a file.
pub const SOURCE: &str = "exported traces";
/// 1/π counts for at most this.
const GREATEST_WEIGHT: f64 = 20.0;

/// How many traces teach something, and why the others do not.
#[derive(Debug, Default)]
pub struct Tally {
    taken: usize,
    skipped: BTreeMap<&'static str, usize>,
}

/// Adds the traces to what `reader` has.
///
/// # Errors
/// Names the file, its line and what to do about it; or none of the traces teaches anything.
pub fn read(paths: &[PathBuf], reader: &mut Reader<'_>) -> anyhow::Result<Tally> {
    for path in paths {
        let sha256 = digest(path).with_context(|| format!("{} cannot be read", path.display()))?;
        reader.sources.push(FileEntry { name: file_name(path), sha256, source: SOURCE.into(), span: None });
    }
    let (mut tally, first, before) = (Tally::default(), reader.data.prompts.len(), reader.data.workloads.len());
    traces::each(paths, |file, line| {
        let (at_ms, source) = (line.at_ms, before + file);
        match lesson(line)? {
            Ok(lesson) => {
                add(reader, lesson, before)?;
                let span = &mut reader.sources[source].span;
                *span = Some(span.map_or(Span::at(at_ms), |span| span.with(at_ms)));
                tally.taken += 1;
            }
            Err(reason) => *tally.skipped.entry(reason).or_default() += 1,
        }
        Ok(())
    })?;
    ensure!(tally.taken > 0, "no trace teaches anything: {tally}; send scores to /v1/feedback, and export again");
    normalise(reader, first);
    Ok(tally)
}

/// What one trace teaches.
struct Lesson {
    line: TraceLine,
    request: ChatRequest,
    /// The index of its arm is not known yet.
    outcome: Outcome,
}

/// A trace that teaches, or why it does not.
fn lesson(line: TraceLine) -> anyhow::Result<Result<Lesson, &'static str>> {
    let Some(quality) = line.judged() else { return Ok(Err("nobody judged")) };
    let Some(body) = &line.request else { return Ok(Err("have no request body")) };
    let chosen = line.chosen();
    let settlement = line.settlement.as_ref().filter(|settlement| settlement.arm.as_ref() == Some(&chosen.arm));
    let Some(settlement) = settlement else { return Ok(Err("a fallback answered, which nobody drew")) };
    // Neither what they cost nor which prompts got so far is the drawn model's own.
    if line.decision.panel().is_some() {
        return Ok(Err("two other models were asked first"));
    }
    let (Some(usage), Some(cost_usd)) = (settlement.usage, settlement.cost_usd) else {
        return Ok(Err("have no usage or no cost"));
    };
    let request = ChatRequest::parse(&Bytes::from(body.get().to_owned()));
    let request = request.map_err(|e| anyhow::anyhow!("request: {}", e.message))?;
    let outcome = Outcome {
        arm: usize::MAX,
        quality,
        cost_usd,
        input_tokens: f64::from(usage.input_tokens),
        output_tokens: f64::from(usage.output_tokens),
        said: None,
        weight: (1.0 / line.decision.asked.unwrap_or(chosen.propensity)).min(GREATEST_WEIGHT),
    };
    Ok(Ok(Lesson { line, request, outcome }))
}

/// `recorded`: so many workloads are files of their own.
fn add(reader: &mut Reader<'_>, lesson: Lesson, recorded: usize) -> anyhow::Result<()> {
    let Lesson { line, request, outcome } = lesson;
    let model = line.chosen().arm.to_string();
    let known = reader.data.workloads.iter().position(|name| *name == line.route);
    let workload = known.unwrap_or(reader.data.workloads.len());
    ensure!(workload >= recorded, "route {0}: there is already a workload {0}; rename that file", line.route);
    if known.is_none() {
        reader.data.workloads.push(line.route);
    }
    let outcome = Outcome { arm: reader.arm(workload, model), ..outcome };
    reader.prompt((line.trace.to_string(), String::new(), Some(line.at_ms)), workload, &request, vec![outcome]);
    Ok(())
}

/// Scales the weights of each model's traces, of the prompts from `first` on, to a mean of 1.
fn normalise(reader: &mut Reader<'_>, first: usize) {
    let mut sums = BTreeMap::<usize, (f64, f64)>::new();
    let prompts = &mut reader.data.prompts[first..];
    for outcome in prompts.iter().flat_map(|prompt| &prompt.outcomes) {
        let sum = sums.entry(outcome.arm).or_default();
        *sum = (sum.0 + outcome.weight, sum.1 + 1.0);
    }
    for outcome in prompts.iter_mut().flat_map(|prompt| &mut prompt.outcomes) {
        let (sum, n) = sums[&outcome.arm];
        outcome.weight *= n / sum;
    }
}

/// SHA-256 of a file in hexadecimal, in bounded memory.
fn digest(path: &Path) -> std::io::Result<String> {
    let (mut file, mut hash, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            n => hash.update(&buffer[..n]),
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} traces are learned from", self.taken)?;
        self.skipped.iter().try_for_each(|(reason, n)| write!(f, "; {n} are not: {reason}"))
    }
}
