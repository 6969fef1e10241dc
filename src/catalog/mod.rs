//! Model and provider ids, prices, limits, capabilities.

pub mod facts;
pub mod providers;
pub mod quirks;

use std::fmt;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// A configured name. It lies in its owner up to 24 bytes: a request's record carries a dozen, and the thread that frees
/// them is another.
pub type Name = CompactString;

/// `provider/model`, as headers and reports print it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelId {
    pub provider: Name,
    pub model: Name,
}

impl ModelId {
    /// The id of `model` at `provider`.
    pub fn of(provider: &str, model: &str) -> Self {
        Self { provider: provider.into(), model: model.into() }
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.model)
    }
}

/// USD per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Price {
    pub input: f64,
    pub output: f64,
    /// Input tokens read from the provider's prompt cache; the input price where unknown.
    pub cached_input: Option<f64>,
}

impl Price {
    /// USD for these many tokens.
    pub fn cost(&self, usage: &Usage) -> f64 {
        let cached = usage.cached_input_tokens.min(usage.input_tokens);
        let fresh = usage.input_tokens - cached;
        (f64::from(fresh) * self.input
            + f64::from(cached) * self.cached_input.unwrap_or(self.input)
            + f64::from(usage.output_tokens) * self.output)
            / 1e6
    }
}

/// Tokens of one call, as the provider billed them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub input_tokens: u32,
    pub output_tokens: u32,
    pub cached_input_tokens: u32,
    /// Counted in `output_tokens`.
    pub reasoning_tokens: u32,
}

/// What a model can do; `None` where nobody has said, which no filter counts against it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    pub tools: Option<bool>,
    pub vision: Option<bool>,
    pub json_schema: Option<bool>,
}

/// One model that the gateway can call: configuration, completed from the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    pub id: ModelId,
    /// What the provider calls it.
    pub upstream_name: String,
    /// `None`: neither the file nor the catalogue knows it; its cost then counts as the dearest of its route.
    pub price: Option<Price>,
    /// Input and output together, tokens.
    pub context_window: Option<u32>,
    pub max_output_tokens: Option<u32>,
    pub capabilities: Capabilities,
}
