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
use crate::server::settings::ServerSettings;
use crate::server::{self, BindError};
use crate::store::make_folder;
use crate::telemetry::{LogFormat, init_tracing};
use crate::trace::Event;

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
    let mut configured = Configured::new(Source::new(options.config.clone(), flags(&options))?)?;
    let setup = configured.source.read()?;
    let summary = summary(&setup);
    configured.source.flags.loaded = setup.classifier.clone();
    let mut classified = Classified::new(Classifiers::of(&setup), &setup.data_dir);
    let admin = admin(&setup.server).await?;
    let running = assemble(setup, admin).await?;
    let mut stop = Stop::new()?;
    tracing::info!("serving on http://{}: {summary}", running.address());
    if let Some(address) = running.admin_address() {
        tracing::info!("metrics and traces, for operators, on http://{address}");
    }
    // Whatever is under way, and however long it takes, the word to stop is heard, and neither waits for the other.
    tokio::select! {
        () = stop.told() => {}
        () = configured.follow(&running) => {}
        () = classified.follow(&running) => {}
    }
    tracing::info!(
        "stopping: requests under way may end (told again, it ends them), then what was learned is written down"
    );
    running.stop(stop.told()).await.map_err(ServeError::Stop)
}

fn flags(options: &Options) -> Flags {
    let quality = options.quality.map(Knob::Quality);
    Flags {
        listen: options.listen,
        admin_listen: options.admin_listen,
        data_dir: options.data_dir.clone(),
        classifier: options.model.clone(),
        loaded: None,
        knob: quality.or(options.budget_per_1k.map(Knob::BudgetPer1k)),
    }
}

/// Where the configuration comes from, now and at each reload.
pub(super) struct Source {
    /// `None`: the environment, until there is a default file.
    file: Option<PathBuf>,
    flags: Flags,
    environment: Environment,
    catalogue: Catalogue,
}

impl Source {
    /// `file`: in place of the default one.
    pub(super) fn new(file: Option<PathBuf>, flags: Flags) -> Result<Self, CatalogueError> {
        let (environment, catalogue) = (Environment::of_process(), Catalogue::embedded()?);
        Ok(Self { file, flags, environment, catalogue })
    }

    pub(super) fn read(&mut self) -> Result<Setup, ServeError> {
        // A file that was read once is not given up for the environment when it is gone.
        self.file = self.file.take().or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|file| file.exists()));
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

    /// The file that is read, or would be if it were there.
    fn place(&self) -> &Path {
        self.file.as_deref().unwrap_or(Path::new(DEFAULT_FILE))
    }
}

/// The operators' listener. The default address is a convenience: where it is taken, the gateway goes on without.
async fn admin(settings: &ServerSettings) -> Result<Option<TcpListener>, BindError> {
    match server::bind(settings.admin_listen).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if settings.is_admin_asked_for || error.kind() != ErrorKind::AddrInUse => Err(error),
        Err(error) => {
            tracing::warn!("no listener for operators: {error} (--admin-listen, or `admin_listen` in [server])");
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

/// The configuration, and what tells that it is to be read again.
struct Configured {
    source: Source,
    told: Told,
}

/// SIGHUP, and a change of the file.
struct Told {
    hang_up: Signal,
    file: Option<Watch>,
}

impl Configured {
    /// Hears everything from here on: what changes while the gateway starts is taken up once it has started.
    fn new(source: Source) -> Result<Self, ServeError> {
        let told = Told { hang_up: signal(SignalKind::hangup())?, file: Watch::new(source.place()) };
        Ok(Self { source, told })
    }

    /// Never returns: reloads the configuration each time it is told to. A reload that is not through yet, as where the
    /// learner waits for the disk, gives way to the next one, which may have mistakes: what it was to hear is kept.
    async fn follow(&mut self, running: &Running) {
        let Self { source, told } = self;
        let mut untold = None;
        told.next().await;
        loop {
            tokio::select! {
                () = reload(running, source, &mut untold) => told.next().await,
                () = told.next() => {}
            }
        }
    }
}

impl Told {
    /// The next word. Nothing is lost where it is not waited for to the end.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.hang_up.recv() => {}
            () = changed(self.file.as_mut()) => {}
        }
    }
}

/// The classifier, and what tells that another one is named.
struct Classified {
    classifiers: Classifiers,
    /// Or why it is not watched.
    registry: Result<Option<Watch>, std::io::Error>,
}

impl Classified {
    /// Hears everything from here on.
    fn new(classifiers: Classifiers, data_dir: &Path) -> Self {
        let registry = watch_registry(data_dir);
        Self { classifiers, registry }
    }

    /// Never returns: brings in what another classifier decided before the start, and takes another one into use each
    /// time the registry names one.
    async fn follow(&mut self, running: &Running) {
        if let Err(error) = &self.registry {
            tracing::warn!(%error, "`model use` needs a restart to be seen");
        }
        let mut registry = self.registry.as_mut().ok().and_then(Option::as_mut);
        if running.is_incomplete() {
            reclassify(running, &self.classifiers, true).await;
        }
        loop {
            changed(registry.as_deref_mut()).await;
            sleep(SETTLE).await;
            // What changed since belongs to the same change.
            let _ = registry.as_deref_mut().map(Watch::look);
            match &self.classifiers {
                Classifiers::Registry(_) => reclassify(running, &self.classifiers, false).await,
                Classifiers::Folder(folder) => tracing::warn!(
                    "what `satisfice model` says is not taken up: the classifier in {} was given (--model, or `path` \
                     in [classifier])",
                    folder.display()
                ),
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
    /// Until here the system's own way holds: it ends a process that has not begun to serve.
    fn new() -> Result<Self, ServeError> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn changed(watch: Option<&mut Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => pending().await,
    }
}

/// The registry's folder is made, so that there is something to watch.
fn watch_registry(data_dir: &Path) -> std::io::Result<Option<Watch>> {
    let folder = registry::folder(data_dir);
    make_folder(&folder)?;
    Ok(Watch::new(&folder.join(registry::REGISTRY_FILE)))
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
async fn reload(running: &Running, source: &mut Source, untold: &mut Option<Event>) {
    sleep(SETTLE).await;
    match take_up(running, source, untold) {
        Ok(summary) => tracing::info!("configuration reloaded: {summary}"),
        Err(error) => tracing::error!("configuration not reloaded, the old one stays in force: {error}"),
    }
    if let Err(error) = running.tell(untold).await {
        tracing::error!("the learner does not hear of the routes: {error}");
    }
}

fn take_up(running: &Running, source: &mut Source, untold: &mut Option<Event>) -> Result<String, ServeError> {
    let setup = source.read()?;
    let summary = summary(&setup);
    *untold = running.reload(setup)?;
    Ok(summary)
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "give an IP address and a port, such as 127.0.0.1:8080".into())
}
