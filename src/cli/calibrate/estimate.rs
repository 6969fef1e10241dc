//! What it will cost, before it costs anything.

use std::sync::Arc;

use super::amount::usd;
use super::plan::{Asked, Plan};
use crate::catalog::Price;
use crate::cli::table;
use crate::gateway::RouteSettings;
use crate::policy::{Arm, RouteState};
use crate::scorers::judge::{JudgeSettings, MAX_TOKENS};

/// Priced so, a cost is a number of tokens.
const INPUT_TOKEN: Price = Price::of(1e6, 0.0);
const OUTPUT_TOKEN: Price = Price::of(0.0, 1e6);

/// Nine of ten lie within so many deviations of a Gaussian's mean, and one of twenty beyond …
const NINE_OF_TEN: f64 = 1.645;
/// … but no length is known better than to this factor: these prompts are not those that it was learned on.
const LEAST_FACTOR: f64 = 2.0;
/// A judge says its grade and no more, as it is told to; one that thinks first may take all it is given.
const GRADE_TOKENS: Range = Range { low: 8.0, expected: 16.0, high: MAX_TOKENS as f64 };

/// What an amount is believed to be: in nine of ten cases it lies between the ends.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Range {
    pub(super) low: f64,
    pub(super) expected: f64,
    pub(super) high: f64,
}

impl Range {
    /// Of a log-normal amount with this median, that cannot be more than `most`; `deviation` is that of its logarithm.
    fn log_normal(median: f64, deviation: f64, most: f64) -> Self {
        let factor = (NINE_OF_TEN * deviation).exp().max(LEAST_FACTOR);
        let [low, high] = [median / factor, median * factor].map(|end| end.min(most));
        Self { low, high, expected: (median * (0.5 * deviation * deviation).exp()).clamp(low, high) }
    }

    fn map(self, change: impl Fn(f64) -> f64) -> Self {
        Self { low: change(self.low), expected: change(self.expected), high: change(self.high) }
    }

    /// Of amounts that are wrong together: who underrates one answer's length underrates the others'.
    fn plus(self, other: Self) -> Self {
        let Self { low, expected, high } = other;
        Self { low: self.low + low, expected: self.expected + expected, high: self.high + high }
    }
}

/// What all calls of one model, or all grades of one judge, are expected to take.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Bill {
    calls: usize,
    input_tokens: f64,
    output_tokens: Range,
    /// `None`: its price is not known.
    usd: Option<Range>,
}

/// The policy's own predictions for the calls that are to be made, a bill a model and a judge.
pub(super) struct Estimate {
    models: Vec<Bill>,
    judges: Vec<Bill>,
}

impl Estimate {
    pub(super) fn new(plan: &Plan, state: &RouteState, judges: &[Arc<JudgeSettings>], again: bool) -> Self {
        let mut bills = [vec![Bill::default(); state.arms.len()], vec![Bill::default(); judges.len()]];
        for call in &plan.calls {
            let (asked, arm) = (&plan.asked[call.asked], &state.arms[call.arm]);
            if call.is_asked(again) {
                bills[0][call.arm].answer(asked, arm);
            }
            for &judge in &call.judges {
                bills[1][judge].grade(asked.questions[judge], length(asked, arm).expected);
            }
        }
        let [models, graded] = bills;
        let models = models.into_iter().zip(&state.spec.arms).map(|(bill, arm)| bill.priced(arm.price));
        let graded = graded.into_iter().zip(judges).map(|(bill, judge)| bill.priced(judge.model.price));
        Self { models: models.collect(), judges: graded.collect() }
    }

    fn bills(&self) -> impl Iterator<Item = &Bill> {
        self.models.iter().chain(&self.judges)
    }

    /// Calls to be made.
    pub(super) fn calls(&self) -> usize {
        self.bills().map(|bill| bill.calls).sum()
    }

    /// Of the models and judges whose price is known.
    pub(super) fn usd(&self) -> Range {
        sum(self.bills().filter_map(|bill| bill.usd))
    }

