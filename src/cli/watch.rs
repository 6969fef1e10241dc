//! A file that is watched for changes: by whatever its name leads to, since a folder that Kubernetes mounts changes by
//! the swap of a link beside the file, and nothing tells of the file itself.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use notify::Watcher;
use tokio::sync::mpsc;

/// Tells of each change of `file`. Its folder is watched, for editors put a new file in place of the old one.
pub(super) fn watch(file: &Path, changed: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let mut watched = Watched::new(file);
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let heard = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) && watched.has_changed() {
            // Full: a change waits already.
            let _ = changed.try_send(());
        }
    };
    let watcher = notify::recommended_watcher(heard).and_then(|mut watcher| {
        watcher.watch(folder, notify::RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watcher.inspect_err(|error| tracing::warn!(%error, "changes of the file are not seen; send SIGHUP")).ok()
}

/// A file as it was when it was last looked at.
struct Watched {
    file: PathBuf,
    seen: Option<Stamp>,
}

/// What tells a file from one that is in its place later, or has been written since: the path that its links lead to, and
/// what the system keeps of it (device, inode, length, and when it was written and changed, s and ns).
#[derive(Debug, PartialEq, Eq)]
struct Stamp(PathBuf, [u64; 3], [i64; 4]);

impl Watched {
    fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), seen: Stamp::of(file) }
    }

    /// Whether it is another than at the last look. One that is gone is not, yet: another is about to take its place.
    fn has_changed(&mut self) -> bool {
        let now = Stamp::of(&self.file);
        let changed = now.is_some() && now != self.seen;
        if changed {
            self.seen = now;
        }
        changed
    }
}

impl Stamp {
    /// `None`: there is no file.
    fn of(file: &Path) -> Option<Self> {
        let place = fs::canonicalize(file).ok()?;
        let is = fs::metadata(&place).ok()?;
        Some(Self(place, [is.dev(), is.ino(), is.len()], [is.mtime(), is.mtime_nsec(), is.ctime(), is.ctime_nsec()]))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_has_changed_once_for_each_change_however_it_came() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (version, text) in [("..1", "same"), ("..2", "same")] {
            fs::create_dir(path(version)).unwrap();
            fs::write(path(version).join("c.toml"), text).unwrap();
        }
        symlink("..1", path("..data")).unwrap();
        symlink("..data/c.toml", path("c.toml")).unwrap();
        let mut watched = Watched::new(&path("c.toml"));
        fs::write(path("other"), "x").unwrap();
        assert!(!watched.has_changed(), "another file is none of its business");
        symlink("..2", path("..new")).unwrap();
        fs::rename(path("..new"), path("..data")).unwrap();
        assert!(watched.has_changed() && !watched.has_changed(), "the link leads elsewhere");
        fs::write(path("..2").join("c.toml"), "longer than before").unwrap();
        assert!(watched.has_changed() && !watched.has_changed(), "it was written");
        fs::remove_file(path("c.toml")).unwrap();
        assert!(!watched.has_changed(), "it is gone");
        fs::write(path("c.toml"), "longer than before").unwrap();
        assert!(watched.has_changed() && !watched.has_changed(), "another is in its place");
    }
}
