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

    /// Whether one is asked for.
    pub fn is_single(&self) -> bool {
        self.asked == 1
    }

    /// Takes a chunk, and what was read of its first choice. True: all choices have finished.
    pub fn take(&mut self, data: &[u8], text: &Text) -> bool {
        if self.is_single() {
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::super::openai::OpenAi;
    use super::super::super::{Asked, Provider, Stamp, StreamItem, WireEvent};
    use super::*;

    #[test]
    fn a_choice_whose_reason_is_empty_has_not_finished_whether_it_is_one_or_of_several() {
        for n in [1, 2] {
            let body = format!(r#"{{"model":"m","n":{n},"stream":true,"messages":[{{"role":"user","content":"a"}}]}}"#);
            let request = ChatRequest::parse(&body.into()).unwrap();
            let stamp = || Stamp { id: uuid::Uuid::nil(), created_s: 0 };
            let mut events = OpenAi.events(&Asked { model: "m", request: &request, stamp });
            let mut choices = Choices::of(&request);
            let mut all_finished = |reason: &str| {
                let choice = |index| format!(r#"{{"index":{index},"delta":{{}},"finish_reason":"{reason}"}}"#);
                let listed: Vec<String> = (0..n).map(choice).collect();
                let data = Bytes::from(format!(r#"{{"choices":[{}]}}"#, listed.join(",")));
                let mut items = std::collections::VecDeque::new();
                events.event(WireEvent { name: None, data }, &mut items).unwrap();
                let Some(StreamItem::Chunk { data, text, .. }) = items.pop_front() else { panic!("no chunk") };
                choices.take(&data, &text)
            };
            assert!(!all_finished("") && all_finished("stop"), "{n}");
        }
    }
}
