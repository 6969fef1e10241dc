//! The classifiers of a data folder: `models/NAME/` each, and `models/registry.json`, which says which is in use.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

use super::output::{Readers, write_whole};
use super::train::output::write as write_folder;
use crate::config::folder_problem;
use crate::difficulty::{Bundle, Manifest};
use crate::store::make_folder;

/// What the classifier in the program is called.
pub const IN_PROGRAM: &str = "default";
/// The file that says which classifier is in use; it is replaced whole.
pub const REGISTRY_FILE: &str = "registry.json";

const VERSION: u32 = 1;
/// Changes that are remembered.
const HISTORY: usize = 100;
/// Largest registry that is read, bytes.
const LARGEST: u64 = 1 << 20;

/// The classifiers of a data folder.
#[derive(Debug)]
pub struct Registry {
    folder: PathBuf,
    stored: Stored,
}

/// `registry.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    version: u32,
    /// What was taken into use, the newest last: that one is in use. Empty: the one in the program.
    history: Vec<Used>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Used {
    name: String,
    fingerprint: String,
    /// Unix milliseconds.
    at_ms: u64,
}

/// One classifier.
#[derive(Debug)]
pub struct Model {
    pub name: String,
    /// When its manifest was written, Unix milliseconds.
    pub made_ms: Option<u64>,
    /// Or why it does not load.
    pub bundle: Result<Summary, String>,
}

/// What is said of a classifier.
#[derive(Debug)]
pub struct Summary {
    pub fingerprint: String,
    /// How it did on prompts that it had not seen, in a few words.
    pub holdout: String,
}

/// The folder of a data folder's classifiers.
pub fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("models")
}

/// Refuses a data folder that is not there: its name may be mistyped.
///
/// # Errors
/// Says so, with the remedy.
pub fn check_there(data_dir: &Path) -> anyhow::Result<()> {
    let is_missing = fs::metadata(data_dir).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    ensure!(!is_missing, "{} is not there; give the --data-dir of a gateway that has run", data_dir.display());
    Ok(())
}

/// The classifier that a data folder's gateway decides with.
///
/// # Errors
/// The registry, or the classifier that it names, cannot be read; says how to go back.
pub fn in_use(data_dir: &Path) -> anyhow::Result<Bundle> {
    let registry = Registry::open(data_dir)?;
    let Some(Used { name, fingerprint, .. }) = registry.stored.history.last() else { return Ok(Bundle::embedded()?) };
    let bundle = registry.load(name).and_then(|bundle| {
        ensure!(
            bundle.fingerprint == *fingerprint,
            "it is another one ({}) than was taken into use",
            bundle.fingerprint
        );
        Ok(bundle)
    });
    bundle.with_context(|| {
        format!("classifier {name} in {}: go back with `satisfice model rollback`", registry.folder.display())
    })
}

