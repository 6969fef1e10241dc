//! What the cache may hold and whom it answers.

use std::time::Duration;

/// The cache of a gateway; off until a route has a [`CacheRule`].
#[derive(Debug, Clone, PartialEq)]
pub struct CacheSettings {
    /// What the answers in memory take at most, bytes. Taken at the start: a reload does not change it.
    pub memory_bytes: u64,
    /// The same of the answers on the disk; `None`: none are written there. Taken at the start.
    pub disk_bytes: Option<u64>,
    /// For requests that name a model; `None`: they are not cached.
    pub models: Option<CacheRule>,
}

/// How long an answer is given again, and to whom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CacheRule {
    pub ttl: Duration,
    /// Least cosine, 0 to 1, of two requests' newest user turns at which they share an answer; `None`: only the same
    /// request gets the same answer.
    pub semantic_threshold: Option<f64>,
}

/// How long an answer is given again where the configuration does not say.
pub const DEFAULT_TTL: Duration = Duration::from_secs(3600);

impl Default for CacheSettings {
    fn default() -> Self {
        Self { memory_bytes: 64 << 20, disk_bytes: None, models: None }
    }
}
