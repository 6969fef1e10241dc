//! `traces-*.redb`: bodies by time segment. Retention drops whole segments, so that it costs no rewriting.
//!
//! A body belongs to the segment of its id's time (UUIDv7), so that an id alone says where to look. Commits are not
//! durable one by one: [`SegmentWriter::flush`] makes them so, and a crash loses what came after the last one.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use ::redb::{Database, Durability, ReadableDatabase, TableDefinition, TableError};
use uuid::Uuid;

use super::file::{DatabaseFile, failed};
use super::{StoreError, TracePage, Unreadable, form};
use crate::trace::{Trace, TraceId};

const TRACES: TableDefinition<u128, &[u8]> = TableDefinition::new("traces");

const HOUR_MS: u64 = 3_600_000;
/// Six hours a file: retention by bytes gives up little at a time, and 30 days are 120 files.
const SEGMENT_MS: u64 = 6 * HOUR_MS;
const CACHE_BYTES: usize = 4 << 20;
/// Files held open at once, by the writer and the readers together, beside those that are worked with just now.
const OPEN_FILES: usize = 3;

/// How long trace bodies are kept.
///
/// Whatever comes first drops the oldest segment (six hours). The segment being written is never dropped: where it
/// alone takes `bytes`, new bodies are refused (and counted by the learner) until the next one begins.
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

/// Segments since 1970.
type Segment = u64;

/// The segment files of one folder, for the writer and all readers.
#[derive(Debug)]
pub(super) struct Segments {
    folder: PathBuf,
    /// One a segment that was asked for, open or closed: most recently used last.
    files: Mutex<Vec<(Segment, Arc<DatabaseFile>)>>,
}

impl Segments {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, files: Mutex::default() }
    }

    pub(super) fn trace(&self, id: TraceId) -> Result<Option<Trace>, StoreError> {
        let segment = segment_of(id);
        if !self.path(segment).exists() {
            return Ok(None);
        }
        Ok(self.read(segment, id.as_u128()..=id.as_u128(), 1)?.pop())
    }

    /// A segment that cannot be read hides no other.
    pub(super) fn newest(&self, before: Option<TraceId>, limit: usize) -> Result<TracePage, StoreError> {
        let before = before.unwrap_or(Uuid::max());
        let mut page = TracePage::default();
        let Some(last) = before.as_u128().checked_sub(1) else { return Ok(page) };
        let newest_segment = if before.is_max() { Segment::MAX } else { segment_of(before) };
        for segment in self.stored()?.into_iter().rev().filter(|s| *s <= newest_segment) {
            if page.traces.len() >= limit {
                break;
            }
            match self.read(segment, 0..=last, limit - page.traces.len()) {
                Ok(traces) => page.traces.extend(traces),
                Err(error @ StoreError::Folder { .. }) => return Err(error),
                Err(error) => page.unreadable.push(Unreadable { file: file_name(segment), error }),
            }
        }
        Ok(page)
    }

    /// At most `limit` of the segment, newest first.
    fn read(
        &self,
        segment: Segment,
        ids: std::ops::RangeInclusive<u128>,
        limit: usize,
    ) -> Result<Vec<Trace>, StoreError> {
        self.with(segment, |database| {
            let transaction = database.begin_read().map_err(failed)?;
            let table = match transaction.open_table(TRACES) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                table => table.map_err(failed)?,
            };
            let rows = table.range(ids).map_err(failed)?.rev().take(limit);
            rows.map(|row| form::read_trace(&self.path(segment), row.map_err(failed)?.1.value())).collect()
        })
    }

    /// Runs `work` on the segment's file, which is made where there is none.
    fn with<T>(
        &self,
        segment: Segment,
        work: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let done = self.file(segment).with(work);
        self.close_idle();
        done
    }

    /// The same one for all that ask while it is open: a file cannot be opened twice.
    fn file(&self, segment: Segment) -> Arc<DatabaseFile> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match files.iter().position(|(s, _)| *s == segment) {
            Some(i) => files.remove(i).1,
            None => Arc::new(DatabaseFile::new(self.path(segment), CACHE_BYTES)),
        };
        files.push((segment, file.clone()));
        file
    }

    /// Closes what is open beyond [`OPEN_FILES`], but for what somebody works with: who does so comes here after it. Closing
    /// may take a write to the disk, for which only those wait that want this very file.
    fn close_idle(&self) {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let beyond: Vec<_> = files.iter().rev().skip(OPEN_FILES).map(|(_, file)| file.clone()).collect();
        drop(files);
        beyond.iter().for_each(|file| file.close_if_idle());
    }

    fn path(&self, segment: Segment) -> PathBuf {
        self.folder.join(file_name(segment))
    }

    /// Ascending.
    fn stored(&self) -> Result<Vec<Segment>, StoreError> {
        let files = fs::read_dir(&self.folder).map_err(|e| self.unusable(&e))?;
        let mut segments: Vec<Segment> =
            files.filter_map(|file| parse_name(file.ok()?.file_name().to_str()?)).collect();
        segments.sort_unstable();
        Ok(segments)
    }

    fn remove(&self, segment: Segment) -> Result<(), StoreError> {
        self.file(segment).close();
        let path = self.path(segment);
        fs::remove_file(&path).map_err(|e| StoreError::Failed(format!("{} cannot be removed: {e}", path.display())))?;
        self.files.lock().unwrap_or_else(PoisonError::into_inner).retain(|(s, _)| *s != segment);
        Ok(())
    }

    fn bytes(&self, segment: Segment) -> u64 {
        fs::metadata(self.path(segment)).map_or(0, |file| file.len())
    }

    fn unusable(&self, error: &std::io::Error) -> StoreError {
        StoreError::Folder { path: self.folder.display().to_string(), reason: error.to_string() }
    }
}

