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
    /// The learner hears of nothing else while it folds. Where this is not waited for to the end, no more is assessed.
    ///
    /// # Errors
    /// The bodies or the ledger cannot be read or written: the classifier before stays in use.
    pub async fn adopt(&self, bundle: Arc<Bundle>) -> Result<Adopted, AssembleError> {
        let (reader, by) = (self.learner.reader.clone(), bundle.clone());
        let (answer, assessed) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let assessed = assess(&*reader, &by, || answer.is_closed());
            // A send fails only if nobody waits for it any more.
            answer.send(assessed)
        });
        let assessed = assessed.await.map_err(|_| AssembleError::LearnerEnded)??;
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

/// Decisions in `bundle`'s φ, oldest first, of the newest requests that are kept; without those that the ledger has in
/// it already. Ends early once it is given up, with a part of them.
fn assess(
    reader: &dyn TraceReader,
    bundle: &Bundle,
    is_given_up: impl Fn() -> bool,
) -> Result<Vec<(TraceId, Decision)>, StoreError> {
    let most = if bundle.extractor.encoder().is_slow() { MOST_SLOW } else { MOST };
    let (key, mut assessed, mut before, mut read) = (bundle_key(&bundle.fingerprint), Vec::new(), None, 0);
    while read < most && !is_given_up() {
        let TracePage { traces: page, unreadable } = reader.newest(before, PAGE.min(most - read))?;
        for Unreadable { file, error } in unreadable {
            tracing::warn!(%file, %error, "requests whose bodies cannot be read are not assessed again");
        }
        let Some(oldest) = page.last() else { break };
        (before, read) = (Some(oldest.id), read + page.len());
        // Each may take a transformer a good part of a second.
        for trace in page.into_iter().take_while(|_| !is_given_up()) {
            if !reader.was_decided_in(trace.id, key)? {
                let id = trace.id;
                assessed.extend(assess_again(bundle, trace).map(|decision| (id, decision)));
            }
        }
    }
    assessed.reverse();
    Ok(assessed)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use uuid::Uuid;

    use super::*;
    use crate::api::chat::Needs;
    use crate::api::metadata::Metadata;
    use crate::policy::{Candidate, Kind, Knob};
    use crate::store::memory::MemoryStore;
    use crate::store::{Entry, Store};
    use crate::trace::{Outcome, ReplyText, Trace};

    fn decision() -> Decision {
        Decision {
            kind: Kind::Exploit,
            policy: "thompson".into(),
            snapshot_version: 1,
            segment: None,
            knob: Knob::Quality(0.9),
            phi: vec![1.0],
            widening: 1.0,
            verbosity: 0.0,
            input_tokens: 1,
            difficulty: 0.5,
            candidates: vec![Candidate { arm: "small".into(), quality: 0.5, cost_usd: 1e-3, propensity: 1.0 }],
            preferred: 0,
            chosen: 0,
            draw: 0.5,
            audit: None,
            consult: None,
        }
    }

    fn trace(n: u128) -> Trace {
        Trace {
            id: Uuid::from_u128(n),
            at_ms: 0,
            owner: None,
            route: Some("auto".into()),
            metadata: Metadata::default(),
            decision: Some(decision().into()),
            bundle: None,
            attempts: vec![],
            model: None,
            outcome: Outcome::Answered,
            needs: Needs::default(),
            stream: false,
            usage: None,
            cost_usd: None,
            first_byte_us: None,
            total_us: 0,
            request: br#"{"model":"auto","messages":[{"role":"user","content":"?"}]}"#[..].into(),
            reply: ReplyText::default(),
        }
    }

    /// Ten requests; those of `known` are in the φ of `bundle` already, all of them in another's.
    fn store(bundle: &Bundle, known: std::ops::Range<u128>) -> MemoryStore {
        let (mut store, key) = (MemoryStore::default(), bundle_key(&bundle.fingerprint));
        let decided = |(n, bundle)| Entry::Decided {
            trace: Uuid::from_u128(n),
            at_ms: 0,
            owner: None,
            route: "auto".into(),
            bundle,
            decision: decision().into(),
        };
        let entries = (0..10).map(|n| (n, !key)).chain(known.map(|n| (n, key)));
        store.append(&entries.map(decided).collect::<Vec<_>>()).unwrap();
        (0..10).for_each(|n| store.stage(&trace(n)).unwrap());
        store.keep().unwrap();
        store
    }

    fn ids(assessed: Vec<(TraceId, Decision)>) -> Vec<u128> {
        assessed.into_iter().map(|(id, _)| id.as_u128()).collect()
    }

    #[test]
    fn what_the_ledger_has_in_the_classifier_s_phi_is_not_assessed_again() {
        let bundle = Bundle::embedded().unwrap();
        let assessed = assess(&*store(&bundle, 2..9).reader(), &bundle, || false).unwrap();
        assert_eq!(ids(assessed), [0, 1, 9]);
    }

    #[test]
    fn no_more_is_assessed_once_nobody_waits_for_it() {
        let (bundle, asked) = (Bundle::embedded().unwrap(), Cell::new(0));
        let given_up = || asked.replace(asked.get() + 1) >= 4;
        let assessed = assess(&*store(&bundle, 0..0).reader(), &bundle, given_up).unwrap();
        assert_eq!(ids(assessed), [7, 8, 9]);
    }
}
