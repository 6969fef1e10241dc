//! Files that are written whole or not at all: a temporary one beside it takes a file's name at the end.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use tempfile::NamedTempFile;

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

/// A temporary file in the folder of `path`, which may be there only by `force`.
///
/// # Errors
/// It is there, or its folder cannot be written.
pub fn beside(path: &Path, readers: Readers, force: bool) -> anyhow::Result<NamedTempFile> {
    ensure!(force || !path.exists(), "{} exists; choose another name, or replace it with --force", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    if readers == Readers::Everyone {
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    }
    builder.tempfile_in(folder).with_context(|| format!("{} cannot be written", path.display()))
}

/// Gives a written file its name, durably.
///
/// # Errors
/// It was not written, or another file has come in its place meanwhile.
pub fn place(written: std::io::Result<NamedTempFile>, path: &Path, force: bool) -> anyhow::Result<()> {
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
