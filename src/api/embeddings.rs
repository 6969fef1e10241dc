//! `POST /v1/embeddings`: OpenAI's request and reply.

use std::num::NonZeroU32;

use bytes::Bytes;
use compact_str::CompactString;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::chat::{OWN, ROUTING, body, find, lenient, optional, parse_fields, required, says, set};
use super::error::BadRequest;
use super::usage::WireUsage;

/// A request for embeddings: what the gateway reads of it, and the whole as it came.
#[derive(Debug, Clone)]
pub struct EmbeddingsRequest {
    /// A model of kind embedding, or `provider/model`.
    pub model: String,
    /// As in a chat: what the model's provider cannot express is to be left out, not refused. No provider sees it.
    pub drop_unsupported: bool,
    /// Every field in the client's order, as raw JSON.
    fields: Vec<(CompactString, Bytes)>,
}

/// How the numbers of a vector are written: `encoding_format`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// A list of numbers.
    #[default]
    Float,
    /// Little-endian numbers of 32 bits, one after another, in base64.
    Base64,
}

impl EmbeddingsRequest {
    /// Reads a request body.
    ///
    /// # Errors
    /// Names the field that is missing or of the wrong kind, and what would be right.
    pub fn parse(body: &Bytes) -> Result<Self, BadRequest> {
        let fields = parse_fields(body)?;
        let model = required(&fields, "model", "an embedding model, or provider/model")?;
        let input: Option<&RawValue> = required(&fields, "input", INPUT)?;
        let drop_unsupported = optional(&fields, "drop_unsupported", "true or false")?.unwrap_or(false);
        match input.map(|input| input.get().as_bytes()) {
            Some([b'[', .., b']']) | Some([b'"', _, .., b'"']) => Ok(Self { model, drop_unsupported, fields }),
            _ => Err(BadRequest::field("input", format!("input must be {INPUT}, and not empty"))),
        }
    }

    /// As [`ChatRequest::or_drop_unsupported`](super::chat::ChatRequest::or_drop_unsupported).
    #[must_use]
    pub fn or_drop_unsupported(mut self, drop: bool) -> Self {
        self.drop_unsupported |= drop && !says(&self.fields, "drop_unsupported");
        self
    }

    /// The body for an upstream that speaks this wire: the client's own bytes with `model` replaced, without what is for
    /// the gateway alone.
    pub fn forward(&self, upstream_model: &str) -> Bytes {
        self.forward_as(upstream_model, |name| (!ROUTING.contains(&name)).then_some(name))
    }

    /// The same with the names that `renamed` gives the fields; those that it gives none are left out.
    pub fn forward_as<'a>(&'a self, upstream_model: &str, renamed: impl Fn(&'a str) -> Option<&'a str>) -> Bytes {
        let size = self.fields.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
        let kept = self.fields().filter(|(name, _)| !OWN.contains(name));
        body(upstream_model, size, kept.filter_map(|(name, value)| Some((renamed(name)?, &value[..]))))
    }

    /// A top-level field, read; `None` where it is missing or null.
    ///
    /// # Errors
    /// It is not what was `expected`, which the message says.
    pub fn field<'a, T: Deserialize<'a>>(
        &'a self,
        name: &'static str,
        expected: &str,
    ) -> Result<Option<T>, BadRequest> {
        optional(&self.fields, name, expected)
    }

    /// As [`ChatRequest::with_field`](super::chat::ChatRequest::with_field).
    #[must_use]
    pub fn with_field(mut self, name: &str, value: Option<Bytes>) -> Self {
        set(&mut self.fields, name, value);
        self
    }

    /// Every top-level field and its raw JSON, in the client's order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The texts of `input`, in its order, for a wire (called `wire` in messages) that takes nothing else.
    ///
    /// # Errors
    /// It holds token ids, no text, an empty one, or more than [`MAX_INPUTS`].
    pub fn texts(&self, wire: &str) -> Result<Vec<String>, BadRequest> {
        let wrong = |problem: &str| Err(BadRequest::field("input", format!("input {problem}")));
        let input = self.input();
        let texts: Result<Vec<String>, _> = match input.first() {
            Some(b'"') => serde_json::from_slice(input).map(|text| vec![text]),
            _ => serde_json::from_slice(input),
        };
        match texts {
            Err(_) => wrong(&format!("must be a string or a list of strings: {wire} takes texts, and no token ids")),
            Ok(texts) if texts.is_empty() => wrong("is an empty list; send at least one text"),
            Ok(texts) if texts.len() > MAX_INPUTS => {
                wrong(&format!("holds {} texts; send at most {MAX_INPUTS} at once", texts.len()))
            }
            Ok(texts) => match texts.iter().position(String::is_empty) {
                Some(i) => wrong(&format!("holds an empty text (number {i}, counted from 0); leave it out")),
                None => Ok(texts),
            },
        }
    }

    /// How many [`texts`](Self::texts) there are.
    pub fn count(&self) -> usize {
        let list: Option<Vec<IgnoredAny>> = serde_json::from_slice(self.input()).ok();
        list.map_or(1, |list| list.len())
    }

    /// `encoding_format`.
    ///
    /// # Errors
    /// It is not one that there is.
    pub fn encoding(&self) -> Result<Encoding, BadRequest> {
        Ok(optional(&self.fields, "encoding_format", "\"float\" or \"base64\"")?.unwrap_or_default())
    }

    /// `dimensions`: the length that vectors should have.
    ///
    /// # Errors
    /// It is no positive integer.
    pub fn dimensions(&self) -> Result<Option<u32>, BadRequest> {
        Ok(optional(&self.fields, "dimensions", "a positive integer")?.map(NonZeroU32::get))
    }

    fn input(&self) -> &[u8] {
        find(&self.fields, "input").map_or(&[], |input| &input[..])
    }
}

const INPUT: &str = "a string, a list of strings, or token ids";

/// The most texts in one request, which is OpenAI's own limit. A wire of another form may take a call for each.
pub const MAX_INPUTS: usize = 2048;

/// A reply, as far as the gateway reads it. The client gets the upstream's own bytes.
#[derive(Debug, Deserialize)]
pub struct EmbeddingsReply<'a> {
    /// The list of embeddings, unread.
    #[serde(borrow)]
    pub data: &'a RawValue,
    #[serde(default, deserialize_with = "lenient")]
    pub usage: Option<WireUsage>,
}
