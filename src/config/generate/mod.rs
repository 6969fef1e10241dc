//! A configuration from the provider keys in the environment, for those who have no file yet.

mod clouds;

use std::fmt::Write;

use super::{Environment, Finding, Flags, Mistakes, Setup, parse};
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
         {}- set a key, such as {example}; these are known: {known}, and of clouds {clouds}\n\
         - or write a file, as satisfice.example.toml shows, and give it with --config\n\
         - or see it work with neither: satisfice demo",
        list(.halves), clouds = clouds::VARIABLES
    )]
    Nothing { example: String, known: String, halves: Vec<String> },
    #[error(transparent)]
    Invalid(#[from] Mistakes),
}

/// Builds a configuration of the known providers whose keys are in the environment: one provider each, a few of its
/// models, and a route `auto` over all of them. `NAME_BASE_URL` beside `NAME_API_KEY` overrides where it is. Of a cloud
/// more than a key must be there; where only a part of it is, the cloud is left out, and a remark says what is missing.
///
/// # Errors
/// No key is there, or a base URL or key is not valid.
pub fn from_environment(environment: &Environment, flags: &Flags, catalogue: &Catalogue) -> Result<Generated, NoKeys> {
    let keyed = with_models(catalogue).filter_map(|known| Some(keyed(known, key_of(known, environment)?, environment)));
    let (clouds, halves) = clouds::found(environment, catalogue);
    let found: Vec<Entry> = keyed.chain(clouds).collect();
    if found.is_empty() {
        return Err(nothing(catalogue, halves));
    }
    let toml = write(&found, &halves);
    let mut setup = parse(&toml, SOURCE, environment, flags, catalogue)?;
    setup.remarks.extend(halves.into_iter().map(|text| Finding { line: None, text }));
    Ok(Generated { toml, setup })
}

/// A provider, as it is written.
struct Entry {
    comment: Option<&'static str>,
    name: String,
    /// But the name, in their order.
    keys: Vec<(&'static str, String)>,
    /// By the provider's names.
    models: Vec<String>,
}

fn nothing(catalogue: &Catalogue, halves: Vec<String>) -> NoKeys {
    let keys = with_models(catalogue).filter_map(|p| p.keys.first());
    let known: Vec<_> = keys.map(String::as_str).collect();
    NoKeys::Nothing { example: known.first().copied().unwrap_or_default().to_owned(), known: known.join(", "), halves }
}

/// A line for each.
fn list(remarks: &[String]) -> String {
    remarks.iter().map(|remark| format!("- {remark}\n")).collect()
}

/// Those of which something can be asked without a file.
fn with_models(catalogue: &Catalogue) -> impl Iterator<Item = &KnownProvider> {
    catalogue.providers.iter().filter(|known| !known.models.is_empty())
}

/// The first of the provider's variables that is set.
fn key_of<'p>(provider: &'p KnownProvider, environment: &Environment) -> Option<&'p str> {
    provider.keys.iter().map(String::as_str).find(|key| environment.get(key).is_some())
}

/// A provider of which a key is all that is needed.
fn keyed(provider: &KnownProvider, key: &str, environment: &Environment) -> Entry {
    let base_url = key.strip_suffix("_API_KEY").and_then(|stem| environment.get(&format!("{stem}_BASE_URL")));
    let base_url = base_url.unwrap_or(&provider.base_url).to_owned();
    let keys = vec![("kind", provider.kind.clone()), ("base_url", base_url), ("api_key", format!("env:{key}"))];
    Entry { comment: None, name: provider.name.clone(), keys, models: provider.models.clone() }
}

fn write(found: &[Entry], halves: &[String]) -> String {
    let mut out: String = halves.iter().map(|half| format!("# Left out: {half}\n")).collect();
    let mut names = vec![];
    for entry in found {
        out += &provider_entry(entry);
        for model in &entry.models {
            let name = model.rsplit('/').next().unwrap_or(model);
            out += &model_entry(name, &entry.name, model);
            names.push(quoted(name));
        }
    }
    let _ = write!(out, "[[routes]]\nname = \"auto\"\nmodels = [{}]\n", names.join(", "));
    out
}

fn provider_entry(entry: &Entry) -> String {
    let comment = entry.comment.map(|comment| format!("# {comment}\n")).unwrap_or_default();
    let keys: String = entry.keys.iter().map(|(key, value)| format!("{key} = {}\n", quoted(value))).collect();
    format!("{comment}[[providers]]\nname = {}\n{keys}\n", quoted(&entry.name))
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
