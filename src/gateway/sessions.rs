//! Conversations and the models that answered them last: their providers may still hold the prompt in a cache.

use std::hash::BuildHasher;
use std::time::Duration;

use foldhash::fast::FixedState;
use moka::sync::Cache;

use super::Wishes;
use crate::api::chat::ChatRequest;
use crate::catalog::{ModelId, Price};

/// Providers keep an unused prompt for about this long.
const KEPT: Duration = Duration::from_secs(300);
/// Providers keep no prompt that is shorter, in tokens.
const SHORTEST: u32 = 1024;
/// Conversations that are remembered; beyond it those least asked for are forgotten, which costs their next turn a
/// cached prompt.
const MOST: u64 = 100_000;

/// Who answered each conversation last.
pub(super) struct Sessions(Cache<u64, Warm>);

/// A conversation that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    conversation: u64,
    /// Tokens of the prompt, estimated.
    tokens: u32,
}

impl Reading {
    /// What a request of `route` reads; `None` where the prompt is too short for any provider to keep it.
    pub(super) fn new(route: &str, wishes: &Wishes, request: &ChatRequest, tokens: u32) -> Option<Self> {
        (tokens >= SHORTEST).then(|| Self { conversation: key(route, wishes, request), tokens })
    }
}

/// A model whose provider read a conversation's prompt a while ago.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Warm {
    pub(super) model: ModelId,
    /// Tokens of that prompt.
    tokens: u32,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self(Cache::builder().max_capacity(MOST).time_to_idle(KEPT).build())
    }

    /// Who answered last in the conversation.
    pub(super) fn warm(&self, reading: Reading) -> Option<Warm> {
        self.0.get(&reading.conversation)
    }

    /// Remembers that `model` answered this conversation last.
    pub(super) fn answered(&self, Reading { conversation, tokens }: Reading, model: ModelId) {
        self.0.insert(conversation, Warm { model, tokens });
    }
}

impl Warm {
    pub(super) fn model(&self) -> &ModelId {
        &self.model
    }

    /// USD that a prompt of `tokens` costs less where this much of it is read from the cache. 0 where the provider's
    /// price of cached tokens is not known.
    pub(super) fn saves(&self, price: Option<Price>, tokens: u32) -> f64 {
        let per_mtok = price.and_then(|price| Some(price.input - price.cached_input?)).unwrap_or(0.0).max(0.0);
        f64::from(self.tokens.min(tokens)) * per_mtok / 1e6
    }
}

/// Which conversation of a client's a request belongs to: the one that it names, else the one that begins as it does:
/// with these instructions and this first question, which later turns repeat.
fn key(route: &str, wishes: &Wishes, request: &ChatRequest) -> u64 {
    let (hasher, tenant) = (FixedState::default(), wishes.tenant);
    if let Some(session) = &wishes.session {
        return hasher.hash_one((tenant, route, "named", session));
    }
    let first = request.messages.iter().position(|message| message.role == "user").unwrap_or(0);
    let beginning = request.messages.iter().take(first + 1).map(|message| (&message.role, &message.content.text));
    hasher.hash_one((tenant, route, beginning.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Tenant;

    fn request(turns: &[(&str, &str)]) -> ChatRequest {
        let messages: Vec<_> =
            turns.iter().map(|(role, text)| serde_json::json!({"role": role, "content": text})).collect();
        let body = serde_json::json!({"model": "auto", "messages": messages}).to_string();
        ChatRequest::parse(&body.into()).unwrap()
    }

    #[test]
    fn later_turns_belong_to_the_conversation_that_began_alike() {
        let first = request(&[("system", "Be brief."), ("user", "Hello")]);
        let later = request(&[("system", "Be brief."), ("user", "Hello"), ("assistant", "Hi"), ("user", "And?")]);
        let other = request(&[("system", "Be brief."), ("user", "Hello!")]);
        let unnamed = Wishes::default();
        let named = |session: &str| Wishes { session: Some(session.into()), ..Wishes::default() };
        assert_eq!(key("auto", &unnamed, &first), key("auto", &unnamed, &later));
        assert_ne!(key("auto", &unnamed, &first), key("auto", &unnamed, &other));
        assert_ne!(key("auto", &unnamed, &first), key("batch", &unnamed, &first));
        assert_eq!(key("auto", &named("s1"), &first), key("auto", &named("s1"), &other));
        assert_ne!(key("auto", &named("s1"), &first), key("auto", &named("s2"), &first));
        let another = Wishes { tenant: Tenant([1; 32]), ..named("s1") };
        assert_ne!(key("auto", &named("s1"), &first), key("auto", &another, &first));
    }

    #[test]
    fn what_a_cached_prompt_saves_is_bounded_by_both_prompts() {
        let warm = Warm { model: ModelId::of("p", "m"), tokens: 1000 };
        let price = |cached_input| Some(Price { cached_input, ..Price::of(2.0, 4.0) });
        assert_eq!(warm.saves(price(Some(0.5)), 5000), 1000.0 * 1.5 / 1e6);
        assert_eq!(warm.saves(price(Some(0.5)), 100), 100.0 * 1.5 / 1e6);
        assert_eq!(warm.saves(price(None), 5000), 0.0);
        assert_eq!(warm.saves(None, 5000), 0.0);
    }
}
