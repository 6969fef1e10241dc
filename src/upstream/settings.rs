//! How a provider is reached, validated. Made by `config`.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::Deadlines;
use super::vertex::ServiceAccount;
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
    /// Its access tokens stand where a key would: `authorization: Bearer …`.
    pub service_account: Option<Arc<ServiceAccount>>,
    /// Sent with each request; the values are marked sensitive. Never `authorization`, `host` or a header of the
    /// connection.
    pub headers: HeaderMap,
    /// For Bedrock, in place of an `api_key`: what requests are signed with.
    pub aws: Option<AwsKeys>,
    pub quirks: Quirks,
    /// Azure's `api-version`.
    pub api_version: Option<String>,
    /// It may keep what it is asked, or learn from it; false only where the configuration says that it does not.
    pub collects_data: bool,
}

/// An account of Amazon Web Services.
#[derive(Debug, Clone)]
pub struct AwsKeys {
    /// Such as `us-east-1`.
    pub region: String,
    pub access_key_id: SecretString,
    pub secret_access_key: SecretString,
    /// Of temporary credentials.
    pub session_token: Option<SecretString>,
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
    Anthropic,
    Azure,
    Bedrock,
    Cohere,
    Gemini,
    Mistral,
    OpenAi,
    /// Responses, in place of chat completions.
    OpenAiResponses,
    Vertex,
}

impl Wire {
    /// Every `kind`, by the name that the configuration has for it.
    pub const KINDS: [(&'static str, Self); 9] = [
        ("anthropic", Self::Anthropic),
        ("azure", Self::Azure),
        ("bedrock", Self::Bedrock),
        ("cohere", Self::Cohere),
        ("gemini", Self::Gemini),
        ("mistral", Self::Mistral),
        ("openai", Self::OpenAi),
        ("openai-responses", Self::OpenAiResponses),
        ("vertex", Self::Vertex),
    ];

    /// As the configuration calls it.
    pub fn kind(self) -> &'static str {
        Self::KINDS.iter().find(|(_, wire)| *wire == self).map_or("", |(kind, _)| kind)
    }

    /// Whether it can be asked for embeddings.
    pub fn embeds(self) -> bool {
        self != Self::Anthropic
    }

    /// The `base_url` where none is given: of a wire that one vendor alone speaks.
    pub fn home(self) -> Option<&'static str> {
        match self {
            // The clouds have a home in each place, and many speak OpenAI's wires.
            Self::OpenAi | Self::OpenAiResponses | Self::Azure | Self::Bedrock | Self::Vertex => None,
            Self::Anthropic => Some("https://api.anthropic.com"),
            Self::Gemini => Some("https://generativelanguage.googleapis.com/v1beta"),
            Self::Cohere => Some("https://api.cohere.com/v2"),
            Self::Mistral => Some("https://api.mistral.ai/v1"),
        }
    }
}

impl PartialEq for ProviderSettings {
    fn eq(&self, other: &Self) -> bool {
        // By name, so that a new field is not forgotten.
        let Self {
            name,
            wire,
            base_url,
            api_keys,
            deadlines,
            service_account,
            headers,
            aws,
            quirks,
            api_version,
            collects_data,
        } = self;
        (name, wire, base_url) == (&other.name, &other.wire, &other.base_url)
            && api_keys
                .iter()
                .map(SecretString::expose_secret)
                .eq(other.api_keys.iter().map(SecretString::expose_secret))
            && (deadlines, service_account, headers) == (&other.deadlines, &other.service_account, &other.headers)
            && (aws, quirks) == (&other.aws, &other.quirks)
            && (api_version, collects_data) == (&other.api_version, &other.collects_data)
    }
}

impl PartialEq for AwsKeys {
    fn eq(&self, other: &Self) -> bool {
        let Self { region, access_key_id, secret_access_key, session_token } = self;
        let token = |token: &Option<SecretString>| token.as_ref().map(|token| token.expose_secret().to_owned());
        *region == other.region
            && access_key_id.expose_secret() == other.access_key_id.expose_secret()
            && secret_access_key.expose_secret() == other.secret_access_key.expose_secret()
            && token(session_token) == token(&other.session_token)
    }
}

impl ProviderSettings {
    /// Whether it is told who asks: by a key, an account, or a signature.
    pub fn has_credentials(&self) -> bool {
        !self.api_keys.is_empty() || self.service_account.is_some() || self.aws.is_some()
    }

    /// Whether any of its servers is reached over TLS.
    pub fn needs_tls(&self) -> bool {
        let account = self.service_account.as_ref().map(|account| &account.token_uri);
        account.into_iter().chain([&self.base_url]).any(|url| url.scheme() == "https")
    }
}
