//! Time and chance, as inputs.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use uuid::{NoContext, Timestamp, Uuid};

use crate::trace::TraceId;

/// Where the gateway takes time and chance from.
pub struct Sources {
    /// Wall clock, Unix milliseconds.
    pub now_ms: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Uniform in [0, 1).
    pub draw: Box<dyn Fn() -> f64 + Send + Sync>,
}

/// When a request came, and the name it got.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) id: TraceId,
    /// Unix milliseconds.
    pub(super) at_ms: u64,
    pub(super) instant: Instant,
}

impl Sources {
    /// The system's clock and generator.
    pub fn system() -> Self {
        Self { now_ms: Box::new(unix_ms), draw: Box::new(rand::random::<f64>) }
    }

    pub(super) fn arrival(&self) -> Arrival {
        let at_ms = (self.now_ms)();
        let id = Uuid::new_v7(Timestamp::from_unix(NoContext, at_ms / 1000, (at_ms % 1000 * 1_000_000) as u32));
        Arrival { id, at_ms, instant: Instant::now() }
    }
}

/// The system's clock, Unix milliseconds; one before 1970 reads as 1970.
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
