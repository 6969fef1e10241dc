//! What a router can be set to, however it gets there, and the figures that sum it up.

use super::frontier::{Forecast, Step, Sweep};
use super::metrics::{Hull, aiq, pair};
use super::report::Figures;
use super::table::{Point, Table, best};

/// Shares of the best model's quality that are asked for.
const SHARES: [f64; 4] = [0.9, 0.95, 0.99, 1.0];

/// The points that a router offers.
#[derive(Debug, Clone, PartialEq)]
pub enum Curve {
    /// These and nothing in between.
    Points(Vec<Point>),
    /// Mixtures of points too.
    Mixtures(Hull),
}

/// What all curves of a table are measured by, under the same weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    /// The model that is best on all rows.
    pub best: Point,
    /// Always asking the cheapest model is open to every router.
    cheapest: Point,
    dearest: f64,
}

impl Scale {
    /// `best`: the index of the best model.
    pub fn new(fixed: &[Point], best: usize) -> Self {
        let cheaper = |a: &&Point, b: &&Point| a.cost.total_cmp(&b.cost);
        Self {
            best: fixed[best],
            cheapest: fixed.iter().min_by(cheaper).copied().unwrap_or_default(),
            dearest: fixed.iter().map(|point| point.cost).fold(0.0, f64::max),
        }
    }

    /// Costs to keep the quality, and AIQ.
    pub fn figures(&self, curve: &Curve) -> Figures<Option<f64>> {
        let [at_90, at_95, at_99, at_100] =
            SHARES.map(|share| Some(curve.cost_at(share * self.best.quality)? / self.best.cost));
        let range = (self.cheapest.cost, self.dearest);
        let area = (range.0 < range.1).then(|| aiq(&curve.hull(self.cheapest), range));
        Figures::of([at_90, at_95, at_99, at_100, area, None, None, None])
    }
}

impl Curve {
    /// What a sweep found.
    pub fn of(steps: &[Step]) -> Self {
        Self::Points(steps.iter().map(|step| step.point).collect())
    }

    /// By rising cost, or as the router's value of quality rises.
    pub fn points(&self) -> &[Point] {
        match self {
            Self::Points(points) => points,
            Self::Mixtures(hull) => hull.corners(),
        }
    }

    fn cost_at(&self, quality: f64) -> Option<f64> {
        match self {
            Self::Mixtures(hull) => hull.cost_at(quality),
            Self::Points(points) => {
                let enough = points.iter().filter(|point| point.quality >= quality);
                enough.map(|point| point.cost).min_by(f64::total_cmp)
            }
        }
    }

    fn hull(&self, cheapest: Point) -> Hull {
        Hull::new(self.points().iter().copied().chain([cheapest]))
    }
}

/// The figures of a router that predicts. Rows count by their weights, which are whole numbers.
pub fn predicted(
    table: &Table,
    forecast: &Forecast,
    sweep: &Sweep,
    weights: &[f64],
    best: usize,
) -> Figures<Option<f64>> {
    let scale = Scale::new(&table.fixed(weights), best);
    let figures = scale.figures(&Curve::of(&sweep.frontier(table, weights)));
    match paired(table, forecast, weights, best) {
        Some(pair) => {
            Figures { apgr: Some(pair.apgr), cpt_50: Some(pair.cpt_50), cpt_80: Some(pair.cpt_80), ..figures }
        }
        None => figures,
    }
}

/// Of two models: the score is by how much the strong one is expected to be better, in quality and not in money.
fn paired(table: &Table, forecast: &Forecast, weights: &[f64], strong: usize) -> Option<super::metrics::Pair> {
    if table.models.len() != 2 {
        return None;
    }
    let rows: Vec<usize> =
        weights.iter().enumerate().flat_map(|(row, &times)| std::iter::repeat_n(row, times as usize)).collect();
    let column = |of: &dyn Fn(usize) -> f64| rows.iter().map(|&row| of(row)).collect::<Vec<f64>>();
    let weak = 1 - strong;
    let score = column(&|row| forecast.quality[row][strong] - forecast.quality[row][weak]);
    pair(&score, &column(&|row| table.rows[row].quality[strong]), &column(&|row| table.rows[row].quality[weak]))
}

/// What needs no forecast: each model alone, mixtures of models, and a model at random.
pub fn unpredicted(table: &Table) -> [(&'static str, Curve, Figures<Option<f64>>); 3] {
    let fixed = table.fixed(&table.ones());
    let n = fixed.len() as f64;
    let sum = |value: fn(&Point) -> f64| fixed.iter().map(value).sum::<f64>();
    let random = Point { quality: sum(|point| point.quality), cost: sum(|point| point.cost) }.over(n);
    let scale = Scale::new(&fixed, best(&fixed));
    let curves = [
        ("mixtures of models", Curve::Mixtures(Hull::new(fixed.iter().copied()))),
        ("single models", Curve::Points(fixed)),
        ("uniform random", Curve::Points(vec![random])),
    ];
    curves.map(|(name, curve)| {
        let figures = scale.figures(&curve);
        (name, curve, figures)
    })
}
