//! Connections to one provider: straight, or through the proxy that the environment names.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::Matcher;
use tokio::time::timeout;
use tower::Service;

/// TCP keep-alive: from when on, how often, and after how many losses a silent peer is given up.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 3;

type BoxError = Box<dyn Error + Send + Sync>;

/// Makes connections. Clones are cheap.
#[derive(Clone)]
pub struct Connector(Arc<Settings>);

struct Settings {
    direct: HttpsConnector<HttpConnector>,
    tls: Arc<rustls::ClientConfig>,
    proxies: Arc<Matcher>,
    /// Names, TCP and TLS together.
    deadline: Duration,
}

impl Connector {
    /// Connects within `deadline`, through what `proxies` says.
    pub fn new(tls: Arc<rustls::ClientConfig>, proxies: Arc<Matcher>, deadline: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        // TLS comes on top of it.
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE));
        tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
        Self(Arc::new(Settings { direct: HttpsConnector::from((tcp, tls.clone())), tls, proxies, deadline }))
    }

    async fn connect(self, to: Uri) -> Result<Link, BoxError> {
        let Settings { direct, tls, proxies, .. } = &*self.0;
        let mut direct = direct.clone();
        let Some(proxy) = proxies.intercept(&to) else {
            return Ok(Link::new(direct.call(to).await?, false));
        };
        if to.scheme() != Some(&Scheme::HTTPS) {
            return Ok(Link::new(direct.call(proxy.uri().clone()).await?, true));
        }
        let tunnel = Tunnel::new(proxy.uri().clone(), direct);
        let tunnel = match proxy.basic_auth() {
            Some(auth) => tunnel.with_auth(auth.clone()),
            None => tunnel,
        };
        Ok(Link::new(HttpsConnector::from((tunnel, tls.clone())).call(to).await?, false))
    }
}

impl Service<Uri> for Connector {
    type Response = Link;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Link, BoxError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { timeout(connector.0.deadline, connector.connect(to)).await? })
    }
}

/// A connection, whatever it is made of.
pub struct Link {
    io: Box<dyn Io>,
    /// A proxy reads the requests: they must name the whole URL.
    proxied: bool,
}

trait Io: Read + Write + Connection + Send + Unpin {}

impl<T: Read + Write + Connection + Send + Unpin> Io for T {}

impl Link {
    fn new(io: impl Io + 'static, proxied: bool) -> Self {
        Self { io: Box::new(io), proxied }
    }

    fn io(self: Pin<&mut Self>) -> Pin<&mut dyn Io> {
        Pin::new(&mut *self.get_mut().io)
    }
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        self.io.connected().proxy(self.proxied)
    }
}

impl Read for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<Result<(), std::io::Error>> {
        self.io().poll_read(cx, into)
    }
}

impl Write for Link {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.io().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.io().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.io().poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        self.io().poll_write_vectored(cx, pieces)
    }
}
