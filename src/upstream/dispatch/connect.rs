//! Connections to one provider: straight, or through the proxy that the environment names.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderValue, Uri};
use hyper::rt::{Read, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use tokio::time::timeout;
use tower::Service;
use url::{Position, Url};

use crate::catalog::host::is_loopback;

/// TCP keep-alive: from when on, how often, and after how many losses a silent peer is given up.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 3;

/// Any error; its innermost cause says what happened.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Makes connections. Clones are cheap.
#[derive(Clone)]
pub struct Connector(Arc<Settings>);

struct Settings {
    /// Scheme, host and port.
    to: Uri,
    direct: HttpsConnector<HttpConnector>,
    tls: Arc<rustls::ClientConfig>,
    proxies: Matcher,
    /// Names, TCP and TLS together.
    deadline: Duration,
}

/// A connection, whatever it is made of.
pub type Link = Box<dyn Io>;

/// What HTTP needs of a connection.
pub trait Io: Read + Write + Send + Unpin {}

impl<T: Read + Write + Send + Unpin> Io for T {}

impl Connector {
    /// Connects to the server of `to` within `deadline`, through what `proxies` says.
    pub fn new(to: Uri, tls: Arc<rustls::ClientConfig>, proxies: Matcher, deadline: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        // TLS comes on top of it.
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE));
        tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
        Self(Arc::new(Settings { to, direct: HttpsConnector::from((tcp, tls.clone())), tls, proxies, deadline }))
    }

    /// A new connection.
    ///
    /// # Errors
    /// What the network, the proxy or TLS say; `Elapsed` where the deadline passed.
    pub async fn connect(&self) -> Result<Link, BoxError> {
        timeout(self.0.deadline, self.link()).await?
    }

    async fn link(&self) -> Result<Link, BoxError> {
        let Settings { to, direct, tls, proxies, .. } = &*self.0;
        let mut direct = direct.clone();
        let Some(proxy) = proxies.intercept(to) else {
            return Ok(Box::new(direct.call(to.clone()).await?));
        };
        if self.through_reader() {
            return Ok(Box::new(direct.call(proxy.uri().clone()).await?));
        }
        let tunnel = Tunnel::new(proxy.uri().clone(), direct);
        let tunnel = match proxy.basic_auth() {
            Some(auth) => tunnel.with_auth(auth.clone()),
            None => tunnel,
        };
        Ok(Box::new(HttpsConnector::from((tunnel, tls.clone())).call(to.clone()).await?))
    }

    /// A proxy reads the requests: they must name the whole URL.
    pub fn through_reader(&self) -> bool {
        let Settings { to, proxies, .. } = &*self.0;
        to.scheme() != Some(&Scheme::HTTPS) && proxies.intercept(to).is_some()
    }

    /// A URL of the server in the form that the way there wants.
    pub fn form<'u>(&self, url: &'u Url) -> &'u str {
        if self.through_reader() { url.as_str() } else { &url[Position::BeforePath..] }
    }

    /// User and password for the proxy on the way.
    pub fn proxy_auth(&self) -> Option<HeaderValue> {
        let mut key = self.0.proxies.intercept(&self.0.to)?.basic_auth()?.clone();
        key.set_sensitive(true);
        Some(key)
    }

    /// What a proxy that reads the requests wants to see; one that only carries TLS hears it when it connects.
    pub fn proxy_key(&self) -> Option<HeaderValue> {
        self.proxy_auth().filter(|_| self.through_reader())
    }
}

/// A proxy from the environment is for the way out, not for a model server on this machine.
pub fn proxies(base: &Url) -> Matcher {
    let is_here = base.host_str().is_some_and(is_loopback);
    if is_here { Matcher::builder().build() } else { Matcher::from_env() }
}
