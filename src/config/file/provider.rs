//! `[[providers]]`.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{name, seconds};
use crate::catalog::quirks::Quirks;
use crate::config::environment::{Environment, secret};
use crate::config::section::{Located, Section};
use crate::config::{aws, vertex};
use crate::upstream::settings::{AwsKeys, OwnDeadlines, Wire};
use crate::upstream::vertex::ServiceAccount;

/// Whether a provider may keep what it is asked, and learn from it.
const DATA_COLLECTION: [(&str, bool); 2] = [("allow", true), ("deny", false)];
/// Headers that the gateway sets itself, or that belong to the connection.
const OWN_HEADERS: [&str; 12] = [
    "authorization",
    "host",
    "content-length",
    "content-type",
    "accept",
    "accept-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

#[derive(Debug)]
pub(in crate::config) struct Provider {
    pub(in crate::config) line: usize,
    pub(in crate::config) name: Option<Located<String>>,
    pub(in crate::config) wire: Option<Wire>,
    /// The file gives a kind, be it valid or not; likewise the next ones.
    pub(in crate::config) has_kind: bool,
    pub(in crate::config) base_url: Option<Located<Url>>,
    pub(in crate::config) has_base_url: bool,
    pub(in crate::config) api_keys: Vec<SecretString>,
    pub(in crate::config) deadlines: OwnDeadlines,
    pub(in crate::config) service_account: Option<Arc<ServiceAccount>>,
    /// A key of some kind.
    pub(in crate::config) has_api_key: bool,
    pub(in crate::config) aws: Option<AwsKeys>,
    pub(in crate::config) headers: HeaderMap,
    pub(in crate::config) quirks: Quirks,
    pub(in crate::config) api_version: Option<Located<String>>,
    /// `data_collection` is not `deny`.
    pub(in crate::config) collects_data: bool,
}

impl Provider {
    pub(super) fn read(section: &mut Section<'_, '_>, environment: &Environment) -> Self {
        let name = name(section, "a name such as \"openai\"");
        let keys = keys(section);
        let wire = section.one_of("kind", &Wire::KINDS);
        let account = aws::Account::read(section, &name, environment);
        let vertex = vertex::read(section, wire, environment);
        let home = vertex.home.as_deref().map(|home| Located { value: home.to_owned(), line: section.line });
        let base_url = base_url(section, account.base_url(wire).or(home)).map(|url| vertex.below(url));
        let aws = account.keys(section, wire, base_url.as_ref());
        Self {
            line: section.line,
            wire,
            has_kind: section.had("kind"),
            aws,
            has_base_url: section.had("base_url") || base_url.is_some(),
            base_url,
            has_api_key: !keys.is_empty() || vertex.has_credentials,
            service_account: vertex.service_account,
            api_keys: keys
                .iter()
                .filter_map(|key| secret(key, &what("api_key", &name), environment, section.findings))
                .collect(),
            deadlines: OwnDeadlines { first_byte: seconds(section, "first_byte_s"), idle: seconds(section, "idle_s") },
            headers: headers(section, &name, environment),
            quirks: quirks(section),
            api_version: section.string("api_version", "a version such as \"2024-10-21\""),
            collects_data: section.one_of("data_collection", &DATA_COLLECTION).unwrap_or(true),
            name,
        }
    }
}

/// `api_key`, or `api_keys` where there are several.
fn keys(section: &mut Section<'_, '_>) -> Vec<Located<String>> {
    let one = section.string("api_key", "a string such as \"env:OPENAI_API_KEY\"");
    let several = section.strings("api_keys", "a list such as [\"env:OPENAI_KEY_1\", \"env:OPENAI_KEY_2\"]");
    if let (Some(one), Some(_)) = (&one, &several) {
        section.findings.mistake(one.line, "both `api_key` and `api_keys` are given; keep one of them");
    }
    one.into_iter().chain(several.map_or(vec![], |several| several.value)).collect()
}

/// `api_key of provider "openai"`.
pub(in crate::config) fn what(key: &str, name: &Option<Located<String>>) -> String {
    let name = name.as_ref().map_or(String::new(), |name| format!(" \"{}\"", name.value));
    format!("`{key}` of provider{name}")
}

/// How a provider differs from OpenAI's wire, as far as the file says so.
fn quirks(section: &mut Section<'_, '_>) -> Quirks {
    let names = "a list of request fields, such as [\"logprobs\"]";
    let renamed = "a table of strings, such as { max_completion_tokens = \"max_tokens\" }";
    let list = |typed: Option<Located<Vec<Located<String>>>>| {
        typed.map(|names| names.value.into_iter().map(|name| name.value).collect())
    };
    let renames = section.string_table("rename", renamed).map_or(vec![], |table| table.value);
    let renamed_fields = renames.into_iter().map(|(ours, its)| (ours, its.value)).collect();
    Quirks {
        chat_path: below_base(section, "chat_path", "a path below base_url, such as \"chat/completions\""),
        embeddings_path: below_base(section, "embeddings_path", "a path below base_url, such as \"embeddings\""),
        key_header: key_header(section),
        rename: renamed_fields,
        unsupported: list(section.strings("unsupported", names)),
        foreign: list(section.strings("foreign", "a list of fields of messages, such as [\"cache_control\"]")),
        functions_only: section.boolean("functions_only"),
        stream_usage: section.boolean("stream_usage"),
        developer_role: section.string("developer_role", "a role such as \"system\"").map(|role| role.value),
        ..Quirks::default()
    }
}

/// A relative path: it must not lead to another server.
fn below_base(section: &mut Section<'_, '_>, key: &'static str, expected: &str) -> Option<String> {
    let path = section.string(key, expected)?;
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '#' | ':' | '\\');
    if path.value.is_empty() || path.value.starts_with('/') || path.value.contains(odd) || path.value.contains("..") {
        section.findings.mistake(path.line, format!("`{key}` {:?} is no such path; give {expected}", path.value));
        return None;
    }
    Some(path.value)
}

