//! A stream's chunks, taken down while they pass: all, as long as they fit; of a longer stream the newest.

use std::collections::VecDeque;

use bytes::Bytes;

use super::super::telling::Chunk;
use super::MAX_KEPT_ANSWER;
use crate::trace::kept::Pieces;

/// Chunks in their order, numbered from 0.
#[derive(Debug, Default)]
pub(super) struct Tape {
    chunks: VecDeque<Chunk>,
    /// Number of chunks before them that were dropped.
    gone: usize,
    /// Memory that the chunks take, bytes, to within some tens of bytes each.
    bytes: usize,
}

impl Tape {
    /// A copy: what the chunk came in may be a far larger buffer.
    pub(super) fn push(&mut self, chunk: &Chunk) {
        let chunk = Chunk { data: Bytes::copy_from_slice(&chunk.data), usage_only: chunk.usage_only };
        self.bytes += weight(&chunk);
        self.chunks.push_back(chunk);
    }

    /// Chunk `n`, if it is here.
    pub(super) fn get(&self, n: usize) -> Option<Chunk> {
        self.chunks.get(n.checked_sub(self.gone)?).cloned()
    }

    /// Whether chunk `n` was dropped.
    pub(super) fn has_lost(&self, n: usize) -> bool {
        n < self.gone
    }

    /// Whether there is more than the longest answer that is kept.
    pub(super) fn is_over_full(&self) -> bool {
        self.bytes > MAX_KEPT_ANSWER
    }

    /// Drops the oldest chunks until the rest fits, but never `needed` or one behind it, nor the newest.
    pub(super) fn shorten(&mut self, needed: usize) {
        while self.is_over_full() && self.chunks.len() > 1 && self.gone < needed {
            self.bytes -= self.chunks.pop_front().as_ref().map_or(0, weight);
            self.gone += 1;
        }
    }

    /// All of it, where nothing was dropped.
    pub(super) fn pieces(&self) -> Pieces {
        Pieces::of(self.chunks.iter().map(|chunk| (&chunk.data[..], chunk.usage_only)))
    }
}

fn weight(chunk: &Chunk) -> usize {
    size_of::<Chunk>() + chunk.data.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tape(chunks: usize, length: usize) -> Tape {
        let mut tape = Tape::default();
        (0..chunks).for_each(|_| tape.push(&Chunk { data: vec![b'x'; length].into(), usage_only: false }));
        tape
    }

    #[test]
    fn many_small_chunks_weigh_more_than_their_text() {
        assert!(!tape(MAX_KEPT_ANSWER / 64, 2).is_over_full());
        assert!(tape(MAX_KEPT_ANSWER / 32, 2).is_over_full());
    }

    #[test]
    fn the_oldest_go_but_for_what_is_needed_and_the_newest() {
        let mut tape = tape(5, MAX_KEPT_ANSWER / 2);
        tape.shorten(2);
        assert!(tape.has_lost(1) && !tape.has_lost(2) && tape.get(1).is_none() && tape.get(2).is_some());
        assert!(tape.is_over_full());
        tape.shorten(usize::MAX);
        assert!(tape.has_lost(3) && tape.get(4).is_some() && tape.get(5).is_none() && !tape.is_over_full());
        tape.push(&Chunk { data: vec![b'x'; 2 * MAX_KEPT_ANSWER].into(), usage_only: true });
        tape.shorten(usize::MAX);
        assert!(tape.has_lost(4) && tape.get(5).is_some_and(|chunk| chunk.usage_only));
    }
}
