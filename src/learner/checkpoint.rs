//! Checkpoints: a snapshot beside the conditions under which it may stand in for the ledger before it.

use serde::{Deserialize, Serialize};

use crate::policy::Snapshot;
use crate::store::{Checkpoint, Position, Store, StoreError};

use super::fold::Fold;

/// Another version may fold the same ledger to another state.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// As JSON, so that a snapshot of another shape is seen to be one: it is then folded anew, which is always right.
/// Its numbers are written so that they read back to the bit.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State<S> {
    version: String,
    fingerprint: String,
    snapshot: S,
}

/// The fold's state; `None` where it cannot be written down, as a number that is not finite.
pub(super) fn take(fold: &Fold) -> Option<Checkpoint> {
    let (version, fingerprint) = (VERSION.to_owned(), fold.fingerprint().to_owned());
    let state = serde_json::to_vec(&State { version, fingerprint, snapshot: fold.snapshot() }).ok()?;
    Some(Checkpoint { position: fold.position(), state })
}

/// The newest checkpoint, if this version made it on this training run.
pub(super) fn usable(store: &dyn Store, fingerprint: &str) -> Result<Option<(Position, Snapshot)>, StoreError> {
    let Some(Checkpoint { position, state }) = store.latest_checkpoint()? else { return Ok(None) };
    match serde_json::from_slice::<State<Snapshot>>(&state) {
        Ok(state) if state.version == VERSION && state.fingerprint == fingerprint => {
            return Ok(Some((position, state.snapshot)));
        }
        Ok(state) => tracing::info!(
            made_by = state.version,
            on = state.fingerprint,
            now_on = fingerprint,
            "the checkpoint is of another version or classifier; learning anew from the ledger, without decisions of another classifier"
        ),
        Err(error) => tracing::info!(%error, "the checkpoint has another shape; learning anew from the ledger"),
    }
    Ok(None)
}
