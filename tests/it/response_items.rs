//! A response's items through the gateway: their order, and what each has that a chat has no field for.

use satisfice::upstream::settings::Wire;
use serde_json::{Value, json};

use crate::custom_tools::before;
use crate::gateway::{Running, body, error};
use crate::hosted_tools::{asked, kinds, response, search, stream};
use crate::scripted::Answer;
use crate::wire::events;

/// What OpenAI answers, and what the gateway then answers its client: whole or streamed.
async fn answered(running: &Running, output: &Value, streams: bool) -> Value {
    let whole = || Answer::json(response(output.clone()).to_string());
    running.upstream.on("small-upstream", [if streams { stream(output) } else { whole() }]);
    let answer = running.post("/v1/responses", asked(json!({"stream": streams}))).send().await.unwrap();
    match streams {
        true => events(&answer.bytes().await.unwrap()).pop().unwrap()["response"]["output"].take(),
        false => body(answer).await["output"].take(),
    }
}

/// What OpenAI is given of this input.
async fn given(running: &Running, input: &Value) -> Value {
    running.upstream.on("small-upstream", [Answer::json(response(json!([])).to_string())]);
    let answer = running.post("/v1/responses", asked(json!({"input": input}))).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    running.upstream.seen().pop().unwrap().json()["input"].take()
}

fn message(text: &str, phase: Value) -> Value {
    let part = json!({"type": "output_text", "text": text, "annotations": []});
    json!({"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [part], "phase": phase})
}

fn call(id: &str) -> Value {
    json!({"type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": "f", "arguments": "{}",
        "status": "completed"})
}

fn thought(id: &str) -> Value {
    json!({"type": "reasoning", "id": id, "summary": [], "encrypted_content": format!("sealed {id}")})
}

fn one(item: &Value) -> (&str, Option<&str>, &str) {
    let content = &item["content"];
    let text = content.as_str().or(content[0]["text"].as_str());
    (item["type"].as_str().unwrap(), item["phase"].as_str(), text.unwrap_or_default())
}

/// Each item's type, its phase, and what it says.
fn told(items: &Value) -> Vec<(&str, Option<&str>, &str)> {
    items.as_array().unwrap().iter().map(one).collect()
}

#[tokio::test]
async fn messages_of_one_response_stay_apart_with_their_phases_and_the_calls_between_them() {
    let phases = (json!("commentary"), json!("final_answer"));
    let output = json!([
        message("Ich prüfe.", phases.0),
        thought("rs_1"),
        call("a"),
        thought("rs_2"),
        call("b"),
        message("42", phases.1)
    ]);
    let expected = [
        ("message", Some("commentary"), "Ich prüfe."),
        ("reasoning", None, ""),
        ("function_call", None, ""),
        ("reasoning", None, ""),
        ("function_call", None, ""),
        ("message", Some("final_answer"), "42"),
    ];
    stays_as_it_was(&output, &expected).await;
}

/// Whole and streamed, the client is told of `output` as it is, and OpenAI is given it back so.
async fn stays_as_it_was(output: &Value, expected: &[(&str, Option<&str>, &str)]) {
    for streams in [false, true] {
        let running = before(Wire::OpenAiResponses).await;
        let said = answered(&running, output, streams).await;
        assert_eq!(told(&said), expected, "streamed: {streams}");
        assert_eq!(told(&given(&running, &said).await), expected);
    }
}

#[tokio::test]
async fn thoughts_behind_a_message_stay_there() {
    let output = json!([
        message("One.", Value::Null),
        thought("rs_1"),
        message("Two.", Value::Null),
        thought("rs_2"),
        call("a")
    ]);
    let expected = [
        ("message", None, "One."),
        ("reasoning", None, ""),
        ("message", None, "Two."),
        ("reasoning", None, ""),
        ("function_call", None, ""),
    ];
    stays_as_it_was(&output, &expected).await;
}

#[tokio::test]
async fn messages_without_a_phase_stay_apart_too() {
    let output = json!([message("One.", Value::Null), search(), message("Two.", Value::Null), call("a")]);
    let expected = [
        ("message", None, "One."),
        ("web_search_call", None, ""),
        ("message", None, "Two."),
        ("function_call", None, ""),
    ];
    stays_as_it_was(&output, &expected).await;
}

#[tokio::test]
async fn a_chat_has_messages_apart_by_a_blank_line_and_gives_them_back_as_they_were() {
    let output = json!([message("Looking.", json!("commentary")), call("a"), message("42", json!("final_answer"))]);
    let running = before(Wire::OpenAiResponses).await;
    let whole = Answer::json(response(output.clone()).to_string());
    running.upstream.on("small-upstream", [whole, stream(&output)]);
    let question = json!({"role": "user", "content": "6 x 7?"});
    let chat = |messages: Value, streams: bool| {
        let body = json!({"model": "small", "messages": messages, "stream": streams}).to_string();
        running.post("/v1/chat/completions", body).send()
    };
    let said = body(chat(json!([question]), false).await.unwrap()).await["choices"][0]["message"].take();
    assert_eq!(said["content"], "Looking.\n\n42");
    let streamed = chat(json!([question]), true).await.unwrap().text().await.unwrap();
    let chunks = streamed.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    let chunks = chunks.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    let text: String =
        chunks.filter_map(|chunk| Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned())).collect();
    assert_eq!(text, "Looking.\n\n42");

    let result = json!({"role": "tool", "tool_call_id": "a", "content": "42"});
    chat(json!([question, said, result]), false).await.unwrap();
    let sent = running.upstream.seen().pop().unwrap().json()["input"].take();
    let expected = [
        ("message", None, "6 x 7?"),
        ("message", Some("commentary"), "Looking."),
        ("function_call", None, ""),
        ("message", Some("final_answer"), "42"),
        ("function_call_output", None, ""),
    ];
    assert_eq!(told(&sent), expected);
}

#[tokio::test]
async fn a_text_behind_a_call_stands_before_its_result_for_every_provider() {
    let result = json!({"type": "function_call_output", "call_id": "a", "output": "42"});
    let input = json!([{"role": "user", "content": "6 x 7?"}, message("Looking.", Value::Null), call("a"),
        message("So it is.", Value::Null), result]);
    let other = before(Wire::OpenAi).await;
    other.post("/v1/responses", asked(json!({"input": input}))).send().await.unwrap();
    let sent = other.upstream.seen()[0].json()["messages"].take();
    let roles: Vec<&str> = sent.as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "tool"]);
    let texts: String =
        sent[1]["content"].as_array().unwrap().iter().map(|part| part["text"].as_str().unwrap()).collect();
    assert_eq!((&*texts, sent[1].get("hosted_items")), ("Looking.\n\nSo it is.", None));
}

