//! An assistant's turn in the order in which it came, for Claude's wire and Bedrock's: thoughts that stand elsewhere than
//! they did are refused.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Value;

use crate::api::conversation::{
    Fields, Hosted, Part, PartKind, Piece, Protocol, Reasoning, ToolCall, characters, pieces,
};

/// What a turn has.
pub struct Answered<'t> {
    pub parts: &'t [Part],
    pub reasoning: &'t [Reasoning],
    pub calls: &'t [ToolCall],
    pub hosted: &'t [Hosted],
}

/// A piece of it that is all of one kind.
pub enum Stretch<'t> {
    Thoughts(&'t [Reasoning]),
    Texts(Cow<'t, [Part]>),
    Call(&'t ToolCall),
    /// What was done with a tool that one protocol alone knows.
    Item(&'t Value),
}

impl<'t> Answered<'t> {
    /// For who has the protocol `of`, if any. Parts that are no text stand together, for the writer to refuse.
    pub fn in_order(self, of: Option<Protocol>) -> Vec<Stretch<'t>> {
        let Self { parts, reasoning, calls, hosted } = self;
        let Some(text) = parts.iter().map(Part::words).collect::<Option<String>>() else {
            return vec![Stretch::Texts(parts.into())];
        };
        let ids = calls.iter().map(|call| &*call.id).collect();
        let fields = Fields { thoughts: reasoning.len(), text: &text, pictures: 0, calls: ids };
        let all = text.chars().count();
        let stretch = |piece| match piece {
            Piece::Thoughts(these) => Some(Stretch::Thoughts(&reasoning[these])),
            Piece::Text(these) => Some(Stretch::Texts(within(parts, &these, all))),
            Piece::Call(i, _) => Some(Stretch::Call(&calls[i])),
            Piece::Item(is) => Some(Stretch::Item(is)),
            Piece::Message(_) | Piece::Picture(..) => None,
        };
        pieces(of, hosted, &fields).into_iter().filter_map(stretch).collect()
    }
}

/// These characters of the texts that `parts` are, which have so many in `all`. The marker of a part stands at its end.
fn within<'p>(parts: &'p [Part], these: &Range<usize>, all: usize) -> Cow<'p, [Part]> {
    if these.len() == all {
        return parts.into();
    }
    let mut end = 0;
    let cut = parts.iter().filter_map(|part| {
        let text = part.words()?;
        let begin = end;
        end += text.chars().count();
        let (from, to) = (these.start.clamp(begin, end), these.end.clamp(begin, end));
        let kind = PartKind::Text(characters(text, &(from - begin..to - begin)));
        let cache = part.cache.clone().filter(|_| to == end);
        (from < to).then(|| Part { kind, cache, ..part.clone() })
    });
    cut.collect()
}
