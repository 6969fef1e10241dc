//! Vertex: paths of a project and a place, and the access tokens of a service account.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use satisfice::upstream::anthropic::Anthropic;
use satisfice::upstream::settings::{ProviderSettings, Wire};
use satisfice::upstream::vertex::{ServiceAccount, Vertex, home};
use satisfice::upstream::{Asked, Cause, KeyHeader, Provider, Upstreams};
use serde_json::{Value, json};

use crate::scripted::{Answer, Gate, Scripted, Seen};
use crate::upstream_answers::{ask, causes, whole, with};
use crate::wire::{self, Posts as _};

const KEY_FILE: &str = include_str!("../fixtures/vertex/key_of_no_account.json");
const MODEL: &str = "gemini-2.5-pro";

/// The key file, with `fields` in place of its own.
fn key_file(fields: Value) -> String {
    let mut file: Value = serde_json::from_str(KEY_FILE).unwrap();
    file.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    file.to_string()
}

fn provider(upstream: &Scripted) -> ProviderSettings {
    let token_uri = upstream.base_url().replace("/v1", "/token");
    let account = ServiceAccount::parse(&key_file(json!({"token_uri": token_uri}))).unwrap();
    ProviderSettings {
        wire: Wire::Vertex,
        api_keys: vec![],
        service_account: Some(Arc::new(account)),
        ..upstream.provider("test")
    }
}

fn vertex(upstream: &Scripted) -> Upstreams {
    with(provider(upstream))
}

fn token(name: &str, expires_in: u64) -> Answer {
    Answer::json(json!({"access_token": name, "expires_in": expires_in, "token_type": "Bearer"}).to_string())
}

fn gemini(text: &str) -> Answer {
    let content = json!({"role": "model", "parts": [{"text": text}]});
    Answer::json(json!({"candidates": [{"content": content, "finishReason": "STOP"}]}).to_string())
}

/// The `authorization` of each request for an answer.
fn authorizations(upstream: &Scripted) -> Vec<String> {
    let asked = upstream.seen().into_iter().filter(|seen| seen.model() == MODEL);
    asked.map(|seen| seen.headers["authorization"].to_str().unwrap().to_owned()).collect()
}

#[test]
fn a_model_is_found_by_its_publisher_or_its_endpoint() {
    for (model, path) in [
        ("gemini-2.5-pro", "publishers/google/models/gemini-2.5-pro:generateContent"),
        ("google/gemini-2.5-pro", "publishers/google/models/gemini-2.5-pro:generateContent"),
        ("publishers/google/models/gemini-2.5-pro", "publishers/google/models/gemini-2.5-pro:generateContent"),
        ("endpoints/123", "endpoints/123:generateContent"),
        ("claude-opus-4-5@20251101", "publishers/anthropic/models/claude-opus-4-5@20251101:rawPredict"),
        ("anthropic/claude-haiku-5-5", "publishers/anthropic/models/claude-haiku-5-5:rawPredict"),
    ] {
        assert_eq!(Vertex.path(model, false), path);
    }
    assert!(Vertex.path("gemini-2.5-pro", true).ends_with("gemini-2.5-pro:streamGenerateContent?alt=sse"));
    assert!(Vertex.path("claude-haiku-5-5", true).ends_with("claude-haiku-5-5:streamRawPredict"));
    assert_eq!(Vertex.key_header(), KeyHeader::Bearer);
    assert_eq!(home("global"), "https://aiplatform.googleapis.com/v1");
    assert_eq!(home("europe-west4"), "https://europe-west4-aiplatform.googleapis.com/v1");
    assert_eq!(home("eu"), "https://aiplatform.eu.rep.googleapis.com/v1");
}

#[test]
fn it_says_the_same_as_gemini() {
    let request = wire::chat(include_str!("../fixtures/gemini/request.json"));
    let expected: Value = serde_json::from_str(include_str!("../fixtures/gemini/request_wire.json")).unwrap();
    let body = Vertex.request("google/gemini-3.7-flash", &request).unwrap().body;
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
    let detail = Vertex.error(StatusCode::FORBIDDEN, include_bytes!("../fixtures/vertex/error_permission.json"));
    assert_eq!((&*detail.kind, detail.code.as_deref()), ("permission_error", Some("PERMISSION_DENIED")));
}

