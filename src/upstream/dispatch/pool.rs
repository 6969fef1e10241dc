//! One thread's connections to one provider: idle ones wait here, and a request takes the newest.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use tokio::time::Instant;

use super::connect::{BoxError, Connector};
use super::gather::Gathering;

/// Most bytes that are read from a connection at once, and so the longest head of an answer; each stream may hold as many.
const READ_BYTES: usize = 64 << 10;

/// Connections that are kept though idle; more are closed after their answer.
const CAPACITY: usize = 512;
/// How long they are kept: shorter than what servers and balancers usually allow, so that a request seldom meets a
/// connection that is just being closed.
const IDLE: Duration = Duration::from_secs(50);

/// Requests go out as HTTP/1.1, one at a time on each connection.
type Sender = SendRequest<Full<Bytes>>;

/// The connections of one thread, whose runtime drives them.
pub struct Pool {
    connector: Connector,
    /// The longest idle first.
    idle: Mutex<VecDeque<(Instant, Sender)>>,
}

/// Why no answer began.
#[derive(Debug)]
pub enum Unsent {
    Connect(BoxError),
    /// The connection broke, or what came is not HTTP.
    Broken(hyper::Error),
}

impl Pool {
    /// Connects nothing yet.
    pub fn new(connector: Connector) -> Arc<Self> {
        Arc::new(Self { connector, idle: Mutex::default() })
    }

    /// Sends `request`, on a new connection where none is idle. A connection that its server closed while it was idle
    /// is not a failure: where nothing of the request has left, the next one is tried.
    pub async fn send(
        self: Arc<Self>,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Lease), Unsent> {
        loop {
            let idle = self.take();
            let reused = idle.is_some();
            let mut sender = match idle {
                Some(sender) => sender,
                // Boxed: a request that needs no new connection carries no room for making one.
                None => Box::pin(self.connect()).await?,
            };
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, Lease { pool: self, sender: Some(sender) })),
                Err(mut error) => match error.take_message() {
                    Some(unsent) if reused => request = unsent,
                    _ => return Err(Unsent::Broken(error.into_error())),
                },
            }
        }
    }

    async fn connect(&self) -> Result<Sender, Unsent> {
        let link = self.connector.connect().await.map_err(Unsent::Connect)?;
        let (sender, connection) =
            Builder::new().max_buf_size(READ_BYTES).handshake(Gathering(link)).await.map_err(Unsent::Broken)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an upstream connection ended early");
            }
        });
        Ok(sender)
    }

    /// The newest idle connection that its server has not closed; those that were idle for too long are closed.
    fn take(&self) -> Option<Sender> {
        let mut idle = self.idle();
        let now = Instant::now();
        while idle.front().is_some_and(|(since, _)| now >= *since + IDLE) {
            idle.pop_front();
        }
        std::iter::from_fn(|| idle.pop_back()).map(|(_, sender)| sender).find(SendRequest::is_ready)
    }

    fn give_back(&self, sender: Sender) {
        let mut idle = self.idle();
        if idle.len() < CAPACITY {
            idle.push_back((Instant::now(), sender));
        }
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<(Instant, Sender)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection whose answer is being read. Dropped at the answer's end, it gives the connection back; before it, it
/// closes the connection, and that cancels the call.
pub struct Lease {
    pool: Arc<Pool>,
    /// Taken when it is dropped.
    sender: Option<Sender>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Ready for another request: all of the answer has come.
        if let Some(sender) = self.sender.take().filter(SendRequest::is_ready) {
            self.pool.give_back(sender);
        }
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").finish_non_exhaustive()
    }
}
