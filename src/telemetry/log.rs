//! Where log lines go, and which.

use std::io::{self, IsTerminal, Write, stderr};
use std::sync::LazyLock;

use prometheus_client::metrics::counter::Counter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt, registry};

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Lines that could not be written; one count, as the process has one stderr.
static LOST: LazyLock<Counter> = LazyLock::new(Counter::default);

/// Sends log lines to stderr, in colour on a terminal that `NO_COLOR` does not forbid it; `RUST_LOG` filters them, `info`
/// without it. A line that cannot be written is counted and gone. Does nothing where tracing is already set up.
pub fn init_tracing(format: LogFormat) {
    let colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // It would tell of its own failures on stderr, and panic where that fails.
    let lines = fmt::layer().with_writer(|| Lossy(stderr())).with_ansi(colour).log_internal_errors(false);
    let lines = match format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let _already_set = registry().with(lines).with(filter).with(filter_fn(makes_no_lines_of_lines)).try_init();
}

/// What watches files never tells of each event, whatever `RUST_LOG` says: where the log is in a folder that is watched,
/// each line is one.
fn makes_no_lines_of_lines(asked: &Metadata<'_>) -> bool {
    let origin = asked.target().split("::").next().unwrap_or_default();
    *asked.level() <= Level::INFO || !["inotify", "notify", "mio"].contains(&origin)
}

/// The count of log lines that could not be written.
pub(super) fn lost() -> Counter {
    LOST.clone()
}

/// Takes every line: a log that is on a full disk, or that nobody reads any more, is no reason to stop.
struct Lossy<W>(W);

impl<W: Write> Write for Lossy<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.write_all(line).is_err() {
            LOST.inc();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Nothing is held back.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_cannot_be_written_is_counted_and_no_failure() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let before = lost().get();
        Lossy(writer).write_all(b"a line\n").unwrap();
        assert_eq!(lost().get() - before, 1);
    }
}
