//! `models` and `provider`: a client's own say in who answers, as clients of OpenRouter write it.

use reqwest::Response;
use satisfice::catalog::quirks::Quirks;
use satisfice::gateway::{Fallbacks as RouteFallbacks, Resilience, RouteSettings, Settings};
use satisfice::upstream::settings::ProviderSettings;
use serde_json::{Value, json};

use crate::gateway::{Options, Running, ask, error, header, model_of, route, settings};
use crate::scripted::{Answer, Scripted};

/// Three providers: `test`, `other`, which keeps nothing, and `router`, which routes itself. Upstreams call a model
/// `provider-name`. The route `auto` is over test/small, test/large and other/medium, and explores.
async fn market() -> Running {
    let model = |provider: &str, name: &str, usd| model_of(provider, name, &format!("{provider}-{name}"), usd);
    let (small, large, medium) =
        (model("test", "small", 0.1), model("test", "large", 1.0), model("other", "medium", 0.5));
    let auto = route("auto", vec![small.clone(), large.clone(), medium.clone()]);
    // Where an error ends the plan, test/small is to answer.
    let fallbacks = RouteFallbacks { error: Some(vec![small.clone()]), ..RouteFallbacks::default() };
    let resilience = Resilience { fallbacks, ..Resilience::default() };
    let auto = RouteSettings { explore: true, resilience, ..auto };
    let models = vec![small, large, model("other", "small", 0.05), medium, model("router", "wild", 0.3)];
    let settings = Settings { models, routes: vec![auto], attempts: 5, ..settings() };
    let providers: fn(&Scripted) -> _ = |upstream| {
        let quirks = Quirks { routes_itself: true, ..Quirks::default() };
        vec![
            upstream.provider("test"),
            ProviderSettings { collects_data: false, ..upstream.provider("other") },
            ProviderSettings { quirks, ..upstream.provider("router") },
        ]
    };
    Running::with(Options { settings, providers: Some(providers), ..Options::default() }).await
}

fn wishing(model: &str, wishes: Value) -> Value {
    let mut body = ask(model);
    body.as_object_mut().unwrap().extend(wishes.as_object().unwrap().clone());
    body
}

/// Who answered, how it came to that, and after how many calls.
fn answered(response: &Response) -> (&str, &str, &str) {
    let header = |name| header(response, name).unwrap();
    (header("x-satisfice-model"), header("x-satisfice-decision"), header("x-satisfice-attempts"))
}

fn asked(running: &Running) -> Vec<String> {
    running.upstream.seen().iter().map(|seen| seen.model()).collect()
}

#[tokio::test]
async fn models_are_asked_in_their_order() {
    let running = market().await;
    running.upstream.on("test-large", [Answer::status(503, "busy")]);
    let wishes = json!({"models": ["test/large", "other/medium", "test/small"]});
    let response = running.chat(wishing("test/large", wishes.clone())).await;
    assert_eq!(answered(&response), ("other/medium", "fallback", "2"));
    let sent = running.upstream.seen().pop().unwrap().json();
    assert!(sent.get("models").is_none(), "{sent}");
    let mut without_model = wishing("x", wishes);
    without_model.as_object_mut().unwrap().remove("model");
    assert_eq!(answered(&running.chat(without_model).await).0, "other/medium");
}

#[tokio::test]
async fn a_plain_name_is_the_model_of_each_provider_that_has_it() {
    let running = market().await;
    let order = json!({"provider": {"order": ["Other/turbo", "test"]}});
    assert_eq!(answered(&running.chat(wishing("small", order.clone())).await), ("other/small", "pinned", "1"));
    running.upstream.on("other-small", [Answer::status(503, "busy")]);
    assert_eq!(answered(&running.chat(wishing("small", order)).await), ("test/small", "pinned", "2"));
    let cheapest = json!({"provider": {"sort": "price", "allow_fallbacks": false}});
    let (status, _) = error(running.chat(wishing("small", cheapest)).await).await;
    assert_eq!((status, asked(&running).last().map(String::as_str)), (502, Some("other-small")));
}