#[tokio::test]
async fn items_that_only_openai_knows_go_back_to_it_and_are_refused_elsewhere() {
    let items = json!([
        {"type": "compaction", "id": "cmp_1", "encrypted_content": "sealed"},
        {"role": "user", "content": "Go on."},
        {"type": "tool_search_call", "execution": "server", "arguments": {"paths": ["crm"]}, "status": "completed"},
        {"type": "tool_search_output", "execution": "server", "tools": [], "status": "completed"},
        {"type": "item_of_tomorrow", "x": 1}]);
    let running = before(Wire::OpenAiResponses).await;
    let sent = given(&running, &items).await;
    let kinds_of = ["compaction", "message", "tool_search_call", "tool_search_output", "item_of_tomorrow"];
    assert_eq!(kinds(&sent), kinds_of);
    assert_eq!((&sent[0], &sent[3], &sent[4]), (&items[0], &items[3], &items[4]));
    for wire in [Wire::OpenAi, Wire::Mistral, Wire::Anthropic, Wire::Gemini, Wire::Cohere, Wire::Bedrock] {
        let other = before(wire).await;
        let answer = other.post("/v1/responses", asked(json!({"input": items}))).send().await.unwrap();
        let (status, problem) = error(answer).await;
        assert_eq!((status, &problem["param"]), (400, &json!("messages[0].hosted_items[0]")), "{wire:?}: {problem}");
        assert!(problem["message"].as_str().unwrap().contains("\"compaction\""), "{problem}");
        assert!(other.upstream.seen().is_empty());
    }
}

