//! Writes bodies to the segments, and drops the oldest segments.

use std::ops::Range;
use std::sync::Arc;

use ::redb::Durability;

use super::{HOUR_MS, SEGMENT_MS, Segment, Segments, TRACES, file_name, segment_of};
use crate::store::file::failed;
use crate::store::{StoreError, form};
use crate::trace::{Trace, TraceId};

/// How long trace bodies are kept.
///
/// The oldest segment (six hours) is dropped by whichever limit is reached first. The segment being written is never
/// dropped for either: where it alone takes `bytes`, new bodies are refused (and counted by the learner) until the next
/// one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    pub days: u32,
    pub bytes: u64,
}

impl Default for Retention {
    /// 30 days, 20 GiB.
    fn default() -> Self {
        Self { days: 30, bytes: 20 << 30 }
    }
}

/// The one writer of the segments.
#[derive(Debug)]
pub(in crate::store) struct SegmentWriter {
    segments: Arc<Segments>,
    retention: Retention,
    /// The newest segment written to since the last flush, else before it: it goes back where the clock does.
    current: Option<Segment>,
    /// Segments with commits that are not durable yet; at most a handful, as requests end soon after they began.
    unflushed: Vec<Segment>,
    /// Set while the segment being written takes all the room.
    full: Option<u64>,
    /// A body found no room, and no older segment could make any: none is written until the next flush, since each try
    /// would open the file anew.
    cramped: bool,
    /// The ledger found no room, though no body was left: none is written until it does.
    yielding: bool,
    /// Old segments could not be dropped last time.
    stuck: bool,
    /// Segments dropped, for whatever reason.
    dropped: u64,
    writer: form::Writer,
    staged: Staged,
}

/// Segments of a day.
const DAY: u64 = 24 * HOUR_MS / SEGMENT_MS;

/// The id of a trace, and its packed body.
type Body<'a> = (TraceId, &'a [u8]);

/// Bodies that wait to be kept, one behind another.
#[derive(Debug, Default)]
struct Staged {
    packed: Vec<u8>,
    /// Where each lies in `packed`.
    places: Vec<(TraceId, Range<usize>)>,
}

impl Staged {
    /// Bytes of room that are kept for the next ones.
    const ROOM: usize = 4 << 20;

    fn push(&mut self, id: TraceId, body: &[u8]) {
        let start = self.packed.len();
        self.packed.extend_from_slice(body);
        self.places.push((id, start..self.packed.len()));
    }

    /// In the order of their ids, which is that of the tree.
    fn sorted(&self) -> Vec<Body<'_>> {
        let bodies = self.places.iter().map(|(id, place)| (*id, &self.packed[place.clone()]));
        let mut bodies: Vec<_> = bodies.collect();
        bodies.sort_unstable_by_key(|(id, _)| *id);
        bodies
    }

    fn clear(&mut self) {
        self.packed.clear();
        self.packed.shrink_to(Self::ROOM);
        self.places.clear();
    }
}

impl SegmentWriter {
    pub(in crate::store) fn new(segments: Arc<Segments>, retention: Retention) -> Self {
        let (writer, staged) = (form::Writer::default(), Staged::default());
        let (current, unflushed) = (None, Vec::new());
        let (full, cramped, yielding, stuck, dropped) = (None, false, false, false, 0);
        Self { segments, retention, current, unflushed, full, cramped, yielding, stuck, dropped, writer, staged }
    }

    pub(in crate::store) fn stage(&mut self, trace: &Trace) -> Result<(), StoreError> {
        self.staged.push(trace.id, self.writer.trace(trace)?);
        Ok(())
    }

    pub(in crate::store) fn keep(&mut self) -> Result<(), StoreError> {
        let mut staged = std::mem::take(&mut self.staged);
        let bodies = staged.sorted();
        let mut runs = bodies.chunk_by(|(a, _), (b, _)| segment_of(*a) == segment_of(*b));
        let kept = runs.try_for_each(|run| self.keep_where_there_is_room(segment_of(run[0].0), run));
        self.cramped = matches!(kept, Err(StoreError::NoRoom(_)));
        staged.clear();
        self.staged = staged;
        kept
    }

    /// Runs a write to the ledger; while it finds no room, bodies make some: the oldest segment goes, and at last the one
    /// being written, which is begun anew.
    pub(in crate::store) fn making_room<T>(
        &mut self,
        mut write: impl FnMut() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        loop {
            match write() {
                Err(StoreError::NoRoom(_)) if self.make_room(true) => {}
                done => {
                    self.yielding = matches!(done, Err(StoreError::NoRoom(_)));
                    return done;
                }
            }
        }
    }

    pub(in crate::store) fn flush(&mut self) -> Result<(), StoreError> {
        self.cramped = false;
        let written = std::mem::take(&mut self.unflushed);
        self.current = written.iter().max().copied().or(self.current);
        // A segment that cannot be written does not keep the others from being flushed.
        let flush = |segment: &Segment| self.commit(*segment, &[], Durability::Immediate);
        let flushed = written.iter().map(flush).fold(Ok(()), Result::and);
        self.retain(&written);
        flushed
    }

