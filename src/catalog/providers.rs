//! Known providers: where they are, which environment variables hold their keys, and a few of their models.

use serde::Deserialize;

use super::facts::{Fact, Facts};
use super::quirks::Quirks;

const EMBEDDED: &str = include_str!("../../models/providers.toml");

/// A provider, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownProvider {
    /// Also its name in the catalogue of facts.
    pub name: String,
    /// The wire that it speaks, as a configuration calls it.
    #[serde(default = "openai")]
    pub kind: String,
    /// `{NAME}` in it stands for that environment variable.
    pub base_url: String,
    /// Environment variables that may hold its key; the first one that is set counts. None: it runs on this machine and
    /// asks for no key.
    #[serde(default)]
    pub keys: Vec<String>,
    /// Its names of a few chat models, cheap to strong; none: a configuration has to name them.
    #[serde(default)]
    pub models: Vec<String>,
    /// Sells other vendors' models, named `vendor/model`, at their list price.
    #[serde(default)]
    pub resells: bool,
    /// Refuses what it does not know.
    #[serde(default)]
    pub strict: bool,
    #[serde(default)]
    pub quirks: Quirks,
}

/// Quirks of all that are strict.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict {
    effort_alone: bool,
    foreign: Vec<String>,
    unsupported: Vec<String>,
}

impl Strict {
    fn add_to(&self, quirks: &mut Quirks) {
        quirks.effort_alone |= self.effort_alone;
        quirks.foreign.get_or_insert_with(|| self.foreign.clone());
        let unsupported = quirks.unsupported.get_or_insert_default();
        unsupported.extend_from_slice(&self.unsupported);
        unsupported.sort_unstable();
    }
}

fn openai() -> String {
    "openai".into()
}

/// The list of known providers in the binary cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the list of known providers (models/providers.toml): {0}")]
pub struct ProvidersError(#[from] toml::de::Error);

/// Clouds that take more than a key: a few chat models of each, from cheap to strong, for where there is no file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clouds {
    /// Without the geography that stands before them in the ids of inference profiles.
    pub bedrock: Vec<String>,
    pub vertex: Vec<String>,
}

/// What is known of hosted models, found by where they are hosted.
#[derive(Debug, Clone)]
pub struct Catalogue {
    pub facts: Facts,
    /// Best known first.
    pub providers: Vec<KnownProvider>,
    pub clouds: Clouds,
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
        #[derive(Deserialize)]
        struct File {
            providers: Vec<KnownProvider>,
            clouds: Clouds,
            strict: Strict,
        }
        let File { mut providers, clouds, strict } = toml::from_str(EMBEDDED).map_err(ProvidersError)?;
        providers.iter_mut().filter(|known| known.strict).for_each(|known| strict.add_to(&mut known.quirks));
        Ok(Self { facts: Facts::embedded()?, providers, clouds })
    }

    /// What is known of a model. The provider is the known one at `host`; where no known one is there, the one called
    /// `name`. A reseller's `vendor/model` is the vendor's model. Otherwise see [`Facts::lookup`].
    pub fn lookup(&self, host: &str, name: &str, model: &str) -> Option<&Fact> {
        let name = if host.starts_with("bedrock-runtime") { "bedrock" } else { name };
        match self.provider(host, name) {
            Some(known) if known.resells => {
                let (vendor, model) = model.split_once('/')?;
                self.facts.lookup(canonical_name(vendor), model)
            }
            known => self.facts.lookup(known.map_or(canonical_name(name), |known| &known.name), model),
        }
    }

    /// The known provider at `host`.
    pub fn provider_at(&self, host: &str) -> Option<&KnownProvider> {
        self.providers.iter().find(|known| known.is_at(host))
    }

    /// The known provider of that name, be it ours or another tool's.
    pub fn provider_named(&self, name: &str) -> Option<&KnownProvider> {
        self.providers.iter().find(|known| known.name == canonical_name(name))
    }

    /// How the wire `kind` differs from OpenAI's at `host`: as the known provider there has it, else as the one that
    /// the wire is named after. Who else speaks OpenAI's need not be as strict as OpenAI.
    pub fn quirks(&self, host: &str, kind: &str) -> Option<&Quirks> {
        let is_inventor = |known: &&KnownProvider| known.kind == kind && known.name == kind && kind != "openai";
        let inventor = || self.providers.iter().find(is_inventor);
        self.provider_at(host).or_else(inventor).map(|known| &known.quirks)
    }

    fn provider(&self, host: &str, name: &str) -> Option<&KnownProvider> {
        self.provider_at(host).or_else(|| self.providers.iter().find(|known| known.name == name))
    }
}

