//! One workload judged: every router's figures, the asked settings of the knob, tasks and calibration.

use std::collections::BTreeMap;

use rand::Rng;

use super::bootstrap::{Groups, Interval, interval};
use super::curve::{Curve, predicted, unpredicted};
use super::frontier::{Forecast, Step, Sweep, cheapest, finest};
use super::report::{Figures, ModelReport, PointReport, RouterReport, SettingReport, TaskReport, WorkloadReport};
use super::table::{Point, Table, best, share_of};
use crate::difficulty::train::{Judged, auc, calibration_error, reliability};
use crate::policy::Knob;

/// Points of a frontier that are reported at most.
const REPORTED: usize = 200;

/// The figures that are costs come first.
const COSTS: usize = 4;

/// A table with what routers expect of it.
#[derive(Debug)]
pub struct Case<'a> {
    pub table: &'a Table,
    /// The router under test first; each with its name.
    pub forecasts: Vec<(&'static str, Forecast)>,
    /// Each row's fold: a setting is solved on the other folds. Without folds on the rows that it is measured on.
    pub folds: Option<Vec<usize>>,
}

/// What is asked of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Questions {
    pub knobs: Vec<Knob>,
    /// Resamples behind each interval; none for no intervals.
    pub resamples: usize,
}

/// Judges a case. `rng` draws the resamples.
pub fn judge(case: &Case, questions: &Questions, rng: &mut impl Rng) -> WorkloadReport {
    let table = case.table;
    let fixed = table.fixed(&table.ones());
    let best = best(&fixed);
    let sweeps: Vec<Sweep> = case.forecasts.iter().map(|(_, forecast)| Sweep::new(forecast)).collect();
    let (ours, sweep) = (&case.forecasts[0].1, &sweeps[0]);
    let judge = Judge { table, best, fixed: &fixed, folds: case.folds.as_deref() };
    let choices: Vec<Vec<usize>> = questions.knobs.iter().map(|&knob| judge.chosen(knob, sweep)).collect();
    let groups = Groups::new(table);
    let mut draw = |_| judge.draw(&groups.resample(rng), ours, sweep, &choices);
    let draws: Vec<Draw> = (0..questions.resamples).map(&mut draw).collect();
    let setting = |(i, &knob): (usize, &Knob)| {
        let (shares, frontier) = (draws.iter().map(|draw| draw.shares[i]).collect(), judge.plain(knob, sweep));
        judge.setting(knob, &choices[i], shares, frontier)
    };
    WorkloadReport {
        workload: table.workload.clone(),
        prompts: table.rows.len(),
        incomplete: table.incomplete,
        best: table.models[best].clone(),
        best_quality: fixed[best].quality,
        best_usd_per_1k: 1_000.0 * fixed[best].cost,
        models: (0..fixed.len()).map(|model| judge.model(model, ours)).collect(),
        routers: judge.routers(case, &sweeps),
        intervals: intervals(&draws),
        settings: questions.knobs.iter().enumerate().map(setting).collect(),
        tasks: judge.tasks(sweep),
    }
}

/// The router under test on one resample.
struct Draw {
    figures: [Option<f64>; 8],
    /// The best model costs nothing here, so that nothing is a share of its cost.
    free: bool,
    /// One per setting.
    shares: Vec<Shares>,
}

/// Of the best model's quality and cost; `None` where that is 0.
#[derive(Debug, Clone, Copy)]
struct Shares {
    quality: Option<f64>,
    cost: Option<f64>,
}

fn intervals(draws: &[Draw]) -> Figures<Option<Interval>> {
    let has_meaning = |i: usize| draws.iter().any(|draw| draw.figures[i].is_some());
    let counts = |i: usize, draw: &Draw| !(draw.free && i < COSTS);
    let values = |i: usize| draws.iter().filter(move |draw| counts(i, draw)).map(move |draw| draw.figures[i]);
    let of = |i: usize| has_meaning(i).then(|| interval(values(i))).flatten();
    Figures::of(std::array::from_fn(of))
}

struct Judge<'a> {
    table: &'a Table,
    /// Index of the best model.
    best: usize,
    fixed: &'a [Point],
    folds: Option<&'a [usize]>,
}

