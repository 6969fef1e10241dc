//! Alarms of drift, said aloud.

use crate::policy::{SCORES_BETWEEN_FALSE_ALARMS, Snapshot};

/// Logs every arm whose quality was found to have changed between two snapshots.
pub(super) fn report(before: &Snapshot, after: &Snapshot) {
    for (name, state) in &after.routes {
        let Some(known) = before.routes.get(name) else { continue };
        for (spec, arm) in state.spec.arms.iter().zip(&state.arms) {
            let earlier = known.spec.arms.iter().position(|other| other.arm == spec.arm);
            let earlier = earlier.map_or(0, |i| known.arms[i].drift.alarms);
            if arm.drift.alarms > earlier {
                tracing::warn!(
                    route = name,
                    model = spec.arm,
                    alarms = arm.drift.alarms,
                    scores_between_false_alarms = SCORES_BETWEEN_FALSE_ALARMS,
                    "the model's quality has changed; what was learned of it counts less from here on"
                );
            }
        }
    }
}
