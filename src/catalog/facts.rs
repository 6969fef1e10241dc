//! The shipped facts: prices, limits and capabilities of hosted models, as their providers published them.
//!
//! `models/catalogue.tsv` is made by `training/catalogue.py`, lies in the binary, and is sorted, so that a look-up is a
//! binary search.

use super::{Capabilities, Price};

const EMBEDDED: &str = include_str!("../../models/catalogue.tsv");

/// Facts of hosted models, sorted by (provider, model).
#[derive(Debug, Clone)]
pub struct Facts {
    facts: Vec<Fact>,
}

/// What is published of one hosted model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fact {
    /// The catalogue's name of the provider.
    pub provider: &'static str,
    /// The provider's name of the model.
    pub model: &'static str,
    pub mode: Mode,
    pub price: Price,
    /// Most input tokens: for most models the context window, for some that less the output limit.
    pub max_input_tokens: Option<u32>,
    pub max_output_tokens: Option<u32>,
    pub capabilities: Capabilities,
    /// Thinks before it answers, and bills that as output.
    pub reasoning: bool,
    /// `YYYY-MM-DD`, where the provider has announced one.
    pub retires: Option<&'static str>,
}

/// The endpoint that a model answers on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Chat,
    Responses,
    Embedding,
}

/// A catalogue that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("model catalogue, line {line}: {problem}; make the file again with training/catalogue.py")]
pub struct FactsError {
    pub line: usize,
    pub problem: &'static str,
}

impl Facts {
    /// The ones in the binary. Takes about a millisecond.
    ///
    /// # Errors
    /// The file in the binary does not fit this code.
    pub fn embedded() -> Result<Self, FactsError> {
        Self::parse(EMBEDDED)
    }

    /// Reads the text of a catalogue file: ten or eleven columns separated by tabs (see `training/catalogue.py`).
    ///
    /// # Errors
    /// The first line that is not of this form or out of order.
    pub fn parse(text: &'static str) -> Result<Self, FactsError> {
        let mut facts: Vec<Fact> = Vec::with_capacity(2_200);
        for (i, line) in text.lines().enumerate() {
            let at = |problem| FactsError { line: i + 1, problem };
            let fact = fact(line).map_err(at)?;
            if facts.last().is_some_and(|last| key(last) >= key(&fact)) {
                return Err(at("out of order, or there twice"));
            }
            facts.push(fact);
        }
        if facts.is_empty() { Err(FactsError { line: 1, problem: "empty" }) } else { Ok(Self { facts }) }
    }

    /// What is known of `model` at `provider` (the catalogue's name of it). The first of these that is there:
    ///
    /// 1. the name as it stands, then without regard to case;
    /// 2. the name without a leading `provider/`;
    /// 3. the family: either of these without its version (`-2024-07-18`, `-20241022`, `-0324`, `-002`, `-latest`,
    ///    `@…`), because a provider's versions of a model mostly share price and limits.
    ///
    /// Nothing else is tried: never another provider's model nor a name that merely looks alike. The fact names the
    /// model that it is of, so a caller can tell 3 from 1.
    pub fn lookup(&self, provider: &str, model: &str) -> Option<&Fact> {
        let bare = model.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/')).unwrap_or(model);
        self.named(provider, model)
            .or_else(|| self.named(provider, bare))
            .or_else(|| self.named(provider, family(model)?))
            .or_else(|| self.named(provider, family(bare)?))
    }

    /// Every fact, sorted by (provider, model).
    pub fn iter(&self) -> impl Iterator<Item = &Fact> {
        self.facts.iter()
    }

    /// Names of the models of one provider.
    pub fn models_of(&self, provider: &str) -> impl Iterator<Item = &'static str> {
        self.of(provider).iter().map(|f| f.model)
    }

    fn named(&self, provider: &str, model: &str) -> Option<&Fact> {
        let of = self.of(provider);
        let exact = of.binary_search_by(|f| f.model.cmp(model)).ok().map(|i| &of[i]);
        exact.or_else(|| of.iter().find(|f| f.model.eq_ignore_ascii_case(model)))
    }

    fn of(&self, provider: &str) -> &[Fact] {
        let start = self.facts.partition_point(|f| f.provider < provider);
        let end = self.facts.partition_point(|f| f.provider <= provider);
        &self.facts[start..end]
    }
}

fn key(fact: &Fact) -> (&str, &str) {
    (fact.provider, fact.model)
}

