//! The cost-quality frontier of a router that predicts: all that argmax V·p̃ − ĉ chooses as V grows from 0 to ∞.
//!
//! On each prompt the choice changes at finitely many V, where the upper envelope of the lines V·p̃ₖ − ĉₖ has its
//! corners. So the frontier is exact, without a grid: the corners of all prompts in order.

use super::table::{Point, Table};

/// What a router expects of every model on every prompt of a table.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Forecast {
    /// p̃: rows × models, 0 to 1.
    pub quality: Vec<Vec<f64>>,
    /// ĉ: rows × models, USD.
    pub cost: Vec<Vec<f64>>,
}

/// Every change of choice, by rising V.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// The choice at V = 0, one per row.
    first: Vec<usize>,
    switches: Vec<Switch>,
}

/// From this V on (USD for a unit of quality) the row asks another model.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Switch {
    value: f64,
    row: usize,
    from: usize,
    to: usize,
}

/// A setting of V and what it was found to be worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// V: USD for a unit of quality.
    pub value: f64,
    pub point: Point,
}

impl Sweep {
    /// The sweep of a forecast.
    pub fn new(forecast: &Forecast) -> Self {
        let mut sweep = Self { first: Vec::with_capacity(forecast.quality.len()), switches: Vec::new() };
        for (row, (quality, cost)) in forecast.quality.iter().zip(&forecast.cost).enumerate() {
            sweep.add(row, quality, cost);
        }
        // Stable: of one row's switches at the same V the order stays.
        sweep.switches.sort_by(|a, b| a.value.total_cmp(&b.value));
        sweep
    }

    fn add(&mut self, row: usize, quality: &[f64], cost: &[f64]) {
        let cheaper = |&a: &usize, &b: &usize| cost[a].total_cmp(&cost[b]).then(quality[b].total_cmp(&quality[a]));
        let mut at = (0..quality.len()).min_by(cheaper).unwrap_or_default();
        self.first.push(at);
        let mut value = 0.0;
        while let Some((next, to)) = corner(at, quality, cost) {
            value = f64::max(value, next);
            self.switches.push(Switch { value, row, from: at, to });
            at = to;
        }
    }

    /// What is found for every V at which a choice changes, by rising V from 0; a row counts by its weight.
    pub fn frontier(&self, table: &Table, weights: &[f64]) -> Vec<Step> {
        let total: f64 = weights.iter().sum();
        let start = table.value(weights, |row| self.first[row]);
        let mut sum = Point { quality: start.quality * total, cost: start.cost * total };
        let mut steps = vec![Step { value: 0.0, point: start }];
        for same in self.switches.chunk_by(|a, b| a.value == b.value) {
            for &Switch { row, from, to, .. } in same {
                let (of, weight) = (&table.rows[row], weights[row]);
                sum.quality += weight * (of.quality[to] - of.quality[from]);
                sum.cost += weight * (of.cost[to] - of.cost[from]);
            }
            steps.push(Step { value: same[0].value, point: sum.over(total) });
        }
        steps
    }

    /// The choice on each row at V = `value`.
    pub fn choices(&self, value: f64) -> Vec<usize> {
        let mut choices = self.first.clone();
        self.switches
            .iter()
            .take_while(|switch| switch.value <= value)
            .for_each(|switch| choices[switch.row] = switch.to);
        choices
    }
}

/// Where the envelope leaves the line `at` for a steeper one: V and that line; of several at once the steepest.
fn corner(at: usize, quality: &[f64], cost: &[f64]) -> Option<(f64, usize)> {
    let steeper = (0..quality.len()).filter(|&k| quality[k] > quality[at]);
    let crossing = |k: usize| ((cost[k] - cost[at]) / (quality[k] - quality[at]), k);
    steeper.map(crossing).min_by(|a, b| a.0.total_cmp(&b.0).then(quality[b.1].total_cmp(&quality[a.1])))
}

/// The cheapest step of at least this quality.
pub fn cheapest(steps: &[Step], quality: f64) -> Option<Step> {
    let enough = steps.iter().filter(|step| step.point.quality >= quality);
    enough.copied().min_by(|a, b| a.point.cost.total_cmp(&b.point.cost))
}

/// The step of highest quality that costs at most this.
pub fn finest(steps: &[Step], cost: f64) -> Option<Step> {
    let affordable = steps.iter().filter(|step| step.point.cost <= cost);
    affordable.copied().max_by(|a, b| a.point.quality.total_cmp(&b.point.quality))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::table::tests::table;
    use super::*;

    fn forecast(rows: &[&[(f64, f64)]]) -> Forecast {
        let column = |pick: fn(&(f64, f64)) -> f64| rows.iter().map(|row| row.iter().map(pick).collect()).collect();
        Forecast { quality: column(|x| x.0), cost: column(|x| x.1) }
    }

    #[test]
    fn the_frontier_of_two_prompts_by_hand() {
        // Row 0 leaves model 0 at V = (4 − 1)/(0.9 − 0.4) = 6, row 1 at (5 − 1)/(0.9 − 0.8) = 40.
        let rows: [&[(f64, f64)]; 2] = [&[(0.4, 1.0), (0.9, 4.0)], &[(0.8, 1.0), (0.9, 5.0)]];
        let sweep = Sweep::new(&forecast(&rows));
        let found = table(&[&[(0.0, 1.0), (1.0, 3.0)], &[(1.0, 1.0), (1.0, 9.0)]]);
        let steps = sweep.frontier(&found, &found.ones());
        let expected = [(0.0, 0.5, 1.0), (6.0, 1.0, 2.0), (40.0, 1.0, 6.0)];
        for (step, (value, quality, cost)) in steps.iter().zip(expected) {
            assert!((step.value - value).abs() < 1e-9, "{step:?}");
            assert_eq!(step.point, Point { quality, cost });
        }
        assert_eq!(steps.len(), 3);
        assert_eq!(sweep.choices(5.0), [0, 0]);
        assert_eq!(sweep.choices(steps[1].value), [1, 0]);
        assert_eq!(cheapest(&steps, 0.9).map(|step| step.point.cost), Some(2.0));
        assert_eq!(cheapest(&steps, 1.1), None);
        assert_eq!(finest(&steps, 1.5).map(|step| step.point.quality), Some(0.5));
        assert_eq!(finest(&steps, 0.5), None);
    }

    proptest! {
        #[test]
        fn every_choice_is_the_argmax_and_every_step_what_its_choices_are_worth(
            rows in prop::collection::vec(prop::collection::vec((0.0..1.0f64, 0.1..10.0f64), 4), 1..12),
            value in 0.0..100.0f64
        ) {
            let rows: Vec<&[(f64, f64)]> = rows.iter().map(Vec::as_slice).collect();
            let (forecast, table) = (forecast(&rows), table(&rows));
            let sweep = Sweep::new(&forecast);
            for (row, &choice) in sweep.choices(value).iter().enumerate() {
                let worth = |k: usize| value * forecast.quality[row][k] - forecast.cost[row][k];
                prop_assert!((0..4).all(|k| worth(k) <= worth(choice) + 1e-9));
            }
            let weights: Vec<f64> = (0..rows.len()).map(|i| (i % 3) as f64 + 0.5).collect();
            for step in sweep.frontier(&table, &weights) {
                let choices = sweep.choices(step.value);
                let point = table.value(&weights, |row| choices[row]);
                prop_assert!((point.quality - step.point.quality).abs() < 1e-9);
                prop_assert!((point.cost - step.point.cost).abs() < 1e-9);
            }
        }
    }
}
