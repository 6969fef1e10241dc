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
    if value.is_none() {
        let remedy = "export it before satisfice starts";
        findings.mistake(line, format!("{what}: the environment variable \"{name}\" is not set; {remedy}"));
    }
    value
}
