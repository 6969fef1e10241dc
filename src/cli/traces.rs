//! Files of traces that `export` wrote.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

use super::lines;
use crate::trace::TraceId;
use crate::trace::line::TraceLine;

/// Reads files of traces, one line at a time; `take` also hears which of the files it is from.
///
/// # Errors
/// `take`'s own; a line that is no trace, a trace that is there twice, a file without any: each with file and line.
pub fn each(paths: &[PathBuf], mut take: impl FnMut(usize, TraceLine) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut seen: HashMap<TraceId, (usize, usize)> = HashMap::new();
    for (file, path) in paths.iter().enumerate() {
        let before = seen.len();
        let source = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        lines::each(path, source, |number, line| {
            let line = TraceLine::parse(line).map_err(anyhow::Error::msg)?;
            if let Some((file, number)) = seen.insert(line.trace, (file, number)) {
                bail!(twice(&line, &paths[file], number));
            }
            take(file, line)
        })?;
        ensure!(seen.len() > before, "{}: holds no trace; give a file that `satisfice export` wrote", path.display());
    }
    Ok(())
}

fn twice(line: &TraceLine, path: &Path, number: usize) -> String {
    let place = format!("{}:{number}", path.display());
    format!("trace {} is also in {place}; give each request once, from one export of the whole time", line.trace)
}
