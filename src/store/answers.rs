//! `cache.redb`: answers that are given again, so that a restart does not forget them. One thread writes what it is
//! sent through a bounded channel; a sender that finds the channel full drops and counts.
//!
//! Nothing depends on this file: one that cannot be read is put aside and a new one begun. Single commits are not
//! durable, and a crash loses what came within the last seconds.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ::redb::{Database, Durability, ReadableDatabase, ReadableTable, Table, TableDefinition, TableError};

use super::file::{DatabaseFile, failed};
use super::{StoreError, form};
use crate::trace::kept::{Kept, Key, Shelving};

/// When it was given (Unix milliseconds), and the answer.
const ANSWERS: TableDefinition<&[u8], (u64, &[u8])> = TableDefinition::new("answers");
/// The same by age, with the bytes each takes.
const AGES: TableDefinition<(u64, &[u8]), u64> = TableDefinition::new("ages");

/// The file's name in a data folder.
pub const ANSWERS_FILE: &str = "cache.redb";
const CACHE_BYTES: usize = 4 << 20;
/// Answers that may wait to be written.
const QUEUE: usize = 256;
/// Answers per commit.
const BATCH: usize = 64;
/// How much a crash can lose.
const FLUSH_EVERY: Duration = Duration::from_secs(5);

/// The thread that writes answers down.
#[derive(Debug)]
pub struct AnswerShelf {
    sender: SyncSender<Shelving>,
    thread: JoinHandle<()>,
}

/// The file and what it holds.
#[derive(Debug)]
struct Answers {
    file: DatabaseFile,
    /// Beyond this many bytes the oldest go.
    limit: u64,
    bytes: u64,
}

impl AnswerShelf {
    /// Opens the folder's file, bounds it to `limit` bytes of answers, and reads the newest of those still valid at
    /// `now_ms` (Unix milliseconds), as many as fit into `memory` bytes, oldest first.
    ///
    /// # Errors
    /// Another process holds the file, it cannot be made, or the system gives no thread.
    pub fn open(folder: &Path, limit: u64, memory: u64, now_ms: u64) -> Result<(Self, Vec<(Key, Kept)>), StoreError> {
        let path = folder.join(ANSWERS_FILE);
        let (answers, kept) = match Answers::open(&path, limit, memory, now_ms) {
            Err(error @ (StoreError::Damaged { .. } | StoreError::Newer { .. })) => {
                tracing::warn!(%error, "the kept answers are put aside, and new ones begun");
                let aside = path.with_extension("redb.unreadable");
                std::fs::rename(&path, aside).map_err(|e| StoreError::Failed(e.to_string()))?;
                Answers::open(&path, limit, memory, now_ms)?
            }
            opened => opened?,
        };
        let (sender, receiver) = sync_channel(QUEUE);
        let run = move || answers.run(&receiver);
        let thread = thread::Builder::new().name("answers".into()).spawn(run);
        Ok((Self { sender, thread: thread.map_err(|e| StoreError::Failed(e.to_string()))? }, kept))
    }

    /// Takes what is to be written.
    pub fn sender(&self) -> SyncSender<Shelving> {
        self.sender.clone()
    }

    /// Writes what waits, and ends. Blocks until then.
    pub fn stop(self) {
        // A send fails only if the thread has ended already.
        let _ = self.sender.send(Shelving::Stop);
        if self.thread.join().is_err() {
            tracing::error!("the thread that writes kept answers had panicked");
        }
    }
}

impl Answers {
    fn open(path: &Path, limit: u64, memory: u64, now_ms: u64) -> Result<(Self, Vec<(Key, Kept)>), StoreError> {
        let file = DatabaseFile::new(path.to_owned(), CACHE_BYTES);
        let (bytes, kept) = file.with(|database| read(database, path, memory, now_ms))?;
        let mut answers = Self { file, limit, bytes };
        // An earlier start may have had a larger limit.
        answers.write(&[], true)?;
        Ok((answers, kept))
    }

    /// Runs until it is told to stop, or until no sender is left.
    fn run(mut self, shelvings: &Receiver<Shelving>) {
        let (mut unflushed, mut flushed, mut batch) = (false, Instant::now(), Vec::with_capacity(BATCH));
        loop {
            let end = gather(shelvings, &mut batch);
            let flush = end || flushed.elapsed() >= FLUSH_EVERY;
            if !batch.is_empty() || (flush && unflushed) {
                unflushed = !flush;
                if let Err(error) = self.write(&batch, flush) {
                    tracing::error!(%error, "kept answers could not be written; they are given again from memory");
                }
            }
            if flush {
                flushed = Instant::now();
            }
            batch.clear();
            if end {
                return;
            }
        }
    }

