//! `tool_choice` of the type `allowed_tools`: at both client protocols that have it, and before every kind of wire.

use satisfice::upstream::settings::Wire;
use serde_json::{Value, json};

use crate::custom_tools::{before, before_known};
use crate::gateway::{Running, ask, body, error};

fn tool(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "description": "D.", "parameters": {"type": "object"}}})
}

/// As a choice names it.
fn named(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name}})
}

fn allowed(mode: &str, tools: Value) -> Value {
    json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}})
}

/// A conversation in which `f` was called, and in which there are `f`, `g` and `h`.
fn request(choice: Value) -> Value {
    let mut request = ask("small");
    request["messages"] = json!([
        {"role": "user", "content": "How is it?"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "callf1234", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "callf1234", "content": "Well"}]);
    request["tools"] = json!([tool("f"), tool("g"), tool("h")]);
    request["tool_choice"] = choice;
    request
}

async fn sent(running: &Running, request: Value) -> Value {
    let before = running.upstream.seen().len();
    running.chat(request).await;
    running.upstream.seen()[before..].last().expect("it is asked").json()
}

fn flat(name: &str) -> Value {
    json!({"type": "function", "name": name})
}

/// As a response has it, with a search of the web among the tools.
fn response_request(choice: &Value) -> Value {
    let mut tools: Vec<Value> = ["f", "g"].map(flat).into();
    tools.push(json!({"type": "web_search", "search_context_size": "low"}));
    json!({"model": "small", "input": "How is it?", "tools": tools, "tool_choice": choice})
}

async fn responded(running: &Running, choice: &Value) -> Value {
    running.post("/v1/responses", response_request(choice).to_string()).send().await.unwrap();
    running.upstream.seen().pop().expect("it is asked").json()
}

#[tokio::test]
async fn a_provider_of_chat_gets_it_as_it_is() {
    let running = before(Wire::OpenAi).await;
    let asked = request(allowed("required", json!([named("g"), {"type": "custom", "custom": {"name": "c"}}])));
    let sent = sent(&running, asked.clone()).await;
    assert_eq!((&sent["tools"], &sent["tool_choice"]), (&asked["tools"], &asked["tool_choice"]));
}

#[tokio::test]
async fn a_provider_of_responses_gets_it_in_its_own_form() {
    let running = before(Wire::OpenAiResponses).await;
    let mut asked = request(allowed("auto", json!([named("g"), {"type": "custom", "custom": {"name": "c"}}])));
    asked["tools"].as_array_mut().unwrap().push(json!({"type": "custom", "custom": {"name": "c"}}));
    let expected =
        json!({"type": "allowed_tools", "mode": "auto", "tools": [flat("g"), {"type": "custom", "name": "c"}]});
    let sent_ = sent(&running, asked.clone()).await;
    assert_eq!((&sent_["tool_choice"], sent_["tools"].as_array().unwrap().len()), (&expected, 4));

    asked["web_search_options"] = json!({});
    let searching = sent(&running, asked).await;
    let tools = &searching["tool_choice"]["tools"];
    assert_eq!(tools[2], json!({"type": "web_search"}), "what a chat says of searching is no matter of choosing");
}

#[tokio::test]
async fn responses_have_it_at_both_of_openais_wires() {
    let choice = |tools: Value| json!({"type": "allowed_tools", "mode": "required", "tools": tools});
    let (searching, not) = (choice(json!([flat("g"), {"type": "web_search"}])), choice(json!([flat("g")])));

    let running = before(Wire::OpenAiResponses).await;
    let sent = responded(&running, &searching).await;
    assert_eq!((&sent["tool_choice"], sent["tools"].as_array().unwrap().len()), (&searching, 3));
    let sent = responded(&running, &not).await;
    assert_eq!((&sent["tool_choice"], sent["tools"].as_array().unwrap().len()), (&not, 2), "it may not search");

    let running = before(Wire::OpenAi).await;
    let sent = responded(&running, &searching).await;
    assert_eq!(sent["tool_choice"], allowed("required", json!([named("g")])));
    assert_eq!(sent["web_search_options"], json!({"search_context_size": "low"}));
    let sent = responded(&running, &not).await;
    assert_eq!((sent["tools"].as_array().unwrap().len(), sent.get("web_search_options")), (2, None));
    let answer = running.post("/v1/responses", response_request(&not).to_string()).send().await.unwrap();
    assert_eq!(body(answer).await["tool_choice"], not, "it is repeated as it came");
}

fn mcp(label: &str) -> Value {
    json!({"type": "mcp", "server_label": label, "server_url": "https://a.example"})
}

/// A response that may use some of two functions and of two tools that OpenAI runs.
fn with_hosted(allowed: &Value) -> Value {
    let tools = json!([flat("f"), mcp("a"), mcp("b"), flat("g")]);
    let choice = json!({"type": "allowed_tools", "mode": "required", "tools": allowed});
    json!({"model": "small", "input": "How is it?", "tools": tools, "tool_choice": choice})
}

async fn before_others() -> Vec<Running> {
    let mut all = before_known().await;
    for wire in [Wire::OpenAi, Wire::Anthropic, Wire::Gemini, Wire::Bedrock, Wire::Cohere] {
        all.push(before(wire).await);
    }
    all
}

