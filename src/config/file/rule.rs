//! `[[routes.rules]]`: what the file says of one rule, each value on its own.

use crate::config::section::{Located, Section};
use crate::gateway::Condition;

/// `None`: not there, or wrong (and noted).
#[derive(Debug)]
pub(in crate::config) struct Rule {
    pub(in crate::config) line: usize,
    pub(in crate::config) when: Option<Condition>,
    pub(in crate::config) models: Option<Vec<Located<String>>>,
    pub(in crate::config) weights: Option<Vec<(Located<String>, f64)>>,
}

impl Rule {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let rule = Self {
            line: section.line,
            when: condition(section),
            models: section.strings("models", "a list of names of the route's models").map(|models| models.value),
            weights: section.numbers("weights", "a table of shares, such as { \"gpt-4o\" = 0.9, \"gpt-5\" = 0.1 }"),
        };
        match (section.had("models"), section.had("weights")) {
            (true, true) => {
                let text = "both `models` and `weights` are given; keep one of them";
                section.findings.mistake(section.line, text);
            }
            (false, false) => section.missing("models", "the models that the policy may choose, or `weights`"),
            _ => {}
        }
        rule
    }
}

const EXAMPLE: &str = "an expression such as \"tokens > 8000 and not tools\"";

fn condition(section: &mut Section<'_, '_>) -> Option<Condition> {
    let typed = section.required("when", EXAMPLE)?;
    let condition = Condition::parse(&typed.value);
    let note =
        |problem| section.findings.mistake(typed.line, format!("`when` cannot be read: {problem}; give {EXAMPLE}"));
    condition.map_err(note).ok()
}