impl Judge<'_> {
    fn model(&self, model: usize, ours: &Forecast) -> ModelReport {
        let rows = self.table.rows.iter().zip(&ours.quality);
        let answers: Vec<Judged> =
            rows.map(|(row, predicted)| Judged { predicted: predicted[model], found: row.quality[model] }).collect();
        let predicted_cost = ours.cost.iter().map(|row| row[model]).sum::<f64>() / ours.cost.len() as f64;
        ModelReport {
            model: self.table.models[model].clone(),
            quality: self.fixed[model].quality,
            usd_per_1k: 1_000.0 * self.fixed[model].cost,
            auc: auc(&answers),
            ece: calibration_error(&answers),
            reliability: reliability(&answers),
            predicted_cost: share_of(predicted_cost, self.fixed[model].cost),
        }
    }

    fn routers(&self, case: &Case, sweeps: &[Sweep]) -> Vec<RouterReport> {
        let ones = self.table.ones();
        let report = |name: &str, figures, curve: &Curve| RouterReport {
            router: name.to_owned(),
            figures,
            frontier: thinned(curve.points()),
        };
        let predicting = case.forecasts.iter().zip(sweeps).map(|((name, forecast), sweep)| {
            let figures = predicted(self.table, forecast, sweep, &ones, self.best);
            report(name, figures, &Curve::of(&sweep.frontier(self.table, &ones)))
        });
        let others = unpredicted(self.table);
        predicting.chain(others.iter().map(|(name, curve, figures)| report(name, *figures, curve))).collect()
    }

    fn draw(&self, weights: &[f64], ours: &Forecast, sweep: &Sweep, choices: &[Vec<usize>]) -> Draw {
        Draw {
            figures: predicted(self.table, ours, sweep, weights, self.best).all(),
            free: self.table.value(weights, |_| self.best).cost <= 0.0,
            shares: choices.iter().map(|choices| self.shares(weights, choices)).collect(),
        }
    }

    fn shares(&self, weights: &[f64], choices: &[usize]) -> Shares {
        let (found, best) = (self.value(weights, choices), self.table.value(weights, |_| self.best));
        Shares { quality: share_of(found.quality, best.quality), cost: share_of(found.cost, best.cost) }
    }

    fn setting(&self, knob: Knob, choices: &[usize], resampled: Vec<Shares>, frontier: Option<Step>) -> SettingReport {
        let ones = self.table.ones();
        let (found, shares) = (self.value(&ones, choices), self.shares(&ones, choices));
        let over = |of: fn(&Shares) -> Option<f64>| interval(resampled.iter().filter_map(of).map(Some));
        let (name, asked) = named(knob);
        SettingReport {
            knob: name,
            asked,
            quality: found.quality,
            quality_share: shares.quality,
            quality_share_interval: over(|shares| shares.quality),
            usd_per_1k: 1_000.0 * found.cost,
            cost_share: shares.cost,
            cost_share_interval: over(|shares| shares.cost),
            calls: self.calls(choices),
            frontier: frontier.map(|step| step.point.into()),
        }
    }

    fn value(&self, weights: &[f64], choices: &[usize]) -> Point {
        self.table.value(weights, |row| choices[row])
    }

    fn calls(&self, choices: &[usize]) -> Vec<f64> {
        let share = |model| choices.iter().filter(|&&choice| choice == model).count() as f64 / choices.len() as f64;
        (0..self.fixed.len()).map(share).collect()
    }

    /// The choice on each row, with V solved on the other folds.
    fn chosen(&self, knob: Knob, sweep: &Sweep) -> Vec<usize> {
        let Some(folds) = self.folds else {
            return sweep.choices(self.solved(knob, sweep, &self.table.ones()));
        };
        let mut chosen = vec![0; folds.len()];
        for fold in 0..=folds.iter().copied().max().unwrap_or_default() {
            let others: Vec<f64> = folds.iter().map(|&of| f64::from(u8::from(of != fold))).collect();
            let choices = sweep.choices(self.solved(knob, sweep, &others));
            (0..folds.len()).filter(|&row| folds[row] == fold).for_each(|row| chosen[row] = choices[row]);
        }
        chosen
    }

    /// V as the gateway would have set it, had it seen just these rows: the least that meets the bar, or the greatest
    /// that meets the budget.
    fn solved(&self, knob: Knob, sweep: &Sweep, weights: &[f64]) -> f64 {
        let steps = sweep.frontier(self.table, weights);
        let step = match knob {
            Knob::Quality(share) => {
                let bar = share * self.table.value(weights, |_| self.best).quality;
                steps.iter().find(|step| step.point.quality >= bar).copied().or_else(|| finest(&steps, f64::INFINITY))
            }
            Knob::BudgetPer1k(usd) => steps.iter().rfind(|step| step.point.cost <= usd / 1_000.0).copied(),
            Knob::Value(usd) => return usd,
        };
        step.map_or(0.0, |step| step.value)
    }

    /// The best step there is, knowing the outcomes.
    fn plain(&self, knob: Knob, sweep: &Sweep) -> Option<Step> {
        let steps = sweep.frontier(self.table, &self.table.ones());
        match knob {
            Knob::Quality(share) => cheapest(&steps, share * self.fixed[self.best].quality),
            Knob::BudgetPer1k(usd) => finest(&steps, usd / 1_000.0),
            Knob::Value(usd) => steps.iter().rfind(|step| step.value <= usd).copied(),
        }
    }

    fn tasks(&self, sweep: &Sweep) -> Vec<TaskReport> {
        let steps = sweep.frontier(self.table, &self.table.ones());
        let Some(step) = cheapest(&steps, 0.95 * self.fixed[self.best].quality) else { return Vec::new() };
        let choices = sweep.choices(step.value);
        let mut tasks: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        self.table.rows.iter().enumerate().for_each(|(i, row)| tasks.entry(&row.task).or_default().push(i));
        tasks.into_iter().map(|(task, rows)| self.task(task, &rows, &choices)).collect()
    }

    fn task(&self, task: &str, rows: &[usize], choices: &[usize]) -> TaskReport {
        let of =
            |choice: &dyn Fn(usize) -> usize| Point::mean(rows.iter().map(|&i| self.table.rows[i].point(choice(i))));
        let (found, best) = (of(&|row| choices[row]), of(&|_| self.best));
        TaskReport {
            task: task.to_owned(),
            prompts: rows.len(),
            quality: found.quality,
            best_quality: best.quality,
            cost_share: share_of(found.cost, best.cost),
        }
    }
}

