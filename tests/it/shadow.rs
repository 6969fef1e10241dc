//! Shadows and judges, through HTTP: a whole gateway with its learner and its disk before a scripted upstream.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use satisfice::catalog::providers::Catalogue;
use satisfice::cli::assemble::{self, Running};
use satisfice::config::{self, Environment, Flags};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::gateway::{ask, ask_stream, client, error, header};
use crate::scripted::{Answer, Gate, Scripted};

/// Generous: only a test that fails takes as long.
const PATIENCE: Duration = Duration::from_secs(60);
/// USD for the 10 tokens in and 5 out of each scripted answer.
const SMALL: f64 = 2e-6;
const LARGE: f64 = 20e-6;
const JUDGE: f64 = 200e-6;
/// Shadows that may be under way.
const ROOM: usize = 32;
/// Requests of which all are compared before the next ones come.
const GROUP: usize = 16;

/// A segment with a knob of its own.
const SEGMENT: &str = r#"quality = 0.1
shadow = 1
[[routes.segments]]
name = "search"
metadata = { team = "search" }
quality = 0.2
"#;

/// A segment that the best model answers.
const BEST: &str = r#"quality = 0.1
shadow = 1
[[routes.segments]]
name = "best"
metadata = { team = "best" }
quality = 1
"#;

/// Both models at another provider too, which is dearer.
const SPARE: &str = r#"quality = 0.1
shadow = 1
balance = "price"
[[models]]
name = "small"
provider = "spare"
upstream_name = "spare-small"
input_usd_per_mtok = 0.2
output_usd_per_mtok = 0.4
[[models]]
name = "large"
provider = "spare"
upstream_name = "spare-large"
input_usd_per_mtok = 2
output_usd_per_mtok = 4
"#;

/// The large model at another provider too.
const LARGE_ELSEWHERE: &str = r#"quality = 0.1
shadow = 1
[[models]]
name = "large"
provider = "spare"
input_usd_per_mtok = 1
output_usd_per_mtok = 2
"#;

/// As [`SPARE`], and a judge that grades every answer.
const JUDGED: &str = r#"quality = 0.1
shadow = 0
[[models]]
name = "small"
provider = "spare"
upstream_name = "spare-small"
[[scorers]]
name = "thorough"
kind = "judge"
model = "judge"
share = 1
"#;

struct Bench {
    upstream: Scripted,
    folder: TempDir,
    route: &'static str,
}

/// One run of the gateway; the next one finds what it left.
struct Gateway {
    running: Running,
    url: String,
}

impl Bench {
    /// `route`: lines of the route `auto` over `small` and `large`, which a judge grades.
    async fn new(route: &'static str) -> Self {
        let bench = Self { upstream: Scripted::start().await, folder: tempfile::tempdir().unwrap(), route };
        bench.judge_says(r#"{"grade": 0.5}"#);
        bench
    }

    fn judge_says(&self, reply: &str) {
        self.upstream.on("judge", [Answer::completion(reply)]);
    }

    fn config(&self) -> String {
        let base_url = self.upstream.base_url();
        let provider =
            |name: &str| format!("[[providers]]\nname = \"{name}\"\nkind = \"openai\"\nbase_url = \"{base_url}\"\n");
        let model = |name: &str, usd: f64| {
            let price = format!("input_usd_per_mtok = {usd}\noutput_usd_per_mtok = {}\n", 2.0 * usd);
            let provider = if name == "judge" { "jury" } else { "test" };
            format!("[[models]]\nname = \"{name}\"\nprovider = \"{provider}\"\n{price}")
        };
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n{}{}{}\
             {}{}{}[[routes]]\nname = \"auto\"\nmodels = [\"small\", \"large\"]\nexplore = false\n{}\n\
             [[scorers]]\nname = \"strict\"\nkind = \"judge\"\nmodel = \"judge\"\nshare = 0\n",
            provider("test"),
            provider("spare") + "data_collection = \"deny\"\n",
            provider("jury"),
            model("small", 0.1),
            model("large", 1.0),
            model("judge", 10.0),
            self.route,
        )
    }

