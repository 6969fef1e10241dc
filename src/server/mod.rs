//! HTTP: axum routes, SSE, and the one place where errors become statuses.

mod auth;
mod body;
mod chat;
mod connection;
mod embeddings;
mod error;
mod feedback;
mod headers;
mod learning;
mod listener;
mod messages;
mod models;
mod protocol;
mod providers;
mod responses;
mod routes;
pub mod settings;
mod site;
mod socket;
mod sse;
mod status;
mod taken;
mod traces;
mod view;
mod workers;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Extension;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::{get, post};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode, Uri};
use serde::Serialize;
use tokio::sync::Notify;
use tower_http::validate_request::ValidateRequestHeaderLayer;

pub use auth::{Admission, ApiKeys};
use auth::{RequireKey, RequireOwnPage, Side};
use body::Bodies;
pub use error::ApiError;
pub use learning::Learning;
pub use listener::{BindError, Phase, bind, serve};
pub use site::Site;
pub use workers::Workers;

use crate::gateway::Gateway;
use crate::store::TraceReader;

/// What the handlers share.
pub struct App {
    gateway: Arc<Gateway>,
    traces: Arc<dyn TraceReader>,
    learning: Learning,
    admission: ArcSwap<Admission>,
    bodies: Bodies,
    /// Notified once streams that are under way are to end.
    over: Arc<Notify>,
}

impl App {
    /// `body_limit` in bytes.
    pub fn new(
        gateway: Arc<Gateway>,
        traces: Arc<dyn TraceReader>,
        learning: Learning,
        admission: Admission,
        body_limit: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            gateway,
            traces,
            learning,
            admission: ArcSwap::from_pointee(admission),
            bodies: Bodies::new(body_limit),
            over: Arc::default(),
        })
    }

    /// Lets in whom `admission` says from the next request on.
    pub fn replace_admission(&self, admission: Admission) {
        self.admission.store(Arc::new(admission));
    }
}

/// Everything that clients call, and what watches the process.
fn router(app: Arc<App>) -> Router {
    let v1 = Router::new()
        .route("/v1/chat/completions", post(chat::complete))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::show))
        .route("/v1/feedback", post(feedback::score))
        .route("/v1/embeddings", post(embeddings::create))
        .route("/v1/responses", post(responses::create))
        .route("/v1/messages", post(messages::create))
        .route("/v1/messages/count_tokens", post(messages::count))
        .route("/metrics", get(status::metrics));
    finish(v1.merge(standing()), app, Side::Clients).fallback(not_found)
}

/// What watches the process.
fn admin_router(app: Arc<App>, is_local: bool) -> Router {
    let own = ValidateRequestHeaderLayer::custom(RequireOwnPage { app: app.clone(), is_local });
    let metrics = Router::new().route("/metrics", get(status::metrics)).route_layer(own).with_state(app.clone());
    finish(standing(), app, Side::Operators).merge(metrics).fallback(not_found_here)
}

/// How everything stands, and what happened to each request.
fn standing() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/providers", get(providers::list))
        .route("/v1/routes", get(routes::list))
        .route("/v1/routes/{name}", get(routes::show))
        .route("/v1/traces", get(traces::list))
        .route("/v1/traces/{id}", get(traces::show))
}

/// Keys stand before everything that was added so far; health and readiness need none, nor do metrics at the operators'
/// address.
fn finish(guarded: Router<Arc<App>>, app: Arc<App>, side: Side) -> Router {
    guarded
        .route_layer(Extension(side))
        .route_layer(ValidateRequestHeaderLayer::custom(RequireKey(app.clone(), side)))
        .route("/health", get(status::health))
        .route("/ready", get(status::ready))
        .method_not_allowed_fallback(wrong_method)
        .with_state(app)
}

async fn not_found(method: Method, uri: Uri) -> ApiError {
    not_served(&method, &uri, "POST /v1/chat/completions, /v1/responses, /v1/messages and GET /v1/models are")
}

async fn not_found_here(method: Method, uri: Uri) -> ApiError {
    not_served(
        &method,
        &uri,
        "this address is for operators: GET /metrics, /v1/routes, /v1/providers and /v1/traces are",
    )
}

fn not_served(method: &Method, uri: &Uri, what_is: &str) -> ApiError {
    let message = format!("{method:.16} {:.64} is not served; {what_is}", uri.path());
    ApiError::invalid(StatusCode::NOT_FOUND, message).code("not_found")
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    let message = format!("{:.64} does not take {method:.16}; the Allow header says what it takes", uri.path());
    ApiError::invalid(StatusCode::METHOD_NOT_ALLOWED, message).code("method_not_allowed")
}

/// A 200 with a body of ours, which always serialises.
fn json(body: &impl Serialize) -> Response {
    let mut response = Response::new(Body::from(serde_json::to_vec(body).unwrap_or_default()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
