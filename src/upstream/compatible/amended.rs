//! Streams of OpenAI's wire that pass through, except for single chunks.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::upstream::{Events, NoAnswer, StreamItem, WireEvent};

/// A stream whose chunks are made OpenAI's before they are read.
pub(in crate::upstream) struct Amended {
    amend: fn(Bytes) -> Bytes,
    inner: Box<dyn Events>,
}

impl Amended {
    /// `amend` gets the data of each event, and leaves as it is what needs nothing.
    pub(in crate::upstream) fn events(amend: fn(Bytes) -> Bytes, inner: Box<dyn Events>) -> Box<dyn Events> {
        Box::new(Self { amend, inner })
    }
}

impl Events for Amended {
    fn event(&mut self, event: WireEvent, out: &mut VecDeque<StreamItem>) -> Result<(), NoAnswer> {
        self.inner.event(WireEvent { data: (self.amend)(event.data), ..event }, out)
    }

    fn end(&mut self, out: &mut VecDeque<StreamItem>) {
        self.inner.end(out);
    }
}
