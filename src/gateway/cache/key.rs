//! Which requests have one answer: a SHA-256 over everything that may change it.
//!
//! A body counts as what it says, not as it is written: the order of fields, white space and escapes in strings change
//! nothing. Numbers count as they are written: 1 and 1.0 are two requests, which costs a call and is never wrong.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::api::chat::ChatRequest;
use crate::catalog::Model;
use crate::trace::Owner;
use crate::trace::kept::Key;

/// Fields that change nothing in an answer but the way it comes, or say on whose behalf it is asked for; and `model`,
/// which is in the [`Scope`].
const LEFT_OUT: [&str; 8] =
    ["model", "stream", "stream_options", "user", "claude_user", "metadata", "safety_identifier", "prompt_cache_key"];
/// Deeper values count as they are written.
const DEEPEST: usize = 32;

/// The client that asks, as the digest of its API key; all zero where it sends none.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Tenant(pub [u8; 32]);

impl Tenant {
    /// As its traces name it; `None` where there is no key.
    pub fn owner(self) -> Option<Owner> {
        let digest = self.0.first_chunk().copied()?;
        (self != Self::default()).then_some(Owner(digest))
    }
}

impl Debug for Tenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tenant(…)")
    }
}

/// What tells a request apart beside its body.
#[derive(Default)]
pub(in crate::gateway) struct Scope<'a> {
    pub(in crate::gateway) tenant: Tenant,
    /// The route or model, as the client names it.
    pub(in crate::gateway) asked: &'a str,
    /// All models that may answer: so nobody gets an answer of a model that is no longer configured.
    pub(in crate::gateway) models: Vec<&'a Model>,
    /// The knobs that choose among them, as [`Debug`] writes them.
    pub(in crate::gateway) knobs: Vec<String>,
    /// The request's own knob.
    pub(in crate::gateway) quality: Option<f64>,
    /// The part of the route that it is in.
    pub(in crate::gateway) segment: Option<&'a str>,
    /// What the rule that holds for it says of the models, as [`Debug`] writes it.
    pub(in crate::gateway) rule: Option<String>,
    /// Whom the client itself wants, as [`Debug`] writes it: the body that is asked with does not have all of it.
    pub(in crate::gateway) preferences: Option<String>,
}

/// The key of all requests that share this one's answer.
pub(super) fn exact(scope: &Scope<'_>, request: &ChatRequest) -> Key {
    let mut hash = Hash::of(scope);
    for (name, raw) in fields(request) {
        hash.text(b':', name.as_bytes());
        hash.value(raw, 0);
    }
    hash.0.finalize().into()
}

/// The key of all requests that differ from this one only in the text of the newest user turn, as far as
/// `embedding` can compare them: its numbers are the same, which a mean of word vectors hardly sees. `None` where there is
/// no such turn.
pub(super) fn except_the_turn(scope: &Scope<'_>, embedding: u64, request: &ChatRequest) -> Option<Key> {
    let turn = request.messages.iter().rposition(|message| message.role == "user")?;
    let mut hash = Hash::of(scope);
    hash.text(b'e', &embedding.to_be_bytes());
    numbers(&request.messages[turn].content.text).for_each(|number| hash.text(b'n', number.as_bytes()));
    for (name, raw) in fields(request) {
        hash.text(b':', name.as_bytes());
        match name {
            "messages" => hash.messages(raw, turn)?,
            _ => hash.value(raw, 0),
        }
    }
    Some(hash.0.finalize().into())
}

/// Runs of digits.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_numeric()).filter(|number| !number.is_empty())
}

/// The fields that count, by name: their order in the body changes nothing.
fn fields(request: &ChatRequest) -> BTreeMap<&str, &str> {
    let counted = request.fields().filter(|(name, _)| !LEFT_OUT.contains(name));
    counted.filter_map(|(name, raw)| Some((name, std::str::from_utf8(raw).ok()?))).collect()
}

struct Hash(Sha256);

