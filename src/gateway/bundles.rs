//! The classifiers that are loaded: the one in use, and while another takes over, that one too.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::assessor::Assessor;
use crate::api::chat::ChatRequest;
use crate::difficulty::{Bundle, Context, DifficultyError};
use crate::features::Draft;
use crate::policy::{Decision, Kind, bundle_key};
use crate::trace::Trace;

/// A classifier and the key that snapshots and decisions know it by.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) key: u64,
    bundle: Arc<Bundle>,
    /// Where the classifier runs, if that is not the calling thread.
    assessor: Option<Assessor>,
}

/// At most two, the newest last.
#[derive(Debug)]
pub(super) struct Bundles(ArcSwap<Vec<Held>>);

impl Deref for Held {
    type Target = Bundle;

    fn deref(&self) -> &Bundle {
        &self.bundle
    }
}

impl Held {
    fn new(bundle: Arc<Bundle>) -> Self {
        let is_slow = bundle.extractor.encoder().is_slow();
        let assessor = is_slow.then(|| Assessor::start(bundle.clone()));
        Self { key: bundle_key(&bundle.fingerprint), bundle, assessor }
    }

    /// [`Bundle::assess`], which never blocks the calling thread for more than microseconds.
    pub(super) async fn assess(&self, draft: Draft) -> Result<Context, DifficultyError> {
        match &self.assessor {
            Some(assessor) => assessor.assess(draft).await,
            None => self.bundle.assess(draft),
        }
    }
}

impl Bundles {
    pub(super) fn new(bundle: Arc<Bundle>) -> Self {
        Self(ArcSwap::from_pointee(vec![Held::new(bundle)]))
    }

    /// The one with this key; else the newest, which can still tell how long a request is.
    pub(super) fn of(&self, key: u64) -> Held {
        let held = self.0.load();
        let newest = held.len() - 1;
        held[held.iter().position(|held| held.key == key).unwrap_or(newest)].clone()
    }

    /// Adds one beside the one `in_use`, in place of others.
    pub(super) fn offer(&self, bundle: Arc<Bundle>, in_use: u64) {
        let new = Held::new(bundle);
        self.0.rcu(|held| {
            let stays = held.iter().filter(|held| held.key == in_use && held.key != new.key);
            stays.chain([&new]).cloned().collect::<Vec<_>>()
        });
    }
}

/// A trace's decision with φ as `bundle` assesses its request; `None` where nothing was decided, or the request is not
/// kept or cannot be assessed. What was predicted and drawn stays as it was.
pub fn assess_again(bundle: &Bundle, trace: Trace) -> Option<Decision> {
    let was_decided = |decision: &Arc<Decision>| decision.kind != Kind::Cache;
    let decision = trace.decision.filter(was_decided).filter(|_| !trace.request.is_empty())?;
    let request = ChatRequest::parse(&trace.request).ok()?;
    let context = bundle.assess(bundle.extractor.draft(&request)).ok()?;
    Some(Decision {
        phi: context.phi,
        widening: context.widening,
        verbosity: context.verbosity,
        input_tokens: context.input_tokens,
        difficulty: context.difficulty,
        ..Arc::unwrap_or_clone(decision)
    })
}
