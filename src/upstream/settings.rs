//! How a provider is reached, validated. Made by `config`.

use std::time::Duration;

use http::HeaderMap;
use reqwest::Url;
use secrecy::SecretString;

use super::Deadlines;
use crate::catalog::quirks::Quirks;

/// One configured provider.
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    /// As models and reports name it; unique.
    pub name: String,
    pub wire: Wire,
    /// `http` or `https`, with a host, without credentials, query or fragment. Paths are put behind its own.
    pub base_url: Url,
    /// Used in turn when a limit is used up; none for local servers that ask for none. Fit for a header: visible ASCII.
    pub api_keys: Vec<SecretString>,
    pub deadlines: OwnDeadlines,
    /// Sent with each request; the values are marked sensitive. Never `authorization`, `host` or a header of the
    /// connection.
    pub headers: HeaderMap,
    pub quirks: Quirks,
    /// Azure's `api-version`.
    pub api_version: Option<String>,
    /// It may keep what it is asked, or learn from it; false only where the configuration says that it does not.
    pub collects_data: bool,
}

/// A provider's own deadlines, which come before its route's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnDeadlines {
    pub first_byte: Option<Duration>,
    pub idle: Option<Duration>,
}

impl OwnDeadlines {
    /// These where they are set, `other` where they are not.
    pub fn over(self, other: Deadlines) -> Deadlines {
        let (first_byte, idle) = (self.first_byte.unwrap_or(other.first_byte), self.idle.unwrap_or(other.idle));
        Deadlines { first_byte, idle, ..other }
    }
}

/// The wire that a provider speaks: `kind` in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    OpenAi,
    Azure,
    Mistral,
}

impl Wire {
    /// Every `kind`, by the name that the configuration has for it.
    pub const KINDS: [(&'static str, Self); 3] =
        [("openai", Self::OpenAi), ("azure", Self::Azure), ("mistral", Self::Mistral)];

    /// As the configuration calls it.
    pub fn kind(self) -> &'static str {
        Self::KINDS.iter().find(|(_, wire)| *wire == self).map_or("", |(kind, _)| kind)
    }
}
