//! Files of JSON Lines, plain or gzipped, one bounded line at a time.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, ensure};
use flate2::bufread::MultiGzDecoder;

/// What some editors put before UTF-8.
const BOM: &[u8] = b"\xEF\xBB\xBF";
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
        let text = if number == 1 { line.strip_prefix(BOM).unwrap_or(&line) } else { &line };
        if !text.trim_ascii().is_empty() {
            take(number, text).with_context(place)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn read(bytes: &[u8]) -> Vec<(usize, String)> {
        let mut lines = Vec::new();
        each(Path::new("x.jsonl"), bytes, |number, line| {
            lines.push((number, String::from_utf8_lossy(line).trim().to_owned()));
            Ok(())
        })
        .unwrap();
        lines
    }

    #[test]
    fn a_byte_order_mark_before_the_first_line_is_none_of_it() {
        let marked = "\u{feff}{\"a\":1}\n\n\u{feff}{}\n".as_bytes();
        let wanted = [(1, "{\"a\":1}".to_owned()), (3, "\u{feff}{}".to_owned())];
        assert_eq!(read(marked), wanted);
        let mut zip = GzEncoder::new(Vec::new(), Compression::default());
        zip.write_all(marked).unwrap();
        assert_eq!(read(&zip.finish().unwrap()), wanted);
        assert_eq!(read("\u{feff}\n".as_bytes()), []);
    }
}
