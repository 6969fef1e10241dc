//! Requests as the learner and the store hear of them.

use std::sync::Arc;

use bytes::Bytes;
use satisfice::api::chat::Needs;
use satisfice::api::metadata::Metadata;
use satisfice::catalog::{ModelId, Price, Usage};
use satisfice::difficulty::{Population, Prior};
use satisfice::learner::Learner;
use satisfice::policy::{ArmSpec, Candidate, Decision, Kind, Knob, RouteSpec, SegmentSpec, Snapshot};
use satisfice::store::{Entry, Scored};
use satisfice::trace::{Feedback, Outcome, Quality, ReplyText, Trace, TraceId};

pub const ROUTE: &str = "auto";
/// Of a usual answer.
pub const USAGE: Usage = Usage {
    input_tokens: 100,
    output_tokens: 200,
    cached_input_tokens: 0,
    cache_write_tokens: 0,
    cache_write_1h_tokens: 0,
    reasoning_tokens: 0,
};
/// A segment of each route.
pub const SEGMENT: &str = "strict";
const STRICT: Knob = Knob::Quality(0.99);
pub const ARMS: [&str; 2] = ["small", "large"];
/// 2026-11-23T00:00:00Z, a segment's beginning.
pub const BEGIN_MS: u64 = 1_795_392_000_000;

/// The id of a request that came `at_ms`; `n` tells those of one millisecond apart.
pub fn id_at(at_ms: u64, n: u16) -> TraceId {
    let mut random = [0; 10];
    random[8..].copy_from_slice(&n.to_be_bytes());
    uuid::Builder::from_unix_timestamp_millis(at_ms, &random).into_uuid()
}

/// The `n`th request, one per millisecond.
pub fn id(n: u64) -> TraceId {
    id_at(BEGIN_MS + n, 0)
}

pub fn routes(names: &[&str]) -> Vec<RouteSpec> {
    let price = Price::of(1.0, 2.0);
    let arm = |arm: &str| ArmSpec { arm: arm.into(), price: Some(price), context_window: None };
    let arms: Vec<ArmSpec> = ARMS.map(arm).into();
    let segments = vec![SegmentSpec { name: SEGMENT.into(), knob: STRICT, explore: true }];
    let spec = |name: &&str| RouteSpec {
        name: (*name).into(),
        knob: Knob::Quality(0.95),
        explore: true,
        arms: arms.clone(),
        segments: segments.clone(),
    };
    names.iter().map(spec).collect()
}

/// What is believed before anything was seen; φ has two values.
pub fn prior() -> Snapshot {
    let population = Population {
        mean: vec![0.5, -1.0],
        price_slope: 0.5,
        within: vec![0.5, 0.25],
        between: vec![0.5, 0.25],
        token_mean: vec![4.0, 0.5],
        token_variance: vec![1.0, 1.0],
    };
    Snapshot::new(Arc::new(Prior { dimension: 2, population, heads: Vec::new() }))
}

/// The `n`th request's; every third is in the segment.
pub fn decision(n: u64) -> Decision {
    let segment = n % 3 == 2;
    let candidate = |arm: &str| Candidate { arm: arm.into(), quality: 0.5, cost_usd: 1e-3, propensity: 0.5 };
    Decision {
        kind: Kind::Explore,
        policy: "thompson".into(),
        snapshot_version: n,
        segment: segment.then(|| SEGMENT.into()),
        knob: if segment { STRICT } else { Knob::Quality(0.95) },
        phi: vec![1.0, (n % 7) as f64 / 3.0 - 1.0],
        widening: 1.0,
        verbosity: (n % 5) as f64 / 10.0,
        input_tokens: 100,
        difficulty: 0.5,
        candidates: ARMS.map(candidate).into(),
        preferred: 0,
        chosen: (n % 2) as usize,
        draw: 0.25,
        audit: None,
        consult: None,
    }
}

/// The `n`th request as it ended; its decision's choice answered with plain text.
pub fn trace(n: u64) -> Trace {
    Trace {
        id: id(n),
        at_ms: BEGIN_MS + n,
        owner: None,
        route: Some(ROUTE.into()),
        metadata: Metadata::new([("n", n.to_string())]).unwrap(),
        decision: Some(decision(n).into()),
        bundle: None,
        attempts: Vec::new(),
        model: Some(ModelId { provider: "simulated".into(), model: ARMS[(n % 2) as usize].into() }),
        outcome: Outcome::Answered,
        needs: Needs::default(),
        stream: false,
        usage: Some(Usage { input_tokens: 100, output_tokens: 20, ..Usage::default() }),
        cost_usd: Some(1e-3),
        first_byte_us: Some(500),
        total_us: 2_000,
        request: Bytes::from_static(br#"{"model":"auto","messages":[{"role":"user","content":"?"}]}"#),
        reply: ReplyText { content: "An answer.".into(), finish_reason: Some("stop".into()), ..ReplyText::default() },
    }
}

pub fn decided(n: u64) -> Entry {
    Entry::Decided {
        trace: id(n),
        at_ms: BEGIN_MS + n,
        owner: None,
        route: ROUTE.into(),
        bundle: satisfice::policy::bundle_key("bundle"),
        decision: decision(n).into(),
    }
}

pub fn settled(n: u64) -> Entry {
    Entry::Settled {
        trace: id(n),
        arm: Some(ARMS[(n % 2) as usize].into()),
        usage: None,
        cost_usd: Some(1e-3),
        outcome: Outcome::Answered,
    }
}

pub fn scored(n: u64, source: &str, value: f64) -> Entry {
    let Feedback { trace, metric, source, value, comment, at_ms, .. } = feedback(n, source, value);
    Entry::Scored(Scored { trace, metric, source, value: value.get(), weight: 1.0, comment, at_ms })
}

pub fn feedback(n: u64, source: &str, value: f64) -> Feedback {
    Feedback {
        trace: id(n),
        by: None,
        metric: "quality".into(),
        source: source.into(),
        value: Quality::new(value).unwrap(),
        comment: None,
        at_ms: BEGIN_MS + n + 60_000,
    }
}

/// Lets the learner work off what waits; the snapshot that it leaves.
pub fn stop(learner: Learner) -> Arc<Snapshot> {
    let snapshot = learner.snapshot.clone();
    learner.stop();
    snapshot.load_full()
}

/// A snapshot, to the bit.
pub fn bytes(snapshot: &Snapshot) -> Vec<u8> {
    serde_json::to_vec(snapshot).unwrap()
}
