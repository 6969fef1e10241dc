//! The candle classifier: [`Features`](crate::features::Features) → [`Context`]; loading and training.

/// What is known of a request before anything is decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Context {
    /// φ(x) = [1, z(x)], d values.
    pub phi: Vec<f64>,
    /// Percentile of the training traffic, 0 (easy) to 1 (hard).
    pub difficulty: f32,
    /// ≥ 1: by how much the predictive variance is widened because the request is far from training.
    pub widening: f64,
    /// Prompt tokens, estimated.
    pub input_tokens: u32,
}

use std::path::Path;

use crate::features::{Extractor, Features};

/// What `train` makes and `serve` loads: encoder, classifier and the policy's prior, of one training run.
#[derive(Debug)]
pub struct Bundle {
    pub extractor: Extractor,
    pub classifier: Classifier,
    /// Names the training run: a hash of the files.
    pub fingerprint: String,
}

/// The network.
#[derive(Debug)]
pub struct Classifier;

/// The classifier could not be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum DifficultyError {
    #[error("{file}: {problem}")]
    Load { file: String, problem: String },
    #[error("the classifier failed: {0}")]
    Run(String),
}

impl Bundle {
    /// The one that lies in the binary.
    ///
    /// # Errors
    /// The embedded files do not fit this code.
    pub fn embedded() -> Result<Self, DifficultyError> {
        Ok(Self { extractor: Extractor, classifier: Classifier, fingerprint: "stub".into() })
    }

    /// One from a folder that `train` wrote.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn load(_folder: &Path) -> Result<Self, DifficultyError> {
        Self::embedded()
    }
}

impl Classifier {
    /// φ and difficulty of a request.
    ///
    /// # Errors
    /// The network failed; the caller falls back to a route's safest model.
    pub fn assess(&self, features: &Features) -> Result<Context, DifficultyError> {
        Ok(Context { phi: vec![1.0], difficulty: 0.5, widening: 1.0, input_tokens: features.input_tokens })
    }
}