#[tokio::test]
async fn a_route_decides_among_what_is_left_with_exact_propensities() {
    let mut running = market().await;
    for (wishes, expected) in [
        (json!({"only": ["other"]}), &["medium"][..]),
        (json!({"ignore": ["other"]}), &["small", "large"]),
        (json!({"max_price": {"prompt": 0.5}}), &["small", "medium"]),
        (json!({"max_price": {"completion": "0.3"}}), &["small"]),
        (json!({"data_collection": "deny"}), &["medium"]),
        (json!({"data_collection": "allow"}), &["small", "large", "medium"]),
    ] {
        let response = running.chat(wishing("auto", json!({"provider": wishes}))).await;
        assert!(["exploit", "explore"].contains(&answered(&response).1), "{wishes}");
        let decision = running.finished().await.decision.expect("a decision");
        let arms: Vec<_> = decision.candidates.iter().map(|candidate| &*candidate.arm).collect();
        assert_eq!(arms, expected, "{wishes}");
        let total: f64 = decision.candidates.iter().map(|candidate| candidate.propensity).sum();
        assert!((total - 1.0).abs() < 1e-12, "{total}");
    }
}

#[tokio::test]
async fn an_order_leaves_a_route_nothing_to_decide() {
    let mut running = market().await;
    let by_price = running.chat(wishing("auto", json!({"provider": {"sort": {"by": "price"}}}))).await;
    assert_eq!(answered(&by_price), ("test/small", "pinned", "1"));
    let trace = running.finished().await;
    assert_eq!((trace.route.as_deref(), trace.decision), (Some("auto"), None));
    let ordered = running.chat(wishing("auto", json!({"provider": {"order": ["other"]}}))).await;
    assert_eq!(answered(&ordered), ("other/medium", "pinned", "1"));
}

#[tokio::test]
async fn a_routes_fallbacks_may_be_the_clients() {
    let running = market().await;
    for name in ["test-small", "test-large"] {
        running.upstream.on(name, [Answer::status(503, "busy")]);
    }
    let wishes = json!({"models": ["auto", "other/small"], "provider": {"ignore": []}});
    assert_eq!(answered(&running.chat(wishing("auto", wishes)).await).0, "other/small");
    let alone = json!({"provider": {"allow_fallbacks": false, "only": ["test"]}});
    let before = asked(&running).len();
    assert_eq!(running.chat(wishing("auto", alone)).await.status(), 502);
    assert!(asked(&running)[before..].windows(2).all(|pair| pair[0] == pair[1]), "one model only");
}

#[tokio::test]
async fn a_routes_fallbacks_are_nobody_whom_the_client_excluded() {
    let running = market().await;
    running.upstream.on("other-medium", [Answer::status(401, "no key")]);
    let only = json!({"provider": {"only": ["other"]}});
    assert_eq!(running.chat(wishing("auto", only)).await.status(), 502);
    assert_eq!(asked(&running), ["other-medium"]);
}

#[tokio::test]
async fn what_was_measured_orders_by_latency_and_throughput() {
    let running = market().await;
    running.chat(ask("test/large")).await;
    for by in ["latency", "throughput"] {
        let response = running.chat(wishing("auto", json!({"provider": {"sort": by}}))).await;
        assert_eq!(answered(&response).0, "test/large", "the only one that was measured comes first");
    }
}

#[tokio::test]
async fn a_provider_that_routes_itself_hears_what_is_for_it() {
    let running = market().await;
    let wishes = json!({
        "models": ["router/wild", "vendor/unknown"],
        "provider": {"order": ["deepinfra", "router"], "only": ["test"], "zdr": true, "sort": "price"},
    });
    let (status, body) = error(running.chat(wishing("router/wild", wishes.clone())).await).await;
    assert_eq!((status, body["param"].as_str()), (400, Some("provider.only")));
    let mut wishes = wishes;
    wishes["provider"]["only"] = json!(["deepinfra", "test"]);
    assert_eq!(running.chat(wishing("router/wild", wishes)).await.status(), 200);
    let sent = running.upstream.seen().pop().unwrap().json();
    assert_eq!(sent["provider"], json!({"order": ["deepinfra"], "only": ["deepinfra"], "zdr": true, "sort": "price"}));
    assert_eq!(sent["models"], json!(["vendor/unknown"]));
}

