//! The folder that `train` writes.

use std::io;
use std::path::Path;
use std::{fs, iter};

use anyhow::{Context as _, bail, ensure};

use crate::difficulty::Manifest;

const MANIFEST: &str = "manifest.json";

/// Whether [`write`] could write the folder: to be asked before the work of making what goes there.
///
/// # Errors
/// As of [`write`].
pub fn check(folder: &Path, force: bool) -> anyhow::Result<()> {
    name(folder)?;
    vacant(folder, force)?;
    let there = iter::successors(Some(parent(folder)), |&place| Some(parent(place))).find(|place| place.exists());
    let there = there.unwrap_or(Path::new("."));
    let probe = tempfile::tempdir_in(there).with_context(|| format!("no folder can be made in {}", there.display()));
    probe.map(drop).with_context(|| format!("{} cannot be written, choose another folder", folder.display()))
}

/// Writes a folder whole or not at all: into a temporary one beside it, which then takes its name.
///
/// # Errors
/// It cannot be written, or it exists and `force` is false, or something else than a classifier is there, which is
/// never replaced. What was there is then still there.
pub fn write(folder: &Path, force: bool, files: &[(&str, Vec<u8>)]) -> anyhow::Result<()> {
    vacant(folder, force)?;
    let failed = |what: &Path| format!("{} cannot be written", what.display());
    let prefix = format!(".{}.", name(folder)?);
    fs::create_dir_all(parent(folder)).with_context(|| failed(folder))?;
    // It is removed with what is left in it: the classifier that was replaced, or a new one that was not written whole.
    let aside = tempfile::Builder::new().prefix(&prefix).tempdir_in(parent(folder)).with_context(|| failed(folder))?;
    let (new, old) = (aside.path().join("new"), aside.path().join("old"));
    fs::create_dir(&new).with_context(|| failed(&new))?;
    for (name, bytes) in files {
        let path = new.join(name);
        fs::write(&path, bytes).with_context(|| failed(&path))?;
    }
    let exchanged = exchange(folder, &new, &old);
    if exchanged.is_err() && is_there(&old) {
        let kept = aside.keep().join("old");
        bail!("{} cannot be written; what was there is in {}", folder.display(), kept.display());
    }
    exchanged.with_context(|| failed(folder))
}

/// Puts `new` in the place of `folder`, and `folder` in that of `old`; or all back where they were.
fn exchange(folder: &Path, new: &Path, old: &Path) -> io::Result<()> {
    if !is_there(folder) {
        return fs::rename(new, folder);
    }
    fs::rename(folder, old)?;
    fs::rename(new, folder).or_else(|error| fs::rename(old, folder).and(Err(error)))
}

/// Refuses a place where something is, except a classifier or an empty folder that is to be replaced.
fn vacant(folder: &Path, force: bool) -> anyhow::Result<()> {
    if !is_there(folder) {
        return Ok(());
    }
    let shown = folder.display();
    if let Some(obstacle) = obstacle(folder).with_context(|| format!("{shown} cannot be read"))? {
        bail!("{shown} {obstacle}; choose another folder, since --force replaces only a classifier or an empty folder");
    }
    ensure!(force, "{shown} exists; choose another folder, or replace it with --force");
    Ok(())
}

/// What is in a place that is neither a classifier's alone nor empty.
fn obstacle(folder: &Path) -> io::Result<Option<String>> {
    if !folder.is_dir() {
        return Ok(Some("exists, and is no folder".into()));
    }
    let mut names: Vec<String> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<_>>()?;
    names.sort();
    let manifest = fs::read(folder.join(MANIFEST)).ok();
    let manifest = manifest.and_then(|bytes| serde_json::from_slice::<Manifest>(&bytes).ok());
    let Some(manifest) = manifest else {
        return Ok(names.first().map(|name| format!("exists, and holds {name} but no classifier")));
    };
    let is_known = |name: &str| name == MANIFEST || manifest.files.iter().any(|file| file.name == name);
    let stranger = names.into_iter().find(|name| !is_known(name));
    Ok(stranger.map(|name| format!("exists, and holds {name} beside a classifier")))
}

/// Also of a link that leads nowhere.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn name(folder: &Path) -> anyhow::Result<String> {
    let name = folder.file_name().with_context(|| format!("{} is not the name of a folder", folder.display()))?;
    Ok(name.to_string_lossy().into_owned())
}

/// The folder that a path is in.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
