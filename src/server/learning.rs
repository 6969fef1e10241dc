//! What the learner knows and does, as metrics, read when they are asked for.

use std::fmt::{self, Debug};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};

use crate::learner::Counters;
use crate::policy::{Controller, Measure, RouteState, Snapshot};

/// What the learner publishes.
pub struct Learning {
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub counters: Arc<Counters>,
}

type Value = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: String,
    /// Empty for what is in no segment.
    segment: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ArmLabels {
    route: String,
    model: String,
}

/// A gauge for each set of labels, registered.
pub(super) fn family<L>(registry: &mut Registry, name: &str, help: &str) -> Family<L, Value>
where
    L: EncodeLabelSet + Clone + Debug + Eq + Hash + Send + Sync + 'static,
{
    let family = Family::default();
    registry.register(name, help, family.clone());
    family
}

impl Learning {
    /// As OpenMetrics text, without the end mark.
    pub(super) fn encode(&self, out: &mut String) -> fmt::Result {
        let mut registry = Registry::with_prefix("satisfice");
        self.counts(&mut registry);
        let snapshot = self.snapshot.load();
        let (routes, arms) = (Routes::new(&mut registry), Arms::new(&mut registry));
        for (name, state) in &snapshot.routes {
            routes.set((name, ""), state, state.controller());
            state.segments().for_each(|(segment, own)| routes.set((name, &segment.name), state, own));
            arms.set(name, state);
        }
        text::encode_registry(out, &registry)
    }

    fn counts(&self, registry: &mut Registry) {
        let counters = &self.counters;
        let all: [(&str, &str, &AtomicU64); 12] = [
            ("learner_events", "Events heard of", &counters.events),
            ("learner_dropped_events", "Events that could not be written to the ledger", &counters.dropped_events),
            ("learner_dropped_bodies", "Trace bodies that could not be kept", &counters.dropped_bodies),
            ("learner_dropped_segments", "Files of traces dropped for age or room", &counters.dropped_segments),
            ("learner_commits", "Ledger commits", &counters.commits),
            ("learner_entries", "Ledger entries", &counters.entries),
            ("learner_checkpoints", "Checkpoints written", &counters.checkpoints),
            ("learner_scores", "Scores taken", &counters.scores),
            ("learner_revisions", "Scores that changed an earlier one", &counters.revisions),
            ("learner_duplicates", "Scores that repeated an earlier one", &counters.duplicates),
            ("learner_refused", "Scores that were refused", &counters.refused),
            ("learner_store_failures", "Failures of the ledger, the bodies or a checkpoint", &counters.store_failures),
        ];
        for (name, help, value) in all {
            registry.register(name, help, ConstCounter::new(value.load(Ordering::Relaxed)));
        }
        let batch = ConstGauge::new(counters.batch_events.load(Ordering::Relaxed) as f64);
        registry.register("learner_batch_events", "Events in the newest batch", batch);
        let commit = ConstGauge::new(counters.commit_us.load(Ordering::Relaxed) as f64 / 1e6);
        registry.register_with_unit("learner_commit", "How long the newest commit took", Unit::Seconds, commit);
        let waiting = ConstGauge::new(counters.waiting.load(Ordering::Relaxed) as f64);
        registry.register("learner_waiting_events", "Events that came during it", waiting);
    }
}

/// What is known of each route and segment.
struct Routes {
    decided: Family<RouteLabel, Value>,
    reference: Family<RouteLabel, Value>,
    spent: Family<RouteLabel, Value>,
    always_best: Family<RouteLabel, Value>,
    shadow: Family<RouteLabel, Value>,
    judge: Family<RouteLabel, Value>,
    net_saved: Family<RouteLabel, Value>,
    compared: Family<RouteLabel, Value>,
    measured: Range,
    best: Range,
    kept: Range,
}

/// A mean and the ends of its interval.
struct Range {
    mean: Family<RouteLabel, Value>,
    low: Family<RouteLabel, Value>,
    high: Family<RouteLabel, Value>,
}

