//! Listening, and stopping in order: no new connections, a bounded time for what is under way, then the end.

use std::io;
use std::net::{SocketAddr, TcpStream as StdStream};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::connection;
use super::site::Site;
use super::workers::{Workers, descriptors};

/// Clients' connections served at once, where the system gives as many file descriptors; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 16 * 1024;
/// Operators' connections, and where the system gives few file descriptors.
const OPERATORS: usize = 256;
const FEW_OPERATORS: usize = 16;
/// One of them for so many file descriptors.
const DESCRIPTORS_PER_OPERATOR: u64 = 64;
/// File descriptors kept for all that is no connection of a client: files, listeners, few operators, judges; and for
/// each thread that serves.
const RESERVE: usize = 64;
const RESERVE_PER_THREAD: usize = 4;
/// Served at once however few descriptors there are.
const MIN_CONNECTIONS: usize = 4;
/// How long requests under way may take once the server stops: most answers end by then, and so does the process before
/// what runs it loses patience, as Kubernetes does after 30 s.
const DRAIN_DEADLINE: Duration = Duration::from_secs(25);
/// How long the end of a stream may take to reach its client then.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Pause after the system had no connection to give, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The log hears of it at most so often.
const TELL_EVERY: Duration = Duration::from_secs(60);

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
    let room = match site.is_for_clients() {
        true => connections(descriptors(), workers.len()),
        false => operators(descriptors()),
    };
    tracing::debug!(connections = room, "served at once");
    let (site, graceful) = (Arc::new(site), GracefulShutdown::new());
    let mut connections = JoinSet::new();
    tokio::select! {
        () = accept(&listener, room, &site, &workers, &graceful, &mut connections) => {}
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

/// How many clients' connections are served at once with so many file `descriptors` and `threads`: each may need another
/// one, towards its upstream. `None`: there is no limit.
fn connections(descriptors: Option<u64>, threads: usize) -> usize {
    let Some(all) = descriptors.and_then(|all| usize::try_from(all).ok()) else { return MAX_CONNECTIONS };
    let more_operators = operators(descriptors) - FEW_OPERATORS;
    let free = all.saturating_sub(RESERVE + RESERVE_PER_THREAD * threads + more_operators);
    (free / 2).clamp(MIN_CONNECTIONS, MAX_CONNECTIONS)
}

/// How many operators' connections are served at once with so many file `descriptors`.
fn operators(descriptors: Option<u64>) -> usize {
    let share = descriptors.and_then(|all| usize::try_from(all / DESCRIPTORS_PER_OPERATOR).ok());
    share.unwrap_or(OPERATORS).clamp(FEW_OPERATORS, OPERATORS)
}

async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    drop(phase.wait_for(|phase| *phase >= wanted).await);
}

async fn accept(
    listener: &TcpListener,
    room: usize,
    site: &Arc<Site>,
    workers: &Workers,
    graceful: &GracefulShutdown,
    connections: &mut JoinSet<()>,
) {
    let (room, mut refusals) = (Arc::new(Semaphore::new(room)), Refusals::default());
    while let Ok(permit) = room.clone().acquire_owned().await {
        // Out of this runtime: the worker's own is to wake up for what comes.
        match listener.accept().await.and_then(|(stream, _peer)| stream.into_std()) {
            Ok(stream) => {
                workers.spawn(connections, connection(stream, site.clone(), graceful.watcher(), permit));
            }
            Err(error) => {
                if let Some(times) = refusals.add(Instant::now()) {
                    tracing::warn!(%error, times, "cannot accept connections");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: StdStream, site: Arc<Site>, graceful: Watcher, _permit: OwnedSemaphorePermit) {
    connection::serve(stream, site, graceful).await;
}

/// Connections that the system did not give.
#[derive(Debug, Default)]
struct Refusals {
    /// Since the log heard of them.
    count: u64,
    told: Option<Instant>,
}

impl Refusals {
    /// One more. So many have come since the log heard of them, if it is to hear of them now.
    fn add(&mut self, now: Instant) -> Option<u64> {
        self.count += 1;
        if self.told.is_some_and(|told| now < told + TELL_EVERY) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_descriptors_that_nothing_else_needs_are_for_clients() {
        assert_eq!(connections(Some(128), 2), 28, "each of 28 may have one towards its upstream: 56, and 72 are kept");
        assert_eq!(connections(Some(1024), 8), 464);
        assert_eq!([Some(1 << 20), None].map(|limit| connections(limit, 2)), [MAX_CONNECTIONS; 2]);
        assert_eq!(connections(Some(20), 64), MIN_CONNECTIONS);
    }

    #[test]
    fn operators_connections_are_many_where_there_are_descriptors_for_them() {
        assert_eq!([Some(1024), Some(8192), Some(1 << 20), None].map(operators), [16, 128, 256, 256]);
        assert_eq!(connections(Some(8192), 2), (8192 - 64 - 8 - (128 - 16)) / 2, "and clients have what is left");
    }

    #[test]
    fn the_log_hears_of_connections_that_cannot_be_accepted_once_a_minute() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        let told: Vec<u64> = (0..1500).filter_map(|i| refusals.add(start + ACCEPT_PAUSE * i)).collect();
        assert_eq!(told, [1, 1200], "75 s, and the second line says how many there were");
    }
}
