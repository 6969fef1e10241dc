//! Known providers: where they are, which environment variables hold their keys, and a few of their models.

use serde::Deserialize;

use super::facts::{Fact, Facts};

const EMBEDDED: &str = include_str!("../../models/providers.toml");

/// A provider whose models the catalogue knows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownProvider {
    /// Also its name in the catalogue of facts.
    pub name: String,
    /// The wire it speaks, as the configuration has it.
    #[serde(default = "openai")]
    pub kind: String,
    pub base_url: String,
    /// Environment variables that may hold its key; the first one that is set counts.
    pub keys: Vec<String>,
    /// Its names of a few chat models, cheap to strong.
    pub models: Vec<String>,
    /// Sells other vendors' models, named `vendor/model`, at their list price.
    #[serde(default)]
    pub resells: bool,
}

/// Most speak OpenAI's wire.
fn openai() -> String {
    "openai".into()
}

/// The list of known providers in the binary cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the list of known providers (models/providers.toml): {0}")]
pub struct ProvidersError(#[from] toml::de::Error);

/// All known providers, best known first.
///
/// # Errors
/// The file in the binary does not fit this code.
pub fn known_providers() -> Result<Vec<KnownProvider>, ProvidersError> {
    #[derive(Deserialize)]
    struct File {
        providers: Vec<KnownProvider>,
    }
    Ok(toml::from_str::<File>(EMBEDDED)?.providers)
}

/// What is known of hosted models, found by where they are hosted.
#[derive(Debug, Clone)]
pub struct Catalogue {
    pub facts: Facts,
    pub providers: Vec<KnownProvider>,
}

/// The catalogue in the binary cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error(transparent)]
    Facts(#[from] super::facts::FactsError),
    #[error(transparent)]
    Providers(#[from] ProvidersError),
}

impl Catalogue {
    /// The one in the binary.
    ///
    /// # Errors
    /// A file in the binary does not fit this code.
    pub fn embedded() -> Result<Self, CatalogueError> {
        Ok(Self { facts: Facts::embedded()?, providers: known_providers()? })
    }

    /// What is known of a model. The provider is the known one at `host`; where no known one is there, the one called
    /// `name`. A reseller's `vendor/model` is the vendor's model. Otherwise see [`Facts::lookup`].
    pub fn lookup(&self, host: &str, name: &str, model: &str) -> Option<&Fact> {
        let name = if host.starts_with("bedrock-runtime") { "bedrock" } else { name };
        match self.provider(host, name) {
            Some(known) if known.resells => {
                let (vendor, model) = model.split_once('/')?;
                self.facts.lookup(catalogue_name(vendor), model)
            }
            known => self.facts.lookup(known.map_or(catalogue_name(name), |known| &known.name), model),
        }
    }

    /// The known provider at `host`.
    pub fn provider_at(&self, host: &str) -> Option<&KnownProvider> {
        self.providers.iter().find(|known| known.host() == Some(host))
    }

    fn provider(&self, host: &str, name: &str) -> Option<&KnownProvider> {
        self.provider_at(host).or_else(|| self.providers.iter().find(|known| known.name == name))
    }
}

impl KnownProvider {
    fn host(&self) -> Option<&str> {
        self.base_url.split('/').nth(2)
    }
}

/// Other names of providers, as other tools and vendors write them.
fn catalogue_name(name: &str) -> &str {
    match name {
        "google" => "gemini",
        "aws" | "amazon" | "amazon-bedrock" => "bedrock",
        "together_ai" | "together-ai" => "together",
        "fireworks_ai" | "fireworks-ai" => "fireworks",
        "x-ai" => "xai",
        "mistralai" => "mistral",
        "z-ai" => "zai",
        "moonshotai" => "moonshot",
        other => other,
    }
}
