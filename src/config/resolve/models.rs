//! Models: their providers found, and what the file does not say completed from the catalogue.

use std::collections::HashMap;
use std::sync::Arc;

use super::unknown;
use crate::catalog::facts::{Fact, Mode};
use crate::catalog::providers::Catalogue;
use crate::catalog::{Capabilities, Model, ModelId};
use crate::config::PriceOrigin;
use crate::config::file::{self, File, ModelKind};
use crate::config::findings::Findings;
use crate::config::section::Located;
use crate::upstream::settings::Wire;

/// All models of a file, each list in its order.
pub(super) struct Models {
    pub(super) chat: Vec<Arc<Model>>,
    pub(super) embeddings: Vec<Arc<Model>>,
    /// Of `chat`, then of `embeddings`.
    pub(super) origins: Vec<PriceOrigin>,
}

pub(super) fn models(file: &File, catalogue: &Catalogue, findings: &mut Findings) -> Models {
    if file.models.is_empty() {
        findings.mistake(None, "there are no [[models]]; satisfice.example.toml shows one");
    }
    note_shared_names(&file.models, findings);
    let known: Vec<_> = file.models.iter().filter_map(|typed| model(typed, file, catalogue, findings)).collect();
    let (chat, embeddings): (Vec<_>, Vec<_>) = known.into_iter().partition(|(kind, ..)| *kind == ModelKind::Chat);
    let origins = chat.iter().chain(&embeddings).map(|(_, _, origin)| origin.clone()).collect();
    let models =
        |list: Vec<(ModelKind, Arc<Model>, PriceOrigin)>| list.into_iter().map(|(_, model, _)| model).collect();
    Models { chat: models(chat), embeddings: models(embeddings), origins }
}

/// The shares that the file gives.
pub(super) fn weights(models: &[file::Model]) -> HashMap<ModelId, f64> {
    let given = |m: &file::Model| Some((ModelId::of(&m.provider.as_ref()?.value, &m.name.as_ref()?.value), m.weight?));
    models.iter().filter_map(given).collect()
}

/// Two models of one provider must not share a name; models of two providers that do are one model, shared out.
fn note_shared_names(models: &[file::Model], findings: &mut Findings) {
    let named: Vec<_> =
        models.iter().filter_map(|m| Some((m.name.as_ref()?, m.provider.as_ref()?.value.as_str()))).collect();
    for (i, (name, provider)) in named.iter().enumerate() {
        let before = &named[..i];
        if let Some((first, _)) = before.iter().find(|(n, p)| n.value == name.value && p == provider) {
            let text = format!("the model \"{}\" is there twice, first on line {}; rename one", name.value, first.line);
            findings.mistake(name.line, text);
        } else if let Some((_, first)) = before.iter().find(|(n, _)| n.value == name.value) {
            let text =
                format!("\"{0}\" is one model at {first} and {provider}: its load is shared among them", name.value);
            findings.warning(name.line, text);
        }
    }
}

fn model(
    typed: &file::Model,
    file: &File,
    catalogue: &Catalogue,
    findings: &mut Findings,
) -> Option<(ModelKind, Arc<Model>, PriceOrigin)> {
    let provider_name = typed.provider.as_ref()?;
    // Looked up first: what is wrong with it is said beside what is wrong with the name.
    let provider = provider_of(provider_name, &file.providers, findings);
    let (name, provider) = (typed.name.as_ref()?, provider?);
    let upstream_name = typed.upstream_name.clone().unwrap_or_else(|| name.value.clone());
    let host = provider.base_url.as_ref().and_then(|url| url.value.host_str()).unwrap_or_default();
    let behind = |mark: char| upstream_name.rsplit(mark).next().unwrap_or_default();
    // Google's cloud has a host for each place, and names models with their publisher; Amazon's has ARNs, behind which
    // stands what they are.
    let fact = match provider.wire {
        Some(Wire::Vertex) => catalogue.lookup(host, "vertex", behind('/')),
        Some(Wire::Bedrock) => catalogue.lookup(host, &provider_name.value, behind('#')),
        _ => catalogue.lookup(host, &provider_name.value, &upstream_name),
    };
    let origin = price_origin(typed, fact);
    remark_on(&name.value, typed.line, fact, &origin, findings);
    let id = ModelId::of(&provider_name.value, &name.value);
    let kind = typed.kind.unwrap_or_else(|| kind_of(fact));
    if kind == ModelKind::Embedding {
        check_embeds(&name.value, typed.line, provider, findings);
    }
    Some((kind, Arc::new(completed(typed, id, upstream_name, fact)), origin))
}

fn check_embeds(name: &str, line: usize, provider: &file::Provider, findings: &mut Findings) {
    if let Some(wire) = provider.wire.filter(|wire| !wire.embeds()) {
        let text = format!(
            "the model \"{name}\" makes embeddings, which providers of kind \"{}\" cannot be asked for; give it \
             another provider, or kind = \"chat\"",
            wire.kind()
        );
        findings.mistake(line, text);
    }
}

fn kind_of(fact: Option<&Fact>) -> ModelKind {
    match fact.map(|fact| fact.mode) {
        Some(Mode::Embedding) => ModelKind::Embedding,
        _ => ModelKind::Chat,
    }
}

fn price_origin(typed: &file::Model, fact: Option<&Fact>) -> PriceOrigin {
    match (typed.price, fact) {
        (Some(_), _) => PriceOrigin::File,
        (None, Some(fact)) => PriceOrigin::Catalogue(ModelId::of(fact.provider, fact.model)),
        (None, None) => PriceOrigin::Unknown,
    }
}

/// What is valid and still worth a look.
fn remark_on(name: &str, line: usize, fact: Option<&Fact>, origin: &PriceOrigin, findings: &mut Findings) {
    if *origin == PriceOrigin::Unknown {
        let remedy = "give `input_usd_per_mtok` and `output_usd_per_mtok`; until then it counts as its routes' dearest";
        findings.warning(line, format!("the price of model \"{name}\" is not known; {remedy}"));
    }
    if let Some(day) = fact.and_then(|fact| fact.retires) {
        findings.warning(line, format!("the provider of model \"{name}\" retires it on {day}"));
    }
}

/// What the file says holds; what it does not say is from the catalogue.
fn completed(typed: &file::Model, id: ModelId, upstream_name: String, fact: Option<&Fact>) -> Model {
    let known = fact.map(|fact| fact.capabilities).unwrap_or_default();
    Model {
        id,
        upstream_name,
        price: typed.price.or(fact.map(|fact| fact.price)),
        context_window: typed.context_window.or(fact.and_then(|fact| fact.max_input_tokens)),
        max_output_tokens: typed.max_output_tokens.or(fact.and_then(|fact| fact.max_output_tokens)),
        capabilities: Capabilities {
            tools: typed.capabilities.tools.or(known.tools),
            vision: typed.capabilities.vision.or(known.vision),
            json_schema: typed.capabilities.json_schema.or(known.json_schema),
        },
    }
}

fn provider_of<'f>(
    name: &Located<String>,
    providers: &'f [file::Provider],
    findings: &mut Findings,
) -> Option<&'f file::Provider> {
    let named = |p: &&file::Provider| p.name.as_ref().is_some_and(|n| n.value == name.value);
    let found = providers.iter().find(named);
    if found.is_none() {
        let known: Vec<_> = providers.iter().filter_map(|p| p.name.as_ref()).map(|n| n.value.as_str()).collect();
        findings.mistake(name.line, unknown("provider", &name.value, &known));
    }
    found
}
