//! The best model's answer to a request that another one answers, to compare the two: off the request path, seen by no
//! client.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer;
use super::recording::{Origin, Recording, Shadow};
use crate::api::chat::ChatRequest;
use crate::telemetry::Shadowed;
use crate::trace::Outcome;
use crate::upstream::{Dispatched, Exhausted};

/// Comparisons under way at most; beyond it they are dropped and counted.
const MOST: usize = 32;

/// Room for comparisons.
pub(super) struct Shadows(Arc<Semaphore>);

/// Of one comparison. It is taken when the request is drawn, before anybody knows who answers: were it asked for with the
/// shadow alone, those would be dropped under load, and requests that the best model answers itself would not.
#[derive(Debug)]
pub(super) struct Room {
    _permit: OwnedSemaphorePermit,
}

impl Default for Shadows {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

impl Shadows {
    /// Room for one more, if there is any.
    pub(super) fn room(&self) -> Option<Room> {
        self.0.clone().try_acquire_owned().ok().map(|_permit| Room { _permit })
    }
}

/// Asks the best model what `recording` is of, where its decision says so. Returns at once.
pub(super) fn begin(recording: &mut Recording) {
    let Some(shadow) = recording.shadow() else { return };
    let route = shadow.plan.route.map(|route| shadow.setup.routes[route].name.clone());
    let sink = shadow.sink.clone();
    tokio::spawn(async move {
        let result = ask(shadow).await;
        sink.metrics.shadow(route, result);
    });
}

/// One call: what fails is not worth another, for a comparison can do without one request.
async fn ask(Shadow { setup, sink, plan, arrival, body, metadata, owner, _room }: Shadow) -> Shadowed {
    // From the trace's copy: the client's own body lies in its connection's read buffer, which is not held up for this.
    let Ok(request) = ChatRequest::parse(&body).map(ChatRequest::whole) else { return Shadowed::Failed };
    let limits = plan.one_call(&setup);
    let mut recording = Recording::begin(setup, sink, plan, arrival, &request, Origin { body: &body, metadata, owner });
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
