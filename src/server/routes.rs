//! `GET /v1/routes` and `/v1/routes/{name}`: is the bar met, what was spent, what was saved, and what is believed of each
//! model.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use super::error::ApiError;
use super::view::KnobView;
use super::{App, json};
use crate::policy::{self, Controller, RouteState, SegmentSpec};

#[derive(Serialize)]
struct Listing {
    routes: Vec<View>,
}

/// One route: what is in none of its segments, and each segment.
#[derive(Serialize)]
struct View {
    route: String,
    #[serde(flatten)]
    own: Steered,
    segments: Vec<SegmentView>,
}

#[derive(Serialize)]
struct SegmentView {
    segment: String,
    #[serde(flatten)]
    own: Steered,
}

/// The requests that one controller steers.
#[derive(Serialize)]
struct Steered {
    knob: KnobView,
    /// Requests decided.
    decided: u64,
    /// Since the knob was set: of the scored answers. Null while there are few.
    measured_quality: Option<Measure>,
    /// What the best model's answers to the same requests would have been worth, whichever was best by what was known at
    /// the time: from exploration and shadows.
    best_quality: Option<Measure>,
    /// The share of the best model's quality that was kept; null before both are measured.
    kept: Option<Measure>,
    /// Requests that the best model was asked too, or had answered, and of which both answers were judged.
    compared: usize,
    /// The model that is best by what is known now, and its expected quality on recent requests.
    best: Option<Best>,
    /// USD since the knob was set.
    spent_usd: f64,
    /// What `best` would have cost on the same requests, estimated.
    always_best_usd: f64,
    saved_usd: f64,
    /// What asking the best model for comparison cost, and what judging answers cost: neither is in `spent_usd`.
    shadow_cost_usd: f64,
    judge_cost_usd: f64,
    /// `saved_usd` less both.
    net_saved_usd: f64,
    models: Vec<ModelView>,
}

/// A mean with an interval that holds at 95 % however often it is looked at.
#[derive(Serialize)]
struct Measure {
    mean: f64,
    low: f64,
    high: f64,
    /// Requests behind it.
    scores: usize,
}

#[derive(Serialize)]
struct Best {
    model: String,
    quality: f64,
}

#[derive(Serialize)]
struct ModelView {
    model: String,
    /// Expected mean quality on recent requests, and its deviation.
    quality: f64,
    deviation: f64,
    /// Expected USD of an answer to recent requests.
    cost_usd: f64,
    /// Scored answers that were learned from.
    scored: u64,
    /// Times that its quality was found to have changed.
    drift_alarms: u64,
}

pub(super) async fn list(State(app): State<Arc<App>>) -> Response {
    let snapshot = app.learning.snapshot.load();
    let routes = snapshot.routes.iter().map(|(name, state)| View::new(name, state)).collect();
    json(&Listing { routes })
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let Ok(Path(name)) = name else { return Err(unknown("that", &[])) };
    let snapshot = app.learning.snapshot.load();
    match snapshot.routes.get(&name) {
        Some(state) => Ok(json(&View::new(&name, state))),
        None => Err(unknown(&name, &snapshot.routes.keys().map(String::as_str).collect::<Vec<_>>())),
    }
}

fn unknown(name: &str, known: &[&str]) -> ApiError {
    let message = format!("there is no route {name:?}; the routes are: {}", known.join(", "));
    ApiError::invalid(StatusCode::NOT_FOUND, message).param("name").code("route_not_found")
}

impl View {
    fn new(name: &str, state: &RouteState) -> Self {
        let segment = |(spec, controller): (&SegmentSpec, &Controller)| SegmentView {
            segment: spec.name.clone(),
            own: Steered::new(state, controller),
        };
        Self {
            route: name.to_owned(),
            own: Steered::new(state, state.controller()),
            segments: state.segments().map(segment).collect(),
        }
    }
}

impl Steered {
    fn new(state: &RouteState, controller: &Controller) -> Self {
        let (audit, spending) = (&controller.audit, &controller.spending);
        let best = controller.best_name(&state.spec);
        Self {
            knob: controller.knob.into(),
            decided: controller.schedule.decided,
            measured_quality: audit.own().map(Measure::from),
            best_quality: audit.best().map(Measure::from),
            kept: audit.kept().map(Measure::from),
            compared: audit.pairs(),
            best: best_now(state, controller),
            spent_usd: spending.spent_usd,
            always_best_usd: spending.always_usd(best),
            saved_usd: spending.saved_usd(best),
            shadow_cost_usd: spending.shadow_usd,
            judge_cost_usd: spending.judge_usd,
            net_saved_usd: spending.net_saved_usd(best),
            models: models(state, controller),
        }
    }
}

impl From<policy::Measure> for Measure {
    fn from(policy::Measure { mean, low, high, rows }: policy::Measure) -> Self {
        Self { mean, low, high, scores: rows }
    }
}

fn best_now(state: &RouteState, controller: &Controller) -> Option<Best> {
    let best = controller.best()?;
    Some(Best { model: state.spec.arms[best].arm.clone(), quality: controller.solution.arms[best].quality })
}

fn models(state: &RouteState, controller: &Controller) -> Vec<ModelView> {
    let all = state.spec.arms.iter().zip(&state.arms).zip(&controller.solution.arms);
    all.map(|((spec, arm), summary)| ModelView {
        model: spec.arm.clone(),
        quality: summary.quality,
        deviation: summary.deviation,
        cost_usd: summary.cost_usd,
        scored: arm.scored,
        drift_alarms: arm.drift.alarms,
    })
    .collect()
}
