//! `satisfice serve`: the gateway, until it is told to stop; reloads its file when that changes.

use std::future::pending;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use super::assemble::{AssembleError, Classifiers, Running, assemble};
use super::numbers;
use super::registry;
use super::stdout::say;
use super::watch::Watch;
use crate::catalog::providers::{Catalogue, CatalogueError};
use crate::config::{self, Environment, Flags, Mistakes, NoKeys, Setup};
use crate::policy::Knob;
use crate::server::{self, BindError};
use crate::store::make_folder;
use crate::telemetry::{LogFormat, init_tracing};

/// Read where no `--config` is given.
pub(super) const DEFAULT_FILE: &str = "satisfice.toml";
/// An editor writes a file in several steps: wait for the last.
const SETTLE: Duration = Duration::from_millis(200);

/// `satisfice serve`'s flags.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The configuration [default: satisfice.toml if it is there, else made from the providers' keys in the environment].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where clients connect [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub listen: Option<SocketAddr>,
    /// Metrics and traces, for operators [default: 127.0.0.1:8081, or nowhere if that is taken].
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub admin_listen: Option<SocketAddr>,
    /// Where everything learned is kept [default: data].
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Keep at least this share (0 to 1) of the best model's measured quality, as cheaply as possible.
    #[arg(long, value_name = "SHARE", value_parser = numbers::share, conflicts_with = "budget_per_1k")]
    pub quality: Option<f64>,
    /// The best quality for at most this many USD per 1,000 requests.
    #[arg(long, value_name = "USD", value_parser = numbers::usd, allow_negative_numbers = true)]
    pub budget_per_1k: Option<f64>,
    /// A classifier that `train` wrote, in place of the one in the program.
    #[arg(long, value_name = "FOLDER")]
    pub model: Option<PathBuf>,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// Why the gateway does not serve. Each is the user's to mend.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
    #[error(transparent)]
    NoKeys(#[from] NoKeys),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("cannot wait for signals: {0}")]
    Signals(#[from] std::io::Error),
    #[error("the gateway did not stop in order: {0}")]
    Stop(anyhow::Error),
}

/// Serves until SIGTERM or Ctrl-C, then ends in order.
///
/// # Errors
/// What keeps it from starting, with the remedy.
pub async fn run(options: Options) -> Result<(), ServeError> {
    init_tracing(options.log_format);
    let source = Source::new(options.config.clone(), flags(&options))?;
    let setup = source.read()?;
    let summary = summary(&setup);
    let classifiers = Classifiers::of(&setup);
    let admin = admin(&setup, options.admin_listen.is_some()).await?;
    let running = assemble(setup, admin).await?;
    let mut told = Told::new(&source, &classifiers)?;
    tracing::info!("serving on http://{}: {summary}", running.address());
    if let Some(address) = running.admin_address() {
        tracing::info!("metrics and traces, for operators, on http://{address}");
    }
    if running.is_incomplete() {
        reclassify(&running, &classifiers, true).await;
    }
    told.until_stop(&running, &source, &classifiers).await;
    tracing::info!(
        "stopping: requests under way may end (told again, it ends them), then what was learned is written down"
    );
    running.stop(told.stop.told()).await.map_err(ServeError::Stop)
}

fn flags(options: &Options) -> Flags {
    let quality = options.quality.map(Knob::Quality);
    Flags {
        listen: options.listen,
        admin_listen: options.admin_listen,
        data_dir: options.data_dir.clone(),
        classifier: options.model.clone(),
        knob: quality.or(options.budget_per_1k.map(Knob::BudgetPer1k)),
    }
}

/// Where the configuration comes from, now and at each reload.
pub(super) struct Source {
    file: Option<PathBuf>,
    flags: Flags,
    environment: Environment,
    catalogue: Catalogue,
}

impl Source {
    /// `file`: in place of the default one.
    pub(super) fn new(file: Option<PathBuf>, flags: Flags) -> Result<Self, CatalogueError> {
        let default = || Some(PathBuf::from(DEFAULT_FILE)).filter(|file| file.exists());
        let (environment, catalogue) = (Environment::of_process(), Catalogue::embedded()?);
        Ok(Self { file: file.or_else(default), flags, environment, catalogue })
    }

    pub(super) fn read(&self) -> Result<Setup, ServeError> {
        let setup = match &self.file {
            Some(file) => config::load(file, &self.environment, &self.flags, &self.catalogue)?,
            None => {
                let made = config::from_environment(&self.environment, &self.flags, &self.catalogue)?;
                say(format_args!(
                    "# Built from the keys in the environment; save it as {DEFAULT_FILE} to change it.\n{}",
                    made.toml
                ));
                made.setup
            }
        };
        let name = self.file.as_deref().unwrap_or(Path::new("the environment")).display().to_string();
        setup.remarks.iter().for_each(|remark| tracing::info!("{}", remark.located(&name)));
        Ok(setup)
    }
}

/// The operators' listener. The default address is a convenience: where it is taken, the gateway goes on without.
async fn admin(setup: &Setup, asked_for: bool) -> Result<Option<TcpListener>, BindError> {
    match server::bind(setup.server.admin_listen).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if asked_for || error.kind() != ErrorKind::AddrInUse => Err(error),
        Err(error) => {
            tracing::warn!("no listener for operators: {error} (--admin-listen)");
            Ok(None)
        }
    }
}

