//! How often a prompt would get another prompt's answer by its meaning, over the recorded workloads: all of their prompts
//! are different, so each such hit is a false one.
//!
//! `WORKLOADS=../shared/data cargo test --lib false_hits -- --ignored --nocapture`

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use bytes::Bytes;
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::similar::cosine;
use super::*;
use crate::difficulty::Bundle;

const THRESHOLDS: [f64; 3] = [0.95, 0.97, 0.99];

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    messages: &'a RawValue,
    reference: Option<Value>,
}

/// A prompt as the cache sees it, and what its answer should be, where that is known.
struct Asked {
    key: Key,
    meaning: Arc<Kept>,
    reference: Option<Value>,
}

/// What came of one threshold.
#[derive(Default)]
struct Found {
    /// Prompts that would get an earlier one's answer, …
    served: usize,
    /// … those of them whose right answers are both known, …
    known: usize,
    /// … and differ.
    wrong: usize,
}

/// Different prompts of a workload that can be compared.
fn asked(path: &Path, bundle: &Bundle) -> Vec<Asked> {
    let lines = BufReader::new(GzDecoder::new(File::open(path).unwrap())).lines();
    let mut seen = BTreeSet::new();
    let all = lines.filter_map(|line| one(&line.unwrap(), bundle));
    all.filter(|asked| seen.insert(asked.key)).collect()
}

fn one(line: &str, bundle: &Bundle) -> Option<Asked> {
    let Line { messages, reference } = serde_json::from_str(line).unwrap();
    let request = ChatRequest::parse(&Bytes::from(json!({"model": "auto", "messages": messages}).to_string())).unwrap();
    let rule = CacheRule { ttl: DEFAULT_TTL, semantic_threshold: Some(1.0) };
    let scope = Scope { asked: "auto", ..Scope::default() };
    let meaning = (0, bundle.extractor.meaning(&request)?.to_vec());
    let Question { key, meaning, .. } = Question::new(&scope, &request, (rule, Some(meaning)), 0)?;
    Some(Asked { key, meaning: Kept::sample(Some(meaning?)), reference })
}

fn meaning(asked: &Asked) -> &Meaning {
    asked.meaning.meaning.as_ref().unwrap()
}

/// Each prompt once, in the workload's order: as traffic would meet the cache.
fn served(asked: &[Asked], threshold: f64) -> Found {
    let (similar, mut found) = (Similar::default(), Found::default());
    let references: HashMap<Key, &Option<Value>> = asked.iter().map(|one| (one.key, &one.reference)).collect();
    for one in asked {
        let Meaning { partition, vector } = meaning(one);
        match similar.nearest(partition, vector, threshold, |_| true) {
            None => similar.insert(one.key, &one.meaning),
            Some(other) => {
                let answers = references[&other].as_ref().zip(one.reference.as_ref());
                found.served += 1;
                found.known += usize::from(answers.is_some());
                found.wrong += usize::from(answers.is_some_and(|(other, own)| other != own));
            }
        }
    }
    found
}

fn pairs(asked: &[Asked], threshold: f64) -> usize {
    let mut partitions: HashMap<Key, Vec<&[f32]>> = HashMap::new();
    asked.iter().map(meaning).for_each(|one| partitions.entry(one.partition).or_default().push(&one.vector));
    let near = |one: &[f32], others: &[&[f32]]| {
        others.iter().filter(|other| f64::from(cosine(one, other)) >= threshold).count()
    };
    partitions.values().flat_map(|of| of.iter().enumerate().map(|(i, one)| near(one, &of[i + 1..]))).sum()
}

#[test]
#[ignore = "a measurement, of a minute or two"]
fn false_hits() {
    let folder = std::env::var("WORKLOADS").unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data").into());
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: the recorded workloads are not there ({folder})");
        return;
    };
    let bundle = Bundle::embedded().unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    for path in paths.filter(|path| path.to_string_lossy().ends_with(".jsonl.gz")) {
        let asked = asked(&path, &bundle);
        println!("{}: {} prompts", path.file_name().unwrap().to_string_lossy(), asked.len());
        for threshold in THRESHOLDS {
            let Found { served, known, wrong } = served(&asked, threshold);
            let pairs = pairs(&asked, threshold);
            println!(
                "  {threshold}: {pairs} pairs; {served} served; of {known} whose right answers are known, {wrong} differ"
            );
        }
        assert!(!asked.is_empty(), "nothing was compared");
    }
}
