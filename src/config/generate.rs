//! A configuration from the provider keys in the environment, for those who have no file yet.

use std::fmt::Write;

use super::{Environment, Flags, Mistakes, Setup, parse};
use crate::catalog::providers::{Catalogue, KnownProvider};

/// How messages call a configuration that no file holds.
const SOURCE: &str = "(configuration from the environment)";

/// A configuration that was made, not read.
#[derive(Debug, Clone)]
pub struct Generated {
    /// As a file that a user may save and edit; `env:NAME` stands for each key.
    pub toml: String,
    pub setup: Setup,
}

/// There is nothing to make a configuration of, or what was made is not valid.
#[derive(Debug, thiserror::Error)]
pub enum NoKeys {
    #[error(
        "there is no configuration file and no provider's key in the environment\n\
         - set a key, such as {example}; these are known: {known}\n\
         - or write a file, as satisfice.example.toml shows, and give it with --config\n\
         - or see it work with neither: satisfice demo"
    )]
    Nothing { example: String, known: String },
    #[error("{0}")]
    Invalid(#[from] Mistakes),
}

/// Builds a configuration of the known providers whose keys are in the environment: one provider each, a few of its
/// models, and a route `auto` over all of them. `NAME_BASE_URL` beside `NAME_API_KEY` overrides where it is.
///
/// # Errors
/// No key is there, or a base URL or key is not valid.
pub fn from_environment(environment: &Environment, flags: &Flags, catalogue: &Catalogue) -> Result<Generated, NoKeys> {
    let found: Vec<_> = with_models(catalogue).filter_map(|p| Some((p, key_of(p, environment)?))).collect();
    if found.is_empty() {
        return Err(nothing(catalogue));
    }
    let toml = write(&found, environment);
    let setup = parse(&toml, SOURCE, environment, flags, catalogue)?;
    Ok(Generated { toml, setup })
}

fn nothing(catalogue: &Catalogue) -> NoKeys {
    let keys = with_models(catalogue).filter_map(|p| p.keys.first());
    let known: Vec<_> = keys.map(String::as_str).collect();
    NoKeys::Nothing { example: known.first().copied().unwrap_or_default().to_owned(), known: known.join(", ") }
}

/// Those of which something can be asked without a file.
fn with_models(catalogue: &Catalogue) -> impl Iterator<Item = &KnownProvider> {
    catalogue.providers.iter().filter(|known| !known.models.is_empty())
}

/// The first of the provider's variables that is set.
fn key_of<'p>(provider: &'p KnownProvider, environment: &Environment) -> Option<&'p str> {
    provider.keys.iter().map(String::as_str).find(|key| environment.get(key).is_some())
}

fn write(found: &[(&KnownProvider, &str)], environment: &Environment) -> String {
    let mut out = String::new();
    let mut names = vec![];
    for (provider, key) in found {
        let base_url = key.strip_suffix("_API_KEY").and_then(|stem| environment.get(&format!("{stem}_BASE_URL")));
        out += &provider_entry(provider, key, base_url.unwrap_or(&provider.base_url));
        for model in &provider.models {
            let name = model.rsplit('/').next().unwrap_or(model);
            out += &model_entry(name, &provider.name, model);
            names.push(quoted(name));
        }
    }
    let _ = write!(out, "[[routes]]\nname = \"auto\"\nmodels = [{}]\n", names.join(", "));
    out
}

fn provider_entry(provider: &KnownProvider, key: &str, base_url: &str) -> String {
    let (name, url, key) = (quoted(&provider.name), quoted(base_url), quoted(&format!("env:{key}")));
    let kind = quoted(&provider.kind);
    format!("[[providers]]\nname = {name}\nkind = {kind}\nbase_url = {url}\napi_key = {key}\n\n")
}

fn model_entry(name: &str, provider: &str, upstream_name: &str) -> String {
    let mut out = format!("[[models]]\nname = {}\nprovider = {}\n", quoted(name), quoted(provider));
    if upstream_name != name {
        let _ = writeln!(out, "upstream_name = {}", quoted(upstream_name));
    }
    out.push('\n');
    out
}

/// As a TOML string.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
