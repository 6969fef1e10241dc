//! Files of JSON Lines, plain or gzipped, one bounded line at a time.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, ensure};
use flate2::bufread::MultiGzDecoder;

/// Bytes of one line at most.
const MAX_LINE: usize = 64 << 20;

/// Shows every line that is not empty to `take`, with its number from 1.
///
/// # Errors
/// `take`'s own, a file that is cut off or damaged, a line that is too long: each with file and line.
pub fn each(
    path: &Path,
    source: impl Read,
    mut take: impl FnMut(usize, &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut source = BufReader::new(source);
    let head = source.fill_buf().with_context(|| format!("{} cannot be read", path.display()))?;
    ensure!(
        !head.starts_with(b"PAR1"),
        "{} is Parquet, which is for others to read; give a file in .jsonl or .jsonl.gz",
        path.display()
    );
    let zipped = head.starts_with(&[0x1f, 0x8b]);
    let plain: Box<dyn Read + '_> = if zipped { Box::new(MultiGzDecoder::new(source)) } else { Box::new(source) };
    let mut lines = BufReader::new(plain);
    let mut line = Vec::new();
    for number in 1.. {
        let place = || format!("{}:{number}", path.display());
        line.clear();
        let read = (&mut lines).take(MAX_LINE as u64).read_until(b'\n', &mut line);
        let read = read.with_context(|| format!("{}: the file is cut off or damaged; fetch it again", place()))?;
        if read == 0 {
            break;
        }
        ensure!(read < MAX_LINE, "{}: more than {} MiB; split the file into lines", place(), MAX_LINE >> 20);
        if !line.trim_ascii().is_empty() {
            take(number, &line).with_context(place)?;
        }
    }
    Ok(())
}
