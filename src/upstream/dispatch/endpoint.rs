//! One provider's end of the network: its connection pool, its headers, its secrets; one call.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION, PROXY_AUTHORIZATION, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::proxy::matcher::Matcher;
use secrecy::{ExposeSecret, SecretString};
use thread_local::ThreadLocal;
use tokio::time::{Instant, timeout};
use url::{Position, Url};
use uuid::Uuid;

use super::super::anthropic::Anthropic;
use super::super::azure::Azure;
use super::super::bedrock::Bedrock;
use super::super::cohere::Cohere;
use super::super::compatible::Compatible;
use super::super::gemini::Gemini;
use super::super::mistral::Mistral;
use super::super::openai::OpenAi;
use super::super::responses::Responses;
use super::super::settings::{OwnDeadlines, ProviderSettings, Wire};
use super::super::told;
use super::super::vertex::Vertex;
use super::super::{Asked, Cause, KeyHeader, NoAnswer, Provider, Stamp, UpstreamError, WholeReply, WireRequest};
use super::body::Body;
use super::capacity;
use super::choices::Choices;
use super::connect::Connector;
use super::fault::Reporter;
use super::pool::{Lease, Pool};
use super::sign::Signer;
use super::stream::ReplyStream;
use super::timing::Timing;
use super::token::Tokens;
use super::vitals::{Shared, Vitals};
use super::{ProviderStanding, Reply, SetupError};
use crate::api::chat::ChatRequest;
use crate::catalog::Model;
use crate::catalog::host::is_loopback;
use crate::catalog::quirks::Quirks;

/// The longest whole answer, bytes: several times what the longest outputs with log probabilities take.
const MAX_REPLY_BYTES: usize = 32 << 20;
/// So much of an error's body is read, bytes, and so long is it waited for.
const MAX_ERROR_BYTES: usize = 64 << 10;
const ERROR_WAIT: Duration = Duration::from_secs(5);
/// A provider that can be called.
pub struct Endpoint {
    pub provider: Box<dyn Provider>,
    pub reporter: Reporter,
    pub deadlines: OwnDeadlines,
    vitals: Arc<Shared>,
    /// One a key: where it stands, and what it is. Empty where the provider asks for none.
    keys: Vec<(HeaderName, HeaderValue)>,
    /// One a thread: a connection lives on the runtime that made it, and a request on another thread would wake that
    /// one for each piece of its answer.
    pools: ThreadLocal<Arc<Pool>>,
    connector: Connector,
    base: Url,
    headers: HeaderMap,
    /// Where a service account stands in place of a key.
    tokens: Option<Arc<Tokens>>,
    signer: Option<Signer>,
    /// See [`ProviderSettings::collects_data`].
    pub collects_data: bool,
    /// See [`Quirks::routes_itself`].
    pub routes_itself: bool,
    /// What it was made of, with how long a connection may take.
    made_of: (ProviderSettings, Duration),
}

impl Endpoint {
    /// Connects nothing yet.
    ///
    /// # Errors
    /// The URL or a header cannot be used.
    pub fn new(
        settings: ProviderSettings,
        tls: Arc<rustls::ClientConfig>,
        connect: Duration,
    ) -> Result<Self, SetupError> {
        let reporter = Reporter::new(settings.name.clone(), connect, secrets(&settings));
        let to = Uri::try_from(settings.base_url.as_str()).map_err(|_| SetupError::Url(settings.name.clone()))?;
        let tokens =
            settings.service_account.clone().map(|account| Tokens::new(account, &settings.name, &tls, connect));
        let tokens = tokens.transpose()?.map(Arc::new);
        let connector = Connector::new(to, tls, proxies(&settings.base_url), connect);
        let provider = provider(&settings);
        let headers = headers(&settings, &*provider, &connector)?;
        let keys = keys(&settings, &*provider)?;
        let vitals = Arc::new(Shared::new(&settings.name, keys.len()));
        let signer = settings.aws.as_ref().map(Signer::new);
        let base = with_slash(settings.base_url.clone());
        Ok(Self {
            provider,
            reporter,
            deadlines: settings.deadlines,
            collects_data: settings.collects_data,
            routes_itself: settings.quirks.routes_itself,
            vitals,
            keys,
            pools: ThreadLocal::new(),
            connector,
            base,
            headers,
            tokens,
            signer,
            made_of: (settings, connect),
        })
    }

    /// Whether another of these would be the same.
    pub fn is_made_of(&self, settings: &ProviderSettings, connect: Duration) -> bool {
        self.made_of.0 == *settings && self.made_of.1 == connect
    }

    /// This thread's connections.
    fn pool(&self) -> Arc<Pool> {
        self.pools.get_or(|| Pool::new(self.connector.clone())).clone()
    }

