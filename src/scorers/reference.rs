//! `reference`: does the [final answer](crate::final_answer) of a reply agree with the one that is known to be right?

use std::collections::HashMap;

use super::{Scorer, Verdict, reward};
use crate::final_answer::agrees;
use crate::trace::{Outcome, Trace, TraceId};

/// Judges answers to prompts whose right answer is known, as a client would: 1 or 0, by the metric `quality`.
#[derive(Debug, Default)]
pub struct Reference {
    references: HashMap<TraceId, String>,
}

impl Reference {
    /// The name of this scorer as a source.
    pub const SOURCE: &str = "reference";

    /// Knows the right answers to these requests, and has nothing to say about others.
    pub fn new(references: HashMap<TraceId, String>) -> Self {
        Self { references }
    }
}

impl Scorer for Reference {
    fn name(&self) -> &'static str {
        Self::SOURCE
    }

    fn metric(&self) -> &'static str {
        reward::QUALITY
    }

    /// No verdict where the request failed, or where the end of the reply was not kept: it may be right.
    fn score(&mut self, trace: &Trace) -> Option<Verdict> {
        let reference = self.references.get(&trace.id)?;
        let whole = trace.outcome == Outcome::Answered && !trace.reply.truncated;
        whole.then(|| Verdict { value: f64::from(u8::from(agrees(&trace.reply.content, reference))) })
    }
}
