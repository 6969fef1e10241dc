//! The process's environment as a value; where a secret stands, `env:NAME` reads it.

use std::collections::BTreeMap;
use std::fmt;

use http::HeaderValue;
use secrecy::SecretString;

use super::findings::Findings;
use super::section::Located;

/// Environment variables by name. `Debug` shows names only: any value may be a secret.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The process's own; variables that are not UTF-8 are left out.
    pub fn of_process() -> Self {
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()
    }

    /// The value of a variable; empty counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What is wrong with an `env:` that is not set and that [`is_name`] does not hold for; a message that quoted it might
/// give a secret away.
pub(super) const NO_NAME: &str = "has something after `env:` that is not set and does not look like a variable's name \
    (A-Z, 0-9 and _), which is not shown in case it is the secret itself; put that into a variable, and the variable's \
    name here";

/// The secret that `typed` stands for: `env:NAME`, or itself (with a warning). `what` names it in messages.
pub(super) fn secret(
    typed: &Located<String>,
    what: &str,
    environment: &Environment,
    findings: &mut Findings,
) -> Option<SecretString> {
    let value = match typed.value.strip_prefix("env:") {
        Some(name) => variable(name, typed.line, what, environment, findings)?,
        None => {
            findings.warning(typed.line, format!("{what} is written out; `env:NAME` keeps a secret out of the file"));
            &typed.value
        }
    };
    if value.is_empty() || HeaderValue::from_str(value).is_err() || value.trim() != value {
        let problem = "is empty, or holds spaces or characters that no HTTP header can carry; check for a line break";
        findings.mistake(typed.line, format!("{what} {problem}"));
        return None;
    }
    Some(SecretString::from(value))
}

fn variable<'e>(
    name: &str,
    line: usize,
    what: &str,
    environment: &'e Environment,
    findings: &mut Findings,
) -> Option<&'e str> {
    let value = environment.get(name);
    if value.is_none() && is_name(name) {
        let remedy = "export it before satisfice starts";
        findings.mistake(line, format!("{what}: the environment variable \"{name}\" is not set; {remedy}"));
    } else if value.is_none() {
        findings.mistake(line, format!("{what} {NO_NAME}"));
    }
    value
}

/// Whether it looks like the name of a variable, and so like no secret.
pub(super) fn is_name(text: &str) -> bool {
    let of_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    text.bytes().all(of_name) && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}
