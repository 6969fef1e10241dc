//! An answer that is kept to be given again: what the gateway's cache holds and the store writes down.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::ReplyText;
use crate::catalog::{ModelId, Usage};

/// Names the requests that an answer is for: a SHA-256. See `gateway::cache`.
pub type Key = [u8; 32];

/// A complete answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// When it was given, Unix milliseconds.
    pub at_ms: u64,
    /// Must not be given again from here on, Unix milliseconds.
    pub until_ms: u64,
    /// The model that gave it.
    pub model: ModelId,
    pub usage: Option<Usage>,
    /// As traces have it.
    pub text: ReplyText,
    pub form: Form,
    /// What the request meant, where the answer may also be given to requests with the same meaning.
    pub meaning: Option<Meaning>,
}

#[cfg(test)]
impl Kept {
    /// An empty one that expires at once.
    pub(crate) fn sample(meaning: Option<Meaning>) -> Arc<Self> {
        Arc::new(Self {
            at_ms: 0,
            until_ms: 1,
            model: ModelId { provider: "p".into(), model: "m".into() },
            usage: None,
            text: ReplyText::default(),
            form: Form::Whole(Bytes::new()),
            meaning,
        })
    }
}

/// How an answer came, in OpenAI's shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    Whole(Bytes),
    Streamed(Pieces),
}

/// The chunks of a stream, one after another in one buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pieces {
    bytes: Bytes,
    cuts: Vec<Cut>,
}

/// Where a chunk ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    pub end: u32,
    /// The chunk holds usage and nothing else.
    pub usage_only: bool,
}

/// What a request meant, among those that differ from it in nothing else.
#[derive(Debug, Clone, PartialEq)]
pub struct Meaning {
    /// Names those: a SHA-256.
    pub partition: Key,
    /// Of length 1.
    pub vector: Vec<f32>,
}

/// What the cache tells the store.
#[derive(Debug)]
pub enum Shelving {
    /// Write this answer down, in place of an older one for the key.
    Keep(Key, Arc<Kept>),
    /// Write what waits, and end.
    Stop,
}

impl Pieces {
    /// `None` where the cuts do not ascend to the end of `bytes`.
    pub fn new(bytes: Bytes, cuts: Vec<Cut>) -> Option<Self> {
        let ends = cuts.iter().map(|cut| cut.end as usize);
        let whole = cuts.last().map_or(0, |cut| cut.end as usize) == bytes.len();
        (whole && ends.is_sorted()).then_some(Self { bytes, cuts })
    }

    /// The chunks of a stream, copied: the buffers that they came in may be larger.
    pub fn of<'a>(chunks: impl IntoIterator<Item = (&'a [u8], bool)>) -> Self {
        let (mut bytes, mut cuts) = (BytesMut::new(), Vec::new());
        for (chunk, usage_only) in chunks {
            bytes.extend_from_slice(chunk);
            cuts.push(Cut { end: u32::try_from(bytes.len()).unwrap_or(u32::MAX), usage_only });
        }
        Self { bytes: bytes.freeze(), cuts }
    }

    /// Each chunk, and whether it holds usage and nothing else.
    pub fn iter(&self) -> impl Iterator<Item = (Bytes, bool)> {
        let starts = std::iter::once(0).chain(self.cuts.iter().map(|cut| cut.end as usize));
        let chunks = starts.zip(&self.cuts);
        chunks.map(|(start, cut)| (self.bytes.slice(start..cut.end as usize), cut.usage_only))
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub fn cuts(&self) -> &[Cut] {
        &self.cuts
    }
}

impl Form {
    /// Bytes of the answer as it came.
    pub fn size(&self) -> usize {
        match self {
            Self::Whole(body) => body.len(),
            Self::Streamed(pieces) => pieces.bytes.len(),
        }
    }
}

impl Kept {
    /// Bytes of memory that it takes in total, to within a few tens.
    pub fn weight(&self) -> usize {
        let cuts = match &self.form {
            Form::Whole(_) => 0,
            Form::Streamed(pieces) => size_of_val(&*pieces.cuts),
        };
        let meaning = self.meaning.as_ref().map_or(0, |meaning| size_of_val(&*meaning.vector));
        size_of::<Key>() + size_of::<Self>() + self.form.size() + cuts + self.text.content.len() + meaning
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back_as_they_went_in() {
        let chunks = [(&b"{}"[..], false), (b"", false), (b"[1]", true)];
        let pieces = Pieces::of(chunks);
        let back: Vec<_> = pieces.iter().collect();
        assert_eq!(back.iter().map(|(chunk, only)| (&chunk[..], *only)).collect::<Vec<_>>(), chunks);
        assert_eq!(Pieces::new(pieces.bytes.clone(), pieces.cuts.clone()), Some(pieces.clone()));
        assert_eq!(Pieces::new(pieces.bytes.slice(1..), pieces.cuts.clone()), None);
        let cuts = [5, 2].map(|end| Cut { end, usage_only: false });
        assert_eq!(Pieces::new(Bytes::from_static(b"ab"), cuts.into()), None);
    }
}
