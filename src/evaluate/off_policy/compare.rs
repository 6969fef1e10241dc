//! Two policies on the same rows.

use serde::Serialize;

use super::estimate::{Estimate, Sample};
use super::{Outcome, Row, Target, TooFew};
use crate::policy::Sequence;

/// By how much the first policy's outcome exceeds the second's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Rows that both can answer …
    pub rows: usize,
    /// … and those among them whose outcome is known.
    pub observed: usize,
    /// Of the paired doubly robust differences; its interval holds for one look.
    pub difference: Estimate,
    /// Holds however often and whenever one looks ([`Sequence`]); `None`: too few rows.
    pub anytime: Option<(f64, f64)>,
    /// The row, from 1, at which the anytime interval first excluded zero.
    pub told_apart_at: Option<usize>,
}

/// Compares two policies row by row: what they have in common cancels.
///
/// # Errors
/// [`TooFew`] outcomes of requests that both can answer.
pub fn compare(
    rows: &[Row],
    (first, second): (&dyn Target, &dyn Target),
    outcome: Outcome,
    clip: Option<f64>,
) -> Result<Comparison, TooFew> {
    let pairs = rows.iter().zip(first.over(rows).into_iter().zip(second.over(rows)));
    let both = |(row, (first, second)): (_, (Option<_>, Option<_>))| Some(((row, first?), (row, second?)));
    let (of_first, of_second): (Vec<_>, Vec<_>) = pairs.filter_map(both).unzip();
    let observed = of_first.iter().filter(|(row, _)| outcome.observed(row).is_some()).count();
    if observed < 2 {
        return Err(TooFew(observed));
    }
    let values = |answered: &[(&Row, Vec<f64>)]| Sample::new(answered, outcome, clip).dr();
    let differences: Vec<f64> = values(&of_first).into_iter().zip(values(&of_second)).map(|(a, b)| a - b).collect();
    let (mut sequence, mut told_apart_at) = (Sequence::new(outcome.unit(rows)), None);
    for (i, difference) in differences.iter().enumerate() {
        sequence.push(*difference);
        if told_apart_at.is_none() && sequence.excludes_zero() {
            told_apart_at = Some(i + 1);
        }
    }
    Ok(Comparison {
        rows: differences.len(),
        observed,
        difference: Estimate::of(&differences),
        anytime: sequence.interval(),
        told_apart_at,
    })
}
