//! A stream's chunks, taken down while they pass.

use bytes::Bytes;

use super::{MAX_KEPT_ANSWER, Ticket};
use crate::trace::Trace;
use crate::trace::kept::{Form, Pieces};

/// The answer that goes to a [`Ticket`], as far as it has come.
#[derive(Debug)]
pub(in crate::gateway) struct Tape {
    ticket: Option<Ticket>,
    chunks: Vec<(Bytes, bool)>,
    bytes: usize,
}

impl Tape {
    pub(in crate::gateway) fn new(ticket: Option<Ticket>) -> Self {
        Self { ticket, chunks: vec![], bytes: 0 }
    }

    /// One more chunk. From where the answer is too long on, nobody waits for it.
    pub(in crate::gateway) fn take(&mut self, chunk: &Bytes, usage_only: bool) {
        if self.ticket.is_none() {
            return;
        }
        self.bytes += chunk.len();
        self.chunks.push((chunk.clone(), usage_only));
        if self.bytes > MAX_KEPT_ANSWER {
            self.chunks = vec![];
            self.ticket.take().into_iter().for_each(Ticket::part);
        }
    }

    /// That was all of it, by `at_ms`.
    pub(in crate::gateway) fn keep(&mut self, trace: &Trace, at_ms: u64) {
        if let Some(ticket) = self.ticket.take() {
            let chunks = self.chunks.iter().map(|(chunk, usage_only)| (&chunk[..], *usage_only));
            ticket.keep(Form::Streamed(Pieces::of(chunks)), trace, at_ms);
            self.chunks = vec![];
        }
    }
}