#[test]
fn claude_is_asked_in_anthropics_words_without_its_name() {
    let request = wire::chat(include_str!("../fixtures/anthropic/request.json"));
    let mut expected: Value =
        serde_json::from_slice(&Anthropic::below("").request("claude-opus-4-5@20251101", &request).unwrap().body)
            .unwrap();
    expected["anthropic_version"] = "vertex-2023-10-16".into();
    assert!(expected.as_object_mut().unwrap().remove("model").is_some());
    let wire_request = Vertex.request("claude-opus-4-5@20251101", &request).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&wire_request.body).unwrap(), expected);
    assert!(wire_request.headers.is_empty() && Vertex.headers().is_empty(), "its version stands in the body");
    let hello = wire::hello();
    let shorter = Vertex.request_up_to("claude-haiku-5-5", Some(77), &hello).unwrap().body;
    assert_eq!(serde_json::from_slice::<Value>(&shorter).unwrap()["max_tokens"], 77);
}

#[test]
fn claudes_answers_are_read_as_anthropics() {
    let hello = wire::hello();
    let asked = Asked { model: "claude-haiku-5-5", ..wire::asked(&hello) };
    let message = include_str!("../fixtures/anthropic/message.json");
    let expected = Anthropic::below("").reply(&asked, message.into()).unwrap();
    assert_eq!(Vertex.reply(&asked, message.into()).unwrap(), expected);
    assert!(Vertex.reply(&wire::asked(&hello), message.into()).is_err(), "it is none of Gemini's");
    let detail = Vertex.error(StatusCode::BAD_REQUEST, include_bytes!("../fixtures/anthropic/error.json"));
    assert_eq!((&*detail.kind, detail.code), ("invalid_request_error", None));
}

