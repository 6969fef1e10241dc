//! A file of lines that is written whole or not at all.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use tempfile::NamedTempFile;

/// A temporary file beside the one asked for, whose name it takes at the end. Only its owner can read it: it holds what
/// people asked.
pub struct Output {
    path: PathBuf,
    force: bool,
    lines: Lines,
}

enum Lines {
    Plain(BufWriter<NamedTempFile>),
    Zipped(GzEncoder<BufWriter<NamedTempFile>>),
}

impl Output {
    /// Plain for `.jsonl`, compressed for `.jsonl.gz`.
    ///
    /// # Errors
    /// Another extension; a file that is there, unless `force`; a folder that cannot be written.
    pub fn create(path: &Path, force: bool) -> anyhow::Result<Self> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let zipped = name.ends_with(".jsonl.gz");
        if name.ends_with(".parquet") {
            bail!("{}: .parquet is not written; .jsonl.gz is, and DuckDB, Polars and pandas read it", path.display());
        }
        ensure!(zipped || name.ends_with(".jsonl"), "{}: give a name in .jsonl or .jsonl.gz", path.display());
        let file = beside(path, Readers::Owner, force)?;
        let plain = BufWriter::new(file);
        let lines =
            if zipped { Lines::Zipped(GzEncoder::new(plain, Compression::fast())) } else { Lines::Plain(plain) };
        Ok(Self { path: path.to_owned(), force, lines })
    }

    /// Adds a line of JSON.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn line(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        let writer: &mut dyn Write = match &mut self.lines {
            Lines::Plain(file) => file,
            Lines::Zipped(file) => file,
        };
        let written = serde_json::to_writer(&mut *writer, value).map_err(std::io::Error::from);
        written
            .and_then(|()| writer.write_all(b"\n"))
            .with_context(|| format!("{} cannot be written", self.path.display()))
    }

    /// Puts the file in its place, durably.
    ///
    /// # Errors
    /// It cannot be written, or another file has come in its place meanwhile.
    pub fn finish(self) -> anyhow::Result<()> {
        let buffered = match self.lines {
            Lines::Plain(file) => Ok(file),
            Lines::Zipped(file) => file.finish(),
        };
        let file = buffered.and_then(|file| file.into_inner().map_err(std::io::IntoInnerError::into_error));
        place(file, &self.path, self.force)
    }
}

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Its owner alone: it says what people asked, or how this machine is set up.
    Owner,
    /// All whom the process lets read what it writes (its umask), as any other file.
    Everyone,
}

/// Writes a small file, whole or not at all; replaces one only by `force`.
///
/// # Errors
/// It exists, or cannot be written.
pub fn write_whole(path: &Path, readers: Readers, force: bool, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = beside(path, readers, force)?;
    let written = file.write_all(bytes).map(|()| file);
    place(written, path, force)
}

/// A temporary file in the folder of `path`.
fn beside(path: &Path, readers: Readers, force: bool) -> anyhow::Result<NamedTempFile> {
    ensure!(force || !path.exists(), "{} exists; choose another name, or replace it with --force", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    if readers == Readers::Everyone {
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    }
    builder.tempfile_in(folder).with_context(|| format!("{} cannot be written", path.display()))
}

/// Gives a written file its name, durably.
fn place(written: std::io::Result<NamedTempFile>, path: &Path, force: bool) -> anyhow::Result<()> {
    let named = written.and_then(|file| {
        file.as_file().sync_all()?;
        if force {
            file.persist(path)?
        } else {
            file.persist_noclobber(path)?
        };
        Ok(())
    });
    named.with_context(|| format!("{} cannot be written", path.display()))
}
