//! Embedding many prompts: on all cores, with a bar where it takes long.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use crate::features::{Draft, EmbedError, Extractor, Features};

/// Features of each draft, in their order.
///
/// # Errors
/// The encoder failed on one; says on which.
pub(super) fn all(extractor: &Extractor, drafts: Vec<Draft>) -> anyhow::Result<Vec<Features>> {
    if !extractor.encoder().is_slow() {
        return Ok(drafts.into_iter().map(|draft| extractor.embed(draft)).collect::<Result<_, _>>()?);
    }
    let style = ProgressStyle::with_template("embedding: {wide_bar} {pos}/{len} prompts, {elapsed}, {eta} to go")?;
    let bar = ProgressBar::new(drafts.len() as u64).with_style(style);
    bar.tick();
    let features = on_all_cores(&drafts, &|draft: &Draft| {
        let features = extractor.embed(draft.clone());
        bar.inc(1);
        features
    });
    bar.finish_and_clear();
    let numbered = features.into_iter().enumerate();
    numbered.map(|(i, features)| features.with_context(|| format!("prompt {}", i + 1))).collect()
}

type Embedded = Result<Features, EmbedError>;

fn on_all_cores(drafts: &[Draft], embed: &(dyn Fn(&Draft) -> Embedded + Sync)) -> Vec<Embedded> {
    let next = AtomicUsize::new(0);
    let one = || {
        let i = next.fetch_add(1, Ordering::Relaxed);
        Some((i, embed(drafts.get(i)?)))
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let mut done: Vec<(usize, Embedded)> = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| std::iter::from_fn(one).collect::<Vec<_>>())).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    done.sort_unstable_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, features)| features).collect()
}
