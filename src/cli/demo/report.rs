//! What a finished run says: the comparison, what was learned, and an example to look at.

use std::fmt;

use super::models::{LADDER, strongest};
use super::provider::Billed;
use super::puzzles::Puzzle;
use super::tally::{Answered, Expected, Quality, Tally, always, correlation, measured, random, shares, spend};

/// Requests at either end of a run that are compared to show what was learned.
const ENDS: usize = 500;

/// A finished run, ready to print.
#[derive(Debug)]
pub struct Report {
    /// The knob: the share of the best model's quality to keep.
    pub asked: f64,
    pub requests: usize,
    pub seed: u64,
    pub satisfice: Measured,
    pub second_half: Measured,
    /// As in [`LADDER`].
    pub fixed: Vec<Expected>,
    pub random: Expected,
    /// Each model's share of the first requests and of the last.
    pub shares: (Ends, Ends),
    /// Of the assessed difficulty with the true one.
    pub correlation: f64,
    /// All that the provider billed, calls included that no client saw.
    pub bill: Billed,
    pub example: Option<Example>,
}

/// Part of the traffic, beside always asking the best model on the same puzzles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    pub quality: Quality,
    pub usd_per_1k: f64,
    pub best: Expected,
}

/// One end of the run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ends {
    pub requests: usize,
    pub shares: [f64; LADDER.len()],
}

/// A request worth looking at.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    pub trace_id: String,
    pub model: &'static str,
    pub decision: String,
    pub right: bool,
    pub assessed: f64,
    pub family: &'static str,
    pub prompt: String,
}

impl Measured {
    fn of(answered: &[Answered], usd: f64, puzzles: &[Puzzle]) -> Self {
        let asked: Vec<Puzzle> = answered.iter().map(|a| puzzles[a.puzzle].clone()).collect();
        let usd_per_1k = 1_000.0 * usd / answered.len().max(1) as f64;
        Self { quality: measured(answered), usd_per_1k, best: always(strongest(), &asked) }
    }

    /// Of the best model's quality, and of its cost.
    pub fn of_best(&self) -> (f64, f64) {
        (self.quality.mean / self.best.quality.mean, self.usd_per_1k / self.best.usd_per_1k)
    }
}

impl Report {
    /// Sums a run up. The whole run costs what was billed; its second half what its own answers cost.
    pub fn new(tally: &Tally, puzzles: &[Puzzle], bill: Billed, asked: f64, seed: u64) -> Self {
        let (all, half) = (&tally.answered[..], tally.last(tally.answered.len().div_ceil(2)));
        let ends = |answered: &[Answered]| Ends { requests: answered.len(), shares: shares(answered) };
        let n = ENDS.min(all.len().div_ceil(2));
        let pairs: Vec<(f64, f64)> = all.iter().map(|a| (a.assessed, puzzles[a.puzzle].difficulty)).collect();
        Self {
            asked,
            requests: all.len(),
            seed,
            satisfice: Measured::of(all, bill.usd, puzzles),
            second_half: Measured::of(half, spend(half), puzzles),
            fixed: LADDER.iter().map(|m| always(m, puzzles)).collect(),
            random: random(puzzles),
            shares: (ends(tally.first(n)), ends(tally.last(n))),
            correlation: correlation(&pairs),
            bill,
            example: example(half, puzzles),
        }
    }

