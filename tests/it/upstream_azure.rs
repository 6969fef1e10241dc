//! Azure OpenAI: its paths and its content filters.

use bytes::Bytes;
use http::StatusCode;
use satisfice::catalog::Usage;
use satisfice::catalog::quirks::Quirks;
use satisfice::upstream::azure::Azure;
use satisfice::upstream::compatible::Compatible;
use satisfice::upstream::settings::{ProviderSettings, Wire};
use satisfice::upstream::{KeyHeader, Provider, StreamItem};
use serde_json::json;

use crate::gateway::{Options, Running, ask, ask_stream, error};
use crate::scripted::{Answer, KEY, Scripted};
use crate::wire;

macro_rules! fixture {
    ($name:literal) => {
        Bytes::from_static(include_bytes!(concat!("../fixtures/azure/", $name)))
    };
}

fn azure(base_path: &str, version: Option<&str>) -> Azure {
    Azure::new(Compatible::new("azure", Quirks::default()), base_path, version.map(str::to_owned))
}

#[test]
fn a_deployment_is_named_where_the_base_url_leaves_it_to_the_path() {
    let path = |base: &str, version| azure(base, version).path("gpt-4o mini", false);
    let version = Some("2024-10-21");
    let deployment = "deployments/gpt-4o%20mini/chat/completions?api-version=2024-10-21";
    assert_eq!(path("/", version), format!("openai/{deployment}"));
    assert_eq!(path("/behind/apim", version), format!("openai/{deployment}"));
    assert_eq!(path("/openai/", version), deployment);
    assert_eq!(path("/openai/deployments/gpt", version), "chat/completions?api-version=2024-10-21");
    assert_eq!(path("/openai/v1/", None), "chat/completions");
    assert_eq!(path("/openai/v1", Some("preview")), "chat/completions?api-version=preview");
    assert_eq!(
        azure("/", version).path("a/b?c", true).split('?').next(),
        Some("openai/deployments/a%2Fb%3Fc/chat/completions")
    );
    assert_eq!(azure("/", version).key_header(), KeyHeader::Named("api-key"));
}

#[test]
fn filter_results_of_an_answer_pass_through() {
    let body = fixture!("completion.json");
    let reply = wire::whole(&azure("/", None), &wire::hello(), body.clone());
    assert_eq!(reply.body.as_ptr(), body.as_ptr());
    assert_eq!(reply.text.content, "Yes, customer managed keys are supported.");
    assert_eq!(reply.usage, Some(Usage { input_tokens: 57, output_tokens: 8, ..Usage::default() }));
}

#[test]
fn every_chunk_but_usage_is_for_the_client_filter_results_among_them() {
    let items = wire::streamed(&azure("/", None), &wire::hello(), fixture!("stream.sse")).unwrap();
    let chunks: Vec<_> = items
        .iter()
        .filter_map(|item| match item {
            StreamItem::Chunk { text, usage, usage_only, .. } => Some((&*text.content, usage.is_some(), *usage_only)),
            StreamItem::Done => None,
        })
        .collect();
    let shown = |content| (content, false, false);
    let expected = [shown(""), shown(""), shown("Color"), shown(" is a"), shown(""), shown(""), ("", true, true)];
    assert_eq!(chunks, expected);
    let data = wire::chunks(&items);
    assert!(data[0]["prompt_filter_results"][0]["content_filter_results"]["jailbreak"].is_object());
    assert_eq!(data[4]["choices"][0]["content_filter_offsets"]["end_offset"], 198);
    assert_eq!(items.last(), Some(&StreamItem::Done));
}

#[test]
fn a_filtered_prompt_says_by_which_filters() {
    let error = azure("/", None).error(StatusCode::BAD_REQUEST, &fixture!("error_filtered.json"));
    assert_eq!(
        (&*error.kind, error.param.as_deref(), error.code.as_deref()),
        ("invalid_request_error", Some("prompt"), Some("content_filter"))
    );
    assert!(error.message.starts_with("The response was filtered due to the prompt"));
    assert!(error.message.ends_with("(filtered: hate: high, jailbreak, self_harm: high, violence: medium)"));
    let missing = azure("/", None).error(StatusCode::NOT_FOUND, &fixture!("error_deployment.json"));
    assert_eq!(missing.code.as_deref(), Some("DeploymentNotFound"));
}

fn settings(upstream: &Scripted) -> ProviderSettings {
    ProviderSettings { wire: Wire::Azure, api_version: Some("2024-10-21".into()), ..upstream.provider("test") }
}

#[tokio::test]
async fn a_gateway_asks_a_deployment_with_the_key_where_azure_wants_it() {
    let providers: fn(&Scripted) -> _ = |upstream| vec![settings(upstream)];
    let running = Running::with(Options { providers: Some(providers), ..Options::default() }).await;
    running.upstream.on("small-upstream", [Answer::json(fixture!("completion.json"))]);
    let body = running.chat(ask("small")).await.text().await.unwrap();
    assert_eq!(body.as_bytes(), &fixture!("completion.json")[..]);
    let seen = &running.upstream.seen()[0];
    let path = "/v1/openai/deployments/small-upstream/chat/completions?api-version=2024-10-21";
    assert_eq!(seen.line, format!("POST {path}"));
    assert_eq!((seen.headers["api-key"].as_bytes(), seen.headers.get("authorization")), (KEY.as_bytes(), None));
}

#[tokio::test]
async fn a_token_of_entra_is_a_bearers() {
    let providers: fn(&Scripted) -> _ = |upstream| {
        let quirks = Quirks { key_header: Some("authorization".into()), ..Quirks::default() };
        vec![ProviderSettings { quirks, ..settings(upstream) }]
    };
    let running = Running::with(Options { providers: Some(providers), ..Options::default() }).await;
    assert_eq!(running.chat(ask("small")).await.status(), 200);
    let headers = &running.upstream.seen()[0].headers;
    assert_eq!((headers["authorization"].to_str().unwrap(), headers.get("api-key")), (&*format!("Bearer {KEY}"), None));
}

#[tokio::test]
async fn a_clients_stream_has_the_filters_words_and_no_usage_that_it_did_not_ask_for() {
    let providers: fn(&Scripted) -> _ = |upstream| vec![settings(upstream)];
    let running = Running::with(Options { providers: Some(providers), ..Options::default() }).await;
    let whole = str::from_utf8(include_bytes!("../fixtures/azure/stream.sse")).unwrap();
    running.upstream.on("small-upstream", [Answer::stream().piece(whole).end()]);
    let told = running.chat(ask_stream("small")).await.text().await.unwrap();
    let (before, after) = whole.split_at(whole.rfind("data: {\"choices\":[]").unwrap());
    let expected = format!("{before}{}", &after[after.find("data: [DONE]").unwrap()..]);
    // What tells of filters alone is a chunk too.
    let expected = expected.replace(r#""object":"""#, r#""object":"chat.completion.chunk""#);
    let expected = expected.replace(r#""end_offset":198}}]"#, r#""end_offset":198},"delta":{}}]"#);
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_filtered_prompt_is_the_clients_to_hear() {
    let providers: fn(&Scripted) -> _ = |upstream| vec![settings(upstream)];
    let running = Running::with(Options { providers: Some(providers), ..Options::default() }).await;
    let refusal = Answer::whole(400, &[("content-type", "application/json")], fixture!("error_filtered.json"));
    running.upstream.on("small-upstream", [refusal]);
    let (status, body) = error(running.chat(ask("small")).await).await;
    assert_eq!((status, &body["code"], &body["param"]), (400, &json!("content_filter"), &json!("prompt")));
}
