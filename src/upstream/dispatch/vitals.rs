//! What is remembered of a model between calls: its health, its load, its limits; and the guard of one call.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::super::{Cause, UpstreamError};
use super::breaker::{Breaker, Condition, End, PAUSE, Scope};
use super::capacity;
use super::load::Load;

/// A rate limit that says nothing of its end is looked at again after this.
const LIMITED: Duration = Duration::from_secs(1);

/// The breakers that a provider's models share.
#[derive(Debug)]
pub struct Shared {
    provider: Breaker,
    /// One per key.
    keys: Vec<Breaker>,
}

impl Shared {
    /// Of `provider`, which has so many keys; one that asks for none counts as having one.
    pub fn new(provider: &str, keys: usize) -> Self {
        let key = |i| Breaker::new(Scope::Key, format!("key {i} of provider {provider}"));
        let keys = (1..=keys.max(1)).map(key).collect();
        Self { provider: Breaker::new(Scope::Provider, format!("provider {provider}")), keys }
    }

    pub fn provider(&self, now: Instant) -> Condition {
        self.provider.condition(now)
    }

    /// Each key's.
    pub fn keys(&self, now: Instant) -> impl Iterator<Item = Condition> {
        self.keys.iter().map(move |key| key.condition(now))
    }
}

/// One model's vitals.
#[derive(Debug)]
pub struct Vitals {
    shared: Arc<Shared>,
    model: Breaker,
    pub load: Load,
    /// Each key's at this model.
    rests: Vec<Mutex<Rest>>,
    /// The key whose turn it is.
    turn: AtomicUsize,
}

/// Until when a key is not to be used for a model.
#[derive(Debug, Clone, Copy, Default)]
struct Rest {
    /// Its limit is used up.
    limited: Option<Instant>,
    /// A refusal said until when nothing more should be asked, and this is what ailed it.
    put_off: Option<(Instant, Cause)>,
    /// It was refused. Other keys come first; whether new requests should go there at all is its breaker's to say.
    refused: Option<Instant>,
}

/// How a model stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub condition: Condition,
    /// Failed calls in a row.
    pub failures: u32,
    /// Calls under way.
    pub in_flight: u32,
    /// To an answer's beginning: a decaying mean with peaks. `None` before the first answer.
    pub latency: Option<Duration>,
    /// What to choose by: less than that the longer nothing was heard.
    pub presumed_latency: Option<Duration>,
    /// How long until a key is free of its rate limit; `None`: one is.
    pub limited_for: Option<Duration>,
    /// Whether new requests should go there.
    pub healthy: bool,
}

impl Vitals {
    /// Of the model that is called `name`, as `provider/model`.
    pub fn new(shared: Arc<Shared>, name: String) -> Self {
        let rests = shared.keys.iter().map(|_| Mutex::default()).collect();
        let model = Breaker::new(Scope::Model, name);
        Self { shared, model, load: Load::default(), rests, turn: AtomicUsize::new(0) }
    }

    pub fn standing(&self, now: Instant) -> Standing {
        let key = self.key(now);
        let limited_for = self.limited_until(key, now).map(|until| until - now);
        Standing {
            condition: self.model.condition(now),
            failures: self.model.failures(),
            in_flight: self.load.in_flight(),
            latency: self.load.latency(),
            presumed_latency: self.load.presumed_latency(now),
            limited_for,
            healthy: self.healthy(now),
        }
    }

    /// Whether new requests should go there.
    pub fn healthy(&self, now: Instant) -> bool {
        self.shared.provider.healthy(now)
            && self.model.healthy(now)
            && (0..self.rests.len())
                .any(|key| self.shared.keys[key].healthy(now) && self.limited_until(key, now).is_none())
    }

    /// Why it is not to be asked now, and from when on it may be: a breaker is open, or a refusal said when to ask again.
    pub fn barred(&self, now: Instant) -> Option<UpstreamError> {
        let key = self.key(now);
        let left_alone = self.breakers(key).into_iter().filter_map(|breaker| breaker.left_alone(now));
        left_alone.max_by_key(|error| error.retry_after).or_else(|| self.put_off(key, now))
    }

    fn put_off(&self, key: usize, now: Instant) -> Option<UpstreamError> {
        let (until, cause) = self.rest(key).put_off.filter(|(until, _)| *until > now)?;
        let problem = format!("{} is not asked yet: it said before when it may be asked again", self.model.name());
        Some(UpstreamError { retry_after: Some(until - now), ..UpstreamError::new(cause, problem) })
    }

