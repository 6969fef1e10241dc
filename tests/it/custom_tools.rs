//! Custom tools, whose input is free text: at every client protocol that has them, and before every wire.

use satisfice::catalog::providers::Catalogue;
use satisfice::gateway::Settings;
use satisfice::upstream::settings::{ProviderSettings, Wire};
use serde_json::{Value, json};

use crate::gateway::{Options, Running, ask, body, error, header, settings};
use crate::scripted::{Answer, Scripted};
use crate::wire::events;

const PATCH: &str = "*** Begin Patch\n\"a\"";

/// One attempt each: the upstream answers in OpenAI's words, and a model of another wire that does so is soon left alone.
pub async fn before(wire: Wire) -> Running {
    let settings = Settings { attempts: 1, ..settings() };
    Running::with(Options { wire, settings, ..Options::default() }).await
}

/// Known providers that have functions only, and one of them speaks a wire of its own.
pub async fn before_known() -> Vec<Running> {
    fn known(name: &str, wire: Wire, upstream: &Scripted) -> Vec<ProviderSettings> {
        let quirks = Catalogue::embedded().unwrap().provider_named(name).unwrap().quirks.clone();
        vec![ProviderSettings { wire, quirks, ..upstream.provider("test") }]
    }
    let providers: [fn(&Scripted) -> Vec<ProviderSettings>; 3] = [
        |upstream| known("mistral", Wire::Mistral, upstream),
        |upstream| known("deepseek", Wire::OpenAi, upstream),
        |upstream| known("groq", Wire::OpenAi, upstream),
    ];
    let running =
        providers.map(|providers| Running::with(Options { providers: Some(providers), ..Options::default() }));
    futures_util::future::join_all(running).await
}

/// As Responses have them.
fn flat_tools() -> Value {
    json!([
        {"type": "custom", "name": "patch", "description": "Edits.",
         "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}},
        {"type": "function", "name": "f", "description": "F.", "parameters": {"type": "object"}, "strict": false},
        {"type": "custom", "name": "sh", "format": {"type": "text"}, "field_of_tomorrow": 1}])
}

/// The same as a chat has them.
fn chat_tools() -> Value {
    json!([
        {"type": "custom", "custom": {"name": "patch", "description": "Edits.",
         "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /.+/"}}}},
        {"type": "function", "function": {"name": "f", "description": "F.", "parameters": {"type": "object"}, "strict": false}},
        {"type": "custom", "custom": {"name": "sh", "format": {"type": "text"}, "field_of_tomorrow": 1}}])
}

fn chat_call() -> Value {
    json!({"id": "call_1", "type": "custom", "custom": {"name": "patch", "input": PATCH}})
}

