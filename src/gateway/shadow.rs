//! The best model's answer to a request that another one answers, to compare the two: off the request path, seen by no
//! client.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::answer;
use super::recording::{Recording, Sink};
use super::setup::Setup;
use crate::api::chat::ChatRequest;
use crate::trace::Outcome;
use crate::upstream::{Exhausted, Limits};

/// Shadows under way at most; beyond it they are dropped and counted.
const MOST: usize = 16;

/// Room for shadows.
pub(super) struct Shadows(Arc<Semaphore>);

impl Default for Shadows {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

impl Shadows {
    /// Asks the best model what `recording` is of, where its decision says so. Returns at once.
    pub(super) fn begin(&self, setup: &Arc<Setup>, sink: &Arc<Sink>, recording: &Recording, request: &ChatRequest) {
        let Some((plan, arrival, body)) = recording.shadow() else { return };
        let route = plan.route.map(|route| setup.routes[route].name.clone());
        let Ok(room) = self.0.clone().try_acquire_owned() else {
            sink.metrics.shadow(route, "dropped");
            return;
        };
        let targets = plan.targets.clone();
        let (setup, sink, request) = (setup.clone(), sink.clone(), request.clone().whole());
        let recording = Recording::begin(setup.clone(), sink.clone(), plan, arrival, &request, &body);
        tokio::spawn(async move {
            let result = ask(&setup, &targets, recording, &request).await;
            sink.metrics.shadow(route, result);
            drop(room);
        });
    }
}

/// One call: what fails is not worth another, for a comparison that misses a request is none the worse.
async fn ask(setup: &Setup, targets: &[usize], mut recording: Recording, request: &ChatRequest) -> &'static str {
    let models: Vec<_> = targets.iter().map(|target| &*setup.targets[*target].model).collect();
    let limits = Limits { attempts: 1, ..setup.limits };
    match setup.upstreams.dispatch(&models, request, &limits).await {
        Ok(dispatched) => {
            answer(recording, dispatched, false);
            "answered"
        }
        Err(Exhausted { attempts, .. }) => {
            recording.attempted(attempts, None);
            recording.finish(Outcome::Failed);
            "failed"
        }
    }
}
