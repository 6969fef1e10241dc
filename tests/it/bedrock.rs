//! Bedrock's wire: requests, whole answers, errors.

use bytes::Bytes;
use http::StatusCode;
use proptest::prelude::*;
use satisfice::api::chat::ChatRequest;
use satisfice::catalog::Usage;
use satisfice::upstream::bedrock::Bedrock;
use satisfice::upstream::{Provider, Text};
use serde_json::{Value, json};

use crate::anthropic::fixture as anthropic_fixture;
use crate::conversations::{Said, any_conversation};
use crate::wire::{self, Posts as _};

macro_rules! fixture {
    ($name:literal) => {
        bytes::Bytes::from_static(include_bytes!(concat!("../fixtures/bedrock/", $name)))
    };
}
pub(crate) use fixture;

const CLAUDE: &str = "us.anthropic.claude-opus-4-6-v1";
const NOVA: &str = "amazon.nova-pro-v1:0";
const LLAMA: &str = "meta.llama3-1-8b-instruct-v1:0";

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn with(fields: Value) -> ChatRequest {
    let mut body = json!({"model": "auto", "messages": [{"role": "user", "content": "Hello"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    wire::chat(body.to_string())
}

fn posted(model: &str, fields: Value) -> Value {
    parsed(&Bedrock.request(model, &with(fields)).unwrap().body)
}

fn refused(model: &str, fields: Value) -> (String, String) {
    let bad = Bedrock.request(model, &with(fields)).unwrap_err();
    (bad.param.unwrap_or_default().into_owned(), bad.message)
}

/// The conversation that Anthropic's tests have, without what Bedrock cannot be given: pictures by URL and files by
/// name, and one call at a time.
fn whole_conversation() -> ChatRequest {
    let mut body = parsed(&anthropic_fixture!("request.json"));
    let parts = body["messages"][1]["content"].as_array_mut().unwrap();
    parts.retain(|part| part["image_url"]["url"] != "https://example.org/ant.jpg" && part["file"]["file_id"].is_null());
    body.as_object_mut().unwrap().remove("parallel_tool_calls");
    wire::chat(body.to_string())
}

#[test]
fn a_whole_conversation_is_written_as_amazon_documents_it() {
    let wire = Bedrock.request(CLAUDE, &whole_conversation()).unwrap();
    assert_eq!(parsed(&wire.body), parsed(&fixture!("request.posted.json")));
}

#[test]
fn a_model_stands_in_the_path_as_one_segment() {
    assert_eq!(Bedrock.path(NOVA, false), "model/amazon.nova-pro-v1%3A0/converse");
    let arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.meta.llama3-1-8b";
    let path = "model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.meta.llama3-1-8b/converse-stream";
    assert_eq!(Bedrock.path(arn, true), path);
}

#[test]
fn what_stands_behind_an_arn_says_which_model_it_is_and_stays_here() {
    let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123";
    assert_eq!(refused(arn, json!({"reasoning_effort": "high"})).0, "reasoning_effort", "the ARN alone says nothing");
    for (model, fields) in [(CLAUDE, json!({"reasoning_effort": "high"})), (NOVA, json!({"top_k": 5}))] {
        let profile = format!("{arn}#{model}");
        assert_eq!(Bedrock.path(&profile, false), Bedrock.path(arn, false));
        assert_eq!(posted(&profile, fields.clone()), posted(model, fields));
        let request = wire::hello();
        let asked = satisfice::upstream::Asked { model: &profile, ..wire::asked(&request) };
        assert_eq!(parsed(&Bedrock.reply(&asked, fixture!("converse.json")).unwrap().body)["model"], arn);
    }
    let titan = format!("{arn}#amazon.titan-embed-text-v2:0");
    let wire = Bedrock.embeddings().unwrap();
    assert_eq!(wire.embeddings_path(&titan), wire.embeddings_path(arn));
    let texts = r#"{"model":"m","input":"a"}"#;
    let texts = satisfice::api::embeddings::EmbeddingsRequest::parse(&texts.into()).unwrap();
    assert!(wire.embed(&titan, &texts).is_ok() && wire.embed(arn, &texts).is_err());
}

#[test]
fn nothing_that_was_not_said_is_sent() {
    let message = json!({"role": "user", "content": [{"text": "Hello"}]});
    for model in [CLAUDE, NOVA, LLAMA] {
        assert_eq!(posted(model, json!({"n": 1, "temperature": 1})), json!({"messages": [message]}));
    }
}

#[test]
fn what_a_model_has_beyond_bedrock_is_said_in_its_own_words() {
    let claude = posted(CLAUDE, json!({"reasoning_effort": "high"}));
    assert_eq!(claude["outputConfig"], json!({"effort": "high"}));
    assert_eq!(claude["additionalModelRequestFields"]["thinking"]["type"], "adaptive");
    let old =
        posted("anthropic.claude-sonnet-4-20250514-v1:0", json!({"reasoning_effort": "low", "max_tokens": 10_000}));
    let budget = json!({"thinking": {"type": "enabled", "budget_tokens": 2000}});
    assert_eq!(old["additionalModelRequestFields"], budget);
    let asked = with(json!({"reasoning_effort": "high", "max_tokens": 100_000}));
    let short =
        parsed(&Bedrock.request_up_to("anthropic.claude-sonnet-4-20250514-v1:0", Some(8000), &asked).unwrap().body);
    assert_eq!(short["inferenceConfig"]["maxTokens"], 8000);
    assert_eq!(short["additionalModelRequestFields"]["thinking"]["budget_tokens"], 6400, "less than the answer has");
    assert_eq!(
        posted(NOVA, json!({"top_k": 9}))["additionalModelRequestFields"],
        json!({"inferenceConfig": {"topK": 9}})
    );
    let limit = Bedrock.request_up_to(NOVA, Some(5000), &with(json!({"max_tokens": 9000}))).unwrap();
    assert_eq!(parsed(&limit.body)["inferenceConfig"], json!({"maxTokens": 5000}));
}

#[test]
fn sound_is_heard_by_the_models_that_can() {
    let wave = json!({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}});
    let said = json!([{"role": "user", "content": [{"type": "text", "text": "What is it?"}, wave]}]);
    let body = posted(NOVA, json!({"messages": said}));
    let audio = json!({"audio": {"format": "wav", "source": {"bytes": "UklGRg=="}}});
    assert_eq!(body["messages"][0]["content"], json!([{"text": "What is it?"}, audio]));
}

fn schema() -> Value {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": false});
    json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": schema}}})
}

#[test]
fn a_schema_is_held_to_natively_or_with_a_tool() {
    let body = posted(CLAUDE, schema());
    let format = &body["outputConfig"]["textFormat"];
    assert_eq!(format["type"], "json_schema");
    let text = format["structure"]["jsonSchema"]["schema"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap()["required"], json!(["n"]));
    let body = posted(NOVA, schema());
    assert_eq!(body["toolConfig"]["toolChoice"], json!({"tool": {"name": "answer"}}));
    assert_eq!(body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"]["required"], json!(["n"]));
    let answer = r#"{"output":{"message":{"role":"assistant","content":[{"toolUse":{"toolUseId":"t","name":"answer","input":{"n":1}}}]}},"stopReason":"tool_use"}"#;
    let reply = wire::whole(&Bedrock, &with(schema()), answer);
    let text = Text { content: r#"{"n":1}"#.into(), finish_reason: Some("stop".into()), ..Text::default() };
    assert_eq!(reply.text, text);
}

#[test]
fn what_bedrock_or_the_model_lacks_is_refused_by_name_or_left_out_on_demand() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    for (model, field, value) in [
        (NOVA, "seed", json!(7)),
        (NOVA, "n", json!(2)),
        (NOVA, "temperature", json!(1.5)),
        (NOVA, "reasoning_effort", json!("low")),
        (LLAMA, "top_k", json!(5)),
        ("anthropic.claude-opus-5", "temperature", json!(0.5)),
    ] {
        let (param, message) = refused(model, json!({field: value, "tools": tools}));
        assert_eq!(param, field);
        assert!(message.contains("drop_unsupported"), "{message}");
        let left = posted(model, json!({field: value, "tools": tools, "drop_unsupported": true}));
        assert_eq!(left, posted(model, json!({"tools": tools})));
    }
    let calls = json!([{"role": "user", "content": "Go."},
        {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "1"}]);
    let fields = json!({"messages": calls, "tools": tools, "tool_choice": "none"});
    assert_eq!(refused(NOVA, fields).0, "tool_choice");
    assert_eq!(posted(NOVA, json!({"tools": tools, "tool_choice": "none"}))["toolConfig"], Value::Null);
    let declared = &posted(NOVA, json!({"messages": calls}))["toolConfig"]["tools"];
    assert_eq!(declared[0]["toolSpec"]["name"], "f");
}

#[test]
fn a_model_that_cannot_be_made_to_call_a_tool_is_told_of_a_form_and_refuses_such_a_choice() {
    let mistral = "mistral.mistral-large-2407-v1:0";
    let mut loose = schema();
    loose["response_format"]["json_schema"]["strict"] = false.into();
    let told = posted(LLAMA, loose);
    assert!(told["system"][0]["text"].as_str().unwrap().contains(r#""required":["n"]"#), "{told}");
    assert_eq!(told.get("toolConfig"), None);
    let told = posted(LLAMA, json!({"response_format": {"type": "json_object"}}));
    assert!(told["system"][0]["text"].as_str().unwrap().contains("JSON"), "{told}");
    let (param, message) = refused(LLAMA, schema());
    assert!(param == "response_format" && message.contains("drop_unsupported"), "{message}");

    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let one = json!({"type": "function", "function": {"name": "f"}});
    for (model, choice) in [(LLAMA, one.clone()), (mistral, one.clone()), (LLAMA, json!("required"))] {
        let (param, message) = refused(model, json!({"tools": tools, "tool_choice": choice}));
        assert!(param == "tool_choice" && message.contains("drop_unsupported"), "{message}");
        let left = posted(model, json!({"tools": tools, "tool_choice": choice, "drop_unsupported": true}));
        assert_eq!(left, posted(model, json!({"tools": tools})));
    }
    let any = json!({"tools": tools, "tool_choice": "required"});
    assert_eq!(posted(mistral, any)["toolConfig"]["toolChoice"], json!({"any": {}}));
    let named = json!({"tools": tools, "tool_choice": one});
    assert_eq!(posted(NOVA, named)["toolConfig"]["toolChoice"], json!({"tool": {"name": "f"}}));
}

#[test]
fn the_user_speaks_first_and_says_something_beside_documents() {
    let hello = json!({"role": "assistant", "content": "How can I help?"});
    let empty = json!({"role": "assistant", "content": ""});
    let user = json!({"role": "user", "content": "Sum up."});
    let system = json!({"role": "system", "content": "Be brief."});
    let said = |messages: Value| posted(CLAUDE, json!({"messages": messages}))["messages"].take();
    let first = json!({"role": "user", "content": [{"text": "(You begin.)"}]});
    let sent = said(json!([system, hello, user]));
    assert_eq!(sent[0], first);
    assert_eq!((&sent[1]["role"], &sent[2]["role"]), (&json!("assistant"), &json!("user")));
    assert_eq!(said(json!([empty, user]))[0]["content"], json!([{"text": "Sum up."}]));

    let pdf =
        json!({"type": "file", "file": {"filename": "q3.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}});
    let alone = said(json!([{"role": "user", "content": [pdf]}]));
    assert_eq!(alone[0]["content"][1], json!({"text": "q3 1"}));
    let with_text = said(json!([{"role": "user", "content": [pdf, {"type": "text", "text": "Sum up."}]}]));
    assert_eq!(with_text[0]["content"].as_array().unwrap().len(), 2);
}

#[test]
fn parts_that_bedrock_cannot_be_given_are_refused_with_their_place() {
    let part = |role: &str, part: Value| refused(CLAUDE, json!({"messages": [{"role": role, "content": [part]}]}));
    let picture = json!({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}});
    let (param, message) = part("user", picture.clone());
    assert_eq!(param, "messages[0].content[0]");
    assert!(message.contains("data: URL"), "{message}");
    assert_eq!(part("system", picture).0, "messages[0].content");
    let tiff = json!({"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AAAA"}});
    assert!(part("user", tiff).1.contains("image/tiff"));
    let zip = json!({"type": "file", "file": {"file_data": "data:application/zip;base64,AAAA"}});
    assert!(part("user", zip).1.contains("application/zip"));
    let midi = json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "midi"}});
    assert!(part("user", midi).1.contains("not midi"));
    let wave = json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}});
    assert_eq!(part("assistant", wave.clone()).0, "messages[0].content");
    let heard = json!([{"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "Listen."}, wave]}]);
    let (param, message) = refused(CLAUDE, json!({"messages": heard}));
    assert_eq!(param, "messages[0].content[1]");
    assert!(message.contains("no sound from tools"), "{message}");
    let stored = json!({"type": "file", "file": {"file_id": "file-1"}});
    assert_eq!(part("user", stored).0, "messages[0].content[0]");
}

#[test]
fn reads_an_answer_and_counts_its_tokens_as_openai_does() {
    let reply = wire::whole(&Bedrock, &wire::hello(), fixture!("converse.json"));
    let json = parsed(&reply.body);
    let message = &json["choices"][0]["message"];
    assert_eq!((&json["model"], &json["created"]), (&json!(wire::MODEL), &json!(wire::STAMP.created_s)));
    assert_eq!(message["content"], "I'll look both up.");
    assert_eq!(message["reasoning_content"], "Two cities, two calls.");
    assert_eq!(message["thinking_blocks"][0]["signature"], "EqQBCgIYAhIM1gbcDa9GJwZA2b3h");
    assert_eq!(message["thinking_blocks"][1], json!({"type": "redacted_thinking", "data": "RW13S0FoZ0I="}));
    let calls = message["tool_calls"].as_array().unwrap();
    let calls: Vec<_> = calls.iter().map(|call| (&call["id"], &call["function"]["arguments"])).collect();
    let expected =
        [(json!("tooluse_hbTgdi0CSLq_hM4P8csZJA"), json!(r#"{"sign":"WZPZ"}"#)), (json!("tooluse_2"), json!("{}"))];
    assert_eq!(calls, expected.iter().map(|(id, arguments)| (id, arguments)).collect::<Vec<_>>());
    let usage = Usage {
        input_tokens: 4125,
        output_tokens: 60,
        cached_input_tokens: 1000,
        cache_write_tokens: 3000,
        cache_write_1h_tokens: 2000,
        reasoning_tokens: 0,
    };
    assert_eq!((reply.usage, reply.text.finish_reason.as_deref()), (Some(usage), Some("tool_calls")));
}

#[test]
fn pages_of_the_web_become_annotations_and_other_places_stay_citations() {
    let reply = wire::whole(&Bedrock, &wire::hello(), fixture!("citations.json"));
    let message = &parsed(&reply.body)["choices"][0]["message"];
    assert_eq!(message["content"], "As the paper says, it rains");
    let page = json!({"documentIndex": 0, "start": 1, "end": 2, "title": "Paper", "cited_text": "rain",
        "start_index": 19, "end_index": 27});
    let url = "https://example.org/rain";
    let web = json!({"url": url, "title": url, "domain": "example.org", "start_index": 19, "end_index": 27});
    assert_eq!(message["annotations"], json!([{"type": "url_citation", "url_citation": web}]));
    assert_eq!(message["citations"], json!([{"type": "documentPage", "documentPage": page}]));
}

#[test]
fn every_reason_to_stop_has_its_word() {
    for (reason, finish) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("malformed_tool_use", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
    ] {
        let body = json!({"output": {"message": {"content": [{"text": "a"}]}}, "stopReason": reason});
        let reply = wire::whole(&Bedrock, &wire::hello(), body.to_string());
        assert_eq!(reply.text.finish_reason.as_deref(), Some(finish), "{reason}");
    }
    let request = wire::hello();
    assert!(Bedrock.reply(&wire::asked(&request), "{}".into()).unwrap_err().to_string().contains("output"));
}

#[test]
fn errors_keep_their_words() {
    let error = |body: &[u8]| Bedrock.error(StatusCode::BAD_REQUEST, body);
    let detail = error(&fixture!("error.json"));
    assert_eq!(
        (&*detail.message, &*detail.kind),
        ("The provided model identifier is invalid.", "invalid_request_error")
    );
    assert_eq!(error(br#"{"Message":"User: arn is not authorized"}"#).message, "User: arn is not authorized");
    assert_eq!(error(b"<html>").message, "<html>");
}

/// What a request says, read by Converse's model.
fn said(body: &Value) -> Vec<Said> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut out = vec![];
    for message in body["messages"].as_array().unwrap() {
        for block in message["content"].as_array().unwrap() {
            let (kind, value) = block.as_object().unwrap().iter().next().unwrap();
            out.push(match (message["role"].as_str().unwrap(), kind.as_str()) {
                ("user", "text") => Said::User(text(value)),
                ("assistant", "text") => Said::Assistant(text(value)),
                ("user", "image") => Said::Picture(text(&value["source"]["bytes"])),
                ("user", "toolResult") => {
                    Said::Result { id: text(&value["toolUseId"]), text: text(&value["content"][0]["text"]) }
                }
                ("assistant", "toolUse") => {
                    let (id, name) = (text(&value["toolUseId"]), text(&value["name"]));
                    Said::Call { id, name, arguments: value["input"].clone() }
                }
                other => panic!("no such block: {other:?}"),
            });
        }
    }
    out
}

proptest! {
    #[test]
    fn everything_that_is_said_arrives_in_its_order_and_roles_alternate(conversation in any_conversation()) {
        let body = posted(NOVA, json!({"messages": conversation.messages}));
        conversation.arrives(&body, said(&body))?;
    }
}

#[test]
fn claude_is_given_no_white_space_at_the_end_of_a_text_to_go_on_with() {
    let messages = json!([{"role": "user", "content": "Say it."}, {"role": "assistant", "content": "So \n"}]);
    for (model, sent) in [(CLAUDE, "So"), (NOVA, "So \n")] {
        assert_eq!(posted(model, json!({"messages": messages}))["messages"][1]["content"][0]["text"], sent, "{model}");
    }
}

#[test]
fn impossible_counts_of_cached_tokens_are_as_many_as_were_written() {
    let mut answer: Value = serde_json::from_slice(&fixture!("converse.json")).unwrap();
    let most = json!({"ttl": "1h", "inputTokens": u32::MAX});
    answer["usage"]["cacheDetails"] = json!([most, most]);
    let usage = wire::whole(&Bedrock, &wire::hello(), answer.to_string()).usage.unwrap();
    assert_eq!((usage.cache_write_tokens, usage.cache_write_1h_tokens), (3000, 3000));
}

/// No more than one call at a time, of one of these functions.
fn one_call(functions: &[&str]) -> Value {
    let tools: Vec<Value> =
        functions.iter().map(|name| json!({"type": "function", "function": {"name": name}})).collect();
    json!({"tools": tools, "parallel_tool_calls": false})
}

#[test]
fn one_call_at_a_time_is_refused_where_there_are_several_functions_and_else_the_first_call() {
    let (param, message) = refused(NOVA, one_call(&["f", "g"]));
    assert_eq!(param, "parallel_tool_calls");
    assert!(message.contains("drop_unsupported"), "{message}");
    let call = |id: &str| json!({"toolUse": {"toolUseId": id, "name": "f", "input": {}}});
    let content = json!([{"text": "Well."}, call("a"), call("b")]);
    let answer = json!({"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "tool_use"});
    let calls = |fields: Value| {
        let reply = parsed(&wire::whole(&Bedrock, &with(fields), answer.to_string()).body);
        reply["choices"][0]["message"]["tool_calls"].as_array().unwrap().iter().map(|call| call["id"].clone()).collect()
    };
    let ids: Vec<Value> = calls(one_call(&["f"]));
    assert_eq!(ids, ["a"]);
    let ids: Vec<Value> = calls(json!({"tools": one_call(&["f"])["tools"]}));
    assert_eq!(ids, ["a", "b"]);
    assert!(posted(NOVA, one_call(&["f"]))["toolConfig"].is_object());
}

#[test]
fn an_odd_count_does_not_cost_the_answer() {
    let answer = |usage: Value| {
        let message = json!({"role": "assistant", "content": [{"text": "fine"}]});
        json!({"output": {"message": message}, "stopReason": "end_turn", "usage": usage}).to_string()
    };
    let odd = json!({"inputTokens": 7, "outputTokens": 2, "cacheReadInputTokens": null, "cacheDetails": 1});
    let counted = wire::whole(&Bedrock, &wire::hello(), answer(odd)).usage.unwrap();
    assert_eq!((counted.input_tokens, counted.output_tokens), (7, 2));
    let unknown = json!({"inputTokens": 7, "outputTokens": -2});
    assert!(wire::whole(&Bedrock, &wire::hello(), answer(unknown)).usage.is_none());
    let reply = wire::whole(&Bedrock, &wire::hello(), answer(Value::Null));
    assert!(String::from_utf8_lossy(&reply.body).contains("fine"));
}
