//! One connection, for as long as it is of use.

use std::convert::Infallible;
use std::net::TcpStream as StdStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::Watcher;
use tokio::time::sleep;

use super::site::Site;
use super::socket::Socket;
use super::taken::TakenBody;

/// How long a connection may take until the head of its first request is there.
const FIRST_HEAD: Duration = Duration::from_secs(30);
/// The same where operators connect: they are near, and silent connections must not keep them out.
const OPERATORS_FIRST_HEAD: Duration = Duration::from_secs(5);
/// How long a kept-alive HTTP/1 connection may take, idle time included, until the next head is complete. HTTP/2
/// connections are checked this often and closed if idle since the last check.
const NEXT_HEAD: Duration = Duration::from_secs(120);
/// How often an HTTP/2 client is asked whether it is there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(20);

/// Serves `site` on `stream` until either side ends it.
pub(super) async fn serve(stream: StdStream, site: Arc<Site>, graceful: Watcher) {
    let socket = match Socket::new(stream) {
        Ok(socket) => socket,
        Err(error) => return tracing::warn!(%error, "cannot serve a connection"),
    };
    let traffic = Arc::new(Traffic::default());
    let first_head = if site.is_for_clients() { FIRST_HEAD } else { OPERATORS_FIRST_HEAD };
    let service = service_fn(|request| answer(site.clone(), traffic.clone(), request));
    let builder = builder();
    let served = graceful.watch(builder.serve_connection(socket, service));
    tokio::select! {
        biased;
        served = served => served.unwrap_or_else(|error| tracing::debug!(error, "a connection ended early")),
        () = traffic.over(first_head) => tracing::debug!("a connection on which nothing was asked is ended"),
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(NEXT_HEAD);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(PING).keep_alive_timeout(PONG);
    builder
}

async fn answer(
    site: Arc<Site>,
    traffic: Arc<Traffic>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    traffic.begun.fetch_add(1, Ordering::Relaxed);
    if request.version() != Version::HTTP_2 {
        return site.answer(request).await;
    }
    let under_way = UnderWay(traffic);
    let response = Box::pin(site.answer(request)).await?;
    Ok(response.map(|body| Body::new(TakenBody::new(body, under_way))))
}

/// How many requests a connection has brought.
#[derive(Debug, Default)]
struct Traffic {
    begun: AtomicUsize,
    /// Of HTTP/2. Those of HTTP/1 never count as ended: hyper has a deadline for the head of the next one.
    ended: AtomicUsize,
}

impl Traffic {
    /// Comes once nothing has been under way for too long. One timer serves it as long as the connection lasts.
    async fn over(&self, first_head: Duration) {
        sleep(first_head).await;
        let mut seen = 0;
        while !self.is_idle(seen) {
            seen = self.begun.load(Ordering::Relaxed);
            sleep(NEXT_HEAD).await;
        }
    }

    /// Nothing is under way, nor was since `seen` requests had come.
    fn is_idle(&self, seen: usize) -> bool {
        let (ended, begun) = (self.ended.load(Ordering::Relaxed), self.begun.load(Ordering::Relaxed));
        begun == ended && begun == seen
    }
}

/// A request of HTTP/2, until its answer has ended.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Traffic>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}
