//! Providers that need no more than their names, and those that say themselves how they differ.

use satisfice::catalog::providers::Catalogue;
use satisfice::config::{self, Environment, Flags, Mistakes, Setup};
use satisfice::upstream::settings::{ProviderSettings, Wire};
use secrecy::ExposeSecret;

fn read(providers: &str) -> Result<Setup, Mistakes> {
    let environment = Environment::from_iter([
        ("GROQ_API_KEY", "gsk-1"),
        ("MY_KEY", "k-1"),
        ("CLOUDFLARE_ACCOUNT_ID", "acc1"),
        ("CLOUDFLARE_API_KEY", "cf-1"),
    ]);
    let text = format!("{providers}\n[[models]]\nname = \"m\"\nprovider = \"p\"\n");
    let text = text.replace("provider = \"p\"", &format!("provider = {:?}", first_name(providers)));
    config::parse(&text, "f.toml", &environment, &Flags::default(), &Catalogue::embedded().unwrap())
}

fn first_name(providers: &str) -> &str {
    providers.split('"').nth(1).unwrap()
}

fn provider(text: &str) -> ProviderSettings {
    read(&format!("[[providers]]\n{text}")).unwrap().providers.remove(0)
}

fn mistakes(text: &str) -> String {
    read(&format!("[[providers]]\n{text}")).unwrap_err().to_string()
}

