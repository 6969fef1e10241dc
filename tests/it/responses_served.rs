//! A client before a provider of OpenAI's Responses wire: through the whole gateway.

use satisfice::trace::Outcome;
use satisfice::upstream::settings::Wire;
use serde_json::{Value, json};

use crate::gateway::{Options, Running, ask, ask_stream, body, header};
use crate::scripted::Answer;
use crate::wire;

const STREAM: &str = include_str!("../fixtures/responses/stream.sse");
const TOOLS: &str = include_str!("../fixtures/responses/tools.sse");
const ANSWER: &str = include_str!("../fixtures/responses/answer.json");

async fn start() -> Running {
    Running::with(Options { wire: Wire::OpenAiResponses, ..Options::default() }).await
}

fn json_answer(status: u16, body: &str) -> Answer {
    Answer::whole(status, &[("content-type", "application/json")], body)
}

#[tokio::test]
async fn a_chat_is_answered_by_a_response_and_recorded() {
    let mut running = start().await;
    running.upstream.on("small-upstream", [Answer::json(ANSWER)]);
    let answer = body(running.chat(ask("small")).await).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "Hyvää päivää! Oulu on pohjoisessa.");
    let trace = running.finished().await;
    assert_eq!((trace.outcome, trace.usage.unwrap().cached_input_tokens), (Outcome::Answered, 256));
    let seen = &running.upstream.seen()[0];
    assert_eq!((&*seen.line, &seen.json()["store"]), ("POST /v1/responses", &json!(false)));
    assert_eq!(seen.headers["authorization"], format!("Bearer {}", crate::scripted::KEY));
}

