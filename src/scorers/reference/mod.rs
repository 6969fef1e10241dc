//! `reference`: does the final answer of a reply agree with the one that is known to be right?
//!
//! What is compared depends on the reference: an option's letter, a number (exactly, as a fraction), or else the text
//! without its typography. The final answer is the `answer` field of a JSON reply, the last `\boxed{…}`, what follows
//! the last "answer is", "answer:" or "####", or else the last line; see [`Answer`].

mod answer;
mod choice;
mod number;
mod text;

use std::collections::HashMap;

use super::{Scorer, Verdict, reward};
use crate::trace::{Outcome, Trace, TraceId};
use answer::{Answer, Place};
use number::Number;

/// Judges answers to prompts whose right answer is known, as a client would: 1 or 0, by the metric `quality`.
#[derive(Debug, Default)]
pub struct Reference {
    references: HashMap<TraceId, String>,
}

impl Reference {
    /// The name of this scorer as a source.
    pub const SOURCE: &str = "reference";

    /// Knows the right answers to these requests, and has nothing to say about others.
    pub fn new(references: HashMap<TraceId, String>) -> Self {
        Self { references }
    }
}

impl Scorer for Reference {
    fn name(&self) -> &'static str {
        Self::SOURCE
    }

    fn metric(&self) -> &'static str {
        reward::QUALITY
    }

    /// No verdict where the request failed, or where the end of the reply was not kept: it may be right.
    fn score(&mut self, trace: &Trace) -> Option<Verdict> {
        let reference = self.references.get(&trace.id)?;
        let whole = trace.outcome == Outcome::Answered && !trace.reply.truncated;
        whole.then(|| Verdict { value: f64::from(u8::from(agrees(&trace.reply.content, reference))) })
    }
}

/// Whether the final answer of `reply` is `reference`. Pure, and linear in the reply.
pub fn agrees(reply: &str, reference: &str) -> bool {
    if text::same(reply, reference) {
        return true;
    }
    let answer = Answer::find(reply);
    if let Some(letter) = choice::whole(reference) {
        return choice::letter(&answer).or_else(|| choice::opening(reply)) == Some(letter);
    }
    if text::same(&answer.text, reference) {
        return true;
    }
    match Number::whole(reference) {
        Some(number) => stated_number(&answer, reply) == Some(number),
        None => answer.place != Place::Field && text::contains(&answer.text, reference),
    }
}

/// The number that an answer states, after its last "=" if there is one; else the last number of the reply.
fn stated_number(answer: &Answer, reply: &str) -> Option<Number> {
    match answer.place {
        Place::LastLine => number::all(&text::plain(reply)).last().copied(),
        Place::Field | Place::Phrase => {
            let plain = text::plain(&answer.text);
            let value = plain.rsplit_once('=').map_or(&*plain, |(_, value)| value);
            let is_list = value.split(", ").filter(|part| Number::whole(part).is_some()).nth(1).is_some();
            number::all(value).first().copied().filter(|_| !is_list)
        }
    }
}

#[cfg(test)]
mod tests;
