//! What it will cost, before it costs anything.

use super::plan::{Asked, Plan};
use super::table::Table;
use crate::catalog::Price;
use crate::gateway::RouteSettings;
use crate::policy::{Arm, RouteState};

/// Priced so, a cost is a number of tokens.
const INPUT_TOKEN: Price = Price::of(1e6, 0.0);
const OUTPUT_TOKEN: Price = Price::of(0.0, 1e6);

/// What all calls of one model are expected to take.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Bill {
    calls: usize,
    input_tokens: f64,
    output_tokens: f64,
    /// `None`: its price is not known.
    usd: Option<f64>,
}

/// The policy's own predictions for the calls that are to be made, a bill a model.
pub(super) struct Estimate {
    bills: Vec<Bill>,
}

impl Estimate {
    pub(super) fn new(plan: &Plan, state: &RouteState, again: bool) -> Self {
        let mut bills = vec![Bill::default(); state.arms.len()];
        for call in plan.calls.iter().filter(|call| again || !call.known) {
            bills[call.arm].add(&plan.asked[call.asked], &state.arms[call.arm]);
        }
        for (bill, arm) in bills.iter_mut().zip(&state.spec.arms) {
            bill.usd = arm.price.map(|p| (bill.input_tokens * p.input + bill.output_tokens * p.output) / 1e6);
        }
        Self { bills }
    }

    /// Calls to be made.
    pub(super) fn calls(&self) -> usize {
        self.bills.iter().map(|bill| bill.calls).sum()
    }

    /// Of the models whose price is known.
    pub(super) fn usd(&self) -> f64 {
        self.bills.iter().filter_map(|bill| bill.usd).sum()
    }

    pub(super) fn table(&self, route: &RouteSettings) -> String {
        let mut table = Table::new(["model", "prompts", "input tokens", "output tokens", "USD"]);
        for (model, bill) in route.models.iter().zip(&self.bills) {
            table.row(bill.row(&model.id.to_string()));
        }
        let total = |part: fn(&Bill) -> f64| self.bills.iter().map(part).sum();
        let (input_tokens, output_tokens) = (total(|bill| bill.input_tokens), total(|bill| bill.output_tokens));
        let all = Bill { calls: self.calls(), input_tokens, output_tokens, usd: Some(self.usd()) };
        table.row(all.row("total, estimated"));
        table.to_string()
    }

    /// Models of which it is not known what they cost.
    pub(super) fn unpriced(route: &RouteSettings) -> Vec<String> {
        route.models.iter().filter(|model| model.price.is_none()).map(|model| model.id.to_string()).collect()
    }
}

impl Bill {
    fn add(&mut self, asked: &Asked, arm: &Arm) {
        let context = &asked.context;
        let predict = |price| arm.cost(price, &context.phi, context.verbosity, f64::from(context.input_tokens));
        let most = asked.prompt.request.max_output_tokens.map_or(f64::INFINITY, f64::from);
        self.calls += 1;
        self.input_tokens += predict(&INPUT_TOKEN);
        self.output_tokens += predict(&OUTPUT_TOKEN).min(most);
    }

    fn row(&self, name: &str) -> [String; 5] {
        let usd = self.usd.map_or("unknown".into(), |usd| format!("{usd:.4}"));
        let tokens = |tokens: f64| format!("{tokens:.0}");
        [name.into(), self.calls.to_string(), tokens(self.input_tokens), tokens(self.output_tokens), usd]
    }
}
