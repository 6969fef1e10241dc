//! Conditional routes: which models a request may go to, by what is known of it before it is decided.

use std::fmt;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::{Environment, Expression};
use serde::Serialize;

use crate::api::chat::ChatRequest;
use crate::api::metadata::Metadata;
use crate::catalog::Name;

/// A rule of a route: the first whose condition holds applies.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub when: Condition,
    pub then: Then,
}

/// What a rule says of the route's models.
#[derive(Debug, Clone, PartialEq)]
pub enum Then {
    /// The policy chooses among these.
    Models(Vec<Name>),
    /// Chance chooses by these weights, and nothing else: for canaries. The decision counts as pinned.
    Weights(Vec<(Name, f64)>),
}

/// An expression over what is known of a request, such as `tokens > 8000 and not tools`, in the syntax of minijinja
/// (that of Jinja2).
#[derive(Clone)]
pub struct Condition {
    text: String,
    expression: Arc<Expression<'static, 'static>>,
}

/// What a condition may name.
#[derive(Debug, Serialize)]
pub(super) struct Circumstances<'a> {
    metadata: &'a Metadata,
    /// Of the prompt, estimated.
    tokens: u32,
    /// Asked for; 0 where it is not said.
    max_output_tokens: u32,
    messages: usize,
    tools: bool,
    images: bool,
    audio: bool,
    json: bool,
    json_schema: bool,
    stream: bool,
    /// UTC, 0 to 23.
    hour: i8,
    /// UTC, 1 (Monday) to 7.
    weekday: i8,
}

const NAMES: [&str; 12] = [
    "metadata",
    "tokens",
    "max_output_tokens",
    "messages",
    "tools",
    "images",
    "audio",
    "json",
    "json_schema",
    "stream",
    "hour",
    "weekday",
];

static SYNTAX: LazyLock<Environment<'static>> = LazyLock::new(Environment::empty);

impl Condition {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it: its syntax, or a name that no request has.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expression = SYNTAX.compile_expression_owned(text.to_owned());
        let expression = expression.map_err(|error| error.detail().map_or_else(|| error.to_string(), str::to_owned))?;
        let mut unknown: Vec<_> = expression.undeclared_variables(false).into_iter().collect();
        unknown.retain(|name| !NAMES.contains(&name.as_str()));
        unknown.sort();
        match unknown.first() {
            Some(name) => Err(format!("it names `{name}`, which no request has; there are: {}", NAMES.join(", "))),
            None => Ok(Self { text: text.to_owned(), expression: Arc::new(expression) }),
        }
    }

    /// A condition that cannot be told, such as one that compares a number with a text, does not hold.
    pub(super) fn holds(&self, circumstances: &Circumstances<'_>) -> bool {
        let value = self.expression.eval(circumstances);
        value
            .inspect_err(|error| tracing::warn!(when = self.text, %error, "a rule cannot be told"))
            .is_ok_and(|v| v.is_true())
    }
}

impl<'a> Circumstances<'a> {
    /// Of `request`, which has about `tokens` and came at `at_ms` (Unix milliseconds).
    pub(super) fn new(request: &ChatRequest, tokens: u32, metadata: &'a Metadata, at_ms: u64) -> Self {
        let at = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
        let at = at.to_zoned(TimeZone::UTC);
        let needs = request.needs;
        Self {
            metadata,
            tokens,
            max_output_tokens: request.max_output_tokens.unwrap_or(0),
            messages: request.messages.len(),
            tools: needs.tools,
            images: needs.vision,
            audio: needs.audio,
            json: needs.json,
            json_schema: needs.json_schema,
            stream: request.stream,
            hour: at.hour(),
            weekday: at.weekday().to_monday_one_offset(),
        }
    }
}

impl Then {
    /// Whether the policy or chance may choose `model`.
    pub(super) fn admits(&self, model: &str) -> bool {
        match self {
            Self::Models(models) => models.iter().any(|name| name == model),
            Self::Weights(weights) => weights.iter().any(|(name, weight)| name == model && *weight > 0.0),
        }
    }
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

    /// Thursday, 2026-01-01 13:00 UTC.
    const AT_MS: u64 = 1_767_272_400_000;

    fn holds(condition: &str) -> bool {
        let body = r#"{"model":"auto","max_tokens":100,"tools":[{}],"messages":[{"role":"user","content":"x"}]}"#;
        let request = ChatRequest::parse(&bytes::Bytes::from_static(body.as_bytes())).unwrap();
        let metadata = "team=search".parse().unwrap();
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
    fn a_condition_that_means_nothing_is_refused() {
        let problem = |condition| Condition::parse(condition).unwrap_err();
        assert!(problem("token > 8000").contains("`token`, which no request has; there are: metadata, tokens"));
        assert!(!problem("tokens >").is_empty());
        assert!(!problem("").is_empty());
    }
}
