//! The response cache: its bounds, and the rule of each route.

use std::time::Duration;

use crate::config::file::{Cache, File, RouteCache};
use crate::config::findings::Findings;
use crate::gateway::{CacheRule, CacheSettings, DEFAULT_TTL};

/// How long answers are given again where a route does not say.
pub(super) fn ttl(file: &File) -> Duration {
    file.cache.as_ref().and_then(|cache| cache.ttl).unwrap_or(DEFAULT_TTL)
}

pub(super) fn rule(typed: &RouteCache, ttl: Duration) -> CacheRule {
    CacheRule { ttl: typed.ttl.unwrap_or(ttl), semantic_threshold: typed.semantic_threshold }
}

pub(super) fn cache(file: &File, findings: &mut Findings) -> CacheSettings {
    let default = CacheSettings::default();
    let Some(typed) = &file.cache else { return default };
    let cached = file.routes.iter().flatten().any(|route| route.cache.is_some());
    if !cached && !typed.models {
        let text = "[cache] is there, and nothing is cached: add [routes.cache] to a route, or `models = true` for requests \
                    that name a model";
        findings.warning(typed.line, text);
    }
    let memory_bytes = typed.memory_bytes.unwrap_or(default.memory_bytes);
    note_unread(typed, memory_bytes, findings);
    CacheSettings {
        memory_bytes,
        disk_bytes: typed.disk_bytes.as_ref().map(|disk| disk.value),
        models: typed.models.then(|| CacheRule { ttl: ttl(file), semantic_threshold: None }),
    }
}

fn note_unread(typed: &Cache, memory_bytes: u64, findings: &mut Findings) {
    if let Some(disk) = typed.disk_bytes.as_ref().filter(|disk| disk.value > memory_bytes) {
        let text =
            "`disk_mib` is more than `memory_mib`: a start reads the newest answers only, as many as memory takes";
        findings.warning(disk.line, text);
    }
}
