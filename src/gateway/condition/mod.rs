//! Conditions of rules. What joins and compares its parts is told here, each part by minijinja, whose own comparisons
//! put any text above any number.

mod circumstances;
mod compare;
mod words;

use std::fmt;
use std::sync::{Arc, LazyLock};

use minijinja::{Environment, ErrorKind, Expression, Value, filters, tests as told};

pub(super) use self::circumstances::Circumstances;
use self::circumstances::{NAMES, samples};
use self::compare::Comparison;
use self::words::{Word, words};

/// An expression over what is known of a request, such as `tokens > 8000 and not tools`, in the syntax of minijinja
/// (that of Jinja2).
#[derive(Clone)]
pub struct Condition {
    text: String,
    part: Arc<Part>,
}

/// A condition, or a part of it that holds or does not.
enum Part {
    /// `a or b`
    Any(Vec<Part>),
    /// `a and b`
    All(Vec<Part>),
    Not(Box<Part>),
    /// `a < b`, and also `a < b < c`
    Compared(Operand, Vec<(Comparison, Operand)>),
    /// A value that is not false, 0, empty or missing.
    Is(Operand),
}

type Operand = Expression<'static, 'static>;

/// What adds something to the syntax, and under which name.
type Added = (&'static str, fn(&mut Environment<'static>, &'static str));

// Those of minijinja's that take no longer than their value is long.
const FILTERS: [Added; 10] = [
    ("abs", |syntax, name| syntax.add_filter(name, filters::abs)),
    ("default", |syntax, name| syntax.add_filter(name, filters::default)),
    ("float", |syntax, name| syntax.add_filter(name, filters::float)),
    ("int", |syntax, name| syntax.add_filter(name, filters::int)),
    ("length", |syntax, name| syntax.add_filter(name, filters::length)),
    ("lower", |syntax, name| syntax.add_filter(name, filters::lower)),
    ("round", |syntax, name| syntax.add_filter(name, filters::round)),
    ("string", |syntax, name| syntax.add_filter(name, filters::string)),
    ("trim", |syntax, name| syntax.add_filter(name, filters::trim)),
    ("upper", |syntax, name| syntax.add_filter(name, filters::upper)),
];
const TESTS: [Added; 7] = [
    ("defined", |syntax, name| syntax.add_test(name, told::is_defined)),
    ("endingwith", |syntax, name| syntax.add_test(name, told::is_endingwith)),
    ("none", |syntax, name| syntax.add_test(name, told::is_none)),
    ("number", |syntax, name| syntax.add_test(name, told::is_number)),
    ("startingwith", |syntax, name| syntax.add_test(name, told::is_startingwith)),
    ("string", |syntax, name| syntax.add_test(name, told::is_string)),
    ("undefined", |syntax, name| syntax.add_test(name, told::is_undefined)),
];

static SYNTAX: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut syntax = Environment::empty();
    FILTERS.iter().chain(&TESTS).for_each(|(name, add)| add(&mut syntax, name));
    syntax
});

impl Condition {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it: its syntax; or a name, a filter or a test that there is not.
    pub fn parse(text: &str) -> Result<Self, String> {
        let part = any(text, &words(text)?)?;
        Ok(Self { text: text.to_owned(), part: Arc::new(part) })
    }

    /// A condition that cannot be told, such as one that compares a number with a text that is none, does not hold.
    pub(super) fn holds(&self, circumstances: &Circumstances<'_>) -> bool {
        let held = self.part.holds(&Value::from_serialize(circumstances));
        held.unwrap_or_else(|problem| {
            tracing::warn!(when = self.text, problem, "a rule cannot be told");
            false
        })
    }
}

impl Part {
    fn holds(&self, request: &Value) -> Result<bool, String> {
        match self {
            Self::Any(parts) => parts.iter().try_fold(false, |held, part| Ok(held || part.holds(request)?)),
            Self::All(parts) => parts.iter().try_fold(true, |held, part| Ok(held && part.holds(request)?)),
            Self::Not(part) => Ok(!part.holds(request)?),
            Self::Compared(first, others) => is_ordered(first, others, request),
            Self::Is(operand) => Ok(value(operand, request)?.is_true()),
        }
    }
}

fn is_ordered(first: &Operand, others: &[(Comparison, Operand)], request: &Value) -> Result<bool, String> {
    let mut left = value(first, request)?;
    for (comparison, operand) in others {
        let right = value(operand, request)?;
        if !comparison.holds(&left, &right)? {
            return Ok(false);
        }
        left = right;
    }
    Ok(true)
}

fn value(operand: &Operand, request: &Value) -> Result<Value, String> {
    operand.eval(request).map_err(|error| error.to_string())
}

