//! In which order an answer had its thoughts, its text, and what was done with tools that one protocol alone knows: a chat
//! has each by itself.

use std::ops::Range;

use serde_json::Value;

use super::hosted::{Hosted, Protocol};

/// A piece of an answer that is all of one kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Stretch<'h> {
    /// These of its `thinking_blocks`; at least one.
    Thoughts(Range<usize>),
    /// These characters of its text; at least one.
    Text(Range<usize>),
    /// What was done with a tool.
    Item(&'h Value),
}

/// An answer of so many `thoughts` and `characters`, with what of `items` is of the protocol `of`: all of it, each piece
/// once. Of what came between two items, the thoughts come first, but for a message that had begun.
pub fn course(of: Protocol, items: &[Hosted], thoughts: usize, characters: usize) -> Vec<Stretch<'_>> {
    let own = items.iter().filter(|item| item.of == of);
    let stops = own.map(|item| (item.after, item.at, Some(&item.is))).chain([(thoughts, characters, None)]);
    let (mut thought, mut said, mut speaks) = (0, 0, false);
    let mut course = vec![];
    for (after, at, item) in stops {
        let (after, at) = (after.clamp(thought, thoughts), at.clamp(said, characters));
        let thoughts = (after > thought).then_some(Stretch::Thoughts(thought..after));
        let text = (at > said).then_some(Stretch::Text(said..at));
        let between = if speaks { [text, thoughts] } else { [thoughts, text] };
        course.extend(between.into_iter().flatten().chain(item.map(Stretch::Item)));
        speaks = item.is_some_and(|item| item["type"] == "message");
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

    #[test]
    fn every_piece_comes_once_whatever_the_items_say_of_their_places() {
        let item = |of, after, at| Hosted { of, is: json!({"after": after, "at": at}), after, at };
        let own = |after, at| item(Protocol::Messages, after, at);
        let items = [own(1, 0), own(1, 3), item(Protocol::Responses, 2, 4), own(0, 2), own(9, 9)];
        let expected = [
            Stretch::Thoughts(0..1),
            Stretch::Item(&items[0].is),
            Stretch::Text(0..3),
            Stretch::Item(&items[1].is),
            Stretch::Item(&items[3].is),
            Stretch::Thoughts(1..2),
            Stretch::Text(3..5),
            Stretch::Item(&items[4].is),
        ];
        assert_eq!(course(Protocol::Messages, &items, 2, 5), expected);
        assert_eq!(course(Protocol::Messages, &[], 0, 5), [Stretch::Text(0..5)]);
        assert_eq!(course(Protocol::Messages, &[], 0, 0), []);
    }
}
