//! Identical requests at one time: the first asks, the others wait for its answer, or for its beginning.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::shared::Shared;
use crate::trace::kept::{Kept, Key};

/// Requests that wait at most; more ask for themselves.
const WAITERS: usize = 4096;

/// The calls under way, by what they answer. There are never more than requests under way.
#[derive(Debug)]
pub(super) struct Flights {
    by_key: Mutex<HashMap<Key, watch::Receiver<Flight>>>,
    waiters: Semaphore,
}

#[derive(Debug, Clone)]
enum Flight {
    UnderWay,
    /// Its answer comes as a stream.
    Streamed(Weak<Shared>),
    Landed(Arc<Kept>),
    /// It has an answer that is not to be given to others.
    Apart,
}

/// A request's part in a call.
pub(super) enum Part {
    Lead(Lead),
    Follow(Follow),
}

/// Whoever holds it asks, for all. Dropped without a landing: another takes over.
#[derive(Debug)]
pub(super) struct Lead {
    flights: Arc<Flights>,
    key: Key,
    flight: watch::Sender<Flight>,
}

/// What those who wait are to be told. It is told where no lock is held: they look at the call, which has one.
#[derive(Debug)]
pub(in crate::gateway) struct Landing {
    lead: Lead,
    flight: Flight,
}

/// Whoever holds it waits.
#[derive(Debug)]
pub(in crate::gateway) struct Follow {
    flights: Arc<Flights>,
    flight: watch::Receiver<Flight>,
}

/// What the waiting came to.
pub(in crate::gateway) enum Waited {
    Answered(Arc<Kept>),
    /// The answer has begun.
    Streamed(Arc<Shared>),
    /// Whoever asked has failed or left.
    Left,
    /// It is no use to wait: each asks for itself.
    Alone,
}

impl Default for Flights {
    fn default() -> Self {
        Self { by_key: Mutex::default(), waiters: Semaphore::new(WAITERS) }
    }
}

impl Flights {
    /// Takes part in the call for `key`, the first to come as its leader.
    pub(super) fn join(self: &Arc<Self>, key: Key) -> Part {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = by_key.get(&key) {
            return Part::Follow(Follow { flights: self.clone(), flight: flight.clone() });
        }
        let (flight, followers) = watch::channel(Flight::UnderWay);
        by_key.insert(key, followers);
        Part::Lead(Lead { flights: self.clone(), key, flight })
    }
}

impl Lead {
    /// The answer comes for all who take it in pieces.
    pub(super) fn share(&self, shared: &Arc<Shared>) {
        self.flight.send_replace(Flight::Streamed(Arc::downgrade(shared)));
    }

    /// The answer for all who wait; `None`: it is for this request alone.
    pub(super) fn land(self, kept: Option<Arc<Kept>>) -> Landing {
        Landing { lead: self, flight: kept.map_or(Flight::Apart, Flight::Landed) }
    }
}

impl Landing {
    pub(in crate::gateway) fn tell(self) {
        self.lead.flight.send_replace(self.flight);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.flights.by_key.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl Follow {
    /// Waits for the leader's answer, no longer than `patience`; in pieces if `stream`, else for the whole of it.
    pub(in crate::gateway) async fn wait(mut self, patience: Duration, stream: bool) -> Waited {
        let Ok(_seat) = self.flights.waiters.try_acquire() else { return Waited::Alone };
        let over = |flight: &Flight| match flight {
            Flight::UnderWay => false,
            Flight::Streamed(_) => stream,
            Flight::Landed(_) | Flight::Apart => true,
        };
        let told = timeout(patience, self.flight.wait_for(over)).await;
        // A copy: the leader could tell nothing while this one looks at the call.
        match told.map(|flight| flight.map(|flight| flight.clone())) {
            Err(_late) => Waited::Alone,
            Ok(Err(_closed)) => Waited::Left,
            Ok(Ok(Flight::Landed(kept))) => Waited::Answered(kept),
            Ok(Ok(Flight::Streamed(call))) => {
                call.upgrade().filter(|call| call.is_whole()).map_or(Waited::Left, Waited::Streamed)
            }
            Ok(Ok(Flight::UnderWay | Flight::Apart)) => Waited::Alone,
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    const KEY: Key = [7; 32];
    const PATIENCE: Duration = Duration::from_secs(60);

    fn lead(flights: &Arc<Flights>) -> Lead {
        let Part::Lead(lead) = flights.join(KEY) else { panic!("somebody leads") };
        lead
    }

    fn follow(flights: &Arc<Flights>) -> Follow {
        let Part::Follow(follow) = flights.join(KEY) else { panic!("nobody leads") };
        follow
    }

    fn kept() -> Arc<Kept> {
        Kept::sample(None)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_hears_what_became_of_the_call() {
        let flights = Arc::new(Flights::default());
        let (leader, follower) = (lead(&flights), follow(&flights));
        leader.land(Some(kept())).tell();
        assert!(matches!(follower.wait(PATIENCE, false).await, Waited::Answered(answer) if answer == kept()));
        let (leader, follower) = (lead(&flights), follow(&flights));
        leader.land(None).tell();
        assert!(matches!(follower.wait(PATIENCE, false).await, Waited::Alone));
        let (leader, follower) = (lead(&flights), follow(&flights));
        drop(leader);
        assert!(matches!(follower.wait(PATIENCE, true).await, Waited::Left));
        assert!(flights.by_key.lock().unwrap().is_empty(), "calls that ended take no room");
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_and_so_do_the_seats() {
        let flights = Arc::new(Flights::default());
        let _leader = lead(&flights);
        assert!(matches!(follow(&flights).wait(PATIENCE, true).await, Waited::Alone));
        let _others = flights.waiters.try_acquire_many(WAITERS as u32).unwrap();
        let began = tokio::time::Instant::now();
        assert!(matches!(follow(&flights).wait(PATIENCE, true).await, Waited::Alone));
        assert_eq!(began.elapsed(), Duration::ZERO, "it does not wait where too many do");
    }
}
