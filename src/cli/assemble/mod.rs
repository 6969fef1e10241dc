//! From a valid configuration to a gateway that answers, and back in order. `serve` and `demo` both run this.

mod reclassify;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::registry;
use crate::config;
use crate::difficulty::{Bundle, DifficultyError};
use crate::gateway::{CacheSettings, Gateway, Settings, Setup, Sources, unix_ms};
use crate::learner::{self, Bounds, Learner, LearnerError, Reading};
use crate::policy::Snapshot;
use crate::scorers::judge::{self, Bench, Judging};
use crate::scorers::{self, Scorer};
use crate::server::settings::ServerSettings;
use crate::server::{self, Admission, ApiKeys, App, BindError, Phase, Site, Workers};
use crate::store::{AnswerShelf, RedbStore, Retention, StoreError};
use crate::telemetry::Metrics;
use crate::trace::{AdoptError, Event};
use crate::upstream::{Limits, SetupError, Upstreams};

/// A running gateway: its listeners, its learner and its files.
pub struct Running {
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    settled: Settled,
    gateway: Arc<Gateway>,
    app: Arc<App>,
    metrics: Arc<Metrics>,
    phase: watch::Sender<Phase>,
    listeners: JoinSet<()>,
    learner: Learner,
    bench: Arc<ArcSwap<Bench>>,
    /// The judges' desk; what is before them when it is dropped stays ungraded.
    _judging: JoinSet<()>,
    answers: Option<AnswerShelf>,
}

/// Why a gateway cannot start, or cannot take up a configuration. Each is the user's to mend.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Classifier(#[from] DifficultyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Learner(#[from] LearnerError),
    #[error(transparent)]
    Upstream(#[from] SetupError),
    #[error("{0:#}")]
    Registry(anyhow::Error),
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    #[error("{0} stays open to other machines until the restart, and nobody would need a key; give keys, or restart")]
    Open(SocketAddr),
    #[error("the learner has ended; restart the gateway")]
    LearnerEnded,
    #[error("cannot start the threads that serve: {0}")]
    Threads(std::io::Error),
}

/// Opens the store, restores what was learned, and serves. It answers once this returns.
///
/// `admin`: a listener of its own for metrics and traces.
///
/// # Errors
/// The classifier, the data folder, a provider's settings or the address cannot be used; each says which and why.
pub async fn assemble(setup: config::Setup, admin: Option<TcpListener>) -> Result<Running, AssembleError> {
    let settled = settled(&setup);
    let listener = server::bind(setup.server.listen).await?;
    let address = listener.local_addr().map_or(setup.server.listen, |address| address);
    let admin_address = admin.as_ref().and_then(|admin| admin.local_addr().ok());
    let bundle = Arc::new(Classifiers::of(&setup).in_use()?);
    let (metrics, sources) = (Arc::new(Metrics::default()), Sources::system());
    let upstreams = Arc::new(Upstreams::new(setup.providers.clone(), setup.gateway.deadlines.connect)?);
    let LearningSide { learner, bench, judging } =
        learning_side(&setup, &upstreams, &bundle, &metrics, (sources.now_ms)())?;
    let admission = admission(&setup);
    let in_force = Setup::new(setup.gateway, upstreams, &metrics);
    let (snapshot, events) = (learner.snapshot.clone(), learner.events.clone());
    let gateway = Arc::new(Gateway::new(in_force, snapshot, bundle, events, metrics.clone(), sources));
    let answers = shelve(&setup.data_dir, &gateway)?;
    let learning = server::Learning { snapshot: learner.snapshot.clone(), counters: learner.counters.clone() };
    let app = App::new(gateway.clone(), learner.reader.clone(), learning, admission, setup.server.max_body_bytes);
    let (phase, listeners) = listening_side(listener, admin, &app)?;
    Ok(Running {
        address,
        admin_address,
        settled,
        gateway,
        app,
        metrics,
        phase,
        listeners,
        learner,
        bench,
        answers,
        _judging: judging,
    })
}

/// What learns, and what it hears from.
struct LearningSide {
    learner: Learner,
    bench: Arc<ArcSwap<Bench>>,
    /// The judges' desk.
    judging: JoinSet<()>,
}

/// The learner on the data folder's store, with the judges that report to it. `at_ms`: now.
fn learning_side(
    setup: &config::Setup,
    upstreams: &Arc<Upstreams>,
    bundle: &Bundle,
    metrics: &Arc<Metrics>,
    at_ms: u64,
) -> Result<LearningSide, AssembleError> {
    let bench = bench(&setup.judging, &setup.gateway, upstreams.clone(), metrics);
    let bench = Arc::new(ArcSwap::from_pointee(bench));
    let (judges, desk) = judge::judges(bench.clone());
    let store = RedbStore::open(&setup.data_dir, retention(setup))?;
    let learner = learn(store, setup, bundle, at_ms, judges)?;
    let mut judging = JoinSet::new();
    judging.spawn(desk.run(learner.events.clone(), unix_ms));
    Ok(LearningSide { learner, bench, judging })
}

