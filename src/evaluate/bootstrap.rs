//! Intervals by the bootstrap: near-duplicates are drawn together.

use std::collections::BTreeMap;

use rand::{Rng, RngExt};
use serde::Serialize;

use super::table::Table;

/// Where 95 % of the resamples' values lie; `None` stands for a value that is not reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    pub low: Option<f64>,
    pub high: Option<f64>,
}

/// A table's rows by group.
#[derive(Debug)]
pub struct Groups {
    members: Vec<Vec<usize>>,
    rows: usize,
}

impl Groups {
    /// The groups of a table.
    pub fn new(table: &Table) -> Self {
        let mut groups: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        table.rows.iter().enumerate().for_each(|(i, row)| groups.entry(row.group).or_default().push(i));
        Self { members: groups.into_values().collect(), rows: table.rows.len() }
    }

    /// How often each row occurs in as many groups, drawn with replacement.
    pub fn resample(&self, rng: &mut impl Rng) -> Vec<f64> {
        let mut weights = vec![0.0; self.rows];
        for _ in 0..self.members.len() {
            let group = &self.members[rng.random_range(0..self.members.len())];
            group.iter().for_each(|&row| weights[row] += 1.0);
        }
        weights
    }
}

/// From the 2.5 % to the 97.5 % quantile, by the nearest rank; `None` counts as larger than all. `None` of nothing.
pub fn interval(values: impl IntoIterator<Item = Option<f64>>) -> Option<Interval> {
    let mut values: Vec<f64> = values.into_iter().map(|value| value.unwrap_or(f64::INFINITY)).collect();
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)? as f64;
    let at = |share: f64| Some(values[(share * last).round() as usize]).filter(|value| value.is_finite());
    Some(Interval { low: at(0.025), high: at(0.975) })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::super::table::tests::table;
    use super::*;

    #[test]
    fn a_groups_rows_are_drawn_together_and_the_seed_decides() {
        let rows: Vec<&[(f64, f64)]> = vec![&[(0.0, 1.0), (1.0, 2.0)]; 6];
        let mut table = table(&rows);
        table.rows[3].group = table.rows[0].group;
        let groups = Groups::new(&table);
        let draw = |seed| groups.resample(&mut StdRng::seed_from_u64(seed));
        let draws: Vec<Vec<f64>> = (0..50).map(draw).collect();
        assert!(draws.iter().all(|weights| weights[0] == weights[3]));
        // Five groups are drawn: the double one counts twice.
        assert!(draws.iter().all(|weights| weights.iter().sum::<f64>() - weights[0] == 5.0));
        assert_eq!(draw(7), draw(7));
        assert!(draws.iter().any(|weights| *weights != draws[0]));
    }

    #[test]
    fn intervals_leave_out_the_tails_and_say_what_is_not_reached() {
        let Some(Interval { low, high }) = interval((0..=200).map(|i| Some(f64::from(i)))) else { panic!("values") };
        assert_eq!((low, high), (Some(5.0), Some(195.0)));
        let unreached = interval((0..=200).map(|i| (i < 190).then(|| f64::from(i))));
        assert_eq!(unreached, Some(Interval { low: Some(5.0), high: None }));
        assert_eq!(interval([]), None);
    }
}
