//! Buffers for what comes in pieces, up to a bound: they hold little more than the bound at any moment, and give up what
//! a long part took.

use bytes::{Bytes, BytesMut};

/// More than a connection gives at once, bytes. A longer buffer gets all the room that it may need, and gives it up when
/// that is taken.
const PIECE: usize = 128 << 10;

/// Adds `piece` to a buffer that is to hold at most `limit` bytes and the piece that goes beyond them.
///
/// A buffer that grows is copied, and what it was in before stays with the allocator for a while: doubled step by step, a
/// long one would take three times its length. Room takes no memory before it is written to.
pub fn extend(buffer: &mut BytesMut, piece: &[u8], limit: usize) {
    let needed = buffer.len() + piece.len();
    if needed > buffer.capacity() && needed > PIECE {
        buffer.reserve((limit + PIECE).max(needed) - buffer.len());
    }
    buffer.extend_from_slice(piece);
}

/// Lets go of the memory that a taken part of `taken` bytes was in, if that is much; what is left of the buffer moves out.
pub fn release(buffer: &mut BytesMut, taken: usize) {
    if taken > PIECE {
        *buffer = BytesMut::from(&buffer[..]);
    }
}

/// The pieces of a whole, put together: without a copy where there is one. A piece that is held as it came may hold the
/// buffer that it was read into, many times its length.
#[derive(Debug)]
pub struct Gathered {
    first: Bytes,
    all: BytesMut,
    limit: usize,
}

/// The whole is longer than its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

impl Gathered {
    /// Nothing yet, and never more than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { first: Bytes::new(), all: BytesMut::new(), limit }
    }

    /// Adds the next piece.
    ///
    /// # Errors
    /// It goes beyond the bound.
    pub fn push(&mut self, piece: Bytes) -> Result<(), TooLong> {
        if self.first.len() + self.all.len() + piece.len() > self.limit {
            return Err(TooLong);
        }
        if self.first.is_empty() && self.all.is_empty() {
            self.first = piece;
        } else {
            extend(&mut self.all, &std::mem::take(&mut self.first), self.limit);
            extend(&mut self.all, &piece, self.limit);
        }
        Ok(())
    }

    /// The whole.
    pub fn into_bytes(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_fills_to_its_limit_is_moved_while_it_is_short_and_not_again() {
        let (limit, mut buffer) = (8 << 20, BytesMut::new());
        let mut moved_at = 0;
        while buffer.len() <= limit {
            let (place, length) = (buffer.as_ptr(), buffer.len());
            extend(&mut buffer, &[b'x'; 5000], limit);
            moved_at = if buffer.as_ptr() == place { moved_at } else { length };
        }
        assert!((1..2 * PIECE).contains(&moved_at), "{moved_at}");
        extend(&mut buffer, b"y", limit);
        assert_eq!((buffer.len(), buffer.last()), ((limit / 5000 + 1) * 5000 + 1, Some(&b'y')));
    }

    #[test]
    fn what_is_left_of_a_buffer_does_not_hold_on_to_what_was_taken() {
        let mut buffer = BytesMut::from(&[b'x'; 2 * PIECE][..]);
        let taken = buffer.split_to(2 * PIECE - 1);
        release(&mut buffer, taken.len());
        assert!(buffer.as_ptr() != taken.as_ptr_range().end && buffer.capacity() < PIECE && buffer[..] == b"x"[..]);
    }

    #[test]
    fn one_piece_stays_where_it_is_and_more_are_copied_up_to_the_bound() {
        let piece = Bytes::from(vec![b'x'; 9]);
        let mut gathered = Gathered::new(12);
        gathered.push(piece.clone()).unwrap();
        assert_eq!(gathered.into_bytes().as_ptr(), piece.as_ptr());
        let mut gathered = Gathered::new(12);
        for piece in ["", "ab", "", "c", "defghijkl"] {
            gathered.push(Bytes::from(piece)).unwrap();
        }
        assert_eq!(gathered.push(Bytes::from("m")), Err(TooLong));
        assert_eq!(gathered.into_bytes(), "abcdefghijkl");
    }
}