/// A chat that goes on after calls of a custom tool and of a function.
fn chat_request() -> Value {
    let function = json!({"id": "call_2", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let mut request = ask("small");
    request["messages"] = json!([
        {"role": "user", "content": "Fix it."},
        {"role": "assistant", "content": null, "tool_calls": [chat_call(), function]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Done"},
        {"role": "tool", "tool_call_id": "call_2", "content": "1"}]);
    request["tools"] = chat_tools();
    request["tool_choice"] = json!({"type": "custom", "custom": {"name": "patch"}});
    request
}

/// The same as input of a response.
fn items() -> Value {
    json!([
        {"type": "message", "role": "user", "content": "Fix it."},
        {"type": "custom_tool_call", "call_id": "call_1", "name": "patch", "input": PATCH},
        {"type": "function_call", "call_id": "call_2", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call_output", "call_id": "call_1", "output": "Done"},
        {"type": "function_call_output", "call_id": "call_2", "output": "1"}])
}

fn response_request() -> Value {
    json!({"model": "small", "input": items(), "tools": flat_tools(),
           "tool_choice": {"type": "custom", "name": "patch"}})
}

fn item(status: &str, input: &str) -> Value {
    json!({"type": "custom_tool_call", "id": "ctc_1", "status": status, "call_id": "call_1", "name": "patch",
           "input": input})
}

fn response(output: Value) -> Value {
    json!({"id": "resp_1", "object": "response", "created_at": 7, "status": "completed", "model": "m",
           "output": output, "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}})
}

/// The events of a call whose input comes in two pieces.
fn response_stream() -> Answer {
    let piece = |delta: &str| json!({"type": "response.custom_tool_call_input.delta", "item_id": "ctc_1", "output_index": 0, "delta": delta});
    let done = item("completed", PATCH);
    let events = [
        json!({"type": "response.created", "response": {"id": "resp_1", "model": "m", "created_at": 7}}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": item("in_progress", "")}),
        piece(&PATCH[..4]),
        piece(&PATCH[4..]),
        json!({"type": "response.custom_tool_call_input.done", "item_id": "ctc_1", "output_index": 0, "input": PATCH}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": done}),
        json!({"type": "response.completed", "response": response(json!([done]))}),
    ];
    events.iter().fold(Answer::stream(), |answer, event| answer.event(&event.to_string())).end()
}

async fn streamed(running: &Running, path: &str, mut request: Value) -> Vec<Value> {
    request["stream"] = true.into();
    let bytes = running.post(path, request.to_string()).send().await.unwrap().bytes().await.unwrap();
    events(bytes.strip_suffix(b"data: [DONE]\n\n").unwrap_or(&bytes))
}

#[tokio::test]
async fn a_chat_has_them_at_a_provider_of_responses() {
    let running = before(Wire::OpenAiResponses).await;
    running.upstream.on("small-upstream", [Answer::json(response(json!([item("completed", PATCH)])).to_string())]);
    let answer = body(running.chat(chat_request()).await).await;
    let choice = &answer["choices"][0];
    assert_eq!(
        (&choice["message"]["tool_calls"], &choice["finish_reason"]),
        (&json!([chat_call()]), &json!("tool_calls"))
    );
    let sent = running.upstream.seen()[0].json();
    assert_eq!((&sent["input"], &sent["tools"]), (&items(), &flat_tools()));
    assert_eq!(sent["tool_choice"], json!({"type": "custom", "name": "patch"}));
}

#[tokio::test]
async fn a_chat_hears_their_input_piece_by_piece() {
    let running = before(Wire::OpenAiResponses).await;
    running.upstream.on("small-upstream", [response_stream()]);
    let chunks = streamed(&running, "/v1/chat/completions", chat_request()).await;
    let calls: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0]).collect();
    let calls: Vec<&Value> = calls.into_iter().filter(|call| !call.is_null()).collect();
    let mut begun = chat_call();
    begun["index"] = 0.into();
    begun["custom"]["input"] = "".into();
    let piece = |input: &str| json!({"index": 0, "custom": {"input": input}});
    assert_eq!(calls, [&begun, &piece(&PATCH[..4]), &piece(&PATCH[4..])]);
}

#[tokio::test]
async fn responses_have_them_on_both_sides() {
    let running = before(Wire::OpenAiResponses).await;
    let whole = Answer::json(response(json!([item("completed", PATCH)])).to_string());
    running.upstream.on("small-upstream", [whole, response_stream()]);
    let answer = running.post("/v1/responses", response_request().to_string()).send().await.unwrap();
    let answer = body(answer).await;
    let called = |item: &Value| ["type", "call_id", "name", "input", "status"].map(|name| item[name].clone());
    assert_eq!(called(&answer["output"][0]), called(&item("completed", PATCH)));
    assert_eq!(answer["tools"], flat_tools(), "they are repeated as they came");
    let sent = running.upstream.seen()[0].json();
    assert_eq!((&sent["input"], &sent["tools"]), (&items(), &flat_tools()));
    assert_eq!(sent["tool_choice"], json!({"type": "custom", "name": "patch"}));

    let events = streamed(&running, "/v1/responses", response_request()).await;
    let of = |kind: &str| -> Vec<&Value> { events.iter().filter(|event| event["type"] == *kind).collect() };
    let pieces: Vec<&Value> = of("response.custom_tool_call_input.delta").iter().map(|event| &event["delta"]).collect();
    assert_eq!(pieces, [&PATCH[..4], &PATCH[4..]]);
    let done = of("response.custom_tool_call_input.done")[0];
    assert_eq!((&done["input"], &done["output_index"]), (&json!(PATCH), &json!(0)));
    let item = &of("response.output_item.done")[0]["item"];
    assert_eq!(item["id"], done["item_id"]);
    assert_eq!(events.last().unwrap()["response"]["output"], json!([item]));
}

#[tokio::test]
async fn a_chat_at_a_provider_of_chat_passes_to_the_byte() {
    let running = before(Wire::OpenAi).await;
    running.chat(chat_request()).await;
    let sent = running.upstream.seen()[0].json();
    let asked = chat_request();
    for field in ["messages", "tools", "tool_choice"] {
        assert_eq!(sent[field], asked[field]);
    }
}

#[tokio::test]
async fn responses_have_them_at_a_provider_of_chat() {
    let running = before(Wire::OpenAi).await;
    let deltas = [
        json!({"role": "assistant", "content": null}),
        json!({"tool_calls": [{"index": 0, "id": "call_1", "type": "custom", "custom": {"name": "patch", "input": ""}}]}),
        json!({"tool_calls": [{"index": 0, "custom": {"input": PATCH}}]}),
    ];
    let chunk = |delta: &Value| {
        json!({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]}).to_string()
    };
    let answer = deltas.iter().fold(Answer::stream(), |answer, delta| answer.event(&chunk(delta)));
    running.upstream.on("small-upstream", [answer.finish().event("[DONE]").end()]);
    let events = streamed(&running, "/v1/responses", response_request()).await;
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!((&output[0]["type"], &output[0]["input"]), (&json!("custom_tool_call"), &json!(PATCH)));
    let sent = running.upstream.seen()[0].json();
    assert_eq!((&sent["messages"], &sent["tools"]), (&chat_request()["messages"], &chat_tools()));
    assert_eq!(sent["tool_choice"], chat_request()["tool_choice"]);
}

#[tokio::test]
async fn a_wire_that_has_functions_only_refuses_them_by_name() {
    let mut all = before_known().await;
    for wire in [Wire::Anthropic, Wire::Gemini, Wire::Bedrock, Wire::Cohere, Wire::Vertex] {
        all.push(before(wire).await);
    }
    for running in &all {
        let (status, problem) = error(running.chat(chat_request()).await).await;
        assert_eq!((status, &problem["param"]), (400, &json!("tools[0]")));
        let message = problem["message"].as_str().unwrap();
        assert!(message.contains("custom tool") && message.contains("drop_unsupported"), "{message}");
        let mut request = chat_request();
        request.as_object_mut().unwrap().retain(|name, _| !name.starts_with("tool"));
        let (status, problem) = error(running.chat(request).await).await;
        assert_eq!((status, &problem["param"]), (400, &json!("messages[1].tool_calls[0]")));
        assert!(running.upstream.seen().is_empty());
    }
}

#[tokio::test]
async fn they_are_left_out_where_the_client_says_so() {
    let mut request = chat_request();
    request["drop_unsupported"] = true.into();
    let running = before(Wire::Anthropic).await;
    running.chat(request.clone()).await;
    let sent = running.upstream.seen()[0].json();
    assert_eq!((sent["tools"].as_array().unwrap().len(), &sent["tools"][0]["name"]), (1, &json!("f")));
    assert_eq!(sent.get("tool_choice"), None);
    assert_eq!(sent["messages"][1]["content"][0]["input"], json!({"input": PATCH}));

    for running in before_known().await {
        running.chat(request.clone()).await;
        let sent = running.upstream.seen()[0].json();
        assert_eq!((&sent["tools"], sent.get("tool_choice")), (&json!([chat_tools()[1]]), None));
        let call = &sent["messages"][1]["tool_calls"][0];
        let arguments = json!({"input": PATCH}).to_string();
        assert_eq!((&call["type"], &call["custom"]), (&json!("function"), &Value::Null));
        assert_eq!(call["function"], json!({"name": "patch", "arguments": arguments}));
        assert_eq!(sent["messages"][2]["tool_call_id"], call["id"]);
    }
}

#[tokio::test]
async fn a_choice_of_a_function_stays_where_they_are_left_out() {
    let mut request = chat_request();
    request["drop_unsupported"] = true.into();
    request["tool_choice"] = json!({"type": "function", "function": {"name": "f"}});
    for running in before_known().await {
        running.chat(request.clone()).await;
        assert_eq!(running.upstream.seen()[0].json()["tool_choice"], request["tool_choice"]);
    }
}

#[tokio::test]
async fn a_route_takes_the_model_whose_wire_has_them() {
    let providers = |upstream: &Scripted| {
        vec![
            ProviderSettings { wire: Wire::Anthropic, ..upstream.provider("test") },
            ProviderSettings { wire: Wire::OpenAiResponses, ..upstream.provider("other") },
        ]
    };
    let mut settings = crate::gateway::settings();
    let able = crate::gateway::model_of("other", "able", "able-upstream", 10.0);
    settings.models.push(able.clone());
    settings.routes[0].models.push(able);
    let running = Running::with(Options { settings, providers: Some(providers), ..Options::default() }).await;
    running.upstream.on("able-upstream", [Answer::json(response(json!([item("completed", PATCH)])).to_string())]);
    let mut request = chat_request();
    request["model"] = "auto".into();
    let answer = running.chat(request).await;
    assert_eq!((answer.status().as_u16(), header(&answer, "x-satisfice-model")), (200, Some("other/able")));
    assert_eq!(header(&answer, "x-satisfice-attempts"), Some("1"));
}
