//! Version 2: a value of version 1 with more about its prices and usage, followed by what was added: segments and
//! metadata, the weights of scores, and on which requests a route is compared with its best model.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::body::TraceWritten;
use super::decision::KnobV1;
use super::entry::{EntryPriced, FULL_WEIGHT};
use crate::api::metadata::Metadata;
use crate::policy::{Audited, Decision, RouteSpec, SegmentSpec};
use crate::store::Entry;
use crate::trace::Trace;

#[derive(Serialize, Deserialize)]
pub(super) struct EntryV2<'a> {
    first: EntryPriced<'a>,
    added: AddedV2<'a>,
}

#[derive(Serialize, Deserialize)]
enum AddedV2<'a> {
    Nothing,
    /// Each route's segments, in the order of the routes.
    Configured(Vec<Vec<SegmentSpecV2>>),
    Decided(DecisionV2<'a>),
    /// How much the score counts, where that differs from a client's own.
    Scored(f64),
}

/// What a decision of version 1 lacks.
#[derive(Default, PartialEq, Serialize, Deserialize)]
struct DecisionV2<'a> {
    /// The segment whose controller decided.
    segment: Option<Cow<'a, str>>,
    audit: Option<AuditedV2>,
}

#[derive(PartialEq, Serialize, Deserialize)]
struct AuditedV2 {
    share: f64,
    best: u32,
}

#[derive(Serialize, Deserialize)]
struct SegmentSpecV2 {
    name: String,
    knob: KnobV1,
    explore: bool,
}

#[derive(Serialize, Deserialize)]
pub(super) struct TraceV2<'a> {
    first: TraceWritten<'a>,
    metadata: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    decision: DecisionV2<'a>,
}

impl<'a> From<&'a Entry> for EntryV2<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self { first: entry.into(), added: added(entry) }
    }
}

fn added(entry: &Entry) -> AddedV2<'_> {
    match entry {
        Entry::Configured { routes, .. } if routes.iter().any(|route| !route.segments.is_empty()) => {
            let segments = |route: &RouteSpec| route.segments.iter().map(SegmentSpecV2::from).collect();
            AddedV2::Configured(routes.iter().map(segments).collect())
        }
        Entry::Decided { decision, .. } => match DecisionV2::from(&**decision) {
            nothing if nothing == DecisionV2::default() => AddedV2::Nothing,
            added => AddedV2::Decided(added),
        },
        Entry::Scored(score) if score.weight != FULL_WEIGHT => AddedV2::Scored(score.weight),
        _ => AddedV2::Nothing,
    }
}

impl From<EntryV2<'_>> for Entry {
    fn from(EntryV2 { first, added }: EntryV2<'_>) -> Self {
        let mut entry = first.into();
        match (&mut entry, added) {
            (Self::Configured { routes, .. }, AddedV2::Configured(all)) => {
                for (route, segments) in routes.iter_mut().zip(all) {
                    route.segments = segments.into_iter().map(SegmentSpec::from).collect();
                }
            }
            (Self::Decided { decision, .. }, AddedV2::Decided(added)) => added.complete(Arc::make_mut(decision)),
            (Self::Scored(score), AddedV2::Scored(weight)) => score.weight = weight,
            _ => {}
        }
        entry
    }
}

impl<'a> From<&'a Decision> for DecisionV2<'a> {
    fn from(d: &'a Decision) -> Self {
        Self { segment: d.segment.as_deref().map(Cow::from), audit: d.audit.map(AuditedV2::from) }
    }
}

impl DecisionV2<'_> {
    fn complete(self, decision: &mut Decision) {
        decision.segment = self.segment.map(Cow::into_owned);
        decision.audit = self.audit.map(Audited::from);
    }
}

impl From<Audited> for AuditedV2 {
    fn from(a: Audited) -> Self {
        Self { share: a.share, best: u32::try_from(a.best).unwrap_or(u32::MAX) }
    }
}

impl From<AuditedV2> for Audited {
    fn from(a: AuditedV2) -> Self {
        Self { share: a.share, best: a.best as usize }
    }
}

impl From<&SegmentSpec> for SegmentSpecV2 {
    fn from(s: &SegmentSpec) -> Self {
        Self { name: s.name.clone(), knob: s.knob.into(), explore: s.explore }
    }
}

impl From<SegmentSpecV2> for SegmentSpec {
    fn from(s: SegmentSpecV2) -> Self {
        Self { name: s.name, knob: s.knob.into(), explore: s.explore }
    }
}

impl<'a> From<&'a Trace> for TraceV2<'a> {
    fn from(trace: &'a Trace) -> Self {
        Self {
            first: trace.into(),
            metadata: trace.metadata.iter().map(|(key, value)| (key.into(), value.into())).collect(),
            decision: trace.decision.as_deref().map(DecisionV2::from).unwrap_or_default(),
        }
    }
}

impl From<TraceV2<'_>> for Trace {
    fn from(TraceV2 { first, metadata, decision: added }: TraceV2<'_>) -> Self {
        let mut trace = Self::from(first);
        // What was written was valid.
        trace.metadata = Metadata::new(metadata).unwrap_or_default();
        if let Some(decision) = &mut trace.decision {
            added.complete(Arc::make_mut(decision));
        }
        trace
    }
}
