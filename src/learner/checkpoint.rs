//! Checkpoints: a snapshot, and the conditions under which it may stand in for the ledger before it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::policy::Snapshot;
use crate::store::{Checkpoint, Position, Store, StoreError};

use super::Reading;
use super::fold::Fold;

/// Another version may fold the same ledger to a different state.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// As JSON, so that a snapshot of another shape is recognised: the ledger is then folded again, which is always right.
/// Its numbers are written so that they read back to the bit.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State<S> {
    version: String,
    fingerprint: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unlearned: Vec<String>,
    snapshot: S,
}

impl<S> State<S> {
    /// Whether this version made it, of a ledger that was read so.
    fn is_of(&self, reading: &Reading) -> bool {
        self.version == VERSION && self.fingerprint == reading.fingerprint && self.unlearned == reading.unlearned
    }
}

/// The fold's state; `None` where it cannot be written down, as a number that is not finite.
pub(super) fn take(fold: &Fold) -> Option<Checkpoint> {
    let state = written(fold.reading(), fold.snapshot());
    if state.is_none() {
        tracing::warn!("what was learned does not read back as it is; no checkpoint, and the next start takes longer");
    }
    Some(Checkpoint { position: fold.position(), state: state? })
}

/// The bytes, if they read back as the same snapshot: JSON silently writes `null` for a number that is not finite.
fn written<S: Serialize + DeserializeOwned + PartialEq>(reading: &Reading, snapshot: &S) -> Option<Vec<u8>> {
    let (version, Reading { fingerprint, unlearned }) = (VERSION.to_owned(), reading.clone());
    let state = serde_json::to_vec(&State { version, fingerprint, unlearned, snapshot }).ok()?;
    let read: State<S> = serde_json::from_slice(&state).ok()?;
    (read.snapshot == *snapshot).then_some(state)
}

/// The newest checkpoint, if this version made it and read the ledger alike.
pub(super) fn usable(store: &dyn Store, reading: &Reading) -> Result<Option<(Position, Snapshot)>, StoreError> {
    let Some(Checkpoint { position, state }) = store.latest_checkpoint()? else { return Ok(None) };
    match serde_json::from_slice::<State<Snapshot>>(&state) {
        Ok(state) if state.is_of(reading) => return Ok(Some((position, state.snapshot))),
        Ok(state) => tracing::info!(
            made_by = state.version,
            on = state.fingerprint,
            now_on = reading.fingerprint,
            unlearned = ?reading.unlearned,
            "the checkpoint is of another version or classifier, or another source is unlearned; learning anew from the \
             ledger, without decisions of another classifier"
        ),
        Err(error) => tracing::info!(%error, "the checkpoint has another shape; learning anew from the ledger"),
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_with_a_number_that_is_not_finite_is_not_written_down() {
        let state = |numbers: [Option<f64>; 2]| written(&Reading::on("run"), &numbers);
        assert!(state([Some(0.1 + 0.2), None]).is_some());
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(state([None, Some(number)]), None, "{number}");
            assert_eq!(written(&Reading::on("run"), &number), None, "{number}");
        }
    }
}
