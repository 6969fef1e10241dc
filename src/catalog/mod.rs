//! Model and provider ids, prices, limits, capabilities.

pub mod facts;
pub mod host;
pub mod providers;
pub mod quirks;

use std::fmt;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// A configured name, stored inline up to 24 bytes: traces hold a dozen and are freed on another thread.
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
    /// Input tokens written to the provider's prompt cache, to be kept for its usual time (minutes); the input price
    /// where unknown.
    #[serde(default)]
    pub cache_write: Option<f64>,
}

/// What a token written to be kept for an hour costs, in tokens written for five minutes: providers that offer both
/// ask for 2 and 1.25 times the input price (Anthropic's and Bedrock's price lists).
const HOUR_WRITE: f64 = 2.0 / 1.25;

impl Price {
    /// A price that knows nothing of caches.
    pub const fn of(input: f64, output: f64) -> Self {
        Self { input, output, cached_input: None, cache_write: None }
    }

    /// One number, to say which of two prices is dearer: USD for three million tokens of input and one of output, the usual
    /// blend (Artificial Analysis' "blended price" is a quarter of it).
    pub fn blended(&self) -> f64 {
        3.0 * self.input + self.output
    }

    /// USD for these many tokens.
    pub fn cost(&self, usage: &Usage) -> f64 {
        let cached = usage.cached_input_tokens.min(usage.input_tokens);
        let written = usage.cache_write_tokens.min(usage.input_tokens - cached);
        let fresh = usage.input_tokens - cached - written;
        (f64::from(fresh) * self.input
            + f64::from(cached) * self.cached_input.unwrap_or(self.input)
            + self.writing(written, usage.cache_write_1h_tokens.min(written))
            + f64::from(usage.output_tokens) * self.output)
            / 1e6
    }

    /// For `written` tokens, `hour` of which are kept for an hour; USD × 10⁶.
    fn writing(&self, written: u32, hour: u32) -> f64 {
        match self.cache_write {
            Some(price) => (f64::from(written - hour) + f64::from(hour) * HOUR_WRITE) * price,
            None => f64::from(written) * self.input,
        }
    }
}

/// Tokens of one call, as the provider billed them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// All of them, cached or not: as OpenAI counts, and not as Anthropic does.
    pub input_tokens: u32,
    pub output_tokens: u32,
    /// Read from the provider's prompt cache; counted in `input_tokens`.
    pub cached_input_tokens: u32,
    /// Written to the provider's prompt cache; counted in `input_tokens`.
    #[serde(default)]
    pub cache_write_tokens: u32,
    /// Those of `cache_write_tokens` that are kept for an hour.
    #[serde(default)]
    pub cache_write_1h_tokens: u32,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_prices_the_dearer_is_the_one_for_what_is_mostly_read() {
        let (for_readers, for_writers) = (Price::of(1.0, 5.0), Price::of(2.0, 3.0));
        assert_eq!((for_readers.blended(), for_writers.blended()), (8.0, 9.0));
    }

    /// 1,000 tokens in: 600 read from the cache, 300 written to it, 100 of them for an hour.
    const USAGE: Usage = Usage {
        input_tokens: 1_000,
        output_tokens: 10,
        cached_input_tokens: 600,
        cache_write_tokens: 300,
        cache_write_1h_tokens: 100,
        reasoning_tokens: 4,
    };

    #[test]
    fn each_kind_of_token_has_its_price_and_is_counted_once() {
        let price = Price { cached_input: Some(0.3), cache_write: Some(3.75), ..Price::of(3.0, 15.0) };
        let usd = 100.0 * 3.0 + 600.0 * 0.3 + 200.0 * 3.75 + 100.0 * 6.0 + 10.0 * 15.0;
        assert!((price.cost(&USAGE) - usd / 1e6).abs() < 1e-12, "{}", price.cost(&USAGE));
        let plain = Price::of(3.0, 15.0).cost(&USAGE);
        assert!((plain - (1_000.0 * 3.0 + 10.0 * 15.0) / 1e6).abs() < 1e-12, "{plain}");
    }

    #[test]
    fn counts_that_contradict_each_other_cost_no_more_than_the_tokens_there_are() {
        let price = Price { cached_input: Some(1.0), cache_write: Some(1.0), ..Price::of(1.0, 0.0) };
        let usage = Usage { input_tokens: 5, cached_input_tokens: 4, cache_write_tokens: 9, ..Usage::default() };
        assert!((price.cost(&usage) - 5e-6).abs() < 1e-15);
    }
}
