//! `[[models]]`.

use super::name;
use crate::catalog::{Capabilities, Price};
use crate::config::section::{Located, Section};

#[derive(Debug)]
pub(in crate::config) struct Model {
    pub(in crate::config) line: usize,
    pub(in crate::config) name: Option<Located<String>>,
    pub(in crate::config) provider: Option<Located<String>>,
    pub(in crate::config) upstream_name: Option<String>,
    /// `None`: as the catalogue has it.
    pub(in crate::config) kind: Option<ModelKind>,
    pub(in crate::config) price: Option<Price>,
    pub(in crate::config) context_window: Option<u32>,
    pub(in crate::config) max_output_tokens: Option<u32>,
    pub(in crate::config) capabilities: Capabilities,
    /// Its share of the load where the model is at several providers.
    pub(in crate::config) weight: Option<f64>,
}

/// What a model is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum ModelKind {
    Chat,
    Embedding,
}

impl ModelKind {
    const NAMES: [(&str, Self); 2] = [("chat", Self::Chat), ("embedding", Self::Embedding)];
}

impl Model {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let kind = section.one_of("kind", &ModelKind::NAMES);
        Self {
            line: section.line,
            kind,
            name: name(section, "the name that clients ask for, such as \"gpt-4o-mini\""),
            provider: section.required("provider", "the name of one of the [[providers]]"),
            upstream_name: section.string("upstream_name", "the provider's name of the model").map(|n| n.value),
            price: price(section, kind),
            context_window: section.whole("context_window", 1, u32::MAX).map(|n| n.value),
            max_output_tokens: section.whole("max_output_tokens", 1, u32::MAX).map(|n| n.value),
            capabilities: Capabilities {
                tools: section.boolean("tools"),
                vision: section.boolean("vision"),
                json_schema: section.boolean("json_schema"),
            },
            weight: section.number("weight", f64::MIN_POSITIVE..1e6, true, "a number above 0").map(|n| n.value),
        }
    }
}

/// All of the price, or none of it: half a price cannot be completed from elsewhere.
fn price(section: &mut Section<'_, '_>, kind: Option<ModelKind>) -> Option<Price> {
    let mut usd = |key| section.number(key, 0.0..1e6, true, "USD per million tokens, from 0");
    let input = usd("input_usd_per_mtok");
    let output = usd("output_usd_per_mtok");
    let cached_input = usd("cached_input_usd_per_mtok").map(|usd| usd.value);
    let cache_write = usd("cache_write_usd_per_mtok").map(|usd| usd.value);
    match (input, output) {
        (Some(input), Some(output)) => {
            Some(Price { input: input.value, output: output.value, cached_input, cache_write })
        }
        // Embeddings have no output.
        (Some(input), None) if kind == Some(ModelKind::Embedding) && !section.had("output_usd_per_mtok") => {
            Some(Price { cached_input, ..Price::of(input.value, 0.0) })
        }
        (None, None) if cached_input.or(cache_write).is_none() => None,
        _ => half_a_price(section),
    }
}

/// A key that is there and wrong was noted before.
fn half_a_price(section: &mut Section<'_, '_>) -> Option<Price> {
    for key in ["input_usd_per_mtok", "output_usd_per_mtok"] {
        if !section.had(key) {
            section.missing(key, "both prices, or neither to take them from the catalogue");
        }
    }
    None
}
