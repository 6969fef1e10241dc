//! The router under test: the policy's arms as a route of a workload's models starts them.

use super::frontier::Forecast;
use super::table::Table;
use crate::catalog::Price;
use crate::difficulty::train::{Dataset, Outcome, Prompt, prices};
use crate::difficulty::{Classifier, Context, DifficultyError, Entrant, Prior};
use crate::policy::{Arm, Gaussian};

/// Classifier and arms.
#[derive(Debug)]
pub struct Router<'a> {
    classifier: &'a Classifier,
    shift: Gaussian,
    /// With their prices, in the order of the table's models.
    arms: Vec<(Arm, Price)>,
}

impl<'a> Router<'a> {
    /// A route of `table`'s models. `prices`: one per model.
    pub fn new(classifier: &'a Classifier, prior: &Prior, table: &Table, prices: &[Price]) -> Self {
        let log_prices = prices.iter().map(|price| Some(Prior::log_price(price.input, price.output)));
        let models = table.models.iter().zip(log_prices);
        let entrants: Vec<Entrant> = models.map(|(name, log_price)| Entrant { name, log_price }).collect();
        let route = known(prior, &table.workload).route(&entrants);
        Self {
            classifier,
            shift: Gaussian::about_zero(route.shift),
            arms: route.arms.iter().map(Arm::new).zip(prices.iter().copied()).collect(),
        }
    }

    /// p̃ and ĉ of every model on these prompts.
    ///
    /// # Errors
    /// The classifier failed.
    pub fn forecast<'p>(&self, prompts: impl Iterator<Item = &'p Prompt>) -> Result<Forecast, DifficultyError> {
        let mut forecast = Forecast::default();
        for prompt in prompts {
            let context = self.classifier.assess(&prompt.features)?;
            forecast.quality.push(self.arms.iter().map(|(arm, _)| self.quality(arm, &context)).collect());
            forecast.cost.push(self.arms.iter().map(|(arm, price)| cost(arm, price, &context)).collect());
        }
        Ok(forecast)
    }

    fn quality(&self, arm: &Arm, context: &Context) -> f64 {
        arm.outlook(&self.shift, &context.phi, context.widening).quality
    }
}

fn cost(arm: &Arm, price: &Price, context: &Context) -> f64 {
    arm.cost(price, &context.phi, context.verbosity, f64::from(context.input_tokens))
}

/// What training knows of this workload; of all, if it does not know it. What a workload says of a model is relative
/// to the others in it.
fn known(prior: &Prior, workload: &str) -> Prior {
    let heads: Vec<_> = prior.heads.iter().filter(|head| head.workload == workload).cloned().collect();
    Prior { heads: if heads.is_empty() { prior.heads.clone() } else { heads }, ..prior.clone() }
}

/// The price of each of the table's models, from what the calls on these prompts cost.
pub fn price_list(data: &Dataset, table: &Table, rows: &[usize]) -> Vec<Price> {
    let price = |&arm: &usize| {
        let of_row = |&row: &usize| data.prompts[table.rows[row].prompt].outcomes.iter().find(|o| o.arm == arm);
        let outcomes: Vec<Outcome> = rows.iter().filter_map(of_row).copied().collect();
        let (input, output) = prices(&outcomes);
        Price::of(input, output)
    };
    table.arms.iter().map(price).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::difficulty::Bundle;
    use crate::evaluate::table::tests::table;
    use crate::policy::{ArmSpec, Knob, RouteSpec, Snapshot};

    #[test]
    fn forecasts_are_what_a_route_of_the_same_models_begins_with() {
        let Bundle { classifier, prior, .. } = Bundle::embedded().unwrap();
        let (table, prices) = (table(&[&[(1.0, 1.0); 2]]), [Price::of(0.1, 0.4), Price::of(3.0, 15.0)]);
        let router = Router::new(&classifier, &prior, &table, &prices);
        let arm =
            |(name, price): (&String, &Price)| ArmSpec { arm: name.clone(), price: Some(*price), context_window: None };
        let spec = RouteSpec {
            name: "auto".into(),
            knob: Knob::Quality(0.9),
            explore: false,
            arms: table.models.iter().zip(&prices).map(arm).collect(),
            segments: vec![],
        };
        let route = Snapshot::new(prior.clone()).configure(&[spec]).routes["auto"].clone();
        let phi: Vec<f64> = (0..prior.dimension).map(|i| if i == 0 { 1.0 } else { (i as f64).sin() }).collect();
        let context = Context { phi, difficulty: 0.5, widening: 1.0, verbosity: 0.0, input_tokens: 1 };
        for ((ours, _), theirs) in router.arms.iter().zip(&route.arms) {
            let begun = theirs.outlook(&route.shift, &context.phi, context.widening).quality;
            assert_eq!(router.quality(ours, &context), begun);
        }
    }
}
