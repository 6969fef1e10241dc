//! Version 1 of a kept answer.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::body::{ModelIdV1, ReplyTextV1};
use super::decision::UsageV2;
use crate::trace::kept::{Cut, Form, Kept, Meaning, Pieces};

#[derive(Serialize, Deserialize)]
pub(super) struct KeptV1<'a> {
    at_ms: u64,
    until_ms: u64,
    model: ModelIdV1<'a>,
    usage: Option<UsageV2>,
    text: ReplyTextV1<'a>,
    form: FormV1<'a>,
    meaning: Option<MeaningV1<'a>>,
}

#[derive(Serialize, Deserialize)]
enum FormV1<'a> {
    Whole(Cow<'a, [u8]>),
    /// The chunks one after another; where each ends, and whether it holds usage and nothing else.
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
            model: (&kept.model).into(),
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
            model: self.model.into(),
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
