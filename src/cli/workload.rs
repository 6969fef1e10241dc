//! Recorded workloads: one JSON object per line, each a prompt with what several models made of it.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{embed, lines};
use crate::api::chat::ChatRequest;
use crate::difficulty::train::{Arm, Dataset, Outcome, Prompt, groups};
use crate::difficulty::{FileEntry, sha256};
use crate::features::{Draft, Extractor, Features};
use crate::final_answer::FinalAnswer;
use crate::trace::json_line::{self, Fields};

/// An answer's cost in USD and its tokens at most: beyond any that there is, and far from what sums cannot hold.
const MOST_USD: f64 = 1e6;
const MOST_TOKENS: f64 = 1e9;

/// Fields that are not here are ignored, in outcomes too: a recording may say more than is learned from.
#[derive(Deserialize)]
struct Line<'a> {
    id: String,
    #[serde(default)]
    task: String,
    #[serde(borrow)]
    messages: &'a RawValue,
    outcomes: Fields<RawOutcome>,
}

fn not_a_prompt(problem: &str) -> String {
    format!(
        "not a prompt ({problem}); a line is {{\"id\", \"messages\", \"outcomes\": {{model: {{quality, cost_usd, \
         input_tokens, output_tokens}}}}}}"
    )
}

#[derive(Deserialize)]
struct RawOutcome {
    quality: f64,
    cost_usd: f64,
    input_tokens: f64,
    output_tokens: f64,
    #[serde(default)]
    response: Option<String>,
}

/// Reads workloads; also says which files they were.
///
/// # Errors
/// Names the file, its line and what to do about it.
pub fn read(paths: &[PathBuf], extractor: &Extractor) -> anyhow::Result<(Dataset, Vec<FileEntry>)> {
    let mut reader = Reader::new(extractor);
    paths.iter().try_for_each(|path| reader.workload(path))?;
    reader.finish()
}

/// The last part of a path.
pub fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// What a file's workload is called.
pub fn name(path: &Path) -> String {
    file_name(path).trim_end_matches(".gz").trim_end_matches(".jsonl").to_owned()
}

/// Prompts, as they come together from several files.
pub(super) struct Reader<'a> {
    extractor: &'a Extractor,
    pub(super) data: Dataset,
    /// One per prompt: near-duplicates are found by it.
    texts: Vec<String>,
    /// One per prompt: they are embedded when all are read.
    drafts: Vec<Draft>,
    pub(super) sources: Vec<FileEntry>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(extractor: &'a Extractor) -> Self {
        Self { extractor, data: Dataset::default(), texts: Vec::new(), drafts: Vec::new(), sources: Vec::new() }
    }

    /// All prompts with their features, in groups of near-duplicates, and the files that they are from.
    ///
    /// # Errors
    /// The encoder failed.
    pub(super) fn finish(mut self) -> anyhow::Result<(Dataset, Vec<FileEntry>)> {
        let groups = groups(&self.texts);
        let features = embed::all(self.extractor, self.drafts)?;
        for ((prompt, group), features) in self.data.prompts.iter_mut().zip(groups).zip(features) {
            (prompt.group, prompt.features) = (group, features);
        }
        Ok((self.data, self.sources))
    }

    pub(super) fn workload(&mut self, path: &Path) -> anyhow::Result<()> {
        let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let source = "recorded workload".into();
        self.sources.push(FileEntry { name: file_name(path), sha256: sha256(&bytes), source, span: None });
        self.file(path, &bytes)
    }

    fn file(&mut self, path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
        let name = name(path);
        ensure!(
            !self.data.workloads.contains(&name),
            "{}: there is already a workload {name}; it is called as its file: give each file once, and another name to \
             one of two that share it",
            path.display()
        );
        self.data.workloads.push(name);
        let (before, mut ids) = (self.data.prompts.len(), HashSet::new());
        lines::each(path, bytes, |_, line| self.line(line, &mut ids))?;
        ensure!(
            self.data.prompts.len() > before,
            "{}: holds no prompt; give a file with one JSON object per line",
            path.display()
        );
        Ok(())
    }

    fn line(&mut self, line: &[u8], ids: &mut HashSet<String>) -> anyhow::Result<()> {
        let line: Line = json_line::read(line, not_a_prompt).map_err(anyhow::Error::msg)?;
        ensure!(ids.insert(line.id.clone()), "id {:?} is there twice; give every prompt its own", line.id);
        let named = BTreeMap::from_iter(line.outcomes.0);
        ensure!(!named.is_empty(), "no outcomes; leave the line out, or say what the models made of it");
        let body = format!(r#"{{"model":"auto","messages":{}}}"#, line.messages);
        let request = ChatRequest::parse(&Bytes::from(body)).map_err(|e| anyhow::anyhow!("{}", e.message))?;
        let mut outcomes = Vec::with_capacity(named.len());
        let mut said: Vec<FinalAnswer> = Vec::new();
        for (model, outcome) in named {
            let answer = outcome.response.as_deref().and_then(FinalAnswer::of);
            let said = answer.map(|answer| position_or_push(&mut said, answer));
            outcomes.push(Outcome { said, ..self.outcome(model, &outcome)? });
        }
        let workload = self.data.workloads.len() - 1;
        self.prompt((line.id, line.task, None), workload, &request, outcomes);
        Ok(())
    }

    /// Adds a prompt by its id, its task, and when it came.
    pub(super) fn prompt(
        &mut self,
        (id, task, at_ms): (String, String, Option<u64>),
        workload: usize,
        request: &ChatRequest,
        outcomes: Vec<Outcome>,
    ) {
        let texts: Vec<&str> = request.messages.iter().map(|message| message.content.text.as_str()).collect();
        self.texts.push(texts.join("\n"));
        self.drafts.push(self.extractor.draft(request));
        self.data.prompts.push(Prompt { id, task, workload, at_ms, group: 0, features: Features::default(), outcomes });
    }

    fn outcome(&mut self, model: String, raw: &RawOutcome) -> anyhow::Result<Outcome> {
        if !(0.0..=1.0).contains(&raw.quality) {
            bail!("outcomes.{model}.quality is {}; it must be a number from 0 to 1", raw.quality);
        }
        for (field, value, most) in [
            ("cost_usd", raw.cost_usd, MOST_USD),
            ("input_tokens", raw.input_tokens, MOST_TOKENS),
            ("output_tokens", raw.output_tokens, MOST_TOKENS),
        ] {
            ensure!(
                (0.0..=most).contains(&value),
                "outcomes.{model}.{field} is {value:?}; it must be a number from 0 to {most}"
            );
        }
        Ok(Outcome {
            arm: self.arm(self.data.workloads.len() - 1, model),
            quality: raw.quality,
            cost_usd: raw.cost_usd,
            input_tokens: raw.input_tokens,
            output_tokens: raw.output_tokens,
            said: None,
            weight: 1.0,
        })
    }

    /// The index of a workload's model; added where it is new.
    pub(super) fn arm(&mut self, workload: usize, model: String) -> usize {
        let arm = Arm { workload, model };
        self.data.arms.iter().position(|known| *known == arm).unwrap_or_else(|| {
            self.data.arms.push(arm);
            self.data.arms.len() - 1
        })
    }
}

/// Where `answer` is among those that were said; it is added where it is new.
fn position_or_push(said: &mut Vec<FinalAnswer>, answer: FinalAnswer) -> u32 {
    let place = said.iter().position(|other| *other == answer).unwrap_or_else(|| {
        said.push(answer);
        said.len() - 1
    });
    u32::try_from(place).unwrap_or(u32::MAX)
}
