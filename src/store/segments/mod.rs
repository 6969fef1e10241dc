//! `traces-*.redb`: bodies by time segment. Retention drops whole segments, so that it costs no rewriting.
//!
//! A body belongs to the segment of its id's time (UUIDv7), so that an id alone says where to look. Single commits are
//! not durable: [`SegmentWriter::flush`] makes them so, and a crash loses what came after the last one.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use ::redb::{Database, ReadableDatabase, TableDefinition, TableError};
use uuid::Uuid;

use super::file::{DatabaseFile, failed};
use super::{StoreError, TracePage, Unreadable, form};
use crate::trace::{Trace, TraceId};

mod writer;

pub use writer::Retention;
pub(super) use writer::SegmentWriter;

const TRACES: TableDefinition<u128, &[u8]> = TableDefinition::new("traces");

const HOUR_MS: u64 = 3_600_000;
/// Six hours per file: retention by bytes gives up little at a time, and 30 days are 120 files.
const SEGMENT_MS: u64 = 6 * HOUR_MS;
/// A half of it holds what is written over and over until the next flush, at some thousand requests a second.
const CACHE_BYTES: usize = 8 << 20;
/// Files held open, by the writer and the readers together, in addition to those in use.
const OPEN_FILES: usize = 3;

/// Segments since 1970.
type Segment = u64;

/// The segment files of one folder, for the writer and all readers.
#[derive(Debug)]
pub(super) struct Segments {
    folder: PathBuf,
    /// One per segment that was asked for, open or closed: most recently used last.
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

    /// A segment that cannot be read does not hide the others.
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

    /// Runs `work` on the segment's file, which is created if missing, also where it has gone since it was opened.
    fn with<T>(
        &self,
        segment: Segment,
        work: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let file = self.file(segment);
        if file.leave_if_gone() {
            let file = file_name(segment);
            tracing::warn!(file, "traces were removed or replaced while they were in use: the file is opened anew");
        }
        let done = file.with(work);
        self.close_idle();
        done
    }

    /// The same for all callers while it is open: a file cannot be opened twice.
    fn file(&self, segment: Segment) -> Arc<DatabaseFile> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match files.iter().position(|(s, _)| *s == segment) {
            Some(i) => files.remove(i).1,
            None => Arc::new(DatabaseFile::new(self.path(segment), CACHE_BYTES)),
        };
        files.push((segment, file.clone()));
        file
    }

    /// Closes all but the most recently used files, skipping those in use; their users call this again. Only users of a
    /// file wait for its closing.
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

/// An id that is not of version 7 counts as from 1970; the gateway makes none.
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