#[test]
fn what_one_of_its_publishers_understands_is_not_refused_for_all() {
    let request =
        |field: &str| wire::chat(format!(r#"{{"model":"a","messages":[{{"role":"user","content":"Hi"}}],{field}}}"#));
    assert_eq!(Vertex.refuses(&request(r#""seed":1"#)), None);
    assert_eq!(Vertex.refuses(&request(r#""parallel_tool_calls":false"#)), None);
    assert!(Vertex.request("claude-haiku-5-5", &request(r#""seed":1"#)).is_err());
    assert!(Vertex.refuses(&request(r#""logit_bias":{"5":1}"#)).is_some());
}

#[test]
fn a_claim_is_signed_with_the_accounts_key() {
    let account = ServiceAccount::parse(KEY_FILE).unwrap();
    let claim = account.assertion(1_700_000_000).unwrap();
    let (signed, signature) = claim.rsplit_once('.').unwrap();
    let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let json_of = |text: &str| serde_json::from_slice::<Value>(&decoded(text)).unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    assert_eq!(json_of(header), json!({"alg": "RS256", "typ": "JWT", "kid": "0123456789abcdef"}));
    let expected = json!({"iss": "gateway@a-project.iam.gserviceaccount.com", "aud": "https://oauth2.googleapis.com/token",
        "scope": "https://www.googleapis.com/auth/cloud-platform", "iat": 1_700_000_000, "exp": 1_700_003_600});
    assert_eq!(json_of(claims), expected);
    let file: Value = serde_json::from_str(KEY_FILE).unwrap();
    let pem = PrivatePkcs8KeyDer::from_pem_slice(file["private_key"].as_str().unwrap().as_bytes()).unwrap();
    let pair = RsaKeyPair::from_pkcs8(pem.secret_pkcs8_der()).unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key());
    public.verify(signed.as_bytes(), &decoded(signature)).unwrap();
}

#[test]
fn says_what_is_wrong_with_a_key_file_and_shows_no_secret() {
    let problem = |json: &str| ServiceAccount::parse(json).unwrap_err();
    assert!(problem("{").contains("line 1"));
    assert!(problem(&key_file(json!({"type": "authorized_user"}))).contains("authorized_user"));
    assert!(problem(&key_file(json!({"client_email": null}))).contains("`client_email`"));
    assert!(problem(&key_file(json!({"private_key": null}))).contains("`private_key`"));
    assert!(problem(&key_file(json!({"private_key": "sk-secret"}))).contains("PEM"));
    assert!(problem(&key_file(json!({"token_uri": "nowhere"}))).contains("`token_uri`"));
    let short = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";
    assert!(problem(&key_file(json!({"private_key": short}))).contains("no RSA key"));
    for text in
        [problem(&key_file(json!({"private_key": "sk-secret"}))), format!("{:?}", ServiceAccount::parse(KEY_FILE))]
    {
        assert!(!text.contains("secret") && !text.contains("MII"), "{text}");
    }
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_sent_with_every_request() {
    let upstream = Scripted::start().await;
    upstream.on("token", [token("ya29.first", 3600)]);
    upstream.on(MODEL, [gemini("hi")]);
    let upstreams = vertex(&upstream);
    for _ in 0..3 {
        assert_eq!(whole(ask(&upstreams, &[MODEL], false).await.unwrap()).text.content, "hi");
    }
    assert_eq!(authorizations(&upstream), ["Bearer ya29.first"; 3]);
    let asked = &upstream.seen()[0];
    assert_eq!(
        (&*asked.line, asked.headers["content-type"].to_str().unwrap()),
        ("POST /token", "application/x-www-form-urlencoded")
    );
    let form = String::from_utf8(asked.body.clone()).unwrap();
    assert!(
        form.starts_with("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=ey"),
        "{form}"
    );
    assert_eq!(upstream.counts(["token"]), [1]);
    assert_eq!(upstream.seen()[1].line, "POST /v1/publishers/google/models/gemini-2.5-pro:generateContent");
}

#[tokio::test]
async fn requests_that_come_together_wait_for_one_token_and_one_that_is_given_up_stops_nobody() {
    let upstream = Scripted::start().await;
    let gate = Gate::closed();
    upstream.on("token", [Answer::default().wait(&gate).then(token("ya29.one", 3600))]);
    upstream.on(MODEL, [gemini("hi")]);
    let upstreams = Arc::new(vertex(&upstream));
    let asking = || {
        let upstreams = Arc::clone(&upstreams);
        tokio::spawn(async move { ask(&upstreams, &[MODEL], false).await.is_ok() })
    };
    let first = asking();
    upstream.until_seen(1).await;
    let others = [asking(), asking()];
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    gate.open();
    for other in others {
        assert!(other.await.unwrap());
    }
    assert_eq!(upstream.counts(["token"]), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_fetched_anew_before_its_end_and_nobody_waits_for_that() {
    let upstream = Scripted::start().await;
    upstream.on("token", [token("ya29.first", 1000), token("ya29.second", 1000)]);
    upstream.on(MODEL, [gemini("hi")]);
    let upstreams = vertex(&upstream);
    ask(&upstreams, &[MODEL], false).await.unwrap();
    tokio::time::advance(Duration::from_secs(899)).await;
    ask(&upstreams, &[MODEL], false).await.unwrap();
    tokio::time::advance(Duration::from_secs(2)).await;
    ask(&upstreams, &[MODEL], false).await.unwrap();
    upstream.until_seen(5).await;
    tokio::time::advance(Duration::from_secs(100)).await;
    ask(&upstreams, &[MODEL], false).await.unwrap();
    let [first, second] = ["Bearer ya29.first", "Bearer ya29.second"];
    assert_eq!(authorizations(&upstream), [first, first, first, second]);
    assert_eq!(upstream.counts(["token"]), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_token_endpoint_that_fails_is_left_alone_for_a_while_as_long_as_there_is_a_token() {
    let upstream = Scripted::start().await;
    upstream.on("token", [token("ya29.first", 1000), Answer::whole(503, &[], "busy")]);
    upstream.on(MODEL, [gemini("hi")]);
    let upstreams = vertex(&upstream);
    ask(&upstreams, &[MODEL], false).await.unwrap();
    tokio::time::advance(Duration::from_secs(901)).await;
    for _ in 0..20 {
        ask(&upstreams, &[MODEL], false).await.unwrap();
    }
    upstream.until_seen(2 + 20 + 1).await;
    assert_eq!(upstream.counts(["token"]), [2]);
    while upstream.counts(["token"]) == [2] {
        tokio::time::advance(Duration::from_secs(11)).await;
        ask(&upstreams, &[MODEL], false).await.expect("the first token is there until then");
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_not_used_again() {
    let upstream = Scripted::start().await;
    upstream.on("token", [token("ya29.first", 3600), token("ya29.second", 3600)]);
    upstream.on(MODEL, [Answer::status(401, "expired"), gemini("hi")]);
    let upstreams = vertex(&upstream);
    let refused = ask(&upstreams, &[MODEL], false).await.unwrap_err();
    assert_eq!(causes(&refused.attempts), [Some(Cause::Credentials)]);
    ask(&upstreams, &[MODEL], false).await.unwrap();
    assert_eq!(authorizations(&upstream), ["Bearer ya29.first", "Bearer ya29.second"]);
}

/// An answer that repeats what it was sent.
fn echo(status: u16) -> impl Fn(&Seen) -> Answer {
    move |seen| {
        let key = seen.headers.get("authorization").map_or("", |key| key.to_str().unwrap());
        let told = format!("{key} {}", String::from_utf8_lossy(&seen.body));
        Answer::whole(status, &[], json!({"error": told}).to_string())
    }
}

#[tokio::test]
async fn neither_a_token_nor_what_it_is_given_for_comes_back_in_an_error() {
    let upstream = Scripted::start().await;
    upstream.on("token", [token("ya29.first", 3600), token("ya29.second", 3600)]);
    upstream.on_each(MODEL, echo(401));
    let upstreams = vertex(&upstream);
    for _ in 0..2 {
        let refused = ask(&upstreams, &[MODEL], false).await.unwrap_err();
        let all = format!("{refused:?}");
        assert!(all.contains("Bearer [redacted]") && !all.contains("ya29"), "{all}");
    }
    upstream.on_each("token", echo(400));
    let refused = ask(&vertex(&upstream), &[MODEL], false).await.unwrap_err();
    let sent = String::from_utf8(upstream.seen().pop().unwrap().body).unwrap();
    let (assertion, all) = (sent.split_once("assertion=").unwrap().1, format!("{refused:?}"));
    assert!(all.contains("assertion=[redacted]") && !all.contains(assertion), "{all}");
}

#[tokio::test(start_paused = true)]
async fn without_a_token_the_error_says_why_and_nothing_secret() {
    let upstream = Scripted::start().await;
    let refusal = json!({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}).to_string();
    upstream.on(
        "token",
        [
            Answer::whole(400, &[], refusal),
            Answer::json("{}"),
            Answer::whole(503, &[], "busy"),
            Answer::default().hang(),
        ],
    );
    let upstreams = vertex(&upstream);
    for (cause, words) in [
        (Cause::Credentials, "400 Bad Request: invalid_grant Invalid JWT Signature."),
        (Cause::Credentials, "the token endpoint answered 200"),
    ] {
        let error = ask(&upstreams, &[MODEL], false).await.unwrap_err().error;
        assert_eq!(error.cause, cause);
        assert!(error.message.contains(words) && !error.message.contains("ey"), "{}", error.message);
    }
    let failed = ask(&upstreams, &[MODEL], false).await.unwrap_err();
    assert_eq!(causes(&failed.attempts), [Some(Cause::Server), Some(Cause::Timeout), Some(Cause::Timeout)]);
    assert!(authorizations(&upstream).is_empty());
}
