//! Takes up another training run's φ: the ledger is folded again on it.
//!
//! φ of one run says nothing in another's. A decision whose request was assessed again is written to the ledger once
//! more in the new φ, followed by copies of its end and its scores and by what judging it has cost. Then the ledger
//! alone leads to the same posterior at every later start, without the bodies, which retention drops.

use crate::policy::{Decision, RouteSpec};
use crate::store::{Entry, Position, Store, StoreError, has_decision_in, newest_scores};
use crate::trace::{Reclassified, TraceId};

use super::fold::Fold;
use super::standing::Charges;
use super::{Reading, configure};

/// Decisions per commit.
const BATCH: usize = 256;

/// Folds the ledger on the new φ, without the scores of `unlearned`; also says how many decisions were brought into it.
///
/// # Errors
/// The ledger cannot be read or written. What was written by then is still true, and changes nothing for the fold in
/// use.
pub(super) fn adopt(
    store: &mut dyn Store,
    news: Reclassified,
    routes: Vec<RouteSpec>,
    (unlearned, capacity): (Vec<String>, usize),
) -> Result<(Fold, usize), StoreError> {
    let Reclassified { at_ms, fingerprint, prior, assessed } = news;
    let mut fold = Fold::restore(store, prior, Reading { fingerprint, unlearned }, capacity)?;
    configure(&mut fold, store, at_ms, routes)?;
    let (bundle, mut brought_in) = (fold.bundle(), 0);
    let mut assessed = assessed.into_iter().peekable();
    while assessed.peek().is_some() {
        let mut entries = Vec::new();
        for (trace, decision) in assessed.by_ref().take(BATCH) {
            let again = again(store.history(trace, Position::MAX)?, trace, bundle, decision);
            brought_in += usize::from(!again.is_empty());
            entries.extend(again);
        }
        if entries.is_empty() {
            continue;
        }
        for entry in &entries {
            // A score may complete a pair, whose other half may have left the memory.
            if let Entry::Scored(scored) = entry {
                fold.load(store, scored.trace, Position::MAX)?;
            }
            fold.stage(entry);
        }
        let position = store.append(&entries)?;
        fold.commit(position);
        fold.trim();
    }
    Ok((fold, brought_in))
}

/// A request's entries once more, in the new φ; empty where nobody decided it, or it is there in that φ already.
fn again(history: Vec<Entry>, trace: TraceId, bundle: u64, decision: Decision) -> Vec<Entry> {
    if has_decision_in(&history, bundle) {
        return Vec::new();
    }
    let first = history.iter().find_map(|entry| match entry {
        Entry::Decided { at_ms, owner, route, .. } => Some((*at_ms, *owner, route.clone())),
        _ => None,
    });
    let Some((at_ms, owner, route)) = first else { return Vec::new() };
    let settled = history.iter().find(|entry| matches!(entry, Entry::Settled { .. })).cloned();
    let decided = Entry::Decided { trace, at_ms, owner, route, bundle, decision: decision.into() };
    let charged = Charges::of(&history).sum().map(|usd| Entry::Charged { trace, usd });
    let scores = newest_scores(history).into_iter().map(Entry::Scored);
    std::iter::once(decided).chain(settled).chain(charged).chain(scores).collect()
}
