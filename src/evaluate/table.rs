//! A workload as a matrix: every prompt with what every model's answer was worth and cost.

use crate::difficulty::train::{Dataset, Outcome, Prompt};

/// One workload's prompts and models; every model answered every prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub workload: String,
    /// By rising mean cost.
    pub models: Vec<String>,
    /// The data set's index of each model in this workload.
    pub arms: Vec<usize>,
    pub rows: Vec<Row>,
    /// Prompts that not every model answered; they are left out.
    pub incomplete: usize,
}

/// One prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The data set's index of the prompt.
    pub prompt: usize,
    pub task: String,
    /// Near-duplicates share it.
    pub group: u64,
    /// 0 to 1, one per model.
    pub quality: Vec<f64>,
    /// USD, one per model.
    pub cost: Vec<f64>,
}

/// Mean quality (0 to 1) and mean cost (USD) of a request.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Point {
    pub quality: f64,
    pub cost: f64,
}

impl Table {
    /// The table of a workload of `data`, of those models that `keep` holds for; `None` if they are fewer than two, or
    /// answered no prompt together.
    pub fn new(data: &Dataset, workload: usize, keep: impl Fn(&str) -> bool) -> Option<Self> {
        let mut arms: Vec<usize> = (0..data.arms.len())
            .filter(|&arm| data.arms[arm].workload == workload && keep(&data.arms[arm].model))
            .collect();
        arms.sort_by(|&a, &b| mean_cost(data, a).total_cmp(&mean_cost(data, b)));
        let prompts = || data.prompts.iter().enumerate().filter(|(_, prompt)| prompt.workload == workload);
        let rows: Vec<Row> = prompts().filter_map(|(i, prompt)| Row::new(i, prompt, &arms)).collect();
        (arms.len() > 1 && !rows.is_empty()).then(|| Self {
            workload: data.workloads[workload].clone(),
            models: arms.iter().map(|&arm| data.arms[arm].model.clone()).collect(),
            incomplete: prompts().count() - rows.len(),
            arms,
            rows,
        })
    }

    /// What always asking one model is worth, one per model; a row counts by its weight.
    pub fn fixed(&self, weights: &[f64]) -> Vec<Point> {
        (0..self.models.len()).map(|model| self.value(weights, |_| model)).collect()
    }

    /// What asking the model `choice(row)` is worth; a row counts by its weight.
    pub fn value(&self, weights: &[f64], choice: impl Fn(usize) -> usize) -> Point {
        let mut sum = Point::default();
        for (i, (row, weight)) in self.rows.iter().zip(weights).enumerate() {
            let model = choice(i);
            sum.quality += weight * row.quality[model];
            sum.cost += weight * row.cost[model];
        }
        sum.over(weights.iter().sum())
    }

    /// Every row counts once.
    pub fn ones(&self) -> Vec<f64> {
        vec![1.0; self.rows.len()]
    }
}

impl Row {
    /// What one model's answer was worth.
    pub fn point(&self, model: usize) -> Point {
        Point { quality: self.quality[model], cost: self.cost[model] }
    }

    /// `None` if an arm has no outcome for the prompt.
    fn new(index: usize, prompt: &Prompt, arms: &[usize]) -> Option<Self> {
        let outcome = |&arm: &usize| prompt.outcomes.iter().find(|outcome| outcome.arm == arm);
        let outcomes: Vec<&Outcome> = arms.iter().map(outcome).collect::<Option<_>>()?;
        Some(Self {
            prompt: index,
            task: prompt.task.clone(),
            group: prompt.group,
            quality: outcomes.iter().map(|outcome| outcome.quality).collect(),
            cost: outcomes.iter().map(|outcome| outcome.cost_usd).collect(),
        })
    }
}

impl Point {
    /// The mean of points, at least one.
    pub fn mean(points: impl ExactSizeIterator<Item = Self>) -> Self {
        let n = points.len() as f64;
        let add = |a: Self, b: Self| Self { quality: a.quality + b.quality, cost: a.cost + b.cost };
        points.fold(Self::default(), add).over(n)
    }

    /// Sums → means.
    pub fn over(self, total: f64) -> Self {
        Self { quality: self.quality / total, cost: self.cost / total }
    }
}

/// The index of the best of fixed models: the highest quality, and of equal ones the cheapest.
pub fn best(fixed: &[Point]) -> usize {
    let better = |a: &Point, b: &Point| a.quality.total_cmp(&b.quality).then(b.cost.total_cmp(&a.cost));
    fixed.iter().enumerate().max_by(|(_, a), (_, b)| better(a, b)).map_or(0, |(i, _)| i)
}

/// What part of `whole`; `None` of nothing.
pub fn share_of(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

fn mean_cost(data: &Dataset, arm: usize) -> f64 {
    let (n, sum) = data.of_arm(arm).fold((0.0, 0.0), |(n, sum), (_, outcome)| (n + 1.0, sum + outcome.cost_usd));
    sum / f64::max(n, 1.0)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A table of (quality, cost) rows; each row its own group.
    pub fn table(rows: &[&[(f64, f64)]]) -> Table {
        let row = |(i, outcomes): (usize, &&[(f64, f64)])| Row {
            prompt: i,
            task: if i % 2 == 0 { "even" } else { "odd" }.into(),
            group: i as u64,
            quality: outcomes.iter().map(|outcome| outcome.0).collect(),
            cost: outcomes.iter().map(|outcome| outcome.1).collect(),
        };
        let models = rows[0].len();
        Table {
            workload: "w".into(),
            models: (0..models).map(|model| format!("m{model}")).collect(),
            arms: (0..models).collect(),
            rows: rows.iter().enumerate().map(row).collect(),
            incomplete: 0,
        }
    }

    #[test]
    fn fixed_models_are_weighted_means_and_the_best_has_the_highest_quality() {
        let table = table(&[&[(0.0, 1.0), (1.0, 10.0)], &[(1.0, 3.0), (1.0, 30.0)]]);
        let fixed = table.fixed(&[1.0, 3.0]);
        assert_eq!(fixed, [Point { quality: 0.75, cost: 2.5 }, Point { quality: 1.0, cost: 25.0 }]);
        assert_eq!(best(&fixed), 1);
        assert_eq!(best(&[Point { quality: 1.0, cost: 2.0 }, Point { quality: 1.0, cost: 1.0 }]), 1);
    }
}