#[tokio::test]
async fn a_stream_of_calls_is_openais_and_ends_with_its_usage() {
    let mut running = start().await;
    running.upstream.on("small-upstream", [Answer::stream().piece(&TOOLS[..900]).piece(&TOOLS[900..]).end()]);
    let mut request = ask_stream("small");
    request["stream_options"] = json!({"include_usage": true});
    let told = running.chat(request).await.text().await.unwrap();
    assert!(told.ends_with("data: [DONE]\n\n"), "{told}");
    let chunks: Vec<Value> = told
        .split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .filter_map(|data| serde_json::from_str(data).ok())
        .collect();
    assert_eq!(chunks[chunks.len() - 2]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(chunks.last().unwrap()["usage"]["completion_tokens"], 11);
    assert_eq!(running.upstream.seen()[0].json().get("stream_options"), None);
    assert_eq!(running.finished().await.outcome, Outcome::Answered);
}

#[tokio::test]
async fn a_model_that_fails_before_it_says_anything_is_replaced() {
    let running = start().await;
    let (created, _) = STREAM.split_once("event: response.reasoning_summary_text.delta").unwrap();
    let failed = json!({"type": "response.failed", "response": {"id": "resp_1", "status": "failed",
        "error": {"code": "server_error", "message": "out of order"}}});
    running.upstream.on("small-upstream", [Answer::stream().piece(created).event(&failed.to_string()).end()]);
    running.upstream.on("large-upstream", [Answer::stream().piece(STREAM).end()]);
    let response = running.chat(ask_stream("auto")).await;
    assert_eq!(header(&response, "x-satisfice-model"), Some("test/large"));
    assert!(response.text().await.unwrap().ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn a_stream_that_ends_without_its_last_event_was_cut() {
    let running = start().await;
    let (begun, _) = STREAM.split_once("event: response.completed").unwrap();
    running.upstream.on("small-upstream", [Answer::stream().piece(begun).end()]);
    let told = running.chat(ask_stream("small")).await.text().await.unwrap();
    assert!(told.contains("the stream was cut before its end") && !told.contains("[DONE]"), "{told}");
}

#[tokio::test]
async fn a_prompt_that_is_too_long_goes_to_another_model_and_a_limit_is_told() {
    let running = start().await;
    let long = include_str!("../fixtures/responses/error_context.json");
    running.upstream.on("small-upstream", [json_answer(400, long)]);
    running.upstream.on("large-upstream", [Answer::json(ANSWER)]);
    let response = running.chat(ask("auto")).await;
    assert_eq!(header(&response, "x-satisfice-model"), Some("test/large"));
    let limit = include_str!("../fixtures/responses/error_limit.json");
    running.upstream.on("small-upstream", [Answer::whole(429, &[("retry-after", "60")], limit)]);
    let response = running.chat(ask("small")).await;
    assert_eq!(response.status(), 429);
    assert!(body(response).await["error"]["message"].as_str().unwrap().contains("Rate limit reached"));
}

#[tokio::test]
async fn thoughts_travel_through_the_responses_that_the_gateway_serves() {
    let running = start().await;
    running.upstream.on("small-upstream", [Answer::json(include_str!("../fixtures/responses/tools.json"))]);
    let ask =
        |input: Value| running.post("/v1/responses", json!({"model": "small", "input": input}).to_string()).send();
    let first = body(ask(json!("Weather?")).await.unwrap()).await;
    let mut input = vec![json!({"role": "user", "content": "Weather?"})];
    input.extend(first["output"].as_array().unwrap().iter().cloned());
    let outputs = ["call_unLAR8MvFNptuiZK6K6HCy5k", "call_2"]
        .map(|id| json!({"type": "function_call_output", "call_id": id, "output": "3"}));
    input.extend(outputs);
    ask(input.into()).await.unwrap();
    let sent = running.upstream.seen()[1].json()["input"].take();
    let kinds: Vec<&str> = sent.as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    let (call, output) = ("function_call", "function_call_output");
    assert_eq!(kinds, ["message", "reasoning", call, call, output, output]);
    assert_eq!((&sent[1]["id"], &sent[1]["encrypted_content"]), (&json!("rs_1"), &json!("gAAAAABoISQ24OyV")));
}

#[tokio::test]
async fn how_thoughts_are_to_be_shown_is_said_to_who_has_a_word_for_it_and_to_nobody_else() {
    let asked = |reasoning: Value| json!({"model": "small", "input": "Hi", "reasoning": reasoning}).to_string();
    let sent = |running: &Running| running.upstream.seen().pop().unwrap().json();
    let running = start().await;
    running.upstream.on("small-upstream", [Answer::json(ANSWER)]);
    for (reasoning, expected) in [
        (json!({"effort": "low", "summary": "detailed"}), json!({"effort": "low", "summary": "detailed"})),
        (json!({"generate_summary": "auto"}), json!({"summary": "auto"})),
        (json!({"effort": null, "summary": null}), Value::Null),
    ] {
        let answer = running.post("/v1/responses", asked(reasoning.clone())).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), &body(answer).await["reasoning"]), (200, &reasoning));
        assert_eq!(sent(&running)["reasoning"], expected);
    }
    for wire in [Wire::OpenAi, Wire::Anthropic, Wire::Gemini] {
        let running = Running::with(Options { wire, ..Options::default() }).await;
        running.post("/v1/responses", asked(json!({"summary": "auto"}))).send().await.unwrap();
        assert!(!sent(&running).to_string().contains("summary"), "{wire:?}");
    }
}

