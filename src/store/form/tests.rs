use std::path::Path;

use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::api::chat::Needs;
use crate::api::metadata::Metadata;
use crate::catalog::{ModelId, Price, Usage};
use crate::policy::{
    ArmSpec, Audited, Candidate, Consult, Decision, Kind, Knob, Panel, RouteSpec, SegmentSpec, Verdict,
};
use crate::store::Scored;
use crate::trace::{Attempt, Outcome, Owner, ReplyText};

const ID: Uuid = Uuid::from_u128(0x0193_5a7b_0000_7000_8000_0000_0000_0001);

const OWNER: Option<Owner> = Some(Owner([1, 2, 3, 4, 5, 6, 7, 8]));

fn usage() -> Usage {
    Usage {
        input_tokens: 300,
        output_tokens: 5,
        cached_input_tokens: 1,
        cache_write_tokens: 4,
        cache_write_1h_tokens: 3,
        reasoning_tokens: 2,
    }
}

fn decision() -> Decision {
    let candidate = |arm: &str, propensity| Candidate { arm: arm.into(), quality: 0.5, cost_usd: 0.25, propensity };
    Decision {
        kind: Kind::Fallback,
        policy: "thompson".into(),
        snapshot_version: 7,
        segment: Some("strict".into()),
        knob: Knob::BudgetPer1k(2.0),
        phi: vec![1.0, -0.5],
        widening: 1.5,
        verbosity: -0.25,
        input_tokens: 200,
        difficulty: 0.75,
        candidates: vec![candidate("small", 0.75), candidate("large", 0.25)],
        preferred: 0,
        chosen: 1,
        draw: 0.875,
        audit: Some(Audited { share: 0.25, best: 1 }),
        consult: Some(Consult {
            panel: Some(Panel { members: [1, 0], same_errors: 0.125, verdict: Verdict::Differed([false, true]) }),
            foreseen_usd: 0.375,
        }),
    }
}

/// As versions 2 and 3 could express it.
fn unconsulted() -> Decision {
    decision().alone()
}

/// One of each kind of entry, every field set.
fn entries() -> Vec<Entry> {
    let price = Price { input: 0.15, output: 0.6, cached_input: Some(0.075), cache_write: Some(0.1875) };
    let arm = ArmSpec { arm: "small".into(), price: Some(price), context_window: Some(128_000) };
    let segment = SegmentSpec { name: "strict".into(), knob: Knob::Quality(0.99), explore: false };
    let route = RouteSpec {
        name: "auto".into(),
        knob: Knob::Quality(0.95),
        explore: true,
        arms: vec![arm],
        segments: vec![segment],
    };
    vec![
        Entry::Configured { at_ms: 1_000, fingerprint: "f00d".into(), routes: vec![route] },
        Entry::Decided {
            trace: ID,
            at_ms: 2_000,
            owner: OWNER,
            route: "auto".into(),
            bundle: 0xfeed,
            decision: decision().into(),
        },
        Entry::Settled {
            trace: ID,
            arm: Some("large".into()),
            usage: Some(usage()),
            cost_usd: Some(0.125),
            outcome: Outcome::Cut,
        },
        Entry::Scored(Scored {
            trace: ID,
            at_ms: 3_000,
            metric: "quality".into(),
            source: "client".into(),
            value: 0.5,
            weight: 0.75,
            comment: Some("good".into()),
        }),
        Entry::Charged { trace: ID, usd: 0.125 },
    ]
}

/// The same entries, as far as version 1 could express them.
fn older_entries() -> Vec<Entry> {
    let mut all = entries();
    for entry in &mut all {
        match entry {
            Entry::Configured { routes, .. } => {
                routes[0].segments.clear();
                routes[0].arms[0].price = Some(Price { cached_input: Some(0.075), ..Price::of(0.15, 0.6) });
            }
            Entry::Decided { owner, decision, .. } => {
                *owner = None;
                *decision = older_decision().into();
            }
            Entry::Scored(score) => score.weight = 1.0,
            Entry::Settled { usage, .. } => *usage = Some(older_usage()),
            Entry::Charged { .. } => {}
        }
    }
    all.retain(|entry| !matches!(entry, Entry::Charged { .. }));
    all
}