#[tokio::test]
async fn a_tool_that_openai_runs_may_be_among_those_that_are_allowed() {
    let asked = with_hosted(&json!([flat("g"), {"type": "mcp", "server_label": "b"}]));
    let running = before(Wire::OpenAiResponses).await;
    running.post("/v1/responses", asked.to_string()).send().await.unwrap();
    let sent = running.upstream.seen().pop().unwrap().json();
    assert_eq!(sent["tool_choice"], asked["tool_choice"]);
    assert_eq!(sent["tools"].as_array().unwrap().len(), 4);

    for running in before_others().await {
        let (status, problem) = error(running.post("/v1/responses", asked.to_string()).send().await.unwrap()).await;
        assert_eq!((status, &problem["param"]), (400, &json!("tools[2]")), "it is the one that may be called");
        assert!(running.upstream.seen().is_empty());
        let mut lenient = asked.clone();
        lenient["drop_unsupported"] = true.into();
        running.post("/v1/responses", lenient.to_string()).send().await.unwrap();
        let sent = running.upstream.seen().pop().unwrap().json().to_string();
        assert!(sent.contains("\"g\"") && !sent.contains("\"f\"") && !sent.contains("mcp"), "{sent}");
    }
}

#[tokio::test]
async fn a_tool_that_openai_runs_and_that_may_not_be_called_bars_nobody() {
    for running in before_others().await {
        running.post("/v1/responses", with_hosted(&json!([flat("g")])).to_string()).send().await.unwrap();
        let sent = running.upstream.seen().pop().expect("it is asked").json().to_string();
        assert!(sent.contains("\"g\"") && !sent.contains("mcp") && !sent.contains("hosted"), "{sent}");
    }
}

#[tokio::test]
async fn where_nothing_but_searching_the_web_is_allowed_no_function_is_there() {
    let choice = |mode: &str| json!({"type": "allowed_tools", "mode": mode, "tools": [{"type": "web_search"}]});
    let running = before(Wire::OpenAiResponses).await;
    assert_eq!(responded(&running, &choice("required")).await["tool_choice"], choice("required"));

    let running = before(Wire::Anthropic).await;
    let mut asked = response_request(&choice("auto"));
    asked["tools"][2].as_object_mut().unwrap().remove("search_context_size");
    running.post("/v1/responses", asked.to_string()).send().await.unwrap();
    let sent = running.upstream.seen().pop().unwrap().json();
    assert_eq!((sent["tools"].as_array().unwrap().len(), sent.get("tool_choice")), (1, None));
    assert_eq!(sent["tools"][0]["name"], "web_search");
    asked["tool_choice"]["mode"] = "required".into();
    let (status, problem) = error(running.post("/v1/responses", asked.to_string()).send().await.unwrap()).await;
    assert_eq!((status, &problem["param"]), (400, &json!("tool_choice")));
}

#[tokio::test]
async fn at_another_wire_it_says_the_same_as_having_those_tools_alone() {
    let mut all = vec![];
    for mode in ["auto", "required"] {
        all.extend(before_known().await.into_iter().map(|running| (running, mode)));
        for wire in [Wire::Anthropic, Wire::Gemini, Wire::Bedrock, Wire::Cohere] {
            all.push((before(wire).await, mode));
        }
    }
    for (running, mode) in &all {
        let chosen = sent(running, request(allowed(mode, json!([named("h"), named("g")])))).await;
        let mut alone = request(json!(mode));
        alone["tools"] = json!([tool("g"), tool("h")]);
        let alone = sent(running, alone).await;
        assert_eq!(chosen, alone);

        let mut beside = request(allowed(mode, json!([named("h"), named("g")])));
        beside["tools"].as_array_mut().unwrap().insert(0, json!({"type": "custom", "custom": {"name": "c"}}));
        assert_eq!(sent(running, beside.clone()).await, alone, "a custom tool that may not be called bars nobody");
        beside["tool_choice"]["allowed_tools"]["tools"][1] = json!({"type": "custom", "custom": {"name": "c"}});
        assert_eq!(error(running.chat(beside).await).await.1["param"], "tools[0]");
        assert!(!chosen.to_string().contains("allowed_tools"), "{chosen}");
    }
}

#[tokio::test]
async fn where_none_is_allowed_none_is_to_be_called() {
    let mut all = before_known().await;
    all.push(before(Wire::Anthropic).await);
    for running in &all {
        let chosen = sent(running, request(allowed("auto", json!([])))).await;
        assert_eq!(chosen, sent(running, request(json!("none"))).await);
        assert_eq!(chosen["tools"].as_array().unwrap().len(), 3);
    }
}

#[tokio::test]
async fn a_choice_that_cannot_be_made_is_refused_by_name() {
    let mut all = before_known().await;
    all.push(before(Wire::Anthropic).await);
    for running in &all {
        for (choice, param) in [
            (allowed("auto", json!([named("g"), named("nobody")])), "tool_choice.allowed_tools.tools[1]"),
            (allowed("required", json!([])), "tool_choice.allowed_tools.tools"),
            (allowed("some", json!([named("g")])), "tool_choice.allowed_tools"),
            (json!({"type": "allowed_tools"}), "tool_choice.allowed_tools"),
        ] {
            let (status, problem) = error(running.chat(request(choice)).await).await;
            assert_eq!((status, &problem["param"]), (400, &json!(param)));
        }
        assert!(running.upstream.seen().is_empty());
    }
    for (choice, param) in [
        (json!({"type": "allowed_tools", "mode": "auto"}), "tool_choice.tools"),
        (json!({"type": "allowed_tools", "mode": "auto", "tools": [{"name": "s"}]}), "tool_choice.tools[0]"),
        (
            json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp", "server_label": "s"}]}),
            "tool_choice.allowed_tools.tools[0]",
        ),
        (json!({"type": "mcp", "server_label": "s"}), "tool_choice"),
    ] {
        let answer = all[2].post("/v1/responses", response_request(&choice).to_string()).send().await.unwrap();
        let (status, problem) = error(answer).await;
        assert_eq!((status, &problem["param"]), (400, &json!(param)));
    }
}
