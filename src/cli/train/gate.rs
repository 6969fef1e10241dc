//! The gate: a new classifier is taken up only if it does not fall behind the old one on prompts that it did not see.
//!
//! Both are asked for the quality of every held-out answer, the new one as trained on all other prompts. The old one may
//! never have heard of these models or of how they are scored, which a gateway learns within hours: so both first learn
//! from the same other prompts what a gateway would, posteriors on their own φ. What remains is the worth of φ.

mod adapt;
mod bootstrap;

use anyhow::ensure;
use serde::Serialize;

use crate::difficulty::DifficultyError;
use crate::difficulty::train::{Dataset, Report, Trained, report};
pub use adapt::adapted;
use bootstrap::{Change, change};

/// Kinds of prompts that are shown at most: those of the greatest change.
const SHOWN: usize = 20;

/// The old classifier, ready to be compared.
pub struct Old {
    pub trained: Trained,
    /// What reports call it.
    pub name: String,
    /// Files that it was trained on and that the holdout is from: it may have seen these prompts.
    pub saw: Vec<String>,
}

/// New against old on the holdout.
#[derive(Debug, Serialize)]
pub struct Comparison {
    pub against: String,
    /// See [`Old::saw`].
    pub old_saw: Vec<String>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not worse beyond what chance does.
    Holds,
    /// Worse: the interval of the paired difference of log losses lies above 0.
    FallsBehind,
    /// The old one may have seen the holdout; it cannot be said.
    Unfair,
}

/// One prompt's losses, summed over its outcomes.
#[derive(Debug, Clone, Copy)]
struct Losses {
    group: u64,
    weight: f64,
    old: f64,
    new: f64,
}

/// Compares on `held`, which `new` has not seen. `seed`: of the bootstrap.
///
/// # Errors
/// A network fails.
pub fn compare(new: &Trained, old: &Old, held: &Dataset, seed: u64) -> anyhow::Result<Comparison> {
    let losses = losses(new, &old.trained, held)?;
    let names = |i: usize| {
        let prompt = &held.prompts[i];
        let workload = &held.workloads[prompt.workload];
        if prompt.task.is_empty() { workload.clone() } else { format!("{workload}/{}", prompt.task) }
    };
    let deciles = deciles(new, held)?;
    Ok(Comparison {
        against: old.name.clone(),
        old_saw: old.saw.clone(),
        log_loss: change(&losses, seed),
        by_task: kinds(&losses, names, seed),
        by_difficulty: kinds(&losses, |i| format!("difficulty {:02}", deciles[i]), seed),
        old: report(&old.trained, held)?,
        new: report(new, held)?,
    })
}

impl Comparison {
    /// Whether the new classifier may be taken up.
    pub fn verdict(&self) -> Verdict {
        match self.log_loss.low > 0.0 {
            _ if !self.old_saw.is_empty() => Verdict::Unfair,
            true => Verdict::FallsBehind,
            false => Verdict::Holds,
        }
    }

    /// Prints it.
    pub fn print(&self) {
        let (against, new) = (&self.against, &self.new);
        println!("Against {against} on the same prompts, both with what a gateway would have learned (old → new):");
        println!("{:<14} {:<28} {:>15} {:>15}", "workload", "model", "AUC", "ECE");
        let auc = |auc: Option<f64>| auc.map_or_else(|| "–".into(), |auc| format!("{auc:.3}"));
        for (before, after) in self.old.workloads.iter().zip(&new.workloads) {
            for (old, new) in before.arms.iter().zip(&after.arms) {
                let (rank, level) = (auc(old.auc) + " → " + &auc(new.auc), format!("{:.3} → {:.3}", old.ece, new.ece));
                println!("{:<14} {:<28} {rank:>15} {level:>15}", before.workload, old.model);
            }
        }
        let cost = |cost: Option<f64>| cost.map_or_else(|| "cannot".into(), |cost| format!("{cost:.2}"));
        println!("Cost at 95 %:");
        for (old, new) in self.old.workloads.iter().zip(&new.workloads) {
            println!("{:<43} {} → {}", old.workload, cost(old.cost_at_95), cost(new.cost_at_95));
        }
        println!("Log loss, and what changed for which prompts (below 0 is better, with 95 % intervals):");
        self.by_task.iter().chain(&self.by_difficulty).for_each(Kind::print);
        println!("{:<43} {}", "all", self.log_loss.text());
    }
}

impl Kind {
    fn print(&self) {
        println!(
            "{:<28} {:>5} prompts  {:.4} → {:.4}  {}",
            self.kind,
            self.prompts,
            self.old,
            self.new,
            self.change.text()
        );
    }
}

/// Refuses a classifier that falls behind, unless `force`; says what it cannot know.
///
/// # Errors
/// The new classifier falls behind.
pub fn check(comparison: &Comparison, force: bool) -> anyhow::Result<()> {
    let against = &comparison.against;
    match comparison.verdict() {
        Verdict::Holds => println!("The new classifier does not fall behind {against}."),
        Verdict::Unfair => println!(
            "No verdict: {against} was trained on {}, so it may have seen these prompts and looks better than it is; \
             --retrain-old trains one with its settings on the same prompts as the new one.",
            comparison.old_saw.join(", ")
        ),
        Verdict::FallsBehind => {
            let loss = comparison.log_loss.text();
            ensure!(
                force,
                "the new classifier falls behind {against} on the holdout (log loss {loss}); nothing is written: give it \
                 more data, or take it all the same with --force"
            );
            println!(
                "WARNING: the new classifier FALLS BEHIND {against} (log loss {loss}), and is written by --force."
            );
        }
    }
    Ok(())
}

fn losses(new: &Trained, old: &Trained, held: &Dataset) -> Result<Vec<Losses>, DifficultyError> {
    let (of_new, of_old) = (log_losses(new, held)?, log_losses(old, held)?);
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
