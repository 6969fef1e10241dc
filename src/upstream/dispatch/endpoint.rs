//! One provider's end of the network: its connections, and what every request to it has.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ACCEPT, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use thread_local::ThreadLocal;
use tokio::time::Instant;
use url::{Position, Url};

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
use super::super::{Cause, NoAnswer, Provider, UpstreamError, WireRequest};
use super::connect::{Connector, proxies};
use super::fault::Reporter;
use super::headers;
use super::pool::Pool;
use super::secrets::Secrets;
use super::sign::Signer;
use super::token::Tokens;
use super::vitals::Shared;
use super::{ProviderStanding, SetupError};
use crate::catalog::quirks::Quirks;

/// A provider that can be called.
pub struct Endpoint {
    pub provider: Box<dyn Provider>,
    pub reporter: Reporter,
    pub deadlines: OwnDeadlines,
    pub vitals: Arc<Shared>,
    /// Header name and value per API key; empty for providers without keys.
    keys: Vec<(HeaderName, HeaderValue)>,
    /// One per thread: a connection lives on the runtime that made it, and a request on another thread would wake that
    /// one for each piece of its answer.
    pools: ThreadLocal<Arc<Pool>>,
    connector: Connector,
    base: Url,
    headers: HeaderMap,
    /// Where a service account stands in place of a key.
    pub tokens: Option<Arc<Tokens>>,
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
        let to = Uri::try_from(settings.base_url.as_str()).map_err(|_| SetupError::Url(settings.name.clone()))?;
        let connector = Connector::new(to, tls.clone(), proxies(&settings.base_url), connect);
        let secrets = Arc::new(Secrets::new(headers::secrets(&settings, &connector), settings.aws.is_some()));
        let reporter = Reporter::new(settings.name.clone(), connect, secrets.clone());
        let tokens = settings.service_account.clone();
        let tokens = tokens.map(|account| Tokens::new(account, &settings.name, &tls, connect, secrets));
        let tokens = tokens.transpose()?.map(Arc::new);
        let provider = provider(&settings);
        let headers = headers::of_all(&settings, &*provider, &connector);
        let keys = headers::keys(&settings, &*provider)?;
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
    pub fn pool(&self) -> Arc<Pool> {
        self.pools.get_or(|| Pool::new(self.connector.clone())).clone()
    }

    /// The provider's name.
    pub fn name(&self) -> &str {
        self.reporter.provider()
    }

    /// `path` below the provider's base URL, in the form that the way there wants.
    pub fn uri(&self, path: &str) -> Result<Uri, String> {
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

    /// The error for a 200 whose body is not a usable answer.
    pub fn no_answer(&self, problem: NoAnswer) -> UpstreamError {
        match problem {
            NoAnswer::Malformed(problem) => self.reporter.malformed(problem),
            NoAnswer::TooLong(problem) => self.reporter.error(Cause::TooLong, problem),
            NoAnswer::Told(body) => self.told(&body),
        }
    }

    /// An error that came under a 200: the refusal that it stands for, where it says of what kind it is.
    pub fn told(&self, body: &[u8]) -> UpstreamError {
        match told::status(body) {
            Some(status) => self.refused("answered 200, and in it", status, body),
            None => {
                let detail = self.provider.error(StatusCode::OK, body);
                self.reporter.malformed(format_args!("an error instead of an answer: {}", detail.message))
            }
        }
    }

    /// A redirect; only the host is told of where it leads: the rest of a URL may hold secrets.
    pub fn moved(&self, status: StatusCode, location: &HeaderValue) -> UpstreamError {
        let url = location.to_str().ok().and_then(|location| self.base.join(location).ok());
        let place = url.as_ref().map_or("nowhere", |url| &url[Position::BeforeHost..Position::AfterPort]);
        self.reporter.moved(status, place)
    }

    /// What a refusal with this status comes to, and `how` it came: "answered".
    pub fn refused(&self, how: &str, status: StatusCode, body: &[u8]) -> UpstreamError {
        let status = self.provider.true_status(status, body);
        if let Some(tokens) = self.tokens.as_ref().filter(|_| status == StatusCode::UNAUTHORIZED) {
            tokens.forget();
        }
        let refusal = self.reporter.refusal(how, status, self.provider.error(status, body));
        UpstreamError { retry_after: self.provider.retry_after(body), ..refusal }
    }

    /// What is sent, signed for the time `now` where the provider wants that.
    pub fn request(
        &self,
        (uri, key): (Uri, usize),
        wire: WireRequest,
        stream: bool,
        now: fn() -> SystemTime,
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
            signer.sign(&mut request, &wire.body, now())?;
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

/// The URL with a slash at its end, so that paths join below it.
fn with_slash(mut url: Url) -> Url {
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    url
}
