//! What a router has to be better than, a file each: a table by task, a nearest-neighbour router, a logistic regression a
//! model, and what nothing can be better than, the oracle. Fixed models and their mixtures need no forecast.

mod by_task;
mod knn;
mod logistic;
mod oracle;

pub use by_task::by_task;
pub use knn::{knn, knn_of_others};
pub use logistic::logistic;
pub use oracle::oracle;

/// Prompts that a baseline learns from, of one table.
#[derive(Debug, Clone, Default)]
pub struct Lesson<'a> {
    /// Features, one per prompt.
    pub features: Vec<&'a [f32]>,
    /// Rows × models.
    pub quality: Vec<&'a [f64]>,
    /// Rows × models, USD.
    pub cost: Vec<&'a [f64]>,
}
