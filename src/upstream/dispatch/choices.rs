//! Which of the `n` choices of a streamed answer have finished.

use std::collections::BTreeMap;

use super::super::Text;
use crate::api::chat::{ChatReply, ChatRequest};

/// OpenAI's bound of `n`. Choices beyond it are not looked at.
const MAX_CHOICES: usize = 128;

/// The choices of one answer.
#[derive(Debug)]
pub struct Choices {
    /// How many were asked for, at least 1.
    asked: usize,
    /// Those that something came of, and whether they have finished; where one was asked for, the first alone.
    finished: BTreeMap<usize, bool>,
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
            *self.finished.entry(0).or_default() |= text.finish_reason.is_some();
            return self.have_finished();
        }
        let choices = serde_json::from_slice::<ChatReply<'_>>(data).ok().and_then(|chunk| chunk.choices);
        for choice in choices.iter().flatten() {
            let index = choice.index.map_or(0, |index| index as usize);
            if index < MAX_CHOICES {
                *self.finished.entry(index).or_default() |= choice.finish_reason.is_some();
            }
        }
        self.finished.len() >= self.asked && self.have_finished()
    }

    /// Whether each that something came of has finished. Some servers give one answer, however many they are asked for.
    pub fn have_finished(&self) -> bool {
        !self.finished.is_empty() && self.finished.values().all(|finished| *finished)
    }
}
