//! The keys of a provider of kind "vertex": which project, which place, and who asks.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use url::Url;

use super::environment::{Environment, NO_NAME, is_name};
use super::section::{Located, Section};
use crate::upstream::settings::Wire;
use crate::upstream::vertex::{ServiceAccount, home};

/// Keys of no other kind.
const KEYS: [&str; 4] = ["project", "location", "credentials", "credentials_file"];
const DEFAULT_LOCATION: &str = "global";
/// Key files have about 2 KiB.
const LONGEST_KEY_FILE: u64 = 64 << 10;

/// What the file says for Vertex; nothing, where the provider is of another kind.
#[derive(Debug, Default)]
pub(super) struct Vertex {
    /// Where its place is served.
    pub(super) home: Option<String>,
    pub(super) service_account: Option<Arc<ServiceAccount>>,
    /// The file names an account, be it valid or not.
    pub(super) has_credentials: bool,
    /// `projects/…/locations/…`.
    path: Option<String>,
}

pub(super) fn read(section: &mut Section<'_, '_>, wire: Option<Wire>, environment: &Environment) -> Vertex {
    let project = identifier(section, "project", "the id of a Google Cloud project, such as \"my-project\"");
    let location = identifier(section, "location", "a place such as \"global\" or \"europe-west4\"");
    let account = service_account(section, environment);
    if wire != Some(Wire::Vertex) {
        only_for_vertex(section, wire);
        return Vertex::default();
    }
    let has_credentials = section.had("credentials") || section.had("credentials_file");
    let location = location.map_or_else(|| DEFAULT_LOCATION.to_owned(), |location| location.value);
    let project = project.map(|project| project.value).or_else(|| account.as_ref()?.project.clone());
    let unread = section.had("project") || (has_credentials && account.is_none());
    if project.is_none() && !unread {
        section.missing("project", "the id of the Google Cloud project that pays");
    }
    if !has_credentials && !section.had("api_key") {
        section.missing("credentials", "\"env:NAME\" of a service account's key, `credentials_file`, or `api_key`");
    }
    Vertex {
        home: Some(home(&location)),
        service_account: account.map(Arc::new),
        has_credentials,
        path: project.map(|project| format!("projects/{project}/locations/{location}")),
    }
}

impl Vertex {
    /// The project's place below `url`; of another kind of provider, `url` itself.
    pub(super) fn below(&self, mut url: Located<Url>) -> Located<Url> {
        if let Some(path) = &self.path {
            let whole = format!("{}/{path}", url.value.path().trim_end_matches('/'));
            url.value.set_path(&whole);
        }
        url
    }
}

fn only_for_vertex(section: &mut Section<'_, '_>, wire: Option<Wire>) {
    for key in KEYS.into_iter().filter(|_| wire.is_some()) {
        if section.had(key) {
            let text = format!("`{key}` is for `kind = \"vertex\"` only; leave it out");
            section.findings.mistake(section.line, text);
        }
    }
}

/// Stands in a host name or a path.
fn identifier(section: &mut Section<'_, '_>, key: &'static str, expected: &str) -> Option<Located<String>> {
    let typed = section.string(key, expected)?;
    let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '_');
    if typed.value.is_empty() || !typed.value.chars().all(fit) {
        section.findings.mistake(typed.line, format!("`{key}` {:?} is not one; give {expected}", typed.value));
        return None;
    }
    Some(typed)
}

fn service_account(section: &mut Section<'_, '_>, environment: &Environment) -> Option<ServiceAccount> {
    let written = section.string("credentials", "\"env:NAME\": the JSON of a service account's key");
    let path = section.string("credentials_file", "the path of a service account's key file");
    let (key, line, json) = match (written, path) {
        (Some(_), Some(path)) => {
            let text = "both `credentials` and `credentials_file` are given; keep one of them";
            section.findings.mistake(path.line, text);
            return None;
        }
        (Some(written), None) => ("credentials", written.line, from_environment(&written.value, environment)),
        (None, Some(path)) => ("credentials_file", path.line, from_file(&path.value)),
        (None, None) => return None,
    };
    json.and_then(|json| account(&json))
        .map_err(|problem| section.findings.mistake(line, format!("`{key}` {problem}")))
        .ok()
}

/// The account whose key file is at `path`.
///
/// # Errors
/// What is wrong with it, as the end of a sentence about it.
pub(super) fn account_in(path: &str) -> Result<ServiceAccount, String> {
    account(&from_file(path)?)
}

fn account(json: &str) -> Result<ServiceAccount, String> {
    ServiceAccount::parse(json).map_err(|problem| format!("is {problem}"))
}

fn from_environment(typed: &str, environment: &Environment) -> Result<String, String> {
    let name = typed.strip_prefix("env:").ok_or("is written out; give \"env:NAME\", or `credentials_file`")?;
    let value = environment.get(name).map(str::to_owned);
    value.ok_or_else(|| match is_name(name) {
        true => format!("is not set: export the environment variable {name:?} before satisfice starts"),
        false => NO_NAME.into(),
    })
}

fn from_file(path: &str) -> Result<String, String> {
    let mut json = String::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST_KEY_FILE).read_to_string(&mut json));
    read.map(|_| json).map_err(|e| format!("{path:?} cannot be read: {e}"))
}
