//! Cached answers involve no decision and teach nothing, so the ledger has no entry for one until it is scored; then its
//! `Decided` entry is written first.

use std::collections::VecDeque;

use crate::policy::Kind;
use crate::store::{Entry, Store, StoreError};
use crate::trace::{Trace, TraceId};

/// The most streams under way that are remembered; the oldest are forgotten.
const MOST: usize = 1024;

/// Streamed answers that are given again, from their beginning until their trace is kept: they may be scored before
/// they end.
#[derive(Debug, Default)]
pub(super) struct Again(VecDeque<(TraceId, Entry)>);

impl Again {
    /// A stream began; `decided` goes to the ledger if it is scored.
    pub(super) fn begin(&mut self, trace: TraceId, decided: Entry) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back((trace, decided));
    }

    /// Its trace is there now.
    pub(super) fn end(&mut self, trace: TraceId) {
        self.0.retain(|(id, _)| *id != trace);
    }

    /// The entry that the ledger needs before the first score of `trace`; `None` where it is not an answer given again.
    /// `ended` are those whose traces are on their way to `store`; `bundle` is used where nobody knows which training
    /// run the request came in.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(super) fn decided(
        &self,
        trace: TraceId,
        ended: &[(TraceId, Entry)],
        store: &dyn Store,
        bundle: u64,
    ) -> Result<Option<Entry>, StoreError> {
        if let Some((_, decided)) = self.0.iter().chain(ended).find(|(id, _)| *id == trace) {
            return Ok(Some(decided.clone()));
        }
        Ok(store.reader().trace(trace)?.and_then(|body| decided(&body, bundle)))
    }
}

/// Whether `trace` is that of an answer given again.
pub(super) fn is_again(trace: &Trace) -> bool {
    trace.decision.as_ref().is_some_and(|decision| decision.kind == Kind::Cache)
}

/// The entry that the ledger needs if `trace` is scored; `None` where it is not that of an answer given again.
pub(super) fn decided(trace: &Trace, bundle: u64) -> Option<Entry> {
    let (route, decision) = (trace.route.clone()?, trace.decision.clone()?);
    let bundle = trace.bundle.unwrap_or(bundle);
    let Trace { id, at_ms, owner, .. } = *trace;
    is_again(trace).then(|| Entry::Decided { trace: id, at_ms, owner, route, bundle, decision })
}
