//! In which order an answer had its thoughts, its text, and what its items say of: a chat has each by itself.

use std::ops::Range;

use super::hosted::Hosted;
use super::marks::Marked;

/// A piece of an answer that is all of one kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Stretch<'h> {
    /// These of its `thinking_blocks`; at least one.
    Thoughts(Range<usize>),
    /// These characters of its text; at least one.
    Text(Range<usize>),
    /// What was done with a tool, or a mark.
    Item(&'h Hosted),
}

/// An answer of so many `thoughts` and `characters`, with `items`: all of it, each piece once. Of what came between two
/// items, the thoughts come first, but for a message that had begun.
pub fn course<'h>(items: impl IntoIterator<Item = &'h Hosted>, thoughts: usize, characters: usize) -> Vec<Stretch<'h>> {
    let stops = items.into_iter().map(|item| (item.after, item.at, Some(item)));
    let stops = stops.chain([(thoughts, characters, None)]);
    let (mut thought, mut said, mut speaks) = (0, 0, false);
    let mut course = vec![];
    for (after, at, item) in stops {
        let (after, at) = (after.clamp(thought, thoughts), at.clamp(said, characters));
        let thoughts = (after > thought).then_some(Stretch::Thoughts(thought..after));
        let text = (at > said).then_some(Stretch::Text(said..at));
        let between = if speaks { [text, thoughts] } else { [thoughts, text] };
        course.extend(between.into_iter().flatten().chain(item.map(Stretch::Item)));
        speaks = item.is_some_and(|item| Marked::of(&item.is) == Some(Marked::Message));
        (thought, said) = (after, at);
    }
    course
}

/// These characters of `text`.
pub fn characters(text: &str, range: &Range<usize>) -> String {
    text.chars().skip(range.start).take(range.len()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::conversation::Protocol;

    #[test]
    fn every_piece_comes_once_whatever_the_items_say_of_their_places() {
        let item = |after, at| Hosted { of: Protocol::Messages, is: json!({"after": after, "at": at}), after, at };
        let items = [item(1, 0), item(1, 3), item(0, 2), item(9, 9)];
        let expected = [
            Stretch::Thoughts(0..1),
            Stretch::Item(&items[0]),
            Stretch::Text(0..3),
            Stretch::Item(&items[1]),
            Stretch::Item(&items[2]),
            Stretch::Thoughts(1..2),
            Stretch::Text(3..5),
            Stretch::Item(&items[3]),
        ];
        assert_eq!(course(&items, 2, 5), expected);
        assert_eq!(course([], 0, 5), [Stretch::Text(0..5)]);
        assert_eq!(course([], 0, 0), []);
    }
}
