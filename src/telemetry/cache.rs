//! What the response cache counts.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The cache's metrics.
#[derive(Debug, Clone, Default)]
pub struct CacheMetrics {
    hits: Family<HitLabel, Counter>,
    /// Requests that looked for an answer and found none.
    pub misses: Counter,
    /// Answers that were kept.
    pub stores: Counter,
    /// Answers that gave way to newer ones.
    pub evictions: Counter,
    /// Answers that the disk had no time for.
    pub disk_drops: Counter,
    /// What the answers that were given again had cost when they were given first.
    pub saved_usd: Counter<f64, AtomicU64>,
    /// What is held in memory.
    pub bytes: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HitLabel {
    kind: &'static str,
}

impl CacheMetrics {
    pub(super) fn register(&self, r: &mut Registry) {
        r.register("cache_hits", "Answers given again, by how they were found", self.hits.clone());
        r.register("cache_misses", "Requests that the cache had no answer to", self.misses.clone());
        r.register("cache_stores", "Answers that were kept", self.stores.clone());
        r.register("cache_evictions", "Answers that gave way to newer ones", self.evictions.clone());
        r.register("cache_disk_drops", "Answers that the disk had no time for", self.disk_drops.clone());
        r.register("cache_saved_usd", "US dollars that answers given again had cost at first", self.saved_usd.clone());
        r.register("cache_bytes", "Memory that the kept answers take", self.bytes.clone());
    }

    /// An answer was given again; `kind`: `exact`, `semantic` or `shared`.
    pub fn hit(&self, kind: &'static str, saved_usd: f64) {
        self.hits.get_or_create(&HitLabel { kind }).inc();
        self.saved_usd.inc_by(saved_usd);
    }
}
