//! Small writes in several pieces, as the head of a message and its body are, made in one.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};

/// Bytes that cost less to copy than to write from where they are: the system looks at each piece of a write in several.
const SMALL: usize = 2 << 10;

/// All of `pieces` in one, in `room`, if they are small.
fn gathered<'r>(pieces: &[IoSlice<'_>], room: &'r mut [u8; SMALL]) -> Option<&'r [u8]> {
    let length = pieces.iter().map(|piece| piece.len()).sum();
    let mut rest = room.get_mut(..length)?;
    for piece in pieces {
        let (place, behind) = rest.split_at_mut(piece.len());
        place.copy_from_slice(piece);
        rest = behind;
    }
    Some(&room[..length])
}

/// A connection that writes so.
#[derive(Debug)]
pub struct Gathering<T>(pub T);

impl<T: Read + Unpin> Read for Gathering<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<T: Write + Unpin> Write for Gathering<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match gathered(bufs, &mut [0; SMALL]) {
            Some(all) => Pin::new(&mut self.0).poll_write(cx, all),
            None => Pin::new(&mut self.0).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_one_where_they_are_small_and_stay_in_their_order() {
        let whole: Vec<u8> = (0..=SMALL).map(|i| (i % 251) as u8).collect();
        for (length, cuts) in [(0, [0, 0]), (1, [0, 1]), (300, [17, 17]), (SMALL, [9, 1000])] {
            let (head, rest) = whole[..length].split_at(cuts[0]);
            let (body, end) = rest.split_at(cuts[1] - cuts[0]);
            let pieces = [head, body, end].map(IoSlice::new);
            assert_eq!(gathered(&pieces, &mut [0; SMALL]), Some(&whole[..length]), "{length}");
        }
        assert_eq!(gathered(&[IoSlice::new(&whole[..SMALL]), IoSlice::new(b"1")], &mut [0; SMALL]), None);
    }

    /// How it is written to: in one piece, or in how many.
    #[derive(Default)]
    struct Told(Vec<usize>);

    impl Write for Told {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.0.push(1);
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.0.push(bufs.len());
            Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_small_write_goes_out_in_one_piece_and_a_large_one_as_it_is() {
        let (mut connection, mut cx) = (Gathering(Told::default()), Context::from_waker(std::task::Waker::noop()));
        for length in [10, SMALL] {
            let body = vec![b'x'; length];
            let pieces = [&b"head"[..], &body].map(IoSlice::new);
            let written = Pin::new(&mut connection).poll_write_vectored(&mut cx, &pieces);
            assert!(matches!(written, Poll::Ready(Ok(n)) if n == 4 + length));
        }
        assert_eq!(connection.0.0, [1, 2]);
    }
}
