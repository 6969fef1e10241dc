//! OpenAI's `usage`, as all who speak its wire write it: what some of them count apart, or say in other places, is told
//! as OpenAI would.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::chat::lenient;

/// A count of tokens in an answer of any wire; one that cannot be read costs nobody the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Count {
    #[default]
    Unsaid,
    /// It is there, and is none: what was used is not known then.
    Unreadable,
    Said(u32),
}

impl Count {
    /// The count, if it is there and can be read.
    pub fn said(self) -> Option<u32> {
        match self {
            Self::Said(count) => Some(count),
            Self::Unsaid | Self::Unreadable => None,
        }
    }

    /// The same where a wire leaves out what is 0.
    pub fn said_or_none(self) -> Option<u32> {
        if self == Self::Unsaid { Some(0) } else { self.said() }
    }

    /// This one, if it is there at all.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self == Self::Unsaid { other } else { self }
    }
}

impl<'de> Deserialize<'de> for Count {
    /// A whole number, also one that is written as a fraction or as a text.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Value::deserialize(deserializer)?;
        let number = given.as_f64().or_else(|| given.as_str()?.parse().ok());
        let is_count = |number: &f64| number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number);
        Ok(match number.filter(is_count) {
            _ if given.is_null() => Self::Unsaid,
            Some(count) => Self::Said(count as u32),
            None => Self::Unreadable,
        })
    }
}

/// The `usage` object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct WireUsage {
    #[serde(default)]
    pub prompt_tokens: u32,
    #[serde(default)]
    completion_tokens: u32,
    #[serde(default, deserialize_with = "lenient")]
    total_tokens: Option<u32>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptTokensDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionTokensDetails>,
    /// Moonshot's place for those of the details.
    #[serde(default, deserialize_with = "lenient")]
    cached_tokens: Option<u32>,
    /// DeepSeek's name of the same.
    #[serde(default, deserialize_with = "lenient")]
    prompt_cache_hit_tokens: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
struct PromptTokensDetails {
    #[serde(default)]
    cached_tokens: Option<u32>,
    /// Not OpenAI's: tokens written to the cache, as OpenRouter names them.
    #[serde(default)]
    cache_write_tokens: Option<u32>,
    /// The same, as LiteLLM names them.
    #[serde(default)]
    cache_creation_tokens: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
struct CompletionTokensDetails {
    #[serde(default)]
    reasoning_tokens: Option<u32>,
}

impl WireUsage {
    /// With those of thoughts, which xAI counts beside the completion's: the total tells.
    pub fn output_tokens(self) -> u32 {
        let (said, thought) = (self.completion_tokens, self.reasoning_tokens());
        let apart = [self.prompt_tokens, said, thought].map(u64::from).iter().sum();
        if self.total_tokens.map(u64::from) == Some(apart) { said.saturating_add(thought) } else { said }
    }

    /// Read from the provider's prompt cache.
    pub fn cached_tokens(self) -> u32 {
        let detail = self.prompt_tokens_details.and_then(|details| details.cached_tokens);
        detail.or(self.cached_tokens).or(self.prompt_cache_hit_tokens).unwrap_or(0)
    }

    /// Written to the provider's prompt cache.
    pub fn cache_write_tokens(self) -> u32 {
        let details = self.prompt_tokens_details.unwrap_or_default();
        details.cache_write_tokens.or(details.cache_creation_tokens).unwrap_or(0)
    }

    /// Thought, and counted in the output.
    pub fn reasoning_tokens(self) -> u32 {
        self.completion_tokens_details.and_then(|details| details.reasoning_tokens).unwrap_or(0)
    }
}