#[tokio::test]
async fn the_web_is_searched_by_whoever_can() {
    let place = json!({"type": "approximate", "city": "Oulu"});
    let search = json!({"type": "web_search", "search_context_size": "low", "user_location": place,
        "filters": {"allowed_domains": ["a.example"]}});
    let asked = |tools: Value| json!({"model": "small", "input": "News?", "tools": tools}).to_string();
    let running = start().await;
    running.upstream.on("small-upstream", [Answer::json(ANSWER)]);
    let answer = running.post("/v1/responses", asked(json!([search]))).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &body(answer).await["tools"]), (200, &json!([search])));
    assert_eq!(running.upstream.seen()[0].json()["tools"], json!([search]));
    running.post("/v1/responses", asked(json!([{"type": "web_search_preview"}]))).send().await.unwrap();
    assert_eq!(running.upstream.seen()[1].json()["tools"], json!([{"type": "web_search"}]));

    let chat = Running::start().await;
    chat.post("/v1/responses", asked(json!([{"type": "web_search", "user_location": place}]))).send().await.unwrap();
    let sent = chat.upstream.seen()[0].json();
    let options = json!({"user_location": {"type": "approximate", "approximate": {"city": "Oulu"}}});
    assert_eq!((&sent["web_search_options"], sent.get("tools")), (&options, None));

    let google = Running::with(Options { wire: Wire::Gemini, ..Options::default() }).await;
    google.post("/v1/responses", asked(json!([{"type": "web_search"}]))).send().await.unwrap();
    assert_eq!(google.upstream.seen()[0].json()["tools"], json!([{"googleSearch": {}}]));
    let claude = Running::with(Options { wire: Wire::Anthropic, ..Options::default() }).await;
    let filters = json!({"allowed_domains": ["a.example"]});
    claude.post("/v1/responses", asked(json!([{"type": "web_search", "filters": filters}]))).send().await.unwrap();
    let searches = json!({"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.example"]});
    assert_eq!(claude.upstream.seen()[0].json()["tools"], json!([searches]));
    let offline = json!([{"type": "web_search", "external_web_access": false}]);
    let answer = claude.post("/v1/responses", asked(offline)).send().await.unwrap();
    assert_eq!(crate::gateway::error(answer).await.1["param"], "web_search_options");
    for (limit, value) in
        [("filters", json!({"allowed_domains": ["a.example"]})), ("external_web_access", json!(false))]
    {
        let answer = google.post("/v1/responses", asked(json!([{"type": "web_search", limit: value}]))).send().await;
        let (status, problem) = crate::gateway::error(answer.unwrap()).await;
        assert_eq!((status, &problem["param"]), (400, &json!("web_search_options")));
        assert!(problem["message"].as_str().unwrap().contains(limit), "{problem}");
    }
}

#[tokio::test]
async fn thoughts_travel_through_anthropics_messages_that_the_gateway_serves() {
    let running = start().await;
    running.upstream.on("small-upstream", [Answer::stream().piece(STREAM).end(), Answer::json(ANSWER)]);
    let ask = |messages: Value, stream: bool| {
        let body = json!({"model": "small", "max_tokens": 100, "stream": stream, "messages": messages});
        running.post("/v1/messages", body.to_string()).send()
    };
    let question = json!({"role": "user", "content": "Where is Oulu?"});
    let told = ask(json!([question]), true).await.unwrap().bytes().await.unwrap();
    let events = wire::events(&told);
    let signature = events.iter().find_map(|event| event["delta"]["signature"].as_str()).expect("a signature");
    let thought = json!({"type": "thinking", "thinking": "Where?", "signature": signature});
    let answer = json!({"role": "assistant", "content": [thought, {"type": "text", "text": "North."}]});
    ask(json!([question, answer, {"role": "user", "content": "So?"}]), false).await.unwrap();
    let sent = running.upstream.seen()[1].json()["input"].take();
    assert_eq!(
        sent[1],
        json!({"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAAAABoISQ24OyV",
            "summary": [{"type": "summary_text", "text": "Where?"}]})
    );
}

#[tokio::test]
async fn what_responses_have_nothing_like_is_refused_by_name() {
    let running = start().await;
    let mut request = ask("small");
    request["seed"] = json!(7);
    let response = running.chat(request).await;
    assert_eq!(response.status(), 400);
    assert_eq!(body(response).await["error"]["param"], "seed");
    assert!(running.upstream.seen().is_empty());
}

#[tokio::test]
async fn embeddings_are_asked_for_as_of_openai() {
    use satisfice::catalog::Price;
    use satisfice::gateway::Settings;

    let vectors = crate::gateway::model_of("test", "vectors", "vectors-upstream", 0.02);
    let vectors =
        std::sync::Arc::new(satisfice::catalog::Model { price: Some(Price::of(0.02, 0.0)), ..(*vectors).clone() });
    let settings = Settings { embeddings: vec![vectors], ..crate::gateway::settings() };
    let running = Running::with(Options { settings, wire: Wire::OpenAiResponses, ..Options::default() }).await;
    let reply = r#"{"object":"list","data":[],"model":"e","usage":{"prompt_tokens":8,"total_tokens":8}}"#;
    running.upstream.on("vectors-upstream", [Answer::json(reply)]);
    let response = running.post("/v1/embeddings", r#"{"model":"vectors","input":"a"}"#).send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.text().await.unwrap()), (200, reply.to_owned()));
    assert_eq!(running.upstream.seen()[0].line, "POST /v1/embeddings");
}