fn key_header(section: &mut Section<'_, '_>) -> Option<String> {
    let expected = "the header that the key stands in, such as \"api-key\", or \"authorization\" for a bearer token";
    let name = section.string("key_header", expected)?;
    let fit = HeaderName::from_bytes(name.value.as_bytes()).ok();
    let fit = fit.filter(|name| name == http::header::AUTHORIZATION || !OWN_HEADERS.contains(&name.as_str()));
    if fit.is_none() {
        section.findings.mistake(name.line, format!("`key_header` {:?} will not do; give {expected}", name.value));
    }
    fit.map(|name| name.to_string())
}

/// `known`: where it is if the file does not say.
fn base_url(section: &mut Section<'_, '_>, known: Option<Located<String>>) -> Option<Located<Url>> {
    let example = "such as \"https://api.openai.com/v1\"";
    let typed = section.string("base_url", &format!("a URL {example}"));
    let typed = typed.or_else(|| known.filter(|_| !section.had("base_url")))?;
    let url = Url::parse(&typed.value).map_err(|e| format!("is no URL ({e}); give one {example}"));
    match url.and_then(fit) {
        Ok(value) => Some(Located { value, line: typed.line }),
        Err(problem) => {
            section.findings.mistake(typed.line, format!("`base_url` {problem}"));
            None
        }
    }
}

fn fit(url: Url) -> Result<Url, String> {
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("must begin with https:// (or http://) and name a host".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds credentials; put the key into `api_key` as \"env:NAME\"".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a query (?…) or a fragment (#…); give scheme, host and path only".into());
    }
    let endpoints = ["/chat/completions", "/v1/messages", "/v1/responses", "/v1/embeddings"];
    if let Some(endpoint) = endpoints.into_iter().find(|endpoint| url.path().trim_end_matches('/').ends_with(endpoint))
    {
        return Err(format!("ends in {endpoint}, which is added to it; leave that out"));
    }
    Ok(url)
}

fn headers(section: &mut Section<'_, '_>, provider: &Option<Located<String>>, environment: &Environment) -> HeaderMap {
    let typed = section.string_table("headers", "a table of strings, such as { \"x-team\" = \"search\" }");
    let mut headers = HeaderMap::new();
    for (name, value) in typed.map_or(vec![], |typed| typed.value) {
        if let Some((name, value)) = header(section, provider, &name, &value, environment) {
            headers.insert(name, value);
        }
    }
    headers
}

fn header(
    section: &mut Section<'_, '_>,
    provider: &Option<Located<String>>,
    typed: &str,
    value: &Located<String>,
    environment: &Environment,
) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(typed.as_bytes()).ok();
    let Some(name) = name.filter(|name| !OWN_HEADERS.contains(&name.as_str())) else {
        let text = format!("`headers`: {typed:?} is no header name, or one that satisfice sets itself; leave it out");
        section.findings.mistake(value.line, text);
        return None;
    };
    let text = match value.value.starts_with("env:") {
        true => secret(value, &what(typed, provider), environment, section.findings)?.expose_secret().to_owned(),
        false => value.value.clone(),
    };
    match HeaderValue::from_str(&text) {
        Ok(mut value) => {
            value.set_sensitive(true);
            Some((name, value))
        }
        Err(_) => {
            let text = format!("`headers`: the value of {typed:?} cannot stand in a header; use visible ASCII");
            section.findings.mistake(value.line, text);
            None
        }
    }
}
