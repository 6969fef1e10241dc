//! A recorded workload as a stream: contexts, and what each arm would answer.

use crate::catalog::{Price, Usage};
use crate::difficulty::train::{Dataset, Outcome};
use crate::difficulty::{Classifier, Context, DifficultyError};
use crate::evaluate::table::Point;

/// Requests whose outcomes are all known.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Names of the arms.
    pub arms: Vec<String>,
    pub prices: Vec<Price>,
    pub requests: Vec<Request>,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The data set's index of the prompt.
    pub prompt: usize,
    pub context: Context,
    /// One per arm, in the order of [`Stream::arms`].
    pub outcomes: Vec<Observed>,
}

/// What an arm answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observed {
    /// 0 to 1.
    pub quality: f64,
    pub usage: Usage,
    pub cost_usd: f64,
    /// Answers to the request whose final answers are the same have the same number; `None` where there is none to compare.
    pub said: Option<u32>,
}

impl Stream {
    /// A workload's prompts that all `models` answered, as `classifier` sees them.
    ///
    /// # Errors
    /// The network failed.
    pub fn new(
        data: &Dataset,
        workload: usize,
        models: &[String],
        classifier: &Classifier,
    ) -> Result<Self, DifficultyError> {
        let arm = |model: &String| data.arms.iter().position(|a| a.workload == workload && a.model == *model);
        let arms: Vec<Option<usize>> = models.iter().map(arm).collect();
        let mut requests = Vec::new();
        for (index, prompt) in data.prompts.iter().enumerate().filter(|(_, prompt)| prompt.workload == workload) {
            let outcome = |arm: &Option<usize>| prompt.outcomes.iter().find(|o| Some(o.arm) == *arm).map(observed);
            if let Some(outcomes) = arms.iter().map(outcome).collect() {
                let context = classifier.assess(&prompt.features)?;
                requests.push(Request { prompt: index, context, outcomes });
            }
        }
        let price = |arm: &Option<usize>| arm.map_or(Price::of(0.0, 0.0), |arm| data.price(arm));
        Ok(Self { arms: models.to_vec(), prices: arms.iter().map(price).collect(), requests })
    }

    /// The arm of this name.
    pub(super) fn arm(&self, name: &str) -> usize {
        self.arms.iter().position(|arm| arm == name).unwrap_or_default()
    }

    /// Mean quality and cost in USD of always asking one arm.
    pub fn fixed(&self, arm: usize) -> (f64, f64) {
        let n = self.requests.len().max(1) as f64;
        let sum = self.requests.iter().fold((0.0, 0.0), |(quality, cost), request| {
            (quality + request.outcomes[arm].quality, cost + request.outcomes[arm].cost_usd)
        });
        (sum.0 / n, sum.1 / n)
    }

    /// What each arm's answer to a request is worth.
    pub(super) fn points(&self, request: usize) -> Vec<Point> {
        let point = |outcome: &Observed| Point { quality: outcome.quality, cost: outcome.cost_usd };
        self.requests[request].outcomes.iter().map(point).collect()
    }

    /// The arm with the highest mean quality.
    pub fn best(&self) -> usize {
        let quality = |arm: &usize| self.fixed(*arm).0;
        (0..self.arms.len()).max_by(|a, b| quality(a).total_cmp(&quality(b))).unwrap_or_default()
    }
}

fn observed(outcome: &Outcome) -> Observed {
    let usage = Usage {
        input_tokens: outcome.input_tokens as u32,
        output_tokens: outcome.output_tokens as u32,
        ..Usage::default()
    };
    Observed { quality: outcome.quality, usage, cost_usd: outcome.cost_usd, said: outcome.said }
}