fn older_decision() -> Decision {
    Decision { segment: None, audit: None, ..unconsulted() }
}

fn older_usage() -> Usage {
    Usage { cache_write_tokens: 0, cache_write_1h_tokens: 0, ..usage() }
}

fn older_trace() -> Trace {
    let (decision, usage) = (Some(older_decision().into()), Some(older_usage()));
    Trace { owner: None, metadata: Metadata::default(), decision, usage, ..trace() }
}

fn shadow() -> Decision {
    Decision { kind: Kind::Shadow, ..decision() }
}

fn trace() -> Trace {
    let model = ModelId { provider: "p".into(), model: "large".into() };
    Trace {
        id: ID,
        at_ms: 2_000,
        owner: OWNER,
        route: Some("auto".into()),
        metadata: "team=search".parse().unwrap(),
        decision: Some(decision().into()),
        bundle: None,
        attempts: vec![Attempt { model: model.clone(), status: Some(503), error: Some("busy".into()), duration_us: 9 }],
        model: Some(model),
        outcome: Outcome::Answered,
        needs: Needs { tools: true, vision: false, audio: true, json_schema: false, json: true },
        stream: true,
        usage: Some(usage()),
        cost_usd: Some(0.125),
        first_byte_us: Some(70),
        total_us: 80,
        request: Bytes::from_static(b"{}"),
        reply: ReplyText {
            content: "hi".into(),
            finish_reason: Some("stop".into()),
            refusal: true,
            tool_calls: false,
            truncated: true,
        },
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn somewhere() -> &'static Path {
    Path::new("data/ledger.redb")
}

/// What postcard makes of a value, without the compression, whose output may change with the crate's version.
fn plain(bytes: &[u8]) -> String {
    hex(&lz4_flex::block::decompress_size_prepended(&bytes[2..]).unwrap())
}

/// Bytes in hex.
macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/store/", $name))
    };
}

/// As version 1 wrote [`older_entries`] and [`older_trace`].
const ENTRIES_V1: &str = fixture!("entries_v1.hex");
const TRACE_V1: &str = fixture!("trace_v1.hex");

/// As version 2 wrote [`entries`] and [`trace`], without their owner.
const ENTRIES_V2: &str = fixture!("entries_v2.hex");
const TRACE_V2: &str = fixture!("trace_v2.hex");

/// As version 3 wrote them, without a panel.
const ENTRIES_V3: &str = fixture!("entries_v3.hex");
const TRACE_V3: &str = fixture!("trace_v3.hex");

/// A value of this version with these bytes.
fn packed(version: u16, plain: &str) -> Vec<u8> {
    let plain = plain.trim_end();
    let byte = |i| u8::from_str_radix(&plain[i..i + 2], 16).unwrap();
    let plain: Vec<u8> = (0..plain.len()).step_by(2).map(byte).collect();
    [&version.to_le_bytes()[..], &lz4_flex::block::compress_prepend_size(&plain)].concat()
}

#[test]
fn the_bytes_of_version_4_stay_as_they_are() {
    assert_eq!(plain(Writer::default().entries(&entries()).unwrap()), fixture!("entries_v4.hex").trim_end());
    assert_eq!(plain(Writer::default().trace(&trace()).unwrap()), fixture!("trace_v4.hex").trim_end());
    let checkpoint = Writer::default().checkpoint(&Checkpoint { position: 300, state: vec![1, 2] }).unwrap().to_vec();
    assert_eq!(checkpoint[..2], [4, 0]);
    insta::assert_snapshot!(plain(&checkpoint), @"ac02020102");
}

