//! Version 3: a value of version 2, followed by whose request it is.

use serde::{Deserialize, Serialize};

use super::added::{EntryV2, TraceV2};
use crate::store::Entry;
use crate::trace::{Owner, Trace};

#[derive(Serialize, Deserialize)]
pub(super) struct EntryV3<'a> {
    second: EntryV2<'a>,
    /// Of a decision.
    owner: Option<[u8; 8]>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct TraceV3<'a> {
    second: TraceV2<'a>,
    owner: Option<[u8; 8]>,
}

impl<'a> From<&'a Entry> for EntryV3<'a> {
    fn from(entry: &'a Entry) -> Self {
        let owner = if let Entry::Decided { owner, .. } = entry { *owner } else { None };
        Self { second: entry.into(), owner: owner.map(|Owner(digest)| digest) }
    }
}

impl From<EntryV3<'_>> for Entry {
    fn from(EntryV3 { second, owner: kept }: EntryV3<'_>) -> Self {
        let mut entry = second.into();
        if let Self::Decided { owner, .. } = &mut entry {
            *owner = kept.map(Owner);
        }
        entry
    }
}

impl<'a> From<&'a Trace> for TraceV3<'a> {
    fn from(trace: &'a Trace) -> Self {
        Self { second: trace.into(), owner: trace.owner.map(|Owner(digest)| digest) }
    }
}

impl From<TraceV3<'_>> for Trace {
    fn from(TraceV3 { second, owner }: TraceV3<'_>) -> Self {
        Self { owner: owner.map(Owner), ..second.into() }
    }
}
