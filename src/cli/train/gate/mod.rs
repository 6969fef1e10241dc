//! The gate: a new classifier is taken up only if it does not fall behind the old one on prompts that it did not see.
//!
//! Both are asked for the quality of every held-out answer, the new one as trained on all other prompts. The old one may
//! never have heard of these models or of how they are scored, which a gateway learns within hours: so both first learn
//! from the same other prompts what a gateway would, posteriors on their own φ. What remains is the worth of φ.

mod adapt;
mod bootstrap;

use std::collections::HashSet;

use anyhow::ensure;
use serde::Serialize;

use crate::cli::stdout::say;
use crate::difficulty::DifficultyError;
use crate::difficulty::train::{Dataset, Report, Trained, report};
pub use adapt::adapted;
pub use bootstrap::Change;
use bootstrap::change;

/// Kinds of prompts that are shown at most: those of the greatest change.
const SHOWN: usize = 20;

/// The old classifier, ready to be compared.
pub struct Old {
    pub trained: Trained,
    /// The prompts to compare on, in its features.
    pub held: Dataset,
    /// What reports call it.
    pub name: String,
    /// Files that it was trained on, whose prompts are therefore not compared on.
    pub left_out: Vec<String>,
    /// Files that it was trained on and that the prompts are from: it may have seen these.
    pub saw: Vec<String>,
    /// Files that it was trained on, and that nobody gave.
    pub missing: Vec<String>,
}

/// New against old on the holdout.
#[derive(Debug, Serialize)]
pub struct Comparison {
    pub against: String,
    pub verdict: Verdict,
    /// Of near-duplicates, among the held-out prompts.
    pub groups: usize,
    /// See [`Old::left_out`].
    pub left_out: Vec<String>,
    /// See [`Old::saw`].
    pub old_saw: Vec<String>,
    /// See [`Old::missing`].
    #[serde(skip)]
    missing: Vec<String>,
    /// Of the log loss, new less old: below 0 is better.
    pub log_loss: Change,
    /// By workload and task.
    pub by_task: Vec<Kind>,
    /// By the new classifier's difficulty, from the easiest tenth to the hardest.
    pub by_difficulty: Vec<Kind>,
    /// How the old one does …
    pub old: Report,
    /// … and the new one, with what a gateway would have learned.
    pub new: Report,
}

/// What changed for one kind of prompts.
#[derive(Debug, Serialize)]
pub struct Kind {
    pub kind: String,
    pub prompts: usize,
    /// Mean log loss of the old classifier …
    pub old: f64,
    /// … and of the new one.
    pub new: f64,
    pub change: Change,
}

/// What the gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Not worse beyond what chance does.
    Holds,
    /// Worse: the interval of the paired difference of log losses lies above 0.
    FallsBehind,
    /// Worse than an old one that may have seen the prompts, or compared on too few of them to tell.
    Unknown,
}

/// One prompt's losses, summed over its outcomes.
#[derive(Debug, Clone, Copy)]
struct Losses {
    group: u64,
    weight: f64,
    old: f64,
    new: f64,
}

/// Compares on `held`, which `new` has not seen: the prompts of `old.held`, in `new`'s features. `seed`: of the
/// bootstrap.
///
/// # Errors
/// A network fails.
pub fn compare(new: &Trained, old: &Old, held: &Dataset, seed: u64) -> anyhow::Result<Comparison> {
    let losses = losses((new, held), (&old.trained, &old.held))?;
    let names = |i: usize| {
        let prompt = &held.prompts[i];
        let workload = &held.workloads[prompt.workload];
        if prompt.task.is_empty() { workload.clone() } else { format!("{workload}/{}", prompt.task) }
    };
    let deciles = deciles(new, held)?;
    let (log_loss, groups) = (change(&losses, seed), groups(held));
    Ok(Comparison {
        against: old.name.clone(),
        verdict: verdict(&log_loss, groups, &old.saw),
        groups,
        left_out: old.left_out.clone(),
        old_saw: old.saw.clone(),
        missing: old.missing.clone(),
        log_loss,
        by_task: kinds(&losses, names, seed),
        by_difficulty: kinds(&losses, |i| tenth(deciles[i]), seed),
        old: report(&old.trained, &old.held)?,
        new: report(new, held)?,
    })
}

/// Whether the new classifier may be taken up, by so many groups of near-duplicates. `saw`: see [`Old::saw`].
fn verdict(log_loss: &Change, groups: usize, saw: &[String]) -> Verdict {
    match log_loss.low > 0.0 {
        _ if log_loss.is_no_worse(groups) => Verdict::Holds,
        true if saw.is_empty() => Verdict::FallsBehind,
        _ => Verdict::Unknown,
    }
}

fn groups(held: &Dataset) -> usize {
    held.prompts.iter().map(|prompt| prompt.group).collect::<HashSet<u64>>().len()
}

