//! Embeddings of one model: as many calls as its wire takes for the input, a few at a time.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt, TryStreamExt, stream};
use http::Uri;
use tokio::time::Instant;

use super::super::{UpstreamError, WholeReply, WireAnswer, WireRequest};
use super::Reply;
use super::body::{Body, BodyError};
use super::target::Target;
use super::timing::Timing;
use crate::api::embeddings::EmbeddingsRequest;
use crate::api::error::BadRequest;

/// Calls under way at once for one request.
const AT_ONCE: usize = 8;
/// The longest answers to one request, bytes together: 2,048 vectors of 4,096 numbers, written out.
const MAX_BYTES: usize = 192 << 20;

/// The key to call with, and what counts the calls.
type With<'a> = (usize, &'a AtomicUsize);

impl Target {
    /// Asks the model for embeddings once, and counts its calls in `made`; `timing` is of a call that begins now.
    pub async fn embed(
        &self,
        request: &EmbeddingsRequest,
        made: &AtomicUsize,
        timing: &(impl Fn() -> Timing + Sync),
    ) -> Result<Reply, UpstreamError> {
        let mut call = self.vitals.begin(Instant::now());
        let reply = self.embeddings(request, (call.key, made), timing).await;
        match &reply {
            Ok(_) => call.succeeded(),
            Err(error) => call.failed(error, Instant::now()),
        }
        reply.map(Reply::Whole)
    }

    async fn embeddings(
        &self,
        request: &EmbeddingsRequest,
        with: With<'_>,
        timing: &(impl Fn() -> Timing + Sync),
    ) -> Result<WholeReply, UpstreamError> {
        let (model, reporter) = (&self.upstream_name, &self.endpoint.reporter);
        let Some((wire, uri)) = self.endpoint.provider.embeddings().zip(self.embeddings.as_ref()) else {
            let problem = "embeddings are not served by this provider's wire; ask a model of another provider";
            return Err(reporter.inexpressible(BadRequest::field("model", problem)));
        };
        let posted = wire.embed(model, request).map_err(|bad| reporter.inexpressible(bad))?;
        let answers = self.answers(uri, posted, with, timing).await?;
        wire.embedded(model, request, answers).map_err(|problem| self.endpoint.no_answer(problem))
    }

    /// The answers to all of `posted`, in its order. The first failure ends the others.
    async fn answers(
        &self,
        uri: &Uri,
        posted: Vec<WireRequest>,
        with: With<'_>,
        timing: &(impl Fn() -> Timing + Sync),
    ) -> Result<Vec<WireAnswer>, UpstreamError> {
        let (mut answers, mut room) = (Vec::with_capacity(posted.len()), MAX_BYTES);
        let each = MAX_BYTES / posted.len().clamp(1, AT_ONCE);
        let calls = posted.into_iter().map(|wire| self.answer_to((uri, wire), with, each, timing));
        let mut coming = stream::iter(calls).buffered(AT_ONCE);
        while let Some(answer) = coming.try_next().await? {
            let left = room.checked_sub(answer.body.len());
            room = left.ok_or_else(|| self.endpoint.reporter.body(BodyError::TooLong { limit: MAX_BYTES }))?;
            answers.push(answer);
        }
        Ok(answers)
    }

    async fn answer_to(
        &self,
        posted: (&Uri, WireRequest),
        (key, made): With<'_>,
        limit: usize,
        timing: &(impl Fn() -> Timing + Sync),
    ) -> Result<WireAnswer, UpstreamError> {
        let timing = timing();
        made.fetch_add(1, Ordering::Relaxed);
        let (response, lease) = self.send(posted, key, false, timing).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response, lease, timing).await);
        }
        let (head, body) = response.into_parts();
        let body = Body::new(body, lease, timing).whole(limit).await;
        let body = body.map_err(|error| self.endpoint.reporter.body(error))?;
        Ok(WireAnswer { headers: head.headers, body })
    }
}
