//! One table of the file while it is read: hands out values with their lines, notes every mistake, and goes on.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::findings::{Findings, did_you_mean};

/// A value and the line that it stands on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) line: usize,
}

/// Names and values, in the order of the names.
pub(super) type StringTable = Vec<(String, Located<String>)>;

/// Byte offset → line.
#[derive(Debug)]
pub(super) struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
        Self { starts: std::iter::once(0).chain(after_breaks).collect() }
    }

    /// Counted from 1.
    pub(super) fn line(&self, span: Range<usize>) -> usize {
        self.starts.partition_point(|start| *start <= span.start)
    }
}

/// A table being read. What nobody asked for by the end is an unknown key.
pub(super) struct Section<'r, 'i> {
    /// As messages call it: `[server]`, `[[models]]`, `headers`.
    title: String,
    pub(super) line: usize,
    table: DeTable<'i>,
    known: Vec<&'static str>,
    /// Those of `known` that were there, be they valid or not.
    had: Vec<&'static str>,
    lines: &'r Lines,
    pub(super) findings: &'r mut Findings,
}

impl<'r, 'i> Section<'r, 'i> {
    /// Reads a table with `read`; then what is left in it is unknown.
    pub(super) fn read<T>(
        title: String,
        table: Spanned<DeTable<'i>>,
        lines: &'r Lines,
        findings: &'r mut Findings,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let line = lines.line(table.span());
        let mut section = Self { title, line, table: table.into_inner(), known: vec![], had: vec![], lines, findings };
        let result = read(&mut section);
        section.report_unknown();
        result
    }

    pub(super) fn string(&mut self, key: &'static str, expected: &str) -> Option<Located<String>> {
        let value = self.take(key)?;
        self.string_of(key, expected, value)
    }

    /// A string that must be there.
    pub(super) fn required(&mut self, key: &'static str, expected: &str) -> Option<Located<String>> {
        if !self.table.contains_key(key) {
            self.missing(key, expected);
        }
        self.string(key, expected)
    }

    /// One of the names that there are.
    pub(super) fn one_of<T: Copy>(&mut self, key: &'static str, known: &[(&str, T)]) -> Option<T> {
        let names: Vec<_> = known.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let expected = if names.len() > 1 { format!("one of {}", names.join(", ")) } else { names.concat() };
        let typed = self.string(key, &expected)?;
        let found = known.iter().find(|(name, _)| *name == typed.value);
        found.map(|(_, value)| *value).or_else(|| self.wrong(key, typed.line, format!("{:?}", typed.value), &expected))
    }