    pub(super) fn table(&self, route: &RouteSettings, judges: &[Arc<JudgeSettings>]) -> String {
        let head = ["model", "calls", "input tokens", "output tokens", "USD", "range"].map(str::to_owned);
        let models = route.models.iter().zip(&self.models).map(|(model, bill)| bill.row(&model.id.to_string()));
        let judges = judges.iter().zip(&self.judges);
        let judges = judges.map(|(judge, bill)| bill.row(&format!("judge {}: {}", judge.name, judge.model.id)));
        let input_tokens = self.bills().map(|bill| bill.input_tokens).sum();
        let output_tokens = sum(self.bills().map(|bill| bill.output_tokens));
        let all = Bill { calls: self.calls(), input_tokens, output_tokens, usd: Some(self.usd()) };
        let rows: Vec<_> =
            [head].into_iter().chain(models).chain(judges).chain([all.row("total, estimated")]).collect();
        table::figures("  ", &rows)
    }

    /// Models of which it is not known what they cost.
    pub(super) fn unpriced(route: &RouteSettings) -> Vec<String> {
        route.models.iter().filter(|model| model.price.is_none()).map(|model| model.id.to_string()).collect()
    }
}

impl Bill {
    fn answer(&mut self, asked: &Asked, arm: &Arm) {
        self.add(predict(asked, arm, &INPUT_TOKEN), length(asked, arm));
    }

    /// `question`, `answer`: what the judge reads, tokens.
    fn grade(&mut self, question: f64, answer: f64) {
        self.add(question + answer, GRADE_TOKENS);
    }

    fn add(&mut self, input_tokens: f64, output_tokens: Range) {
        self.calls += 1;
        self.input_tokens += input_tokens;
        self.output_tokens = self.output_tokens.plus(output_tokens);
    }

    fn priced(self, price: Option<Price>) -> Self {
        let usd = |p: Price| self.output_tokens.map(|output| (self.input_tokens * p.input + output * p.output) / 1e6);
        Self { usd: price.map(usd), ..self }
    }

    fn row(&self, name: &str) -> [String; 6] {
        let expected = self.usd.map_or("unknown".into(), |range| usd(range.expected));
        let range = self.usd.map_or("–".into(), |range| format!("{}–{}", usd(range.low), usd(range.high)));
        let [input, output] = [self.input_tokens, self.output_tokens.expected].map(|tokens| format!("{tokens:.0}"));
        [name.into(), self.calls.to_string(), input, output, expected, range]
    }
}

fn predict(asked: &Asked, arm: &Arm, price: &Price) -> f64 {
    let context = &asked.context;
    arm.cost(price, &context.phi, context.verbosity, f64::from(context.input_tokens))
}

/// Tokens of an answer.
fn length(asked: &Asked, arm: &Arm) -> Range {
    let most = asked.prompt.request.max_output_tokens.map_or(f64::INFINITY, f64::from);
    Range::log_normal(predict(asked, arm, &OUTPUT_TOKEN), arm.length_deviation(&asked.context.phi), most)
}

fn sum(ranges: impl Iterator<Item = Range>) -> Range {
    ranges.fold(Range::default(), Range::plus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_is_hardly_known_has_a_wide_range_and_a_mean_above_its_median() {
        let wide = Range::log_normal(100.0, 1.0, f64::INFINITY);
        assert!((wide.low - 19.3).abs() < 0.1 && (wide.high - 518.0).abs() < 1.0, "{wide:?}");
        assert!((wide.expected - 164.9).abs() < 0.1, "{wide:?}");
        let known = Range::log_normal(100.0, 0.0, f64::INFINITY);
        assert_eq!(known, Range { low: 50.0, expected: 100.0, high: 200.0 });
    }

    #[test]
    fn no_answer_is_longer_than_its_request_allows() {
        assert_eq!(Range::log_normal(100.0, 1.0, 150.0).high, 150.0);
        assert_eq!(Range::log_normal(100.0, 1.0, 10.0), Range { low: 10.0, expected: 10.0, high: 10.0 });
    }
}
