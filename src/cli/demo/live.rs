//! The run as it goes: bars where stdout is a terminal, a line now and then where it is not.

use std::io::IsTerminal;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::models::LADDER;
use super::tally::{Tally, measured, shares};
use crate::cli::stdout::say;

/// Answers between two lines of the plain view.
const LINE_EVERY: usize = 200;
/// Answers that the terminal view's shares and quality look back on.
const WINDOW: usize = 500;

/// Shows a run.
pub enum Live {
    Bars(Box<Bars>),
    Lines { total: usize },
    Silent,
}

/// The terminal view.
pub struct Bars {
    done: ProgressBar,
    shares: Vec<ProgressBar>,
    figures: ProgressBar,
    /// Keeps the bars together on the screen.
    _screen: MultiProgress,
}

impl Live {
    /// The view that fits stdout.
    pub fn new(total: usize) -> Self {
        match std::io::stdout().is_terminal() {
            true => Self::Bars(Box::new(Bars::new(total))),
            false => Self::Lines { total },
        }
    }

    /// Shows the run so far.
    pub fn show(&self, tally: &Tally) {
        match self {
            Self::Bars(bars) => bars.show(tally),
            Self::Lines { total } if tally.answered.len().is_multiple_of(LINE_EVERY) => say(line(tally, *total)),
            Self::Lines { .. } | Self::Silent => {}
        }
    }

    /// Leaves the last state on the screen.
    pub fn finish(&self) {
        if let Self::Bars(bars) = self {
            bars.finish();
        }
    }
}

impl Bars {
    fn new(total: usize) -> Self {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        let bar = |len: usize, template: &str| {
            // A template that does not parse would show the default style instead.
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            screen.add(ProgressBar::new(len as u64).with_style(style.progress_chars("█▉▊▋▌▍▎▏ ")))
        };
        let done = bar(total, "{prefix:>14} {bar:40} {pos}/{len}  {per_sec}  {elapsed}").with_prefix("requests");
        let share = |name| bar(1_000, "{prefix:>14} {bar:40.cyan} {msg}").with_prefix(name);
        let shares = LADDER.iter().map(|m| share(m.name)).collect();
        let figures = bar(1, "{msg}");
        Self { done, shares, figures, _screen: screen }
    }

    fn show(&self, tally: &Tally) {
        self.done.set_position(tally.answered.len() as u64);
        for (bar, share) in self.shares.iter().zip(shares(tally.last(WINDOW))) {
            bar.set_position((1_000.0 * share).round() as u64);
            bar.set_message(format!("{:>4.0}% of the last {WINDOW}", 100.0 * share));
        }
        self.figures.set_message(format!("{:>14} {}\n{:>14} {}", "quality", quality(tally), "spend", spend(tally)));
    }

    fn finish(&self) {
        for bar in self.shares.iter().chain([&self.done, &self.figures]) {
            bar.abandon();
        }
    }
}

fn line(tally: &Tally, total: usize) -> String {
    let shares: Vec<String> = LADDER
        .iter()
        .zip(shares(tally.last(LINE_EVERY)))
        .map(|(m, s)| format!("{} {:.0}%", short(m.name), 100.0 * s))
        .collect();
    format!(
        "{:>6}/{total}  quality {}  spend {}  [{}]",
        tally.answered.len(),
        quality(tally),
        spend(tally),
        shares.join(", ")
    )
}

fn short(name: &str) -> &str {
    name.trim_start_matches("sim-")
}

fn quality(tally: &Tally) -> String {
    let (all, late) = (measured(&tally.answered), measured(tally.last(WINDOW)));
    format!("{:.3} ({:.3}–{:.3}), of late {:.3}", all.mean, all.low, all.high, late.mean)
}

fn spend(tally: &Tally) -> String {
    let share = 100.0 * tally.spent_usd / tally.always_best_usd.max(f64::MIN_POSITIVE);
    format!("${:.4}, always-best ${:.4}: {share:.0}%", tally.spent_usd, tally.always_best_usd)
}

#[cfg(test)]
mod tests {
    use super::super::puzzles::generate;
    use super::super::tally::Answered;
    use super::*;

    #[test]
    fn a_line_tells_progress_quality_spend_and_shares() {
        let puzzles = generate(1, 200);
        let mut tally = Tally::default();
        for (i, puzzle) in puzzles.iter().enumerate() {
            let answered = Answered {
                puzzle: i,
                model: if i < 150 { 0 } else { 4 },
                right: i % 10 != 0,
                cost_usd: 0.001,
                trace_id: String::new(),
                decision: "exploit".into(),
                assessed: 0.5,
            };
            tally.add(answered, puzzle);
        }
        tally.always_best_usd = 0.8;
        let expected = "   200/2000  quality 0.900 (0.851–0.934), of late 0.900  spend $0.2000, always-best $0.8000: 25%  \
                        [nano 75%, mini 0%, coder 0%, large 0%, frontier 25%]";
        assert_eq!(line(&tally, 2_000), expected);
    }
}
