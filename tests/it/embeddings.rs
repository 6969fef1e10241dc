//! `POST /v1/embeddings`: asked, counted, passed on; never routed.

use std::sync::{Arc, OnceLock};

use satisfice::api::embeddings::EmbeddingsRequest;
use satisfice::catalog::quirks::Quirks;
use satisfice::catalog::{Model, Price};
use satisfice::gateway::Settings;
use satisfice::upstream::settings::{ProviderSettings, Wire};
use satisfice::upstream::{Limits, Upstreams};
use serde_json::{Value, json};

use crate::cache::{in_flight, metric};
use crate::gateway::{Options, Running, ask, body, error, header, model_of, settings};
use crate::scripted::{Answer, Gate, Scripted, Seen};
use crate::upstream_answers::LIMITS;

const REPLY: &str = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AACAPwAAAEA="}],
    "model":"e","usage":{"prompt_tokens":8,"total_tokens":8}}"#;

/// `vectors` at `provider`, for 0.02 USD a million tokens.
fn vectors(provider: &str, upstream_name: &str) -> Arc<Model> {
    let model = model_of(provider, "vectors", upstream_name, 0.02);
    Arc::new(Model { price: Some(Price::of(0.02, 0.0)), ..(*model).clone() })
}

/// `vectors` at two providers.
async fn running() -> Running {
    let embeddings = vec![vectors("test", "test-vectors"), vectors("other", "other-vectors")];
    let settings = Settings { embeddings, ..settings() };
    Running::with(Options { settings, ..Options::default() }).await
}

/// The same, one of which is Bedrock, which takes one text a call.
async fn bedrock() -> Running {
    bedrock_with(settings()).await
}

async fn bedrock_with(settings: Settings) -> Running {
    let providers = |upstream: &Scripted| {
        let bedrock = ProviderSettings { wire: Wire::Bedrock, ..upstream.provider("test") };
        vec![bedrock, upstream.provider("other")]
    };
    let embeddings = vec![vectors("test", "amazon.titan-embed-text-v2:0"), vectors("other", "other-vectors")];
    let settings = Settings { embeddings, ..settings };
    Running::with(Options { settings, providers: Some(providers), ..Options::default() }).await
}

/// Titan's answer: the number that the text is, which took a token.
fn titan(seen: &Seen) -> Answer {
    let number: f64 = seen.json()["inputText"].as_str().unwrap().parse().unwrap();
    Answer::json(json!({"embedding": [number], "inputTextTokenCount": 1}).to_string())
}

fn numbers(count: usize) -> Value {
    json!({"model": "test/vectors", "input": (0..count).map(|i| i.to_string()).collect::<Vec<_>>()})
}

async fn embed(running: &Running, body: Value) -> reqwest::Response {
    running.post("/v1/embeddings", body.to_string()).send().await.unwrap()
}