fn named(knob: Knob) -> (&'static str, f64) {
    match knob {
        Knob::Quality(share) => ("quality", share),
        Knob::BudgetPer1k(usd) => ("budget_per_1k", usd),
        Knob::Value(usd) => ("value", usd),
    }
}

/// Evenly many of them, the first and the last among them.
fn thinned(points: &[Point]) -> Vec<PointReport> {
    let last = points.len().saturating_sub(1);
    let kept = points.len().min(REPORTED);
    (0..kept).map(|i| points[i * last / (kept - 1).max(1)].into()).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::super::table::tests::table;
    use super::*;

    /// Four prompts in two folds; the dear model is right on all, the cheap one on none, and is believed ever more.
    fn report(folds: Option<Vec<usize>>, knob: Knob) -> WorkloadReport {
        let found: [&[(f64, f64)]; 4] = [&[(0.0, 1.0), (1.0, 2.0)]; 4];
        let table = table(&found);
        let quality = [0.1, 0.2, 0.3, 0.4].map(|cheap| vec![cheap, 0.9]).to_vec();
        let forecast = Forecast { quality, cost: vec![vec![1.0, 2.0]; 4] };
        let case = Case { table: &table, forecasts: vec![("satisfice", forecast)], folds };
        let questions = Questions { knobs: vec![knob], resamples: 20 };
        judge(&case, &questions, &mut StdRng::seed_from_u64(1))
    }

    #[test]
    fn without_folds_a_setting_is_solved_where_it_is_measured() {
        let half = report(None, Knob::Quality(0.5));
        let setting = &half.settings[0];
        assert_eq!((setting.quality, setting.cost_share, &setting.calls), (0.5, Some(0.75), &vec![0.5, 0.5]));
        assert_eq!(setting.frontier, Some(PointReport { usd_per_1k: 1500.0, quality: 0.5 }));
        let budget = report(None, Knob::BudgetPer1k(1_800.0));
        assert_eq!(budget.settings[0].usd_per_1k, 1_750.0);
        assert_eq!(budget.settings[0].knob, "budget_per_1k");
    }

    #[test]
    fn with_folds_a_setting_is_solved_on_the_others() {
        // The first two are asked of the dear model at lower V than the last two. For half of the others' quality, rows
        // 2 and 3 need V = 1/0.6, at which rows 0 and 1 ask it both; these need 1/0.8, at which rows 2 and 3 do not.
        let crossed = report(Some(vec![0, 0, 1, 1]), Knob::Quality(0.5));
        assert_eq!(crossed.settings[0].calls, [0.5, 0.5]);
        // For all of it: 1/0.5 and 1/0.7.
        let all = report(Some(vec![0, 0, 1, 1]), Knob::Quality(1.0));
        assert_eq!((all.settings[0].quality, all.settings[0].usd_per_1k), (0.5, 1_500.0));
        let plain = all.settings[0].frontier.expect("the frontier gets there");
        assert_eq!(plain.quality, 1.0);
    }

    #[test]
    fn tasks_are_those_of_the_95_percent_point_and_intervals_hold_the_figure() {
        let report = report(None, Knob::Quality(0.5));
        let names: Vec<_> =
            report.tasks.iter().map(|task| (task.task.as_str(), task.prompts, task.cost_share)).collect();
        assert_eq!(names, [("even", 2, Some(1.0)), ("odd", 2, Some(1.0))]);
        assert_eq!(report.intervals.cost_at_95, Some(Interval { low: Some(1.0), high: Some(1.0) }));
        let share = report.settings[0].quality_share_interval.expect("resamples");
        assert!(share.low < Some(0.5) && share.high > Some(0.5), "{share:?}");
        assert_eq!(report.models[0].reliability.len(), 4);
    }

    /// Two models, of which the second is best; both cost what is said.
    fn judged(costs: [(f64, f64); 4], best_quality: f64) -> WorkloadReport {
        let found = costs.map(|(cheap, best)| [(0.0, cheap), (best_quality, best)]);
        let table = table(&found.each_ref().map(|row| &row[..]));
        let forecasts = vec![("satisfice", super::super::baselines::oracle(&table))];
        let questions = Questions { knobs: vec![Knob::Quality(0.95)], resamples: 60 };
        judge(&Case { table: &table, forecasts, folds: None }, &questions, &mut StdRng::seed_from_u64(1))
    }

    #[test]
    fn nothing_is_a_share_of_what_a_free_model_costs_or_of_no_quality() {
        let free = judged([(1.0, 0.0); 4], 1.0);
        assert_eq!((free.routers[0].figures.cost_at_95, free.intervals.cost_at_95), (None, None));
        assert_eq!((free.settings[0].cost_share, free.settings[0].cost_share_interval), (None, None));
        assert_eq!(free.settings[0].quality_share, Some(1.0));
        assert!(free.tasks.iter().all(|task| task.cost_share.is_none()));
        assert_eq!(free.models.iter().map(|model| model.predicted_cost).collect::<Vec<_>>(), [Some(1.0), None]);
        let useless = judged([(1.0, 2.0); 4], 0.0);
        assert_eq!(useless.settings[0].quality_share, None);
    }

    #[test]
    fn resamples_in_which_the_best_model_is_free_do_not_count_as_unreached() {
        let seldom = judged([(5.0, 0.0), (5.0, 0.0), (5.0, 0.0), (5.0, 4.0)], 1.0);
        assert_eq!(seldom.intervals.cost_at_95, Some(Interval { low: Some(1.0), high: Some(1.0) }));
        assert_eq!(seldom.settings[0].cost_share_interval, seldom.intervals.cost_at_95);
    }

    #[test]
    fn a_long_frontier_is_thinned_out_from_end_to_end() {
        let points: Vec<Point> = (0..1_000).map(|i| Point { quality: f64::from(i), cost: 0.0 }).collect();
        let kept = thinned(&points);
        assert_eq!((kept.len(), kept[0].quality, kept[REPORTED - 1].quality), (REPORTED, 0.0, 999.0));
        assert_eq!((thinned(&points[..1]).len(), thinned(&[]).len()), (1, 0));
    }
}