impl Range {
    fn new(registry: &mut Registry, name: &str, what: &str) -> Self {
        let mut end = |end: &str, help: &str| family(registry, &format!("{name}{end}"), &format!("{help}{what}"));
        Self {
            mean: end("", ""),
            low: end("_low", "Lower end, valid at any time, of: "),
            high: end("_high", "Upper end, valid at any time, of: "),
        }
    }

    fn set(&self, label: &RouteLabel, measure: Option<Measure>) {
        let Some(Measure { mean, low, high, .. }) = measure else { return };
        for (family, value) in [(&self.mean, mean), (&self.low, low), (&self.high, high)] {
            family.get_or_create(label).set(value);
        }
    }
}

impl Routes {
    fn new(registry: &mut Registry) -> Self {
        Self {
            decided: family(registry, "route_decided", "Requests decided"),
            reference: family(
                registry,
                "route_bar_reference",
                "What a bar is a share of: the best model's mean quality, believed, on the high side",
            ),
            spent: family(registry, "route_spent_usd", "Spent since the knob was set"),
            always_best: family(
                registry,
                "route_always_best_usd",
                "What the best model would have cost instead, estimated",
            ),
            shadow: family(registry, "route_shadow_usd", "Spent on asking the best model for comparison"),
            judge: family(registry, "route_judge_usd", "Spent on judging answers"),
            net_saved: family(registry, "route_net_saved_usd", "Saved, net of shadows and judges"),
            compared: family(registry, "route_compared", "Requests of which the best model's answer was judged too"),
            measured: Range::new(registry, "route_measured_quality", "Mean quality of the scored answers"),
            best: Range::new(registry, "route_best_quality", "Mean quality of the best model on the same requests"),
            kept: Range::new(registry, "route_kept", "Share of the best model's quality that was kept"),
        }
    }

    fn set(&self, (route, segment): (&str, &str), state: &RouteState, controller: &Controller) {
        let label = RouteLabel { route: route.to_owned(), segment: segment.to_owned() };
        let (audit, spending) = (&controller.audit, &controller.spending);
        let best = controller.best_name(&state.spec);
        for (family, value) in [
            (&self.decided, controller.schedule.decided as f64),
            (&self.reference, controller.solution.reference),
            (&self.spent, spending.spent_usd),
            (&self.always_best, spending.always_usd(best)),
            (&self.shadow, spending.shadow_usd),
            (&self.judge, spending.judge_usd),
            (&self.net_saved, spending.net_saved_usd(best)),
            (&self.compared, audit.pairs() as f64),
        ] {
            family.get_or_create(&label).set(value);
        }
        self.measured.set(&label, audit.own());
        self.best.set(&label, audit.best());
        self.kept.set(&label, audit.kept());
    }
}

/// What is known of each model in a route.
struct Arms {
    scored: Family<ArmLabels, Value>,
    quality: Family<ArmLabels, Value>,
    cost: Family<ArmLabels, Value>,
    alarms: Family<ArmLabels, Value>,
}

impl Arms {
    fn new(registry: &mut Registry) -> Self {
        Self {
            scored: family(registry, "arm_scored_answers", "Scored answers that the posterior has learned from"),
            quality: family(registry, "arm_quality", "Expected mean quality on recent requests"),
            cost: family(registry, "arm_cost_usd", "Expected mean cost of an answer to recent requests"),
            alarms: family(registry, "arm_drift_alarms", "Times that the model's quality was found to have changed"),
        }
    }

    fn set(&self, name: &str, state: &RouteState) {
        for ((spec, arm), summary) in state.spec.arms.iter().zip(&state.arms).zip(&state.controller().solution.arms) {
            let label = ArmLabels { route: name.to_owned(), model: spec.arm.clone() };
            self.scored.get_or_create(&label).set(arm.scored as f64);
            self.quality.get_or_create(&label).set(summary.quality);
            self.cost.get_or_create(&label).set(summary.cost_usd);
            self.alarms.get_or_create(&label).set(arm.drift.alarms as f64);
        }
    }
}
