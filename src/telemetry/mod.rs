//! Tracing set-up and metrics. Names start with `satisfice_`; label values come from the configuration only, so that
//! no client can make series.

mod cache;
mod log;
mod words;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

pub use cache::CacheMetrics;
pub use log::{LogFormat, init_tracing};
use words::Received;
pub use words::{Judged, Shadowed, Told};

/// USD are fractions.
type Amount = Counter<f64, AtomicU64>;
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Every metric of one process. Families are looked up once where labels are known beforehand: see [`ModelMetrics`].
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests that are being answered.
    pub in_flight: Gauge,
    /// Arrival to the first upstream call.
    pub overhead_seconds: Histogram,
    /// Requests that nothing could be assessed or decided for: the safest model answered.
    pub undecided: Counter,
    pub cache: CacheMetrics,
    requests: Family<RequestLabels, Counter>,
    refused: Family<RefusalLabels, Counter>,
    attempts: Family<AttemptLabels, Counter>,
    events_dropped: Family<EventLabel, Counter>,
    feedback: Family<ScoreLabel, Counter>,
    panels: Family<PanelLabels, Counter>,
    shadows: Family<ShadowLabels, Counter>,
    judgements: Family<JudgeLabels, Counter>,
    tokens: Family<TokenLabels, Counter>,
    cost_usd: Family<ModelLabel, Amount>,
    total_seconds: Histograms<ModelLabel>,
    first_byte_seconds: Histograms<ModelLabel>,
}

/// One model's metrics, looked up once per configuration.
#[derive(Debug, Clone)]
pub struct ModelMetrics {
    pub input_tokens: Counter,
    pub output_tokens: Counter,
    pub cost_usd: Amount,
    /// Arrival to the end of the answer.
    pub total_seconds: Histogram,
    /// Arrival to the first byte of the answer.
    pub first_byte_seconds: Histogram,
}

impl ModelMetrics {
    /// An answer used so many tokens, (in, out), and cost `usd`.
    pub fn used(&self, (input, output): (u32, u32), usd: f64) {
        self.input_tokens.inc_by(input.into());
        self.output_tokens.inc_by(output.into());
        self.cost_usd.inc_by(usd);
    }
}

/// A finished request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// Empty where the client named a model.
    pub route: Option<Arc<str>>,
    /// Empty where the request is in no segment of the route.
    pub segment: Option<Arc<str>>,
    /// `provider/model` of who answered, or of who was asked when the client left; empty where none answered.
    pub model: Option<Arc<str>>,
    /// `answered`, `client_gone`, `cut` or `failed`.
    pub outcome: &'static str,
    /// `exploit`, `explore`, `pinned`, `fallback`, `cache` or `shadow`.
    pub decision: &'static str,
}

/// An error that a client was answered, whether or not its request came as far as a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    status: u32,
    reason: &'static str,
}

/// The best model asked for comparison.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShadowLabels {
    route: Option<Arc<str>>,
    result: Shadowed,
}

/// Two cheap models asked before a dear one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PanelLabels {
    route: Option<Arc<str>>,
    /// `agreed`, `differed`, `incomparable` or `none`.
    verdict: &'static str,
}

/// An answer put before a judge.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JudgeLabels {
    judge: Arc<str>,
    result: Judged,
}