fn any(text: &str, words: &[Word<'_>]) -> Result<Part, String> {
    let parts = words.split(|word| word.text == "or" && word.depth == words[0].depth);
    Ok(Part::Any(parts.map(|part| all(text, part)).collect::<Result<_, _>>()?))
}

fn all(text: &str, words: &[Word<'_>]) -> Result<Part, String> {
    let parts = words.split(|word| word.text == "and" && word.depth == words[0].depth);
    Ok(Part::All(parts.map(|part| one(text, part)).collect::<Result<_, _>>()?))
}

fn one(text: &str, words: &[Word<'_>]) -> Result<Part, String> {
    let nots = words.iter().take_while(|word| word.text == "not").count();
    let part = compared(text, &words[nots..])?;
    Ok(if nots % 2 == 0 { part } else { Part::Not(Box::new(part)) })
}

fn compared(text: &str, words: &[Word<'_>]) -> Result<Part, String> {
    let Some(at) = next_comparison(words) else {
        return match words {
            [open, inner @ .., close] if is_around(open, inner, close) => any(text, inner),
            _ => Ok(Part::Is(operand(text, words)?)),
        };
    };
    let (first, mut rest) = (&words[..at], &words[at..]);
    let mut others = vec![];
    while let Some((comparison, behind)) = read_comparison(rest) {
        let end = next_comparison(behind).unwrap_or(behind.len());
        others.push((comparison, operand(text, &behind[..end])?));
        rest = &behind[end..];
    }
    Ok(Part::Compared(operand(text, first)?, others))
}

/// Where the words of a comparison stand, outside of brackets.
fn next_comparison(words: &[Word<'_>]) -> Option<usize> {
    (0..words.len()).find(|&at| words[at].depth == words[0].depth && read_comparison(&words[at..]).is_some())
}

/// The comparison that `words` begin with, and what stands behind it.
fn read_comparison<'w, 't>(words: &'w [Word<'t>]) -> Option<(Comparison, &'w [Word<'t>])> {
    match words {
        [not, r#in, behind @ ..] if not.text == "not" && r#in.text == "in" => Some((Comparison::NotIn, behind)),
        [word, behind @ ..] => Some((Comparison::called(word.text)?, behind)),
        [] => None,
    }
}

/// Whether two brackets belong together.
fn is_around(open: &Word<'_>, inner: &[Word<'_>], close: &Word<'_>) -> bool {
    open.text == "(" && close.text == ")" && inner.iter().all(|word| word.depth > open.depth)
}

/// What is compared, or told alone.
fn operand(text: &str, words: &[Word<'_>]) -> Result<Operand, String> {
    let text = words.first().zip(words.last()).map_or("", |(first, last)| &text[first.from..last.end()]);
    if let Some(word) = words.iter().find(|word| word.text == "if" || Comparison::called(word.text).is_some()) {
        return Err(format!("`{}` stands within the value `{text}`; join comparisons by and, or, not", word.text));
    }
    let expression = SYNTAX.compile_expression_owned(text.to_owned()).map_err(|error| said(&error))?;
    check_names(&expression)?;
    samples().iter().try_for_each(|sample| check_on(&expression, sample))?;
    Ok(expression)
}

fn check_names(expression: &Operand) -> Result<(), String> {
    let mut unknown: Vec<_> = expression.undeclared_variables(false).into_iter().collect();
    unknown.retain(|name| !NAMES.contains(&name.as_str()));
    match unknown.iter().min() {
        Some(name) => Err(format!("it names `{name}`, which no request has; there are: {}", NAMES.join(", "))),
        None => Ok(()),
    }
}

/// What is only found out by doing it, and is wrong with any request.
fn check_on(expression: &Operand, sample: &Value) -> Result<(), String> {
    use ErrorKind::{MissingArgument, TooManyArguments, UnknownFilter, UnknownFunction, UnknownMethod, UnknownTest};
    let Err(error) = expression.eval(sample) else { return Ok(()) };
    match error.kind() {
        UnknownFilter => Err(format!("{}; there are: {}", said(&error), names(&FILTERS))),
        UnknownTest => Err(format!("{}; there are: {}", said(&error), names(&TESTS))),
        UnknownMethod | UnknownFunction => {
            Err(format!("{}; there are only filters: {}", said(&error), names(&FILTERS)))
        }
        MissingArgument | TooManyArguments => Err(said(&error)),
        _ => Ok(()),
    }
}

fn names(added: &[Added]) -> String {
    added.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn said(error: &minijinja::Error) -> String {
    error.detail().map_or_else(|| error.to_string(), str::to_owned)
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({:?})", self.text)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::chat::ChatRequest;

    /// Thursday, 2026-01-01 13:00 UTC.
    const AT_MS: u64 = 1_767_272_400_000;

    fn holds(condition: &str) -> bool {
        holds_with(condition, "team=search")
    }

    fn holds_with(condition: &str, metadata: &str) -> bool {
        let body = r#"{"model":"auto","max_tokens":100,"tools":[{}],"messages":[{"role":"user","content":"x"}]}"#;
        holds_of(condition, metadata, body)
    }

    fn holds_of(condition: &str, metadata: &str, body: &'static str) -> bool {
        let request = ChatRequest::parse(&bytes::Bytes::from_static(body.as_bytes())).unwrap();
        let metadata = metadata.parse().unwrap();
        Condition::parse(condition).unwrap().holds(&Circumstances::new(&request, 9000, &metadata, AT_MS))
    }

    #[test]
    fn conditions_see_what_is_known_of_a_request() {
        assert!(holds("tokens > 8000 and tools and not images"));
        assert!(holds("metadata.team == 'search' and metadata.env != 'prod'"));
        assert!(holds("metadata.team in ['search', 'ads'] and messages == 1 and max_output_tokens <= 100"));
        assert!(holds("hour >= 9 and hour < 17 and weekday <= 5"));
        assert!(!holds("stream or json or audio or json_schema"));
        assert!(!holds("tokens > 'many'"));
        assert!(holds("true") && !holds("false"));
    }

    #[test]
    fn metadata_that_reads_as_a_number_is_one_beside_a_number_and_a_text_beside_a_text() {
        for (n, is_more) in [("7", true), ("5.5", true), ("3", false), ("-1", false), ("abc", false), ("nan", false)] {
            assert_eq!(holds_with("metadata.n > 5", &format!("n={n}")), is_more, "{n}");
            assert_eq!(holds_with("5 < metadata.n", &format!("n={n}")), is_more, "{n}");
        }
        assert!(holds_with("metadata.n == 7 and metadata.n == '7' and metadata.n != '7.0'", "n=7"));
        assert!(holds_with("metadata.n in [6, 7] and metadata.n in ['7'] and metadata.n not in ['6']", "n=7"));
        assert!(holds_with("metadata.day >= '2026-01-01'", "day=2026-02-01"));
        assert!(!holds_with("not metadata.n > 5", "n=abc"), "what cannot be told does not hold");
        assert!(!holds_with("metadata.n > tools", "n=7"));
    }

    #[test]
    fn what_is_missing_is_neither_above_nor_below() {
        assert!(!holds("metadata.n < 5 or metadata.n >= 5") && holds("not metadata.n < 5 and metadata.n != 5"));
        let without = |condition| {
            holds_of(condition, "team=search", r#"{"model":"auto","messages":[{"role":"user","content":"x"}]}"#)
        };
        assert!(!without("max_output_tokens < 100") && without("max_output_tokens is undefined"));
        assert!(!holds("metadata.tier in 'gold silver' or metadata.tier in ['gold'] or metadata.tier in metadata"));
        assert!(holds("metadata.tier not in 'gold silver' and metadata.team in 'research, search'"));
    }

    #[test]
    fn parts_are_joined_and_compared_as_in_jinja() {
        assert!(holds("9 <= hour < 17 and not (stream or (tokens + 1) // 2 < 4000)"));
        assert!(holds("false and false or true") && !holds("false and (false or true)"));
        assert!(holds("not not tools and not tools == images"));
        assert!(holds("metadata['team'] == 'search' and \"a 'or' b\" == 'a \\'or\\' b'"));
        assert!(holds("'arc' in metadata.team and 'team' in metadata and 'env' not in metadata"));
        assert!(holds("(metadata.tier or 'tin') == 'tin' and -1 < 2 - 1"));
    }

    #[test]
    fn filters_and_tests_look_at_values() {
        assert!(holds_with("metadata.team|lower == 'search' and metadata.team|length == 6", "team=SEARCH"));
        assert!(holds_with("metadata.n|int + 1 == 8 and metadata.n|float / 2 > 3 and metadata.n is string", "n=7"));
        assert!(holds("metadata.team is defined and metadata.tier is not defined"));
        assert!(holds("metadata.team is startingwith('sea') and metadata.tier|default('tin') == 'tin'"));
        assert!(!holds("metadata.team|int > 5"));
    }

    #[test]
    fn a_condition_that_means_nothing_is_refused() {
        let problem = |condition: &str| Condition::parse(condition).unwrap_err();
        assert!(problem("token > 8000").contains("`token`, which no request has; there are: metadata, tokens"));
        assert!(!problem("tokens >").is_empty());
        assert!(!problem("").is_empty());
        for brackets in ["(tokens", "tokens)", "(tokens]", "()", "'tokens"] {
            assert!(!problem(brackets).is_empty(), "{brackets}");
        }
        assert_eq!(problem(&"(".repeat(9_999)), "more than 32 brackets stand within each other; make two rules of it");
    }

    #[test]
    fn what_no_request_can_do_is_refused_also_where_it_is_seldom_looked_at() {
        let problem = |condition: &str| Condition::parse(condition).unwrap_err();
        assert!(problem("tools and metadata.n|size > 5").contains("filter size is unknown; there are: abs, default"));
        assert!(problem("metadata.n is even").contains("test even is unknown; there are: defined"));
        assert!(problem("metadata.team.lower() == 'a'").contains("no method named lower"));
        assert!(problem("range(9)").contains("`range`, which no request has"));
        assert!(problem("metadata.team is startingwith").contains("missing argument"));
        assert!(problem("(tokens > 5) == tools").contains("`>` stands within the value `(tokens > 5)`"));
        assert!(problem("tools if images else json").contains("`if` stands within"));
    }
}
