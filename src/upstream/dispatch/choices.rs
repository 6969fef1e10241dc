//! Which of the `n` choices of a streamed answer have finished.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::Text;
use crate::api::chat::ChatRequest;

/// OpenAI's bound of `n`. Choices beyond it are not looked at.
const MAX_CHOICES: usize = 128;

/// The choices of one answer.
#[derive(Debug)]
pub struct Choices {
    /// How many were asked for, at least 1.
    asked: usize,
    /// Those that something came of, and whether they have finished; kept only where several were asked for.
    finished: BTreeMap<usize, bool>,
}

/// As much of a chunk as tells whose end it is.
#[derive(Deserialize)]
struct Glance<'a> {
    #[serde(default, borrow)]
    choices: Option<Vec<ChoiceGlance<'a>>>,
}

#[derive(Deserialize)]
struct ChoiceGlance<'a> {
    #[serde(default)]
    index: Option<usize>,
    #[serde(default, borrow)]
    finish_reason: Option<&'a RawValue>,
}

impl Choices {
    /// Those that `request` asks for.
    pub fn of(request: &ChatRequest) -> Self {
        let asked = request.field("n", "a positive integer").ok().flatten().unwrap_or(1);
        Self { asked: asked.clamp(1, MAX_CHOICES), finished: BTreeMap::new() }
    }

    /// Takes a chunk, and what was read of its first choice. True: all choices have finished.
    pub fn take(&mut self, data: &[u8], text: &Text) -> bool {
        if self.asked == 1 {
            return text.finish_reason.is_some();
        }
        let glance = serde_json::from_slice::<Glance>(data).ok().and_then(|glance| glance.choices);
        for choice in glance.iter().flatten() {
            let index = choice.index.unwrap_or(0);
            if index < MAX_CHOICES {
                *self.finished.entry(index).or_default() |= choice.has_finished();
            }
        }
        self.finished.len() >= self.asked && self.finished.values().all(|finished| *finished)
    }
}

impl ChoiceGlance<'_> {
    fn has_finished(&self) -> bool {
        self.finish_reason.is_some_and(|reason| !matches!(reason.get(), "null" | "\"\""))
    }
}
