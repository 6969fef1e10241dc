//! An answer as server-sent events: each piece leaves as soon as it is here.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use http_body::Frame;

use super::error;
use crate::gateway::AnswerStream;

/// The body of a streamed answer. Dropping it before its end cancels the upstream call.
pub(super) struct SseBody {
    pub(super) answer: Box<AnswerStream>,
}

impl http_body::Body for SseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.answer.poll_next_unpin(cx).map(|item| {
            item.map(|piece| Ok(Frame::data(piece.map_or_else(|cut| event(&error::cut(&cut)), |data| event(&data)))))
        })
    }
}

/// `data: …` and a blank line; a line break within the data starts another `data:` line, as the format asks.
fn event(data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(data.len() + 8);
    for line in data.split(|byte| *byte == b'\n') {
        out.put_slice(b"data: ");
        out.put_slice(line);
        out.put_u8(b'\n');
    }
    out.put_u8(b'\n');
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::event;

    #[test]
    fn data_is_framed_line_by_line() {
        assert_eq!(event(b"{}"), "data: {}\n\n");
        assert_eq!(event(b"{\n}"), "data: {\ndata: }\n\n");
    }
}