    /// How long until a key that is accepted has room; `None`: none is accepted.
    pub fn room_in(&self, now: Instant) -> Option<Duration> {
        let key = self.key(now);
        let room = || self.limited_until(key, now).map_or(Duration::ZERO, |until| until - now);
        (!self.is_refused(key, now)).then(room)
    }

    /// The key to use: the one whose turn it is, or the next that is accepted and has room; where none has, the accepted
    /// one that has room the soonest.
    fn key(&self, now: Instant) -> usize {
        let (first, count) = (self.turn.load(Ordering::Relaxed), self.rests.len());
        let turns = (0..count).map(|i| (first + i) % count);
        turns.min_by_key(|key| (self.is_refused(*key, now), self.limited_until(*key, now))).unwrap_or_default()
    }

    fn is_refused(&self, key: usize, now: Instant) -> bool {
        !self.shared.keys[key].healthy(now) || self.rest(key).refused.is_some_and(|until| until > now)
    }

    fn limited_until(&self, key: usize, now: Instant) -> Option<Instant> {
        self.rest(key).limited.filter(|until| *until > now)
    }

    fn rest(&self, key: usize) -> MutexGuard<'_, Rest> {
        self.rests[key].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing more with this key for a while, or for as long as was known before: it is another's turn.
    pub fn exhausted(&self, key: usize, pause: Duration, now: Instant) {
        let until = Some(now + pause.min(capacity::LONGEST));
        let mut rest = self.rest(key);
        rest.limited = rest.limited.max(until);
        drop(rest);
        self.pass_turn(key);
    }

    /// A refusal for want of room with this key.
    fn told_to_wait(&self, key: usize, error: &UpstreamError, now: Instant) {
        if let Some(pause) = error.retry_after {
            let until = now + pause.min(capacity::LONGEST);
            let mut rest = self.rest(key);
            rest.put_off = rest.put_off.filter(|(other, _)| *other > until).or(Some((until, error.cause)));
        }
        self.exhausted(key, error.retry_after.unwrap_or(LIMITED), now);
    }

    fn refused(&self, key: usize, now: Instant) {
        self.rest(key).refused = Some(now + PAUSE);
        self.pass_turn(key);
    }

    fn pass_turn(&self, key: usize) {
        self.turn.store((key + 1) % self.rests.len(), Ordering::Relaxed);
    }

    /// A call begins.
    pub fn begin(self: &Arc<Self>, now: Instant) -> Call {
        let key = self.key(now);
        let probes = self.breakers(key).map(|breaker| breaker.begin(now));
        self.load.begin();
        Call { vitals: Arc::clone(self), key, began: now, probes, open: true, answering: false }
    }

    /// What a call with this key passes.
    fn breakers(&self, key: usize) -> [&Breaker; 3] {
        [&self.shared.provider, &self.shared.keys[key], &self.model]
    }
}

/// A call under way. Dropped without an outcome (its client left) it counts neither way, unless its answer was overdue.
#[derive(Debug)]
pub struct Call {
    vitals: Arc<Vitals>,
    /// Index into the provider's keys: the one to send.
    pub key: usize,
    began: Instant,
    /// Whether it is the probe of each of its [`Vitals::breakers`].
    probes: [bool; 3],
    open: bool,
    /// Its answer has begun.
    answering: bool,
}

impl Call {
    /// The model has begun to answer, in a stream: what it probes for answers again, unless it is answers that do not end.
    /// How the stream ends counts as well, like any other's.
    pub fn begun(&mut self) {
        if !self.open {
            return;
        }
        let now = self.observe();
        self.answering = true;
        for (breaker, probe) in self.vitals.breakers(self.key).into_iter().zip(&mut self.probes) {
            breaker.begun(probe, now);
        }
    }

    /// The model answered to the end.
    pub fn succeeded(&mut self) {
        let now = if self.answering { Instant::now() } else { self.observe() };
        self.settle(End::Answered, now);
    }

    /// It did not.
    pub fn failed(&mut self, error: &UpstreamError, now: Instant) {
        match error.cause {
            Cause::RateLimited => self.vitals.told_to_wait(self.key, error, now),
            Cause::Server if error.retry_after.is_some() => self.vitals.told_to_wait(self.key, error, now),
            _ if Scope::Key.blames(error) => self.vitals.refused(self.key, now),
            _ => {}
        }
        self.settle(if self.answering { End::Cut(error) } else { End::Failed(error) }, now);
    }

    /// The answer begins, or is there, now.
    fn observe(&self) -> Instant {
        let now = Instant::now();
        self.vitals.load.observe(now - self.began, now);
        now
    }