#[tokio::test]
async fn an_answer_passes_through_to_the_byte_and_is_counted() {
    let running = running().await;
    running.upstream.on("test-vectors", [Answer::json(REPLY)]);
    let body = json!({"model": "test/vectors", "input": ["a", "b"], "encoding_format": "base64", "x_own": 1});
    let response = embed(&running, body).await;
    assert_eq!((response.status().as_u16(), header(&response, "x-satisfice-model")), (200, Some("test/vectors")));
    assert_eq!(header(&response, "x-satisfice-cost-usd"), Some("0.00000016"));
    assert_eq!(header(&response, "x-satisfice-trace-id"), None, "nothing is recorded");
    assert_eq!(response.text().await.unwrap(), REPLY);
    let seen = &running.upstream.seen()[0];
    assert_eq!(seen.line, "POST /v1/embeddings");
    let sent = json!({"model": "test-vectors", "input": ["a", "b"], "encoding_format": "base64", "x_own": 1});
    assert_eq!(seen.json(), sent);
    let metrics = running.get("/metrics").send().await.unwrap().text().await.unwrap();
    for line in [
        "satisfice_requests_total{route=\"\",segment=\"\",model=\"test/vectors\",outcome=\"answered\",decision=\"pinned\"} 1",
        "satisfice_tokens_total{model=\"test/vectors\",direction=\"input\"} 8",
        "satisfice_cost_usd_total{model=\"test/vectors\"} 1.6e-7",
        "satisfice_upstream_attempts_total{model=\"test/vectors\",result=\"ok\"} 1",
        "satisfice_in_flight_requests 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn another_provider_of_the_model_answers_where_the_first_fails() {
    let running = running().await;
    // The draw, a half, falls on the second of two equal weights.
    running.upstream.on("other-vectors", [Answer::status(503, "busy")]);
    running.upstream.on("test-vectors", [Answer::json(REPLY)]);
    let response = embed(&running, json!({"model": "vectors", "input": "a"})).await;
    assert_eq!(header(&response, "x-satisfice-model"), Some("test/vectors"));
    assert_eq!(header(&response, "x-satisfice-attempts"), Some("2"));
    assert_eq!(header(&response, "x-satisfice-decision"), Some("pinned"), "the model is the one that was asked for");
    let named = embed(&running, json!({"model": "test/vectors", "input": [1, 2, 3]})).await;
    assert_eq!(header(&named, "x-satisfice-attempts"), Some("1"));
}

/// `vectors` at `test`, at `other`, which keeps nothing, and at `router`, which routes itself.
async fn market() -> Running {
    let providers = |upstream: &Scripted| {
        let quirks = Quirks { routes_itself: true, ..Quirks::default() };
        let other = ProviderSettings { collects_data: false, ..upstream.provider("other") };
        vec![upstream.provider("test"), other, ProviderSettings { quirks, ..upstream.provider("router") }]
    };
    let embeddings = ["test", "other"].map(|name| vectors(name, &format!("{name}-vectors")));
    let wild = model_of("router", "wild", "wild", 0.02);
    let settings = Settings { embeddings: embeddings.into_iter().chain([wild]).collect(), ..settings() };
    let running = Running::with(Options { settings, providers: Some(providers), ..Options::default() }).await;
    for model in ["test-vectors", "other-vectors", "wild"] {
        running.upstream.on(model, [Answer::json(REPLY)]);
    }
    running
}

#[tokio::test]
async fn who_may_answer_is_the_clients_to_say() {
    let running = market().await;
    for (wish, answers) in [
        (json!({"data_collection": "deny"}), "other/vectors"),
        (json!({"only": ["test"]}), "test/vectors"),
        (json!({"ignore": ["test"]}), "other/vectors"),
        (json!({"order": ["test"]}), "test/vectors"),
        (json!({"order": ["other"], "allow_fallbacks": false}), "other/vectors"),
    ] {
        let response = embed(&running, json!({"model": "vectors", "input": "a", "provider": wish})).await;
        assert_eq!(header(&response, "x-satisfice-model"), Some(answers), "{wish}");
        assert!(running.upstream.seen().pop().unwrap().json().get("provider").is_none(), "{wish}");
    }
    let asked = running.upstream.seen().len();
    for (model, wishes, param) in [
        ("test/vectors", json!({"provider": {"data_collection": "deny"}}), "provider.data_collection"),
        ("vectors", json!({"provider": {"only": ["tset"]}}), "provider.only"),
        ("vectors", json!({"provider": {"zdr": true}}), "provider.zdr"),
        ("test/vectors", json!({"provider": {"order": ["other"], "allow_fallbacks": false}}), "provider.order"),
        ("vectors", json!({"models": ["wild"]}), "models"),
        ("vectors", json!({"provider": "test"}), "provider"),
    ] {
        let mut body = json!({"model": model, "input": "a"});
        body.as_object_mut().unwrap().extend(wishes.as_object().unwrap().clone());
        let (status, error) = error(embed(&running, body).await).await;
        assert_eq!((status, error["param"].as_str()), (400, Some(param)), "{error}");
    }
    assert_eq!(running.upstream.seen().len(), asked);
    let wish = json!({"order": ["router", "deepinfra"], "zdr": true});
    let response = embed(&running, json!({"model": "wild", "input": "a", "provider": wish})).await;
    assert_eq!(response.status(), 200);
    let sent = running.upstream.seen().pop().unwrap().json();
    assert_eq!(sent["provider"], json!({"order": ["deepinfra"], "zdr": true}));
}

#[tokio::test]
async fn a_wire_that_knows_nothing_like_a_preference_is_not_told_of_it() {
    let running = bedrock().await;
    running.upstream.on_each("invoke", titan);
    let asked = json!({"model": "test/vectors", "input": "1", "models": [], "provider": {"only": ["test"]}});
    assert_eq!(embed(&running, asked).await.status(), 200);
}

#[tokio::test]
async fn what_cannot_be_embedded_is_refused_with_its_field() {
    let running = running().await;
    for (body, status, param, words) in [
        (json!({"model": "auto", "input": "a"}), 400, "model", "routing does not apply to embeddings"),
        (json!({"model": "small", "input": "a"}), 400, "model", "answers chats"),
        (json!({"model": "nothing", "input": "a"}), 404, "model", "there are: vectors"),
        (json!({"input": "a"}), 400, "model", "model is missing"),
        (json!({"model": "vectors"}), 400, "input", "input is missing"),
        (json!({"model": "vectors", "input": ""}), 400, "input", "not empty"),
        (json!({"model": "vectors", "input": {"a": 1}}), 400, "input", "a list of strings"),
    ] {
        let (found, error) = error(embed(&running, body.clone()).await).await;
        assert_eq!((found, &error["param"]), (status, &param.into()), "{body} {error}");
        assert!(error["message"].as_str().unwrap().contains(words), "{error}");
    }
    let (status, error) = error(running.chat(ask("vectors")).await).await;
    assert_eq!((status, &error["param"]), (400, &"model".into()));
    assert!(error["message"].as_str().unwrap().contains("/v1/embeddings"), "{error}");
    assert!(running.upstream.seen().is_empty());
}

#[tokio::test]
async fn the_wires_that_are_said_to_embed_are_those_that_do() {
    let providers = |upstream: &Scripted| {
        let of_wire = |(kind, wire)| ProviderSettings { wire, ..upstream.provider(kind) };
        let wires = Wire::KINDS.into_iter().map(of_wire);
        wires.chain(["test", "other"].map(|name| upstream.provider(name))).collect()
    };
    let embeddings = Wire::KINDS.map(|(kind, _)| vectors(kind, "e")).to_vec();
    let settings = Settings { embeddings, ..settings() };
    let running = Running::with(Options { settings, providers: Some(providers), ..Options::default() }).await;
    for (kind, wire) in Wire::KINDS {
        let answer = embed(&running, json!({"model": format!("{kind}/vectors"), "input": "a"})).await;
        let text = answer.text().await.unwrap();
        assert_eq!(
            wire.embeds(),
            !text.contains("embeddings are not served by this provider's wire"),
            "{kind}: {text}"
        );
    }
}

#[tokio::test]
async fn an_upstreams_refusal_and_nonsense_reach_the_client_as_errors() {
    let running = running().await;
    running.upstream.on("test-vectors", [Answer::status(400, "too long")]);
    let (status, error_body) = error(embed(&running, json!({"model": "test/vectors", "input": "a"})).await).await;
    assert_eq!((status, error_body["message"].as_str()), (400, Some("too long")));
    running.upstream.on("other-vectors", [Answer::json(r#"{"data":"none"}"#)]);
    let (status, error_body) = error(embed(&running, json!({"model": "other/vectors", "input": "a"})).await).await;
    assert_eq!((status, error_body["code"].as_str()), (502, Some("upstream_malformed")));
}

#[tokio::test]
async fn an_error_under_a_200_counts_as_what_it_says_it_is() {
    let limit = r#"{"error":{"message":"Slow down.","type":"requests","code":"rate_limit_exceeded"}}"#;
    let google = r#"{"error":{"code":503,"message":"Overloaded.","status":"UNAVAILABLE"}}"#;
    let with_data = r#"{"object":"list","data":null,"error":{"message":"No such model.","code":404}}"#;
    for (told, status, code, words, result) in [
        (limit, 429, "rate_limit_exceeded", "Slow down.", "rate_limited"),
        (google, 502, "upstream_failed", "Overloaded.", "server"),
        (with_data, 502, "upstream_configuration", "No such model.", "configuration"),
        (r#"{"error":"out of luck"}"#, 502, "upstream_malformed", "out of luck", "malformed"),
    ] {
        let running = bedrock_with(Settings { attempts: 1, ..settings() }).await;
        running.upstream.on("invoke", [Answer::json(told)]);
        running.upstream.on("other-vectors", [Answer::json(told)]);
        for model in ["test/vectors", "other/vectors"] {
            let (found, error) = error(embed(&running, json!({"model": model, "input": "1"})).await).await;
            assert_eq!((found, error["code"].as_str()), (status, Some(code)), "{model}: {error}");
            assert!(error["message"].as_str().unwrap().contains(words), "{error}");
            let metrics = running.get("/metrics").send().await.unwrap().text().await.unwrap();
            let line = format!("satisfice_upstream_attempts_total{{model=\"{model}\",result=\"{result}\"}}");
            assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
        }
    }
}

#[tokio::test]
async fn a_wire_that_takes_one_text_a_call_gets_a_call_for_each_and_their_order_is_kept() {
    let running = bedrock().await;
    let gate = Gate::closed();
    let first = gate.clone();
    running.upstream.on_each("invoke", move |seen| match &*seen.json()["inputText"].to_string() {
        "\"0\"" => Answer::default().wait(&first).then(titan(seen)),
        _ => titan(seen),
    });
    let (response, ()) = tokio::join!(embed(&running, numbers(20)), async {
        running.upstream.until_seen(8).await;
        gate.open();
    });
    assert_eq!(header(&response, "x-satisfice-model"), Some("test/vectors"));
    assert_eq!(header(&response, "x-satisfice-attempts"), Some("1"), "one request, whatever it takes");
    let cost_usd: f64 = header(&response, "x-satisfice-cost-usd").unwrap().parse().unwrap();
    assert!((cost_usd - 20.0 * 0.02 / 1e6).abs() < 1e-15, "{cost_usd}");
    let reply = body(response).await;
    let vectors: Vec<f64> =
        reply["data"].as_array().unwrap().iter().map(|item| item["embedding"][0].as_f64().unwrap()).collect();
    assert_eq!(vectors, (0..20).map(f64::from).collect::<Vec<_>>());
    assert_eq!(reply["usage"], json!({"prompt_tokens": 20, "total_tokens": 20}));
    let lines: Vec<String> = running.upstream.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(lines, vec!["POST /v1/model/amazon.titan-embed-text-v2%3A0/invoke"; 20]);
}

#[tokio::test]
async fn a_header_has_left_out_what_the_wire_knows_nothing_like_unless_the_body_says_otherwise() {
    let running = bedrock().await;
    running.upstream.on_each("invoke", titan);
    for (body, header, status) in [
        (None, None, 400),
        (None, Some("true"), 200),
        (Some(false), Some("true"), 400),
        (Some(true), Some("false"), 200),
    ] {
        let mut asked = json!({"model": "test/vectors", "input": "1", "input_type": "search_query"});
        body.into_iter().for_each(|drop: bool| asked["drop_unsupported"] = drop.into());
        let posted = running.post("/v1/embeddings", asked.to_string());
        let posted =
            header.into_iter().fold(posted, |posted, value| posted.header("x-satisfice-drop-unsupported", value));
        assert_eq!(posted.send().await.unwrap().status().as_u16(), status, "{body:?} {header:?}");
    }
    assert!(running.upstream.seen().iter().all(|seen| seen.json().get("input_type").is_none()));
}

#[tokio::test]
async fn at_most_eight_of_one_requests_calls_are_under_way() {
    let running = bedrock().await;
    let gate = Gate::closed();
    let all = gate.clone();
    running.upstream.on_each("invoke", move |seen| Answer::default().wait(&all).then(titan(seen)));
    let (response, ()) = tokio::join!(embed(&running, numbers(20)), async {
        for done in 0..20 {
            running.upstream.until_seen((8 + done).min(20)).await;
            // A whole request there and back: what else was on its way has come.
            running.get("/health").send().await.unwrap();
            assert_eq!(running.upstream.seen().len(), (8 + done).min(20));
            gate.open();
        }
    });
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn in_an_outage_each_call_of_a_request_counts_against_what_retries_may_add() {
    let upstream = Scripted::start().await;
    upstream.on_each("invoke", |_| Answer::status(503, "busy"));
    let bedrock = ProviderSettings { wire: Wire::Bedrock, ..upstream.provider("test") };
    let upstreams = Upstreams::new(vec![bedrock], LIMITS.deadlines.connect).unwrap();
    let models = ["amazon.titan-embed-text-v1", "amazon.titan-embed-text-v2:0"].map(crate::upstream_answers::model);
    let targets: Vec<&Model> = models.iter().collect();
    let request = EmbeddingsRequest::parse(&numbers(8).to_string().into()).unwrap();
    // As where no client waits: who is left alone, which both soon are, is asked all the same.
    let limits = Limits { insists: true, ..LIMITS };
    let once = Limits { attempts: 1, ..limits.clone() };
    for target in 0..10 {
        upstreams.embed(&targets[target % 2..][..1], &request, &once, &OnceLock::new()).await.unwrap_err();
    }
    let (requests, mut attempts, before) = (40, 0, upstream.seen().len());
    for _ in 0..requests {
        let failed = upstreams.embed(&targets, &request, &limits, &OnceLock::new()).await.unwrap_err();
        attempts += failed.attempts.len();
    }
    let (first, all) = (8 * requests, 8 * attempts);
    assert!(upstream.seen().len() - before <= all);
    assert!(all > first && all <= first + first * 15 / 100 + 20, "{all} calls where {first} were asked for");
}

#[tokio::test]
async fn where_one_of_the_calls_fails_the_next_provider_gets_the_whole_input() {
    let running = bedrock().await;
    running.upstream.on_each("invoke", |seen| match &*seen.json()["inputText"].to_string() {
        "\"3\"" => Answer::status(503, "busy"),
        _ => titan(seen),
    });
    running.upstream.on("other-vectors", [Answer::json(REPLY)]);
    let response = embed(&running, numbers(12)).await;
    assert_eq!(response.status(), 502, "this provider alone was asked for");
    let mut body = numbers(12);
    body["model"] = "vectors".into();
    for _ in 0..2 {
        let response = embed(&running, body.clone()).await;
        assert_eq!(header(&response, "x-satisfice-model"), Some("other/vectors"));
    }
    let last = running.upstream.seen().pop().unwrap().json();
    assert_eq!(last["input"], body["input"]);
}

#[tokio::test]
async fn token_ids_go_to_a_provider_that_takes_them_and_are_refused_where_there_is_none() {
    let running = bedrock().await;
    running.upstream.on("other-vectors", [Answer::json(REPLY)]);
    let (status, refused) = error(embed(&running, json!({"model": "test/vectors", "input": [1, 2]})).await).await;
    assert_eq!((status, &refused["param"]), (400, &"input".into()));
    let response = embed(&running, json!({"model": "vectors", "input": [1, 2]})).await;
    assert_eq!(header(&response, "x-satisfice-model"), Some("other/vectors"));
}

#[tokio::test]
async fn the_call_of_a_client_that_leaves_is_counted() {
    let running = running().await;
    running.upstream.on("test-vectors", [Answer::default().wait(&Gate::closed())]);
    let asked = running.post("/v1/embeddings", json!({"model": "test/vectors", "input": "a"}).to_string()).send();
    let asked = tokio::spawn(asked);
    running.upstream.until_seen(1).await;
    asked.abort();
    in_flight(&running, 0).await;
    for line in [
        "satisfice_upstream_attempts_total{model=\"test/vectors\",result=\"abandoned\"} 1",
        "satisfice_requests_total{route=\"\",segment=\"\",model=\"test/vectors\",outcome=\"client_gone\",decision=\"pinned\"} 1",
    ] {
        metric(&running, line).await;
    }
}
