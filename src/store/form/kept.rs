//! Version 1 of a kept answer.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::decision::UsageV2;
use crate::catalog::ModelId;
use crate::trace::ReplyText;
use crate::trace::kept::{Cut, Form, Kept, Meaning, Pieces};

#[derive(Serialize, Deserialize)]
pub(super) struct KeptV1<'a> {
    at_ms: u64,
    until_ms: u64,
    provider: Cow<'a, str>,
    model: Cow<'a, str>,
    usage: Option<UsageV2>,
    text: TextV1<'a>,
    form: FormV1<'a>,
    meaning: Option<MeaningV1<'a>>,
}

#[derive(Serialize, Deserialize)]
struct TextV1<'a> {
    content: Cow<'a, str>,
    finish_reason: Option<Cow<'a, str>>,
    refusal: bool,
    tool_calls: bool,
    truncated: bool,
}

#[derive(Serialize, Deserialize)]
enum FormV1<'a> {
    Whole(Cow<'a, [u8]>),
    /// The chunks behind each other; where each ends, and whether it says what the answer took and nothing else.
    Streamed(Cow<'a, [u8]>, Vec<(u32, bool)>),
}

#[derive(Serialize, Deserialize)]
struct MeaningV1<'a> {
    partition: [u8; 32],
    vector: Cow<'a, [f32]>,
}

impl<'a> From<&'a Kept> for KeptV1<'a> {
    fn from(kept: &'a Kept) -> Self {
        Self {
            at_ms: kept.at_ms,
            until_ms: kept.until_ms,
            provider: kept.model.provider.as_str().into(),
            model: kept.model.model.as_str().into(),
            usage: kept.usage.map(UsageV2::from),
            text: (&kept.text).into(),
            form: (&kept.form).into(),
            meaning: kept.meaning.as_ref().map(|Meaning { partition, vector }| MeaningV1 {
                partition: *partition,
                vector: vector.as_slice().into(),
            }),
        }
    }
}

impl KeptV1<'_> {
    /// `None` where it does not hold together.
    pub(super) fn read(self) -> Option<Kept> {
        Some(Kept {
            at_ms: self.at_ms,
            until_ms: self.until_ms,
            model: ModelId { provider: self.provider.into(), model: self.model.into() },
            usage: self.usage.map(Into::into),
            text: self.text.into(),
            form: self.form.read()?,
            meaning: self
                .meaning
                .map(|MeaningV1 { partition, vector }| Meaning { partition, vector: vector.into_owned() }),
        })
    }
}

impl<'a> From<&'a Form> for FormV1<'a> {
    fn from(form: &'a Form) -> Self {
        match form {
            Form::Whole(body) => Self::Whole((&**body).into()),
            Form::Streamed(pieces) => {
                let cuts = pieces.cuts().iter().map(|cut| (cut.end, cut.usage_only)).collect();
                Self::Streamed((&**pieces.bytes()).into(), cuts)
            }
        }
    }
}

impl FormV1<'_> {
    fn read(self) -> Option<Form> {
        match self {
            Self::Whole(body) => Some(Form::Whole(body.into_owned().into())),
            Self::Streamed(bytes, cuts) => {
                let cuts = cuts.into_iter().map(|(end, usage_only)| Cut { end, usage_only }).collect();
                Pieces::new(Bytes::from(bytes.into_owned()), cuts).map(Form::Streamed)
            }
        }
    }
}

impl<'a> From<&'a ReplyText> for TextV1<'a> {
    fn from(text: &'a ReplyText) -> Self {
        Self {
            content: text.content.as_str().into(),
            finish_reason: text.finish_reason.as_deref().map(Cow::from),
            refusal: text.refusal,
            tool_calls: text.tool_calls,
            truncated: text.truncated,
        }
    }
}

impl From<TextV1<'_>> for ReplyText {
    fn from(text: TextV1<'_>) -> Self {
        Self {
            content: text.content.into_owned(),
            finish_reason: text.finish_reason.map(Cow::into_owned),
            refusal: text.refusal,
            tool_calls: text.tool_calls,
            truncated: text.truncated,
        }
    }
}