/// The listeners, at work, and what tells them to end.
fn listening_side(
    clients: TcpListener,
    admins: Option<TcpListener>,
    app: &Arc<App>,
) -> Result<(watch::Sender<Phase>, JoinSet<()>), AssembleError> {
    let (phase, told) = watch::channel(Phase::Serving);
    let mut listeners = JoinSet::new();
    let workers = Workers::start().map_err(AssembleError::Threads)?;
    listeners.spawn(server::serve(clients, Site::of_clients(app.clone()), workers, told.clone()));
    if let Some(admins) = admins {
        let is_local = admins.local_addr().is_ok_and(|address| address.ip().is_loopback());
        listeners.spawn(server::serve(admins, Site::of_admins(app.clone(), is_local), Workers::here(), told));
    }
    Ok((phase, listeners))
}

/// What is taken up at the start only, by its name in the file.
type Settled = [(&'static str, String); 10];

fn settled(setup: &config::Setup) -> Settled {
    let (server, cache) = (&setup.server, &setup.gateway.cache);
    [
        ("`listen` of [server]", server.listen.to_string()),
        ("`admin_listen` of [server]", server.admin_listen.to_string()),
        ("`max_body_mib` of [server]", server.max_body_bytes.to_string()),
        ("`traces_days` of [server]", server.traces_days.to_string()),
        ("`traces_gib` of [server]", server.traces_bytes.to_string()),
        ("`unlearn` of [server]", format!("{:?}", server.unlearned)),
        ("`data_dir` of [server]", format!("{:?}", setup.data_dir)),
        ("`path` of [classifier]", format!("{:?}", setup.classifier)),
        ("`memory_mib` of [cache]", cache.memory_bytes.to_string()),
        ("`disk_mib` of [cache]", format!("{:?}", cache.disk_bytes)),
    ]
}

/// What is another than `running` has it.
fn waiting(running: &Settled, wanted: &Settled) -> Vec<&'static str> {
    let pairs = running.iter().zip(wanted);
    pairs.filter(|(running, wanted)| running != wanted).map(|(_, (name, _))| *name).collect()
}

/// Whom the server lets in, and what the gateway's own scorers are called.
fn admission(setup: &config::Setup) -> Admission {
    let own = scorers::OWN_SOURCES.map(str::to_owned);
    let judges = setup.judging.values().flatten().map(|judge| judge.name.clone());
    let (api_keys, admin_keys) = (&setup.server.api_keys, &setup.server.admin_keys);
    Admission {
        clients: ApiKeys::new(api_keys),
        operators: (!admin_keys.is_empty()).then(|| ApiKeys::new(admin_keys)),
        reserved: own.into_iter().chain(judges).collect(),
    }
}

fn bench(judging: &Judging, settings: &Settings, upstreams: Arc<Upstreams>, metrics: &Arc<Metrics>) -> Bench {
    let limits = Limits::new(settings.deadlines, settings.attempts);
    Bench::new(judging, upstreams, limits, metrics.clone())
}

/// Where the classifier comes from.
#[derive(Debug, Clone)]
pub enum Classifiers {
    /// The folder that the configuration or the command line names.
    Folder(PathBuf),
    /// What the registry of this data folder says.
    Registry(PathBuf),
}

impl Classifiers {
    /// Those of a configuration.
    pub fn of(setup: &config::Setup) -> Self {
        let registry = || Self::Registry(setup.data_dir.clone());
        setup.classifier.clone().map_or_else(registry, Self::Folder)
    }

    /// The one to use now.
    ///
    /// # Errors
    /// It cannot be loaded.
    pub fn in_use(&self) -> Result<Bundle, AssembleError> {
        match self {
            Self::Folder(folder) => Ok(Bundle::load(folder)?),
            Self::Registry(data_dir) => registry::in_use(data_dir).map_err(AssembleError::Registry),
        }
    }
}

/// How long a configuration keeps trace bodies.
pub fn retention(setup: &config::Setup) -> Retention {
    Retention { days: setup.server.traces_days, bytes: setup.server.traces_bytes }
}

/// How the ledger is read.
pub fn reading(setup: &config::Setup, bundle: &Bundle) -> Reading {
    Reading { fingerprint: bundle.fingerprint.clone(), unlearned: setup.server.unlearned.clone() }
}

fn learn(
    store: RedbStore,
    setup: &config::Setup,
    bundle: &Bundle,
    at_ms: u64,
    judges: impl Scorer + 'static,
) -> Result<Learner, AssembleError> {
    let settings = learner::Settings {
        routes: setup.gateway.route_specs(),
        reading: reading(setup, bundle),
        prior: Snapshot::new(bundle.prior.clone()),
        at_ms,
        bounds: Bounds::default(),
    };
    let mut scorers = scorers::built_in();
    scorers.push(Box::new(judges));
    Ok(learner::spawn(settings, Box::new(store), scorers)?)
}

/// The gateway begins with the answers that are kept in the data folder, where they are to be kept there.
fn shelve(folder: &Path, gateway: &Gateway) -> Result<Option<AnswerShelf>, StoreError> {
    let CacheSettings { memory_bytes, disk_bytes: Some(limit), .. } = gateway.settings().cache else {
        return Ok(None);
    };
    let (shelf, kept) = AnswerShelf::open(folder, limit, memory_bytes, gateway.now_ms())?;
    gateway.shelve(shelf.sender(), kept);
    Ok(Some(shelf))
}

impl Running {
    /// Where clients reach it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where operators reach it, if they have an address of their own.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Takes up another configuration, whole or not at all, except for what is taken up at the start only, which stays
    /// as it is; the log says so. Providers that stay as they were keep their connections and their health. What a learner
    /// without room has not been told is for [`tell`](Self::tell).
    ///
    /// # Errors
    /// An address that is open to other machines would ask for no key, a provider's settings cannot be used, or the
    /// learner has ended: everything stays as it was.
    pub fn reload(&self, mut setup: config::Setup) -> Result<Option<Event>, AssembleError> {
        self.check_keys(&setup.server)?;
        let CacheSettings { memory_bytes, disk_bytes, .. } = self.gateway.settings().cache;
        let waiting = waiting(&self.settled, &settled(&setup));
        setup.gateway.cache = CacheSettings { memory_bytes, disk_bytes, ..setup.gateway.cache };
        let admission = admission(&setup);
        let (connect, settings) = (setup.gateway.deadlines.connect, &setup.gateway);
        let models = settings.models.iter().chain(&settings.embeddings).map(|model| &**model);
        let upstreams = self.gateway.upstreams(|_, before| before.renewed(setup.providers, connect, models))?;
        let upstreams = Arc::new(upstreams);
        let configured = Event::Configured { at_ms: self.gateway.now_ms(), routes: setup.gateway.route_specs() };
        let untold = match self.learner.events.try_send(configured) {
            Ok(()) => None,
            Err(TrySendError::Full(configured)) => Some(configured),
            Err(TrySendError::Closed(_)) => return Err(AssembleError::LearnerEnded),
        };
        self.bench.store(Arc::new(bench(&setup.judging, &setup.gateway, upstreams.clone(), &self.metrics)));
        self.gateway.replace(Setup::new(setup.gateway, upstreams, &self.metrics));
        self.app.replace_admission(admission);
        if !waiting.is_empty() {
            tracing::warn!("what is taken up at the start only waits for a restart: {}", waiting.join(", "));
        }
        if untold.is_some() {
            tracing::warn!(
                "the configuration is in force, but the learner is behind, and hears of its routes once it has room; is the disk stuck?"
            );
        }
        Ok(untold)
    }

    /// Keys that another address could do without are not dropped while this one is listened on.
    fn check_keys(&self, server: &ServerSettings) -> Result<(), AssembleError> {
        let has_keys = !server.api_keys.is_empty();
        let is_open = |address: &SocketAddr, has_keys: bool| !address.ip().is_loopback() && !has_keys;
        let clients = Some(self.address).filter(|address| is_open(address, has_keys));
        let has_keys = has_keys || !server.admin_keys.is_empty();
        let operators = self.admin_address.filter(|address| is_open(address, has_keys));
        clients.or(operators).map_or(Ok(()), |address| Err(AssembleError::Open(address)))
    }

    /// Waits until the learner has room for what is `untold`. That stays so where it is not waited for to the end.
    ///
    /// # Errors
    /// The learner has ended.
    pub async fn tell(&self, untold: &mut Option<Event>) -> Result<(), AssembleError> {
        if untold.is_none() {
            return Ok(());
        }
        let room = self.learner.events.reserve().await.map_err(|_| AssembleError::LearnerEnded)?;
        if let Some(event) = untold.take() {
            room.send(event);
        }
        Ok(())
    }

    /// Lets requests under way end, unless `hurry` is ready first; works off what the learner has been told, and writes a
    /// checkpoint.
    ///
    /// # Errors
    /// The server or the learner ended in a panic.
    pub async fn stop(mut self, hurry: impl Future<Output = ()>) -> anyhow::Result<()> {
        self.phase.send_replace(Phase::Ending);
        let mut hurry = pin!(hurry);
        while !self.listeners.is_empty() {
            tokio::select! {
                Some(ended) = self.listeners.join_next() => ended?,
                () = &mut hurry, if *self.phase.borrow() < Phase::Over => drop(self.phase.send_replace(Phase::Over)),
            }
        }
        let (learner, answers) = (self.learner, self.answers);
        let stop = move || {
            answers.into_iter().for_each(AnswerShelf::stop);
            learner.stop();
        };
        Ok(tokio::task::spawn_blocking(stop).await?)
    }
}
