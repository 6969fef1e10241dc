//! `GET /v1/providers`, and the same as metrics: how each provider, key and model stands.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;
use serde::Serialize;

use super::learning::family;
use super::{App, json};
use crate::gateway::{Gateway, Settings};
use crate::upstream::{Condition, Upstreams};

#[derive(Serialize)]
struct Listing {
    providers: Vec<ProviderView>,
}

#[derive(Serialize)]
struct ProviderView {
    provider: String,
    /// `closed`: it is well; `open`: requests go elsewhere; `half_open`: one may try.
    breaker: &'static str,
    /// In the configuration's order; the keys themselves are shown nowhere.
    keys: Vec<KeyView>,
    models: Vec<ModelView>,
}

#[derive(Serialize)]
struct KeyView {
    breaker: &'static str,
}

#[derive(Serialize)]
struct ModelView {
    model: String,
    breaker: &'static str,
    /// Whether new requests go there.
    healthy: bool,
    /// Failed calls in a row.
    failures: u32,
    in_flight: u32,
    /// To an answer's beginning: a decaying mean with peaks. Null before the first answer.
    latency_ms: Option<f64>,
    /// How long until a key is free of its rate limit. Null: one is.
    rate_limited_for_s: Option<f64>,
}

pub(super) async fn list(State(app): State<Arc<App>>) -> Response {
    json(&Listing { providers: app.gateway.upstreams(views) })
}

fn views(settings: &Settings, upstreams: &Upstreams) -> Vec<ProviderView> {
    let standings = upstreams.providers().into_iter();
    let views = standings.map(|standing| ProviderView {
        models: models(settings, upstreams, &standing.name),
        provider: standing.name,
        breaker: standing.condition.name(),
        keys: standing.keys.iter().map(|key| KeyView { breaker: key.name() }).collect(),
    });
    views.collect()
}

fn models(settings: &Settings, upstreams: &Upstreams, provider: &str) -> Vec<ModelView> {
    let all = settings.models.iter().chain(&settings.embeddings);
    let models = all.filter(|model| model.id.provider == provider);
    let views = models.map(|model| {
        let standing = upstreams.standing(&model.id);
        ModelView {
            model: model.id.model.to_string(),
            breaker: standing.map_or(Condition::Closed, |standing| standing.condition).name(),
            healthy: standing.is_none_or(|standing| standing.healthy),
            failures: standing.map_or(0, |standing| standing.failures),
            in_flight: standing.map_or(0, |standing| standing.in_flight),
            latency_ms: standing.and_then(|standing| standing.latency).map(|latency| seconds(latency) * 1e3),
            rate_limited_for_s: standing.and_then(|standing| standing.limited_for).map(seconds),
        }
    });
    views.collect()
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    provider: String,
    model: String,
}

/// As OpenMetrics text, without the end mark.
pub(super) fn encode(gateway: &Gateway, out: &mut String) -> fmt::Result {
    let mut registry = Registry::with_prefix("satisfice");
    let healthy = family(&mut registry, "upstream_healthy", "1: new requests may go to this model at this provider");
    let in_flight = family(&mut registry, "upstream_in_flight", "Calls under way to this model at this provider");
    let latency = family(&mut registry, "upstream_latency_seconds", "Time to an answer's beginning: decaying mean");
    for provider in gateway.upstreams(views) {
        for model in provider.models {
            let labels = ModelLabels { provider: provider.provider.clone(), model: model.model };
            healthy.get_or_create(&labels).set(f64::from(u8::from(model.healthy)));
            in_flight.get_or_create(&labels).set(f64::from(model.in_flight));
            if let Some(ms) = model.latency_ms {
                latency.get_or_create(&labels).set(ms / 1e3);
            }
        }
    }
    let suppressed = ConstCounter::new(gateway.upstreams(|_, upstreams| upstreams.suppressed_retries()));
    let help = "Attempts that were not made because too many others had failed";
    registry.register("retries_suppressed", help, suppressed);
    text::encode_registry(out, &registry)
}
