//! `ledger.redb`: blocks of entries in order, and an index from each request to the blocks that concern it.
//!
//! A commit appends blocks of at most [`BLOCK_ENTRIES`] entries: few enough that looking up one request for a late
//! score unpacks little, many enough that a commit writes few values. Every commit is durable when it returns
//! (two-phase, so that a torn write cannot pass for a commit; quick-repair, so that opening after a crash does not walk
//! the file).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::redb::{
    Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition, TableError,
    WriteTransaction,
};

use super::file::{DatabaseFile, Identity, failed};
use super::{Checkpoint, Entry, Position, StoreError, Visit, form};
use crate::trace::TraceId;

/// Last position of a block → its entries.
const BLOCKS: TableDefinition<u64, &[u8]> = TableDefinition::new("blocks");
/// (Trace, last position of a block that holds an entry of it).
const INDEX: TableDefinition<(u128, u64), ()> = TableDefinition::new("index");
/// 0 → the newest checkpoint.
const CHECKPOINTS: TableDefinition<u8, &[u8]> = TableDefinition::new("checkpoints");
/// "form" → the version of the forms in this file.
const META: TableDefinition<&str, u16> = TableDefinition::new("meta");

const BLOCK_ENTRIES: usize = 64;
/// Blocks that a replay reads at a time.
const REPLAY_BLOCKS: usize = 16;
const CACHE_BYTES: usize = 8 << 20;

#[derive(Debug)]
pub(super) struct Ledger {
    reader: LedgerReader,
    /// The file that was opened.
    identity: Identity,
    /// The last position that was returned to a caller.
    position: Position,
    /// The greatest request id in the index: a newer request need not be looked up.
    greatest: u128,
    /// A commit has failed: blocks after `position` may have reached the disk all the same.
    doubtful: bool,
    writer: form::Writer,
}

/// Reads the ledger from any thread.
#[derive(Debug, Clone)]
pub(super) struct LedgerReader {
    file: Arc<DatabaseFile>,
}

impl Ledger {
    pub(super) fn open(path: PathBuf) -> Result<Self, StoreError> {
        // redb would make a ledger of it that nothing is in.
        if fs::metadata(&path).is_ok_and(|file| file.len() == 0) {
            return Err(StoreError::damaged(&path, "it has no bytes, as no ledger has"));
        }
        let file = Arc::new(DatabaseFile::new(path, CACHE_BYTES));
        let (position, greatest) = file.with(|database| {
            prepare(database)?;
            last(database)
        })?;
        let (identity, writer) = (file.identity()?, form::Writer::default());
        Ok(Self { reader: LedgerReader { file }, identity, position, greatest, doubtful: false, writer })
    }

    pub(super) fn reader(&self) -> &LedgerReader {
        &self.reader
    }

    pub(super) fn history(&self, trace: TraceId, before: Position) -> Result<Vec<Entry>, StoreError> {
        match trace.as_u128() > self.greatest {
            true => Ok(Vec::new()),
            false => self.reader.history(trace, before),
        }
    }

    pub(super) fn append(&mut self, entries: &[Entry]) -> Result<Position, StoreError> {
        // Before it is written: a file that was closed after a failure would be begun anew.
        self.reader.file.is_still(self.identity)?;
        let last = self.position + entries.len() as u64;
        // Set even if the commit fails: parts of it may have reached the disk.
        self.greatest = entries.iter().filter_map(Entry::trace).map(|id| id.as_u128()).fold(self.greatest, u128::max);
        let writer = &mut self.writer;
        let committed = self.reader.file.with(|database| {
            let transaction = durable(database)?;
            if self.doubtful {
                forget_after(&transaction, self.position)?;
            }
            write_blocks(&transaction, writer, self.position, entries)?;
            transaction.commit().map_err(failed)
        });
        self.doubtful = committed.is_err();
        committed?;
        self.position = last;
        Ok(last)
    }

    pub(super) fn replay(&self, after: Position, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let (file, mut read) = (&self.reader.file, after);
        loop {
            // The visitor may itself read the ledger, and its failures do not mean that the file is damaged: it runs
            // outside the read.
            let blocks = file.with(|database| blocks(database, file.path(), read, self.position))?;
            let Some((last, _)) = blocks.last() else { return Ok(()) };
            read = *last;
            let entries = blocks.into_iter().flat_map(|(last, entries)| numbered(last, entries));
            entries
                .filter(|(position, _)| *position > after)
                .try_for_each(|(position, entry)| visit(position, entry))?;
        }
    }

    pub(super) fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.reader.file.is_still(self.identity)?;
        let bytes = self.writer.checkpoint(checkpoint)?;
        self.reader.file.with(|database| {
            let transaction = durable(database)?;
            let mut table = transaction.open_table(CHECKPOINTS).map_err(failed)?;
            table.insert(0, bytes).map_err(failed)?;
            drop(table);
            transaction.commit().map_err(failed)
        })
    }

    pub(super) fn latest_checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        let file = &self.reader.file;
        file.with(|database| {
            let transaction = database.begin_read().map_err(failed)?;
            let table = transaction.open_table(CHECKPOINTS).map_err(failed)?;
            let stored = table.get(0).map_err(failed)?;
            stored.map(|bytes| form::read_checkpoint(file.path(), bytes.value())).transpose()
        })
    }
}

impl LedgerReader {
    pub(super) fn history(&self, trace: TraceId, before: Position) -> Result<Vec<Entry>, StoreError> {
        self.file.with(|database| history(database, self.file.path(), trace, before))
    }
}

