//! Cross-validation: all that learns is fitted without a fold and predicts on it; the predictions are pooled.

use super::EvaluateError;
use super::baselines::{Lesson, by_task, knn, logistic};
use super::folds::Folds;
use super::frontier::Forecast;
use super::router::{Router, price_list};
use super::table::{Row, Table};
use crate::difficulty::train::{Dataset, Options, Prompt, Trained, train};

/// What the routers that learn expect of one table's prompts.
#[derive(Debug, Clone)]
pub struct Forecasts {
    pub satisfice: Forecast,
    pub baselines: Baselines,
}

/// What the baselines that learn expect of one table's prompts.
#[derive(Debug, Clone)]
pub struct Baselines {
    pub by_task: Forecast,
    pub knn: Forecast,
    pub logistic: Forecast,
}

/// Forecasts for each of `tables`, every row's made without its fold. `progress` hears after every epoch of training:
/// `folds.count * options.members * options.epochs` times.
///
/// # Errors
/// Training without a fold failed.
pub fn cross_validate(
    data: &Dataset,
    tables: &[Table],
    folds: &Folds,
    options: &Options,
    progress: &mut dyn FnMut(),
) -> Result<Vec<Forecasts>, EvaluateError> {
    let mut pooled: Vec<Forecasts> = tables.iter().map(Forecasts::unknown).collect();
    for fold in 0..folds.count {
        let seen = folds.seen(data, fold);
        let trained = train(&subset(data, &seen), options, progress);
        let trained = trained.map_err(|reason| EvaluateError::Train { fold: fold + 1, reason })?;
        for (table, pooled) in tables.iter().zip(&mut pooled) {
            let split = Split::new(table, folds, fold, &seen);
            if !split.left_out.is_empty() {
                split.check(fold)?;
                pooled.put(&split.left_out, split.forecasts(data, &trained)?);
            }
        }
    }
    Ok(pooled)
}

/// The baselines alone, which need no training: every row's forecast is made without its fold. `None` where one fold
/// holds all of the table's prompts.
///
/// # Errors
/// The logistic regression failed.
pub fn baselines(data: &Dataset, table: &Table, folds: &Folds) -> Result<Option<Baselines>, EvaluateError> {
    let mut pooled = Baselines::unknown(table);
    for fold in 0..folds.count {
        let split = Split::new(table, folds, fold, &folds.seen(data, fold));
        if split.left_out.is_empty() {
            continue;
        }
        if split.seen.is_empty() {
            return Ok(None);
        }
        pooled.put(&split.left_out, split.baselines(data)?);
    }
    Ok(Some(pooled))
}

/// One table's rows in one fold.
struct Split<'a> {
    table: &'a Table,
    seen: Vec<usize>,
    left_out: Vec<usize>,
}

impl<'a> Split<'a> {
    fn new(table: &'a Table, folds: &Folds, fold: usize, seen: &[bool]) -> Self {
        let rows =
            |keep: &dyn Fn(usize) -> bool| (0..table.rows.len()).filter(|&row| keep(table.rows[row].prompt)).collect();
        Self { table, seen: rows(&|prompt| seen[prompt]), left_out: rows(&|prompt| folds.of[prompt] == Some(fold)) }
    }

    fn check(&self, fold: usize) -> Result<(), EvaluateError> {
        if self.seen.is_empty() {
            return Err(EvaluateError::NothingSeen { fold: fold + 1, workload: self.table.workload.clone() });
        }
        Ok(())
    }

    fn forecasts(&self, data: &Dataset, trained: &Trained) -> Result<Forecasts, EvaluateError> {
        let prices = price_list(data, self.table, &self.seen);
        let router = Router::new(&trained.classifier, &trained.prior, self.table, &prices);
        let prompts = self.left_out.iter().map(|&row| &data.prompts[self.table.rows[row].prompt]);
        Ok(Forecasts { satisfice: router.forecast(prompts)?, baselines: self.baselines(data)? })
    }