impl Registry {
    /// # Errors
    /// It cannot be read, is damaged, or is of another version; `data_dir` is no folder.
    pub fn open(data_dir: &Path) -> anyhow::Result<Self> {
        if let Some(problem) = folder_problem(data_dir) {
            bail!("{problem}");
        }
        let folder = folder(data_dir);
        let path = folder.join(REGISTRY_FILE);
        let stored = match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Stored { version: VERSION, history: Vec::new() },
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
            Ok(file) => {
                ensure!(file.len() <= LARGEST, "{}: larger than {LARGEST} bytes; move it away", path.display());
                read(&path).with_context(|| path.display().to_string())?
            }
        };
        Ok(Self { folder, stored })
    }

    /// What the classifier in use is called.
    pub fn current_name(&self) -> &str {
        self.stored.history.last().map_or(IN_PROGRAM, |used| &used.name)
    }

    /// When a classifier was last taken into use, Unix milliseconds.
    pub fn since(&self, name: &str) -> Option<u64> {
        self.stored.history.iter().rfind(|used| used.name == name).map(|used| used.at_ms)
    }

    /// The one in the program, then the others by name.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn models(&self) -> anyhow::Result<Vec<Model>> {
        let mut names = vec![];
        if self.folder.exists() {
            let entries =
                fs::read_dir(&self.folder).with_context(|| format!("{} cannot be read", self.folder.display()))?;
            let folders = entries.filter_map(Result::ok).filter(|entry| entry.path().is_dir());
            names.extend(
                folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| is_name(name)),
            );
        }
        names.sort();
        Ok(std::iter::once(IN_PROGRAM.to_owned()).chain(names).map(|name| self.model(name)).collect())
    }

    fn model(&self, name: String) -> Model {
        let manifest =
            fs::metadata(self.folder.join(&name).join("manifest.json")).and_then(|file| file.modified()).ok();
        let made_ms = manifest.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map(|at| at.as_millis() as u64);
        let bundle = self
            .load(&name)
            .map(|bundle| Summary { holdout: holdout(&bundle.manifest), fingerprint: bundle.fingerprint });
        Model { name, made_ms, bundle: bundle.map_err(|error| format!("{error:#}")) }
    }

    fn load(&self, name: &str) -> anyhow::Result<Bundle> {
        Ok(if name == IN_PROGRAM { Bundle::embedded()? } else { Bundle::load(&self.folder.join(name))? })
    }

    /// Finds a classifier by its name, or copies it from a folder, whole or not at all. Gives its name and fingerprint.
    ///
    /// # Errors
    /// There is none, it does not load, or its name is taken or cannot be one.
    pub fn take(&self, model: &str, name: Option<&str>) -> anyhow::Result<(String, String)> {
        if name.is_none() && (model == IN_PROGRAM || is_name(model) && self.folder.join(model).is_dir()) {
            let bundle = self.load(model).with_context(|| format!("classifier {model}"))?;
            return Ok((model.to_owned(), bundle.fingerprint));
        }
        let from = Path::new(model);
        if !from.is_dir() {
            let known: Vec<_> = self.models()?.into_iter().map(|model| model.name).collect();
            bail!("{model}: neither a folder nor a classifier that is here; there are {}", known.join(", "));
        }
        let bundle = Bundle::load(from).with_context(|| format!("the classifier in {model}"))?;
        let own = from.canonicalize()?.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.map(str::to_owned).or(own).unwrap_or_default();
        ensure!(
            name != IN_PROGRAM,
            "{name:?} cannot be a classifier's name: the one in the program has it; give another with --name"
        );
        ensure!(
            is_name(&name),
            "{name:?} cannot be a classifier's name; give one of letters, digits, -, _ and . with --name"
        );
        self.copy(from, &name, &bundle)?;
        Ok((name, bundle.fingerprint))
    }

    fn copy(&self, from: &Path, name: &str, bundle: &Bundle) -> anyhow::Result<()> {
        let to = self.folder.join(name);
        if to.exists() {
            let there = Bundle::load(&to).map(|bundle| bundle.fingerprint).unwrap_or_default();
            ensure!(there == bundle.fingerprint, "there is already another classifier {name}; give this one a --name");
            return Ok(());
        }
        make_folder(&self.folder).with_context(|| format!("{} cannot be made", self.folder.display()))?;
        let mut files = Vec::new();
        for file in bundle.manifest.files.iter().map(|entry| entry.name.as_str()).chain(["manifest.json"]) {
            let path = from.join(file);
            files.push((file, fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?));
        }
        write_folder(&to, false, &files)?;
        let copied = Bundle::load(&to).with_context(|| format!("the copy in {}", to.display()))?;
        ensure!(copied.fingerprint == bundle.fingerprint, "{} changed while it was copied; try again", from.display());
        Ok(())
    }

    /// Takes a classifier into use.
    ///
    /// # Errors
    /// The registry cannot be written.
    pub fn push(&mut self, name: &str, fingerprint: &str, at_ms: u64) -> anyhow::Result<()> {
        let used = Used { name: name.to_owned(), fingerprint: fingerprint.to_owned(), at_ms };
        if self.stored.history.last().is_some_and(|last| last.name == used.name && last.fingerprint == used.fingerprint)
        {
            return Ok(());
        }
        self.stored.history.push(used);
        let surplus = self.stored.history.len().saturating_sub(HISTORY);
        self.stored.history.drain(..surplus);
        self.write()
    }

    /// Goes back to the one before; gives the name of the one that was in use.
    ///
    /// # Errors
    /// There is none before, it does not load, or the registry cannot be written.
    pub fn pop(&mut self) -> anyhow::Result<String> {
        let left = self
            .stored
            .history
            .pop()
            .context("there is no classifier to go back to: the one in the program is in use")?;
        let before = self.current_name();
        self.load(before)
            .with_context(|| format!("classifier {before}, which was in use before; take another with `use`"))?;
        self.write()?;
        Ok(left.name)
    }

    fn write(&self) -> anyhow::Result<()> {
        make_folder(&self.folder).with_context(|| format!("{} cannot be made", self.folder.display()))?;
        let mut bytes = serde_json::to_vec_pretty(&self.stored)?;
        bytes.push(b'\n');
        write_whole(&self.folder.join(REGISTRY_FILE), Readers::Owner, true, &bytes)
    }
}

fn read(path: &Path) -> anyhow::Result<Stored> {
    let damaged = "damaged; move it away to begin with the classifier in the program";
    let stored: Stored = serde_json::from_slice(&fs::read(path)?).context(damaged)?;
    ensure!(stored.version == VERSION, "version {}, and this program reads version {VERSION}; upgrade", stored.version);
    ensure!(stored.history.iter().all(|used| is_name(&used.name)), "{damaged}");
    Ok(stored)
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && !name.starts_with('.') && name.len() <= 100 && name.chars().all(allowed)
}

/// Mean AUC and calibration error over the models of the report.
fn holdout(manifest: &Manifest) -> String {
    let arms = || {
        manifest.holdout["workloads"].as_array().into_iter().flatten().filter_map(|w| w["arms"].as_array()).flatten()
    };
    let mean = |field: &str| {
        let values: Vec<f64> = arms().filter_map(|arm| arm[field].as_f64()).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    match (manifest.holdout["prompts"].as_u64(), mean("auc"), mean("ece")) {
        (Some(prompts), Some(auc), Some(ece)) => format!("AUC {auc:.3}, ECE {ece:.3} on {prompts} prompts"),
        _ => "none".into(),
    }
}
