//! Listening, and stopping in order: no new connections, a bounded time for what is under way, then the end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Connections served at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 16 * 1024;
/// How long a connection may take over a request's head, idle time before it included.
const HEAD_DEADLINE: Duration = Duration::from_secs(120);
/// How long requests under way may take once the server stops.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
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

/// Serves until `stop` is ready, then ends connections as their requests end, at the latest after 10 s. When it
/// returns, no request is under way.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    tokio::select! {
        () = accept(&listener, &router, &graceful, &mut connections) => {}
        () = stop => {}
    }
    drop(listener);
    if timeout(DRAIN_DEADLINE, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests were still under way; ending them");
    }
    connections.shutdown().await;
}

async fn accept(listener: &TcpListener, router: &Router, graceful: &GracefulShutdown, connections: &mut JoinSet<()>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(permit) = room.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _peer)) => {
                connections.spawn(connection(stream, router.clone(), graceful.watcher(), permit));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, router: Router, graceful: Watcher, _permit: OwnedSemaphorePermit) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_DEADLINE);
    builder.http2().timer(TokioTimer::new());
    let service = TowerToHyperService::new(router);
    let served = graceful.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    if let Err(error) = served.await {
        tracing::debug!(error, "a connection ended early");
    }
}
