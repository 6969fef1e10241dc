//! Calls of a stream while they are being named. Other protocols tell a tool's name at once and whole, and in a chat it may
//! come in pieces: a call begins once it is given something, once another one comes, or at the end.

use std::collections::BTreeSet;

use serde::de::Error as _;
use serde_json::Error;

use super::answer::Call;

/// The calls of one stream, each by its index in the chat.
#[derive(Debug, Default)]
pub struct Naming {
    begun: BTreeSet<usize>,
    /// The one that is named by now, and given nothing yet.
    named: Option<(usize, Call)>,
}

/// What a piece of a call comes to.
#[derive(Debug, PartialEq)]
pub enum Told {
    /// A call begins: it has its name, and is given nothing yet.
    Begins(usize, Call),
    /// What the tool is given goes on.
    Given(usize, String),
}

impl Naming {
    /// The next piece, which stands at `place` among those of its chunk.
    ///
    /// # Errors
    /// It is part of no call: what it holds would be lost.
    pub fn hear(&mut self, place: usize, piece: Call) -> Result<Vec<Told>, Error> {
        let index = piece.index.unwrap_or(place);
        let another = self.named.as_ref().is_some_and(|(named, _)| *named != index);
        let mut told: Vec<Told> = if another { self.begin() } else { None }.into_iter().collect();
        let given = piece.text().to_owned();
        if !self.begun.contains(&index) {
            self.name(index, piece)?;
            if !given.is_empty() {
                told.extend(self.begin());
            }
        }
        if !given.is_empty() && self.begun.contains(&index) {
            told.push(Told::Given(index, given));
        }
        Ok(told)
    }

    /// The call that is being named, which begins now: there is no more of it.
    pub fn end(&mut self) -> Option<(usize, Call)> {
        let (index, call) = self.named.take()?;
        self.begun.insert(index);
        Some((index, call))
    }

    fn begin(&mut self) -> Option<Told> {
        self.end().map(|(index, call)| Told::Begins(index, call))
    }

    fn name(&mut self, index: usize, mut piece: Call) -> Result<(), Error> {
        match &mut self.named {
            Some((_, call)) => call.add_name(&piece),
            None if piece.name().is_some() => {
                piece.text_mut().clear();
                self.named = Some((index, piece));
            }
            None => stray(piece.text())?,
        }
        Ok(())
    }
}

/// What is given to no call, or to one that has ended.
///
/// # Errors
/// It is more than white space: it would be lost.
pub fn stray(given: &str) -> Result<(), Error> {
    match given.trim() {
        "" => Ok(()),
        _ => Err(Error::custom("a piece of a tool call belongs to none that is under way")),
    }
}
