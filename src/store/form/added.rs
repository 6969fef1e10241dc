//! Version 2: a value of version 1, and after it what was added: segments and metadata.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::body::TraceV1;
use super::decision::KnobV1;
use super::entry::EntryV1;
use crate::api::metadata::Metadata;
use crate::policy::{RouteSpec, SegmentSpec};
use crate::store::Entry;
use crate::trace::Trace;

#[derive(Serialize, Deserialize)]
pub(super) struct EntryV2<'a> {
    first: EntryV1<'a>,
    added: AddedV2<'a>,
}

#[derive(Serialize, Deserialize)]
enum AddedV2<'a> {
    Nothing,
    /// Each route's segments, in the order of the routes.
    Configured(Vec<Vec<SegmentSpecV2>>),
    /// The segment whose controller decided.
    Decided(Cow<'a, str>),
}

#[derive(Serialize, Deserialize)]
struct SegmentSpecV2 {
    name: String,
    knob: KnobV1,
    explore: bool,
}

#[derive(Serialize, Deserialize)]
pub(super) struct TraceV2<'a> {
    first: TraceV1<'a>,
    metadata: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The segment whose controller decided.
    segment: Option<Cow<'a, str>>,
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
        Entry::Decided { decision, .. } => {
            decision.segment.as_deref().map_or(AddedV2::Nothing, |name| AddedV2::Decided(name.into()))
        }
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
            (Self::Decided { decision, .. }, AddedV2::Decided(segment)) => {
                Arc::make_mut(decision).segment = Some(segment.into_owned());
            }
            _ => {}
        }
        entry
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
            segment: trace.decision.as_ref().and_then(|decision| decision.segment.as_deref()).map(Cow::from),
        }
    }
}

impl From<TraceV2<'_>> for Trace {
    fn from(TraceV2 { first, metadata, segment }: TraceV2<'_>) -> Self {
        let mut trace = Self::from(first);
        // What was written was valid.
        trace.metadata = Metadata::new(metadata).unwrap_or_default();
        if let Some(decision) = &mut trace.decision {
            Arc::make_mut(decision).segment = segment.map(Cow::into_owned);
        }
        trace
    }
}
