//! Access tokens of a service account: fetched once for all threads, and anew before their end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::vertex::ServiceAccount;
use super::super::{Cause, Deadlines, UpstreamError};
use super::SetupError;
use super::body::Body;
use super::connect::Connector;
use super::connect::proxies;
use super::fault::Reporter;
use super::headers::host;
use super::pool::{Lease, Pool};
use super::secrets::Secrets;
use super::timing::{Due, Timing};

/// How long a token may take to come.
const WAIT: Duration = Duration::from_secs(10);
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// Where a call gave none, the next is made after this, as long as the token that is there may be used.
const PAUSE: Duration = Duration::from_secs(10);
/// A token is not used any more when it ends this soon.
const SLACK: Duration = Duration::from_secs(10);
/// The longest that a token is believed to live.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// One account's tokens.
pub struct Tokens {
    account: Arc<ServiceAccount>,
    connector: Connector,
    uri: Uri,
    host: Option<HeaderValue>,
    connect: Duration,
    reporter: Reporter,
    /// What asks for a token, kept out of what the reporter says.
    asked: Arc<Secrets>,
    /// The tokens, which the provider's errors must not show.
    given: Arc<Secrets>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    token: Option<Token>,
    /// The call under way for the next one: there is one at most, and whoever needs its token waits for it.
    coming: Option<Coming>,
    /// When the last call gave no token.
    failed: Option<Instant>,
}

/// `authorization`, until when it is fresh, and until when it may be used.
#[derive(Clone)]
struct Token {
    header: HeaderValue,
    fresh_until: Instant,
    usable_until: Instant,
}

type Coming = watch::Receiver<Option<Result<HeaderValue, UpstreamError>>>;

/// What the endpoint says: a token, or why there is none.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Given {
        access_token: String,
        #[serde(default = "an_hour")]
        expires_in: u64,
    },
    Refused {
        error: String,
        #[serde(default)]
        error_description: String,
    },
}

fn an_hour() -> u64 {
    3600
}

impl Tokens {
    /// Fetches nothing yet. `provider` is named in errors; `given` learns each token.
    ///
    /// # Errors
    /// The endpoint's URL cannot be used.
    pub fn new(
        account: Arc<ServiceAccount>,
        provider: &str,
        tls: &Arc<rustls::ClientConfig>,
        connect: Duration,
        given: Arc<Secrets>,
    ) -> Result<Self, SetupError> {
        let url = &account.token_uri;
        let to = Uri::try_from(url.as_str()).map_err(|_| SetupError::Url(provider.to_owned()))?;
        let connector = Connector::new(to, tls.clone(), proxies(url), connect);
        let uri = Uri::try_from(connector.form(url)).map_err(|_| SetupError::Url(provider.to_owned()))?;
        let (host, asked) = (host(url), Arc::<Secrets>::default());
        let reporter = Reporter::new(provider.to_owned(), connect, asked.clone());
        Ok(Self { account, connector, uri, host, connect, reporter, asked, given, held: Mutex::default() })
    }

