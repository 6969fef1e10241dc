//! The shipped facts of hosted models.

use std::path::Path;

use satisfice::catalog::facts::{Fact, Facts, Mode};
use satisfice::catalog::providers::Catalogue;
use satisfice::upstream::settings::Wire;
use serde_json::Value;

/// A source line's fields must be the fact's.
fn assert_same(fact: &Fact, source: &Value) {
    assert_eq!((fact.provider, fact.model), (source["provider"].as_str().unwrap(), source["model"].as_str().unwrap()));
    let mode = match fact.mode {
        Mode::Chat => "chat",
        Mode::Responses => "responses",
        Mode::Embedding => "embedding",
    };
    assert_eq!(source["mode"], mode);
    let near = |a: f64, b: &Value| b.as_f64().is_some_and(|b| (a - b).abs() <= 1e-9);
    assert!(near(fact.price.input, &source["input_usd_per_mtok"]), "{fact:?}");
    assert!(near(fact.price.output, &source["output_usd_per_mtok"]), "{fact:?}");
    assert_eq!(fact.price.cached_input.is_some(), source["cached_input_usd_per_mtok"].is_number());
    assert_eq!(fact.price.cache_write.is_some(), source["cache_write_usd_per_mtok"].is_number());
    let tokens = |key: &str| source[key].as_u64().map(|n| n as u32);
    assert_eq!(fact.max_input_tokens, tokens("max_input_tokens"));
    assert_eq!(fact.max_output_tokens, tokens("max_output_tokens"));
    assert_eq!(fact.capabilities.tools.unwrap_or_default(), source["tools"]);
    assert_eq!(fact.capabilities.vision.unwrap_or_default(), source["vision"]);
    assert_eq!(fact.capabilities.json_schema.unwrap_or_default(), source["json_schema"]);
    assert_eq!(fact.reasoning, source["reasoning"]);
    assert_eq!(fact.retires, source["deprecation_date"].as_str());
}

#[test]
fn every_published_fact_is_found() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/model-facts.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: the facts that the catalogue was made from are not at {}", path.display());
        return;
    };
    let facts = Facts::embedded().unwrap();
    let sources: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for source in &sources {
        let name = |key: &str| source[key].as_str().unwrap();
        assert_same(facts.lookup(name("provider"), name("model")).unwrap(), source);
    }
    assert_eq!(facts.iter().count(), sources.len());
}

#[test]
fn it_is_small() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/catalogue.tsv");
    assert!(std::fs::metadata(path).unwrap().len() < 200_000);
}

#[test]
fn a_look_up_takes_the_closest_name_and_never_another_model() {
    let facts = Facts::embedded().unwrap();
    let found = |provider, model| facts.lookup(provider, model).map(|f| f.model);
    assert_eq!(found("openai", "gpt-4o-2024-05-13"), Some("gpt-4o-2024-05-13"));
    assert_eq!(found("openai", "GPT-4o"), Some("gpt-4o"));
    assert_eq!(found("openai", "openai/gpt-4o"), Some("gpt-4o"));
    assert_eq!(found("openai", "gpt-4o-2031-01-31"), Some("gpt-4o"));
    assert_eq!(found("openai", "openai/gpt-4o-2031-01-31"), Some("gpt-4o"));
    assert_eq!(found("openai", "gpt-4o-max"), None);
    assert_eq!(found("openai", "gpt-4"), Some("gpt-4"));
    assert_eq!(found("openai", "gp"), None);
    assert_eq!(found("openai", ""), None);
    assert_eq!(found("nobody", "gpt-4o"), None);
    assert_eq!(found("", ""), None);
}