impl KnownProvider {
    /// The host of its URL, with the port where it has one.
    pub fn host(&self) -> &str {
        self.base_url.split('/').nth(2).unwrap_or_default()
    }

    /// `{NAME}.example.com` is every host below example.com. Hosts below any other are regions of it, such as
    /// eu.api.openai.com.
    fn is_at(&self, host: &str) -> bool {
        match self.host().strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            Some((_, domain)) => host.strip_suffix(domain).is_some_and(|own| !own.is_empty()),
            None => host.strip_suffix(self.host()).is_some_and(|region| region.is_empty() || region.ends_with('.')),
        }
    }

    /// Its base URL, with what `variable` says of each `{NAME}`.
    ///
    /// # Errors
    /// The first name that `variable` knows nothing of.
    pub fn base_url_with<'v>(&self, variable: impl Fn(&str) -> Option<&'v str>) -> Result<String, &str> {
        let mut url = String::with_capacity(self.base_url.len() + 32);
        let mut rest = &*self.base_url;
        while let Some((before, (name, after))) = rest.split_once('{').and_then(|(b, r)| Some((b, r.split_once('}')?)))
        {
            url += before;
            url += variable(name).ok_or(name)?;
            rest = after;
        }
        Ok(url + rest)
    }
}

/// Whether `name` is this provider's: its own or another tool's, also as `deepinfra/turbo`, which is OpenRouter's name of
/// an endpoint.
pub fn is_called(provider: &str, name: &str) -> bool {
    let name = name.split_once('/').map_or(name, |(own, _)| own).to_ascii_lowercase();
    provider.eq_ignore_ascii_case(&name) || provider.eq_ignore_ascii_case(canonical_name(&name))
}

/// Our name of a provider for the names that other tools and vendors have for it; any other name is itself.
pub fn canonical_name(name: &str) -> &str {
    match name {
        "google" => "gemini",
        "aws" | "amazon" | "amazon-bedrock" => "bedrock",
        "together_ai" | "together-ai" => "together",
        "fireworks_ai" | "fireworks-ai" => "fireworks",
        "x-ai" => "xai",
        "google-ai-studio" => "gemini",
        "google-vertex" => "vertex",
        "alibaba" => "dashscope",
        "mistralai" => "mistral",
        "vercel_ai_gateway" => "vercel",
        "azure_openai" | "azure-openai" => "azure",
        "nvidia_nim" | "nvidia-nim" => "nvidia",
        "lm_studio" | "lm-studio" => "lmstudio",
        "hosted_vllm" => "vllm",
        "llama.cpp" | "llama-cpp" => "llamacpp",
        "featherless_ai" => "featherless",
        "friendliai" => "friendli",
        "github_models" | "github-models" => "github",
        "hugging_face" | "hf" => "huggingface",
        "workers-ai" => "cloudflare",
        "z-ai" => "zai",
        "moonshotai" => "moonshot",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_goes_by_all_its_names() {
        for (provider, name) in [("xai", "x-ai"), ("gemini", "Google-AI-Studio"), ("DeepInfra", "deepinfra/turbo")] {
            assert!(is_called(provider, name), "{provider} {name}");
        }
        assert!(!is_called("deepinfra", "turbo") && !is_called("openai", "azure/openai"));
    }
}
