//! Judges of answers, one file each; scores → reward.

use crate::trace::Trace;

pub mod format;
pub mod judge;
pub mod reference;
pub mod reward;

/// One judgement of one answer, in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    pub value: f64,
}

/// Judges a finished request, off the request path.
pub trait Scorer: Send {
    /// Its name as a source.
    fn name(&self) -> &'static str;
    /// The metric it writes: one of its own, unless it judges what clients judge.
    fn metric(&self) -> &'static str {
        self.name()
    }
    /// `None`: this scorer has nothing to say about such a request. Missing is not zero.
    fn score(&mut self, trace: &Trace) -> Option<Verdict>;
}

/// The sources of the gateway's own scores, besides the judges, which are called as the configuration says.
pub const OWN_SOURCES: [&str; 2] = [reward::FORMAT, reference::Reference::SOURCE];

/// The scorers that always run.
pub fn built_in() -> Vec<Box<dyn Scorer>> {
    vec![Box::new(format::Format::default())]
}