/// Refuses a classifier that falls behind, or of which that cannot be known, unless `force`.
///
/// # Errors
/// Says what was found, and what to do about it.
pub fn check(comparison: &Comparison, force: bool) -> anyhow::Result<()> {
    let (against, loss) = (&comparison.against, comparison.log_loss.text());
    match comparison.verdict {
        Verdict::Holds if comparison.log_loss.is_none() => {
            say(format_args!("The new classifier is the same as {against}: the same settings, on the same prompts."));
        }
        Verdict::Holds if comparison.old_saw.is_empty() => {
            say(format_args!("The new classifier does not fall behind {against}."));
        }
        Verdict::Holds => {
            say(format_args!(
                "The new classifier does not fall behind {against}, though that may have seen these prompts."
            ));
        }
        Verdict::FallsBehind => {
            ensure!(
                force,
                "the new classifier falls behind {against} on the holdout (log loss {loss}); nothing is written: give it \
                 more data, or take it all the same with --force"
            );
            say(format_args!(
                "WARNING: the new classifier FALLS BEHIND {against} (log loss {loss}), and is written by --force."
            ));
        }
        Verdict::Unknown => {
            let (reason, remedy) = doubt(comparison);
            ensure!(force, "no verdict: {reason}; nothing is written: {remedy}, or take it all the same with --force");
            say(format_args!("WARNING: NO VERDICT: {reason}; the new classifier is written by --force."));
        }
    }
    Ok(())
}

/// Why there is no verdict, and what to do about it.
fn doubt(comparison: &Comparison) -> (String, String) {
    let Comparison { against, groups, old_saw, missing, log_loss, new, .. } = comparison;
    if log_loss.low <= 0.0 {
        let (prompts, loss) = (new.prompts, log_loss.text());
        let reason = format!(
            "{prompts} held-out prompts, {groups} without near-duplicates, are too few to compare the new classifier on \
             (log loss {loss})"
        );
        return (reason, "give it more data, or a larger --holdout".into());
    }
    (
        format!(
            "the new classifier does worse than {against} (log loss {}), which was trained on {} and may have seen these \
             prompts",
            log_loss.text(),
            old_saw.join(", ")
        ),
        format!(
            "give all that it was trained on, so that it can be trained anew without the holdout (missing: {}), compare \
             with its settings alone by --retrain-old",
            missing.join(", ")
        ),
    )
}

/// Of the same prompts, each in the classifier's features.
fn losses((new, held): (&Trained, &Dataset), (old, own): (&Trained, &Dataset)) -> Result<Vec<Losses>, DifficultyError> {
    let (of_new, of_old) = (log_losses(new, held)?, log_losses(old, own)?);
    let weights = held.weights().into_iter().zip(&held.prompts);
    let sums = weights.zip(of_new.into_iter().zip(of_old)).map(|((weight, prompt), (new, old))| Losses {
        group: prompt.group,
        weight: weight * prompt.outcomes.iter().map(|outcome| outcome.weight).sum::<f64>(),
        old: weight * old,
        new: weight * new,
    });
    Ok(sums.collect())
}

/// Of each prompt, summed over its outcomes by their weights: −y ln p − (1 − y) ln(1 − p).
fn log_losses(trained: &Trained, held: &Dataset) -> Result<Vec<f64>, DifficultyError> {
    let heads = adapt::heads(&trained.prior, held);
    let of_prompt = |prompt: &crate::difficulty::train::Prompt| {
        let phi = trained.classifier.assess(&prompt.features)?.phi;
        let loss = |outcome: &crate::difficulty::train::Outcome| {
            let Some(head) = heads[outcome.arm] else { return 0.0 };
            let logit: f64 = head.mean.iter().zip(&phi).map(|(theta, x)| theta * x).sum();
            outcome.weight * (logit.max(0.0) - outcome.quality * logit + (-logit.abs()).exp().ln_1p())
        };
        Ok(prompt.outcomes.iter().map(loss).sum())
    };
    held.prompts.iter().map(of_prompt).collect()
}

/// The tenth of difficulty, 0 to 9, that each prompt is in.
fn deciles(new: &Trained, held: &Dataset) -> Result<Vec<u8>, DifficultyError> {
    let difficulty = |prompt: &crate::difficulty::train::Prompt| {
        Ok((new.classifier.assess(&prompt.features)?.difficulty * 10.0).min(9.0) as u8)
    };
    held.prompts.iter().map(difficulty).collect()
}

/// What a tenth of difficulty is called; such names sort as the tenths do.
fn tenth(decile: u8) -> String {
    format!("difficulty 0.{decile} to {:.1}", f64::from(decile + 1) / 10.0)
}

/// Prompts by their kind, those of the greatest change if they are many, in the order of their names.
fn kinds(losses: &[Losses], kind: impl Fn(usize) -> String, seed: u64) -> Vec<Kind> {
    let mut by_kind = std::collections::BTreeMap::<String, Vec<Losses>>::new();
    losses.iter().enumerate().for_each(|(i, of)| by_kind.entry(kind(i)).or_default().push(*of));
    let mean = |of: &[Losses], value: fn(&Losses) -> f64| {
        of.iter().map(value).sum::<f64>() / of.iter().map(|one| one.weight).sum::<f64>().max(1e-12)
    };
    let kind = |(kind, of): (String, Vec<Losses>)| Kind {
        kind,
        prompts: of.len(),
        old: mean(&of, |one| one.old),
        new: mean(&of, |one| one.new),
        change: change(&of, seed),
    };
    let mut kinds: Vec<Kind> = by_kind.into_iter().map(kind).collect();
    kinds.sort_by(|a, b| b.change.value.abs().total_cmp(&a.change.value.abs()));
    kinds.truncate(SHOWN);
    kinds.sort_by(|a, b| a.kind.cmp(&b.kind));
    kinds
}
