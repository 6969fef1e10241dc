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
            // What has come by then is taken above, so that under load the time would never be up there.
            if urgent || until.is_some_and(|until| until <= Instant::now()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_steady_stream_of_events_does_not_put_off_the_end_of_a_batch() {
        let bounds = Bounds::default();
        let (sender, events) = mpsc::channel(bounds.queue);
        let (_stop, stopped) = oneshot::channel();
        let mut inbox = Inbox::new(events, stopped);
        tokio::spawn(async move {
            while sender.send(Event::Configured { at_ms: 0, routes: vec![] }).await.is_ok() {
                sleep(bounds.nap / 2).await;
            }
        });
        for _ in 0..3 {
            let (began, mut taken) = (Instant::now(), 0);
            assert!(inbox.gather(&bounds, None, |_| taken += 1).await);
            assert!(began.elapsed() <= bounds.linger + 2 * bounds.nap, "{:?}", began.elapsed());
            assert!(taken > 10, "{taken}");
        }
    }
}
