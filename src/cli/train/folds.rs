//! Folds of prompts: by the hash of their near-duplicate group, so that the same prompt is always in the same fold.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::Context as _;

use crate::difficulty::train::Dataset;

/// The K-th of N folds, K from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fold {
    k: u64,
    n: u64,
}

impl Fold {
    /// Whether a group's prompts are in this fold.
    pub fn holds(&self, group: u64) -> bool {
        // The low bits choose a fold, the high ones the holdout: neither tells of the other.
        group % self.n == self.k - 1
    }
}

impl FromStr for Fold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (k, n) = text.split_once('/').ok_or("give K/N, such as 1/5")?;
        let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is not a whole number"));
        let (k, n) = (number(k)?, number(n)?);
        if n < 2 || k < 1 || k > n {
            return Err(format!("there is no fold {k} of {n}; K goes from 1 to N, and N is at least 2"));
        }
        Ok(Self { k, n })
    }
}

impl fmt::Display for Fold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.k, self.n)
    }
}

/// All prompts but a fold's.
pub fn without(data: Dataset, fold: Option<Fold>) -> Dataset {
    match fold {
        Some(fold) => data.filter(|prompt| !fold.holds(prompt.group)),
        None => data,
    }
}

/// Where a group stands between 0 and 1.
pub fn position(group: u64) -> f64 {
    (group >> 32) as f64 / f64::from(u32::MAX)
}

/// Writes the prompts of a fold, one `workload<TAB>id` a line.
pub fn list(data: &Dataset, fold: Fold, path: &Path) -> anyhow::Result<()> {
    let of_fold = data.prompts.iter().filter(|prompt| fold.holds(prompt.group));
    let lines: String = of_fold.map(|prompt| format!("{}\t{}\n", data.workloads[prompt.workload], prompt.id)).collect();
    std::fs::write(path, lines).with_context(|| format!("{} cannot be written", path.display()))
}
