//! Server-sent events: how a stream is cut into events, wherever its chunks are cut.
//!
//! The format is that of the WHATWG HTML standard, section 9.2.6. Of its fields only `data` is kept, and of `event` whether
//! it is `error`: the wires that the gateway speaks repeat any other name in the data, and need no `id` or `retry`.

use bytes::{BufMut, Bytes, BytesMut};
use memchr::{memchr, memchr2};

use super::room;

/// The longest event, bytes, as the longest whole answer: a picture comes in one.
pub const MAX_EVENT_BYTES: usize = 32 << 20;

/// An event, its lines and those between them, went over the decoder's bound. The stream cannot be read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a server-sent event is longer than {limit} bytes")]
pub struct EventTooLong {
    pub limit: usize,
}

/// A chunk that a client's protocol cannot tell any further.
#[derive(Debug)]
pub struct Untold {
    /// The framed events of what came before in it.
    pub told: Vec<u8>,
    pub problem: serde_json::Error,
}

/// Bytes in any cut → the data of one event after another.
///
/// What comes out depends only on the bytes that went in, not on how they were cut. An event that the end of the
/// stream leaves unfinished is dropped, as the standard asks.
#[derive(Debug)]
pub struct Decoder {
    /// Bytes of the lines that are not taken yet.
    buffer: BytesMut,
    /// So many bytes of `buffer` are known to hold no line end.
    scanned: usize,
    /// The last line ended in CR: a LF that comes next belongs to that line's end.
    after_cr: bool,
    at_start: bool,
    /// The data lines of the event so far.
    data: Option<BytesMut>,
    /// The event so far is named `error`.
    names_error: bool,
    /// The last one that was complete is.
    was_error: bool,
    limit: usize,
}

impl Decoder {
    /// A decoder for events of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            scanned: 0,
            after_cr: false,
            at_start: true,
            data: None,
            names_error: false,
            was_error: false,
            limit,
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, chunk: &[u8]) {
        room::extend(&mut self.buffer, chunk, self.limit);
    }

    /// The data of the next event that is complete, its lines joined by LF.
    ///
    /// # Errors
    /// [`EventTooLong`]; then every further call gives it again.
    pub fn next_event(&mut self) -> Result<Option<Bytes>, EventTooLong> {
        while let Some(mut line) = self.next_line()? {
            let (name, value) = field(&line);
            match &line[..name] {
                b"" if line.is_empty() => {
                    self.was_error = std::mem::take(&mut self.names_error);
                    if let Some(data) = self.data.take() {
                        return Ok(Some(data.freeze()));
                    }
                }
                b"data" => self.add(line.split_off(value)),
                b"event" => self.names_error = &line[value..] == b"error",
                _ => {}
            }
        }
        Ok(None)
    }

    /// Whether the last event that came out is named `error`.
    pub fn was_error(&self) -> bool {
        self.was_error
    }

    fn add(&mut self, value: BytesMut) {
        match &mut self.data {
            None => self.data = Some(value),
            Some(data) => {
                room::extend(data, b"\n", self.limit);
                room::extend(data, &value, self.limit);
            }
        }
    }

    fn next_line(&mut self) -> Result<Option<BytesMut>, EventTooLong> {
        if !self.skip_prefix() {
            return Ok(None);
        }
        let Some(found) = memchr2(b'\n', b'\r', &self.buffer[self.scanned..]) else {
            self.scanned = self.buffer.len();
            return self.within(self.scanned).map(|()| None);
        };
        let length = self.scanned + found;
        self.within(length)?;
        let line = self.buffer.split_to(length);
        self.after_cr = self.buffer.split_to(1)[0] == b'\r';
        self.scanned = 0;
        room::release(&mut self.buffer, length);
        Ok(Some(line))
    }

    /// Drops the LF of a CRLF and the byte order mark. False: more bytes are needed to tell.
    fn skip_prefix(&mut self) -> bool {
        const BOM: &[u8] = b"\xEF\xBB\xBF";
        if self.after_cr && !self.buffer.is_empty() {
            self.after_cr = false;
            if self.buffer[0] == b'\n' {
                let _ = self.buffer.split_to(1);
            }
        }
        if self.at_start {
            if self.buffer.len() < BOM.len() && BOM.starts_with(&self.buffer) {
                return false;
            }
            self.at_start = false;
            if self.buffer.starts_with(BOM) {
                let _ = self.buffer.split_to(BOM.len());
            }
        }
        true
    }

    /// Whether a line of `length` bytes still fits behind the event so far.
    fn within(&self, length: usize) -> Result<(), EventTooLong> {
        let data = self.data.as_ref().map_or(0, BytesMut::len);
        if data + length > self.limit { Err(EventTooLong { limit: self.limit }) } else { Ok(()) }
    }
}

/// Where a line's name ends, which comments have none of, and where its value begins.
fn field(line: &[u8]) -> (usize, usize) {
    let name = memchr(b':', line).unwrap_or(line.len());
    let colon = usize::from(line.len() > name);
    let space = usize::from(line.get(name + 1) == Some(&b' '));
    (name, name + colon + space)
}

/// One event: its name, where it has one, `data: …` and a blank line; a line end within the data starts another
/// `data:` line, as the format asks.
pub fn event(name: Option<&str>, data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(data.len() + name.map_or(0, str::len) + 16);
    if let Some(name) = name {
        out.put_slice(b"event: ");
        out.put_slice(name.as_bytes());
        out.put_u8(b'\n');
    }
    for line in data.split(|byte| matches!(byte, b'\n' | b'\r')) {
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
        assert_eq!(event(None, b"{}"), "data: {}\n\n");
        assert_eq!(event(Some("end"), b"{\n}"), "event: end\ndata: {\ndata: }\n\n");
    }
}