#[test]
fn a_known_name_is_enough() {
    let groq = provider(r#"name = "groq""#);
    assert_eq!((groq.wire, groq.base_url.as_str()), (Wire::OpenAi, "https://api.groq.com/openai/v1"));
    assert_eq!(groq.api_keys[0].expose_secret(), "gsk-1");
    assert!(groq.quirks.unsupported().contains(&"logprobs".to_owned()));
    let own_key = provider("name = \"groq\"\napi_key = \"env:MY_KEY\"");
    assert_eq!(own_key.api_keys[0].expose_secret(), "k-1");
    assert_eq!(provider(r#"name = "mistral""#).wire, Wire::Mistral);
}

#[test]
fn a_local_server_needs_no_key_and_gets_no_remark_for_it() {
    for (name, url) in [
        ("ollama", "http://localhost:11434/v1"),
        ("vllm", "http://localhost:8000/v1"),
        ("llama.cpp", "http://localhost:8080/v1"),
        ("lm_studio", "http://localhost:1234/v1"),
    ] {
        let setup = read(&format!("[[providers]]\nname = {name:?}\n")).unwrap();
        assert_eq!(setup.providers[0].base_url.as_str(), url);
        assert!(setup.providers[0].api_keys.is_empty());
        assert!(setup.remarks.iter().all(|remark| !remark.text.contains("api_key")), "{:?}", setup.remarks);
    }
}

#[test]
fn an_account_comes_from_the_environment_or_is_asked_for() {
    let cloudflare = provider(r#"name = "cloudflare""#);
    assert_eq!(cloudflare.base_url.as_str(), "https://api.cloudflare.com/client/v4/accounts/acc1/ai/v1");
    assert_eq!(cloudflare.api_keys[0].expose_secret(), "cf-1");
    insta::assert_snapshot!(mistakes(r#"name = "snowflake""#), @r#"f.toml:1: `base_url` of provider "snowflake" needs SNOWFLAKE_ACCOUNT; export it, or give the URL"#);
}

#[test]
fn a_key_from_the_environment_goes_to_no_other_address() {
    let elsewhere = provider("name = \"groq\"\nbase_url = \"https://relay.example/v1\"");
    assert!(elsewhere.api_keys.is_empty());
    assert!(elsewhere.quirks.unsupported().is_empty(), "and another server's quirks are its own");
}

#[test]
fn an_unknown_name_needs_kind_and_address() {
    insta::assert_snapshot!(mistakes("name = \"gorq\"\n"), @r#"
    f.toml:1: `base_url` of [[providers]] is missing; give a URL such as "https://api.openai.com/v1"
    f.toml:1: `kind` of [[providers]] is missing, and no known provider is called "gorq"; did you mean "groq"?; give the wire that it speaks, such as "openai"
    "#);
}

#[test]
fn a_name_that_is_a_kinds_is_told_so_and_nothing_else() {
    for name in ["vertex", "bedrock"] {
        let expected = format!("f.toml:1: `kind` of [[providers]] is missing; give kind = \"{name}\"");
        assert_eq!(mistakes(&format!("name = {name:?}")), expected);
    }
}

#[test]
fn an_address_is_that_of_the_server_and_not_of_one_endpoint() {
    for (url, endpoint) in [
        ("https://relay.example/v1/chat/completions", "/chat/completions"),
        ("https://relay.example/v1/messages/", "/v1/messages"),
    ] {
        let said = mistakes(&format!("name = \"p\"\nkind = \"openai\"\nbase_url = {url:?}"));
        assert_eq!(said, format!("f.toml:4: `base_url` ends in {endpoint}, which is added to it; leave that out"));
    }
}

#[test]
fn an_own_server_says_how_it_differs() {
    let own = provider(
        r#"name = "box"
kind = "openai"
base_url = "http://127.0.0.1:9/api"
api_key = "env:MY_KEY"
key_header = "X-Api-Key"
chat_path = "v2/chat?mode=fast"
unsupported = ["seed"]
rename = { max_completion_tokens = "max_new_tokens" }
stream_usage = false
developer_role = "system"
data_collection = "deny""#,
    );
    assert_eq!(own.quirks.key_header.as_deref(), Some("x-api-key"));
    assert_eq!(own.quirks.chat_path.as_deref(), Some("v2/chat?mode=fast"));
    assert_eq!(own.quirks.unsupported(), ["seed"]);
    assert_eq!(own.quirks.rename["max_completion_tokens"], "max_new_tokens");
    assert_eq!((own.quirks.stream_usage, own.collects_data), (Some(false), false));
}

#[test]
fn what_the_file_says_of_a_known_provider_holds() {
    let groq = provider("name = \"groq\"\nunsupported = []\nrename = { max_completion_tokens = \"max_tokens\" }");
    assert!(groq.quirks.unsupported().is_empty());
    assert_eq!(groq.quirks.rename.len(), 1);
    assert!(groq.collects_data);
}

#[test]
fn a_way_that_leads_elsewhere_is_a_mistake() {
    let box_with =
        |line: &str| mistakes(&format!("name = \"box\"\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:9\"\n{line}"));
    for path in ["https://evil.example/x", "//evil.example", "/x", "../x", "", "a b"] {
        assert!(box_with(&format!("chat_path = {path:?}")).contains("`chat_path`"), "{path}");
    }
    insta::assert_snapshot!(box_with("key_header = \"host\"\ndata_collection = \"no\"\napi_version = \"1\""), @r#"
    f.toml:5: `key_header` "host" will not do; give the header that the key stands in, such as "api-key", or "authorization" for a bearer token
    f.toml:6: `data_collection` of [[providers]] is "no"; give one of "allow", "deny"
    f.toml:7: `api_version` is for kind "azure"; leave it out
    "#);
}

#[test]
fn azure_needs_a_version_but_at_its_v1_address() {
    let azure = |url: &str, rest: &str| format!("name = \"az\"\nkind = \"azure\"\nbase_url = \"{url}\"\n{rest}");
    insta::assert_snapshot!(mistakes(&azure("https://x.openai.azure.com", "")), @r#"f.toml:1: `api_version` of a provider of kind "azure" is missing; give one such as "2024-10-21", or a base_url that ends in /openai/v1"#);
    let old = provider(&azure("https://x.openai.azure.com", "api_version = \"2024-10-21\""));
    assert_eq!(old.api_version.as_deref(), Some("2024-10-21"));
    assert_eq!(provider(&azure("https://x.openai.azure.com/openai/v1/", "")).api_version, None);
}

#[test]
fn an_azure_of_an_old_version_and_who_says_the_reverse_keep_the_older_name_of_a_limit() {
    let renamed = |text: &str| provider(text).quirks.rename.get("max_tokens").cloned();
    let azure = "name = \"az\"\nkind = \"azure\"\nbase_url = \"https://x.openai.azure.com\"\napi_version = ";
    assert_eq!(renamed(&format!("{azure}\"2024-10-21\"")).as_deref(), Some("max_completion_tokens"));
    assert_eq!(renamed(&format!("{azure}\"2024-06-01\"")), None);
    let reverse = "rename = { max_completion_tokens = \"max_tokens\" }";
    assert_eq!(renamed(&format!("name = \"openai\"\napi_key = \"env:MY_KEY\"\n{reverse}")), None);
}

#[test]
fn a_known_name_at_another_address_gets_a_remark() {
    let remarked = |name: &str, url: &str, more: &str| {
        let text = format!("[[providers]]\nname = {name:?}\nkind = \"openai\"\nbase_url = {url:?}\n{more}");
        read(&text).unwrap().remarks.iter().any(|remark| remark.text.contains("and not to be at"))
    };
    assert!(remarked("openai", "https://relay.example/v1", ""));
    assert!(!remarked("openai", "https://eu.api.openai.com/v1", ""), "a region of it");
    assert!(!remarked("openai", "http://127.0.0.1:4000/v1", ""));
    assert!(!remarked("relay", "https://relay.example/v1", ""));
    assert!(!remarked("openai", "https://relay.example/v1", "foreign = []"));
}

#[test]
fn an_embedding_model_is_known_as_one_and_never_routed() {
    let text = r#"
[[providers]]
name = "groq"
[[providers]]
name = "ollama"
[[providers]]
name = "openai"
api_key = "env:MY_KEY"
[[models]]
name = "chatty"
provider = "groq"
[[models]]
name = "text-embedding-3-small"
provider = "openai"
[[models]]
name = "nomic"
provider = "ollama"
kind = "embedding"
input_usd_per_mtok = 0.01
"#;
    let environment = Environment::from_iter([("GROQ_API_KEY", "gsk-1"), ("MY_KEY", "k-1")]);
    let parse =
        |text: &str| config::parse(text, "f.toml", &environment, &Flags::default(), &Catalogue::embedded().unwrap());
    let setup = parse(text).unwrap();
    let names = |models: &[std::sync::Arc<satisfice::catalog::Model>]| -> Vec<String> {
        models.iter().map(|model| model.id.to_string()).collect()
    };
    assert_eq!(names(&setup.gateway.models), ["groq/chatty"]);
    assert_eq!(names(&setup.gateway.embeddings), ["openai/text-embedding-3-small", "ollama/nomic"]);
    assert_eq!(names(&setup.gateway.routes[0].models), ["groq/chatty"]);
    let prices: Vec<_> =
        setup.gateway.embeddings.iter().map(|model| model.price.map(|p| (p.input, p.output))).collect();
    assert_eq!(prices, [Some((0.02, 0.0)), Some((0.01, 0.0))]);
    let wrong = format!("{text}kind = \"vectors\"\n[[routes]]\nname = \"auto\"\nmodels = [\"chatty\", \"nomic\"]\n");
    let wrong = parse(&wrong.replacen("kind = \"embedding\"\ninput_usd_per_mtok = 0.01\nkind", "kind", 1)).unwrap_err();
    assert!(
        wrong.to_string().contains("`kind` of [[models]] is \"vectors\"; give one of \"chat\", \"embedding\""),
        "{wrong}"
    );
    let routed = parse(&format!("{text}[[routes]]\nname = \"auto\"\nmodels = [\"nomic\"]\n")).unwrap_err();
    assert!(routed.to_string().contains("\"nomic\" makes embeddings and answers nothing"), "{routed}");
}
