//! `GET /v1/models`: OpenAI's list, with what OpenRouter's and Anthropic's say beyond it.

use serde::Serialize;

/// OpenAI's list shape.
#[derive(Debug, Clone, Serialize)]
pub struct ModelList {
    pub object: &'static str,
    pub data: Vec<ModelCard>,
    /// Anthropic's clients turn pages; this is the only one.
    pub has_more: bool,
}

/// One model or route. What is not known is left out.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ModelCard {
    pub id: String,
    pub object: &'static str,
    pub created: u64,
    pub owned_by: String,
    /// For people.
    pub name: String,
    /// The same, as Anthropic calls it.
    pub display_name: String,
    /// Anthropic's `model`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Input and output together, tokens; of a route, the most that one of its models takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u32>,
    pub architecture: Architecture,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pricing: Option<Pricing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_provider: Option<TopProvider>,
    /// Request fields that it takes; of a route, those that one of its models takes.
    pub supported_parameters: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_usd_per_mtok: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_usd_per_mtok: Option<f64>,
}

/// What goes in and what comes out.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Architecture {
    /// `text->text`, `text+image->text`, `text->embeddings`.
    pub modality: String,
    pub input_modalities: Vec<&'static str>,
    pub output_modalities: Vec<&'static str>,
}

impl Architecture {
    /// Of these modalities.
    pub fn new(input_modalities: Vec<&'static str>, output: &'static str) -> Self {
        Self {
            modality: format!("{}->{output}", input_modalities.join("+")),
            input_modalities,
            output_modalities: vec![output],
        }
    }
}

/// USD per token, as decimals in strings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pricing {
    pub prompt: String,
    pub completion: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_cache_read: Option<String>,
}

/// Limits at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TopProvider {
    pub context_length: Option<u32>,
    pub max_completion_tokens: Option<u32>,
}

/// USD per million tokens → USD per token, without an exponent and without trailing zeros.
pub fn per_token(usd_per_mtok: f64) -> String {
    let text = format!("{:.15}", usd_per_mtok / 1e6);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() { "0".into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_a_plain_decimal() {
        for (usd, text) in [(0.15, "0.00000015"), (2.5, "0.0000025"), (0.0, "0"), (1e6, "1"), (0.075, "0.000000075")] {
            assert_eq!(per_token(usd), text);
        }
        assert_eq!(per_token(0.388126), "0.000000388126");
    }
}
