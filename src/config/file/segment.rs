//! `[[routes.segments]]`: what the file says of one segment, each value on its own.

use super::{knob, name};
use crate::api::metadata::Metadata;
use crate::config::section::{Located, Section};
use crate::policy::Knob;

/// `None`: not there, or wrong (and noted).
#[derive(Debug)]
pub(in crate::config) struct Segment {
    pub(in crate::config) line: usize,
    pub(in crate::config) name: Option<Located<String>>,
    pub(in crate::config) metadata: Option<Metadata>,
    pub(in crate::config) knob: Option<Knob>,
    pub(in crate::config) explore: Option<bool>,
}

impl Segment {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let segment = Self {
            line: section.line,
            name: name(section, "a name such as \"search\""),
            metadata: metadata(section),
            knob: knob(section),
            explore: section.boolean("explore"),
        };
        if !section.had("quality") && !section.had("budget_per_1k") {
            section.missing("quality", "this or `budget_per_1k`; what has no knob of its own needs no segment");
        }
        segment
    }
}

/// The pairs that a request must have.
fn metadata(section: &mut Section<'_, '_>) -> Option<Metadata> {
    let expected = "the pairs that its requests have in x-satisfice-metadata, such as { team = \"search\" }";
    let Some(typed) = section.string_table("metadata", expected) else {
        if !section.had("metadata") {
            section.missing("metadata", expected);
        }
        return None;
    };
    if typed.value.is_empty() {
        let text = "`metadata` of a segment is empty, and would match every request; give at least one pair";
        section.findings.mistake(typed.line, text);
        return None;
    }
    let pairs = typed.value.into_iter().map(|(key, value)| (key, value.value));
    let checked = Metadata::new(pairs);
    checked.map_err(|problem| section.findings.mistake(typed.line, format!("`metadata` of a segment {problem}"))).ok()
}
