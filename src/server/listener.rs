//! Listening, and stopping in order: no new connections, a bounded time for what is under way, then the end.

use std::io;
use std::net::{SocketAddr, TcpStream as StdStream};
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::site::Site;
use super::workers::Workers;

/// Connections served at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 16 * 1024;
/// How long a connection may take over a request's head, idle time before it included.
const HEAD_DEADLINE: Duration = Duration::from_secs(120);
/// How long requests under way may take once the server stops: most answers end by then, and so does the process before
/// what runs it loses patience, as Kubernetes does after 30 s.
const DRAIN_DEADLINE: Duration = Duration::from_secs(25);
/// How long the end of a stream may take to reach its client then.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Pause after the system had no connection to give, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}; stop what uses it, or choose another address")]
pub struct BindError {
    pub address: SocketAddr,
    reason: io::Error,
}

impl BindError {
    /// What the system says.
    pub fn kind(&self) -> io::ErrorKind {
        self.reason.kind()
    }
}

/// Listens on `address`; port 0 takes a free one.
///
/// # Errors
/// Names the address and why.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|reason| BindError { address, reason })
}

/// What a server is told to do; it never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serve what comes.
    Serving,
    /// Take nothing new; requests under way may end, within 25 s.
    Ending,
    /// End them.
    Over,
}

/// Serves `site` on `workers` as `phase` says; a sender that is gone says that it is over. When it returns, no request is
/// under way.
pub async fn serve(listener: TcpListener, site: Site, workers: Workers, mut phase: watch::Receiver<Phase>) {
    let (site, graceful) = (Arc::new(site), GracefulShutdown::new());
    let mut connections = JoinSet::new();
    tokio::select! {
        () = accept(&listener, &site, &workers, &graceful, &mut connections) => {}
        () = reached(&mut phase, Phase::Ending) => {}
    }
    drop(listener);
    let drained = graceful.shutdown();
    tokio::pin!(drained);
    tokio::select! {
        () = &mut drained => {}
        () = async { drop(timeout(DRAIN_DEADLINE, reached(&mut phase, Phase::Over)).await) } => {
            tracing::warn!(connections = connections.len(), "requests were still under way; ending them");
            site.end_streams();
            drop(timeout(LAST_WORDS, drained).await);
        }
    }
    connections.shutdown().await;
}

async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    drop(phase.wait_for(|phase| *phase >= wanted).await);
}

async fn accept(
    listener: &TcpListener,
    site: &Arc<Site>,
    workers: &Workers,
    graceful: &GracefulShutdown,
    connections: &mut JoinSet<()>,
) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(permit) = room.clone().acquire_owned().await {
        // Out of this runtime: the worker's own is to wake up for what comes.
        match listener.accept().await.and_then(|(stream, _peer)| stream.into_std()) {
            Ok(stream) => {
                let served = connection(stream, site.clone(), graceful.watcher(), permit);
                connections.spawn_on(served, workers.next());
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: StdStream, site: Arc<Site>, graceful: Watcher, _permit: OwnedSemaphorePermit) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return tracing::warn!(%error, "cannot serve a connection"),
    };
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_DEADLINE);
    builder.http2().timer(TokioTimer::new());
    let service = service_fn(move |request| site.clone().answer(request));
    let served = graceful.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    if let Err(error) = served.await {
        tracing::debug!(error, "a connection ended early");
    }
}
