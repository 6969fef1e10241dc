//! How a provider is reached, validated. Made by `config`.

use http::HeaderMap;
use reqwest::Url;
use secrecy::SecretString;

/// One configured provider.
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    /// As models and reports name it; unique.
    pub name: String,
    pub wire: Wire,
    /// `http` or `https`, with a host, without credentials, query or fragment. Paths are put behind its own.
    pub base_url: Url,
    /// `None` for local servers that ask for none. Fit for a header: visible ASCII.
    pub api_key: Option<SecretString>,
    /// Sent with each request; the values are marked sensitive. Never `authorization`, `host` or a header of the
    /// connection.
    pub headers: HeaderMap,
    /// For Bedrock, in place of an `api_key`: what requests are signed with.
    pub aws: Option<AwsKeys>,
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

/// The wire that a provider speaks: `kind` in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Anthropic,
    Bedrock,
    OpenAi,
}

impl Wire {
    /// Every `kind`, by the name that the configuration has for it.
    pub const KINDS: [(&'static str, Self); 3] =
        [("anthropic", Self::Anthropic), ("bedrock", Self::Bedrock), ("openai", Self::OpenAi)];
}