fn history(database: &Database, path: &Path, trace: TraceId, before: Position) -> Result<Vec<Entry>, StoreError> {
    let transaction = database.begin_read().map_err(failed)?;
    let index = transaction.open_table(INDEX).map_err(failed)?;
    let mut rows = index.range((trace.as_u128(), 0)..=(trace.as_u128(), u64::MAX)).map_err(failed)?.peekable();
    // Most requests that are looked up are not there.
    if rows.peek().is_none() {
        return Ok(Vec::new());
    }
    let blocks = transaction.open_table(BLOCKS).map_err(failed)?;
    let mut history = Vec::new();
    for row in rows {
        let last = row.map_err(failed)?.0.value().1;
        // A row whose block is gone is a leftover of a commit that was taken back.
        if let Some(bytes) = blocks.get(last).map_err(failed)? {
            let entries = numbered(last, form::read_entries(path, bytes.value())?);
            history.extend(
                entries.filter(|(p, entry)| *p < before && entry.trace() == Some(trace)).map(|(_, entry)| entry),
            );
        }
        if last >= before {
            break;
        }
    }
    Ok(history)
}

/// A block's last position, and its entries.
type Block = (Position, Vec<Entry>);

/// The next [`REPLAY_BLOCKS`] blocks with entries after `after`, up to position `until`; empty: there are no more.
fn blocks(database: &Database, path: &Path, after: Position, until: Position) -> Result<Vec<Block>, StoreError> {
    let transaction = database.begin_read().map_err(failed)?;
    let blocks = transaction.open_table(BLOCKS).map_err(failed)?;
    let rows = blocks.range(after.saturating_add(1)..=until).map_err(failed)?.take(REPLAY_BLOCKS);
    let read = rows.map(|row| {
        let (last, bytes) = row.map_err(failed)?;
        match last.value() {
            last if last > after => Ok((last, form::read_entries(path, bytes.value())?)),
            last => Err(StoreError::damaged(path, format!("block {last} stands after {after}"))),
        }
    });
    read.collect()
}

/// Makes the tables of a new file, and marks an older file as having values of this form from here on; refuses a file
/// of a newer form before anything is written.
fn prepare(database: &Database) -> Result<(), StoreError> {
    match stored_form(&database.begin_read().map_err(failed)?)? {
        Some(form::FORM) => return Ok(()),
        Some(found) if found > form::FORM => return Err(StoreError::Newer { found, known: form::FORM }),
        _ => {}
    }
    let transaction = durable(database)?;
    transaction.open_table(BLOCKS).map_err(failed)?;
    transaction.open_table(INDEX).map_err(failed)?;
    transaction.open_table(CHECKPOINTS).map_err(failed)?;
    transaction.open_table(META).map_err(failed)?.insert("form", form::FORM).map_err(failed)?;
    transaction.commit().map_err(failed)
}

fn stored_form(transaction: &ReadTransaction) -> Result<Option<u16>, StoreError> {
    match transaction.open_table(META) {
        Ok(meta) => Ok(meta.get("form").map_err(failed)?.map(|form| form.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(e) => Err(failed(e)),
    }
}

/// The position of the last entry, and the greatest id in the index.
fn last(database: &Database) -> Result<(Position, u128), StoreError> {
    let transaction = database.begin_read().map_err(failed)?;
    let blocks = transaction.open_table(BLOCKS).map_err(failed)?;
    let index = transaction.open_table(INDEX).map_err(failed)?;
    let position = blocks.last().map_err(failed)?.map_or(0, |(position, _)| position.value());
    Ok((position, index.last().map_err(failed)?.map_or(0, |(row, _)| row.value().0)))
}

fn durable(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write().map_err(failed)?;
    transaction.set_durability(Durability::Immediate).map_err(failed)?;
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    Ok(transaction)
}

fn write_blocks(
    transaction: &WriteTransaction,
    writer: &mut form::Writer,
    after: Position,
    entries: &[Entry],
) -> Result<(), StoreError> {
    let mut blocks = transaction.open_table(BLOCKS).map_err(failed)?;
    let mut index = transaction.open_table(INDEX).map_err(failed)?;
    let mut last = after;
    for block in entries.chunks(BLOCK_ENTRIES) {
        last += block.len() as u64;
        blocks.insert(last, writer.entries(block)?).map_err(failed)?;
        write_index(&mut index, last, block)?;
    }
    Ok(())
}

fn write_index(index: &mut Table<'_, (u128, u64), ()>, last: Position, block: &[Entry]) -> Result<(), StoreError> {
    // Most requests have all their entries in one block.
    let mut traces: Vec<TraceId> = block.iter().filter_map(Entry::trace).collect();
    traces.sort_unstable();
    traces.dedup();
    for trace in traces {
        index.insert((trace.as_u128(), last), ()).map_err(failed)?;
    }
    Ok(())
}

/// Takes back what a failed commit may have left: no caller was told of it, and nothing was learned from it.
fn forget_after(transaction: &WriteTransaction, position: Position) -> Result<(), StoreError> {
    let mut blocks = transaction.open_table(BLOCKS).map_err(failed)?;
    blocks.retain_in(position + 1.., |_, _| false).map_err(failed)
}

fn numbered(last: Position, entries: Vec<Entry>) -> impl Iterator<Item = (Position, Entry)> {
    let first = (last + 1).saturating_sub(entries.len() as u64);
    entries.into_iter().enumerate().map(move |(i, entry)| (first + i as u64, entry))
}