/// Routes and their knobs, for the log.
fn summary(setup: &Setup) -> String {
    let routes = &setup.gateway.routes;
    let each = routes.iter().map(|r| format!("\"{}\" over {} models at {}", r.name, r.models.len(), r.knob));
    each.collect::<Vec<_>>().join(", ")
}

/// What a running gateway is told from outside: signals, and files that change.
struct Told {
    stop: Stop,
    hang_up: Signal,
    configuration: Option<Watch>,
    registry: Option<Watch>,
}

impl Told {
    /// Hears everything from here on.
    fn new(source: &Source, classifiers: &Classifiers) -> Result<Self, ServeError> {
        Ok(Self {
            stop: Stop { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? },
            hang_up: signal(SignalKind::hangup())?,
            configuration: source.file.as_deref().and_then(Watch::new),
            registry: watch_registry(classifiers),
        })
    }

    /// Returns when the process is told to stop. SIGHUP and a change of the file reload it; a change of the registry,
    /// where that says which classifier to use, brings in another one.
    async fn until_stop(&mut self, running: &Running, source: &Source, classifiers: &Classifiers) {
        loop {
            tokio::select! {
                () = self.stop.told() => return,
                _ = self.hang_up.recv() => reload(running, source).await,
                () = changed(&mut self.configuration) => {
                    settle(&mut self.configuration).await;
                    reload(running, source).await;
                }
                () = changed(&mut self.registry) => {
                    settle(&mut self.registry).await;
                    reclassify(running, classifiers, false).await;
                }
            }
        }
    }
}

/// What tells the process to stop.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn changed(watch: &mut Option<Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => pending().await,
    }
}

async fn settle(watch: &mut Option<Watch>) {
    sleep(SETTLE).await;
    // What changed since belongs to the same change.
    let _ = watch.as_mut().map(Watch::look);
}

/// The registry's folder is made, so that there is something to watch.
fn watch_registry(classifiers: &Classifiers) -> Option<Watch> {
    let Classifiers::Registry(data_dir) = classifiers else { return None };
    let folder = registry::folder(data_dir);
    let made = make_folder(&folder);
    made.inspect_err(|error| tracing::warn!(%error, "`model use` needs a restart to be seen")).ok()?;
    Watch::new(&folder.join(registry::REGISTRY_FILE))
}

/// Takes the classifier into use that is named now. One that cannot be used changes nothing. `again`: also where it is
/// the one in use, to assess what another one did.
async fn reclassify(running: &Running, classifiers: &Classifiers, again: bool) {
    let outcome = async {
        let classifiers = classifiers.clone();
        let loading = tokio::task::spawn_blocking(move || classifiers.in_use());
        let bundle = Arc::new(loading.await.map_err(|e| ServeError::Stop(e.into()))??);
        if running.uses(&bundle) && !again {
            return Ok(None);
        }
        Ok::<_, ServeError>(Some((running.adopt(bundle.clone()).await?, bundle.fingerprint.clone())))
    };
    match outcome.await {
        Ok(None) => {}
        Ok(Some((adopted, fingerprint))) => tracing::info!(
            fingerprint,
            assessed = adopted.assessed,
            left_out = adopted.left_out,
            "{}; earlier requests were assessed by it where their bodies are kept, the others are left out of what is learned",
            if again {
                "the ledger has requests that another classifier decided"
            } else {
                "another classifier is in use"
            }
        ),
        Err(error) => tracing::error!("the classifier that was in use stays: {error}"),
    }
}

/// A configuration that cannot be used changes nothing.
async fn reload(running: &Running, source: &Source) {
    let outcome = match source.read() {
        Ok(setup) => {
            let summary = summary(&setup);
            running.reload(setup).await.map(|()| summary).map_err(ServeError::from)
        }
        Err(error) => Err(error),
    };
    match outcome {
        Ok(summary) => tracing::info!("configuration reloaded: {summary}"),
        Err(error) => tracing::error!("configuration not reloaded, the old one stays in force: {error}"),
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "give an IP address and a port, such as 127.0.0.1:8080".into())
}