type Object<'a> = BTreeMap<String, &'a RawValue>;

impl Hash {
    fn of(scope: &Scope<'_>) -> Self {
        let mut hash = Self(Sha256::new());
        hash.text(b't', &scope.tenant.0);
        hash.text(b'a', scope.asked.as_bytes());
        for model in &scope.models {
            hash.text(b'p', model.id.provider.as_bytes());
            hash.text(b'm', model.id.model.as_bytes());
            hash.text(b'u', model.upstream_name.as_bytes());
        }
        scope.knobs.iter().for_each(|knob| hash.text(b'k', knob.as_bytes()));
        scope.quality.iter().for_each(|quality| hash.text(b'q', &quality.to_bits().to_be_bytes()));
        scope.segment.iter().for_each(|segment| hash.text(b's', segment.as_bytes()));
        scope.rule.iter().for_each(|rule| hash.text(b'r', rule.as_bytes()));
        scope.preferences.iter().for_each(|preferences| hash.text(b'w', preferences.as_bytes()));
        hash
    }

    /// A kind, a length and as many bytes, so that no value runs into the next.
    fn text(&mut self, kind: u8, bytes: &[u8]) {
        self.0.update([kind]);
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn begin(&mut self, kind: u8, count: usize) {
        self.text(kind, &(count as u64).to_be_bytes());
    }

    /// A JSON value, without white space around it.
    fn value(&mut self, raw: &str, depth: usize) {
        match raw.as_bytes().first() {
            Some(b'{') if depth < DEEPEST => self.parsed(raw, |hash, object: Object<'_>| {
                hash.begin(b'{', object.len());
                object.iter().for_each(|(name, value)| hash.member(name, value, depth));
            }),
            Some(b'[') if depth < DEEPEST => self.parsed(raw, |hash, items: Vec<&RawValue>| {
                hash.begin(b'[', items.len());
                items.iter().for_each(|item| hash.value(item.get(), depth + 1));
            }),
            Some(b'"') => self.parsed(raw, |hash, text: String| hash.text(b'"', text.as_bytes())),
            _ => self.text(b'#', raw.as_bytes()),
        }
    }

    fn member(&mut self, name: &str, value: &RawValue, depth: usize) {
        self.text(b':', name.as_bytes());
        self.value(value.get(), depth + 1);
    }

    /// What cannot be read counts as it is written.
    fn parsed<'a, T: Deserialize<'a>>(&mut self, raw: &'a str, then: impl FnOnce(&mut Self, T)) {
        match serde_json::from_str(raw) {
            Ok(value) => then(self, value),
            Err(_) => self.text(b'!', raw.as_bytes()),
        }
    }

    /// The conversation with the text of message `turn` left blank.
    fn messages(&mut self, raw: &str, turn: usize) -> Option<()> {
        let messages: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
        self.begin(b'[', messages.len());
        for (i, message) in messages.iter().enumerate() {
            match i == turn {
                true => self.blank_message(message.get())?,
                false => self.value(message.get(), 1),
            }
        }
        Some(())
    }

    fn blank_message(&mut self, raw: &str) -> Option<()> {
        let message: Object<'_> = serde_json::from_str(raw).ok()?;
        self.begin(b'{', message.len());
        for (name, value) in &message {
            match name.as_str() {
                "content" => self.blank_content(value.get())?,
                name => self.member(name, value, 1),
            }
        }
        Some(())
    }

    /// A string, or parts of which some have a text.
    fn blank_content(&mut self, raw: &str) -> Option<()> {
        if !raw.starts_with('[') {
            self.begin(b'_', 0);
            return Some(());
        }
        let parts: Vec<Object<'_>> = serde_json::from_str(raw).ok()?;
        self.begin(b'_', 1 + parts.len());
        for part in parts {
            self.begin(b'{', part.len());
            part.iter().filter(|(name, _)| *name != "text").for_each(|(name, value)| self.member(name, value, 3));
        }
        Some(())
    }
}

#[cfg(test)]
mod tests;
