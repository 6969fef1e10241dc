//! A file that is watched for changes, by whatever its name leads to: where a link stands for it, or for a folder on the
//! way to it, the link may come to lead elsewhere, and what it leads to may be written.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf, absolute};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// Links that are followed to a file at most, as many as the system follows.
const MAX_LINKS: usize = 40;
/// Tries to find and watch folders that change meanwhile.
const ROUNDS: usize = 5;

/// A file, and what tells of its changes.
pub(super) struct Watch {
    watched: Watched,
    watcher: RecommendedWatcher,
    folders: BTreeSet<PathBuf>,
    /// Not all of them can be watched.
    is_blind: bool,
    /// Something happened in one of `folders`.
    stirred: mpsc::Receiver<()>,
}

impl Watch {
    /// From here on. `None`: the system cannot watch it, and the log says so.
    pub(super) fn new(file: &Path) -> Option<Self> {
        let (stir, stirred) = mpsc::channel(1);
        let heard = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                // Full: it is to be looked at already.
                let _ = stir.try_send(());
            }
        };
        let watched = Watched::new(file);
        let watcher = notify::recommended_watcher(heard);
        let watcher = watcher.inspect_err(|error| tracing::warn!(%error, "changes of files are not seen; send SIGHUP"));
        let mut watch = Self { watched, watcher: watcher.ok()?, folders: BTreeSet::new(), is_blind: false, stirred };
        watch.renew();
        Some(watch)
    }

    /// Returns at the next change. Nothing is lost where it is not waited for to the end.
    pub(super) async fn changed(&mut self) {
        while self.stirred.recv().await.is_some() {
            if self.look() {
                return;
            }
        }
        // Nobody tells any more.
        std::future::pending().await
    }

    /// Whether it has changed since the last look.
    pub(super) fn look(&mut self) -> bool {
        self.renew();
        self.watched.has_changed()
    }

    /// Watches the folders that matter now: those that are new, and the others again, since another may be in the place of
    /// one that is gone. The log hears once of it where that cannot be.
    fn renew(&mut self) {
        let follows = (0..ROUNDS).any(|_| self.follow());
        let was_blind = std::mem::replace(&mut self.is_blind, !follows);
        if self.is_blind && !was_blind {
            tracing::warn!(file = %self.watched.file.display(), "not every change of the file is seen; send SIGHUP");
        }
    }

    /// Whether all folders are watched, and are those of the last time: what changed before one was watched, nothing tells
    /// of.
    fn follow(&mut self) -> bool {
        let folders = folders(&self.watched.file);
        // One that is not watched is not there.
        self.folders.difference(&folders).for_each(|gone| drop(self.watcher.unwatch(gone)));
        let mut watch = |folder: &&PathBuf| self.watcher.watch(folder, RecursiveMode::NonRecursive).is_ok();
        let all = folders.iter().filter(|folder| watch(folder)).count() == folders.len();
        let before = std::mem::replace(&mut self.folders, folders);
        all && before == self.folders
    }
}

/// The folders in which a change makes `file` another one: those of the links on the way to it, and its own; where
/// something on the way is missing, the one that it is missing from.
fn folders(file: &Path) -> BTreeSet<PathBuf> {
    let (mut folders, mut place, mut links) = (BTreeSet::new(), PathBuf::new(), 0);
    let mut rest = steps(&absolute(file).unwrap_or_else(|_| file.to_owned()));
    while let Some(step) = rest.pop_front() {
        if step == ".." {
            place.pop();
            continue;
        }
        // A step that is the root takes the place of all before it.
        let next = place.join(step);
        match fs::read_link(&next) {
            Ok(target) if links < MAX_LINKS => {
                links += 1;
                folders.insert(place.clone());
                steps(&target).into_iter().rev().for_each(|step| rest.push_front(step));
            }
            _ if rest.is_empty() || !next.exists() => {
                folders.insert(place);
                break;
            }
            _ => place = next,
        }
    }
    folders
}

fn steps(path: &Path) -> VecDeque<OsString> {
    path.components().filter(|step| *step != Component::CurDir).map(|step| step.as_os_str().to_owned()).collect()
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
    fn the_folders_of_all_links_on_the_way_and_of_the_file_are_watched() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let path = |name: &str| root.join(name);
        let expect = |file: &str, places: &[&str]| {
            let expected: BTreeSet<PathBuf> = places.iter().map(|place| path(place)).collect();
            let found = folders(&path(file)).into_iter().filter(|folder| folder.starts_with(&root));
            assert_eq!(found.collect::<BTreeSet<_>>(), expected, "{file}");
        };
        fs::create_dir_all(path("releases/1")).unwrap();
        fs::write(path("releases/1/c.toml"), "").unwrap();
        symlink("releases/1", path("current")).unwrap();
        symlink("current/./c.toml", path("c.toml")).unwrap();
        symlink(path("releases/../current"), path("releases/all")).unwrap();
        symlink("circle", path("circle")).unwrap();
        expect("releases/1/c.toml", &["releases/1"]);
        expect("current/c.toml", &["", "releases/1"]);
        expect("c.toml", &["", "releases/1"]);
        expect("releases/all/c.toml", &["releases", "", "releases/1"]);
        expect("current/none/c.toml", &["", "releases/1"]);
        expect("circle/c.toml", &[""]);
    }

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
