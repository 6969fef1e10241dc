//! `[[scorers]]`.

use super::name;
use crate::config::section::{Located, Section};

/// Longest rubric of a judge, in bytes: it is paid for with each grade.
const LONGEST_RUBRIC: usize = 16 << 10;

const WEIGHT: &str = "a number above 0 and up to 1, what a client's own score counts";

#[derive(Debug)]
pub(in crate::config) struct Scorer {
    pub(in crate::config) name: Option<Located<String>>,
    pub(in crate::config) model: Option<Located<String>>,
    pub(in crate::config) rubric: Option<String>,
    pub(in crate::config) share: Option<f64>,
    pub(in crate::config) weight: Option<f64>,
}

impl Scorer {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        section.one_of("kind", &[("judge", ())]);
        Self {
            name: name(section, "a name for its scores, such as \"judge\""),
            model: section.required("model", "the name of one of the [[models]], which grades the answers"),
            rubric: rubric(section),
            share: section.number("share", 0.0..1.0, true, "a share of answers from 0 to 1").map(|n| n.value),
            weight: section.number("weight", f64::MIN_POSITIVE..1.0, true, WEIGHT).map(|n| n.value),
        }
    }
}

fn rubric(section: &mut Section<'_, '_>) -> Option<String> {
    let expected = "what the judge is to grade by, in plain words";
    let rubric = section.string("rubric", expected)?;
    let problem = match rubric.value.len() {
        _ if rubric.value.trim().is_empty() => "is empty".to_owned(),
        length if length > LONGEST_RUBRIC => format!("is longer than {LONGEST_RUBRIC} bytes"),
        _ => return Some(rubric.value),
    };
    section.findings.mistake(rubric.line, format!("`rubric` {problem}; give {expected}, or leave it out"));
    None
}
