//! What a router can be set to, however it gets there, and the figures that sum it up.

use super::frontier::{Forecast, Step, Sweep};
use super::metrics::{Hull, aiq, pair};
use super::report::Figures;
use super::table::{Point, Table, best, share_of};

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

    /// Costs to keep the quality, `None` where the best model costs nothing, and AIQ.
    pub fn figures(&self, curve: &Curve) -> Figures<Option<f64>> {
        let [at_90, at_95, at_99, at_100] =
            SHARES.map(|share| share_of(curve.cost_at(share * self.best.quality)?, self.best.cost));
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
    let random = Point::mean(fixed.iter().copied());
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::baselines::oracle;
    use super::super::table::tests::table;
    use super::*;

    #[test]
    fn costs_are_shares_of_the_best_models_and_mixtures_lie_between_models() {
        let table = table(&[&[(0.4, 1.0), (0.7, 3.0), (0.8, 10.0)], &[(0.6, 1.0), (0.9, 3.0), (1.0, 10.0)]]);
        let [mixtures, single, random] = unpredicted(&table).map(|(_, _, figures)| figures);
        // Bars: 0.81, 0.855, 0.891 and 0.9; from (3, 0.8) to (10, 0.9) mixtures cost 7 for 0.1.
        assert_eq!((single.cost_at_90, single.cost_at_100), (Some(1.0), Some(1.0)));
        assert!(mixtures.cost_at_90.is_some_and(|share| (share - 0.37).abs() < 1e-9), "{mixtures:?}");
        assert_eq!((random.cost_at_90, random.apgr), (None, None));
        // (0.5 + 0.8)/2 · 2 + (0.8 + 0.9)/2 · 7, over 9.
        assert!(mixtures.aiq.is_some_and(|aiq| (aiq - 7.25 / 9.0).abs() < 1e-9), "{mixtures:?}");
    }

    #[test]
    fn a_pairs_figures_count_calls_and_whole_weights() {
        let table = table(&[&[(0.0, 1.0), (1.0, 5.0)], &[(1.0, 1.0), (1.0, 9.0)]]);
        let forecast = oracle(&table);
        let figures = |weights: &[f64]| predicted(&table, &forecast, &Sweep::new(&forecast), weights, 1);
        // One call in two recovers all. At (0, 0), (½, 1), (1, 1) the area is ¾.
        let even = figures(&[1.0, 1.0]);
        assert!(even.apgr.is_some_and(|apgr| (apgr - 0.75).abs() < 1e-9), "{even:?}");
        assert_eq!(even.cost_at_100, Some(6.0 / 14.0));
        // One in four: the area is ⅛ + ¾.
        let rare = figures(&[1.0, 3.0]);
        assert!(rare.apgr.is_some_and(|apgr| (apgr - 0.875).abs() < 1e-9), "{rare:?}");
        assert_eq!(rare.cost_at_100, Some(8.0 / 32.0));
    }

    type Cells = Vec<Vec<(f64, f64)>>;

    fn cells() -> impl Strategy<Value = (Cells, Cells)> {
        let rows = || prop::collection::vec(prop::collection::vec((0.0..1.0f64, 0.1..10.0f64), 3), 8);
        (rows(), rows())
    }

    proptest! {
        #[test]
        fn nothing_lies_above_the_oracle((found, expected) in cells()) {
            let table = table(&found.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let ones = table.ones();
            let known = oracle(&table);
            let steps = Sweep::new(&known).frontier(&table, &ones);
            let hull = Hull::new(steps.iter().map(|step| step.point));
            let column = |pick: fn(&(f64, f64)) -> f64| {
                expected.iter().map(|row| row.iter().map(pick).collect()).collect::<Vec<Vec<f64>>>()
            };
            let guess = Forecast { quality: column(|x| x.0), cost: column(|x| x.1) };
            let guessed = Curve::of(&Sweep::new(&guess).frontier(&table, &ones));
            let others = unpredicted(&table);
            for point in others.iter().map(|(_, curve, _)| curve).chain([&guessed]).flat_map(Curve::points) {
                prop_assert!(point.quality <= hull.quality_at(point.cost) + 1e-9, "{point:?} {hull:?}");
            }
        }
    }
}
