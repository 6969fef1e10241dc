//! Server-sent events come out the same wherever the stream is cut, and as they went in.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use satisfice::api::sse::{Decoder, EventTooLong, event};

fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limit: usize) -> (Vec<Bytes>, Option<EventTooLong>) {
    let mut decoder = Decoder::new(limit);
    let mut events = vec![];
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
    }
    (events, None)
}

fn texts(stream: &str) -> Vec<String> {
    let (events, error) = decode([stream.as_bytes()], 1000);
    assert_eq!(error, None);
    events.iter().map(|event| String::from_utf8_lossy(event).into_owned()).collect()
}

#[test]
fn reads_what_the_standard_allows() {
    assert_eq!(texts("data: a\n\ndata: b\n\n"), ["a", "b"]);
    assert_eq!(texts("data: a\r\n\r\ndata: b\r\rdata:c\n\n"), ["a", "b", "c"], "CRLF, CR, no space");
    assert_eq!(texts("data: a\ndata\ndata:  b\n\n"), ["a\n\n b"], "several lines; only one space is dropped");
    assert_eq!(texts("\u{feff}data: a\n\n"), ["a"], "byte order mark");
    assert_eq!(texts(": ping\n\nevent: x\nid: 1\ndata: a\nretry: 5\n\n"), ["a"], "comments and other fields");
    assert_eq!(texts("event: x\n\ndatabase: a\n\n data: a\n\n"), [""; 0], "no data");
    assert_eq!(texts("data: a\n\ndata: b\n"), ["a"], "the end drops what is unfinished");
}

#[test]
fn refuses_what_is_too_long_and_goes_on_refusing() {
    let limit = 10;
    let too_long = Err(EventTooLong { limit });
    for stream in [
        "data: 12345678901\n\n",
        "data: 123\ndata: 456\ndata: 789\n\ndata: a\n\n",
        ": 12345678901",
        "data: 12345",
        "data: 1234\n: 56789",
    ] {
        let mut decoder = Decoder::new(limit);
        decoder.push(stream.as_bytes());
        assert_eq!(decoder.next_event(), too_long, "{stream:?}");
        decoder.push(b"\n\ndata: a\n\n");
        assert_eq!(decoder.next_event(), too_long, "{stream:?}");
    }
}

/// Streams made of what matters to a decoder, more often than of anything else.
#[test]
fn an_event_that_is_named_error_says_so() {
    let mut decoder = Decoder::new(1000);
    decoder.push(
        b"event: error\ndata: a\n\ndata: b\n\nevent: error\n\nevent:error\r\ndata: c\r\n\r\nevent: errors\ndata: d\n\n",
    );
    let named: Vec<bool> = std::iter::from_fn(|| decoder.next_event().unwrap().map(|_| decoder.was_error())).collect();
    assert_eq!(named, [true, false, true, false]);
}

fn streams() -> impl Strategy<Value = Vec<u8>> {
    const PARTS: [&str; 13] =
        ["data: x", "data:", "data", ":", " ", "\n", "\r", "\r\n", "\n\n", "event: e", "{\"a\":1}", "é", "\u{feff}"];
    proptest::collection::vec(proptest::sample::select(&PARTS[..]), 0..40).prop_map(|parts| parts.concat().into_bytes())
}

proptest! {
    #[test]
    fn the_cut_does_not_matter(stream in streams(), cuts in proptest::collection::vec(1usize..9, 0..40), limit in 1usize..60) {
        let mut rest = &stream[..];
        let mut pieces = vec![];
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        prop_assert_eq!(decode(pieces, limit), decode([&stream[..]], limit));
        prop_assert_eq!(decode(stream.chunks(1), limit), decode([&stream[..]], limit));
    }

    #[test]
    fn what_is_encoded_is_decoded(data in proptest::collection::vec("[^\r]{0,30}", 0..8)) {
        let mut stream = BytesMut::new();
        data.iter().for_each(|data| stream.extend_from_slice(&event(None, data.as_bytes())));
        let (events, error) = decode([&stream[..]], 1000);
        prop_assert_eq!(error, None);
        prop_assert_eq!(events, data.into_iter().map(Bytes::from).collect::<Vec<_>>());
    }
}
