//! What a policy is measured against: a nearest-neighbour router that knows every model's answer to all other prompts,
//! and every change as it happens. A policy that learns from one answer per request, late or never, can hardly do better.

use super::scenario::Scenario;
use super::{Step, Stream};
use crate::difficulty::train::{Dataset, Prompt};
use crate::evaluate::baselines::{Lesson, knn_of_others};
use crate::evaluate::frontier::{Forecast, Sweep, cheapest, finest};
use crate::evaluate::table::{Point, Row, Table, best};
use crate::policy::Knob;

/// What the prompts of a stream that are most like a request say of it, near-duplicates left out; `None` where all are.
pub fn neighbours(data: &Dataset, stream: &Stream) -> Option<Forecast> {
    let prompts = || stream.requests.iter().map(|request| &data.prompts[request.prompt]);
    let column = |pick: fn(&Point) -> f64| -> Vec<Vec<f64>> {
        (0..stream.requests.len()).map(|request| stream.points(request).iter().map(pick).collect()).collect()
    };
    let (quality, cost) = (column(|point| point.quality), column(|point| point.cost));
    let lesson = Lesson {
        features: prompts().map(|prompt: &Prompt| prompt.features.values.as_slice()).collect(),
        quality: quality.iter().map(Vec::as_slice).collect(),
        cost: cost.iter().map(Vec::as_slice).collect(),
    };
    knn_of_others(&lesson, &prompts().map(|prompt| prompt.group).collect::<Vec<_>>())
}

/// Its choices on a stream, at the knob of the policies that are measured.
#[derive(Debug)]
pub struct Reference {
    usual: Choices,
    /// While the scenario's change holds.
    changed: Choices,
}

/// Choices as long as the world stays as it is.
#[derive(Debug)]
struct Choices {
    /// USD that a unit of quality is worth: the knob's own, else the least at which the choices meet it.
    value: f64,
    /// What the chosen arm's answer is worth, one per request of the stream.
    points: Vec<Point>,
}

impl Reference {
    /// Chooses by `forecast` for every request of the stream, before and after the change.
    pub fn new(stream: &Stream, forecast: &Forecast, scenario: &Scenario, knob: Knob) -> Self {
        let choices = |changed| Choices::new(stream, forecast, scenario, changed, knob);
        Self { usual: choices(false), changed: choices(true) }
    }

    /// What it comes to on the whole stream without the change.
    pub fn usual(&self) -> Point {
        Point::mean(self.usual.points.iter().copied())
    }

    /// Quality of its choice less what was had.
    pub(super) fn regret(&self, step: &Step) -> f64 {
        self.at(step).points[step.request].quality - step.quality
    }

    /// Quality less cost of its choice, in units of quality, less what was had; not finite where quality is worth
    /// nothing.
    pub(super) fn gap(&self, step: &Step) -> f64 {
        let Choices { value, points } = self.at(step);
        self.regret(step) - (points[step.request].cost - step.cost_usd) / value
    }

    fn at(&self, step: &Step) -> &Choices {
        if step.changed { &self.changed } else { &self.usual }
    }
}

impl Choices {
    fn new(stream: &Stream, forecast: &Forecast, scenario: &Scenario, changed: bool, knob: Knob) -> Self {
        let usual = stream.fixed(scenario.arm).0;
        let effect = |arm| scenario.effect(arm, changed, usual).map(|(quality, cost)| Effect { arm, quality, cost });
        let effects: Vec<Effect> = (0..stream.arms.len()).filter_map(effect).collect();
        let sweep = Sweep::new(&Forecast {
            quality: forecast.quality.iter().map(|row| scaled(row, &effects, |effect| effect.quality)).collect(),
            cost: forecast.cost.iter().map(|row| scaled(row, &effects, |effect| effect.cost)).collect(),
        });
        let found = table(stream, &effects);
        let value = value(&sweep, &found, knob);
        let chosen = sweep.choices(value);
        Self { value, points: found.rows.iter().zip(chosen).map(|(row, arm)| row.point(arm)).collect() }
    }
}

/// What the scenario makes of an arm's answers, as multiples.
struct Effect {
    arm: usize,
    quality: f64,
    cost: f64,
}

fn scaled(row: &[f64], effects: &[Effect], by: impl Fn(&Effect) -> f64) -> Vec<f64> {
    effects.iter().map(|effect| row[effect.arm] * by(effect)).collect()
}

/// What is found on average, of the arms that the route has.
fn table(stream: &Stream, effects: &[Effect]) -> Table {
    let row = |request: usize| {
        let of = |pick: fn(&Point) -> f64| stream.points(request).iter().map(pick).collect::<Vec<_>>();
        Row {
            prompt: stream.requests[request].prompt,
            task: String::new(),
            group: 0,
            quality: scaled(&of(|point| point.quality), effects, |effect| effect.quality),
            cost: scaled(&of(|point| point.cost), effects, |effect| effect.cost),
        }
    };
    Table {
        workload: String::new(),
        models: effects.iter().map(|effect| stream.arms[effect.arm].clone()).collect(),
        arms: effects.iter().map(|effect| effect.arm).collect(),
        rows: (0..stream.requests.len()).map(row).collect(),
        incomplete: 0,
    }
}

