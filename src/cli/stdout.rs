//! Standard output, whose reader may leave before the end, as `head` does.

use std::fmt::Display;
use std::io::{self, ErrorKind, Stdout, Write};

/// Standard output for a report: where its reader has left, the rest goes nowhere, which is no failure.
pub fn stdout() -> Readable<Stdout> {
    Readable(io::stdout())
}

/// Prints a line about work that goes on whether or not it can be told of.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Takes all that is written, for as long as somebody reads it and beyond.
#[derive(Debug)]
pub struct Readable<W>(W);

impl<W: Write> Write for Readable<W> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.write(text).or_else(|error| unless_left(error, text.len()))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().or_else(|error| unless_left(error, ()))
    }
}

fn unless_left<T>(error: io::Error, done: T) -> io::Result<T> {
    if error.kind() == ErrorKind::BrokenPipe { Ok(done) } else { Err(error) }
}
