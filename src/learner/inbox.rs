//! What comes in, as batches.

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::Bounds;
use crate::trace::Event;

/// Events, and the word to stop.
pub(super) struct Inbox {
    events: mpsc::Receiver<Event>,
    stop: oneshot::Receiver<()>,
    listening: bool,
    /// Received and not yet taken.
    came: Vec<Event>,
}

impl Inbox {
    pub(super) fn new(events: mpsc::Receiver<Event>, stop: oneshot::Receiver<()>) -> Self {
        Self { events, stop, listening: true, came: Vec::new() }
    }

    /// Events that came and are in no batch yet.
    pub(super) fn waiting(&self) -> usize {
        self.events.len()
    }

    /// Passes the next batch to `take`, event by event; none if `chore` came first. False: it is the last.
    pub(super) async fn gather(
        &mut self,
        bounds: &Bounds,
        chore: Option<Instant>,
        mut take: impl FnMut(Event),
    ) -> bool {
        let (mut until, mut room) = (chore, bounds.batch);
        while room > 0 {
            match self.receive(room, until).await {
                Received::Nothing => return true,
                Received::End => return false,
                Received::Some => {}
            }
            if room == bounds.batch {
                until = Some(Instant::now() + bounds.linger);
            }
            room -= self.came.len();
            let urgent = self.came.iter().any(|event| matches!(event, Event::Feedback(..)));
            self.came.drain(..).for_each(&mut take);
            if urgent {
                return true;
            }
            sleep(bounds.nap).await;
        }
        true
    }

    async fn receive(&mut self, limit: usize, until: Option<Instant>) -> Received {
        loop {
            tokio::select! {
                biased;
                told = &mut self.stop, if self.listening => {
                    self.listening = false;
                    if told.is_ok() {
                        self.events.close();
                    }
                }
                n = self.events.recv_many(&mut self.came, limit) => {
                    return if n == 0 { Received::End } else { Received::Some };
                }
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => return Received::Nothing,
            }
        }
    }
}

enum Received {
    Some,
    /// The time is up.
    Nothing,
    End,
}