#[test]
fn version_1_is_read_still() {
    assert_eq!(read_entries(somewhere(), &packed(1, ENTRIES_V1)).unwrap(), older_entries());
    assert_eq!(read_trace(somewhere(), &packed(1, TRACE_V1)).unwrap(), older_trace());
    let checkpoint = read_checkpoint(somewhere(), &packed(1, "ac02020102")).unwrap();
    assert_eq!((checkpoint.position, checkpoint.state), (300, vec![1, 2]));
}

#[test]
fn version_2_is_read_still_and_is_nobodys() {
    let trace = Trace { owner: None, decision: Some(unconsulted().into()), ..trace() };
    assert_eq!(read_entries(somewhere(), &packed(2, ENTRIES_V2)).unwrap(), decided(None));
    assert_eq!(read_trace(somewhere(), &packed(2, TRACE_V2)).unwrap(), trace);
}

#[test]
fn version_3_is_read_still_and_asked_nobody_first() {
    let trace = Trace { decision: Some(unconsulted().into()), ..trace() };
    assert_eq!(read_entries(somewhere(), &packed(3, ENTRIES_V3)).unwrap(), decided(OWNER));
    assert_eq!(read_trace(somewhere(), &packed(3, TRACE_V3)).unwrap(), trace);
}

/// [`entries`], whose decision asked nobody before the drawn model.
fn decided(by: Option<Owner>) -> Vec<Entry> {
    let mut entries = entries();
    let Entry::Decided { owner, decision, .. } = &mut entries[1] else { unreachable!() };
    (*owner, *decision) = (by, unconsulted().into());
    entries
}

#[test]
fn what_was_written_is_read_back() {
    for entries in [entries(), older_entries()] {
        assert_eq!(read_entries(somewhere(), Writer::default().entries(&entries).unwrap()).unwrap(), entries);
    }
    let shadow = Trace { decision: Some(shadow().into()), ..trace() };
    let undecided = Trace { decision: None, ..trace() };
    for trace in [trace(), older_trace(), shadow, undecided] {
        assert_eq!(read_trace(somewhere(), Writer::default().trace(&trace).unwrap()).unwrap(), trace);
    }
}

#[test]
fn a_newer_version_is_told_apart_from_damage() {
    let mut bytes = Writer::default().trace(&trace()).unwrap().to_vec();
    bytes[0] = 5;
    assert!(matches!(read_trace(somewhere(), &bytes), Err(StoreError::Newer { found: 5, known: 4 })));
}

#[test]
fn damage_is_an_error_that_names_the_file_wherever_it_is() {
    let bytes = Writer::default().entries(&entries()).unwrap().to_vec();
    for cut in 0..bytes.len() {
        let error = read_entries(somewhere(), &bytes[..cut]).unwrap_err();
        assert!(error.to_string().contains("data/ledger.redb is damaged"), "{error}");
    }
}

#[test]
fn a_length_from_a_damaged_header_is_not_reserved() {
    // The largest there is, the largest of a value, and one byte more than LZ4 can make of one.
    for length in [u32::MAX, MAX_UNPACKED, 256] {
        let bytes = [&[1, 0][..], &length.to_le_bytes(), &[0]].concat();
        let error = read_entries(somewhere(), &bytes).unwrap_err();
        assert!(error.to_string().contains("a value has no valid header"), "{length}: {error}");
    }
}

#[test]
fn what_packs_best_is_read_back() {
    let checkpoint = Checkpoint { position: 0, state: vec![0; 1 << 20] };
    let bytes = Writer::default().checkpoint(&checkpoint).unwrap().to_vec();
    assert!(bytes.len() * (MAX_RATIO + 1) > checkpoint.state.len(), "{}", bytes.len());
    assert_eq!(read_checkpoint(somewhere(), &bytes).unwrap().state, checkpoint.state);
}
