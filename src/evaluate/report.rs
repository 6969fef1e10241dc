//! What an evaluation says: plain data with stable names, for JSON, tables and plots.

use serde::Serialize;

use super::bootstrap::Interval;
use super::table::Point;
use crate::difficulty::train::Bin;

/// All workloads.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What was fitted on which prompts, in a sentence.
    pub protocol: String,
    pub seed: u64,
    /// Resamples behind each interval.
    pub resamples: usize,
    pub workloads: Vec<WorkloadReport>,
}

/// One workload.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkloadReport {
    pub workload: String,
    pub prompts: usize,
    /// Prompts left out because not every model answered them.
    pub incomplete: usize,
    /// The model with the highest mean quality: shares of quality and cost are of its.
    pub best: String,
    pub best_quality: f64,
    pub best_usd_per_1k: f64,
    /// By rising cost.
    pub models: Vec<ModelReport>,
    /// The router under test first.
    pub routers: Vec<RouterReport>,
    /// Of the router under test.
    pub intervals: Figures<Option<Interval>>,
    pub settings: Vec<SettingReport>,
    /// The router under test where it keeps 95 % of the best model's quality; empty if it cannot.
    pub tasks: Vec<TaskReport>,
}

/// Always asking one model, and how well the classifier predicts it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelReport {
    pub model: String,
    pub quality: f64,
    pub usd_per_1k: f64,
    /// Area under the ROC curve of predicted quality; `None` if the quality never varies.
    pub auc: Option<f64>,
    /// Expected calibration error over the bins.
    pub ece: f64,
    pub reliability: Vec<Bin>,
    /// Predicted mean cost, as a share of the mean found; `None` where that is 0.
    pub predicted_cost: Option<f64>,
}

/// One router.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouterReport {
    pub router: String,
    pub figures: Figures<Option<f64>>,
    /// By rising cost or value of quality, thinned out.
    pub frontier: Vec<PointReport>,
}

/// Of a mean request.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PointReport {
    pub usd_per_1k: f64,
    pub quality: f64,
}

/// What sums a router up; `None` where it cannot, or where the figure has no meaning.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Figures<T> {
    /// Cost of keeping 90 % of the best model's quality, as a share of that model's cost; has no meaning where that is 0.
    pub cost_at_90: T,
    pub cost_at_95: T,
    pub cost_at_99: T,
    pub cost_at_100: T,
    /// Mean quality over the range of cost, see [`aiq`](super::metrics::aiq).
    pub aiq: T,
    /// Two models only: see [`Pair`](super::metrics::Pair).
    pub apgr: T,
    pub cpt_50: T,
    pub cpt_80: T,
}

/// A setting of the knob and what it was found to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SettingReport {
    /// `quality` or `budget_per_1k`.
    pub knob: &'static str,
    pub asked: f64,
    pub quality: f64,
    /// Of the best model's; as all shares `None` where that is 0.
    pub quality_share: Option<f64>,
    pub quality_share_interval: Option<Interval>,
    pub usd_per_1k: f64,
    pub cost_share: Option<f64>,
    pub cost_share_interval: Option<Interval>,
    /// What is asked of each model, in the order of `models`; they sum to 1.
    pub calls: Vec<f64>,
    /// The best point of the frontier for this setting, chosen knowing the outcomes.
    pub frontier: Option<PointReport>,
}

/// One task of a workload.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskReport {
    pub task: String,
    pub prompts: usize,
    pub quality: f64,
    pub best_quality: f64,
    /// Of what the best model costs on the same prompts; `None` where that is 0.
    pub cost_share: Option<f64>,
}

impl<T> Figures<T> {
    /// In the order of the fields.
    pub fn of([cost_at_90, cost_at_95, cost_at_99, cost_at_100, aiq, apgr, cpt_50, cpt_80]: [T; 8]) -> Self {
        Self { cost_at_90, cost_at_95, cost_at_99, cost_at_100, aiq, apgr, cpt_50, cpt_80 }
    }

    /// In the order of the fields.
    pub fn all(self) -> [T; 8] {
        let Self { cost_at_90, cost_at_95, cost_at_99, cost_at_100, aiq, apgr, cpt_50, cpt_80 } = self;
        [cost_at_90, cost_at_95, cost_at_99, cost_at_100, aiq, apgr, cpt_50, cpt_80]
    }
}

impl From<Point> for PointReport {
    fn from(point: Point) -> Self {
        Self { usd_per_1k: 1_000.0 * point.cost, quality: point.quality }
    }
}