/// The name without its version; `None` where it has none.
fn family(model: &str) -> Option<&str> {
    if let Some((family, _)) = model.rsplit_once('@') {
        return Some(family);
    }
    let (rest, last) = model.rsplit_once('-')?;
    if last == "latest" {
        return Some(rest);
    }
    if !last.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    match last.len() {
        8 | 4 => Some(rest),
        3 if last.starts_with('0') => Some(rest),
        2 => year_and_month(rest),
        _ => None,
    }
}

/// `gpt-4o-2024-08` (its day already gone) → `gpt-4o`.
fn year_and_month(name: &str) -> Option<&str> {
    let (rest, month) = name.rsplit_once('-')?;
    let (family, year) = rest.rsplit_once('-')?;
    let digits = |s: &str, n| s.len() == n && s.bytes().all(|b| b.is_ascii_digit());
    (digits(month, 2) && digits(year, 4)).then_some(family)
}

fn fact(line: &'static str) -> Result<Fact, &'static str> {
    let mut columns = line.split('\t');
    let mut next = || columns.next().ok_or("fewer than ten columns");
    let (provider, model, mode) = (next()?, next()?, mode(next()?)?);
    let price = Price::of(usd(next()?)?, usd(next()?)?);
    let cached_input = some(next()?, usd)?;
    let (max_input_tokens, max_output_tokens) = (some(next()?, tokens)?, some(next()?, tokens)?);
    let (letters, retires) = (next()?, next()?);
    let cache_write = columns.next().map(usd).transpose()?;
    if columns.next().is_some() {
        return Err("more than eleven columns");
    }
    Ok(Fact {
        provider,
        model,
        mode,
        price: Price { cached_input, cache_write, ..price },
        max_input_tokens,
        max_output_tokens,
        capabilities: capabilities(letters, max_input_tokens.is_some()),
        reasoning: letters.contains('r'),
        retires: (!retires.is_empty()).then_some(retires),
    })
}

/// A model of which neither a limit nor any capability is published is not known to lack them.
fn capabilities(letters: &str, limits_known: bool) -> Capabilities {
    let can = |letter| (limits_known || letters != "-").then(|| letters.contains(letter));
    Capabilities { tools: can('t'), vision: can('v'), json_schema: can('j') }
}

fn mode(name: &str) -> Result<Mode, &'static str> {
    match name {
        "chat" => Ok(Mode::Chat),
        "responses" => Ok(Mode::Responses),
        "embedding" => Ok(Mode::Embedding),
        _ => Err("the mode is none of chat, responses, embedding"),
    }
}

fn some<T>(column: &str, parse: fn(&str) -> Result<T, &'static str>) -> Result<Option<T>, &'static str> {
    if column.is_empty() { Ok(None) } else { parse(column).map(Some) }
}

fn usd(column: &str) -> Result<f64, &'static str> {
    column.parse().ok().filter(|usd: &f64| usd.is_finite() && *usd >= 0.0).ok_or("a price is no number of USD")
}

fn tokens(column: &str) -> Result<u32, &'static str> {
    column.parse().map_err(|_| "a limit is no number of tokens")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_a_name_without_its_version() {
        for (name, expected) in [
            ("gpt-4o-mini-2024-07-18", Some("gpt-4o-mini")),
            ("claude-3-5-haiku-20241022", Some("claude-3-5-haiku")),
            ("deepseek-v3-0324", Some("deepseek-v3")),
            ("gemini-1.5-pro-002", Some("gemini-1.5-pro")),
            ("mistral-small-latest", Some("mistral-small")),
            ("jamba-1.5-mini@001", Some("jamba-1.5-mini")),
            ("gpt-4o", None),
            ("claude-opus-4-8", None),
            ("llama-3.1-405b", None),
            ("claude-3-5", None),
            ("", None),
        ] {
            assert_eq!(family(name), expected, "{name}");
        }
    }

    #[test]
    fn a_bad_file_is_an_error_with_its_line() {
        let line = |text| Facts::parse(text).map(|_| ()).unwrap_err().line;
        assert_eq!(line(""), 1);
        assert_eq!(line("p\ta\tchat\t1\t1\t\t\t\t-\t\nnot a fact"), 2);
        assert_eq!(line("p\tb\tchat\t1\t1\t\t\t\t-\t\np\ta\tchat\t1\t1\t\t\t\t-\t"), 2);
        assert_eq!(line("p\ta\tchat\t-1\t1\t\t\t\t-\t"), 1);
        assert_eq!(line("p\ta\tchat\tNaN\t1\t\t\t\t-\t"), 1);
        assert_eq!(line("p\ta\tchat\t1\t1\t\t\t\t-\t\t1\textra"), 1);
    }
}
