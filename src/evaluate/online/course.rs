//! How runs went, stretch by stretch: what a plot of them shows.

use serde::Serialize;

use super::scenario::{Change, Scenario};
use super::{Run, Step, Stream};

/// Stretches of a stream; thirds and halves, where scenarios change the world, end with one.
const STRETCHES: usize = 36;
/// Shares of the orders below and above a band.
const BAND: (f64, f64) = (0.1, 0.9);

/// The mean over the orders, and where the middle 80 % of them lie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Band {
    pub mean: f64,
    pub low: f64,
    pub high: f64,
}

/// Means over one stretch of the stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stretch {
    /// Requests before its first, and before its end.
    pub from: usize,
    pub to: usize,
    pub quality: Band,
    pub usd_per_1k: Band,
    /// Share of the requests that each arm answered, in the order of the stream's arms.
    pub shares: Vec<Band>,
}

/// A moment at which the world becomes another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Turn {
    /// Requests before it.
    pub request: usize,
    pub what: String,
}

/// How the runs of one policy went; they are of one length.
pub fn course(runs: &[Run], arms: usize) -> Vec<Stretch> {
    let requests = runs.iter().map(|run| run.steps.len()).min().unwrap_or_default();
    let edge = |i: usize| i * requests / STRETCHES;
    let edges = (0..STRETCHES).map(|i| (edge(i), edge(i + 1))).filter(|(from, to)| from < to);
    edges.map(|(from, to)| stretch(runs, arms, from, to)).collect()
}

fn stretch(runs: &[Run], arms: usize, from: usize, to: usize) -> Stretch {
    let over = |f: &dyn Fn(&Step) -> f64| {
        let mean = |run: &Run| run.steps[from..to].iter().map(f).sum::<f64>() / (to - from) as f64;
        Band::of(runs.iter().map(mean).collect())
    };
    Stretch {
        from,
        to,
        quality: over(&|step| step.quality),
        usd_per_1k: over(&|step| 1e3 * step.cost_usd),
        shares: (0..arms).map(|arm| over(&|step| f64::from(u8::from(step.arm == arm)))).collect(),
    }
}

impl Band {
    /// Of at least one value; quantiles by the nearest rank.
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[(share * (values.len() - 1) as f64).round() as usize];
        Self { mean: values.iter().sum::<f64>() / values.len() as f64, low: at(BAND.0), high: at(BAND.1) }
    }
}

impl Scenario {
    /// When it turns, and to what; `model`: the name of the arm that it happens to.
    pub fn turns(&self, requests: usize, model: &str) -> Vec<Turn> {
        let turn = |request, what| Turn { request, what };
        let third = |what| vec![turn(requests / 3, what), turn(2 * requests / 3, "as before".into())];
        match self.change {
            Change::None => Vec::new(),
            Change::Price(factor) => third(format!("{model} at {factor} of its price")),
            Change::Quality(level) => third(format!("{model} at quality {level}")),
            Change::Newcomer(factor) => {
                vec![turn(requests / 2, format!("{model} joins at {factor} of its price"))]
            }
        }
    }

    /// The mean quality of the best arm of the route as long as the change does not hold, and while it does.
    pub fn best_quality(&self, stream: &Stream) -> [f64; 2] {
        let usual = stream.fixed(self.arm).0;
        let quality = |arm, changed| Some(stream.fixed(arm).0 * self.effect(arm, changed, usual)?.0);
        [false, true].map(|changed| (0..stream.arms.len()).filter_map(|arm| quality(arm, changed)).fold(0.0, f64::max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_cover_the_stream_and_bands_the_middle_of_the_orders() {
        let run = |of_ten: usize| {
            let step = |i: usize| Step {
                request: i,
                arm: usize::from(i % 10 < of_ten),
                quality: 0.1 * of_ten as f64,
                cost_usd: 2.0,
                propensity: 1.0,
                changed: false,
            };
            Run { steps: (0..360).map(step).collect(), ..Run::default() }
        };
        let course = course(&(0..=10).map(run).collect::<Vec<_>>(), 2);
        assert_eq!((course.len(), course[0].from, course[35].to), (36, 0, 360));
        assert!(course.windows(2).all(|pair| pair[0].to == pair[1].from));
        let Stretch { quality, usd_per_1k, shares, .. } = &course[17];
        assert!((quality.mean - 0.5).abs() < 1e-9 && (quality.low - 0.1).abs() < 1e-9 && quality.high > 0.89);
        assert_eq!(*usd_per_1k, Band { mean: 2000.0, low: 2000.0, high: 2000.0 });
        assert!((shares[0].mean + shares[1].mean - 1.0).abs() < 1e-9);
        assert!((shares[1].mean - 0.5).abs() < 1e-9 && (shares[1].low - 0.1).abs() < 1e-9);
    }

    #[test]
    fn a_stream_that_is_shorter_has_fewer_stretches() {
        let step = Step { request: 0, arm: 0, quality: 1.0, cost_usd: 1.0, propensity: 1.0, changed: false };
        let course = course(&[Run { steps: vec![step; 5], ..Run::default() }], 1);
        assert_eq!(course.iter().map(|stretch| stretch.to - stretch.from).collect::<Vec<_>>(), [1; 5]);
    }
}
