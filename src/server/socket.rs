//! A client's socket: what is written to it must go somewhere, within a bound.

use std::io::{self, IoSlice};
use std::mem;
use std::net::TcpStream as StdStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::upstream::Gathering;

/// How long a client may leave unread what is there for it. Then it counts as gone: no other deadline would see it,
/// for an answer is asked for its next piece only once there is room for that.
pub(super) const TAKING_DEADLINE: Duration = Duration::from_secs(30);
/// TCP keep-alive: from when on, how often, and after how many losses a silent peer is given up.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 3;

/// A connection on which no write waits for longer than [`TAKING_DEADLINE`].
#[derive(Debug)]
pub(super) struct Socket {
    inner: Gathering<TokioIo<TcpStream>>,
    /// A write waits, until `timer` ends.
    waits: bool,
    /// Made at the first wait: most clients take all at once.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    /// Of this runtime.
    ///
    /// # Errors
    /// The runtime cannot watch the socket.
    pub(super) fn new(stream: StdStream) -> io::Result<Self> {
        if let Err(error) = tune(&stream) {
            tracing::debug!(%error, "a connection is without some TCP options");
        }
        Ok(Self { inner: Gathering(TokioIo::new(TcpStream::from_std(stream)?)), waits: false, timer: None })
    }

    fn bounded(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.waits = false;
            return written;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(TAKING_DEADLINE)));
        if !mem::replace(&mut self.waits, true) {
            timer.as_mut().reset(Instant::now() + TAKING_DEADLINE);
        }
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(not_taken()))
    }
}

/// The client took nothing for [`TAKING_DEADLINE`].
pub(super) fn not_taken() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing of its answer")
}

fn tune(stream: &StdStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    // The same bound for what the system has taken and the client has not.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    socket.set_tcp_user_timeout(Some(TAKING_DEADLINE))?;
    Ok(())
}

impl Read for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.bounded(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.bounded(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
