//! Logs alarms of drift.

use crate::policy::{SCORES_BETWEEN_FALSE_ALARMS, Snapshot};

/// Logs every arm whose quality was found to have changed between two snapshots.
pub(super) fn report(before: &Snapshot, after: &Snapshot) {
    for (name, state) in &after.routes {
        let Some(known) = before.routes.get(name) else { continue };
        for (spec, arm) in state.spec.arms.iter().zip(&state.arms) {
            let earlier = known.drift_alarms(&spec.arm).unwrap_or(0);
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::difficulty::{Population, Prior};
    use crate::policy::{ArmSpec, Knob, RouteSpec};

    /// What was logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn snapshot(arms: &[&str]) -> Snapshot {
        let population = Population {
            mean: vec![0.5],
            price_slope: 0.5,
            within: vec![0.5],
            between: vec![0.5],
            token_mean: vec![4.0],
            token_variance: vec![1.0],
        };
        let arm = |arm: &&str| ArmSpec { arm: (*arm).into(), price: None, context_window: None };
        let arms = arms.iter().map(arm).collect();
        let spec = RouteSpec { name: "auto".into(), knob: Knob::Quality(0.95), explore: true, arms, segments: vec![] };
        Snapshot::new(Arc::new(Prior { dimension: 1, population, heads: Vec::new() })).configure(&[spec])
    }

    fn with_alarms(mut snapshot: Snapshot, arm: usize, alarms: u64) -> Snapshot {
        let state = Arc::make_mut(snapshot.routes.get_mut("auto").unwrap());
        Arc::make_mut(&mut state.arms[arm]).drift.alarms = alarms;
        snapshot
    }

    fn logged(before: &Snapshot, after: &Snapshot) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || report(before, after));
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn each_new_alarm_is_one_line_that_names_route_and_model() {
        let before = snapshot(&["small", "large"]);
        let text = logged(&before, &with_alarms(before.clone(), 1, 1));
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in ["WARN", "route=\"auto\"", "model=\"large\"", "alarms=1", "quality has changed"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn an_alarm_of_before_is_not_said_again_wherever_its_arm_stands_now() {
        let before = with_alarms(snapshot(&["small", "large"]), 1, 2);
        assert_eq!(logged(&before, &before), "");
        assert_eq!(logged(&before, &with_alarms(snapshot(&["large", "small"]), 0, 2)), "");
    }
}
