//! Where the end of a request is told: to the learner as an event, to metrics as a count, each in the same words.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::setup::Target;
use crate::catalog::Usage;
use crate::policy::Kind;
use crate::telemetry::{Metrics, RequestLabels, Told};
use crate::trace::{Event, Outcome, Trace};

/// Bytes of requests and replies that wait for the learner at most: as many events as may wait would hold gigabytes.
pub const MAX_WAITING: usize = 64 << 20;

/// Where events go. Never waits: what the learner has no room for is dropped and counted.
pub(super) struct Sink {
    pub(super) events: mpsc::Sender<Event>,
    /// A permit for each byte of [`MAX_WAITING`].
    room: Arc<Semaphore>,
    pub(super) metrics: Arc<Metrics>,
}

/// A request's body on its way to the learner. The room of its trace is free again once the learner lets go of it.
struct Waiting {
    body: Bytes,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Waiting {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// A request that ended, as metrics count it.
pub(super) struct Ended<'a> {
    pub(super) route: Option<Arc<str>>,
    pub(super) segment: Option<Arc<str>>,
    /// Who answered.
    pub(super) target: Option<&'a Target>,
    /// Who was asked when the client left.
    pub(super) asked: Option<&'a Target>,
    pub(super) outcome: Outcome,
    pub(super) kind: Kind,
    pub(super) usage: Usage,
    pub(super) cost_usd: f64,
    pub(super) elapsed: Duration,
}

impl Sink {
    pub(super) fn new(events: mpsc::Sender<Event>, metrics: Arc<Metrics>) -> Self {
        Self { events, room: Arc::new(Semaphore::new(MAX_WAITING)), metrics }
    }

    /// Counts a request that ended.
    pub(super) fn count(&self, ended: Ended<'_>) {
        self.metrics.in_flight.dec();
        self.metrics.request(&RequestLabels {
            route: ended.route,
            segment: ended.segment,
            model: ended.target.or(ended.asked).map(|t| t.label.clone()),
            outcome: ended.outcome.name(),
            decision: ended.kind.name(),
        });
        let Some(metrics) = ended.target.map(|t| &t.metrics) else {
            return;
        };
        metrics.total_seconds.observe(ended.elapsed.as_secs_f64());
        metrics.used((ended.usage.input_tokens, ended.usage.output_tokens), ended.cost_usd);
    }

    /// Tells the learner of the end of a request, without what was asked and answered where there is no room for it.
    pub(super) fn finished(&self, mut trace: Box<Trace>) {
        match self.room_for(&trace) {
            Some(_room) => {
                let body = std::mem::take(&mut trace.request);
                trace.request = Bytes::from_owner(Waiting { body, _room });
            }
            None => {
                strip(&mut trace);
                self.metrics.event_dropped(Told::Body);
            }
        }
        self.send(Event::Finished(trace), Told::Finished);
    }

    fn room_for(&self, trace: &Trace) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(trace.request.len() + trace.reply.content.len()).ok()?;
        self.room.clone().try_acquire_many_owned(bytes).ok()
    }

    pub(super) fn send(&self, event: Event, kind: Told) {
        if self.events.try_send(event).is_err() {
            self.metrics.event_dropped(kind);
        }
    }
}

/// What was answered counts as cut off then: no scorer takes it for an empty answer.
fn strip(trace: &mut Trace) {
    let said = std::mem::take(&mut trace.reply.content);
    trace.reply.truncated |= !said.trim().is_empty();
    trace.request = Bytes::new();
}

/// The outcome of a request whose future is dropped before its end: its client left, unless the gateway itself panicked.
pub(super) fn left() -> Outcome {
    if std::thread::panicking() { Outcome::Failed } else { Outcome::ClientGone }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Tells how it was left.
    struct Guard(mpsc::Sender<Outcome>);

    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.send(left()).unwrap();
        }
    }

    #[test]
    fn a_request_that_the_gateway_panics_at_failed_and_its_client_did_not_leave() {
        let (told, outcomes) = mpsc::channel();
        drop(Guard(told.clone()));
        let panicked = std::thread::spawn(move || {
            let _guard = Guard(told);
            panic!("as meant");
        });
        assert!(panicked.join().is_err());
        assert_eq!(outcomes.iter().collect::<Vec<_>>(), [Outcome::ClientGone, Outcome::Failed]);
    }
}