    /// One commit; beyond the limit the oldest are removed.
    fn write(&mut self, batch: &[(Key, Arc<Kept>)], durably: bool) -> Result<(), StoreError> {
        let (limit, before) = (self.limit, self.bytes);
        let after = self.file.with(|database| {
            let mut transaction = database.begin_write().map_err(failed)?;
            let durability = if durably { Durability::Immediate } else { Durability::None };
            transaction.set_durability(durability).map_err(failed)?;
            let mut bytes = before;
            {
                let mut tables = Tables {
                    answers: transaction.open_table(ANSWERS).map_err(failed)?,
                    ages: transaction.open_table(AGES).map_err(failed)?,
                };
                let mut writer = form::Writer::default();
                for (key, kept) in batch {
                    bytes -= tables.remove(key)?;
                    bytes += tables.insert(key, kept.at_ms, writer.kept(kept)?)?;
                }
                while bytes > limit {
                    let Some(freed) = tables.remove_oldest()? else { break };
                    bytes -= freed;
                }
            }
            transaction.commit().map_err(failed)?;
            Ok(bytes)
        })?;
        self.bytes = after;
        Ok(())
    }
}

/// The bytes that all answers take, and the newest that are still valid, oldest first.
fn read(database: &Database, path: &Path, memory: u64, now_ms: u64) -> Result<(u64, Vec<(Key, Kept)>), StoreError> {
    let transaction = database.begin_read().map_err(failed)?;
    let ages = match transaction.open_table(AGES) {
        Err(TableError::TableDoesNotExist(_)) => return Ok((0, vec![])),
        ages => ages.map_err(failed)?,
    };
    let answers = transaction.open_table(ANSWERS).map_err(failed)?;
    let (mut all, mut kept, mut taken) = (0, vec![], 0);
    for row in ages.iter().map_err(failed)?.rev() {
        let (age, bytes) = row.map_err(failed)?;
        all += bytes.value();
        let Some(row) = answers.get(age.value().1).map_err(failed)?.filter(|_| taken < memory) else { continue };
        let answer = form::read_kept(path, row.value().1)?;
        if answer.until_ms <= now_ms {
            continue;
        }
        taken += answer.weight() as u64;
        if taken <= memory {
            let key = Key::try_from(age.value().1).map_err(|e| StoreError::damaged(path, e))?;
            kept.push((key, answer));
        }
    }
    kept.reverse();
    Ok((all, kept))
}

/// Collects at most one batch to write; true: it is the last.
fn gather(shelvings: &Receiver<Shelving>, batch: &mut Vec<(Key, Arc<Kept>)>) -> bool {
    let mut next = shelvings.recv_timeout(FLUSH_EVERY);
    loop {
        match next {
            Ok(Shelving::Keep(key, kept)) => batch.push((key, kept)),
            Ok(Shelving::Stop) | Err(RecvTimeoutError::Disconnected) => return true,
            Err(RecvTimeoutError::Timeout) => return false,
        }
        if batch.len() == BATCH {
            return false;
        }
        next = shelvings.recv_timeout(Duration::ZERO);
    }
}

struct Tables<'t> {
    answers: Table<'t, &'static [u8], (u64, &'static [u8])>,
    ages: Table<'t, (u64, &'static [u8]), u64>,
}

impl Tables<'_> {
    /// The bytes that it takes.
    fn insert(&mut self, key: &Key, at_ms: u64, bytes: &[u8]) -> Result<u64, StoreError> {
        self.answers.insert(&key[..], (at_ms, bytes)).map_err(failed)?;
        self.ages.insert((at_ms, &key[..]), bytes.len() as u64).map_err(failed)?;
        Ok(bytes.len() as u64)
    }

    /// The bytes that it took; 0 where there is none.
    fn remove(&mut self, key: &[u8]) -> Result<u64, StoreError> {
        let at_ms = self.answers.remove(key).map_err(failed)?.map(|row| row.value().0);
        let Some(at_ms) = at_ms else { return Ok(0) };
        let bytes = self.ages.remove((at_ms, key)).map_err(failed)?.map_or(0, |row| row.value());
        Ok(bytes)
    }

    fn remove_oldest(&mut self) -> Result<Option<u64>, StoreError> {
        let oldest = self.ages.first().map_err(failed)?.map(|(age, _)| age.value().1.to_vec());
        oldest.map(|key| self.remove(&key)).transpose()
    }
}

#[cfg(test)]
mod tests;