/// Where a bar is out of reach, what comes nearest to it.
fn value(sweep: &Sweep, found: &Table, knob: Knob) -> f64 {
    let ones = found.ones();
    let steps = sweep.frontier(found, &ones);
    let step = match knob {
        Knob::Value(usd) => return usd,
        Knob::Quality(share) => {
            let fixed = found.fixed(&ones);
            cheapest(&steps, share * fixed[best(&fixed)].quality).or_else(|| finest(&steps, f64::INFINITY))
        }
        Knob::BudgetPer1k(usd) => finest(&steps, usd / 1e3),
    };
    step.map_or(0.0, |step| step.value)
}

#[cfg(test)]
mod tests {
    use super::super::stream::{Observed, Request};
    use super::super::{Change, Run};
    use super::*;
    use crate::catalog::{Price, Usage};
    use crate::difficulty::Context;

    /// Two arms that cost 1 and 10: the first answers every other request, the second all.
    fn stream() -> Stream {
        let outcome = |quality, cost_usd| Observed { quality, usage: Usage::default(), cost_usd, said: None };
        let request = |i: usize| Request {
            prompt: i,
            context: Context { phi: vec![1.0], difficulty: 0.5, widening: 1.0, verbosity: 0.0, input_tokens: 1 },
            outcomes: vec![outcome(if i.is_multiple_of(2) { 1.0 } else { 0.0 }, 1.0), outcome(1.0, 10.0)],
        };
        let price = Price::of(1.0, 1.0);
        Stream {
            arms: vec!["small".into(), "large".into()],
            prices: vec![price; 2],
            requests: (0..4).map(request).collect(),
        }
    }

    /// As somebody expects who knows everything.
    fn known(stream: &Stream) -> Forecast {
        let column = |pick: fn(&Point) -> f64| {
            (0..4).map(|request| stream.points(request).iter().map(pick).collect()).collect::<Vec<Vec<f64>>>()
        };
        Forecast { quality: column(|point| point.quality), cost: column(|point| point.cost) }
    }

    fn run(arms: [usize; 4], stream: &Stream, changed: bool) -> Run {
        let step = |(request, &arm): (usize, &usize)| {
            let Observed { quality, cost_usd, .. } = stream.requests[request].outcomes[arm];
            Step { request, arm, quality, cost_usd, propensity: 1.0, changed }
        };
        Run { steps: arms.iter().enumerate().map(step).collect(), ..Run::default() }
    }

    #[test]
    fn it_meets_the_knob_at_the_least_price_of_quality_and_a_gap_counts_quality_and_cost() {
        let stream = stream();
        let none = Scenario::default();
        let at = |knob| Reference::new(&stream, &known(&stream), &none, knob);
        // 9 USD more buy an answer of an odd request.
        for knob in [Knob::Quality(1.0), Knob::BudgetPer1k(5500.0), Knob::Value(9.0)] {
            let knn = at(knob);
            assert_eq!((knn.usual.value, knn.usual()), (9.0, Point { quality: 1.0, cost: 5.5 }), "{knob}");
            let regrets = |arms| run(arms, &stream, false).steps.iter().map(|s| knn.regret(s)).collect::<Vec<_>>();
            assert_eq!(regrets([0; 4]), [0.0, 1.0, 0.0, 1.0]);
            let gaps = |arms| run(arms, &stream, false).steps.iter().map(|s| knn.gap(s)).collect::<Vec<_>>();
            assert_eq!(gaps([1; 4]), [1.0, 0.0, 1.0, 0.0]);
        }
        let cheap = at(Knob::Quality(0.5));
        assert_eq!(cheap.usual(), Point { quality: 0.5, cost: 1.0 });
        assert!(!cheap.gap(&run([1; 4], &stream, false).steps[0]).is_finite(), "quality is worth nothing there");
    }

    #[test]
    fn it_knows_of_a_newcomer_a_price_and_a_worse_quality_once_they_come() {
        let stream = stream();
        let of = |change, knob| Reference::new(&stream, &known(&stream), &Scenario { arm: 1, change }, knob);
        let newcomer = of(Change::Newcomer(1.0), Knob::Value(20.0));
        let mean = |choices: &Choices| Point::mean(choices.points.iter().copied());
        assert_eq!(mean(&newcomer.usual), Point { quality: 0.5, cost: 1.0 });
        assert_eq!(mean(&newcomer.changed), Point { quality: 1.0, cost: 5.5 });
        let cheaper = of(Change::Price(0.05), Knob::Value(20.0));
        assert_eq!(mean(&cheaper.changed), Point { quality: 1.0, cost: 0.5 });
        let worse = of(Change::Quality(0.25), Knob::Value(20.0));
        assert_eq!(mean(&worse.changed), Point { quality: 0.5, cost: 1.0 });
        let step = &run([0; 4], &stream, true).steps[1];
        assert_eq!((newcomer.regret(step), worse.regret(step)), (1.0, 0.0));
    }
}
