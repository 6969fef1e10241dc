//! One thread's connections to one provider: idle ones wait here, and a request takes the newest.
//!
//! A connection is driven by the request that it answers, in that request's own task: a task of its own would be woken up
//! and wake the other one for each piece of an answer. An idle one is driven by nobody; whether its server has closed it is
//! seen when it is next used.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use tokio::time::{Instant, sleep};

use super::connect::{BoxError, Connector, Link};

/// Read from a connection at once at most, and so the longest head of an answer: what each stream takes beside its own.
const READ_BYTES: usize = 64 << 10;

/// Connections that are kept though idle; more are closed after their answer.
const CAPACITY: usize = 512;
/// How long they are kept at least: shorter than what servers and balancers usually allow, so that a request seldom meets a
/// connection that is just being closed. None is taken that was idle for longer, and none is kept for twice as long.
const IDLE: Duration = Duration::from_secs(50);

/// Requests go out as HTTP/1.1, one at a time on each connection.
type Sent = Full<Bytes>;

/// The connections of one thread.
pub struct Pool {
    connector: Connector,
    /// The longest idle first.
    idle: Mutex<VecDeque<(Instant, Line)>>,
    /// A task looks after the idle ones.
    swept: AtomicBool,
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
        Arc::new(Self { connector, idle: Mutex::default(), swept: AtomicBool::new(false) })
    }

    /// Sends `request`, on a new connection where none is idle. A connection that its server closed while it was idle
    /// is no failure: where nothing of the request has left, the next one is tried.
    pub async fn send(self: Arc<Self>, mut request: Request<Sent>) -> Result<(Response<Incoming>, Lease), Unsent> {
        loop {
            let idle = self.take();
            let reused = idle.is_some();
            let mut line = match idle {
                Some(line) => line,
                // Boxed: a request that needs no new connection carries no room for making one.
                None => Box::pin(self.connect()).await?,
            };
            match line.send(request).await {
                Ok(response) => return Ok((response, Lease { pool: self, line: Some(line) })),
                Err(mut error) => match error.take_message() {
                    Some(unsent) if reused => request = unsent,
                    _ => return Err(Unsent::Broken(error.into_error())),
                },
            }
        }
    }

    async fn connect(self: &Arc<Self>) -> Result<Line, Unsent> {
        let link = self.connector.connect().await.map_err(Unsent::Connect)?;
        let (sender, connection) =
            Builder::new().max_buf_size(READ_BYTES).handshake(link).await.map_err(Unsent::Broken)?;
        if !self.swept.swap(true, Ordering::Relaxed) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
        Ok(Line { sender, wire: Wire::new(connection) })
    }

    /// The newest idle connection.
    fn take(&self) -> Option<Line> {
        self.close_old();
        std::iter::from_fn(|| self.idle().pop_back()).map(|(_, line)| line).find(Line::is_ready)
    }

    fn give_back(&self, line: Line) {
        let mut idle = self.idle();
        if idle.len() < CAPACITY {
            idle.push_back((Instant::now(), line));
        }
    }

    /// Closes those that were idle for too long.
    fn close_old(&self) {
        let (mut idle, now) = (self.idle(), Instant::now());
        while idle.front().is_some_and(|(since, _)| now >= *since + IDLE) {
            idle.pop_front();
        }
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<(Instant, Line)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes what is idle for too long, also where no request comes any more.
async fn sweep(pool: Weak<Pool>) {
    loop {
        sleep(IDLE).await;
        match pool.upgrade() {
            Some(pool) => pool.close_old(),
            None => return,
        }
    }
}

/// A connection, and where its requests go in.
struct Line {
    sender: SendRequest<Sent>,
    wire: Wire,
}

impl Line {
    /// Whether it can take a request, as far as is known.
    fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    async fn send(&mut self, request: Request<Sent>) -> Result<Response<Incoming>, TrySendError<Request<Sent>>> {
        let mut response = pin!(self.sender.try_send_request(request));
        poll_fn(|cx| {
            self.wire.drive(cx);
            response.as_mut().poll(&mut unwoken())
        })
        .await
    }
}

/// What moves a connection's bytes.
struct Wire {
    /// `None`: it has ended.
    connection: Option<Box<Connection<Link, Sent>>>,
    waiting: Arc<Waiting>,
    /// Wakes who is `waiting`.
    waker: Waker,
}

/// Who waits for a connection. It keeps wakers from one request to the next, and would wake those who have gone.
#[derive(Default)]
struct Waiting(AtomicWaker);

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake();
    }
}

impl Wire {
    fn new(connection: Connection<Link, Sent>) -> Self {
        let waiting = Arc::<Waiting>::default();
        Self { connection: Some(Box::new(connection)), waker: waiting.clone().into(), waiting }
    }

    /// Does what can be done now, and has `cx` woken when there is more.
    fn drive(&mut self, cx: &mut Context<'_>) {
        let Some(connection) = &mut self.connection else { return };
        self.waiting.0.register(cx.waker());
        if let Poll::Ready(end) = Pin::new(&mut **connection).poll(&mut Context::from_waker(&self.waker)) {
            if let Err(error) = end {
                tracing::debug!(%error, "an upstream connection ended early");
            }
            // Dropped, it gives back what it had not sent.
            self.connection = None;
        }
    }
}

/// For what comes from a connection: it comes by driving the connection, which does the waking.
fn unwoken() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// A connection whose answer is being read. Dropped at the answer's end, it gives the connection back; before it, it
/// closes the connection, and that cancels the call.
pub struct Lease {
    pool: Arc<Pool>,
    /// Taken when it is dropped.
    line: Option<Line>,
}

impl Lease {
    /// The next piece of the answer's `body`.
    pub fn poll_frame(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(&mut unwoken()) {
            return Poll::Ready(frame);
        }
        self.line.iter_mut().for_each(|line| line.wire.drive(cx));
        Pin::new(body).poll_frame(&mut unwoken())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Ready for another request: all of the answer has come.
        if let Some(line) = self.line.take().filter(Line::is_ready) {
            line.wire.waiting.0.take();
            self.pool.give_back(line);
        }
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").finish_non_exhaustive()
    }
}
