//! The file of an export: lines of JSON, plain or compressed, or a Parquet table, by its extension; written whole or not
//! at all.

use std::io::{BufWriter, IntoInnerError, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::NamedTempFile;

use super::parquet::Rows;
use crate::cli::output::{Readers, beside, place};
use crate::trace::line::TraceLine;

/// A temporary file beside the one asked for, whose name it takes at the end. Only its owner can read it: it holds what
/// people asked.
pub struct Output {
    path: PathBuf,
    force: bool,
    form: Form,
}

enum Form {
    Plain(BufWriter<NamedTempFile>),
    Zipped(GzEncoder<BufWriter<NamedTempFile>>),
    Parquet(Box<Rows<BufWriter<NamedTempFile>>>),
}

impl Output {
    /// Plain for `.jsonl`, compressed for `.jsonl.gz`, a table for `.parquet`.
    ///
    /// # Errors
    /// Another extension; a file that is there, unless `force`; a folder that cannot be written.
    pub fn create(path: &Path, force: bool) -> anyhow::Result<Self> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let file = || beside(path, Readers::Owner, force).map(BufWriter::new);
        let form = match name {
            name if name.ends_with(".jsonl") => Form::Plain(file()?),
            name if name.ends_with(".jsonl.gz") => Form::Zipped(GzEncoder::new(file()?, Compression::fast())),
            name if name.ends_with(".parquet") => Form::Parquet(Box::new(Rows::new(file()?)?)),
            _ => bail!("{}: give a name in .jsonl, .jsonl.gz or .parquet", path.display()),
        };
        Ok(Self { path: path.to_owned(), force, form })
    }

    /// Adds a request.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn line(&mut self, line: &TraceLine) -> anyhow::Result<()> {
        let written = match &mut self.form {
            Form::Plain(file) => json(file, line),
            Form::Zipped(file) => json(file, line),
            Form::Parquet(rows) => rows.add(line),
        };
        written.with_context(|| format!("{} cannot be written", self.path.display()))
    }

    /// Puts the file in its place, durably.
    ///
    /// # Errors
    /// It cannot be written, or another file has come in its place meanwhile.
    pub fn finish(self) -> anyhow::Result<()> {
        let buffered = match self.form {
            Form::Plain(file) => Ok(file),
            Form::Zipped(file) => file.finish(),
            Form::Parquet(rows) => rows.finish().map_err(std::io::Error::other),
        };
        let file = buffered.and_then(|file| file.into_inner().map_err(IntoInnerError::into_error));
        place(file, &self.path, self.force)
    }
}

fn json(writer: &mut impl Write, line: &TraceLine) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *writer, line)?;
    Ok(writer.write_all(b"\n")?)
}