#[tokio::test]
async fn what_is_wrong_with_a_wish_is_said_with_its_field() {
    let running = market().await;
    for (model, wishes, param, words) in [
        ("small", json!({"models": "small"}), "models", "a list of models"),
        ("small", json!({"models": ["small", "smal"]}), "models[1]", "no route or model is called"),
        ("small", json!({"models": ["small", "auto"]}), "models[1]", "is the route"),
        ("small", json!({"models": ["auto"]}), "models[0]", "is the route"),
        ("small", json!({"provider": "test"}), "provider", "an object"),
        ("small", json!({"provider": {"order": "test"}}), "provider.order", "a list of providers"),
        ("auto", json!({"provider": {"order": ["tset"]}}), "provider.order", "there are: other, router, test"),
        ("auto", json!({"provider": {"ignore": ["openai"]}}), "provider.ignore", "no provider here"),
        ("auto", json!({"provider": {"only": []}}), "provider.only", "leave no model to ask"),
        ("auto", json!({"provider": {"sort": "best"}}), "provider.sort", "throughput"),
        ("auto", json!({"provider": {"sort": {"by": "price", "partition": "x"}}}), "provider.sort", "partition"),
        ("auto", json!({"provider": {"max_price": {"prompt": -1}}}), "provider.max_price", "USD per million"),
        (
            "auto",
            json!({"provider": {"max_price": {"prompt": 0}}}),
            "provider.max_price",
            "test/small: provider.max_price",
        ),
        (
            "auto",
            json!({"provider": {"max_price": {"image": 1}}}),
            "provider.max_price.image",
            "nothing that this gateway",
        ),
        ("auto", json!({"provider": {"data_collection": "no"}}), "provider.data_collection", "deny"),
        ("auto", json!({"provider": {"allow_fallbacks": "no"}}), "provider.allow_fallbacks", "true or false"),
        (
            "auto",
            json!({"provider": {"quantizations": ["fp8"]}}),
            "provider.quantizations",
            "nothing that this gateway",
        ),
        ("test/small", json!({"provider": {"only": ["other"]}}), "provider.only", "does not name its provider"),
    ] {
        let (status, body) = error(running.chat(wishing(model, wishes.clone())).await).await;
        assert_eq!((status, body["param"].as_str()), (400, Some(param)), "{wishes} {body}");
        assert!(body["message"].as_str().unwrap().contains(words), "{body}");
    }
    assert!(running.upstream.seen().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn a_null_is_no_wish() {
    let running = market().await;
    let response = running.chat(wishing("small", json!({"models": null, "provider": {"order": null}}))).await;
    assert_eq!(answered(&response), ("test/small", "pinned", "1"));
    let response = running.chat(wishing("", json!({"model": null, "models": ["test/large", "test/small"]}))).await;
    assert_eq!(answered(&response), ("test/large", "pinned", "1"), "OpenAI's SDK sends a null where there is no model");
}

/// A request that needs tools.
fn calling(model: &str, wishes: Value) -> Value {
    let mut body = wishing(model, wishes);
    body["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
    body
}

#[tokio::test]
async fn a_fallback_of_the_clients_that_cannot_answer_is_not_asked() {
    let running = Running::start().await;
    for name in ["small-upstream", "large-upstream"] {
        running.upstream.on(name, [Answer::status(401, "who?")]);
    }
    for model in ["auto", "small"] {
        let response = running.chat(calling(model, json!({"models": ["plain"]}))).await;
        assert_eq!(response.status(), 502, "{model}");
    }
    assert!(!asked(&running).contains(&"plain-upstream".into()), "{:?}", asked(&running));
    let (status, error) = error(running.chat(calling("plain", json!({"models": ["plain"]}))).await).await;
    assert_eq!((status, &error["code"], &error["param"]), (400, &json!("no_model_fits"), &json!("tools")));
    assert!(error["message"].as_str().unwrap().contains("plain cannot call tools"), "{error}");
    running.upstream.on("small-upstream", [Answer::completion("ok")]);
    let response = running.chat(calling("plain", json!({"models": ["plain", "small"]}))).await;
    assert_eq!(header(&response, "x-satisfice-model"), Some("test/small"));
}

#[tokio::test]
async fn what_a_route_falls_back_on_is_asked_where_it_can_answer_and_else_the_error_says_why_not() {
    let models = settings().models;
    let (large, plain) = (models[1].clone(), models[2].clone());
    let fallbacks = RouteFallbacks { error: Some(vec![plain]), ..RouteFallbacks::default() };
    let resilience = Resilience { fallbacks, ..Resilience::default() };
    let auto = RouteSettings { resilience, ..route("auto", vec![large]) };
    let settings = Settings { routes: vec![auto], ..settings() };
    let running = Running::with(Options { settings, ..Options::default() }).await;
    running.upstream.on("large-upstream", [Answer::status(401, "who?")]);
    let (status, error) = error(running.chat(calling("auto", json!({}))).await).await;
    let message = error["message"].as_str().unwrap();
    assert_eq!(status, 502);
    assert!(message.contains("plain cannot call tools"), "{message}");
    assert_eq!(running.upstream.counts(["large-upstream", "plain-upstream"]), [1, 0]);
    let response = running.chat(ask("auto")).await;
    assert_eq!(header(&response, "x-satisfice-model"), Some("test/plain"));
}