#[test]
fn every_known_provider_can_be_reached_and_none_is_there_twice() {
    let known = Catalogue::embedded().unwrap().providers;
    assert!(known.len() >= 40, "{}", known.len());
    for provider in &known {
        let local = provider.host().starts_with("localhost:");
        assert_eq!(local, provider.keys.is_empty(), "{}: a key, or local", provider.name);
        let filled = provider.base_url_with(|_| Some("x1")).unwrap();
        let url = url::Url::parse(&filled).unwrap();
        assert_eq!(url.scheme(), if local { "http" } else { "https" }, "{filled}");
        assert!(!filled.ends_with('/') && url.query().is_none(), "{filled}");
        assert!(Wire::KINDS.iter().any(|(kind, _)| *kind == provider.kind), "{}: {}", provider.name, provider.kind);
        assert!(provider.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
        for key in &provider.keys {
            assert!(key.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'), "{key}");
        }
    }
    assert_unique(known.iter().map(|provider| &*provider.name));
    assert_unique(known.iter().map(|provider| provider.host()));
    assert_unique(known.iter().flat_map(|provider| &provider.keys).map(String::as_str));
}

#[test]
fn what_is_said_of_known_providers_makes_sense() {
    for provider in Catalogue::embedded().unwrap().providers {
        let quirks = &provider.quirks;
        let refused = quirks.unsupported();
        assert!(refused.is_sorted(), "{}", provider.name);
        assert!(
            refused.iter().all(|field| !quirks.rename.contains_key(field)),
            "{}: refused and renamed",
            provider.name
        );
        assert!(quirks.developer_role.as_deref().is_none_or(|role| role == "system"), "{}", provider.name);
        assert!(quirks.tool_call_id_length.is_none_or(|length| (1..=10).contains(&length)), "{}", provider.name);
    }
}

#[test]
fn who_sells_openais_models_knows_more_tools_than_functions() {
    let catalogue = Catalogue::embedded().unwrap();
    let only = |name: &str| catalogue.provider_named(name).unwrap().quirks.functions_only();
    for name in ["openai", "azure", "openrouter", "vercel", "github"] {
        assert!(!only(name), "{name}");
    }
    for name in ["groq", "mistral", "deepseek", "vllm", "ollama"] {
        assert!(only(name), "{name}");
    }
}

fn assert_unique<'a>(names: impl Iterator<Item = &'a str>) {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn an_account_in_a_host_may_be_anyones() {
    let catalogue = Catalogue::embedded().unwrap();
    let at = |host| catalogue.provider_at(host).map(|known| &*known.name);
    assert_eq!(at("mine.openai.azure.com"), Some("azure"));
    assert_eq!(at(".openai.azure.com"), None);
    assert_eq!(at("openai.azure.com"), None);
    assert_eq!(at("acme-1.snowflakecomputing.com"), Some("snowflake"));
    assert_eq!(at("localhost:11434"), Some("ollama"));
    assert_eq!(at("eu.api.openai.com"), Some("openai"), "a region");
    assert_eq!(at("notapi.openai.com"), None);
}

#[test]
fn a_provider_is_known_by_its_host_then_by_its_name() {
    let catalogue = Catalogue::embedded().unwrap();
    let found = |host, name, model| catalogue.lookup(host, name, model).map(|f| (f.provider, f.model));
    assert_eq!(found("api.groq.com", "fast", "openai/gpt-oss-120b"), Some(("groq", "openai/gpt-oss-120b")));
    assert_eq!(found("localhost", "openai", "gpt-4o"), Some(("openai", "gpt-4o")));
    assert_eq!(found("localhost", "box", "gpt-4o"), None);
    assert_eq!(found("openrouter.ai", "or", "openai/gpt-5.1"), Some(("openai", "gpt-5.1")));
    assert_eq!(found("openrouter.ai", "or", "google/gemini-2.5-flash"), Some(("gemini", "gemini-2.5-flash")));
    assert_eq!(found("openrouter.ai", "or", "gpt-5.1"), None);
    assert_eq!(found("localhost", "together_ai", "zai-org/GLM-5.3"), Some(("together", "zai-org/GLM-5.3")));
}
