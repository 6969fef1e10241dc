//! Providers: unique names, and what is worth a remark.

use super::unique;
use crate::catalog::host::is_loopback;
use crate::catalog::providers::Catalogue;
use crate::catalog::quirks::Quirks;
use crate::config::file;
use crate::config::findings::Findings;
use crate::upstream::settings::ProviderSettings;

pub(super) fn providers(
    typed: Vec<file::Provider>,
    models: &[file::Model],
    catalogue: &Catalogue,
    findings: &mut Findings,
) -> Vec<ProviderSettings> {
    if typed.is_empty() {
        findings.mistake(None, "there are no [[providers]]; satisfice.example.toml shows one");
    }
    let names: Vec<_> = typed.iter().map(|p| p.name.as_ref()).collect();
    unique("provider", names.into_iter().flatten(), findings);
    for provider in &typed {
        remark_on(provider, models, catalogue, findings);
    }
    typed.into_iter().filter_map(provider).collect()
}

fn provider(typed: file::Provider) -> Option<ProviderSettings> {
    Some(ProviderSettings {
        name: typed.name?.value,
        wire: typed.wire?,
        base_url: typed.base_url?.value,
        api_keys: typed.api_keys,
        deadlines: typed.deadlines,
        service_account: typed.service_account,
        headers: typed.headers,
        aws: typed.aws,
        quirks: typed.quirks,
        api_version: typed.api_version.map(|version| version.value),
        collects_data: typed.collects_data,
    })
}

/// What is valid and still worth a look.
fn remark_on(provider: &file::Provider, models: &[file::Model], catalogue: &Catalogue, findings: &mut Findings) {
    let (Some(name), Some(url)) = (&provider.name, &provider.base_url) else { return };
    let name = &name.value;
    let host = url.value.host_str().unwrap_or_default();
    if url.value.scheme() == "http" && !is_loopback(host) {
        let text = format!("provider \"{name}\": prompts and key go unencrypted to {host}; use https://");
        findings.warning(url.line, text);
    }
    if !provider.has_api_key && catalogue.provider_at(host).is_some_and(|known| !known.keys.is_empty()) {
        findings.warning(provider.line, format!("provider \"{name}\" has no `api_key`, and {host} asks for one"));
    }
    if is_elsewhere(provider, host, catalogue) {
        let text = format!(
            "provider \"{name}\" is known, and not to be at {host}: how it differs from its wire is not known there; say so \
             with `rename`, `unsupported`, `foreign` and the like, or call it otherwise"
        );
        findings.warning(url.line, text);
    }
    if !models.iter().any(|m| m.provider.as_ref().is_some_and(|p| p.value == *name)) {
        findings.warning(provider.line, format!("no model is of provider \"{name}\""));
    }
}

/// Whether it has the name of a known provider and, at another address, nothing of what that one's wire is like. A server
/// of this machine is somebody's own, by whatever name.
fn is_elsewhere(provider: &file::Provider, host: &str, catalogue: &Catalogue) -> bool {
    let known = provider.name.as_ref().and_then(|name| catalogue.provider_named(&name.value));
    known.is_some_and(|known| known.quirks != Quirks::default())
        && provider.quirks == Quirks::default()
        && !is_loopback(host)
}
