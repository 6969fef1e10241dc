//! What a listener serves: axum's routes, and past them the one that nearly all requests ask for. A way through the
//! router boxes the request's future and each layer about it, and costs more than reading the request does.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::{Method, Request};
use hyper::body::Incoming;
use tower::ServiceExt;

use super::auth::Side;
use super::body::Sent;
use super::error::{ApiError, Refused};
use super::{App, admin_router, auth, chat, router};

/// The way that does not go through the router.
const STRAIGHT: &str = "/v1/chat/completions";

/// What a listener serves.
pub struct Site {
    router: Router,
    /// `None`: everything goes through the router.
    straight: Option<Arc<App>>,
    /// Bytes that a request's body may have.
    limit: usize,
}

impl Site {
    /// What clients call, and what watches the process.
    pub fn of_clients(app: Arc<App>) -> Self {
        Self { router: router(app.clone()), limit: app.bodies.limit(), straight: Some(app) }
    }

    /// What watches the process alone. `is_local`: on a loopback address, where what a browser sends for pages from
    /// elsewhere arrives too.
    pub fn of_admins(app: Arc<App>, is_local: bool) -> Self {
        Self { limit: app.bodies.limit(), router: admin_router(app, is_local), straight: None }
    }

    /// Whether clients are served, and not operators alone.
    pub(super) fn is_for_clients(&self) -> bool {
        self.straight.is_some()
    }

    /// Ends the streams that are under way, with an error that says so.
    pub(super) fn end_streams(&self) {
        self.straight.iter().for_each(|app| app.over.notify_waiters());
    }

    /// Answers one request, also where a handler panics.
    pub(super) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response, Infallible> {
        let is_straight = *request.method() == Method::POST && request.uri().path() == STRAIGHT;
        let request = Sent::with(request, self.limit);
        // Boxed: a connection that waits for its next request has no use for the room that a request takes.
        let answer = match self.straight.as_ref().filter(|_| is_straight) {
            Some(app) => AssertUnwindSafe(Box::pin(straight(app.clone(), request))).catch_unwind().await,
            None => AssertUnwindSafe(self.routed(request)).catch_unwind().await,
        };
        let answer = answer.unwrap_or_else(|_panic| panicked());
        self.straight.iter().for_each(|app| count(app, &answer));
        Ok(answer)
    }

    async fn routed(&self, request: Request<Sent>) -> Response {
        match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

async fn straight(app: Arc<App>, request: Request<Sent>) -> Response {
    if let Some(refusal) = auth::refusal(&app, Side::Clients, &request) {
        return refusal;
    }
    chat::complete(State(app), request.map(Body::new)).await.into_response()
}

/// Counts what is an error: many never come as far as a record.
fn count(app: &App, answer: &Response) {
    if answer.status().is_client_error() || answer.status().is_server_error() {
        let reason = answer.extensions().get().map_or("other", |Refused(reason)| reason);
        app.gateway.metrics().refused(answer.status().as_u16(), reason);
    }
}

fn panicked() -> Response<Body> {
    tracing::error!("a handler panicked; the line before says where");
    ApiError::panicked().into_response()
}
