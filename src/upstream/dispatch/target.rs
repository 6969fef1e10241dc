//! One model at its provider: one call, and the answer to it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::super::told;
use super::super::{Asked, Cause, Stamp, UpstreamError, WholeReply, WireRequest};
use super::Reply;
use super::body::Body;
use super::capacity;
use super::choices::Choices;
use super::endpoint::Endpoint;
use super::pool::Lease;
use super::stream::ReplyStream;
use super::timing::Timing;
use super::token::Tokens;
use super::vitals::Vitals;
use crate::api::chat::ChatRequest;
use crate::catalog::Model;

/// The longest whole answer, bytes: several times what the longest outputs with log probabilities take.
const MAX_REPLY_BYTES: usize = 32 << 20;
/// So much of an error's body is read, bytes, and so long is it waited for.
const MAX_ERROR_BYTES: usize = 64 << 10;
const ERROR_WAIT: Duration = Duration::from_secs(5);

/// One model at its endpoint, and what is remembered of it between calls.
pub struct Target {
    pub endpoint: Arc<Endpoint>,
    pub vitals: Arc<Vitals>,
    /// The provider's name of the model.
    pub upstream_name: String,
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
    pub async fn call(&self, request: &ChatRequest, timing: Timing) -> Result<Reply, UpstreamError> {
        let mut call = self.vitals.begin(Instant::now());
        let asked = Asked { model: &self.upstream_name, request, stamp };
        match self.answer(asked, call.key, timing).await {
            Ok(Answer::Whole(reply)) => {
                call.succeeded();
                Ok(Reply::Whole(reply))
            }
            Ok(Answer::Stream(body)) => {
                let events = (self.endpoint.provider.events(&asked), Choices::of(request));
                ReplyStream::begin(Arc::clone(&self.endpoint), body, events, call).await.map(Reply::Stream)
            }
            Err(error) => {
                call.failed(&error, Instant::now());
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
        let request = self.endpoint.request((uri.clone(), key), wire, stream, SystemTime::now);
        let request = request.map_err(|problem| reporter.error(Cause::Configuration, problem))?;
        let request = match &self.endpoint.tokens {
            None => request,
            Some(tokens) => Box::pin(self.authorized(request, tokens, timing)).await?,
        };
        let sent = timing.first_byte.bound(self.endpoint.pool().send(request)).await;
        let answering = sent.map_err(|passed| reporter.late(passed))?;
        let answering = answering.map_err(|error| reporter.unsent(&error))?;
        if let Some(pause) = capacity::exhausted(answering.0.headers(), SystemTime::now) {
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
        let after = capacity::retry_after(&head.headers, SystemTime::now()).or(refusal.retry_after);
        let refilled = || match refusal.cause {
            Cause::RateLimited => capacity::exhausted(&head.headers, SystemTime::now),
            _ => None,
        };
        UpstreamError { retry_after: after.or_else(refilled), ..refusal }
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
