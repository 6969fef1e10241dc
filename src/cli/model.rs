//! `satisfice model list|use|rollback`: which classifier the gateway of a data folder decides with.

use std::path::{Path, PathBuf};

use super::registry::{IN_PROGRAM, Model, Registry, check_there};
use super::table;

const DEFAULT_DATA_DIR: &str = "data";

/// `satisfice model`'s flags.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[command(subcommand)]
    pub action: Action,
    /// Where the gateway keeps what it learned [default: data, which need not be there yet].
    #[arg(long, global = true, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Action {
    /// Show the classifiers there are, how they did on their holdout, and which one is in use.
    List,
    /// Take a classifier into use; a running gateway changes over to it, unless it was started with a folder of its own
    /// (--model, or `path` in [classifier]).
    Use {
        /// A folder that `train` wrote, which is copied; or the name of one that `list` shows.
        #[arg(value_name = "DIR|NAME")]
        model: String,
        /// What to call it [default: the folder's name].
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Go back to the classifier that was in use before.
    Rollback,
}

/// Runs the command; `now_ms`: the wall clock, Unix milliseconds. Gives what to print.
///
/// # Errors
/// No such classifier, one that does not load, or a registry that cannot be read or written: nothing is changed then.
pub fn run(options: &Options, now_ms: u64) -> anyhow::Result<String> {
    options.data_dir.as_deref().map_or(Ok(()), check_there)?;
    let data_dir = options.data_dir.as_deref().unwrap_or(Path::new(DEFAULT_DATA_DIR));
    let mut registry = Registry::open(data_dir)?;
    match &options.action {
        Action::List => list(&registry),
        Action::Use { model, name } => {
            let (name, fingerprint) = registry.take(model, name.as_deref())?;
            registry.push(&name, &fingerprint, now_ms)?;
            Ok(format!(
                "{name} ({fingerprint}) is in use; a gateway that runs on {} changes over, unless it was started with \
                 a folder of its own (--model, or `path` in [classifier])\n",
                data_dir.display()
            ))
        }
        Action::Rollback => {
            let left = registry.pop()?;
            Ok(format!("{} is in use again, in place of {left}\n", registry.current_name()))
        }
    }
}

fn list(registry: &Registry) -> anyhow::Result<String> {
    let header = ["", "name", "fingerprint", "made", "in use since", "holdout"].map(String::from);
    let models = registry.models()?;
    let is_gone = models.iter().all(|model| model.name != registry.current_name());
    let rows: Vec<_> = std::iter::once(header)
        .chain(models.iter().map(|model| row(registry, model)))
        .chain(is_gone.then(|| gone(registry)))
        .collect();
    Ok(table::words("", &rows))
}

/// The classifier in use, whose folder somebody removed.
fn gone(registry: &Registry) -> [String; 6] {
    let name = registry.current_name();
    let advice = "in use, missing: take another with `satisfice model use`, or go back with `satisfice model rollback`";
    ["*".into(), name.into(), String::new(), String::new(), since(registry, name), advice.into()]
}

fn since(registry: &Registry, name: &str) -> String {
    registry.since(name).map_or_else(String::new, day)
}

fn row(registry: &Registry, model: &Model) -> [String; 6] {
    let current = registry.current_name() == model.name;
    let (fingerprint, holdout) = match &model.bundle {
        Ok(summary) => (summary.fingerprint.clone(), summary.holdout.clone()),
        Err(problem) => (String::new(), format!("does not load: {problem}")),
    };
    let made = match model.made_ms {
        Some(ms) => day(ms),
        None if model.name == IN_PROGRAM => "in the program".into(),
        None => String::new(),
    };
    let since = since(registry, &model.name);
    [if current { "*" } else { "" }.into(), model.name.clone(), fingerprint, made, since, holdout]
}

fn day(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(String::new, |at| at.strftime("%Y-%m-%d %H:%M").to_string())
}