    async fn start(&self) -> Gateway {
        let flags = Flags { data_dir: Some(self.folder.path().join("data")), ..Flags::default() };
        let catalogue = Catalogue::embedded().unwrap();
        let setup = config::parse(&self.config(), "test", &Environment::default(), &flags, &catalogue).unwrap();
        let running = assemble::assemble(setup, None).await.unwrap();
        Gateway { url: format!("http://{}", running.address()), running }
    }
}

impl Gateway {
    async fn post(&self, body: Value) -> reqwest::Response {
        client().post(format!("{}/v1/chat/completions", self.url)).body(body.to_string()).send().await.unwrap()
    }

    /// Sends a request to the route; the answer's headers and text.
    async fn chat(&self, body: Value) -> (reqwest::header::HeaderMap, String) {
        let response = self.post(body).await;
        assert_eq!(response.status(), 200);
        (response.headers().clone(), response.text().await.unwrap())
    }

    /// Sends a request to the route, with this bar of its own, and scores the answer.
    async fn scored(&self, bar: &str, value: u8) {
        let url = format!("{}/v1/chat/completions", self.url);
        let asked = client().post(url).header("x-satisfice-quality", bar).body(ask("auto").to_string());
        let answer = asked.send().await.unwrap();
        let score = json!({"trace_id": header(&answer, "x-satisfice-trace-id"), "name": "quality", "value": value});
        answer.bytes().await.unwrap();
        let posted = client().post(format!("{}/v1/feedback", self.url)).body(score.to_string()).send();
        assert_eq!(posted.await.unwrap().status(), 200);
    }

    async fn get(&self, path: &str) -> String {
        client().get(format!("{}{path}", self.url)).send().await.unwrap().text().await.unwrap()
    }

    async fn route(&self) -> Value {
        serde_json::from_str(&self.get("/v1/routes/auto").await).unwrap()
    }

