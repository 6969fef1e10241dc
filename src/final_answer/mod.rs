//! The final answer of a reply, where it says one, and whether two are the same. Pure, and linear in the reply.
//!
//! It is the `answer` field of a JSON reply, the last `\boxed{…}`, what follows the last "answer is", "answer:" or "####",
//! or else the last line; see [`Answer`]. What is compared depends on what it is: an option's letter, a number (exactly, as
//! a fraction), or else the text without its typography.

mod answer;
mod choice;
mod number;
mod text;

use answer::{Answer, Place};
use number::Number;

/// A final answer, so that two of them can be compared.
#[derive(Debug, Clone, PartialEq)]
pub enum FinalAnswer {
    Number(Number),
    /// Without typography, quotes and case.
    Text(String),
}

impl FinalAnswer {
    /// A longer text is an essay: no two are the same.
    const LONGEST: usize = 400;

    /// The final answer of `reply`; `None` where nothing marks one, or where it is one of a few (an option's letter, yes or
    /// no): two replies may well say the same there, and both be wrong.
    pub fn of(reply: &str) -> Option<Self> {
        let answer = Answer::find(reply);
        if answer.place == Place::LastLine {
            return Number::whole(reply).map(Self::Number);
        }
        let text = text::comparable(&answer.text).filter(|text| text.len() <= Self::LONGEST)?;
        let number = Number::whole(&answer.text).or_else(|| measure(&answer, reply));
        match number {
            Some(number) => Some(Self::Number(number)),
            None => (!is_one_of_a_few(&text)).then_some(Self::Text(text)),
        }
    }
}

/// The number of an answer that is one with its unit, or the end of a sum.
fn measure(answer: &Answer, reply: &str) -> Option<Number> {
    let words = answer.text.split_whitespace().count();
    let is_stated = match answer.place {
        Place::Phrase => words <= 8 || answer.text.contains('='),
        _ => words <= 3 && number::all(&answer.text).len() == 1 && begins_with_a_number(&answer.text),
    };
    if is_stated { stated_number(answer, reply) } else { None }
}

fn begins_with_a_number(text: &str) -> bool {
    text.trim_start().starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '$' | '€' | '£'))
}

fn is_one_of_a_few(text: &str) -> bool {
    choice::whole(text).is_some() || choice::opening(text).is_some() || matches!(text, "true" | "false" | "yes" | "no")
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
