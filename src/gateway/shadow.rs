//! The best model's answer to a request that another one answers, to compare the two: off the request path, seen by no
//! client.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::answer;
use super::recording::{Recording, Shadow, Sink};
use super::setup::Setup;
use crate::api::chat::ChatRequest;
use crate::catalog::Model;
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
    pub(super) fn begin(&self, setup: &Arc<Setup>, sink: &Arc<Sink>, recording: &Recording) {
        let Some(shadow) = recording.shadow() else { return };
        let route = shadow.plan.route.map(|route| setup.routes[route].name.clone());
        let Ok(room) = self.0.clone().try_acquire_owned() else {
            sink.metrics.shadow(route, "dropped");
            return;
        };
        let (setup, sink) = (setup.clone(), sink.clone());
        tokio::spawn(async move {
            let result = ask(setup, sink.clone(), shadow).await;
            sink.metrics.shadow(route, result);
            drop(room);
        });
    }
}

/// One call: what fails is not worth another, for a comparison that misses a request is none the worse.
async fn ask(setup: Arc<Setup>, sink: Arc<Sink>, Shadow { plan, arrival, body }: Shadow) -> &'static str {
    // From the trace's copy: the client's own body lies in its connection's read buffer, which is not held up for this.
    let Ok(request) = ChatRequest::parse(&body).map(ChatRequest::whole) else { return "failed" };
    let models: Vec<_> = plan.targets.iter().map(|target| setup.targets[*target].model.clone()).collect();
    let models: Vec<&Model> = models.iter().map(|model| &**model).collect();
    let limits = Limits { attempts: 1, ..setup.limits };
    let mut recording = Recording::begin(setup.clone(), sink, plan, arrival, &request, &body);
    match setup.upstreams.dispatch(&models, &request, &limits).await {
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
