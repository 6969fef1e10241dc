//! An account of Amazon Web Services in a `[[providers]]` of kind `bedrock`.

use secrecy::SecretString;
use url::Url;

use super::environment::{Environment, secret};
use super::file::what;
use super::section::{Located, Section};
use crate::upstream::settings::{AwsKeys, Wire};

/// The keys of `[[providers]]` that are Bedrock's own.
const KEYS: [&str; 4] = ["region", "aws_access_key_id", "aws_secret_access_key", "aws_session_token"];

/// What a file says of an account. `None`: not there, or wrong (and noted).
pub(super) struct Account {
    region: Option<Located<String>>,
    access_key_id: Option<SecretString>,
    secret_access_key: Option<SecretString>,
    session_token: Option<SecretString>,
}

impl Account {
    pub(super) fn read(
        section: &mut Section<'_, '_>,
        name: &Option<Located<String>>,
        environment: &Environment,
    ) -> Self {
        let mut key = |key: &'static str, example: &str| {
            let typed = section.string(key, &format!("a string such as \"env:{example}\""))?;
            secret(&typed, &what(key, name), environment, section.findings)
        };
        let access_key_id = key("aws_access_key_id", "AWS_ACCESS_KEY_ID");
        let secret_access_key = key("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY");
        let session_token = key("aws_session_token", "AWS_SESSION_TOKEN");
        Self { region: region(section), access_key_id, secret_access_key, session_token }
    }

    /// Where Bedrock is in this account's region.
    pub(super) fn base_url(&self, wire: Option<Wire>) -> Option<Located<String>> {
        let region = self.region.as_ref().filter(|_| wire == Some(Wire::Bedrock))?;
        let domain = if region.value.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        Some(Located { value: format!("https://bedrock-runtime.{}.{domain}", region.value), line: region.line })
    }

    /// What requests are signed with: `None` where there is an `api_key`, or a mistake, which is noted.
    pub(super) fn keys(
        self,
        section: &mut Section<'_, '_>,
        wire: Option<Wire>,
        base_url: Option<&Located<Url>>,
    ) -> Option<AwsKeys> {
        let signs = KEYS[1..].iter().any(|key| section.had(key));
        match wire? {
            Wire::Bedrock if signs && section.had("api_key") => both(section),
            Wire::Bedrock if signs => self.complete(section, base_url),
            Wire::Bedrock if section.had("api_key") => None,
            Wire::Bedrock => neither(section),
            _ => foreign(section),
        }
    }

    fn complete(self, section: &mut Section<'_, '_>, base_url: Option<&Located<Url>>) -> Option<AwsKeys> {
        for key in ["aws_access_key_id", "aws_secret_access_key"] {
            if !section.had(key) {
                section.missing(key, "both keys of the account, such as \"env:AWS_ACCESS_KEY_ID\"");
            }
        }
        let region = self.region.map(|region| region.value).or_else(|| region_of(base_url?.value.host_str()?));
        if region.is_none() && !section.had("region") && base_url.is_some() {
            section.missing("region", "the region that requests are signed for, such as \"us-east-1\"");
        }
        Some(AwsKeys {
            region: region?,
            access_key_id: self.access_key_id?,
            secret_access_key: self.secret_access_key?,
            session_token: self.session_token,
        })
    }
}

/// Of `bedrock-runtime.us-east-1.amazonaws.com` and its like.
fn region_of(host: &str) -> Option<String> {
    let mut labels = host.split('.');
    let service = labels.next()?;
    service.starts_with("bedrock-runtime").then(|| labels.next().map(str::to_owned))?
}

/// It stands in a host name and in signatures.
fn region(section: &mut Section<'_, '_>) -> Option<Located<String>> {
    let typed = section.string("region", "a region such as \"us-east-1\"")?;
    if !is_region(&typed.value) {
        let text = format!("`region` {:?} is no region; give one such as \"us-east-1\"", typed.value);
        section.findings.mistake(typed.line, text);
        return None;
    }
    Some(typed)
}

/// Whether it could be one, such as `us-east-1`.
pub(super) fn is_region(text: &str) -> bool {
    let fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(fit)
}

fn both(section: &mut Section<'_, '_>) -> Option<AwsKeys> {
    let text = "both an `api_key` and the keys of an account (`aws_…`) are given; keep one of them";
    section.findings.mistake(section.line, text);
    None
}

fn neither(section: &mut Section<'_, '_>) -> Option<AwsKeys> {
    let keys = "an `api_key` (\"env:AWS_BEARER_TOKEN_BEDROCK\"), or `aws_access_key_id` and `aws_secret_access_key`";
    section.findings.mistake(section.line, format!("Bedrock answers nobody without a key; give {keys}"));
    None
}

/// Other providers have no account at Amazon.
fn foreign(section: &mut Section<'_, '_>) -> Option<AwsKeys> {
    for key in KEYS.into_iter().filter(|key| section.had(key)).collect::<Vec<_>>() {
        let text = format!("`{key}` belongs to providers of kind \"bedrock\"; leave it out");
        section.findings.mistake(section.line, text);
    }
    None
}