    fn baselines(&self, data: &Dataset) -> Result<Baselines, EvaluateError> {
        let row = |&row: &usize| &self.table.rows[row];
        let features = |row: &Row| data.prompts[row.prompt].features.values.as_slice();
        let seen: Vec<&Row> = self.seen.iter().map(row).collect();
        let lesson = Lesson {
            features: seen.iter().map(|row| features(row)).collect(),
            quality: seen.iter().map(|row| row.quality.as_slice()).collect(),
            cost: seen.iter().map(|row| row.cost.as_slice()).collect(),
        };
        let asked = || self.left_out.iter().map(row);
        let prompts: Vec<&[f32]> = asked().map(features).collect();
        Ok(Baselines {
            by_task: by_task(&seen, &asked().map(|row| row.task.as_str()).collect::<Vec<_>>()),
            knn: knn(&lesson, &prompts),
            logistic: logistic(&lesson, &prompts)?,
        })
    }
}

impl Forecasts {
    fn unknown(table: &Table) -> Self {
        Self { satisfice: Forecast::unknown(table), baselines: Baselines::unknown(table) }
    }

    fn put(&mut self, rows: &[usize], found: Self) {
        self.satisfice.put(rows, found.satisfice);
        self.baselines.put(rows, found.baselines);
    }
}

impl Baselines {
    fn unknown(table: &Table) -> Self {
        let unknown = Forecast::unknown(table);
        Self { by_task: unknown.clone(), knn: unknown.clone(), logistic: unknown }
    }

    fn put(&mut self, rows: &[usize], found: Self) {
        self.by_task.put(rows, found.by_task);
        self.knn.put(rows, found.knn);
        self.logistic.put(rows, found.logistic);
    }
}

impl Forecast {
    fn unknown(table: &Table) -> Self {
        let empty = vec![Vec::new(); table.rows.len()];
        Self { quality: empty.clone(), cost: empty }
    }

    fn put(&mut self, rows: &[usize], found: Self) {
        for ((&row, quality), cost) in rows.iter().zip(found.quality).zip(found.cost) {
            (self.quality[row], self.cost[row]) = (quality, cost);
        }
    }
}

/// The prompts to keep, with those arms only that have outcomes among them: training knows of no others.
fn subset(data: &Dataset, keep: &[bool]) -> Dataset {
    let kept = || data.prompts.iter().zip(keep).filter(|(_, keep)| **keep).map(|(prompt, _)| prompt);
    let mut has_outcomes = vec![false; data.arms.len()];
    kept().flat_map(|prompt| &prompt.outcomes).for_each(|outcome| has_outcomes[outcome.arm] = true);
    let known: Vec<usize> = (0..data.arms.len()).filter(|&arm| has_outcomes[arm]).collect();
    let mut renamed = vec![0; data.arms.len()];
    known.iter().enumerate().for_each(|(i, &arm)| renamed[arm] = i);
    let mut prompts: Vec<Prompt> = kept().cloned().collect();
    prompts.iter_mut().flat_map(|prompt| &mut prompt.outcomes).for_each(|outcome| outcome.arm = renamed[outcome.arm]);
    let arms = known.into_iter().map(|arm| data.arms[arm].clone()).collect();
    Dataset { workloads: data.workloads.clone(), arms, prompts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::difficulty::train::{Arm, Outcome};
    use crate::features::Features;

    #[test]
    fn arms_without_an_outcome_among_the_kept_prompts_are_dropped() {
        let arm = |model: &str| Arm { workload: 0, model: model.into() };
        let prompt = |arm: usize| Prompt {
            id: arm.to_string(),
            task: String::new(),
            workload: 0,
            at_ms: None,
            group: 0,
            features: Features { values: vec![], input_tokens: 1 },
            outcomes: vec![Outcome {
                arm,
                quality: 1.0,
                cost_usd: 1.0,
                input_tokens: 1.0,
                output_tokens: 1.0,
                said: None,
                weight: 1.0,
            }],
        };
        let data = Dataset {
            workloads: vec!["w".into()],
            arms: vec![arm("a"), arm("b"), arm("c")],
            prompts: vec![prompt(0), prompt(1), prompt(2), prompt(2)],
        };
        let kept = subset(&data, &[true, false, true, false]);
        assert_eq!(kept.arms, [arm("a"), arm("c")]);
        let found: Vec<_> = kept.prompts.iter().map(|prompt| (prompt.id.as_str(), prompt.outcomes[0].arm)).collect();
        assert_eq!(found, [("0", 0), ("2", 1)]);
    }
}
