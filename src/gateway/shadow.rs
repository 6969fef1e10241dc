//! The best model's answer to a request that another one answers, to compare the two: off the request path, seen by no
//! client.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::answer;
use super::recording::{Recording, Shadow};
use crate::api::chat::ChatRequest;
use crate::telemetry::Shadowed;
use crate::trace::Outcome;
use crate::upstream::{Dispatched, Exhausted};

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
    pub(super) fn begin(&self, recording: &Recording) {
        let Some(shadow) = recording.shadow() else { return };
        let route = shadow.plan.route.map(|route| shadow.setup.routes[route].name.clone());
        let sink = shadow.sink.clone();
        let Ok(room) = self.0.clone().try_acquire_owned() else {
            sink.metrics.shadow(route, Shadowed::Dropped);
            return;
        };
        tokio::spawn(async move {
            let result = ask(shadow).await;
            sink.metrics.shadow(route, result);
            drop(room);
        });
    }
}

/// One call: what fails is not worth another, for a comparison can do without one request.
async fn ask(Shadow { setup, sink, plan, arrival, body, metadata }: Shadow) -> Shadowed {
    // From the trace's copy: the client's own body lies in its connection's read buffer, which is not held up for this.
    let Ok(request) = ChatRequest::parse(&body).map(ChatRequest::whole) else { return Shadowed::Failed };
    let limits = plan.one_call(&setup);
    let mut recording = Recording::begin(setup, sink, plan, arrival, &request, (&body, metadata));
    let dispatched = recording.setup().upstreams.dispatch(&recording.models(), &request, &limits).await;
    match dispatched {
        Ok(Dispatched { target, attempts, reply }) => {
            recording.attempted(attempts, Some(target));
            answer(recording, reply, false, None);
            Shadowed::Answered
        }
        Err(Exhausted { attempts, .. }) => {
            recording.attempted(attempts, None);
            recording.finish(Outcome::Failed);
            Shadowed::Failed
        }
    }
}
