//! The file of prompts: a request per line, and what the right answer is where one is known.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::api::chat::ChatRequest;
use crate::cli::lines;
use crate::trace::json_line::{self, Fields};

/// Prompts of one file at most.
const MAX_PROMPTS: usize = 100_000;
/// What a line may hold beside the request: who asked what, what a recorded workload knows of it, and what this
/// command says itself. An answer is not streamed: it is only read at its end.
const NOT_SENT: [&str; 6] = ["id", "task", "outcomes", "model", "stream", "stream_options"];

/// One request to the route.
#[derive(Debug, Clone)]
pub(super) struct Prompt {
    /// As a client of the route would send it.
    pub(super) body: Bytes,
    pub(super) request: ChatRequest,
    /// The right answer.
    pub(super) reference: Option<String>,
}

/// A file's requests, each once.
#[derive(Debug, Default)]
pub(super) struct Prompts {
    pub(super) prompts: Vec<Prompt>,
    /// Lines that repeat an earlier request.
    pub(super) repeated: usize,
    /// Request → its line and its index in `prompts`.
    seen: HashMap<Bytes, (usize, usize)>,
}

/// Reads all lines, and keeps the first `limit` requests.
///
/// # Errors
/// Names the file, its line, what is wrong with it and what to do about it.
pub(super) fn read(path: &Path, route: &str, limit: Option<usize>) -> anyhow::Result<Prompts> {
    let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read; check --prompts", path.display()))?;
    let mut all = Prompts::default();
    lines::each(path, &*bytes, |number, line| all.add(number, parse(line, route)?))?;
    ensure!(!all.prompts.is_empty(), "{}: holds no prompt; give a file with one JSON object per line", path.display());
    all.prompts.truncate(limit.unwrap_or(usize::MAX));
    Ok(all)
}

impl Prompts {
    fn add(&mut self, line: usize, prompt: Prompt) -> anyhow::Result<()> {
        if let Some((first, index)) = self.seen.get(&prompt.body) {
            let same = self.prompts[*index].reference == prompt.reference;
            ensure!(same, "the same request as line {first}, with another reference; leave one of them out");
            self.repeated += 1;
            return Ok(());
        }
        ensure!(self.prompts.len() < MAX_PROMPTS, "more than {MAX_PROMPTS} prompts; a few hundred do: give fewer");
        self.seen.insert(prompt.body.clone(), (line, self.prompts.len()));
        self.prompts.push(prompt);
        Ok(())
    }
}

fn parse(line: &[u8], route: &str) -> anyhow::Result<Prompt> {
    let fields: Fields<Value> = json_line::read(line, not_a_prompt).map_err(anyhow::Error::msg)?;
    let mut fields = Map::from_iter(fields.0);
    let reference = reference(fields.shift_remove("reference"))?;
    fields.retain(|name, _| !NOT_SENT.contains(&name.as_str()));
    let mut request = Map::from_iter([("model".to_owned(), Value::from(route))]);
    request.append(&mut fields);
    let body = Bytes::from(Value::Object(request).to_string());
    let request = ChatRequest::parse(&body).map_err(|e| anyhow::anyhow!("{}", e.message))?;
    Ok(Prompt { body, request, reference })
}

fn not_a_prompt(problem: &str) -> String {
    format!(
        "not a prompt ({problem}); a line is {{\"messages\": [{{\"role\", \"content\"}}], \"reference\": \"18\" or \
         null}}"
    )
}

fn reference(value: Option<Value>) -> anyhow::Result<Option<String>> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text)),
        Some(value) => bail!("reference is {value}; give the right answer as a string that is not empty, or null"),
    }
}
