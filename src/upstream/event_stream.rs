//! Amazon's event streams: how bytes are cut into events, wherever they are cut themselves.
//!
//! A frame is: its length and that of its headers (u32 each, big-endian), a CRC-32 of both, the headers, the payload,
//! and a CRC-32 of all before. `aws-smithy-eventstream` reads a whole frame and checks both sums; here frames are found
//! and bounded.

use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::event_stream::Message;
use bytes::{Bytes, BytesMut};

use super::{NoAnswer, WireEvent};
use crate::api::room;

/// Two lengths and their sum, and the sum at the end: no frame is shorter.
const LEAST: usize = 16;

/// Bytes in any cut → one event after another.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    limit: usize,
}

impl Decoder {
    /// A decoder for frames of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), limit }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        room::extend(&mut self.buffer, piece, self.limit);
    }

    /// The next event that is complete.
    ///
    /// # Errors
    /// The bytes are no frame, a sum does not hold, a frame is longer than the bound, or the frame is an exception: then
    /// its name and its words.
    pub fn next_event(&mut self) -> Result<Option<WireEvent>, NoAnswer> {
        let Some(length) = self.buffer.first_chunk().map(|length| u32::from_be_bytes(*length) as usize) else {
            return Ok(None);
        };
        if length < LEAST {
            return Err(format!("a frame of {length} bytes; the shortest has {LEAST}").into());
        }
        if length > self.limit {
            return Err(NoAnswer::TooLong(format!("a frame of {length} bytes; {} are taken at most", self.limit)));
        }
        if self.buffer.len() < length {
            return Ok(None);
        }
        let frame: Bytes = self.buffer.split_to(length).freeze();
        room::release(&mut self.buffer, length);
        let message = read_message_from(frame).map_err(|e| format!("no frame of an event stream: {e}"))?;
        event(&message).map(Some)
    }
}

fn event(message: &Message) -> Result<WireEvent, NoAnswer> {
    match header(message, ":message-type") {
        Some("exception") => {
            let body: serde_json::Value = serde_json::from_slice(message.payload()).unwrap_or_default();
            let words = body["message"].as_str().or(body["Message"].as_str()).unwrap_or("no message");
            Err(NoAnswer::of_kind(header(message, ":exception-type").unwrap_or("an exception"), words))
        }
        Some("error") => {
            let part = |name| header(message, name).unwrap_or("?");
            Err(NoAnswer::of_kind(part(":error-code"), part(":error-message")))
        }
        _ => Ok(WireEvent { name: header(message, ":event-type").map(str::to_owned), data: message.payload().clone() }),
    }
}

fn header<'m>(message: &'m Message, name: &str) -> Option<&'m str> {
    let header = message.headers().iter().find(|header| header.name().as_str() == name)?;
    header.value().as_string().ok().map(|value| value.as_str())
}
