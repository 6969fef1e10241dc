//! On-disk forms: separate types for every version, apart from the types that the program works with.
//!
//! Each stored value is: form version (u16, little-endian) · length of the next part unpacked (u32, little-endian) ·
//! LZ4 block of the [postcard](https://postcard.jamesmunns.com/wire-format) encoding. A changed type is a new version
//! beside the old one, and a `From` that reads the old into the new. A test holds the bytes of the present version.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use lz4_flex::block::{self, CompressTable};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};

use super::{Checkpoint, Entry, StoreError};
use crate::trace::Trace;
use crate::trace::kept::Kept;

mod added;
mod body;
mod consulted;
mod decision;
mod entry;
mod kept;
mod owned;

/// The version that is written.
///
/// 2: segments and metadata, weights of scores, and how a route is compared with its best model were added; checkpoints of
/// form 1 read as they are. 3: whose a request is was added. 4: panels were added.
pub(super) const FORM: u16 = 4;

/// No value is larger unpacked: a greater length is damage, and not reserved.
const MAX_UNPACKED: u32 = 1 << 30;

/// The most bytes that LZ4 makes of one: each further byte of a match's length makes it at most 255 longer ([block
/// format](https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md)).
const MAX_RATIO: usize = 255;

/// Writes stored values, one after another, in the same memory.
#[derive(Default)]
pub(super) struct Writer {
    plain: Vec<u8>,
    packed: Vec<u8>,
    table: CompressTable,
}

impl Writer {
    pub(super) fn entries(&mut self, entries: &[Entry]) -> Result<&[u8], StoreError> {
        self.pack(&Entries(entries))
    }

    pub(super) fn trace(&mut self, trace: &Trace) -> Result<&[u8], StoreError> {
        self.pack(&consulted::TraceV4::from(trace))
    }

    pub(super) fn kept(&mut self, kept: &Kept) -> Result<&[u8], StoreError> {
        self.pack(&kept::KeptV1::from(kept))
    }

    pub(super) fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<&[u8], StoreError> {
        self.pack(&CheckpointV1 { position: checkpoint.position, state: Cow::from(&checkpoint.state) })
    }

    fn pack<T: Serialize>(&mut self, value: &T) -> Result<&[u8], StoreError> {
        let unwritten = |e: &dyn std::fmt::Display| StoreError::Failed(format!("cannot be encoded: {e}"));
        self.plain.clear();
        self.plain = postcard::to_extend(value, std::mem::take(&mut self.plain)).map_err(|e| unwritten(&e))?;
        let length = self.plain.len();
        if length > MAX_UNPACKED as usize {
            return Err(StoreError::Failed(format!("a value of {length} bytes is larger than {MAX_UNPACKED}")));
        }
        self.packed.clear();
        self.packed.extend(FORM.to_le_bytes());
        self.packed.extend((length as u32).to_le_bytes());
        let head = self.packed.len();
        self.packed.resize(head + block::get_maximum_output_size(length), 0);
        let packed = block::compress_into_with_table(&self.plain, &mut self.packed[head..], &mut self.table);
        Ok(&self.packed[..head + packed.map_err(|e| unwritten(&e))?])
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

pub(super) fn read_entries(file: &Path, bytes: &[u8]) -> Result<Vec<Entry>, StoreError> {
    match form(file, bytes)? {
        1 => each::<entry::EntryV1<'_>>(file, bytes),
        2 => each::<added::EntryV2<'_>>(file, bytes),
        3 => each::<owned::EntryV3<'_>>(file, bytes),
        _ => each::<consulted::EntryV4<'_>>(file, bytes),
    }
}

fn each<T: DeserializeOwned + Into<Entry>>(file: &Path, bytes: &[u8]) -> Result<Vec<Entry>, StoreError> {
    Ok(unpack::<Vec<T>>(file, bytes)?.into_iter().map(T::into).collect())
}

pub(super) fn read_trace(file: &Path, bytes: &[u8]) -> Result<Trace, StoreError> {
    match form(file, bytes)? {
        1 => unpack::<body::TraceV1<'_>>(file, bytes).map(Trace::from),
        2 => unpack::<added::TraceV2<'_>>(file, bytes).map(Trace::from),
        3 => unpack::<owned::TraceV3<'_>>(file, bytes).map(Trace::from),
        _ => unpack::<consulted::TraceV4<'_>>(file, bytes).map(Trace::from),
    }
}

pub(super) fn read_kept(file: &Path, bytes: &[u8]) -> Result<Kept, StoreError> {
    let kept = unpack::<kept::KeptV1<'_>>(file, bytes)?.read();
    kept.ok_or_else(|| StoreError::damaged(file, "the pieces of a kept answer do not fit together"))
}

pub(super) fn read_checkpoint(file: &Path, bytes: &[u8]) -> Result<Checkpoint, StoreError> {
    let plain = unpacked(file, bytes)?;
    let CheckpointV1 { position, state } = decode(file, &plain)?;
    Ok(Checkpoint { position, state: state.into_owned() })
}

/// A list of [`consulted::EntryV4`], each made when its turn comes.
struct Entries<'a>(&'a [Entry]);

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(consulted::EntryV4::from))
    }
}

#[derive(Serialize, Deserialize)]
struct CheckpointV1<'a> {
    position: u64,
    state: Cow<'a, [u8]>,
}

/// The version of a value, if it is known here.
fn form(file: &Path, bytes: &[u8]) -> Result<u16, StoreError> {
    let form = bytes.first_chunk().ok_or_else(|| StoreError::damaged(file, "a value is cut off"))?;
    match u16::from_le_bytes(*form) {
        0 => Err(StoreError::damaged(file, "a value has no valid header")),
        found if found > FORM => Err(StoreError::Newer { found, known: FORM }),
        found => Ok(found),
    }
}

fn unpack<T: DeserializeOwned>(file: &Path, bytes: &[u8]) -> Result<T, StoreError> {
    decode(file, &unpacked(file, bytes)?)
}

/// The postcard encoding of a value.
fn unpacked(file: &Path, bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
    let sized = &bytes[form(file, bytes)?.to_le_bytes().len()..];
    let (size, packed) = sized.split_first_chunk().ok_or_else(|| StoreError::damaged(file, "a value is cut off"))?;
    let size = u32::from_le_bytes(*size);
    if size > MAX_UNPACKED || size as usize > packed.len().saturating_mul(MAX_RATIO) {
        return Err(StoreError::damaged(file, "a value has no valid header"));
    }
    block::decompress(packed, size as usize).map_err(|e| StoreError::damaged(file, e))
}

fn decode<'a, T: Deserialize<'a>>(file: &Path, plain: &'a [u8]) -> Result<T, StoreError> {
    postcard::from_bytes(plain).map_err(|e| StoreError::damaged(file, e))
}

#[cfg(test)]
mod tests;