/// The one writer of the segments.
#[derive(Debug)]
pub(super) struct SegmentWriter {
    segments: Arc<Segments>,
    retention: Retention,
    /// The newest segment written to.
    current: Option<Segment>,
    /// Segments with commits that are not durable yet; at most a handful, as requests end soon after they began.
    unflushed: Vec<Segment>,
    /// Set while the segment that is written takes all the room.
    full: Option<u64>,
    /// What is too old could not be dropped the last time.
    stuck: bool,
    writer: form::Writer,
    staged: Staged,
}

/// A packed body and whose it is.
type Body<'a> = (TraceId, &'a [u8]);

/// Bodies that wait to be kept, one behind another.
#[derive(Debug, Default)]
struct Staged {
    packed: Vec<u8>,
    /// Where each lies in `packed`.
    places: Vec<(TraceId, Range<usize>)>,
}

impl Staged {
    /// Room that stays taken for the next ones, bytes.
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
    pub(super) fn new(segments: Arc<Segments>, retention: Retention) -> Self {
        let (writer, staged) = (form::Writer::default(), Staged::default());
        Self { segments, retention, current: None, unflushed: Vec::new(), full: None, stuck: false, writer, staged }
    }

    pub(super) fn stage(&mut self, trace: &Trace) -> Result<(), StoreError> {
        self.staged.push(trace.id, self.writer.trace(trace)?);
        Ok(())
    }

    pub(super) fn keep(&mut self) -> Result<(), StoreError> {
        let mut staged = std::mem::take(&mut self.staged);
        let bodies = staged.sorted();
        let mut runs = bodies.chunk_by(|(a, _), (b, _)| segment_of(*a) == segment_of(*b));
        let kept = runs.try_for_each(|run| self.keep_in(segment_of(run[0].0), run));
        staged.clear();
        self.staged = staged;
        kept
    }

    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        let unflushed = std::mem::take(&mut self.unflushed).into_iter();
        // One that cannot be written keeps no other from it.
        let flushed = unflushed.map(|s| self.commit(s, &[], Durability::Immediate)).fold(Ok(()), Result::and);
        self.retain();
        flushed
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

    /// New bodies are kept whether or not old ones can be dropped; that they cannot is said once.
    fn retain(&mut self) {
        let Some(current) = self.current else { return };
        let retained = self.drop_oldest(current);
        if let (Err(error), false) = (&retained, self.stuck) {
            tracing::error!(%error, "old traces cannot be dropped; new ones are kept while there is room");
        }
        self.stuck = retained.is_err();
    }

    /// Drops what is too old, then the oldest until the rest fits. What cannot be dropped goes on taking room.
    fn drop_oldest(&mut self, current: Segment) -> Result<(), StoreError> {
        let oldest_kept = current.saturating_sub(u64::from(self.retention.days) * 24 * HOUR_MS / SEGMENT_MS);
        let stored = self.segments.stored()?;
        let mut bytes: u64 = stored.iter().map(|s| self.segments.bytes(*s)).sum();
        let mut dropped = Ok(());
        for segment in stored.into_iter().filter(|s| *s < current) {
            if segment < oldest_kept || bytes >= self.retention.bytes {
                let freed = self.segments.bytes(segment);
                match self.segments.remove(segment) {
                    Ok(()) => bytes -= freed,
                    error => dropped = dropped.and(error),
                }
            }
        }
        self.full = (bytes >= self.retention.bytes).then_some(bytes);
        dropped
    }
}

/// Ids that are not of version 7 count as of 1970; the gateway makes none.
fn segment_of(id: TraceId) -> Segment {
    let time = if id.get_version_num() == 7 { id.get_timestamp() } else { None };
    let (seconds, nanos) = time.map_or((0, 0), |time| time.to_unix());
    (seconds * 1000 + u64::from(nanos) / 1_000_000) / SEGMENT_MS
}

/// `traces-20261123T06.redb`: the UTC hour that it begins with.
fn file_name(segment: Segment) -> String {
    let days = jiff::civil::date(1970, 1, 1)
        .saturating_add(jiff::Span::new().days(i64::try_from(segment * SEGMENT_MS / (24 * HOUR_MS)).unwrap_or(0)));
    let hour = segment * SEGMENT_MS / HOUR_MS % 24;
    format!("traces-{:04}{:02}{:02}T{hour:02}.redb", days.year(), days.month(), days.day())
}

fn parse_name(name: &str) -> Option<Segment> {
    let (date, hour) = name.strip_prefix("traces-")?.strip_suffix(".redb")?.split_once('T')?;
    let date: jiff::civil::Date = date.parse().ok()?;
    let days = date.since((jiff::Unit::Day, jiff::civil::date(1970, 1, 1))).ok()?.get_days();
    let hours = u64::try_from(days).ok()? * 24 + hour.parse::<u64>().ok()?;
    Some(hours * HOUR_MS / SEGMENT_MS)
}

#[cfg(test)]
mod tests;
