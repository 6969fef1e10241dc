//! Two policies on the same rows.

use serde::Serialize;

use super::estimate::{Answered, Estimate, Sample};
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
    let answered = |row, target: Option<Vec<f64>>| Some(Answered::new(row, target?, clip));
    let both = |(row, (first, second))| Some(answered(row, first)?.less(answered(row, second)?));
    let sample = Sample::new(&pairs.filter_map(both).collect::<Vec<_>>(), outcome);
    let observed = sample.observed().count();
    if observed < 2 {
        return Err(TooFew(observed));
    }
    let differences = sample.dr();
    let (mut sequence, mut told_apart_at) = (Sequence::new(outcome.unit(rows) * sample.reach()), None);
    for (i, (difference, row)) in differences.iter().zip(sample.rows()).enumerate() {
        sequence.push(*difference, row.foreseen());
        if told_apart_at.is_none() && sequence.excludes_zero() {
            told_apart_at = Some(i + 1);
        }
    }
    Ok(Comparison {
        rows: differences.len(),
        observed,
        difference: sample.estimate(&differences),
        anytime: sequence.interval(),
        told_apart_at,
    })
}