    /// The share of what always asking the best model costs that was saved; below 0 where it cost more.
    pub fn saved(&self) -> f64 {
        1.0 - self.satisfice.of_best().1
    }

    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<22} {:>22} {:>9} {:>12} {:>9}", "", "quality (95%)", "of best", "USD per 1k", "of cost")?;
        let best = self.satisfice.best;
        let mut row = |name: &str, quality: Quality, usd_per_1k: f64| {
            let Quality { mean, low, high } = quality;
            let of_best = (100.0 * mean / best.quality.mean, 100.0 * usd_per_1k / best.usd_per_1k);
            let interval = format!("{mean:.3} ({low:.3}–{high:.3})");
            writeln!(f, "{name:<22} {interval:>22} {:>8.1}% {usd_per_1k:>12.3} {:>8.1}%", of_best.0, of_best.1)
        };
        row(&format!("satisfice at {}", self.asked), self.satisfice.quality, self.satisfice.usd_per_1k)?;
        for (model, fixed) in LADDER.iter().zip(&self.fixed) {
            row(&format!("always {}", model.name), fixed.quality, fixed.usd_per_1k)?;
        }
        row("random", self.random.quality, self.random.usd_per_1k)
    }

    fn learned(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = &self.shares;
        writeln!(f, "Who answered      first {:<4} last {}", first.requests, last.requests)?;
        for (i, model) in LADDER.iter().enumerate() {
            let bar = "█".repeat((40.0 * last.shares[i]).round() as usize);
            writeln!(
                f,
                "  {:<14} {:>6.1}% {:>9.1}%  {bar}",
                model.name,
                100.0 * first.shares[i],
                100.0 * last.shares[i]
            )?;
        }
        writeln!(
            f,
            "Difficulty as assessed from the prompt alone correlates with the true one by {:.2}.",
            self.correlation
        )
    }

    fn verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bar = self.asked * self.second_half.best.quality.mean;
        let Quality { mean, low, high } = self.second_half.quality;
        let judged = match () {
            () if mean >= bar => "met",
            () if high >= bar => "below it, within the interval",
            () => "missed",
        };
        writeln!(f, "Second half: quality {mean:.3} ({low:.3}–{high:.3}) for a bar of {bar:.3}: {judged}.")?;
        let (quality, cost) = self.second_half.of_best();
        writeln!(
            f,
            "That is {:.1}% of {}'s quality at {:.1}% of its cost; over the whole run, exploration included, {:.0}% of \
             the cost was saved.",
            100.0 * quality,
            strongest().name,
            100.0 * cost,
            100.0 * self.saved()
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "A simulation: {} generated puzzles (seed {}), {} simulated models that answer by item-response curves.\n\
             Gateway, HTTP, scores and learning are real. Measured for satisfice, and it pays for all {} calls that were \
             billed;\nfor the others expected from the curves on the same puzzles, with where 95% of runs would fall.\n",
            self.requests,
            self.seed,
            LADDER.len(),
            self.bill.calls
        )?;
        self.table(f)?;
        writeln!(f)?;
        self.verdict(f)?;
        writeln!(f)?;
        self.learned(f)
    }
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace_id, model, decision, assessed, family, .. } = self;
        let judged = if self.right { "right" } else { "wrong" };
        writeln!(
            f,
            "An example: {model} got a \"{family}\" puzzle of assessed difficulty {assessed:.2} ({decision}) and was {judged}."
        )?;
        writeln!(f, "  trace {trace_id}")?;
        self.prompt.lines().try_for_each(|line| writeln!(f, "  │ {line}"))
    }
}

/// The hardest puzzle (as assessed) that went to the strongest model asked, on purpose and rightly answered, if there
/// is any such; else the hardest.
fn example(answered: &[Answered], puzzles: &[Puzzle]) -> Option<Example> {
    let telling = |a: &&Answered| (a.right && a.decision == "exploit", a.model);
    let chosen = answered.iter().max_by(|a, b| telling(a).cmp(&telling(b)).then(a.assessed.total_cmp(&b.assessed)))?;
    let puzzle = &puzzles[chosen.puzzle];
    Some(Example {
        trace_id: chosen.trace_id.clone(),
        model: LADDER[chosen.model].name,
        decision: chosen.decision.clone(),
        right: chosen.right,
        assessed: chosen.assessed,
        family: puzzle.family,
        prompt: puzzle.prompt.clone(),
    })
}

#[cfg(test)]
mod tests;