    /// The provider's name.
    pub fn name(&self) -> &str {
        self.reporter.provider()
    }

    /// `path` below the provider's base URL, in the form that the way there wants.
    fn uri(&self, path: &str) -> Result<Uri, String> {
        let url = self.base.join(path).map_err(|error| error.to_string())?;
        Uri::try_from(self.connector.form(&url)).map_err(|error| error.to_string())
    }

    /// How it stands, and each of its keys.
    pub fn standing(&self, now: Instant) -> ProviderStanding {
        ProviderStanding {
            name: self.name().to_owned(),
            condition: self.vitals.provider(now),
            keys: self.vitals.keys(now).collect(),
        }
    }

    /// What an answer that is none comes to.
    pub fn no_answer(&self, problem: NoAnswer) -> UpstreamError {
        match problem {
            NoAnswer::Malformed(problem) => self.reporter.malformed(problem),
            NoAnswer::TooLong(problem) => self.reporter.error(Cause::TooLong, problem),
            NoAnswer::Told(body) => self.told(&body),
        }
    }

    /// An error that came under a 200: the refusal that it stands for, where it says of what kind it is.
    fn told(&self, body: &[u8]) -> UpstreamError {
        match told::status(body) {
            Some(status) => self.refused("answered 200, and in it", status, body),
            None => {
                let detail = self.provider.error(StatusCode::OK, body);
                self.reporter.malformed(format_args!("an error instead of an answer: {}", detail.message))
            }
        }
    }

    /// A redirect; only the host is told of where it leads, for the rest of a URL may hold secrets.
    fn moved(&self, status: StatusCode, location: &HeaderValue) -> UpstreamError {
        let url = location.to_str().ok().and_then(|location| self.base.join(location).ok());
        let place = url.as_ref().map_or("nowhere", |url| &url[Position::BeforeHost..Position::AfterPort]);
        self.reporter.moved(status, place)
    }

    /// What a refusal with this status comes to, and `how` it came: "answered".
    fn refused(&self, how: &str, status: StatusCode, body: &[u8]) -> UpstreamError {
        let status = self.provider.true_status(status, body);
        if let Some(tokens) = self.tokens.as_ref().filter(|_| status == StatusCode::UNAUTHORIZED) {
            tokens.forget();
        }
        let refusal = self.reporter.refusal(how, status, self.provider.error(status, body));
        UpstreamError { retry_after: self.provider.retry_after(body), ..refusal }
    }

    /// What is sent at the time `now`, signed where the provider wants that.
    fn request(
        &self,
        (uri, key): (Uri, usize),
        wire: WireRequest,
        stream: bool,
        now: SystemTime,
    ) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::new(Full::new(wire.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        let accept = if stream { self.provider.framing().media_type() } else { "application/json" };
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.extend(self.keys.get(key).cloned());
        for (name, value) in &wire.headers {
            headers.append(name, value.clone());
        }
        if let Some(signer) = &self.signer {
            signer.sign(&mut request, &wire.body, now)?;
        }
        Ok(request)
    }
}

/// The translation for a provider's wire.
fn provider(settings: &ProviderSettings) -> Box<dyn Provider> {
    let compatible = || Compatible::new(&*settings.name, settings.quirks.clone());
    match settings.wire {
        Wire::Anthropic => Box::new(Anthropic::below(settings.base_url.path())),
        Wire::Azure => Box::new(Azure::new(compatible(), settings.base_url.path(), settings.api_version.clone())),
        Wire::Bedrock => Box::new(Bedrock),
        Wire::Cohere => Box::new(Cohere),
        Wire::Gemini => Box::new(Gemini),
        Wire::Mistral => Box::new(Mistral(compatible())),
        Wire::OpenAi if settings.quirks == Quirks::default() => Box::new(OpenAi),
        Wire::OpenAi => Box::new(compatible()),
        Wire::OpenAiResponses => Box::new(Responses::of(&*settings.name)),
        Wire::Vertex => Box::new(Vertex),
    }
}

/// One model at its endpoint, and what is remembered of it between calls.
pub struct Target {
    pub endpoint: Arc<Endpoint>,
    pub vitals: Arc<Vitals>,
    /// The provider's name of the model.
    upstream_name: String,
    whole: Uri,
    stream: Uri,
    /// The longest answer, tokens.
    longest: Option<u32>,
    /// `None`: the wire has none.
    pub embeddings: Option<Uri>,
}

impl Target {
    /// # Errors
    /// The provider's path for this model makes no URL.
    pub fn new(endpoint: Arc<Endpoint>, model: &Model) -> Result<Self, UpstreamError> {
        let name = &model.upstream_name;
        let uri = |path: String| {
            endpoint.uri(&path).map_err(|problem| {
                endpoint.reporter.error(Cause::Configuration, format_args!("no URL for \"{name}\": {problem}"))
            })
        };
        let (whole, stream) = (uri(endpoint.provider.path(name, false))?, uri(endpoint.provider.path(name, true))?);
        let embeddings = endpoint.provider.embeddings().map(|wire| uri(wire.embeddings_path(name))).transpose()?;
        let vitals = Arc::new(Vitals::new(endpoint.vitals.clone(), model.id.to_string()));
        let (upstream_name, longest) = (name.clone(), model.max_output_tokens);
        Ok(Self { endpoint, vitals, upstream_name, whole, stream, longest, embeddings })
    }

