//! The keys of a provider of Google's cloud.

use satisfice::catalog::providers::Catalogue;
use satisfice::config::{self, Environment, Flags, Mistakes, Setup};
use satisfice::upstream::settings::Wire;

const KEY_FILE: &str = include_str!("../fixtures/vertex/key_of_no_account.json");

/// A provider of kind `kind` with these keys, and one model of it.
fn read(kind: &str, keys: &str) -> Result<Setup, Mistakes> {
    let text = format!(
        "[[providers]]\nname = \"cloud\"\nkind = \"{kind}\"\n{keys}\n[[models]]\nname = \"pro\"\n\
         provider = \"cloud\"\nupstream_name = \"google/gemini-2.5-pro\"\n"
    );
    let environment = Environment::from_iter([("KEY_FILE", KEY_FILE), ("TOKEN", "ya29.token"), ("JUNK", "{\"a\":")]);
    config::parse(&text, "f.toml", &environment, &Flags::default(), &Catalogue::embedded().unwrap())
}

fn mistakes(keys: &str) -> String {
    read("vertex", keys).unwrap_err().to_string()
}

#[test]
fn the_place_makes_the_url_and_the_account_names_its_project() {
    let url = |keys: &str| read("vertex", keys).unwrap().providers[0].base_url.to_string();
    assert_eq!(
        url("credentials = \"env:KEY_FILE\""),
        "https://aiplatform.googleapis.com/v1/projects/a-project/locations/global"
    );
    assert_eq!(
        url("project = \"p-1\"\nlocation = \"europe-west4\"\napi_key = \"env:TOKEN\""),
        "https://europe-west4-aiplatform.googleapis.com/v1/projects/p-1/locations/europe-west4"
    );
    assert_eq!(
        url("project = \"p-1\"\nbase_url = \"http://127.0.0.1:9/v1/\"\napi_key = \"env:TOKEN\""),
        "http://127.0.0.1:9/v1/projects/p-1/locations/global"
    );
}

#[test]
fn credentials_come_from_the_environment_or_a_file_and_prices_from_the_catalogue() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.json");
    std::fs::write(&path, KEY_FILE).unwrap();
    for keys in ["credentials = \"env:KEY_FILE\"".to_owned(), format!("credentials_file = '{}'", path.display())] {
        let setup = read("vertex", &keys).unwrap();
        assert_eq!(setup.providers[0].wire, Wire::Vertex);
        let account = setup.providers[0].service_account.as_ref().unwrap();
        assert_eq!(account.token_uri.as_str(), "https://oauth2.googleapis.com/token");
        assert!(setup.gateway.models[0].price.is_some());
        assert!(setup.providers[0].has_credentials());
        assert!(!setup.remarks.iter().any(|remark| remark.text.contains("api_key")), "{:?}", setup.remarks);
        assert!(!format!("{setup:?}").contains("PRIVATE KEY"));
    }
}

#[test]
fn what_is_wrong_is_said_with_its_line_and_a_remedy() {
    insta::assert_snapshot!(mistakes(""), @r#"
    f.toml:1: `credentials` of [[providers]] is missing; give "env:NAME" of a service account's key, `credentials_file`, or `api_key`
    f.toml:1: `project` of [[providers]] is missing; give the id of the Google Cloud project that pays
    "#);
    insta::assert_snapshot!(mistakes("project = \"a/b\"\nlocation = \"\"\ncredentials = \"env:NONE\""), @r#"
    f.toml:4: `project` "a/b" is not one; give the id of a Google Cloud project, such as "my-project"
    f.toml:5: `location` "" is not one; give a place such as "global" or "europe-west4"
    f.toml:6: `credentials` is not set: export the environment variable "NONE" before satisfice starts
    "#);
    let told = mistakes("credentials = 'env:{\"private_key\": \"secret\"}'");
    assert!(told.contains("not shown") && !told.contains("private_key"), "{told}");
    insta::assert_snapshot!(mistakes("credentials = \"env:JUNK\""), @"f.toml:4: `credentials` is not the JSON of a service account's key (line 1, column 5)");
    insta::assert_snapshot!(mistakes("credentials = \"{}\"\ncredentials_file = \"/none\""), @"f.toml:5: both `credentials` and `credentials_file` are given; keep one of them");
    insta::assert_snapshot!(mistakes("credentials = \"{}\""), @r#"f.toml:4: `credentials` is written out; give "env:NAME", or `credentials_file`"#);
    insta::assert_snapshot!(mistakes("credentials_file = \"/none\""), @r#"f.toml:4: `credentials_file` "/none" cannot be read: No such file or directory (os error 2)"#);
    let other = read("gemini", "project = \"p-1\"\napi_key = \"env:TOKEN\"").unwrap_err().to_string();
    insta::assert_snapshot!(other, @r#"f.toml:1: `project` is for `kind = "vertex"` only; leave it out"#);
}

#[test]
fn a_wire_that_one_vendor_speaks_is_at_home_there() {
    let url = |kind: &str| read(kind, "api_key = \"env:TOKEN\"").map(|setup| setup.providers[0].base_url.to_string());
    assert_eq!(url("gemini").unwrap(), "https://generativelanguage.googleapis.com/v1beta");
    assert_eq!(url("cohere").unwrap(), "https://api.cohere.com/v2");
    assert!(url("openai").unwrap_err().to_string().contains("`base_url` of [[providers]] is missing"));
}
