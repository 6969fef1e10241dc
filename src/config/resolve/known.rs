//! What a provider's entry leaves out: from the known provider of its name.

use url::{Position, Url};

use super::did_you_mean;
use crate::catalog::providers::{Catalogue, KnownProvider};
use crate::config::environment::{Environment, secret};
use crate::config::file;
use crate::config::findings::Findings;
use crate::config::section::Located;
use crate::upstream::azure::Azure;
use crate::upstream::settings::Wire;

/// Completes each provider in place; what nothing is known of is noted.
pub(super) fn complete(
    providers: &mut [file::Provider],
    catalogue: &Catalogue,
    environment: &Environment,
    findings: &mut Findings,
) {
    for typed in providers {
        let known = typed.name.as_ref().and_then(|name| catalogue.provider_named(&name.value));
        let known = known.filter(|known| typed.wire.is_none_or(|wire| wire.kind() == known.kind));
        if !typed.has_kind {
            complete_kind(typed, known, catalogue, findings);
        }
        // Which other keys are required depends on the kind.
        if !typed.has_base_url && (typed.wire.is_some() || !is_called_as_a_kind(typed)) {
            complete_address(typed, known, environment, findings);
        }
        complete_quirks(typed, catalogue);
        check_version(typed, findings);
    }
}

fn complete_kind(
    typed: &mut file::Provider,
    known: Option<&KnownProvider>,
    catalogue: &Catalogue,
    findings: &mut Findings,
) {
    let wire = known.and_then(|known| Wire::KINDS.iter().find(|(kind, _)| *kind == known.kind));
    typed.wire = wire.map(|(_, wire)| *wire);
    let (None, Some(Located { value: name, .. })) = (known, &typed.name) else { return };
    let problem = if is_called_as_a_kind(typed) {
        format!("; give kind = \"{name}\"")
    } else {
        let hint = did_you_mean(name, catalogue.providers.iter().map(|known| &*known.name));
        format!(", and no known provider is called \"{name}\"{hint}; give the wire that it speaks, such as \"openai\"")
    };
    findings.missing(typed.line, format!("`kind` of [[providers]] is missing{problem}"));
}

/// Its name says the wire that its kind does not: "vertex", "bedrock".
fn is_called_as_a_kind(typed: &file::Provider) -> bool {
    typed.name.as_ref().is_some_and(|name| Wire::KINDS.iter().any(|(kind, _)| *kind == name.value))
}

/// The base URL of the known provider and, since the key goes nowhere else then, its key.
fn complete_address(
    typed: &mut file::Provider,
    known: Option<&KnownProvider>,
    environment: &Environment,
    findings: &mut Findings,
) {
    let Some(known) = known else {
        if let Some(home) = typed.wire.and_then(Wire::home) {
            typed.base_url = address(home, typed.line, findings);
            return;
        }
        let text = match typed.wire {
            Some(Wire::Bedrock) => {
                "`region` of a provider of kind \"bedrock\" is missing; give one such as \"us-east-1\""
            }
            _ => "`base_url` of [[providers]] is missing; give a URL such as \"https://api.openai.com/v1\"",
        };
        return findings.missing(typed.line, text);
    };
    match known.base_url_with(|name| environment.get(name)) {
        Ok(url) => typed.base_url = address(&url, typed.line, findings),
        Err(variable) => {
            let text =
                format!("`base_url` of provider \"{}\" needs {variable}; export it, or give the URL", known.name);
            findings.mistake(typed.line, text);
        }
    }
    let variable = known.keys.iter().find(|key| environment.get(key).is_some());
    if let (false, Some(variable)) = (typed.has_api_key, variable) {
        let value = Located { value: format!("env:{variable}"), line: typed.line };
        let key = secret(&value, &format!("the key of provider \"{}\"", known.name), environment, findings);
        typed.api_keys.extend(key);
        typed.has_api_key = true;
    }
}

/// A variable of the environment may make it none.
fn address(url: &str, line: usize, findings: &mut Findings) -> Option<Located<Url>> {
    match Url::parse(url) {
        Ok(value) => Some(Located { value, line }),
        Err(error) => {
            findings.mistake(line, format!("`base_url` would be {url:?}, which is no URL ({error})"));
            None
        }
    }
}

fn complete_quirks(typed: &mut file::Provider, catalogue: &Catalogue) {
    let url = typed.base_url.as_ref();
    let host = url.map_or("", |url| &url.value[Position::BeforeHost..Position::AfterPort]);
    let known = typed.wire.and_then(|wire| catalogue.quirks(host, wire.kind()));
    if let Some(mut known) = known.cloned() {
        if typed.api_version.as_ref().is_some_and(|version| *version.value < *LIMIT_RENAMED) {
            known.rename.remove("max_tokens");
        }
        typed.quirks = std::mem::take(&mut typed.quirks).or(&known);
    }
}

/// The version of Azure's API that first took `max_completion_tokens`; they are dates.
const LIMIT_RENAMED: &str = "2024-09-01";

fn check_version(typed: &file::Provider, findings: &mut Findings) {
    let needed = typed.wire == Some(Wire::Azure)
        && typed.base_url.as_ref().is_some_and(|url| Azure::needs_version(url.value.path()));
    match &typed.api_version {
        None if needed => {
            let remedy = "give one such as \"2024-10-21\", or a base_url that ends in /openai/v1";
            findings.missing(typed.line, format!("`api_version` of a provider of kind \"azure\" is missing; {remedy}"));
        }
        Some(version) if typed.wire.is_some_and(|wire| wire != Wire::Azure) => {
            findings.mistake(version.line, "`api_version` is for kind \"azure\"; leave it out");
        }
        _ => {}
    }
}