    /// `model` in another configuration, at `endpoint`, with the health that it has had so far; `None` where it is another
    /// one now.
    pub fn renewed(&self, endpoint: &Arc<Endpoint>, model: &Model) -> Option<Self> {
        let is_same = Arc::ptr_eq(endpoint, &self.endpoint) && self.upstream_name == model.upstream_name;
        let target = Self::new(endpoint.clone(), model).ok().filter(|_| is_same)?;
        Some(Self { vitals: self.vitals.clone(), ..target })
    }

    /// Calls the model once. A stream is given back once it says something.
    pub async fn call(
        &self,
        upstream_name: &str,
        request: &ChatRequest,
        timing: Timing,
    ) -> Result<Reply, UpstreamError> {
        let began = Instant::now();
        let mut call = self.vitals.begin(began);
        let asked = Asked { model: upstream_name, request, stamp };
        let answer = self.answer(asked, call.key, timing).await;
        let now = Instant::now();
        if answer.is_ok() {
            self.vitals.load.observe(now - began, now);
        }
        match answer {
            Ok(Answer::Whole(reply)) => {
                call.succeeded();
                Ok(Reply::Whole(reply))
            }
            Ok(Answer::Stream(body)) => {
                let events = (self.endpoint.provider.events(&asked), Choices::of(request));
                ReplyStream::begin(Arc::clone(&self.endpoint), body, events, call).await.map(Reply::Stream)
            }
            Err(error) => {
                call.failed(&error, now);
                Err(error)
            }
        }
    }

    async fn answer(&self, asked: Asked<'_>, key: usize, timing: Timing) -> Result<Answer, UpstreamError> {
        let Endpoint { provider, reporter, .. } = &*self.endpoint;
        let Asked { model, request, .. } = asked;
        let wire = provider.request_up_to(model, self.longest, request);
        let wire = wire.map_err(|bad| reporter.inexpressible(bad))?;
        let uri = if request.stream { &self.stream } else { &self.whole };
        let (response, lease) = self.send((uri, wire), key, request.stream, timing).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response, lease, timing).await);
        }
        if request.stream {
            return self.event_stream(response, lease, timing).await.map(Answer::Stream);
        }
        let body = Body::new(response.into_body(), lease, timing).whole(MAX_REPLY_BYTES).await;
        let body = body.map_err(|error| reporter.body(error))?;
        provider.reply(&asked, body).map(Answer::Whole).map_err(|problem| self.endpoint.no_answer(problem))
    }

    pub async fn send(
        &self,
        (uri, wire): (&Uri, WireRequest),
        key: usize,
        stream: bool,
        timing: Timing,
    ) -> Result<Answering, UpstreamError> {
        let reporter = &self.endpoint.reporter;
        let request = self.endpoint.request((uri.clone(), key), wire, stream, SystemTime::now());
        let request = request.map_err(|problem| reporter.error(Cause::Credentials, problem))?;
        let request = match &self.endpoint.tokens {
            None => request,
            Some(tokens) => Box::pin(self.authorized(request, tokens, timing)).await?,
        };
        let sent = timing.first_byte.bound(self.endpoint.pool().send(request)).await;
        let answering = sent.map_err(|passed| reporter.late(passed))?;
        let answering = answering.map_err(|error| reporter.unsent(&error))?;
        if let Some(pause) = capacity::exhausted(answering.0.headers(), SystemTime::now()) {
            self.vitals.exhausted(key, pause, Instant::now());
        }
        Ok(answering)
    }

    /// The request with an access token.
    async fn authorized(
        &self,
        mut request: Request<Full<Bytes>>,
        tokens: &Arc<Tokens>,
        timing: Timing,
    ) -> Result<Request<Full<Bytes>>, UpstreamError> {
        let header = timing.first_byte.bound(tokens.header()).await;
        let header = header.map_err(|passed| self.endpoint.reporter.late(passed))??;
        request.headers_mut().insert(AUTHORIZATION, header);
        Ok(request)
    }

    pub async fn refusal(&self, response: Response<Incoming>, lease: Lease, timing: Timing) -> UpstreamError {
        let (head, body) = response.into_parts();
        if let Some(place) = head.headers.get(LOCATION).filter(|_| head.status.is_redirection()) {
            return self.endpoint.moved(head.status, place);
        }
        let body =
            timeout(ERROR_WAIT, Body::new(body, lease, timing).beginning(MAX_ERROR_BYTES)).await.unwrap_or_default();
        let refusal = self.endpoint.refused("answered", head.status, &body);
        let after = capacity::retry_after(&head.headers, SystemTime::now());
        UpstreamError { retry_after: after.or(refusal.retry_after), ..refusal }
    }

    /// The body of a 200, if it is a stream of events: some upstreams say what is wrong in a 200 with a JSON body.
    async fn event_stream(
        &self,
        response: Response<Incoming>,
        lease: Lease,
        timing: Timing,
    ) -> Result<Body, UpstreamError> {
        let Endpoint { provider, reporter, .. } = &*self.endpoint;
        let (head, body) = response.into_parts();
        let body = Body::new(body, lease, timing);
        let kind = head.headers.get(CONTENT_TYPE).map_or(Bytes::new(), |kind| Bytes::copy_from_slice(kind.as_bytes()));
        if kind.is_empty() || kind.to_ascii_lowercase().starts_with(provider.framing().media_type().as_bytes()) {
            return Ok(body);
        }
        let beginning = timeout(ERROR_WAIT, body.beginning(MAX_ERROR_BYTES)).await.unwrap_or_default();
        if told::status(&beginning).is_some() {
            return Err(self.endpoint.told(&beginning));
        }
        let detail = provider.error(head.status, &beginning);
        let kind = String::from_utf8_lossy(&kind);
        Err(reporter.malformed(format_args!("asked for a stream, it sent {kind}: {}", detail.message)))
    }
}

