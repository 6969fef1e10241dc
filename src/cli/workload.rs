//! Recorded workloads: one JSON object a line, each a prompt with what several models made of it.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::lines;
use crate::api::chat::ChatRequest;
use crate::difficulty::train::{Arm, Dataset, Outcome, Prompt, groups};
use crate::difficulty::{FileEntry, sha256};
use crate::features::Extractor;

#[derive(Deserialize)]
struct Line<'a> {
    id: String,
    #[serde(default)]
    task: String,
    #[serde(borrow)]
    messages: &'a RawValue,
    outcomes: BTreeMap<String, RawOutcome>,
}

#[derive(Deserialize)]
struct RawOutcome {
    quality: f64,
    cost_usd: f64,
    input_tokens: f64,
    output_tokens: f64,
}

/// Reads workloads; also says which files they were.
///
/// # Errors
/// Names the file, its line and what to do about it.
pub fn read(paths: &[PathBuf], extractor: &Extractor) -> anyhow::Result<(Dataset, Vec<FileEntry>)> {
    let mut reader = Reader { extractor, data: Dataset::default(), texts: Vec::new() };
    let mut sources = Vec::new();
    for path in paths {
        let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        sources.push(FileEntry { name: file_name(path), sha256: sha256(&bytes), source: "recorded workload".into() });
        reader.file(path, &bytes)?;
    }
    let groups = groups(&reader.texts);
    reader.data.prompts.iter_mut().zip(groups).for_each(|(prompt, group)| prompt.group = group);
    Ok((reader.data, sources))
}

/// The last part of a path.
pub fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

struct Reader<'a> {
    extractor: &'a Extractor,
    data: Dataset,
    texts: Vec<String>,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
        let name = file_name(path);
        let name = name.trim_end_matches(".gz").trim_end_matches(".jsonl").to_owned();
        ensure!(!self.data.workloads.contains(&name), "{}: there is already a workload {name}", path.display());
        self.data.workloads.push(name);
        let (before, mut ids) = (self.data.prompts.len(), HashSet::new());
        lines::each(path, bytes, &mut |_, line| self.line(line, &mut ids))?;
        ensure!(
            self.data.prompts.len() > before,
            "{}: holds no prompt; give a file with one JSON object a line",
            path.display()
        );
        Ok(())
    }

    fn line(&mut self, line: &[u8], ids: &mut HashSet<String>) -> anyhow::Result<()> {
        let line: Line = serde_json::from_slice(line)
            .context("not a prompt; a line is {\"id\", \"messages\", \"outcomes\": {model: {quality, cost_usd, input_tokens, output_tokens}}}")?;
        ensure!(ids.insert(line.id.clone()), "id {:?} is there twice; give every prompt its own", line.id);
        ensure!(!line.outcomes.is_empty(), "no outcomes; leave the line out, or say what the models made of it");
        let body = format!(r#"{{"model":"auto","messages":{}}}"#, line.messages);
        let request = ChatRequest::parse(&Bytes::from(body)).map_err(|e| anyhow::anyhow!("{}", e.message))?;
        let mut outcomes = Vec::with_capacity(line.outcomes.len());
        for (model, outcome) in line.outcomes {
            outcomes.push(self.outcome(model, &outcome)?);
        }
        let texts: Vec<&str> = request.messages.iter().map(|message| message.content.text.as_str()).collect();
        self.texts.push(texts.join("\n"));
        let workload = self.data.workloads.len() - 1;
        let features = self.extractor.extract(&request);
        self.data.prompts.push(Prompt { id: line.id, task: line.task, workload, group: 0, features, outcomes });
        Ok(())
    }

    fn outcome(&mut self, model: String, raw: &RawOutcome) -> anyhow::Result<Outcome> {
        if !(0.0..=1.0).contains(&raw.quality) {
            bail!("{model}: quality is {}; it must be from 0 to 1", raw.quality);
        }
        for (field, value) in
            [("cost_usd", raw.cost_usd), ("input_tokens", raw.input_tokens), ("output_tokens", raw.output_tokens)]
        {
            ensure!(value.is_finite() && value >= 0.0, "{model}: {field} is {value}; it must be a number from 0 on");
        }
        Ok(Outcome {
            arm: self.arm(model),
            quality: raw.quality,
            cost_usd: raw.cost_usd,
            input_tokens: raw.input_tokens,
            output_tokens: raw.output_tokens,
        })
    }

    fn arm(&mut self, model: String) -> usize {
        let arm = Arm { workload: self.data.workloads.len() - 1, model };
        self.data.arms.iter().position(|known| *known == arm).unwrap_or_else(|| {
            self.data.arms.push(arm);
            self.data.arms.len() - 1
        })
    }
}
