//! A table by task: a model is expected to do as it did on the task's other prompts. It needs to be told the task, which
//! no request says of itself.

use std::collections::BTreeMap;

use crate::evaluate::frontier::Forecast;
use crate::evaluate::table::Row;

/// Mean quality and cost of each model over the task's rows of `seen`; over all of them for a task that is not among
/// them. `tasks`: what is asked, one per prompt.
pub fn by_task(seen: &[&Row], tasks: &[&str]) -> Forecast {
    let mut of_task: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    seen.iter().for_each(|row| of_task.entry(&row.task).or_default().push(row));
    let means: BTreeMap<&str, Means> = of_task.iter().map(|(task, rows)| (*task, Means::of(rows))).collect();
    let overall = Means::of(seen);
    let mut forecast = Forecast::default();
    for task in tasks {
        let Means { quality, cost } = means.get(task).unwrap_or(&overall).clone();
        forecast.quality.push(quality);
        forecast.cost.push(cost);
    }
    forecast
}

/// Means over rows, one per model.
#[derive(Debug, Clone)]
struct Means {
    quality: Vec<f64>,
    cost: Vec<f64>,
}

impl Means {
    fn of(rows: &[&Row]) -> Self {
        Self { quality: mean(rows, |row| &row.quality), cost: mean(rows, |row| &row.cost) }
    }
}

fn mean(rows: &[&Row], column: impl Fn(&Row) -> &[f64]) -> Vec<f64> {
    let models = rows.first().map_or(0, |row| column(row).len());
    let of_model = |model: usize| rows.iter().map(|row| column(row)[model]).sum::<f64>() / rows.len() as f64;
    (0..models).map(of_model).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::table::tests::table;
    use super::*;

    #[test]
    fn a_task_s_own_means_are_expected_and_of_a_task_that_was_never_seen_those_of_all() {
        let table = table(&[&[(0.2, 1.0), (1.0, 4.0)], &[(0.0, 5.0), (0.6, 9.0)], &[(0.4, 3.0), (1.0, 8.0)]]);
        let seen: Vec<&Row> = table.rows.iter().collect();
        let forecast = by_task(&seen, &["odd", "even", "unheard of"]);
        let expected = [([0.0, 0.6], [5.0, 9.0]), ([0.3, 1.0], [2.0, 6.0]), ([0.2, 2.6 / 3.0], [3.0, 7.0])];
        for (i, (quality, cost)) in expected.iter().enumerate() {
            let near = |found: &[f64], of: &[f64]| found.iter().zip(of).all(|(a, b)| (a - b).abs() < 1e-12);
            assert!(near(&forecast.quality[i], quality) && near(&forecast.cost[i], cost), "{i}: {forecast:?}");
        }
    }
}
