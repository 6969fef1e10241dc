//! Embeddings: nothing to decide, and nothing to learn from; asked, counted and passed on.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::time::Instant;

use super::answer::{Answer, AnswerBody, Facts};
use super::balance::Balance;
use super::preferred::Preferred;
use super::setup::Setup;
use super::sink::{Ended, Sink, left};
use super::{Gateway, GatewayError, Wishes};
use crate::api::embeddings::EmbeddingsRequest;
use crate::catalog::Usage;
use crate::policy::Kind;
use crate::trace::{Outcome, TraceId};
use crate::upstream::{Attempt, Exhausted, Reply, WholeReply};

impl Gateway {
    /// Makes embeddings; where several providers have the model, the next one where the first fails. Counted in the
    /// metrics, and not recorded as a trace.
    ///
    /// # Errors
    /// See [`GatewayError`].
    pub async fn embed(&self, body: Bytes, wishes: &Wishes) -> Result<Answer, GatewayError> {
        let request = EmbeddingsRequest::parse(&body)?;
        let mut request = request.or_drop_unsupported(wishes.drop_unsupported == Some(true));
        let setup = self.setup.load_full();
        let targets = setup.embedders(&request.model)?;
        let name = setup.targets[targets[0]].model.id.model.clone();
        let preferred = Preferred::of_embeddings(&setup, &mut request, targets)?;
        let targets = setup.deployments(targets.iter().copied(), &name, Balance::Weight, &*self.sources.draw);
        let targets = match preferred {
            Some(preferred) => preferred.embedders(&setup, &targets)?,
            None => targets,
        };
        let models: Vec<_> = targets.iter().map(|target| &*setup.targets[*target].model).collect();
        let mut tally = Tally::begin(setup.clone(), self.sink.clone(), targets);
        let dispatched = setup.upstreams.embed(&models, &request, &setup.limits, &tally.abandoned).await;
        match dispatched {
            Ok(dispatched) => {
                tally.attempted(&dispatched.attempts, Some(dispatched.target));
                Ok(tally.answered(dispatched.reply))
            }
            Err(Exhausted { attempts, error }) => {
                tally.attempted(&attempts, None);
                tally.outcome = Some(Outcome::Failed);
                Err(GatewayError::Exhausted { error, facts: Box::new(tally.facts()) })
            }
        }
    }
}

/// Counts a request once, when it is dropped: also where its client left.
struct Tally {
    setup: Arc<Setup>,
    sink: Arc<Sink>,
    /// Indices into [`Setup::targets`].
    targets: Vec<usize>,
    began: Instant,
    answering: Option<usize>,
    /// Who was asked when the client left.
    asking: Option<usize>,
    attempts: usize,
    usage: Usage,
    cost_usd: Option<f64>,
    /// `None` until the end.
    outcome: Option<Outcome>,
    /// What the upstreams did for a client that left meanwhile.
    abandoned: OnceLock<Vec<Attempt>>,
}

impl Tally {
    fn begin(setup: Arc<Setup>, sink: Arc<Sink>, targets: Vec<usize>) -> Self {
        sink.metrics.in_flight.inc();
        Self {
            setup,
            sink,
            targets,
            began: Instant::now(),
            answering: None,
            asking: None,
            attempts: 0,
            usage: Usage::default(),
            cost_usd: None,
            outcome: None,
            abandoned: OnceLock::new(),
        }
    }

    fn attempted(&mut self, attempts: &[Attempt], answering: Option<usize>) {
        let made = attempts.iter().filter(|attempt| attempt.was_made());
        self.attempts = made.clone().count();
        self.answering = answering.map(|i| self.targets[i]);
        for attempt in made {
            self.sink.metrics.attempt(&self.setup.targets[self.targets[attempt.target]].label, attempt.result());
        }
    }

    fn answered(mut self, reply: Reply) -> Answer {
        self.outcome = Some(Outcome::Answered);
        let reply = match reply {
            Reply::Whole(reply) => reply,
            // Embeddings are never asked for as a stream.
            Reply::Stream(_) => WholeReply::default(),
        };
        let price = self.answering.and_then(|target| self.setup.targets[target].model.price);
        if let Some(usage) = reply.usage {
            self.usage = usage;
            self.cost_usd = price.map(|price| price.cost(&usage));
        }
        Answer { facts: self.facts(), body: AnswerBody::Whole(reply.body) }
    }

    fn facts(&self) -> Facts {
        Facts {
            cache: None,
            age_s: None,
            trace: TraceId::nil(),
            route: None,
            model: self.answering.map(|target| self.setup.targets[target].label.clone()),
            kind: Kind::Pinned,
            propensity: None,
            difficulty: None,
            attempts: self.attempts,
            cost_usd: self.cost_usd,
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if let Some(attempts) = self.abandoned.take() {
            self.attempted(&attempts, None);
            self.asking = attempts.last().map(|last| self.targets[last.target]);
        }
        self.sink.count(Ended {
            route: None,
            segment: None,
            target: self.answering.map(|target| &self.setup.targets[target]),
            asked: self.asking.map(|target| &self.setup.targets[target]),
            outcome: self.outcome.unwrap_or_else(left),
            kind: Kind::Pinned,
            usage: self.usage,
            cost_usd: self.cost_usd.unwrap_or(0.0),
            elapsed: self.began.elapsed(),
        });
    }
}