    /// A finite number within `range`.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        range: Range<f64>,
        including_end: bool,
        expected: &str,
    ) -> Option<Located<f64>> {
        let value = self.take(key)?;
        let line = self.lines.line(value.span());
        let number = number(&value);
        let inside = |n: &f64| range.contains(n) || (including_end && *n == range.end);
        let value = number.filter(inside).or_else(|| self.wrong(key, line, shown(&value), expected));
        Some(Located { value: value?, line })
    }

    /// A whole number from `from` to `to`.
    pub(super) fn whole(&mut self, key: &'static str, from: u32, to: u32) -> Option<Located<u32>> {
        let value = self.take(key)?;
        let line = self.lines.line(value.span());
        let number = value.get_ref().as_integer().and_then(whole).and_then(|n| u32::try_from(n).ok());
        let expected = format!("a whole number from {from} to {to}");
        let inside = |n: &u32| (from..=to).contains(n);
        let value = number.filter(inside).or_else(|| self.wrong(key, line, shown(&value), &expected));
        Some(Located { value: value?, line })
    }

    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.take(key)?;
        let line = self.lines.line(value.span());
        value.get_ref().as_bool().or_else(|| self.wrong(key, line, shown(&value), "true or false"))
    }

    /// A list of strings. `None`: the key is not there, or is no list.
    pub(super) fn strings(&mut self, key: &'static str, expected: &str) -> Option<Located<Vec<Located<String>>>> {
        let value = self.take(key)?;
        let line = self.lines.line(value.span());
        let DeValue::Array(items) = value.into_inner() else {
            return self.wrong(key, line, "no list".into(), expected);
        };
        let items = items.into_iter().filter_map(|item| self.string_of(key, expected, item)).collect();
        Some(Located { value: items, line })
    }

    /// A table of strings, such as `{ a = "b" }`: names and values. `None`: the key is not there, or is no table.
    pub(super) fn string_table(&mut self, key: &'static str, expected: &str) -> Option<Located<StringTable>> {
        let value = self.take(key)?;
        let line = self.lines.line(value.span());
        let DeValue::Table(table) = value.into_inner() else {
            return self.wrong(key, line, "no table".into(), expected);
        };
        let pair =
            |(name, v): (Spanned<_>, _)| Some((Cow::into_owned(name.into_inner()), self.string_of(key, expected, v)?));
        Some(Located { value: table.into_iter().filter_map(pair).collect(), line })
    }

    /// A table of names and shares: numbers from 0.
    pub(super) fn numbers(&mut self, key: &'static str, expected: &str) -> Option<Vec<(Located<String>, f64)>> {
        let value = self.take(key)?;
        let line = self.lines.line(value.span());
        let DeValue::Table(table) = value.into_inner() else {
            return self.wrong(key, line, "no table".into(), expected);
        };
        let mut pairs = vec![];
        for (name, value) in table {
            let number = number(&value).filter(|n: &f64| n.is_finite() && *n >= 0.0);
            let number = number.or_else(|| self.wrong(key, line, shown(&value), "shares: numbers from 0"));
            let name = Located { line: self.lines.line(name.span()), value: name.into_inner().into_owned() };
            pairs.extend(number.map(|number| (name, number)));
        }
        Some(pairs)
    }

    /// The table `[key]`, if it is there.
    pub(super) fn section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_, 'i>) -> T) -> Option<T> {
        let value = self.take(key)?;
        let title = self.title_of(key);
        self.section_of(format!("[{title}]"), value, read)
    }

    /// Each of the tables `[[key]]`, and how many there are, also of those that are no tables.
    pub(super) fn sections<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Section<'_, 'i>) -> T,
    ) -> Option<Vec<T>> {
        let value = self.take(key)?;
        let line = self.lines.line(value.span());
        let title = format!("[[{}]]", self.title_of(key));
        let DeValue::Array(items) = value.into_inner() else {
            return self.wrong(key, line, "no list of tables".into(), &format!("each one under its own {title}"));
        };
        Some(items.into_iter().filter_map(|item| self.section_of(title.clone(), item, &mut read)).collect())
    }

    /// Whether a key that was asked for is there, be it valid or not.
    pub(super) fn had(&self, key: &str) -> bool {
        self.had.contains(&key)
    }

    /// Notes that a required key is not there.
    pub(super) fn missing(&mut self, key: &str, expected: &str) {
        self.findings.missing(self.line, format!("`{key}` of {} is missing; give {expected}", self.title));
    }

    /// `routes.cache`, of what stands under `[[routes]]`.
    fn title_of(&self, key: &str) -> String {
        match self.title.strip_prefix("[[").and_then(|outer| outer.strip_suffix("]]")) {
            Some(outer) => format!("{outer}.{key}"),
            None => key.to_owned(),
        }
    }

    fn section_of<T>(
        &mut self,
        title: String,
        value: Spanned<DeValue<'i>>,
        read: impl FnOnce(&mut Section<'_, 'i>) -> T,
    ) -> Option<T> {
        let span = value.span();
        let DeValue::Table(table) = value.into_inner() else {
            let line = self.lines.line(span);
            self.findings.mistake(line, format!("{title} is no table; write `{title}` on a line of its own"));
            return None;
        };
        Some(Section::read(title, Spanned::new(span, table), self.lines, self.findings, read))
    }

    fn string_of(&mut self, key: &str, expected: &str, value: Spanned<DeValue<'i>>) -> Option<Located<String>> {
        let line = self.lines.line(value.span());
        let value = match value.get_ref() {
            DeValue::String(s) => Some(s.clone().into_owned()),
            // Not what it is: a number may be a secret without its quotes.
            other => self.wrong(key, line, format!("of type {}", other.type_str()), expected),
        };
        Some(Located { value: value?, line })
    }

    fn wrong<T>(&mut self, key: &str, line: usize, found: String, expected: &str) -> Option<T> {
        self.findings.mistake(line, format!("`{key}` of {} is {found}; give {expected}", self.title));
        None
    }

    fn take(&mut self, key: &'static str) -> Option<Spanned<DeValue<'i>>> {
        self.known.push(key);
        let value = self.table.remove(key);
        self.had.extend(value.is_some().then_some(key));
        value
    }

    fn report_unknown(self) {
        for (key, _) in &self.table {
            let (key, line) = (key.get_ref(), self.lines.line(key.span()));
            let hint = did_you_mean(key, self.known.iter().copied());
            let known = self.known.join(", ");
            self.findings.mistake(line, format!("unknown key `{key}` in {}{hint} (known: {known})", self.title));
        }
    }
}

fn number(value: &Spanned<DeValue<'_>>) -> Option<f64> {
    match value.get_ref() {
        DeValue::Float(float) => float.as_str().parse().ok(),
        DeValue::Integer(integer) => whole(integer).map(|n| n as f64),
        _ => None,
    }
}

fn whole(integer: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// A value as a message shows it; never a string's content, which may be a secret.
fn shown(value: &Spanned<DeValue<'_>>) -> String {
    match value.get_ref() {
        DeValue::Integer(n) => n.to_string(),
        DeValue::Float(x) => x.as_str().to_owned(),
        DeValue::Boolean(b) => b.to_string(),
        other => format!("of type {}", other.type_str()),
    }
}
