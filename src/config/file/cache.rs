//! `[cache]` and `[routes.cache]`: what the file says of the response cache, each value on its own.

use std::time::Duration;

use crate::config::section::{Located, Section};

const MIB: u64 = 1 << 20;
/// Thirty days.
const LONGEST_TTL_S: f64 = 2_592_000.0;

/// What holds for all of it. `None`: not there, or wrong (and noted).
#[derive(Debug)]
pub(in crate::config) struct Cache {
    pub(in crate::config) line: usize,
    pub(in crate::config) memory_bytes: Option<u64>,
    pub(in crate::config) disk_bytes: Option<Located<u64>>,
    pub(in crate::config) ttl: Option<Duration>,
    /// Requests that name a model are cached too.
    pub(in crate::config) models: bool,
}

/// What a route has of its own; a route without it is not cached.
#[derive(Debug)]
pub(in crate::config) struct RouteCache {
    pub(in crate::config) ttl: Option<Duration>,
    pub(in crate::config) semantic_threshold: Option<f64>,
}

impl Cache {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let bytes = |mib: u32| u64::from(mib) * MIB;
        Self {
            line: section.line,
            memory_bytes: section.whole("memory_mib", 1, 1 << 20).map(|mib| bytes(mib.value)),
            disk_bytes: section
                .whole("disk_mib", 1, 1 << 20)
                .map(|mib| Located { value: bytes(mib.value), line: mib.line }),
            ttl: ttl(section),
            models: section.boolean("models").unwrap_or(false),
        }
    }
}

impl RouteCache {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let expected =
            "a cosine above 0 and up to 1, such as 0.95; leave it out, and only the same request has the same answer";
        let threshold = section.number("semantic_threshold", f64::MIN_POSITIVE..1.0, true, expected);
        Self { ttl: ttl(section), semantic_threshold: threshold.map(|typed| typed.value) }
    }
}

fn ttl(section: &mut Section<'_, '_>) -> Option<Duration> {
    let typed = section.number("ttl_s", 1.0..LONGEST_TTL_S, true, "seconds from 1 to 2592000, which are 30 days");
    typed.map(|typed| Duration::from_secs_f64(typed.value))
}
