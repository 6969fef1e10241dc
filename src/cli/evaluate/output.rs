//! Where a report goes: a table or JSON on standard output, and files, each written whole or not at all.

use std::path::Path;

use anyhow::Context as _;

use super::{svg, table};
use crate::cli::output::{Readers, write_whole};
use crate::evaluate::report::Report;

/// Writes a report: files first, so that what cannot be written is heard of before the table is read.
pub fn write(report: &Report, json: Option<&Path>, plots: Option<&Path>) -> anyhow::Result<()> {
    if let Some(folder) = plots {
        std::fs::create_dir_all(folder).with_context(|| format!("--svg {} cannot be made", folder.display()))?;
        for (name, plot) in svg::plots(report)? {
            file(&folder.join(name), plot.as_bytes())?;
        }
    }
    write_json(report, json, &table::text(report))
}

/// Writes a report as JSON, to a file beside its text on standard output or, as `-`, in place of it.
pub fn write_json(report: &impl serde::Serialize, json: Option<&Path>, text: &str) -> anyhow::Result<()> {
    match json {
        Some(path) if path == Path::new("-") => println!("{}", serde_json::to_string_pretty(report)?),
        Some(path) => {
            file(path, format!("{}\n", serde_json::to_string_pretty(report)?).as_bytes())?;
            print!("{text}");
        }
        None => print!("{text}"),
    }
    Ok(())
}

/// Whether a file may be replaced was asked before the work began.
pub fn file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_whole(path, Readers::Everyone, true, bytes)
}
