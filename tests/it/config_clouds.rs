//! Clouds whose accounts are in the environment, where there is no file.

use satisfice::catalog::facts::Mode;
use satisfice::catalog::providers::Catalogue;
use satisfice::config::{self, Environment, Flags, Generated, NoKeys, PriceOrigin};
use satisfice::upstream::settings::Wire;
use secrecy::ExposeSecret;

const KEY_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/vertex/key_of_no_account.json");
const ACCOUNT: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")];

fn made(variables: &[(&str, &str)]) -> Result<Generated, NoKeys> {
    let environment = Environment::from_iter(variables.iter().copied());
    config::from_environment(&environment, &Flags::default(), &Catalogue::embedded().unwrap())
}

/// What is built beside a provider that is there in any case, and what is said of the rest.
fn beside(variables: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let Generated { setup, toml } = made(&[variables, &[("OPENAI_API_KEY", "sk-o")]].concat()).unwrap();
    let said: Vec<String> = setup.remarks.into_iter().map(|remark| remark.text).collect();
    assert!(said.iter().all(|remark| toml.contains(remark)), "what is left out is printed too: {toml}");
    (setup.providers.into_iter().map(|provider| provider.name).skip(1).collect(), said)
}

#[test]
fn a_bearer_token_and_a_region_are_a_bedrock() {
    let made = made(&[("AWS_BEARER_TOKEN_BEDROCK", "ABSK-1"), ("AWS_DEFAULT_REGION", "eu-north-1")]).unwrap();
    insta::assert_snapshot!(made.toml, @r#"
    # These inference profiles answer from any region of their geography; global ones from any.
    [[providers]]
    name = "bedrock"
    kind = "bedrock"
    region = "eu-north-1"
    api_key = "env:AWS_BEARER_TOKEN_BEDROCK"

    [[models]]
    name = "eu.anthropic.claude-haiku-5-5"
    provider = "bedrock"

    [[models]]
    name = "eu.amazon.nova-2-lite-v1:0"
    provider = "bedrock"

    [[models]]
    name = "eu.anthropic.claude-sonnet-5-5"
    provider = "bedrock"

    [[models]]
    name = "eu.anthropic.claude-opus-5-5"
    provider = "bedrock"

    [[routes]]
    name = "auto"
    models = ["eu.anthropic.claude-haiku-5-5", "eu.amazon.nova-2-lite-v1:0", "eu.anthropic.claude-sonnet-5-5", "eu.anthropic.claude-opus-5-5"]
    "#);
    let bedrock = &made.setup.providers[0];
    assert_eq!((bedrock.wire, bedrock.api_keys[0].expose_secret()), (Wire::Bedrock, "ABSK-1"));
    assert_eq!(bedrock.base_url.as_str(), "https://bedrock-runtime.eu-north-1.amazonaws.com/");
    assert!(bedrock.aws.is_none() && !made.toml.contains("ABSK"));
}

#[test]
fn an_accounts_keys_and_a_region_are_one_too() {
    let region = [("AWS_REGION", "us-west-2"), ("AWS_DEFAULT_REGION", "eu-north-1")];
    let temporary = made(&[&ACCOUNT[..], &region, &[("AWS_SESSION_TOKEN", "token-1")]].concat()).unwrap();
    let aws = temporary.setup.providers[0].aws.as_ref().unwrap();
    assert_eq!((&*aws.region, aws.access_key_id.expose_secret()), ("us-west-2", "AKIDEXAMPLE"));
    assert_eq!(aws.session_token.as_ref().unwrap().expose_secret(), "token-1");
    assert!(!temporary.toml.contains("wJalr") && !temporary.toml.contains("token-1"), "{}", temporary.toml);
    let own = [("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://127.0.0.1:9")];
    let lasting = made(&[&ACCOUNT[..], &region, &own].concat()).unwrap();
    assert_eq!(lasting.setup.providers[0].base_url.as_str(), "http://127.0.0.1:9/");
    assert!(lasting.setup.providers[0].aws.as_ref().unwrap().session_token.is_none());
    let both = made(&[&ACCOUNT[..], &region, &[("AWS_BEARER_TOKEN_BEDROCK", "ABSK-1")]].concat()).unwrap();
    assert!(both.setup.providers[0].aws.is_none(), "as Amazon's own libraries take them");
}

#[test]
fn prompts_stay_in_a_regions_geography_where_a_model_is_there() {
    for (region, first, nova) in [
        ("us-east-1", "us.anthropic.claude-haiku-5-5", Some("us.amazon.nova-2-lite-v1:0")),
        ("eu-central-1", "eu.anthropic.claude-haiku-5-5", Some("eu.amazon.nova-2-lite-v1:0")),
        ("ap-northeast-1", "jp.anthropic.claude-haiku-5-5", Some("jp.amazon.nova-2-lite-v1:0")),
        ("ap-southeast-2", "au.anthropic.claude-haiku-5-5", Some("apac.amazon.nova-2-lite-v1:0")),
        ("ap-south-1", "apac.anthropic.claude-haiku-5-5", Some("apac.amazon.nova-2-lite-v1:0")),
        ("sa-east-1", "global.anthropic.claude-haiku-5-5", Some("global.amazon.nova-2-lite-v1:0")),
        ("us-gov-west-1", "us-gov.anthropic.claude-haiku-5-5", None),
    ] {
        let made = made(&[("AWS_BEARER_TOKEN_BEDROCK", "ABSK-1"), ("AWS_REGION", region)]).unwrap();
        let names: Vec<&str> = made.setup.gateway.models.iter().map(|model| &*model.id.model).collect();
        assert_eq!((names[0], names.iter().copied().find(|name| name.contains("nova"))), (first, nova), "{region}");
        for origin in &made.setup.origins {
            assert!(matches!(origin, PriceOrigin::Catalogue(fact) if names.contains(&&*fact.model)), "{origin:?}");
        }
        assert_eq!(made.setup.remarks, [], "{region}");
    }
}

#[test]
fn a_service_account_a_project_and_a_place_are_a_vertex() {
    let place = [("GOOGLE_CLOUD_PROJECT", "p-1"), ("GOOGLE_CLOUD_LOCATION", "europe-west4")];
    let made = made(&[&place[..], &[("GOOGLE_APPLICATION_CREDENTIALS", KEY_FILE)]].concat()).unwrap();
    let vertex = &made.setup.providers[0];
    assert_eq!((vertex.wire, vertex.service_account.is_some()), (Wire::Vertex, true));
    let url = "https://europe-west4-aiplatform.googleapis.com/v1/projects/p-1/locations/europe-west4";
    assert_eq!(vertex.base_url.as_str(), url);
    assert!(made.setup.gateway.models.iter().all(|model| model.price.is_some()));
    assert_eq!(beside(&place), (vec![], vec![]), "a project alone is none of our business");
}

#[test]
fn half_an_account_is_said_to_be_and_keeps_nobody_else_from_starting() {
    let google = ("GOOGLE_APPLICATION_CREDENTIALS", KEY_FILE);
    let place = [("GOOGLE_CLOUD_PROJECT", "p-1"), ("GOOGLE_CLOUD_LOCATION", "global")];
    let no_key = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    for (variables, words) in [
        (vec![("AWS_BEARER_TOKEN_BEDROCK", "ABSK-1")], "AWS_BEARER_TOKEN_BEDROCK is set, and no region is"),
        (ACCOUNT.to_vec(), "AWS_ACCESS_KEY_ID is set, and no region is"),
        (vec![ACCOUNT[0], ("AWS_REGION", "us-east-1")], "AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not"),
        (vec![ACCOUNT[1]], "AWS_SECRET_ACCESS_KEY is set, and AWS_ACCESS_KEY_ID is not"),
        (
            vec![ACCOUNT[0], ACCOUNT[1], ("AWS_REGION", "cn-north-1")],
            "which models Bedrock has in cn-north-1 is not known",
        ),
        (vec![("AWS_BEARER_TOKEN_BEDROCK", "ABSK-1"), ("AWS_REGION", "eu_x")], "AWS_REGION is \"eu_x\""),
        (vec![google], "GOOGLE_CLOUD_PROJECT is not"),
        (vec![google, place[0]], "GOOGLE_CLOUD_LOCATION is not"),
        (
            vec![("GOOGLE_APPLICATION_CREDENTIALS", no_key), place[0], place[1]],
            "is not the JSON of a service account's key",
        ),
        (vec![("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere"), place[0], place[1]], "cannot be read"),
    ] {
        let (built, said) = beside(&variables);
        assert_eq!((built.len(), said.len()), (0, 1), "{built:?} {said:?}");
        assert!(said[0].contains(words), "{said:?}");
        let nothing = made(&variables).unwrap_err().to_string();
        assert!(nothing.contains(words) && nothing.contains("OPENAI_API_KEY"), "{nothing}");
    }
    assert_eq!(beside(&[("AWS_REGION", "us-east-1"), ("AWS_SESSION_TOKEN", "t")]), (vec![], vec![]));
}

#[test]
fn the_clouds_models_are_in_the_catalogue() {
    let catalogue = Catalogue::embedded().unwrap();
    let known =
        |provider, model: &String| catalogue.facts.lookup(provider, model).is_some_and(|f| f.mode == Mode::Chat);
    assert!(catalogue.clouds.bedrock.iter().all(|model| known("bedrock", model)));
    assert!(catalogue.clouds.vertex.iter().all(|model| known("vertex", model)));
}