    fn settle(&mut self, end: End<'_>, now: Instant) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        for (breaker, probe) in self.vitals.breakers(self.key).into_iter().zip(self.probes) {
            breaker.end(probe, end, now);
        }
        self.vitals.load.end();
    }
}

/// Clients of a model that hangs may all leave before its deadline: what they waited for in vain counts against it.
impl Drop for Call {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let now = Instant::now();
        let waited = now - self.began;
        if !self.answering && self.vitals.load.is_overdue(waited) {
            let problem = format!("no answer had begun after {waited:.1?}, and nobody waited longer");
            self.settle(End::Failed(&UpstreamError::new(Cause::Timeout, problem)), now);
        }
        self.settle(End::Unknown, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vitals(keys: usize) -> Vitals {
        Vitals::new(Arc::new(Shared::new("test", keys)), "test/model".into())
    }

    fn limited(after: Option<Duration>) -> UpstreamError {
        UpstreamError { retry_after: after, ..UpstreamError::new(Cause::RateLimited, "") }
    }

    #[test]
    fn keys_rotate_when_their_limit_is_used_up() {
        let (vitals, now) = (Arc::new(vitals(3)), Instant::now());
        assert_eq!((vitals.begin(now).key, vitals.begin(now).key), (0, 0), "one key until it is used up");
        vitals.begin(now).failed(&limited(Some(Duration::from_secs(5))), now);
        assert_eq!(vitals.begin(now).key, 1);
        vitals.begin(now).failed(&limited(Some(Duration::from_secs(2))), now);
        vitals.begin(now).failed(&limited(None), now);
        let standing = vitals.standing(now);
        assert_eq!((standing.healthy, standing.limited_for), (false, Some(LIMITED)));
        assert_eq!(vitals.begin(now).key, 2, "the one that has room the soonest");
        assert!(vitals.standing(now + LIMITED).healthy);
    }

    #[test]
    fn what_is_known_of_a_limit_stays_known_where_less_is_said() {
        let (vitals, now) = (Arc::new(vitals(1)), Instant::now());
        let long = Duration::from_secs(20);
        let mut call = vitals.begin(now);
        vitals.exhausted(call.key, long, now);
        call.failed(&limited(None), now);
        assert_eq!(vitals.standing(now).limited_for, Some(long));
    }

    fn refused() -> UpstreamError {
        UpstreamError { cause: Cause::Credentials, status: Some(http::StatusCode::UNAUTHORIZED), ..limited(None) }
    }

    #[test]
    fn a_refused_key_is_left_alone_and_the_model_stays() {
        let (vitals, now) = (Arc::new(vitals(2)), Instant::now());
        vitals.begin(now).failed(&refused(), now);
        assert_eq!((vitals.begin(now).key, vitals.begin(now + PAUSE).key), (1, 1), "also when it may be tried again");
        assert!(vitals.standing(now).healthy);
    }

    #[test]
    fn a_refused_key_is_not_the_one_that_has_room_the_soonest() {
        let (vitals, now) = (Arc::new(vitals(2)), Instant::now());
        vitals.begin(now).failed(&refused(), now);
        let soon = Duration::from_secs(3);
        vitals.begin(now).failed(&limited(Some(soon)), now);
        assert_eq!((vitals.begin(now).key, vitals.room_in(now)), (1, Some(soon)));
        assert_eq!(vitals.standing(now).limited_for, Some(soon));
        vitals.begin(now).failed(&refused(), now);
        assert_eq!(vitals.room_in(now), None);
    }

    #[test]
    fn calls_under_way_are_counted_until_they_end_or_are_dropped() {
        let (vitals, now) = (Arc::new(vitals(1)), Instant::now());
        let (mut one, two) = (vitals.begin(now), vitals.begin(now));
        assert_eq!(vitals.load.in_flight(), 2);
        one.succeeded();
        drop((one, two));
        assert_eq!(vitals.load.in_flight(), 0);
    }

    #[test]
    fn what_a_refusal_says_of_its_end_bars_and_a_limit_that_only_headers_told_does_not() {
        let (vitals, now) = (Arc::new(vitals(1)), Instant::now());
        vitals.exhausted(0, Duration::from_secs(9), now);
        vitals.begin(now).failed(&limited(None), now);
        assert_eq!(vitals.barred(now), None);
        let long = Duration::from_secs(20);
        vitals.begin(now).failed(&limited(Some(long)), now);
        vitals.begin(now).failed(&limited(Some(long / 2)), now);
        let barred = vitals.barred(now).unwrap();
        assert_eq!((barred.cause, barred.retry_after), (Cause::RateLimited, Some(long)));
        assert_eq!(vitals.barred(now + long), None);
    }
}
