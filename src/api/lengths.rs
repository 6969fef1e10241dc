//! How much there is in what the gateway passes on and never reads: calls, thoughts, files.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Bytes of a PDF or the like for each byte of text that a model reads of it, about: a page takes 40 kB, and 2,000 tokens
/// of four bytes.
const FILE_BYTES: usize = 5;

/// The calls of a message or of a piece of it, as far as the gateway looks at them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// There are some.
    pub any: bool,
    /// Of what they are given, bytes.
    pub(super) length: usize,
    /// Of the longest of their ids, bytes.
    pub longest_id: usize,
}

/// What a function or a custom tool is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Given {
    #[serde(default)]
    arguments: Length,
    #[serde(default)]
    input: Length,
}

impl Given {
    /// Bytes.
    pub(super) fn length(self) -> usize {
        self.arguments.0 + self.input.0
    }
}

impl<'de> Deserialize<'de> for Calls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        struct Call {
            #[serde(default)]
            id: Length,
            #[serde(default)]
            function: Option<Given>,
            #[serde(default)]
            custom: Option<Given>,
        }
        let calls = Option::<Vec<&RawValue>>::deserialize(deserializer)?.unwrap_or_default();
        let read = calls.iter().map(|call| serde_json::from_str::<Call>(call.get()).unwrap_or_default());
        Ok(read.fold(Self::default(), |read, call| {
            let given = call.function.into_iter().chain(call.custom).map(Given::length);
            let length = read.length + given.sum::<usize>();
            Self { any: true, length, longest_id: read.longest_id.max(call.id.0) }
        }))
    }
}

/// The length of a string, bytes; 0 of anything else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Length(pub(super) usize);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let text = raw.strip_prefix('"').map(|_| serde_json::from_str::<Cow<'_, str>>(raw));
        Ok(Self(text.and_then(Result::ok).map_or(0, |text| text.len())))
    }
}

/// The length of `thinking_blocks`, bytes. What is sealed is all of a thought in base64; what may be shown of it may be
/// less.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Thoughts(pub(super) usize);

impl<'de> Deserialize<'de> for Thoughts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Block {
            thinking: Length,
            signature: Length,
            data: Length,
        }
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let blocks: Vec<Block> = serde_json::from_str(raw).unwrap_or_default();
        let length = |block: &Block| block.thinking.0.max(decoded(block.signature.0.max(block.data.0)));
        Ok(Self(blocks.iter().map(length).sum()))
    }
}

/// The length of any JSON as it is written, bytes; 0 of null.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Written(pub(super) usize);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        Ok(Self(if raw == "null" { 0 } else { raw.len() }))
    }
}

/// `file` of a part: bytes of the text that a model reads of it, about; 0 of what is only referred to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct File(pub(super) usize);

impl<'de> Deserialize<'de> for File {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        struct Wire<'a> {
            #[serde(default, borrow)]
            file_data: Option<&'a RawValue>,
        }
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let Wire { file_data } = serde_json::from_str(raw).unwrap_or_default();
        let data = file_data.and_then(|data| data.get().strip_prefix("\"data:")?.split_once(','));
        Ok(Self(data.map_or(0, |(kind, data)| match kind.starts_with("text/") {
            true => decoded(data.len()),
            false => decoded(data.len()) / FILE_BYTES,
        })))
    }
}

/// Of so many characters of base64, bytes.
fn decoded(characters: usize) -> usize {
    characters / 4 * 3
}
