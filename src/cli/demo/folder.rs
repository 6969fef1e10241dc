//! Where the demo's gateway keeps what it learns: never in another gateway's folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tempfile::TempDir;

use super::models::LADDER;
use super::settings::ROUTE;
use crate::config::folder_problem;
use crate::policy::RouteSpec;
use crate::store::{Entry, LEDGER_FILE, RedbStore, Retention, Store, StoreError};

/// The gateway's data folder.
pub(super) enum Folder {
    Kept(PathBuf),
    Temporary(TempDir),
}

impl Folder {
    /// The folder that was chosen, or one for this run.
    ///
    /// # Errors
    /// It is no folder, another gateway's, or cannot be read; none can be made.
    pub(super) fn new(chosen: Option<&PathBuf>) -> anyhow::Result<Self> {
        let Some(folder) = chosen else {
            let temporary = tempfile::Builder::new().prefix("satisfice-demo-").tempdir();
            return Ok(Self::Temporary(temporary.context("no temporary folder; choose one with --data-dir")?));
        };
        if let Some(problem) = folder_problem(folder) {
            bail!("{problem}");
        }
        if let Some(foreign) = foreign(folder)? {
            let folder = folder.display();
            bail!(
                "--data-dir {folder} is another gateway's: its ledger has {foreign}, which the demo has not, and simulated \
                 requests would be mixed into it; choose another folder, or leave --data-dir out"
            );
        }
        Ok(Self::Kept(folder.clone()))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Kept(folder) => folder,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

/// The first route or model of the folder's ledger, if it has one, that no demo has.
fn foreign(folder: &Path) -> Result<Option<String>, StoreError> {
    if !folder.join(LEDGER_FILE).exists() {
        return Ok(None);
    }
    let mut found = None;
    let replayed = RedbStore::open(folder, Retention::default())?.replay(0, &mut |_, entry| {
        let Entry::Configured { routes, .. } = entry else { return Ok(()) };
        found = routes.iter().find_map(foreign_to_demos);
        // What is found need not be looked for any further.
        found.as_ref().map_or(Ok(()), |name| Err(StoreError::Failed(name.clone())))
    });
    if found.is_some() { Ok(found) } else { replayed.map(|()| None) }
}

fn foreign_to_demos(route: &RouteSpec) -> Option<String> {
    if route.name != ROUTE {
        return Some(format!("the route \"{}\"", route.name));
    }
    let foreign = route.arms.iter().find(|arm| LADDER.iter().all(|model| model.name != arm.arm));
    foreign.map(|arm| format!("the model \"{}\"", arm.arm))
}
