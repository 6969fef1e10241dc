//! Bytes of a stream, in any cut → its events, by the wire's framing.

use super::super::event_stream;
use super::super::{Framing, NoAnswer, WireEvent};
use crate::api::sse::{self, MAX_EVENT_BYTES};

/// The decoder of a wire's framing. What comes out does not depend on how the bytes were cut.
pub enum Frames {
    ServerSentEvents(sse::Decoder),
    AwsEventStream(event_stream::Decoder),
}

impl Frames {
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::ServerSentEvents => Self::ServerSentEvents(sse::Decoder::new(MAX_EVENT_BYTES)),
            Framing::AwsEventStream => Self::AwsEventStream(event_stream::Decoder::new(MAX_EVENT_BYTES)),
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        match self {
            Self::ServerSentEvents(decoder) => decoder.push(piece),
            Self::AwsEventStream(decoder) => decoder.push(piece),
        }
    }

    /// The next event that is complete.
    ///
    /// # Errors
    /// The bytes are not of this framing, or an event is longer than its bound.
    pub fn next_event(&mut self) -> Result<Option<WireEvent>, NoAnswer> {
        match self {
            Self::ServerSentEvents(decoder) => {
                let data = decoder.next_event().map_err(|error| NoAnswer::TooLong(error.to_string()))?;
                let name = || decoder.was_error().then(|| "error".to_owned());
                Ok(data.map(|data| WireEvent { name: name(), data }))
            }
            Self::AwsEventStream(decoder) => decoder.next_event(),
        }
    }
}
