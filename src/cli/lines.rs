//! Files of one JSON object a line, zipped or not, within bounds.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, ensure};
use flate2::read::MultiGzDecoder;

/// Bytes of one line at most.
const MAX_LINE: usize = 64 << 20;

/// Shows each line that is not blank to `take`, with its number, until one is refused.
///
/// # Errors
/// `take`'s own or the reading's, behind `FILE:LINE`.
pub fn each(path: &Path, bytes: &[u8], take: &mut dyn FnMut(usize, &[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let zipped = bytes.starts_with(&[0x1f, 0x8b]);
    let plain: Box<dyn Read> = if zipped { Box::new(MultiGzDecoder::new(bytes)) } else { Box::new(bytes) };
    let (mut lines, mut line) = (BufReader::new(plain), Vec::new());
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