    /// `Bearer …`. Dropping the future leaves the call for a token, which others may wait for, under way.
    ///
    /// # Errors
    /// No token is to be had; [`Cause::Credentials`] where the account is refused.
    pub async fn header(self: &Arc<Self>) -> Result<HeaderValue, UpstreamError> {
        let mut coming = match self.usable_or_coming(Instant::now()) {
            Ok(header) => return Ok(header),
            Err(coming) => coming,
        };
        match coming.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone()) {
            Some(outcome) => outcome,
            None => Err(self.reporter.error(Cause::Server, "the call for an access token was given up")),
        }
    }

    /// The token was refused: the next request asks for another.
    pub fn forget(&self) {
        self.held().token = None;
    }

    /// The token that is there; a call for the next one is begun before it ends.
    fn usable_or_coming(self: &Arc<Self>, now: Instant) -> Result<HeaderValue, Coming> {
        let mut held = self.held();
        let usable = held.token.as_ref().filter(|token| now < token.usable_until).cloned();
        let pauses = held.failed.is_some_and(|at| now < at + PAUSE);
        if let Some(token) = usable.as_ref().filter(|token| pauses || now < token.fresh_until) {
            return Ok(token.header.clone());
        }
        // One whose task is gone, with its runtime, is not under way.
        let under_way = held.coming.take().filter(|coming| coming.has_changed().is_ok());
        let coming = held.coming.insert(under_way.unwrap_or_else(|| self.begin())).clone();
        usable.map(|token| token.header).ok_or(coming)
    }

    /// A task of its own: the request that needs the token may be given up.
    fn begin(self: &Arc<Self>) -> Coming {
        let (sender, coming) = watch::channel(None);
        let tokens = Arc::clone(self);
        tokio::spawn(async move {
            let outcome = tokens.fetch().await;
            if let Err(error) = &outcome {
                tracing::warn!(%error, "no access token");
            }
            let mut held = tokens.held();
            held.coming = None;
            held.failed = outcome.is_err().then(Instant::now);
            held.token = outcome.as_ref().ok().cloned().or(held.token.take());
            drop(held);
            sender.send_replace(Some(outcome.map(|token| token.header)));
        });
        coming
    }

    async fn fetch(&self) -> Result<Token, UpstreamError> {
        let began = Instant::now();
        let (response, lease, timing) = self.send(self.request()?, began).await?;
        let status = response.status();
        let body = Body::new(response.into_body(), lease, timing).whole(MAX_ANSWER_BYTES).await;
        let body = body.map_err(|error| self.reporter.body(error))?;
        match serde_json::from_slice(&body) {
            Ok(Answer::Given { access_token, expires_in }) if status.is_success() => {
                self.token(&access_token, Duration::from_secs(expires_in).min(LONGEST), began)
            }
            Ok(Answer::Refused { error, error_description }) => {
                Err(self.refused(status, format_args!(": {error} {error_description}")))
            }
            _ => Err(self.refused(status, format_args!(""))),
        }
    }

    async fn send(
        &self,
        request: Request<Full<Bytes>>,
        now: Instant,
    ) -> Result<(Response<Incoming>, Lease, Timing), UpstreamError> {
        let deadlines = Deadlines { connect: self.connect, first_byte: WAIT, idle: WAIT, total: WAIT };
        let timing = Timing::new(&deadlines, Due::total(WAIT, now), now);
        // Tokens are fetched once an hour: no connection is kept.
        let sent = timing.first_byte.bound(Pool::new(self.connector.clone()).send(request)).await;
        let sent = sent.map_err(|passed| self.reporter.late(passed))?;
        let (response, lease) = sent.map_err(|error| self.reporter.unsent(&error))?;
        Ok((response, lease, timing))
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, UpstreamError> {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let assertion = self.account.assertion(since_1970.as_secs());
        let assertion = assertion.map_err(|_| self.reporter.error(Cause::Credentials, "its key cannot sign"))?;
        // Whoever has the signature alone can put the rest together.
        self.asked.learn(&*assertion);
        self.asked.learn(assertion.rsplit('.').next().unwrap_or_default());
        let grant = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
        let mut request = Request::new(Full::new(format!("grant_type={grant}&assertion={assertion}").into()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.extend(self.host.clone().map(|host| (HOST, host)));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        Ok(request)
    }

    fn token(&self, token: &str, life: Duration, now: Instant) -> Result<Token, UpstreamError> {
        self.given.learn(token);
        let header = HeaderValue::try_from(format!("Bearer {token}"));
        let mut header = header.map_err(|_| self.refused(StatusCode::OK, format_args!(" with no token")))?;
        header.set_sensitive(true);
        Ok(Token { header, fresh_until: now + life * 9 / 10, usable_until: now + life.saturating_sub(SLACK) })
    }

    fn refused(&self, status: StatusCode, more: std::fmt::Arguments<'_>) -> UpstreamError {
        let cause = if status.is_server_error() { Cause::Server } else { Cause::Credentials };
        self.reporter.error(cause, format_args!("no access token: the token endpoint answered {status}{more}"))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