    /// The route, once it is as `wanted`.
    async fn until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let asking = async {
            loop {
                let route = self.route().await;
                if wanted(&route) {
                    return route;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, asking).await.expect("the route in time")
    }

    /// The kept trace of this request, once it is there.
    async fn trace(&self, id: &str) -> Value {
        let asking = async {
            loop {
                let trace: Value = serde_json::from_str(&self.get(&format!("/v1/traces/{id}")).await).unwrap();
                if trace["outcome"].is_string() {
                    return trace;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, asking).await.expect("the trace in time")
    }

    /// The kept trace of the shadow of this request, once it is there: the route hears of an answer first.
    async fn shadow_of(&self, id: &str) -> Value {
        let asking = async {
            loop {
                let page: Value = serde_json::from_str(&self.get("/v1/traces").await).unwrap();
                if let Some(shadow) = page["traces"].as_array().unwrap().iter().find(|trace| trace["shadows"] == id) {
                    return shadow.clone();
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, asking).await.expect("the shadow's trace in time")
    }

    /// Waits for a line of the metrics.
    async fn until_metric(&self, line: &str) {
        let asking = async {
            while !self.get("/metrics").await.lines().any(|found| found == line) {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{line} in time"));
    }

    async fn stop(self) {
        self.running.stop(std::future::pending()).await.unwrap();
    }
}

fn usd(route: &Value, key: &str) -> f64 {
    route[key].as_f64().unwrap_or_else(|| panic!("{key} of {route}"))
}

fn assert_usd(route: &Value, expected: [(&str, f64); 3]) {
    for (key, expected) in expected {
        assert!((usd(route, key) - expected).abs() < 1e-12, "{key}: {expected}, {route}");
    }
}

fn compared(count: usize) -> impl Fn(&Value) -> bool {
    move |route| route["compared"] == count
}

#[tokio::test]
async fn a_shadowed_request_is_sent_twice_and_the_client_does_not_wait_for_the_second() {
    let bench = Bench::new("quality = 0.1\nshadow = 1").await;
    let slow = Gate::closed();
    bench.upstream.on("small", [Answer::completion("from small")]);
    bench.upstream.on("large", [Answer::default().wait(&slow).then(Answer::completion("from large"))]);
    let gateway = bench.start().await;
    let (headers, text) = gateway.chat(ask("auto")).await;
    assert!(text.contains("from small"), "{text}");
    assert_eq!(headers["x-satisfice-model"], "test/small");
    // The client has its answer, which is judged, and the best model's is still to come.
    bench.upstream.until_seen(3).await;
    assert_eq!(bench.upstream.counts(["small", "large", "judge"]), [1, 1, 1]);
    slow.open();
    let route = gateway.until(compared(1)).await;
    assert_eq!(bench.upstream.counts(["small", "large", "judge"]), [1, 1, 2]);
    assert_usd(&route, [("spent_usd", SMALL), ("shadow_cost_usd", LARGE), ("judge_cost_usd", 2.0 * JUDGE)]);
    let net = usd(&route, "saved_usd") - LARGE - 2.0 * JUDGE;
    assert!((usd(&route, "net_saved_usd") - net).abs() < 1e-12, "{route}");
    assert_eq!(route["decided"], 1, "a shadow is no request of the route's");
    assert_eq!((&route["models"][0]["scored"], &route["models"][1]["scored"]), (&json!(1), &json!(1)));
    gateway.stop().await;
}

#[tokio::test]
async fn a_shadow_is_a_trace_of_its_own_that_names_the_request_and_asks_for_a_whole_answer() {
    let bench = Bench::new("quality = 0.1\nshadow = 1").await;
    let gateway = bench.start().await;
    let (headers, text) = gateway.chat(ask_stream("auto")).await;
    assert!(text.contains("[DONE]"), "{text}");
    gateway.until(compared(1)).await;
    let asked = bench.upstream.seen().into_iter().find(|seen| seen.model() == "large").unwrap().json();
    assert!(asked.get("stream").is_none() && asked.get("stream_options").is_none(), "{asked}");
    let id = headers["x-satisfice-trace-id"].to_str().unwrap();
    let shadow = gateway.shadow_of(id).await;
    assert_eq!((&shadow["model"], &shadow["outcome"]), (&json!("test/large"), &json!("answered")));
    assert_eq!((&shadow["decision"]["kind"], &shadow["decision"]["audit"]["share"]), (&json!("shadow"), &json!(1.0)));
    for id in [id, shadow["id"].as_str().unwrap()] {
        let trace: Value = serde_json::from_str(&gateway.get(&format!("/v1/traces/{id}")).await).unwrap();
        let grade = trace["scores"].as_array().unwrap().iter().find(|score| score["source"] == "strict").unwrap();
        assert_eq!((&grade["name"], &grade["value"]), (&json!("judge"), &json!(0.5)), "{trace}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn nobody_scores_an_answer_that_no_client_saw() {
    let bench = Bench::new("quality = 0.1\nshadow = 1").await;
    let gateway = bench.start().await;
    let (headers, _) = gateway.chat(ask("auto")).await;
    let id = headers["x-satisfice-trace-id"].to_str().unwrap();
    let shadow = gateway.shadow_of(id).await;
    let route = gateway.until(compared(1)).await;
    for (trace, status) in [(shadow["id"].as_str().unwrap(), 404), (id, 200)] {
        let score = json!({"trace_id": trace, "name": "quality", "value": 0});
        let posted = client().post(format!("{}/v1/feedback", gateway.url)).body(score.to_string()).send();
        assert_eq!(posted.await.unwrap().status(), status);
    }
    let quality = |route: &Value| route["models"][1]["quality"].clone();
    assert_eq!(quality(&gateway.route().await), quality(&route));
    gateway.stop().await;
}

#[tokio::test]
async fn nobody_scores_a_model_that_was_asked_by_name() {
    let bench = Bench::new("quality = 0.1\nshadow = 0").await;
    let gateway = bench.start().await;
    let (headers, _) = gateway.chat(ask("large")).await;
    let id = headers["x-satisfice-trace-id"].to_str().unwrap();
    gateway.trace(id).await;
    let score = json!({"trace_id": id, "name": "quality", "value": 0});
    let posted = client().post(format!("{}/v1/feedback", gateway.url)).body(score.to_string()).send().await.unwrap();
    let (status, error) = error(posted).await;
    assert_eq!((status, &error["param"], &error["code"]), (422, &json!("trace_id"), &json!("not_routed")));
    gateway.stop().await;
}

#[tokio::test]
async fn where_the_best_model_answers_there_is_no_second_call() {
    let bench = Bench::new("quality = 1\nshadow = 1").await;
    let gateway = bench.start().await;
    let (headers, _) = gateway.chat(ask("auto")).await;
    assert_eq!(headers["x-satisfice-model"], "test/large");
    let route = gateway.until(compared(1)).await;
    assert_eq!(bench.upstream.counts(["small", "large", "judge"]), [0, 1, 1]);
    assert_usd(&route, [("spent_usd", LARGE), ("shadow_cost_usd", 0.0), ("judge_cost_usd", JUDGE)]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_best_model_that_fails_is_counted_and_lowers_no_quality() {
    let bench = Bench::new("quality = 0.1\nshadow = 1").await;
    bench.upstream.on("large", [Answer::status(503, "busy")]);
    let gateway = bench.start().await;
    let before = gateway.route().await;
    gateway.chat(ask("auto")).await;
    gateway.until_metric(r#"satisfice_shadows_total{route="auto",result="failed"} 1"#).await;
    let route = gateway.until(|route| usd(route, "judge_cost_usd") > 0.0).await;
    assert_eq!(bench.upstream.counts(["small", "large", "judge"]), [1, 1, 1], "one call, and the client's answer");
    assert_eq!((&route["compared"], usd(&route, "shadow_cost_usd")), (&json!(0), 0.0));
    let scored = |route: &Value| route["models"][1]["scored"].clone();
    assert_eq!(scored(&route), scored(&before));
    gateway.stop().await;
}

#[tokio::test]
async fn a_judge_that_gives_no_grade_costs_and_says_nothing() {
    let bench = Bench::new("quality = 0.1\nshadow = 1").await;
    bench.judge_says("It is hard to say.");
    let gateway = bench.start().await;
    gateway.chat(ask("auto")).await;
    gateway.until_metric(r#"satisfice_judgements_total{judge="strict",result="unreadable"} 2"#).await;
    gateway.until_metric(r#"satisfice_upstream_attempts_total{model="jury/judge",result="ok"} 2"#).await;
    let route = gateway.until(|route| usd(route, "judge_cost_usd") > 1.5 * JUDGE).await;
    assert_usd(&route, [("judge_cost_usd", 2.0 * JUDGE), ("shadow_cost_usd", LARGE), ("compared", 0.0)]);
    assert_eq!((&route["models"][0]["scored"], &route["models"][1]["scored"]), (&json!(0), &json!(0)));
    gateway.stop().await;
}

#[tokio::test]
async fn a_judge_reads_nothing_that_its_client_keeps_from_its_provider() {
    let bench = Bench::new(JUDGED).await;
    let gateway = bench.start().await;
    let wishes = [json!({"data_collection": "deny"}), json!({"only": ["spare"]}), json!({"ignore": ["test", "jury"]})];
    for (i, wish) in wishes.iter().enumerate() {
        let mut body = ask("auto");
        body["provider"] = wish.clone();
        assert_eq!(gateway.chat(body).await.0["x-satisfice-model"], "spare/small", "{wish}");
        let line = format!(r#"satisfice_judgements_total{{judge="thorough",result="withheld"}} {}"#, i + 1);
        gateway.until_metric(&line).await;
    }
    let mut body = ask("auto");
    body["provider"] = json!({"only": ["test", "jury"], "max_price": {"prompt": 5}});
    gateway.chat(body).await;
    gateway.until_metric(r#"satisfice_judgements_total{judge="thorough",result="graded"} 1"#).await;
    assert_eq!(bench.upstream.counts(["judge"]), [1]);
    gateway.stop().await;
}

#[tokio::test]
async fn what_was_not_the_route_s_own_to_decide_is_not_shadowed() {
    let bench = Bench::new("quality = 0.1\nshadow = 1").await;
    let gateway = bench.start().await;
    gateway.chat(ask("small")).await;
    let own = client().post(format!("{}/v1/chat/completions", gateway.url)).header("x-satisfice-quality", "0.2");
    assert_eq!(
        header(&own.body(ask("auto").to_string()).send().await.unwrap(), "x-satisfice-model"),
        Some("test/small")
    );
    let mut with_tools = ask("auto");
    with_tools["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
    gateway.chat(with_tools).await;
    assert_eq!(bench.upstream.counts(["small", "large"]), [3, 0]);
    // A fallback's answer was nobody's choice.
    bench.upstream.on("small", [Answer::status(503, "busy"), Answer::completion("ok")]);
    let (headers, _) = gateway.chat(ask("auto")).await;
    assert_eq!(headers["x-satisfice-model"], "test/large");
    gateway.chat(ask("auto")).await;
    gateway.until(compared(1)).await;
    assert_eq!(bench.upstream.counts(["small", "large"]), [5, 2]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_shadow_of_a_segment_s_request_is_the_segment_s() {
    let bench = Bench::new(SEGMENT).await;
    let gateway = bench.start().await;
    let request = client().post(format!("{}/v1/chat/completions", gateway.url)).body(ask("auto").to_string());
    let response = request.header("x-satisfice-metadata", "team=search").send().await.unwrap();
    let id = header(&response, "x-satisfice-trace-id").unwrap().to_owned();
    assert!(response.text().await.unwrap().contains("choices"));
    let route = gateway.until(|route| route["segments"][0]["compared"] == 1).await;
    let segment = &route["segments"][0];
    assert_usd(segment, [("spent_usd", SMALL), ("shadow_cost_usd", LARGE), ("judge_cost_usd", 2.0 * JUDGE)]);
    assert_usd(&route, [("spent_usd", 0.0), ("shadow_cost_usd", 0.0), ("judge_cost_usd", 0.0)]);
    assert_eq!((&segment["decided"], &route["decided"], &route["compared"]), (&json!(1), &json!(0), &json!(0)));
    gateway.until_metric("satisfice_route_compared{route=\"auto\",segment=\"search\"} 1.0").await;
    let shadow = gateway.shadow_of(&id).await;
    assert_eq!((&shadow["metadata"], &shadow["decision"]["segment"]), (&json!({"team": "search"}), &json!("search")));
    gateway.stop().await;
}

#[tokio::test]
async fn a_model_of_several_providers_is_compared_whichever_of_them_answers_and_asked_at_one_of_them() {
    let bench = Bench::new(SPARE).await;
    bench.upstream.on("small", [Answer::status(503, "busy")]);
    let gateway = bench.start().await;
    let (headers, _) = gateway.chat(ask("auto")).await;
    assert_eq!(["x-satisfice-model", "x-satisfice-decision"].map(|name| &headers[name]), ["spare/small", "exploit"]);
    gateway.until(compared(1)).await;
    assert_eq!(bench.upstream.counts(["small", "spare-small", "large", "spare-large"]), [1, 1, 1, 0]);
    gateway.stop().await;
}

#[tokio::test]
async fn who_may_stand_in_for_whom_does_not_say_what_a_route_is_compared_with() {
    let bench = Bench::new("quality = 0.1\nshadow = 1").await;
    let gateway = bench.start().await;
    let wishes = [json!({"provider": {"allow_fallbacks": false}}), json!({"models": ["auto", "test/small"]})];
    for (i, wishes) in wishes.into_iter().enumerate() {
        let mut body = ask("auto");
        body.as_object_mut().unwrap().extend(wishes.as_object().unwrap().clone());
        let (headers, _) = gateway.chat(body).await;
        assert_eq!(headers["x-satisfice-model"], "test/small");
        gateway.until(compared(i + 1)).await;
        assert_eq!(bench.upstream.counts(["small", "large"]), [i + 1; 2], "{wishes}");
    }
    gateway.stop().await;
}

/// Grades small's answers .5 and large's .9, but gives no grade every third time.
fn forgetful(upstream: &Scripted) {
    upstream.on("small", [Answer::completion("from small")]);
    upstream.on("large", [Answer::completion("from large")]);
    let asked = AtomicUsize::new(0);
    upstream.on_each("judge", move |seen| match asked.fetch_add(1, Ordering::Relaxed) % 3 {
        2 => Answer::completion("It is hard to say."),
        _ if seen.json().to_string().contains("from small") => Answer::completion(r#"{"grade": 0.5}"#),
        _ => Answer::completion(r#"{"grade": 0.9}"#),
    });
}

#[tokio::test]
async fn a_judge_that_fails_now_and_then_biases_no_comparison() {
    let bench = Bench::new(LARGE_ELSEWHERE).await;
    forgetful(&bench.upstream);
    let gateway = bench.start().await;
    let mut large = ask("auto");
    // The judge, too, is to read what is said.
    large["provider"] = json!({"only": ["spare", "jury"]});
    let (smalls, larges, groups) = (9, 6, 24);
    for group in 1..=groups {
        for _ in 0..smalls {
            gateway.chat(ask("auto")).await;
        }
        for _ in 0..larges {
            assert_eq!(gateway.chat(large.clone()).await.0["x-satisfice-model"], "spare/large");
        }
        // Two answers are judged where the small model gave one of them.
        let judged = (group * (2 * smalls + larges)) as f64 * JUDGE;
        gateway.until(|route| usd(route, "judge_cost_usd") > judged - JUDGE / 2.0).await;
    }
    let route = gateway.route().await;
    assert!(route["compared"].as_u64().unwrap() < groups * (smalls + larges), "{route}");
    let own = (smalls as f64 * 0.5 + larges as f64 * 0.9) / (smalls + larges) as f64;
    for (key, mean) in [("measured_quality", own), ("best_quality", 0.9), ("kept", own / 0.9)] {
        assert!((usd(&route[key], "mean") - mean).abs() < 1e-9, "{key} of {route}");
    }
    gateway.stop().await;
    let again = bench.start().await;
    assert_eq!(again.route().await, route);
    again.stop().await;
}

#[tokio::test]
async fn shadows_beyond_the_room_are_dropped_and_counted() {
    let bench = Bench::new("quality = 0.1\nshadow = 1").await;
    let slow = Gate::closed();
    bench.upstream.on("large", [Answer::default().wait(&slow).then(Answer::completion("ok"))]);
    let gateway = bench.start().await;
    for _ in 0..ROOM + 1 {
        gateway.chat(ask("auto")).await;
    }
    gateway.until_metric(r#"satisfice_shadows_total{route="auto",result="dropped"} 1"#).await;
    (0..ROOM).for_each(|_| slow.open());
    gateway.until(compared(ROOM)).await;
    assert_eq!(bench.upstream.counts(["small", "large"]), [ROOM + 1, ROOM]);
    gateway.stop().await;
}

#[tokio::test]
async fn without_room_a_request_that_the_best_model_answers_is_in_no_comparison_either() {
    let bench = Bench::new(BEST).await;
    bench.upstream.on("small", [Answer::completion("from small")]);
    // What is learned meanwhile leaves the best model the best.
    bench.upstream.on_each("judge", |seen| {
        let grade = if seen.json().to_string().contains("from small") { 0.1 } else { 0.9 };
        Answer::completion(&json!({"grade": grade}).to_string())
    });
    let slow = Gate::closed();
    let held = slow.clone();
    bench.upstream.on_each("large", move |seen| match seen.json()["messages"][0]["content"] == "Your best." {
        true => Answer::completion("the best"),
        false => Answer::default().wait(&held).then(Answer::completion("ok")),
    });
    let gateway = bench.start().await;
    for _ in 0..ROOM {
        gateway.chat(ask("auto")).await;
    }
    let mut best = ask("auto");
    best["messages"][0]["content"] = "Your best.".into();
    let best = || {
        let url = format!("{}/v1/chat/completions", gateway.url);
        client().post(url).header("x-satisfice-metadata", "team=best").body(best.to_string()).send()
    };
    let response = best().await.unwrap();
    assert_eq!(header(&response, "x-satisfice-model"), Some("test/large"));
    let dropped = gateway.trace(header(&response, "x-satisfice-trace-id").unwrap()).await;
    assert_eq!(dropped["decision"]["audit"], Value::Null, "{dropped}");
    gateway.until_metric(r#"satisfice_shadows_total{route="auto",result="dropped"} 1"#).await;
    (0..ROOM).for_each(|_| slow.open());
    gateway.until_metric(&format!(r#"satisfice_shadows_total{{route="auto",result="answered"}} {ROOM}"#)).await;
    let response = best().await.unwrap();
    let compared = gateway.trace(header(&response, "x-satisfice-trace-id").unwrap()).await;
    assert_eq!(compared["decision"]["audit"]["share"], 1.0, "{compared}");
    let route = gateway.until(|route| route["segments"][0]["compared"] == 1 && route["compared"] == ROOM).await;
    assert_eq!(route["segments"][0]["decided"], 2);
    gateway.stop().await;
}

/// The large model is held to be the best at first; then the small one turns out to be perfect.
#[tokio::test]
async fn what_is_said_to_be_saved_is_of_the_model_that_is_named_best() {
    let bench = Bench::new("quality = 0.1\nshadow = 0").await;
    let gateway = bench.start().await;
    for _ in 0..GROUP {
        gateway.chat(ask("auto")).await;
    }
    let route = gateway.until(|route| route["decided"] == GROUP).await;
    assert_eq!(route["best"]["model"], "large", "{route}");
    assert!(usd(&route, "saved_usd") > GROUP as f64 * SMALL, "{route}");
    // These have a bar of their own: what they cost is not the knob's.
    for _ in 0..100 {
        if gateway.route().await["best"]["model"] == "small" {
            break;
        }
        gateway.scored("0.05", 1).await;
    }
    let route = gateway.route().await;
    assert_eq!(route["best"]["model"], "small", "{route}");
    let n = GROUP as f64;
    assert_usd(&route, [("spent_usd", n * SMALL), ("always_best_usd", n * SMALL), ("saved_usd", 0.0)]);
    let metrics = gateway.get("/metrics").await;
    let shown = metrics
        .lines()
        .find_map(|line| line.strip_prefix("satisfice_route_always_best_usd{route=\"auto\",segment=\"\"} "));
    let shown: f64 = shown.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap();
    assert!((shown - n * SMALL).abs() < 1e-12, "{shown}");
    gateway.stop().await;
    let again = bench.start().await;
    assert_eq!(again.route().await, route);
    again.stop().await;
}

#[tokio::test]
async fn answers_that_no_judge_reads_are_counted() {
    let bench = Bench::new(JUDGED).await;
    let gateway = bench.start().await;
    let mut with_tools = ask("auto");
    with_tools["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
    gateway.chat(with_tools).await;
    gateway.until_metric("satisfice_judgements_total{judge=\"thorough\",result=\"left_out\"} 1").await;
    gateway.chat(ask("auto")).await;
    gateway.until_metric("satisfice_judgements_total{judge=\"thorough\",result=\"graded\"} 1").await;
    assert_eq!(bench.upstream.counts(["judge"]), [1]);
    let metrics = gateway.get("/metrics").await;
    assert!(!metrics.contains("judge=\"strict\""), "it draws none: {metrics}");
    gateway.stop().await;
}

#[tokio::test]
async fn what_was_measured_is_shown_with_intervals_and_a_restart_keeps_it() {
    let bench = Bench::new("quality = 0.1\nshadow = 1").await;
    let gateway = bench.start().await;
    for group in 1..=7 {
        for _ in 0..GROUP {
            gateway.chat(ask("auto")).await;
        }
        let route = gateway.until(compared(group * GROUP)).await;
        let metrics = gateway.get("/metrics").await;
        for key in ["measured_quality", "best_quality", "kept"] {
            let shown = metrics.contains(&format!("satisfice_route_{key}{{"));
            assert_eq!(route[key].is_null(), !shown, "{key} of group {group}: {route}");
        }
    }
    let route = gateway.until(|route| route["decided"] == 7 * GROUP).await;
    for (key, mean) in [("measured_quality", 0.5), ("best_quality", 0.5), ("kept", 1.0)] {
        let measure = &route[key];
        assert_eq!((&measure["mean"], &measure["scores"]), (&json!(mean), &json!(7 * GROUP)), "{key}: {route}");
        assert!(usd(measure, "low") <= mean && mean <= usd(measure, "high"));
    }
    let n = (7 * GROUP) as f64;
    assert_usd(&route, [("spent_usd", n * SMALL), ("shadow_cost_usd", n * LARGE), ("judge_cost_usd", 2.0 * n * JUDGE)]);
    gateway.until_metric(&format!("satisfice_route_compared{{route=\"auto\",segment=\"\"}} {}.0", 7 * GROUP)).await;
    for (key, mean) in [("measured_quality", "0.5"), ("best_quality", "0.5"), ("kept", "1.0")] {
        gateway.until_metric(&format!("satisfice_route_{key}{{route=\"auto\",segment=\"\"}} {mean}")).await;
    }
    gateway.stop().await;
    let again = bench.start().await;
    assert_eq!(again.route().await, route);
    again.stop().await;
}
