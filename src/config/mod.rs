//! Configuration: what was typed becomes what is valid. Every mistake is reported at once, with its line and a remedy.
//!
//! `section` reads one table and notes mistakes, `file` says what may stand where, `resolve` what the entries mean
//! together, `environment` reads `env:NAME`, `generate` writes a file from the keys and accounts in the environment.
//!
//! Precedence: a flag of the command line beats the file, except for the knob: `--quality` and `--budget-per-1k` hold
//! for the routes that have no knob of their own.

mod aws;
mod environment;
mod file;
mod findings;
mod generate;
mod resolve;
mod section;
mod vertex;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeTable;

pub use self::environment::Environment;
use self::file::File;
use self::findings::Findings;
pub use self::findings::{Finding, Mistakes};
pub use self::generate::{Generated, NoKeys, from_environment};
use self::section::{Lines, Section};
use crate::catalog::ModelId;
use crate::catalog::providers::Catalogue;
use crate::gateway::Settings;
use crate::policy::Knob;
use crate::scorers::judge::Judging;
use crate::server::settings::ServerSettings;
use crate::upstream::settings::ProviderSettings;

/// The knob of a route where neither the file nor the command line sets one.
pub const DEFAULT_KNOB: Knob = Knob::Quality(0.95);

/// Longest file that is read, in bytes.
const LONGEST_FILE: usize = 4 * 1024 * 1024;

/// What is said beside the file, by the command line and by the gateway that runs; `None`: nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flags {
    pub listen: Option<SocketAddr>,
    pub admin_listen: Option<SocketAddr>,
    pub data_dir: Option<PathBuf>,
    /// `--model DIR`.
    pub classifier: Option<PathBuf>,
    /// The classifier's folder that a running gateway has read, which it does not read again: it may be gone.
    pub loaded: Option<PathBuf>,
    /// For the routes that have none of their own.
    pub knob: Option<Knob>,
}

impl Flags {
    fn knob(&self) -> Knob {
        self.knob.unwrap_or(DEFAULT_KNOB)
    }
}

/// A valid configuration.
#[derive(Debug, Clone)]
pub struct Setup {
    pub server: ServerSettings,
    pub data_dir: PathBuf,
    /// A folder that `train` wrote; `None`: the classifier in the binary.
    pub classifier: Option<PathBuf>,
    /// At least one; each model's provider is among them.
    pub providers: Vec<ProviderSettings>,
    pub gateway: Settings,
    /// Where the price of each of `gateway.models` is from, in the same order, then of each of `gateway.embeddings`.
    pub origins: Vec<PriceOrigin>,
    /// The judges of each route.
    pub judging: Judging,
    /// What is valid and still worth a look.
    pub remarks: Vec<Finding>,
}

/// Where a model's price is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PriceOrigin {
    File,
    /// The catalogue's facts of this model.
    Catalogue(ModelId),
    Unknown,
}

/// Reads and validates a file.
///
/// # Errors
/// All of its mistakes; or why it cannot be read.
pub fn load(path: &Path, environment: &Environment, flags: &Flags, catalogue: &Catalogue) -> Result<Setup, Mistakes> {
    let name = path.display().to_string();
    let text = text_of(path).map_err(|finding| Mistakes { source_name: name.clone(), findings: vec![finding] })?;
    parse(&text, &name, environment, flags, catalogue)
}

/// Validates the text of a file that messages call `source_name`.
///
/// # Errors
/// All of its mistakes.
pub fn parse(
    text: &str,
    source_name: &str,
    environment: &Environment,
    flags: &Flags,
    catalogue: &Catalogue,
) -> Result<Setup, Mistakes> {
    let mut findings = Findings::default();
    let lines = Lines::of(text);
    let root = syntax(text, &lines, &mut findings);
    let file = Section::read("the file".into(), root, &lines, &mut findings, |root| File::read(root, environment));
    if !findings.is_toml() {
        return Err(findings.into_mistakes(source_name));
    }
    let setup = resolve::resolve(file, flags, environment, catalogue, &mut findings);
    Ok(Setup { remarks: findings.into_warnings(source_name)?, ..setup })
}

/// The tables of a file; where its syntax is wrong, what can be made of the rest.
fn syntax<'i>(text: &'i str, lines: &Lines, findings: &mut Findings) -> Spanned<DeTable<'i>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        findings.syntax(error.span().map(|span| lines.line(span)), format!("not TOML: {}", error.message()));
    }
    root
}

/// Why a folder can neither be a data folder nor become one.
pub fn folder_problem(folder: &Path) -> Option<String> {
    let problem = match std::fs::metadata(folder) {
        Ok(found) if !found.is_dir() => "is a file",
        Err(error) if error.kind() == ErrorKind::NotADirectory => "would lie in a file",
        _ => return None,
    };
    let remedy = "choose another folder (--data-dir, or `data_dir` in [server])";
    Some(format!("the data folder {} {problem}; {remedy}", folder.display()))
}

fn text_of(path: &Path) -> Result<String, Finding> {
    let about_all = |text: String| Finding { line: None, text };
    let bytes = std::fs::read(path).map_err(|e| about_all(format!("cannot be read: {e}; check --config")))?;
    if bytes.len() > LONGEST_FILE {
        return Err(about_all(format!("longer than {} MiB; is it a configuration?", LONGEST_FILE >> 20)));
    }
    String::from_utf8(bytes).map_err(|e| {
        let before = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        Finding { line: Some(line), text: "bytes that are not UTF-8; save the file as UTF-8".into() }
    })
}
