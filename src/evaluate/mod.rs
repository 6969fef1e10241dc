//! What routing is worth on recorded traffic: frontiers, baselines, figures with intervals. Pure.

pub mod baselines;
pub mod bootstrap;
pub mod cross;
pub mod curve;
pub mod folds;
pub mod frontier;
pub mod judge;
pub mod metrics;
pub mod off_policy;
pub mod online;
pub mod report;
pub mod router;
pub mod table;

use crate::difficulty::DifficultyError;
use crate::difficulty::train::TrainError;
use crate::difficulty::train::linear::NotPositiveDefinite;

/// A workload could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// On what one fold leaves.
    #[error("training without fold {fold}: {reason}")]
    Train { fold: usize, reason: TrainError },
    #[error(
        "fold {fold} holds all prompts of {workload}, and leaves none to learn from; give fewer folds, or more prompts"
    )]
    NothingSeen { fold: usize, workload: String },
    #[error(transparent)]
    Classifier(#[from] DifficultyError),
    #[error("the logistic baseline: {0}")]
    Logistic(#[from] NotPositiveDefinite),
}