/// An answer that begins, and the connection that it comes on.
pub type Answering = (Response<Incoming>, Lease);

/// A fresh id and the time, for wires that give none.
fn stamp() -> Stamp {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Stamp { id: Uuid::now_v7(), created_s: since_1970.as_secs() }
}

/// What a call gave, before a stream has begun.
enum Answer {
    Whole(WholeReply),
    Stream(Body),
}

/// The URL with a slash at its end, so that paths join below it.
fn with_slash(mut url: Url) -> Url {
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    url
}

fn headers(
    settings: &ProviderSettings,
    provider: &dyn Provider,
    connector: &Connector,
) -> Result<HeaderMap, SetupError> {
    let agent = concat!("satisfice/", env!("CARGO_PKG_VERSION"));
    let mut headers = HeaderMap::with_capacity(8 + settings.headers.len());
    headers.extend(host(&settings.base_url).map(|host| (HOST, host)));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.extend(provider.headers());
    headers.extend(settings.headers.clone());
    headers.extend(connector.proxy_key().map(|key| (PROXY_AUTHORIZATION, key)));
    Ok(headers)
}

fn keys(settings: &ProviderSettings, provider: &dyn Provider) -> Result<Vec<(HeaderName, HeaderValue)>, SetupError> {
    let name = settings.quirks.key_header.as_deref();
    let place = name.map_or_else(|| Some(own_place(provider.key_header())), |name| name.parse().ok());
    let header = |key| place.clone().and_then(|name| key_header(name, key)).ok_or_else(|| bad_key(settings));
    settings.api_keys.iter().map(header).collect()
}

fn bad_key(settings: &ProviderSettings) -> SetupError {
    SetupError::ApiKey(settings.name.clone())
}

/// `host:port`, without the port where it is the scheme's own.
pub fn host(url: &Url) -> Option<HeaderValue> {
    HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort]).ok()
}

fn own_place(place: KeyHeader) -> HeaderName {
    match place {
        KeyHeader::Bearer => AUTHORIZATION,
        KeyHeader::Named(name) => HeaderName::from_static(name),
    }
}

fn key_header(name: HeaderName, key: &SecretString) -> Option<(HeaderName, HeaderValue)> {
    let value = match name {
        AUTHORIZATION => format!("Bearer {}", key.expose_secret()),
        _ => key.expose_secret().to_owned(),
    };
    let mut value = HeaderValue::try_from(value).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

/// What must not turn up in an error: the key, and the values of configured headers, which may be keys too.
fn secrets(settings: &ProviderSettings) -> Vec<SecretString> {
    let values = settings.headers.values().filter_map(|value| value.to_str().ok()).map(SecretString::from);
    let aws = settings.aws.iter().flat_map(|aws| [Some(&aws.secret_access_key), aws.session_token.as_ref()]);
    settings.api_keys.iter().chain(aws.flatten()).cloned().chain(values).collect()
}

/// A proxy from the environment is for the way out, not for a model server on this machine.
pub fn proxies(base: &Url) -> Matcher {
    let is_here = base.host_str().is_some_and(is_loopback);
    if is_here { Matcher::builder().build() } else { Matcher::from_env() }
}
