//! `x-satisfice-metadata`: what a client says of a request besides, as `team=search, env=prod`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Pairs that one request may have, and the longest key and value, in bytes; as OpenAI bounds its own `metadata`.
pub const MAX_PAIRS: usize = 16;
pub const LONGEST_KEY: usize = 64;
pub const LONGEST_VALUE: usize = 512;

/// Pairs of a key and a value; no key is there twice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metadata(BTreeMap<String, String>);

impl Metadata {
    /// Checks the pairs.
    ///
    /// # Errors
    /// What is wrong with them, and the remedy.
    pub fn new<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Self, String> {
        let mut checked = BTreeMap::new();
        for (key, value) in pairs {
            let (key, value) = (key.into(), value.into());
            check_key(&key)?;
            check_value(&key, &value)?;
            if checked.contains_key(&key) {
                return Err(format!("has the key \"{key}\" twice; give it once"));
            }
            if checked.len() == MAX_PAIRS {
                return Err(format!("has more than {MAX_PAIRS} pairs; leave some out"));
            }
            checked.insert(key, value);
        }
        Ok(Self(checked))
    }

    /// All pairs of `other` are here too.
    pub fn contains(&self, other: &Self) -> bool {
        other.0.iter().all(|(key, value)| self.0.get(key) == Some(value))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }
}

impl FromStr for Metadata {
    type Err = String;

    /// White space around keys and values is not part of them.
    fn from_str(text: &str) -> Result<Self, String> {
        let pair = |pair: &str| match pair.split_once('=') {
            Some((key, value)) => Ok((key.trim().to_owned(), value.trim().to_owned())),
            None => {
                Err(format!("has {}, which is no pair; give key=value, with commas between pairs", shown(pair.trim())))
            }
        };
        Self::new(text.split(',').map(pair).collect::<Result<Vec<_>, _>>()?)
    }
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.iter().map(|(key, value)| format!("{key}={value}")).collect();
        f.write_str(&pairs.join(", "))
    }
}

fn check_key(key: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:".contains(c);
    if key.is_empty() || key.len() > LONGEST_KEY || !key.chars().all(plain) {
        let remedy = format!("give 1 to {LONGEST_KEY} ASCII letters, digits or any of _-./:");
        return Err(format!("has the key {}; {remedy}", shown(key)));
    }
    Ok(())
}

fn check_value(key: &str, value: &str) -> Result<(), String> {
    let visible = |c: char| (c.is_ascii_graphic() || c == ' ') && c != ',';
    let right = !value.is_empty() && value.len() <= LONGEST_VALUE && value.trim() == value;
    if !right || !value.chars().all(visible) {
        let remedy = format!("give 1 to {LONGEST_VALUE} visible ASCII characters but commas");
        return Err(format!("has {} for \"{key}\"; {remedy}", shown(value)));
    }
    Ok(())
}

/// As a message shows it: its beginning, escaped.
fn shown(text: &str) -> String {
    match text.char_indices().nth(LONGEST_KEY) {
        Some((cut, _)) => format!("{:?} (cut)", &text[..cut]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Metadata {
        text.parse().unwrap()
    }

    #[test]
    fn pairs_are_read_whatever_white_space_there_is_and_written_back() {
        let metadata = parsed(" team = search,url=a=b ,env=two words");
        assert_eq!(metadata.iter().collect::<Vec<_>>(), [("env", "two words"), ("team", "search"), ("url", "a=b")]);
        assert_eq!(parsed(&metadata.to_string()), metadata);
    }

    #[test]
    fn it_contains_what_has_no_other_pairs() {
        let metadata = parsed("team=search, env=prod");
        assert!(metadata.contains(&parsed("env=prod")) && metadata.contains(&Metadata::default()));
        assert!(!metadata.contains(&parsed("env=test")) && !parsed("env=prod").contains(&metadata));
    }

    #[test]
    fn what_is_wrong_is_named_with_the_remedy() {
        let wrong = |text: &str| text.parse::<Metadata>().unwrap_err();
        assert!(wrong("team").starts_with("has \"team\", which is no pair; give key=value"));
        assert!(wrong("").contains("no pair") && wrong("a=b,,c=d").contains("no pair"));
        assert!(wrong("=x").contains("1 to 64") && wrong("té=x").contains("ASCII letters"));
        assert!(wrong("team=").contains("\"\" for \"team\"; give 1 to 512"));
        assert_eq!(wrong("a=1,a=2"), "has the key \"a\" twice; give it once");
        let many: Vec<String> = (0..=MAX_PAIRS).map(|i| format!("k{i}=v")).collect();
        assert_eq!(wrong(&many.join(",")), "has more than 16 pairs; leave some out");
        assert!(Metadata::new([("team", "a,b")]).is_err() && Metadata::new([("team", " a")]).is_err());
    }

    #[test]
    fn bounds_are_the_last_that_are_taken_and_messages_stay_short() {
        let pair = |key: usize, value: usize| format!("{}={}", "k".repeat(key), "v".repeat(value)).parse::<Metadata>();
        assert!(pair(LONGEST_KEY, LONGEST_VALUE).is_ok());
        for wrong in [pair(LONGEST_KEY + 1, 1), pair(1, LONGEST_VALUE + 1)] {
            let text = wrong.unwrap_err();
            assert!(text.contains("(cut)") && text.len() < 200, "{text}");
        }
    }
}
