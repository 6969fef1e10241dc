//! The letter of an option: `B`, `(B)`, `B.`, `option B`.

use super::answer::{Answer, Place};
use super::text::plain;

/// Words that may stand before the letter.
const WORDS: [&str; 3] = ["option ", "choice ", "letter "];

/// The letter, in upper case, where `text` is nothing else.
pub(super) fn whole(text: &str) -> Option<char> {
    let mut letters = text.trim_matches(['(', ')', '[', ']', '.', ':', '*', '$', ' ']).chars();
    let letter = letters.next().filter(char::is_ascii_alphabetic)?;
    letters.next().is_none().then_some(letter.to_ascii_uppercase())
}

/// The option that an answer names.
pub(super) fn letter(answer: &Answer) -> Option<char> {
    let text = &*plain(&answer.text);
    let leading = match answer.place {
        Place::LastLine => opening(text),
        Place::Field | Place::Phrase => whole(text).or_else(|| leading(text)),
    };
    leading.or_else(|| in_parentheses(text))
}

/// The option that `text` begins with, where a mark or the end of a line sets it off.
pub(super) fn opening(text: &str) -> Option<char> {
    let line = text.trim_start().lines().next()?;
    whole(line).or_else(|| leading(line).filter(|_| set_off(line)))
}

/// The first letter of `text`, unless it begins a word or is one: "A dog", "I think".
fn leading(text: &str) -> Option<char> {
    let text = without_words(text);
    let mut rest = text.chars();
    let letter = rest.next().filter(char::is_ascii_uppercase)?;
    let rest = rest.as_str();
    let in_a_word = rest.starts_with(|c: char| c.is_alphanumeric() || c == '\'' || c == '’');
    let a_word = matches!(letter, 'A' | 'I') && rest.trim_start().starts_with(char::is_alphabetic);
    (!in_a_word && !a_word).then_some(letter)
}

fn set_off(line: &str) -> bool {
    without_words(line).chars().nth(1).is_none_or(|c| matches!(c, ')' | '.' | ':' | ',' | ']' | '}'))
}

fn without_words(text: &str) -> &str {
    let bare = |text: &str| text.len() - text.trim_start_matches(|c: char| !c.is_alphanumeric()).len();
    let text = &text[bare(text)..];
    let word = WORDS.iter().find(|word| text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)));
    let text = word.map_or(text, |word| &text[word.len()..]);
    &text[bare(text)..]
}

/// The last `(X)`.
fn in_parentheses(text: &str) -> Option<char> {
    let inner = |(at, _): (usize, &str)| match text.as_bytes().get(at + 1..at + 3) {
        Some(&[letter, b')']) => Some(char::from(letter)).filter(char::is_ascii_alphabetic),
        _ => None,
    };
    text.rmatch_indices('(').find_map(inner).map(|letter| letter.to_ascii_uppercase())
}
