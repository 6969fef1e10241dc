//! What lies on the disk: own types for every version, apart from the types that the program thinks in.
//!
//! Each stored value is: form version (u16, little-endian) · length of the next part unpacked (u32, little-endian) ·
//! LZ4 block of the [postcard](https://postcard.jamesmunns.com/wire-format) encoding. A changed type is a new version
//! beside the old one, and a `From` that reads the old into the new. A test holds the bytes of the present version.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Checkpoint, Entry, StoreError};
use crate::trace::Trace;

mod body;
mod decision;
mod entry;

/// The version that is written.
pub(super) const FORM: u16 = 1;

/// No value is larger unpacked: a length beyond it is damage, and not reserved.
const MAX_UNPACKED: u32 = 1 << 30;

pub(super) fn write_entries(entries: &[Entry]) -> Result<Vec<u8>, StoreError> {
    pack(&entries.iter().map(entry::EntryV1::from).collect::<Vec<_>>())
}

pub(super) fn read_entries(file: &Path, bytes: &[u8]) -> Result<Vec<Entry>, StoreError> {
    let entries: Vec<entry::EntryV1> = unpack(file, bytes)?;
    Ok(entries.into_iter().map(Entry::from).collect())
}

pub(super) fn write_trace(trace: &Trace) -> Result<Vec<u8>, StoreError> {
    pack(&body::TraceV1::from(trace))
}

pub(super) fn read_trace(file: &Path, bytes: &[u8]) -> Result<Trace, StoreError> {
    unpack::<body::TraceV1>(file, bytes).map(Trace::from)
}

pub(super) fn write_checkpoint(checkpoint: &Checkpoint) -> Result<Vec<u8>, StoreError> {
    pack(&CheckpointV1 { position: checkpoint.position, state: checkpoint.state.clone() })
}

pub(super) fn read_checkpoint(file: &Path, bytes: &[u8]) -> Result<Checkpoint, StoreError> {
    let CheckpointV1 { position, state } = unpack(file, bytes)?;
    Ok(Checkpoint { position, state })
}

#[derive(Serialize, Deserialize)]
struct CheckpointV1 {
    position: u64,
    state: Vec<u8>,
}

fn pack<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    let plain = postcard::to_stdvec(value).map_err(|e| StoreError::Failed(format!("cannot be encoded: {e}")))?;
    if plain.len() > MAX_UNPACKED as usize {
        return Err(StoreError::Failed(format!("a value of {} bytes is larger than {MAX_UNPACKED}", plain.len())));
    }
    let mut bytes = FORM.to_le_bytes().to_vec();
    bytes.extend(lz4_flex::block::compress_prepend_size(&plain));
    Ok(bytes)
}

fn unpack<T: DeserializeOwned>(file: &Path, bytes: &[u8]) -> Result<T, StoreError> {
    let (form, rest) = bytes.split_first_chunk().ok_or_else(|| StoreError::damaged(file, "a value is cut off"))?;
    let found = u16::from_le_bytes(*form);
    if found > FORM {
        return Err(StoreError::Newer { found, known: FORM });
    }
    let (size, _) = rest.split_first_chunk().ok_or_else(|| StoreError::damaged(file, "a value is cut off"))?;
    if found == 0 || u32::from_le_bytes(*size) > MAX_UNPACKED {
        return Err(StoreError::damaged(file, "a value has no valid header"));
    }
    let plain = lz4_flex::block::decompress_size_prepended(rest).map_err(|e| StoreError::damaged(file, e))?;
    postcard::from_bytes(&plain).map_err(|e| StoreError::damaged(file, e))
}

#[cfg(test)]
mod tests;
