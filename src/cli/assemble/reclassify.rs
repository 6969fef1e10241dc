//! Another classifier for a gateway that runs: requests go on, and none is decided with one run's φ and another's posterior.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{AssembleError, Running};
use crate::difficulty::Bundle;
use crate::gateway::assess_again;
use crate::policy::{Decision, bundle_key};
use crate::store::{StoreError, TracePage, TraceReader, Unreadable};
use crate::trace::{Adopted, Event, Reclassified, TraceId};

/// Earlier requests that are assessed again at most, the newest.
const MOST: usize = 20_000;
/// The same where the classifier's encoder is slow: half a minute's work.
const MOST_SLOW: usize = 500;
/// Bodies that are read at once.
const PAGE: usize = 100;

impl Running {
    /// Whether the ledger has decisions of another classifier that this one has not assessed.
    pub fn is_incomplete(&self) -> bool {
        self.learner.incomplete
    }

    /// Whether this classifier is the one in use.
    pub fn uses(&self, bundle: &Bundle) -> bool {
        self.learner.snapshot.load().bundle == bundle_key(&bundle.fingerprint)
    }

    /// Takes `bundle` into use: earlier requests whose bodies are kept are assessed by it off the request path, the
    /// learner folds the ledger on the new φ, and with the snapshot that it then publishes the gateway changes over.
    /// The learner hears of nothing else while it folds.
    ///
    /// # Errors
    /// The bodies or the ledger cannot be read or written: the classifier before stays in use.
    pub async fn adopt(&self, bundle: Arc<Bundle>) -> Result<Adopted, AssembleError> {
        let (reader, by) = (self.learner.reader.clone(), bundle.clone());
        let assessing = tokio::task::spawn_blocking(move || assessed(&*reader, &by));
        let assessed = assessing.await.map_err(|_| AssembleError::LearnerEnded)??;
        self.gateway.offer(bundle.clone());
        let news = Reclassified {
            at_ms: self.gateway.now_ms(),
            fingerprint: bundle.fingerprint.clone(),
            prior: crate::policy::Snapshot::new(bundle.prior.clone()),
            assessed,
        };
        let (answer, adopted) = oneshot::channel();
        let told = self.learner.events.send(Event::Reclassified(Box::new(news), answer)).await;
        told.map_err(|_| AssembleError::LearnerEnded)?;
        Ok(adopted.await.map_err(|_| AssembleError::LearnerEnded)??)
    }
}

/// Decisions in `bundle`'s φ, oldest first, of the newest requests that are kept.
fn assessed(reader: &dyn TraceReader, bundle: &Bundle) -> Result<Vec<(TraceId, Decision)>, StoreError> {
    let most = if bundle.extractor.encoder().is_slow() { MOST_SLOW } else { MOST };
    let (mut assessed, mut before, mut read) = (Vec::new(), None, 0);
    while read < most {
        let TracePage { traces: page, unreadable } = reader.newest(before, PAGE.min(most - read))?;
        for Unreadable { file, error } in unreadable {
            tracing::warn!(%file, %error, "requests whose bodies cannot be read are not assessed again");
        }
        let Some(oldest) = page.last() else { break };
        (before, read) = (Some(oldest.id), read + page.len());
        assessed.extend(page.into_iter().filter_map(|trace| Some((trace.id, assess_again(bundle, trace)?))));
    }
    assessed.reverse();
    Ok(assessed)
}
