//! Tools that OpenAI or Anthropic run themselves, or made their models for: passed to a provider of the same protocol,
//! what was done with them given back, and refused by name elsewhere.

use satisfice::upstream::settings::{ProviderSettings, Wire};
use serde_json::{Value, json};

use crate::custom_tools::before;
use crate::gateway::{Options, Running, body, error, header};
use crate::scripted::{Answer, Scripted};
use crate::wire::events;

/// What OpenAI's tool did, between two thoughts.
fn output() -> Value {
    let thought = |id: &str| json!({"type": "reasoning", "id": id, "summary": [{"type": "summary_text", "text": id}], "encrypted_content": format!("sealed {id}")});
    json!([
        thought("rs_1"),
        search(),
        {"type": "mcp_call", "id": "mcp_1", "server_label": "s", "name": "n", "arguments": "{}", "output": "3"},
        thought("rs_2"),
        {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
         "content": [{"type": "output_text", "text": "Rain.", "annotations": []}]}])
}

pub fn search() -> Value {
    json!({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "rain"}})
}

pub fn response(output: Value) -> Value {
    json!({"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "error": null, "model": "m",
        "output": output, "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}})
}

pub fn stream(output: &Value) -> Answer {
    let begun = json!({"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}});
    let items = output.as_array().unwrap().iter().enumerate();
    let each = items.flat_map(|(i, item)| {
        let text = item["content"][0]["text"].as_str().map(
            |text| json!({"type": "response.output_text.delta", "output_index": i, "content_index": 0, "delta": text}),
        );
        let added = json!({"type": "response.output_item.added", "output_index": i, "item": item});
        let done = json!({"type": "response.output_item.done", "output_index": i, "item": item});
        [Some(added), text, Some(done)].into_iter().flatten()
    });
    let ended = json!({"type": "response.completed", "response": response(json!([]))});
    let events = std::iter::once(begun).chain(each).chain([ended]);
    events.fold(Answer::stream(), |answer, event| answer.event(&event.to_string())).end()
}

pub fn asked(fields: Value) -> String {
    let mut body = json!({"model": "small", "input": "Does it rain?"});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body.to_string()
}

pub fn kinds(output: &Value) -> Vec<&str> {
    output.as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn openais_tools_reach_a_provider_of_responses_as_they_are() {
    let running = before(Wire::OpenAiResponses).await;
    running.upstream.on("small-upstream", [Answer::json(response(output()).to_string())]);
    let tools = json!([
        {"type": "mcp", "server_label": "s", "server_url": "https://mcp.example"},
        {"type": "function", "name": "f", "description": "F.", "parameters": {"type": "object"}, "strict": false},
        {"type": "code_interpreter", "container": {"type": "auto"}}]);
    let choice = json!({"type": "mcp", "server_label": "s"});
    let include = json!(["code_interpreter_call.outputs"]);
    let fields = json!({"tools": tools, "tool_choice": choice, "include": include, "max_tool_calls": 3});
    running.post("/v1/responses", asked(fields)).send().await.unwrap();
    let sent = running.upstream.seen()[0].json();
    assert_eq!((&sent["tools"], &sent["tool_choice"], &sent["max_tool_calls"]), (&tools, &choice, &json!(3)));
    assert!(sent["include"].as_array().unwrap().contains(&include[0]), "{}", sent["include"]);
}

#[tokio::test]
async fn what_openais_tools_did_comes_back_in_its_order_whole_and_streamed() {
    let running = before(Wire::OpenAiResponses).await;
    let whole = Answer::json(response(output()).to_string());
    running.upstream.on("small-upstream", [whole, stream(&output())]);
    let whole = body(running.post("/v1/responses", asked(json!({}))).send().await.unwrap()).await;
    let expected = ["reasoning", "web_search_call", "mcp_call", "reasoning", "message"];
    assert_eq!(kinds(&whole["output"]), expected);
    assert_eq!(whole["output"][1], search());
    let told = running.post("/v1/responses", asked(json!({"stream": true}))).send().await.unwrap();
    let told = events(&told.bytes().await.unwrap());
    let last = told.last().unwrap();
    assert_eq!((&last["type"], kinds(&last["response"]["output"])), (&json!("response.completed"), expected.to_vec()));
    let added = told.iter().find(|event| event["item"]["id"] == "ws_1").unwrap();
    assert_eq!(
        (&added["type"], &added["item"]["status"]),
        (&json!("response.output_item.added"), &json!("in_progress"))
    );
}

#[tokio::test]
async fn what_openais_tools_did_goes_back_to_it_in_its_order_and_to_nobody_else() {
    for stream_it in [false, true] {
        let running = before(Wire::OpenAiResponses).await;
        let whole = Answer::json(response(output()).to_string());
        running.upstream.on("small-upstream", [if stream_it { stream(&output()) } else { whole }]);
        let answer = running.post("/v1/responses", asked(json!({"stream": stream_it}))).send().await.unwrap();
        let said = match stream_it {
            true => events(&answer.bytes().await.unwrap()).pop().unwrap()["response"]["output"].take(),
            false => body(answer).await["output"].take(),
        };
        let ask = json!([{"role": "user", "content": "Does it rain?"}]);
        let items = |output: &Value| {
            [ask.as_array().unwrap(), &output.as_array().unwrap()[..], ask.as_array().unwrap()].concat()
        };
        running.post("/v1/responses", asked(json!({"input": items(&said)}))).send().await.unwrap();
        let mut sent = running.upstream.seen()[1].json()["input"].take();
        assert_eq!(
            kinds(&sent),
            ["message", "reasoning", "web_search_call", "mcp_call", "reasoning", "message", "message"]
        );
        assert_eq!(
            (sent[2].take(), sent[1]["id"].take(), sent[4]["id"].take()),
            (search(), json!("rs_1"), json!("rs_2"))
        );
        for wire in [Wire::OpenAi, Wire::Anthropic, Wire::Gemini, Wire::Cohere] {
            let other = before(wire).await;
            other.post("/v1/responses", asked(json!({"input": items(&said)}))).send().await.unwrap();
            let sent = other.upstream.seen()[0].json().to_string();
            assert!(sent.contains("Rain.") && !sent.contains("ws_1"), "{wire:?}: {sent}");
        }
    }
}

/// What was said before a search, and what after it with where that is from.
fn said_around_a_search() -> Value {
    let message = |id: &str, text: &str, annotations: Value| {
        let part = json!({"type": "output_text", "text": text, "annotations": annotations});
        json!({"type": "message", "id": id, "status": "completed", "role": "assistant", "content": [part]})
    };
    let source =
        json!({"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 0, "end_index": 4});
    json!([message("msg_1", "Ich prüfe.", json!([])), search(), message("msg_2", "Rain.", json!([source]))])
}

#[tokio::test]
async fn what_was_said_before_a_search_and_after_it_is_told_and_goes_back_in_that_order() {
    let running = before(Wire::OpenAiResponses).await;
    let given = said_around_a_search();
    running.upstream.on("small-upstream", [Answer::json(response(given.clone()).to_string())]);
    let whole = body(running.post("/v1/responses", asked(json!({}))).send().await.unwrap()).await["output"].take();
    assert_eq!(kinds(&whole), ["message", "web_search_call", "message"]);
    assert_eq!(whole[0]["content"][0]["text"], "Ich prüfe.");
    assert_eq!(whole[0]["content"][0]["annotations"], json!([]));
    assert_eq!(whole[2]["content"][0]["annotations"], given[2]["content"][0]["annotations"], "in its own text");

    running.post("/v1/responses", asked(json!({"input": whole}))).send().await.unwrap();
    let sent = running.upstream.seen().pop().unwrap().json()["input"].take();
    assert_eq!(kinds(&sent), kinds(&whole));
    assert_eq!((&sent[0]["content"], &sent[2]["content"]), (&json!("Ich prüfe."), &json!("Rain.")));
}

#[tokio::test]
async fn the_sources_of_a_streamed_message_count_in_its_own_text() {
    let running = before(Wire::OpenAiResponses).await;
    let output = said_around_a_search();
    let source = &output[2]["content"][0]["annotations"][0];
    let event = |kind: &str, fields: Value| {
        let mut event = json!({"type": format!("response.{kind}")});
        event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        event.to_string()
    };
    let text = |i: usize, text: &str| {
        event("output_text.delta", json!({"output_index": i, "content_index": 0, "delta": text}))
    };
    let told = Answer::stream()
        .event(&event("created", json!({"response": {"id": "resp_1", "status": "in_progress"}})))
        .event(&text(0, "Ich prüfe."))
        .event(&event("output_item.done", json!({"output_index": 1, "item": search()})))
        .event(&text(2, "Rain."))
        .event(&event("output_text.annotation.added", json!({"output_index": 2, "annotation": source})))
        .event(&event("completed", json!({"response": response(json!([]))})))
        .end();
    running.upstream.on("small-upstream", [told]);
    let told = running.post("/v1/responses", asked(json!({"stream": true}))).send().await.unwrap();
    let last = events(&told.bytes().await.unwrap()).pop().unwrap()["response"]["output"].take();
    assert_eq!(kinds(&last), ["message", "web_search_call", "message"]);
    assert_eq!(&last[2]["content"][0]["annotations"][0], source);
}

#[tokio::test]
async fn elsewhere_openais_tools_are_refused_by_name_or_left_out() {
    for wire in [Wire::OpenAi, Wire::Azure, Wire::Mistral, Wire::Anthropic, Wire::Gemini, Wire::Cohere] {
        let running = before(wire).await;
        for (fields, param) in [
            (json!({"tools": [{"type": "file_search", "vector_store_ids": ["v"]}]}), "tools[0]"),
            (json!({"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}}), "tool_choice"),
        ] {
            let (status, problem) = error(running.post("/v1/responses", asked(fields)).send().await.unwrap()).await;
            if problem["param"] != "web_search_options" {
                assert_eq!((status, problem["param"].as_str()), (400, Some(param)), "{wire:?}: {problem}");
                assert!(problem["message"].as_str().unwrap().contains("_search\""), "{problem}");
            }
        }
        assert!(running.upstream.seen().is_empty());
        let fields = json!({"tools": [{"type": "file_search"}], "tool_choice": {"type": "file_search"}, "drop_unsupported": true});
        running.post("/v1/responses", asked(fields)).send().await.unwrap();
        let sent = running.upstream.seen()[0].json();
        assert_eq!((sent.get("tools"), sent.get("tool_choice")), (None, None), "{wire:?}");
    }
}

/// `small` speaks Responses, `large` chat.
fn both(upstream: &Scripted) -> Vec<ProviderSettings> {
    vec![
        ProviderSettings { wire: Wire::OpenAiResponses, ..upstream.provider("test") },
        ProviderSettings { wire: Wire::OpenAi, ..upstream.provider("other") },
    ]
}

#[tokio::test]
async fn a_route_takes_the_model_whose_provider_has_the_tool() {
    use satisfice::catalog::{Model, ModelId};

    let mut settings = crate::gateway::settings();
    let large = settings.routes[0].models[1].clone();
    let large = std::sync::Arc::new(Model { id: ModelId::of("other", &large.id.model), ..(*large).clone() });
    settings.routes[0].models[1] = large.clone();
    settings.models[1] = large;
    for (tools, model) in [(json!([{"type": "file_search"}]), "test/small"), (json!([]), "")] {
        let settings = settings.clone();
        let running = Running::with(Options { settings, providers: Some(both), ..Options::default() }).await;
        running.upstream.on("small-upstream", [Answer::json(response(output()).to_string())]);
        let answer =
            running.post("/v1/responses", asked(json!({"model": "auto", "tools": tools}))).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(header(&answer, "x-satisfice-model").unwrap().starts_with(model));
    }
}

#[tokio::test]
async fn a_picture_that_openai_made_is_one_of_the_answers_pictures() {
    let running = before(Wire::OpenAiResponses).await;
    let picture = json!({"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "iVBORw0K", "output_format": "webp"});
    let answer = json!([picture]);
    running.upstream.on("small-upstream", [Answer::json(response(answer.clone()).to_string()), stream(&answer)]);
    let whole = body(running.post("/v1/responses", asked(json!({}))).send().await.unwrap()).await;
    let made = |item: &Value| (item["type"].clone(), item["result"].clone(), item["output_format"].clone());
    assert_eq!(made(&whole["output"][0]), made(&picture));
    let told = running.post("/v1/responses", asked(json!({"stream": true}))).send().await.unwrap();
    let last = events(&told.bytes().await.unwrap()).pop().unwrap();
    assert_eq!(made(&last["response"]["output"][0]), made(&picture));
}

/// An answer of Claude's that searched the web.
fn searched() -> Value {
    let server =
        json!({"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "rain"}});
    let found = json!({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1",
        "content": [{"type": "web_search_result", "url": "https://a.example", "title": "A", "encrypted_content": "Eo8B"}]});
    let cited = json!({"type": "web_search_result_location", "url": "https://a.example", "title": "A",
        "encrypted_index": "", "cited_text": "It rains."});
    json!([server, found, {"type": "text", "text": "Rain.", "citations": [cited]}])
}

fn message(content: &Value) -> Value {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": content,
        "stop_reason": "end_turn", "stop_sequence": null, "usage": {"input_tokens": 1, "output_tokens": 1}})
}

fn message_stream(content: &Value) -> Answer {
    let begun =
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "claude", "usage": {"input_tokens": 1}}});
    let block = |(i, block): (usize, &Value)| {
        let mut start = block.clone();
        let deltas = match block["type"].as_str().unwrap() {
            "text" => {
                start = json!({"type": "text", "text": ""});
                let citation = json!({"type": "citations_delta", "citation": block["citations"][0]});
                vec![json!({"type": "text_delta", "text": block["text"]}), citation]
            }
            "server_tool_use" => {
                start["input"] = json!({});
                let input = block["input"].to_string();
                let (one, two) = input.split_at(4);
                [one, two].map(|piece| json!({"type": "input_json_delta", "partial_json": piece})).to_vec()
            }
            _ => vec![],
        };
        let start = json!({"type": "content_block_start", "index": i, "content_block": start});
        let deltas = deltas.into_iter().map(move |d| json!({"type": "content_block_delta", "index": i, "delta": d}));
        std::iter::once(start)
            .chain(deltas)
            .chain([json!({"type": "content_block_stop", "index": i})])
            .collect::<Vec<_>>()
    };
    let blocks = content.as_array().unwrap().iter().enumerate().flat_map(block);
    let ended = [
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}),
        json!({"type": "message_stop"}),
    ];
    let events = std::iter::once(begun).chain(blocks).chain(ended);
    events.fold(Answer::stream(), |answer, event| answer.event(&event.to_string())).end()
}

fn messages(fields: Value) -> String {
    let ask = json!([{"role": "user", "content": "Does it rain?"}]);
    let mut body = json!({"model": "small", "max_tokens": 100, "messages": ask});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body.to_string()
}

#[tokio::test]
async fn anthropics_tools_reach_claude_as_they_are_and_are_refused_elsewhere() {
    let tools = json!([
        {"type": "bash_20250124", "name": "bash"},
        {"name": "f", "input_schema": {"type": "object"}},
        {"type": "code_execution_20250825", "name": "code_execution", "cache_control": {"type": "ephemeral"}}]);
    let fields = || json!({"tools": tools, "tool_choice": {"type": "tool", "name": "bash"}});
    let claude = before(Wire::Anthropic).await;
    claude.post("/v1/messages", messages(fields())).send().await.unwrap();
    let sent = claude.upstream.seen()[0].json();
    assert_eq!((&sent["tools"], &sent["tool_choice"]), (&tools, &json!({"type": "tool", "name": "bash"})));
    for wire in [Wire::OpenAi, Wire::Gemini, Wire::OpenAiResponses] {
        let other = before(wire).await;
        let answer = other.post("/v1/messages", messages(fields())).send().await.unwrap();
        assert_eq!(answer.status(), 400);
        let problem = body(answer).await["error"]["message"].take();
        assert!(problem.as_str().unwrap().contains("tools[0] is of type \"bash_20250124\""), "{problem}");
        assert!(other.upstream.seen().is_empty());
    }
}

#[tokio::test]
async fn what_anthropic_alone_says_of_a_function_reaches_claude_and_elsewhere_is_refused_or_left_out() {
    let function = |more: Value| {
        let mut tool = json!({"name": "f", "input_schema": {"type": "object"}});
        tool.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([tool])
    };
    let with_examples = function(json!({"input_examples": [{"a": 1}], "eager_input_streaming": true}));
    let claude = before(Wire::Anthropic).await;
    claude.post("/v1/messages", messages(json!({"tools": with_examples}))).send().await.unwrap();
    assert_eq!(claude.upstream.seen()[0].json()["tools"], with_examples);
    for wire in [Wire::OpenAi, Wire::Gemini, Wire::Cohere, Wire::OpenAiResponses] {
        let other = before(wire).await;
        let answer = other.post("/v1/messages", messages(json!({"tools": with_examples}))).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{wire:?}");
        let problem = body(answer).await["error"]["message"].take();
        assert!(problem.as_str().unwrap().contains("tools[0].input_examples"), "{wire:?}: {problem}");
        assert!(other.upstream.seen().is_empty(), "{wire:?}");
        // What only hurries the answer, and what may be dropped, stays behind; the function does not.
        let hurried = json!({"tools": function(json!({"eager_input_streaming": true}))});
        let lenient = json!({"tools": with_examples, "drop_unsupported": true});
        for fields in [hurried, lenient] {
            other.post("/v1/messages", messages(fields)).send().await.unwrap();
            let sent = other.upstream.seen().last().unwrap().json()["tools"].to_string();
            assert!(sent.contains("\"f\"") && !sent.contains("hosted") && !sent.contains("input_"), "{wire:?}: {sent}");
        }
    }
}

#[tokio::test]
async fn a_field_that_nobody_knows_passes_to_claude_and_on_openais_wire_and_is_refused_by_name_elsewhere() {
    let strange = |more: Value| {
        let mut fields = json!({"novelty": {"level": 1}, "temperature": 0.5, "top_k": 3});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        messages(fields)
    };
    for wire in [Wire::Anthropic, Wire::OpenAi, Wire::OpenAiResponses] {
        let running = before(wire).await;
        running.post("/v1/messages", strange(json!({}))).send().await.unwrap();
        let sent = running.upstream.seen()[0].json();
        assert_eq!(sent["novelty"], json!({"level": 1}), "{wire:?}: {sent}");
        assert!(sent.get("claude_fields").is_none(), "{wire:?}: {sent}");
    }
    // By the names that the translation itself uses nobody says anything.
    let claude = before(Wire::Anthropic).await;
    for inner in [json!({"claude_fields": ["model"]}), json!({"hosted": []})] {
        let answer = claude.post("/v1/messages", strange(inner.clone())).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{inner}");
        let problem = body(answer).await["error"]["message"].take();
        assert!(problem.as_str().unwrap().contains("is no field of Anthropic's Messages API"), "{problem}");
    }
    for wire in [Wire::Gemini, Wire::Cohere] {
        let other = before(wire).await;
        let answer = other.post("/v1/messages", strange(json!({}))).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{wire:?}");
        let problem = body(answer).await["error"]["message"].take();
        assert!(problem.as_str().unwrap().contains("knows nothing like `novelty`"), "{wire:?}: {problem}");
        assert!(other.upstream.seen().is_empty(), "{wire:?}");
        other.post("/v1/messages", strange(json!({"drop_unsupported": true}))).send().await.unwrap();
        assert!(other.upstream.seen()[0].json().get("novelty").is_none(), "{wire:?}");
    }
    // What a chat has and Claude has not is still no news.
    let claude = before(Wire::Anthropic).await;
    let answer = claude.post("/v1/messages", strange(json!({"seed": 1}))).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), claude.upstream.seen().len()), (400, 0));
    let mut chat = json!({"model": "small", "messages": [{"role": "user", "content": "x"}]});
    chat["novelty"] = 1.into();
    let (status, error) = error(claude.chat(chat).await).await;
    assert_eq!(
        (status, &error["param"]),
        (400, &json!("novelty")),
        "a client of another protocol means something else"
    );
}

#[tokio::test]
async fn features_that_a_client_tries_are_named_to_claude_beside_those_of_the_configuration() {
    fn with_beta(upstream: &Scripted) -> Vec<ProviderSettings> {
        let headers = http::HeaderMap::from_iter([("anthropic-beta".parse().unwrap(), "ours".parse().unwrap())]);
        vec![ProviderSettings { wire: Wire::Anthropic, headers, ..upstream.provider("test") }]
    }
    let claude = Running::with(Options { providers: Some(with_beta), ..Options::default() }).await;
    let ask =
        |running: &Running| running.post("/v1/messages", messages(json!({}))).header("anthropic-beta", "a-1, b-2");
    ask(&claude).header("anthropic-beta", "c-3").send().await.unwrap();
    let seen = &claude.upstream.seen()[0];
    let named: Vec<&str> = seen.headers.get_all("anthropic-beta").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(named, ["ours", "a-1,b-2,c-3"]);
    assert_eq!(seen.json().get("anthropic_beta"), None);
    for wire in [Wire::OpenAi, Wire::OpenAiResponses, Wire::Gemini] {
        let other = before(wire).await;
        ask(&other).send().await.unwrap();
        let seen = &other.upstream.seen()[0];
        assert!(!seen.headers.contains_key("anthropic-beta") && !seen.json().to_string().contains("a-1"), "{wire:?}");
    }
}

#[tokio::test]
async fn what_claude_did_comes_back_and_goes_back_as_it_was_whole_and_streamed() {
    let claude = before(Wire::Anthropic).await;
    let whole = Answer::json(message(&searched()).to_string());
    claude.upstream.on("small-upstream", [whole, message_stream(&searched())]);
    let whole = body(claude.post("/v1/messages", messages(json!({}))).send().await.unwrap()).await;
    assert_eq!(whole["content"], searched());
    let told = claude.post("/v1/messages", messages(json!({"stream": true}))).send().await.unwrap();
    let told = events(&told.bytes().await.unwrap());
    let begun: Vec<&Value> = told
        .iter()
        .filter(|event| event["type"] == "content_block_start")
        .map(|event| &event["content_block"])
        .collect();
    assert_eq!((begun[0], begun[1], &begun[2]["type"]), (&searched()[0], &searched()[1], &json!("text")));

    let question = json!({"role": "user", "content": "Does it rain?"});
    let conversation = json!([question, {"role": "assistant", "content": searched()}, question]);
    claude.post("/v1/messages", messages(json!({"messages": conversation}))).send().await.unwrap();
    let sent = claude.upstream.seen()[2].json()["messages"][1]["content"].take();
    assert_eq!((&sent[0], &sent[1], &sent[2]["text"]), (&searched()[0], &searched()[1], &json!("Rain.")));
    for wire in [Wire::OpenAi, Wire::OpenAiResponses, Wire::Gemini] {
        let other = before(wire).await;
        other.post("/v1/messages", messages(json!({"messages": conversation}))).send().await.unwrap();
        let sent = other.upstream.seen()[0].json().to_string();
        assert!(sent.contains("Rain.") && !sent.contains("srvtoolu_1"), "{wire:?}: {sent}");
    }
}

/// An answer of Claude's that thought, spoke and searched by turns.
fn spoken_around_searches() -> Value {
    let [server, found, rain] = searched().as_array().unwrap().clone().try_into().unwrap();
    let thought = |text: &str| json!({"type": "thinking", "thinking": text, "signature": text});
    let text = |text: &str| json!({"type": "text", "text": text});
    json!([
        thought("one"),
        text("Ich prüfe."),
        server,
        found,
        thought("two"),
        rain,
        text(" And?"),
        server,
        found,
        text("Yes.")
    ])
}

/// Each block's type, and its text where it has one.
fn spoken(content: &Value) -> Vec<(String, String)> {
    let word = |word: &Value| word.as_str().unwrap_or_default().to_owned();
    content.as_array().unwrap().iter().map(|block| (word(&block["type"]), word(&block["text"]))).collect()
}

#[tokio::test]
async fn claudes_blocks_keep_their_order_in_a_whole_answer_and_where_it_goes_back() {
    let claude = before(Wire::Anthropic).await;
    let given = spoken_around_searches();
    let answer = || Answer::json(message(&given).to_string());
    claude.upstream.on("small-upstream", [answer(), answer(), answer(), answer()]);
    let whole = body(claude.post("/v1/messages", messages(json!({}))).send().await.unwrap()).await;
    assert_eq!(whole["content"], given);

    let question = json!({"role": "user", "content": "Does it rain?"});
    let conversation = json!([question, {"role": "assistant", "content": whole["content"]}, question]);
    claude.post("/v1/messages", messages(json!({"messages": conversation}))).send().await.unwrap();
    let sent = claude.upstream.seen().pop().unwrap().json()["messages"][1]["content"].take();
    assert_eq!(spoken(&sent), spoken(&given));

    let chat = |messages: Value| json!({"model": "small", "messages": messages}).to_string();
    let answer = claude.post("/v1/chat/completions", chat(json!([question]))).send().await.unwrap();
    let said = body(answer).await["choices"][0]["message"].take();
    assert_eq!(said["content"], "Ich prüfe.Rain. And?Yes.");
    claude.post("/v1/chat/completions", chat(json!([question, said, question]))).send().await.unwrap();
    let sent = claude.upstream.seen().pop().unwrap().json()["messages"][1]["content"].take();
    let mut expected = spoken(&given);
    expected[5].1 += " And?";
    expected.remove(6);
    assert_eq!(spoken(&sent), expected, "a chat's one text is cut where the searches were");
}

#[tokio::test]
async fn the_web_is_searched_for_anthropics_clients_by_whoever_can() {
    let tool = json!({"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.example"], "max_uses": 2,
        "user_location": {"type": "approximate", "city": "Oulu"}});
    let claude = before(Wire::Anthropic).await;
    claude.post("/v1/messages", messages(json!({"tools": [tool]}))).send().await.unwrap();
    assert_eq!(claude.upstream.seen()[0].json()["tools"], json!([tool]));
    let plain = || messages(json!({"tools": [{"type": "web_search_20260209", "name": "web_search"}]}));
    let google = before(Wire::Gemini).await;
    google.post("/v1/messages", plain()).send().await.unwrap();
    assert_eq!(google.upstream.seen()[0].json()["tools"], json!([{"googleSearch": {}}]));
    let openai = before(Wire::OpenAiResponses).await;
    openai.post("/v1/messages", plain()).send().await.unwrap();
    assert_eq!(openai.upstream.seen()[0].json()["tools"], json!([{"type": "web_search"}]));
    let asks_for_json = json!({"model": "small", "web_search_options": {}, "response_format": {"type": "json_object"},
        "messages": [{"role": "user", "content": "Does it rain?"}]});
    claude.post("/v1/chat/completions", asks_for_json.to_string()).send().await.unwrap();
    let sent = claude.upstream.seen()[1].json();
    assert_eq!((&sent["tools"][0]["name"], sent.get("tool_choice")), (&json!("web_search"), None), "no call is forced");
}
