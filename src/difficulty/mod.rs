//! The candle classifier: [`Features`](crate::features::Features) → [`Context`]; loading and training.

mod bundle;
mod encoder;
mod layers;
mod names;
mod network;
mod prior;
pub mod train;
mod vocabulary;

pub use bundle::{Bundle, FileEntry, Manifest, Span, files, sha256};
pub use encoder::{EncoderFiles, EncoderRecord};
pub use names::undated;
pub use network::{Classifier, Weights};
pub use prior::{ArmPrior, Entrant, Head, Population, Prior, RoutePrior};

use std::time::Duration;

use crate::features::EmbedError;

/// What is known of a request before anything is decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Context {
    /// φ(x) = [1, z(x)], d values.
    pub phi: Vec<f64>,
    /// Percentile of the training traffic, 0 (easy) to 1 (hard).
    pub difficulty: f32,
    /// ≥ 1: by how much the predictive variance is widened because the request is far from training.
    pub widening: f64,
    /// ln of the expected length of an answer, relative to what is usual for the model: 0 is usual.
    pub verbosity: f64,
    /// Prompt tokens, estimated.
    pub input_tokens: u32,
}

/// The classifier could not be loaded or run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DifficultyError {
    /// A file of a bundle; nothing helps but another bundle.
    #[error("{file}: {problem}")]
    Load { file: String, problem: String },
    /// One request; the next may well succeed.
    #[error("the classifier failed: {0}")]
    Run(String),
    /// As above, before the network.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// A slow classifier has as much to do as may wait.
    #[error("the classifier is busy: {0} requests wait for it")]
    Busy(usize),
    /// A slow classifier did not come to this request in time.
    #[error("the classifier was not done after {} ms", .0.as_millis())]
    Late(Duration),
}
