//! Buffers for what comes in pieces, up to a bound: they hold little more than the bound at any moment, and give up what
//! a long part took.

use bytes::BytesMut;

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
}
