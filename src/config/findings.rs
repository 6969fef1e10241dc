//! What is wrong with a configuration, all of it at once.

use std::fmt;

/// One remark on a configuration: what is wrong, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Counted from 1; `None` where it is about the whole file.
    pub line: Option<usize>,
    pub text: String,
}

/// Every mistake of a configuration, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes {
    /// The file as the user named it.
    pub source_name: String,
    pub findings: Vec<Finding>,
}

impl fmt::Display for Mistakes {
    /// One mistake per line: `FILE:LINE: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.findings.iter().map(|finding| finding.located(&self.source_name)).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl Finding {
    /// `FILE:LINE: message`.
    pub fn located(&self, source_name: &str) -> String {
        match self.line {
            Some(line) => format!("{source_name}:{line}: {}", self.text),
            None => format!("{source_name}: {}", self.text),
        }
    }
}

/// Collects mistakes and warnings while a configuration is read.
#[derive(Debug, Default)]
pub(super) struct Findings {
    mistakes: Vec<Finding>,
    warnings: Vec<Finding>,
    /// Where the file is not even TOML: then nothing is known of what is missing.
    syntax: Vec<Finding>,
}

impl Findings {
    pub(super) fn mistake(&mut self, line: impl Into<Option<usize>>, text: impl Into<String>) {
        self.mistakes.push(Finding { line: line.into(), text: text.into() });
    }

    /// Something that should be there is not.
    pub(super) fn missing(&mut self, line: impl Into<Option<usize>>, text: impl Into<String>) {
        if self.syntax.is_empty() {
            self.mistake(line, text);
        }
    }

    /// The text is not TOML here. Noted before anything else is.
    pub(super) fn syntax(&mut self, line: impl Into<Option<usize>>, text: impl Into<String>) {
        self.syntax.push(Finding { line: line.into(), text: text.into() });
    }

    pub(super) fn is_toml(&self) -> bool {
        self.syntax.is_empty()
    }

    pub(super) fn warning(&mut self, line: impl Into<Option<usize>>, text: impl Into<String>) {
        self.warnings.push(Finding { line: line.into(), text: text.into() });
    }

    /// The warnings, if there is no mistake; each in the order of lines.
    pub(super) fn into_warnings(mut self, source_name: &str) -> Result<Vec<Finding>, Mistakes> {
        self.warnings.sort();
        if self.mistakes.is_empty() && self.is_toml() {
            Ok(self.warnings)
        } else {
            Err(self.into_mistakes(source_name))
        }
    }

    /// All mistakes; on a line that is not TOML, only that.
    pub(super) fn into_mistakes(self, source_name: &str) -> Mistakes {
        let Self { mut mistakes, syntax, .. } = self;
        mistakes.retain(|mistake| !syntax.iter().any(|error| error.line == mistake.line));
        mistakes.extend(syntax);
        mistakes.sort();
        mistakes.dedup();
        Mistakes { source_name: source_name.to_owned(), findings: mistakes }
    }
}

/// `; did you mean "…"?` if one of `known` is close to `typed`, else nothing.
pub(super) fn did_you_mean<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let close = |name: &&str| strsim::jaro_winkler(typed, name);
    let best = known.into_iter().max_by(|a, b| close(a).total_cmp(&close(b)));
    best.filter(|name| close(name) > 0.8).map_or(String::new(), |name| format!("; did you mean \"{name}\"?"))
}