#[tokio::test]
async fn what_only_a_response_says_of_functions_calls_and_results_is_kept() {
    let caller = json!({"type": "program", "caller_id": "prog_1"});
    let mut in_namespace = call("a");
    (in_namespace["namespace"], in_namespace["caller"]) = (json!("crm"), caller.clone());
    let output = json!([in_namespace, call("b")]);
    for streams in [false, true] {
        let running = before(Wire::OpenAiResponses).await;
        let said = answered(&running, &output, streams).await;
        assert_eq!(kinds(&said), ["function_call", "function_call"]);
        assert_eq!((&said[0]["namespace"], &said[0]["caller"]), (&json!("crm"), &caller), "streamed: {streams}");
        let result = json!({"type": "function_call_output", "call_id": "a", "output": "1", "caller": caller});
        let sent = given(&running, &json!([said[0], said[1], result])).await;
        assert_eq!((&sent[0]["namespace"], &sent[0]["caller"]), (&json!("crm"), &caller));
        assert_eq!((&sent[1]["call_id"], sent[1].get("namespace")), (&json!("b"), None));
        assert_eq!(sent[2], result);
    }
}

#[tokio::test]
async fn what_only_a_response_says_of_a_function_reaches_openai_and_is_refused_elsewhere() {
    let tools = json!([{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": false,
        "defer_loading": true, "allowed_callers": ["programmatic"], "output_schema": {"type": "object"}}]);
    let running = before(Wire::OpenAiResponses).await;
    running.post("/v1/responses", asked(json!({"tools": tools}))).send().await.unwrap();
    assert_eq!(running.upstream.seen()[0].json()["tools"], tools);
    let plain = json!([{"type": "function", "name": "f", "defer_loading": false, "output_schema": null}]);
    for wire in [Wire::OpenAi, Wire::Anthropic, Wire::Gemini] {
        let other = before(wire).await;
        let answer = other.post("/v1/responses", asked(json!({"tools": tools}))).send().await.unwrap();
        let (status, problem) = error(answer).await;
        assert_eq!((status, &problem["param"]), (400, &json!("tools[0].allowed_callers")), "{wire:?}: {problem}");
        let answer = other.post("/v1/responses", asked(json!({"tools": plain}))).send().await.unwrap();
        let sent = other.upstream.seen()[0].json()["tools"].to_string();
        assert!(!sent.contains("defer_loading"), "{wire:?}, {}: {sent}", answer.status());
    }
}

#[tokio::test]
async fn how_to_reason_and_where_a_cache_ends_is_said_to_openai() {
    let reasoning = json!({"effort": "high", "summary": "auto", "mode": "pro", "context": "all_turns"});
    let part = json!({"type": "input_text", "text": "Hi", "prompt_cache_breakpoint": {"mode": "explicit"}});
    let fields = || asked(json!({"reasoning": reasoning, "input": [{"role": "user", "content": [part]}]}));
    let running = before(Wire::OpenAiResponses).await;
    running.post("/v1/responses", fields()).send().await.unwrap();
    let sent = running.upstream.seen()[0].json();
    assert_eq!((&sent["reasoning"], &sent["input"][0]["content"][0]), (&reasoning, &part));
    for wire in [Wire::OpenAi, Wire::Anthropic, Wire::Gemini] {
        let other = before(wire).await;
        other.post("/v1/responses", fields()).send().await.unwrap();
        let sent = other.upstream.seen()[0].json().to_string();
        assert!(!sent.contains("all_turns") && !sent.contains("\"pro\""), "{wire:?}: {sent}");
    }
}

#[tokio::test]
async fn pictures_that_were_made_go_back_to_openai_in_their_place_as_what_they_were() {
    let made = json!({"type": "image_generation_call", "id": "ig_7", "status": "completed", "result": "iVBORw0K",
        "output_format": "webp", "revised_prompt": "A red fox"});
    let output = json!([message("Drawing.", Value::Null), made, message("There.", Value::Null)]);
    for streams in [false, true] {
        let running = before(Wire::OpenAiResponses).await;
        let said = answered(&running, &output, streams).await;
        assert_eq!((kinds(&said), &said[1]), (vec!["message", "image_generation_call", "message"], &made), "{streams}");
        let sent = given(&running, &said).await;
        assert_eq!((kinds(&sent), &sent[1]), (vec!["message", "image_generation_call", "message"], &made));
    }
}