    /// Segments dropped since the start: too old, beyond the bytes, or for the ledger's sake.
    pub(in crate::store) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// New bodies take the room of the oldest segment; the present one is dropped for the ledger alone.
    pub(super) fn keep_where_there_is_room(&mut self, segment: Segment, bodies: &[Body<'_>]) -> Result<(), StoreError> {
        if self.cramped || self.yielding {
            return Err(StoreError::NoRoom("the disk was full at the last try".into()));
        }
        match self.keep_in(segment, bodies) {
            Err(StoreError::NoRoom(_)) if self.make_room(false) => self.keep_in(segment, bodies),
            done => done,
        }
    }

    /// Drops one segment, the oldest that can be; those being written last, and only if `any` may go. False: there is
    /// none.
    pub(super) fn make_room(&mut self, any: bool) -> bool {
        let stored = self.segments.stored().unwrap_or_default().into_iter();
        let is_written = |segment: &Segment| Some(*segment) == self.current || self.unflushed.contains(segment);
        let (current, closed): (Vec<_>, Vec<_>) = stored.partition(is_written);
        let droppable = closed.into_iter().chain(current.into_iter().filter(|_| any));
        let dropped = droppable.into_iter().find(|segment| self.segments.remove(*segment).is_ok());
        if let Some(segment) = dropped {
            self.unflushed.retain(|unflushed| *unflushed != segment);
            self.cramped = false;
            self.dropped += 1;
            tracing::warn!(file = file_name(segment), "the disk is full: the oldest traces were dropped to make room");
        }
        dropped.is_some()
    }

    fn keep_in(&mut self, segment: Segment, bodies: &[Body<'_>]) -> Result<(), StoreError> {
        if self.current.is_none_or(|current| segment > current) {
            self.flush()?;
            self.current = Some(segment);
            self.full = None;
        }
        if let Some(bytes) = self.full {
            return Err(StoreError::Full { bytes });
        }
        self.commit(segment, bodies, Durability::None)?;
        if !self.unflushed.contains(&segment) {
            self.unflushed.push(segment);
        }
        Ok(())
    }

    fn commit(&self, segment: Segment, bodies: &[Body<'_>], durability: Durability) -> Result<(), StoreError> {
        self.segments.with(segment, |database| {
            let mut transaction = database.begin_write().map_err(failed)?;
            transaction.set_durability(durability).map_err(failed)?;
            transaction.set_quick_repair(matches!(durability, Durability::Immediate));
            let mut table = transaction.open_table(TRACES).map_err(failed)?;
            for (id, body) in bodies {
                table.insert(id.as_u128(), body).map_err(failed)?;
            }
            drop(table);
            transaction.commit().map_err(failed)
        })
    }

    /// New bodies are kept whether or not old ones can be dropped; a failure to drop them is logged once. `written`: since
    /// the last flush.
    fn retain(&mut self, written: &[Segment]) {
        let Some(current) = self.current else { return };
        let retained = self.drop_oldest(current, written);
        if let (Err(error), false) = (&retained, self.stuck) {
            tracing::error!(%error, "old traces cannot be dropped; new ones are kept while there is room");
        }
        self.stuck = retained.is_err();
    }

    /// Drops what is too old, then the oldest until the rest fits, but nothing of what was just written. What cannot be
    /// dropped still takes up room.
    fn drop_oldest(&mut self, current: Segment, written: &[Segment]) -> Result<(), StoreError> {
        let stored = self.segments.stored()?;
        let oldest_kept = present(&stored, current).saturating_sub(u64::from(self.retention.days) * DAY);
        let mut bytes: u64 = stored.iter().map(|s| self.segments.bytes(*s)).sum();
        let mut dropped = Ok(());
        for segment in stored.into_iter().filter(|s| *s != current && !written.contains(s)) {
            if segment < oldest_kept || bytes >= self.retention.bytes {
                let freed = self.segments.bytes(segment);
                match self.segments.remove(segment) {
                    Ok(()) => {
                        bytes -= freed;
                        self.dropped += 1;
                        tracing::info!(file = file_name(segment), "traces are dropped for their age or their size");
                    }
                    error => dropped = dropped.and(error),
                }
            }
        }
        self.full = (bytes >= self.retention.bytes).then_some(bytes);
        dropped
    }
}

/// The segment that ages are counted from: the one being written, but the second before it (the first where there is no
/// second) where that is more than a day older. Only a clock that is ahead for more than six hours begins a third segment
/// there, so a shorter jump drops nothing, and bodies of a gateway that rests for days go a little later.
fn present(stored: &[Segment], current: Segment) -> Segment {
    let before = stored.iter().rev().filter(|segment| **segment < current).take(2).last();
    before.map_or(current, |before| if current - before > DAY { *before } else { current })
}