/// One call to one upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    model: Arc<str>,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabel {
    model: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    model: Arc<str>,
    direction: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabel {
    kind: Told,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ScoreLabel {
    kind: Received,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("satisfice"),
            in_flight: Gauge::default(),
            overhead_seconds: Histogram::new(OVERHEAD_BUCKETS),
            undecided: Counter::default(),
            cache: CacheMetrics::default(),
            requests: Family::default(),
            refused: Family::default(),
            attempts: Family::default(),
            events_dropped: Family::default(),
            feedback: Family::default(),
            panels: Family::default(),
            shadows: Family::default(),
            judgements: Family::default(),
            tokens: Family::default(),
            cost_usd: Family::default(),
            total_seconds: Family::new_with_constructor(answer_histogram),
            first_byte_seconds: Family::new_with_constructor(answer_histogram),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        self.cache.register(r);
        r.register("log_lines_lost", "Log lines that could not be written", log::lost());
        r.register("in_flight_requests", "Requests that are being answered", self.in_flight.clone());
        r.register("requests", "Finished requests", self.requests.clone());
        r.register("error_responses", "Errors that clients were answered, by status and reason", self.refused.clone());
        r.register("upstream_attempts", "Calls to upstreams by how they ended", self.attempts.clone());
        r.register(
            "undecided_requests",
            "Requests sent to the safest model without a decision",
            self.undecided.clone(),
        );
        r.register(
            "events_dropped",
            "Events, and bodies of finished requests, that the learner had no room for",
            self.events_dropped.clone(),
        );
        r.register("feedback", "Scores received by what became of them", self.feedback.clone());
        r.register("panels", "Two cheap models asked before a dear one by what they said", self.panels.clone());
        r.register("shadows", "Best models asked for comparison by how it ended", self.shadows.clone());
        r.register("judgements", "Answers put before a judge by what came of it", self.judgements.clone());
        r.register("tokens", "Tokens billed", self.tokens.clone());
        r.register("cost_usd", "US dollars spent", self.cost_usd.clone());
        let seconds = Unit::Seconds;
        r.register_with_unit(
            "request",
            "Arrival to the end of the answer",
            seconds.clone(),
            self.total_seconds.clone(),
        );
        let first_byte = self.first_byte_seconds.clone();
        r.register_with_unit("first_byte", "Arrival to the first byte of the answer", seconds.clone(), first_byte);
        let overhead = self.overhead_seconds.clone();
        r.register_with_unit("gateway_overhead", "Arrival to the first upstream call", seconds, overhead);
    }

    /// The handles of a model, by its `provider/model`.
    pub fn model(&self, model: &Arc<str>) -> ModelMetrics {
        let tokens = |direction| self.tokens.get_or_create_owned(&TokenLabels { model: model.clone(), direction });
        let label = ModelLabel { model: model.clone() };
        ModelMetrics {
            input_tokens: tokens("input"),
            output_tokens: tokens("output"),
            cost_usd: self.cost_usd.get_or_create_owned(&label),
            total_seconds: self.total_seconds.get_or_create_owned(&label),
            first_byte_seconds: self.first_byte_seconds.get_or_create_owned(&label),
        }
    }

    /// A request ended.
    pub fn request(&self, labels: &RequestLabels) {
        self.requests.get_or_create(labels).inc();
    }

    /// A client was answered an error of this HTTP status; `reason` is one of the gateway's own words.
    pub fn refused(&self, status: u16, reason: &'static str) {
        self.refused.get_or_create(&RefusalLabels { status: status.into(), reason }).inc();
    }

    /// A call to `model` ended: `ok`, or the kind of failure.
    pub fn attempt(&self, model: &Arc<str>, result: &'static str) {
        self.attempts.get_or_create(&AttemptLabels { model: model.clone(), result }).inc();
    }

    /// The learner had no room for an event, or for a body.
    pub fn event_dropped(&self, kind: Told) {
        self.events_dropped.get_or_create(&EventLabel { kind }).inc();
    }

    /// A score came.
    pub fn feedback(&self, accepted: bool) {
        let kind = if accepted { Received::Accepted } else { Received::Refused };
        self.feedback.get_or_create(&ScoreLabel { kind }).inc();
    }

    /// Two cheap models were asked before the one that was drawn.
    pub fn panel(&self, route: Option<Arc<str>>, verdict: &'static str) {
        self.panels.get_or_create(&PanelLabels { route, verdict }).inc();
    }

    /// The best model of `route` was to be asked for comparison.
    pub fn shadow(&self, route: Option<Arc<str>>, result: Shadowed) {
        self.shadows.get_or_create(&ShadowLabels { route, result }).inc();
    }

    /// A judge was to be asked.
    pub fn judged(&self, judge: &Arc<str>, result: Judged) {
        self.judgements.get_or_create(&JudgeLabels { judge: judge.clone(), result }).inc();
    }

    /// All of it in the text format that Prometheus scrapes.
    ///
    /// # Errors
    /// A metric that the text format cannot carry.
    pub fn encode(&self, out: &mut String) -> std::fmt::Result {
        text::encode_registry(out, &self.registry)
    }
}

/// Seconds; the budget for the gateway's own work is 60 µs.
const OVERHEAD_BUCKETS: [f64; 10] = [10e-6, 20e-6, 40e-6, 80e-6, 160e-6, 320e-6, 1e-3, 3e-3, 10e-3, 100e-3];

/// Seconds; answers take from milliseconds to minutes.
fn answer_histogram() -> Histogram {
    Histogram::new([5e-3, 25e-3, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_in_the_text() {
        let metrics = Metrics::default();
        let label: Arc<str> = "p/m".into();
        metrics.model(&label).cost_usd.inc_by(0.25);
        metrics.attempt(&label, "timeout");
        metrics.event_dropped(Told::Finished);
        let mut text = String::new();
        metrics.encode(&mut text).unwrap();
        assert!(text.contains("satisfice_cost_usd_total{model=\"p/m\"} 0.25"), "{text}");
        assert!(text.contains("satisfice_upstream_attempts_total{model=\"p/m\",result=\"timeout\"} 1"), "{text}");
        assert!(text.contains("satisfice_events_dropped_total{kind=\"finished\"} 1"), "{text}");
        assert!(text.contains("satisfice_request_seconds_bucket{"), "{text}");
    }
}