#[tokio::test]
async fn a_picture_that_another_model_made_goes_to_openai_as_one_of_its_own() {
    let picture = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
    let chat = |url: &str| {
        let drawn = json!({"role": "assistant", "content": "There.", "images": [picture(url)]});
        let messages =
            json!([{"role": "user", "content": "Draw."}, drawn, {"role": "user", "content": "Make it red."}]);
        json!({"model": "small", "messages": messages}).to_string()
    };
    let running = before(Wire::OpenAiResponses).await;
    running.post("/v1/chat/completions", chat("data:image/png;base64,iVBORw0K")).send().await.unwrap();
    let sent = running.upstream.seen()[0].json()["input"].take();
    let expected =
        json!({"type": "image_generation_call", "id": "ig_1_0", "status": "completed", "result": "iVBORw0K"});
    assert_eq!((kinds(&sent).len(), &sent[1]["content"], &sent[2]), (4, &json!("There."), &expected));
    let elsewhere = running.post("/v1/chat/completions", chat("https://a.example/fox.png")).send().await.unwrap();
    assert_eq!(error(elsewhere).await.1["param"], "messages[1].images[0]");
}

/// A tool of the client's, and two in a namespace.
fn spaced_tools() -> Value {
    let tool =
        |name: &str| json!({"type": "function", "name": name, "parameters": {"type": "object"}, "strict": false});
    json!([tool("run"), {"type": "namespace", "name": "agents", "description": "Others.", "tools": [tool("ask"), tool("stop")]}])
}

/// A chat in which the model calls these functions.
fn calling(names: &[&str]) -> Value {
    let call = |(i, name): (usize, &&str)| json!({"index": i, "id": name, "type": "function", "function": {"name": name, "arguments": "{}"}});
    let calls: Vec<Value> = names.iter().enumerate().map(call).collect();
    json!({"role": "assistant", "content": null, "tool_calls": calls})
}

#[tokio::test]
async fn functions_of_a_namespace_are_functions_elsewhere_and_calls_of_them_say_where_they_are() {
    let running = before(Wire::OpenAi).await;
    let choice =
        |said: &str| json!({"choices": [{"index": 0, said: calling(&["run", "ask"]), "finish_reason": "tool_calls"}]});
    for streams in [false, true] {
        running.upstream.on(
            "small-upstream",
            [match streams {
                true => Answer::stream().event(&choice("delta").to_string()).event("[DONE]").end(),
                false => Answer::json(choice("message").to_string()),
            }],
        );
        let fields = json!({"tools": spaced_tools(), "stream": streams, "client_metadata": {"turn": "1"}});
        let answer = running.post("/v1/responses", asked(fields)).send().await.unwrap();
        let (output, tools) = match streams {
            true => {
                let mut last = events(&answer.bytes().await.unwrap()).pop().unwrap()["response"].take();
                (last["output"].take(), last["tools"].take())
            }
            false => {
                let mut whole = body(answer).await;
                (whole["output"].take(), whole["tools"].take())
            }
        };
        let told: Vec<_> = output
            .as_array()
            .unwrap()
            .iter()
            .map(|call| (call["name"].as_str().unwrap(), call.get("namespace")))
            .collect();
        assert_eq!(told, [("run", None), ("ask", Some(&json!("agents")))], "streamed: {streams}");
        assert_eq!(tools, spaced_tools());
    }
    let sent = running.upstream.seen()[0].json();
    let names: Vec<&Value> = sent["tools"].as_array().unwrap().iter().map(|tool| &tool["function"]["name"]).collect();
    assert_eq!(names, ["run", "ask", "stop"]);
    assert!(!sent.to_string().contains("agents") && sent.get("client_metadata").is_none(), "{sent}");
}

#[tokio::test]
async fn a_namespace_reaches_openai_as_it_is_and_one_with_a_name_twice_nobody_else() {
    let running = before(Wire::OpenAiResponses).await;
    running.upstream.on("small-upstream", [Answer::json(response(json!([])).to_string())]);
    let mut twice = spaced_tools();
    twice[1]["tools"][0]["name"] = "run".into();
    for tools in [&spaced_tools(), &twice] {
        let fields = json!({"tools": tools, "client_metadata": {"turn": "1"}});
        running.post("/v1/responses", asked(fields)).send().await.unwrap();
        let sent = running.upstream.seen().pop().unwrap().json();
        assert_eq!((&sent["tools"], &sent["client_metadata"]), (tools, &json!({"turn": "1"})));
    }
    let other = before(Wire::Gemini).await;
    let (status, problem) =
        error(other.post("/v1/responses", asked(json!({"tools": twice}))).send().await.unwrap()).await;
    assert_eq!((status, &problem["param"]), (400, &json!("tools[1]")), "{problem}");
}
