//! Google's wire: what Gemini is asked, and what is made of its answers.

use bytes::Bytes;
use http::StatusCode;
use proptest::prelude::*;
use satisfice::catalog::Usage;
use satisfice::upstream::gemini::Gemini;
use satisfice::upstream::{KeyHeader, Provider, StreamItem, Text};
use serde_json::{Value, json};

use crate::conversations::{Said, any_conversation};
use crate::wire::{self, Posts as _};

macro_rules! fixture {
    ($name:literal) => {
        Bytes::from_static(include_bytes!(concat!("../fixtures/gemini/", $name)))
    };
}

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// What is posted for a request with these fields beside its messages.
fn posted(model: &str, fields: &Value) -> Value {
    let mut body = json!({"model": "auto", "messages": [{"role": "user", "content": "Hi"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let request = wire::chat(body.to_string());
    json_of(&Gemini.request(model, &request).unwrap().body)
}

fn refused(fields: &str) -> (String, String) {
    let request = wire::chat(format!(r#"{{"model":"auto","messages":[{{"role":"user","content":"Hi"}}],{fields}}}"#));
    let bad = Gemini.refuses(&request).expect("it is refused");
    assert_eq!(Gemini.request(wire::MODEL, &request).unwrap_err(), bad, "a cheap look tells the same");
    (bad.param.unwrap_or_default().into_owned(), bad.message)
}

#[test]
fn a_request_is_translated_whole() {
    let request = wire::chat(fixture!("request.json"));
    assert_eq!(Gemini.refuses(&request), None);
    let body = Gemini.request("gemini-3.7-flash", &request).unwrap().body;
    assert_eq!(json_of(&body), json_of(&fixture!("request_wire.json")));
}

#[test]
fn a_model_is_found_by_its_name_and_its_folder() {
    assert_eq!(Gemini.path("gemini-2.5-pro", false), "models/gemini-2.5-pro:generateContent");
    assert_eq!(Gemini.path("models/gemini-2.5-pro", true), "models/gemini-2.5-pro:streamGenerateContent?alt=sse");
    assert_eq!(Gemini.path("tunedModels/mine", false), "tunedModels/mine:generateContent");
    assert_eq!(Gemini.key_header(), KeyHeader::Named("x-goog-api-key"));
}

#[test]
fn how_hard_to_think_is_said_in_the_words_of_the_models_generation() {
    for (model, effort, budget, level) in [
        ("gemini-2.5-flash", "none", json!(0), Value::Null),
        ("gemini-2.5-pro", "none", json!(128), Value::Null),
        ("gemini-2.5-pro", "low", json!(1024), Value::Null),
        ("models/gemini-2.5-flash-lite", "medium", json!(8192), Value::Null),
        ("gemini-2.5-flash", "high", json!(24_576), Value::Null),
        ("gemini-3-flash-preview", "none", Value::Null, json!("MINIMAL")),
        ("gemini-3.1-pro-preview", "minimal", Value::Null, json!("LOW")),
        ("gemini-3.8-flash", "minimal", Value::Null, json!("LOW")),
        ("gemini-flash-latest", "medium", Value::Null, json!("MEDIUM")),
        ("gemini-4-argon", "xhigh", Value::Null, json!("HIGH")),
    ] {
        let thinking = posted(model, &json!({"reasoning_effort": effort}))["generationConfig"]["thinkingConfig"].take();
        assert_eq!((&thinking["thinkingBudget"], &thinking["thinkingLevel"]), (&budget, &level), "{model} {effort}");
        assert_eq!(thinking["includeThoughts"], effort != "none");
    }
    assert_eq!(posted("gemini-2.0-flash", &json!({"reasoning_effort": "low"})).get("generationConfig"), None);
    for (tokens, budget) in [(500, 500), (0, 0), (60_000, 24_576)] {
        let body = posted("gemini-2.5-flash", &json!({"reasoning": {"max_tokens": tokens}}));
        assert_eq!(body["generationConfig"]["thinkingConfig"]["thinkingBudget"], budget);
    }
    for (model, tokens, budget) in [
        ("gemini-2.5-pro", 1, 128),
        ("gemini-2.5-pro", 60_000, 32_768),
        ("gemini-2.5-flash-lite", 1, 512),
        ("gemini-2.5-flash-lite", 0, 0),
        ("gemini-2.5-flash", 1, 1),
    ] {
        let body = posted(model, &json!({"reasoning": {"max_tokens": tokens}}));
        assert_eq!(body["generationConfig"]["thinkingConfig"]["thinkingBudget"], budget, "{model} {tokens}");
    }
    let own =
        json!({"reasoning_effort": "low", "extra_body": {"google": {"thinking_config": {"thinking_budget": 77}}}});
    let config = posted("gemini-2.5-pro", &own)["generationConfig"]["thinkingConfig"].take();
    assert_eq!(config, json!({"thinking_budget": 77}));
}

#[test]
fn tools_are_chosen_as_the_client_chose() {
    let tool = |strict: bool| json!([{"type": "function", "function": {"name": "f", "strict": strict}}]);
    for (choice, strict, config) in [
        (json!(null), false, Value::Null),
        (json!(null), true, json!({"mode": "VALIDATED"})),
        (json!("auto"), false, json!({"mode": "AUTO"})),
        (json!("none"), true, json!({"mode": "NONE"})),
        (json!("required"), true, json!({"mode": "ANY"})),
    ] {
        let body = posted("gemini-2.5-pro", &json!({"tools": tool(strict), "tool_choice": choice}));
        assert_eq!(body["toolConfig"]["functionCallingConfig"], config);
    }
}

fn functions() -> Value {
    json!([{"type": "function", "function": {"name": "f"}}])
}

fn form(strict: bool) -> Value {
    let schema = json!({"type": "object", "properties": {"n": {"type": "number"}}});
    json!({"type": "json_schema", "json_schema": {"name": "out", "strict": strict, "schema": schema}})
}

#[test]
fn a_form_beside_tools_is_told_to_models_that_are_held_to_one_only_without_them() {
    for tools in [json!({"tools": functions()}), json!({"web_search_options": {}})] {
        for format in [json!({"type": "json_object"}), form(false)] {
            let mut fields = tools.clone();
            fields["response_format"] = format;
            let old = posted("gemini-2.5-flash", &fields);
            assert_eq!(old["generationConfig"], Value::Null);
            let told = old["systemInstruction"]["parts"][0]["text"].as_str().unwrap();
            assert!(told.starts_with("Answer with"), "{told}");
            let new = posted("gemini-3.7-flash", &fields);
            assert_eq!(new["generationConfig"]["responseMimeType"], "application/json");
            assert_eq!(new["systemInstruction"], Value::Null);
        }
    }
    let mut fields = json!({"tools": functions(), "response_format": form(true)});
    assert_eq!(param_of(&fields), "response_format");
    fields["drop_unsupported"] = true.into();
    let told = posted("gemini-2.5-flash", &fields);
    assert!(told["systemInstruction"]["parts"][0]["text"].as_str().unwrap().contains("\"number\""));
}

/// The field for which Gemini 2.5 refuses a request with these.
fn param_of(fields: &Value) -> String {
    let mut body = json!({"model": "auto", "messages": [{"role": "user", "content": "Hi"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let bad = Gemini.request("gemini-2.5-flash", &wire::chat(body.to_string())).unwrap_err();
    bad.param.unwrap().into_owned()
}

#[test]
fn models_that_search_only_without_functions_say_so() {
    let mut fields = json!({"tools": functions(), "web_search_options": {}});
    assert_eq!(posted("gemini-3.7-flash", &fields)["tools"][1], json!({"googleSearch": {}}));
    assert_eq!(param_of(&fields), "web_search_options");
    fields["drop_unsupported"] = true.into();
    assert_eq!(posted("gemini-2.5-flash", &fields)["tools"].as_array().unwrap().len(), 1);
}

#[test]
fn a_tool_that_is_written_flat_is_no_tool_of_chats_and_never_left_out() {
    for drop in [false, true] {
        let tools = json!([{"type": "function", "name": "f", "parameters": {"type": "object"}}]);
        assert_eq!(param_of(&json!({"tools": tools, "drop_unsupported": drop})), "tools[0].function");
    }
}

#[test]
fn a_call_that_another_model_made_is_marked_as_unsigned_for_models_that_want_signatures() {
    let call = |id: &str, extra: Value| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "no json"}, "extra_content": extra});
    let signed = json!({"google": {"thought_signature": "c2ln"}});
    let messages = json!([{"role": "assistant", "tool_calls": [call("1", Value::Null), call("2", Value::Null)]},
                          {"role": "assistant", "tool_calls": [call("3", Value::Null), call("4", signed)]}]);
    let request = wire::chat(json!({"model": "a", "messages": messages}).to_string());
    let signatures = |model| -> Vec<Value> {
        let body = json_of(&Gemini.request(model, &request).unwrap().body);
        let parts = body["contents"].as_array().unwrap().iter().flat_map(|c| c["parts"].as_array().unwrap());
        parts.map(|part| part["thoughtSignature"].clone()).collect()
    };
    let stand_in = json!("skip_thought_signature_validator");
    assert_eq!(signatures("gemini-3.7-flash"), [stand_in, Value::Null, Value::Null, json!("c2ln")]);
    assert_eq!(signatures("gemini-2.5-flash"), [Value::Null, Value::Null, Value::Null, json!("c2ln")]);
    let body = posted("gemini-2.5-flash", &json!({"messages": messages}));
    assert_eq!(body["contents"][0]["parts"][0]["functionCall"]["args"], json!({"arguments": "no json"}));
}

#[test]
fn older_models_are_shown_by_the_user_what_newer_ones_see_in_a_result() {
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let picture = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    let shot = json!([{"type": "text", "text": "A shot"}, picture]);
    let result = |id: &str, content: Value| json!({"role": "tool", "tool_call_id": id, "content": content});
    let messages = json!([{"role": "user", "content": "Go."},
        {"role": "assistant", "tool_calls": [call("1"), call("2")]}, result("1", shot), result("2", json!("two"))]);
    let said = |model| posted(model, &json!({"messages": messages}))["contents"].take();
    let inline = json!({"inlineData": {"mimeType": "image/png", "data": "AAAA"}});
    let response = |text: &str| json!({"output": text});

    let newer = said("gemini-3.7-flash");
    let results = &newer[2]["parts"];
    assert_eq!(newer.as_array().unwrap().len(), 3);
    assert_eq!(results[0]["functionResponse"]["parts"], json!([inline]));
    assert_eq!(results[0]["functionResponse"]["response"], response("A shot"));

    let older = said("gemini-2.5-pro");
    let results = &older[2]["parts"];
    assert_eq!(results.as_array().unwrap().len(), 2);
    assert_eq!(results[0]["functionResponse"].get("parts"), None);
    let below = "A shot\n(What it shows follows in the user's message.)";
    assert_eq!(results[0]["functionResponse"]["response"], response(below));
    assert_eq!(results[1]["functionResponse"]["response"], response("two"));
    assert_eq!(older[3], json!({"role": "user", "parts": [inline]}));
    assert_eq!(older.as_array().unwrap().len(), 4);
}

#[test]
fn instructions_alone_are_what_is_said() {
    let body = posted("gemini-2.5-pro", &json!({"messages": [{"role": "system", "content": "Sing."}]}));
    assert_eq!(body, json!({"contents": [{"role": "user", "parts": [{"text": "Sing."}]}]}));
}

#[test]
fn schemas_keep_their_meaning_in_googles_words() {
    let schema = json!({"allOf": [{"$ref": "#/definitions/A"}], "not": {"const": null}, "items": true});
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
    let config = posted("gemini-2.5-pro", &json!({"response_format": format}))["generationConfig"].take();
    let cleaned = json!({"$ref": "#/$defs/A", "not": {"enum": [null]}, "items": true});
    assert_eq!(config, json!({"responseMimeType": "application/json", "responseJsonSchema": cleaned}));
    let config =
        posted("gemini-2.5-pro", &json!({"response_format": {"type": "json_object"}}))["generationConfig"].take();
    assert_eq!(config, json!({"responseMimeType": "application/json"}));
}

#[test]
fn a_seed_that_is_too_long_is_folded_to_one_that_google_takes() {
    let seed =
        |seed: i64| posted("gemini-2.5-pro", &json!({"seed": seed}))["generationConfig"]["seed"].as_i64().unwrap();
    assert_eq!((seed(-3), seed(1 << 40 | 5), seed(i64::MIN + 6)), (-3, 5, 6));
}

#[test]
fn says_which_field_gemini_knows_nothing_like() {
    assert_eq!(refused(r#""logit_bias":{"5":1}"#).0, "logit_bias");
    let two = r#"[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"g"}}]"#;
    let (field, message) = refused(&format!(r#""parallel_tool_calls":false,"tools":{two}"#));
    assert!(field == "parallel_tool_calls" && message.contains("drop_unsupported"), "{message}");
    let dropped = json!({"parallel_tool_calls": false, "logit_bias": {}, "drop_unsupported": true});
    assert_eq!(posted("gemini-2.5-pro", &dropped), json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}));
    let request = wire::chat(r#"{"model":"a","messages":[{"role":"user"}],"extra_body":{"google":{"x":1}}}"#);
    assert_eq!(Gemini.request("m", &request).unwrap_err().param.as_deref(), Some("extra_body"));
}

#[test]
fn a_whole_answer_has_its_text_its_thoughts_and_what_it_took() {
    let reply = wire::whole(&Gemini, &wire::hello(), fixture!("answer.json"));
    let text = Text { content: "Hello! How can I help?".into(), finish_reason: Some("stop".into()), ..Text::default() };
    assert_eq!(reply.text, text);
    let usage = Usage {
        input_tokens: 1123,
        output_tokens: 40,
        cached_input_tokens: 1024,
        reasoning_tokens: 30,
        ..Usage::default()
    };
    assert_eq!(reply.usage, Some(usage));
    let body = json_of(&reply.body);
    assert_eq!((&body["id"], &body["model"]), (&json!("0-VoaKbXN8Wvz7IPyu2BuAM"), &json!("gemini-3.7-flash")));
    assert_eq!(body["choices"][0]["message"]["reasoning_content"], "The user greets me.");
}

#[test]
fn parallel_calls_have_ids_and_keep_their_signature() {
    let reply = wire::whole(&Gemini, &wire::hello(), fixture!("tools.json"));
    assert_eq!((reply.text.finish_reason.as_deref(), reply.text.tool_calls), (Some("tool_calls"), true));
    let calls = json_of(&reply.body)["choices"][0]["message"]["tool_calls"].take();
    let id = format!("call_{}_2", wire::STAMP.id.simple());
    let expected = json!([
        {"id": "fc-1", "type": "function", "function": {"name": "weather", "arguments": r#"{"city":"Oulu","days":2}"#},
         "extra_content": {"google": {"thought_signature": "c2lnbmVk"}}},
        {"id": id, "type": "function", "function": {"name": "time", "arguments": "{}"}}]);
    assert_eq!(calls, expected);
}

/// One call at a time, of the function `weather`: as the only one, or as the one of two that is chosen.
fn one_call(others: &[&str]) -> Value {
    let names = [&["weather"], others].concat();
    let tools: Vec<Value> = names.iter().map(|name| json!({"type": "function", "function": {"name": name}})).collect();
    let chosen = json!({"type": "function", "function": {"name": "weather"}});
    let choice = if others.is_empty() { json!("required") } else { chosen };
    json!({"model": "auto", "messages": [{"role": "user", "content": "Hi"}], "parallel_tool_calls": false, "tools": tools,
        "tool_choice": choice})
}

#[test]
fn of_a_single_function_that_is_to_be_called_once_the_first_call_comes() {
    for request in [one_call(&[]), one_call(&["time"])] {
        let request = wire::chat(request.to_string());
        assert_eq!(Gemini.refuses(&request), None);
        let calls = json_of(&wire::whole(&Gemini, &request, fixture!("tools.json")).body)["choices"][0]["message"]
            ["tool_calls"]
            .take();
        assert_eq!((calls.as_array().unwrap().len(), &calls[0]["id"]), (1, &json!("fc-1")));
        let items = wire::streamed(&Gemini, &request, fixture!("tools.sse")).unwrap();
        let deltas = wire::chunks(&items).into_iter().map(|chunk| chunk["choices"][0]["delta"].clone());
        assert_eq!(deltas.filter(|delta| delta.get("tool_calls").is_some()).count(), 1);
    }
}

#[test]
fn calls_come_back_to_gemini_as_it_made_them() {
    let reply = wire::whole(&Gemini, &wire::hello(), fixture!("tools.json"));
    let message = json_of(&reply.body)["choices"][0]["message"].take();
    let parts = posted("gemini-3.7-flash", &json!({"messages": [message]}))["contents"][0]["parts"].take();
    let mut made = json_of(&fixture!("tools.json"))["candidates"][0]["content"]["parts"].take();
    made[1]["functionCall"] = json!({"id": message["tool_calls"][1]["id"], "name": "time", "args": {}});
    assert_eq!(parts, made);
}

#[test]
fn a_signature_of_text_comes_back_with_the_text() {
    let reply = wire::whole(&Gemini, &wire::hello(), fixture!("answer.json"));
    let message = json_of(&reply.body)["choices"][0]["message"].take();
    let signed = json!([{"text": "Hello! How can I help?", "thoughtSignature": "c2ln"}]);
    assert_eq!(posted("gemini-2.5-pro", &json!({"messages": [message]}))["contents"][0]["parts"], signed);
    let silent = json!({"role": "assistant", "extra_content": {"google": {"thought_signature": "c2ln"}}});
    let alone = json!([{"text": "", "thoughtSignature": "c2ln"}]);
    assert_eq!(posted("gemini-2.5-pro", &json!({"messages": [silent]}))["contents"][0]["parts"], alone);
}

#[test]
fn sources_become_annotations_that_count_characters() {
    let body = json_of(&wire::whole(&Gemini, &wire::hello(), fixture!("grounded.json")).body);
    let citation = |start: u32, end: u32, url: &str, title: &str| {
        json!({"type": "url_citation",
               "url_citation": {"start_index": start, "end_index": end, "url": url, "title": title}})
    };
    let expected = [
        citation(0, 10, "https://a.example/1", "a.example"),
        citation(0, 10, "https://b.example/2", "https://b.example/2"),
        citation(11, 24, "https://b.example/2", "https://b.example/2"),
        citation(11, 24, "https://c.example/", "https://c.example/"),
    ];
    assert_eq!(body["choices"][0]["message"]["annotations"], json!(expected));
    let token = json!({"token": "Kä", "logprob": -0.25, "bytes": [75, 195, 164]});
    let mut chosen = token.clone();
    chosen["top_logprobs"] = json!([token, {"token": "The", "logprob": -1.5, "bytes": [84, 104, 101]}]);
    assert_eq!(body["choices"][0]["logprobs"], json!({"content": [chosen], "refusal": null}));
}

#[test]
fn a_blocked_prompt_is_a_refusal() {
    let reply = wire::whole(&Gemini, &wire::hello(), fixture!("blocked.json"));
    assert_eq!((reply.text.finish_reason.as_deref(), reply.text.refusal), (Some("content_filter"), true));
    assert_eq!(reply.usage.map(|usage| usage.input_tokens), Some(11));
    let message = json_of(&reply.body)["choices"][0]["message"].take();
    assert_eq!(message["content"], Value::Null);
    assert!(message["refusal"].as_str().unwrap().contains("PROHIBITED_CONTENT"), "{message}");
    let event = format!("data: {}\n\n", json_of(&fixture!("blocked.json")));
    let items = wire::streamed(&Gemini, &wire::hello(), event).unwrap();
    let texts: Vec<_> = items.iter().map(text_of).collect();
    assert!(texts.iter().any(|text| text.refusal));
    assert_eq!(texts.last().unwrap().finish_reason.as_deref(), Some("content_filter"));
}

#[test]
fn every_reason_to_stop_has_its_word_and_failures_are_failures() {
    let answer = |reason: &str, text: &str| {
        let body =
            json!({"candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": reason}]}).to_string();
        let whole = Gemini.reply(&wire::asked(&wire::hello()), body.clone().into());
        let streamed = wire::streamed(&Gemini, &wire::hello(), format!("data: {body}\n\n"));
        let word = |text: &Text| text.finish_reason.clone().unwrap();
        let whole = whole.map(|reply| word(&reply.text)).map_err(|problem| problem.to_string());
        let streamed = streamed.map(|items| word(&text_of(items.last().unwrap())));
        assert_eq!(whole, streamed, "{reason} means the same in a stream");
        whole
    };
    for (reason, word) in [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("BLOCKLIST", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
    ] {
        assert_eq!(answer(reason, "").unwrap(), word);
        assert_eq!(answer(reason, "a").unwrap(), word);
    }
    for reason in ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "OTHER", "OF_TOMORROW"] {
        assert_eq!(answer(reason, "a").unwrap(), "stop");
        assert!(answer(reason, "").unwrap_err().contains(reason));
    }
}

#[test]
fn an_answer_that_is_none_is_an_error() {
    let problem = |body: &'static str| Gemini.reply(&wire::asked(&wire::hello()), body.into()).unwrap_err().to_string();
    assert!(problem("<html>").contains("not Gemini's"));
    assert!(problem("{}").contains("no candidates"));
    assert!(problem(r#"{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}"#).contains("overloaded"));
    let event = r#"data: {"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}"#;
    assert!(wire::streamed(&Gemini, &wire::hello(), format!("{event}\n\n")).unwrap_err().contains("overloaded"));
}

#[test]
fn a_stream_says_who_speaks_thinks_speaks_and_ends() {
    let items = streamed(&fixture!("stream.sse"));
    let deltas: Vec<Value> = wire::chunks(&items).iter().map(|chunk| chunk["choices"][0]["delta"].clone()).collect();
    let expected = [
        json!({"role": "assistant", "content": ""}),
        json!({"reasoning_content": "Greet back."}),
        json!({"content": "Hyvää"}),
        json!({"content": " päivää! \"you\""}),
        json!({"extra_content": {"google": {"thought_signature": "c2ln"}}}),
        json!({}),
        Value::Null,
    ];
    assert_eq!(deltas, expected);
    let texts: String = items.iter().map(|item| text_of(item).content).collect();
    assert_eq!(texts, "Hyvää päivää! \"you\"");
    assert_eq!(text_of(&items[5]).finish_reason.as_deref(), Some("stop"));
    let usage =
        Usage { input_tokens: 9, output_tokens: 17, cached_input_tokens: 4, reasoning_tokens: 11, ..Usage::default() };
    assert!(matches!(items[6], StreamItem::Chunk { usage: Some(u), usage_only: true, .. } if u == usage));
    assert!(wire::chunks(&items).iter().all(|chunk| chunk["id"] == "r-3" && chunk["model"] == "gemini-3.7-flash"));
}

#[test]
fn calls_of_a_stream_are_counted_over_all_its_events() {
    let items = streamed(&fixture!("tools.sse"));
    let calls: Vec<Value> = wire::chunks(&items)
        .into_iter()
        .filter_map(|chunk| Some(chunk["choices"][0]["delta"].get("tool_calls")?[0].clone()))
        .collect();
    let named = |call: &Value| (call["index"].clone(), call["function"]["name"].clone());
    assert_eq!(
        calls.iter().map(named).collect::<Vec<_>>(),
        [(json!(0), json!("weather")), (json!(1), json!("weather")), (json!(2), json!("time"))]
    );
    assert_eq!(calls[0]["extra_content"]["google"]["thought_signature"], "c2lnbmVk");
    let ids: std::collections::BTreeSet<_> = calls.iter().map(|call| call["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 3, "{ids:?}");
    let finish = items.iter().rev().find_map(|item| text_of(item).finish_reason);
    assert_eq!(finish.as_deref(), Some("tool_calls"));
}

#[test]
fn candidates_of_a_stream_stay_apart() {
    let items = streamed(&fixture!("two_candidates.sse"));
    let content: String = items.iter().map(|item| text_of(item).content).collect();
    assert_eq!(content, "Känsä won. It was close.", "the gateway reads the first one");
    assert!(!items.iter().any(|item| text_of(item).tool_calls));
    let choices: Vec<Value> =
        wire::chunks(&items).into_iter().filter_map(|mut c| Some(c["choices"].get_mut(0)?.take())).collect();
    let finishes: Vec<_> =
        choices.iter().filter(|c| !c["finish_reason"].is_null()).map(|c| (&c["index"], &c["finish_reason"])).collect();
    assert_eq!(finishes, [(&json!(0), &json!("length")), (&json!(1), &json!("tool_calls"))]);
    let annotation = choices.iter().find_map(|c| c["delta"].get("annotations")).unwrap();
    assert_eq!(annotation[0]["url_citation"]["start_index"], 11);
    assert!(choices.iter().any(|c| c["logprobs"]["content"][0]["token"] == "K"));
}

#[test]
fn errors_say_what_is_wrong_and_whose_fault_it_is() {
    let bad = StatusCode::BAD_REQUEST;
    let key = fixture!("error_key.json");
    assert_eq!(Gemini.true_status(bad, &key), StatusCode::UNAUTHORIZED);
    assert_eq!(Gemini.error(StatusCode::UNAUTHORIZED, &key).kind, "authentication_error");
    assert_eq!(Gemini.true_status(bad, &fixture!("error_place.json")), StatusCode::FORBIDDEN);
    let list = fixture!("error_list.json");
    assert_eq!(Gemini.true_status(bad, &list), bad);
    let detail = Gemini.error(bad, &list);
    assert!(detail.message.contains("contents is not specified"));
    assert_eq!((detail.param.as_deref(), detail.code.as_deref()), (Some("contents"), Some("INVALID_ARGUMENT")));
    let quota = fixture!("error_quota.json");
    assert_eq!(Gemini.error(StatusCode::TOO_MANY_REQUESTS, &quota).kind, "rate_limit_error");
    assert_eq!(Gemini.retry_after(&quota).map(|wait| wait.as_millis()), Some(37_500));
    assert_eq!(Gemini.retry_after(&key), None);
    assert_eq!(Gemini.error(StatusCode::BAD_GATEWAY, b"<html>").message, "<html>");
}

fn streamed(bytes: &[u8]) -> Vec<StreamItem> {
    wire::streamed_to_end(&Gemini, &wire::hello(), bytes)
}

fn text_of(item: &StreamItem) -> Text {
    match item {
        StreamItem::Chunk { text, .. } => text.clone(),
        StreamItem::Done => Text::default(),
    }
}

/// What is said in Google's contents.
fn said(body: &Value) -> Vec<Said> {
    let parts = |content: &Value| -> Vec<Said> {
        content["parts"].as_array().unwrap().iter().map(|part| said_in(&content["role"], part)).collect()
    };
    body["contents"].as_array().unwrap().iter().flat_map(parts).collect()
}

fn said_in(role: &Value, part: &Value) -> Said {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (call, response) = (&part["functionCall"], &part["functionResponse"]);
    match () {
        () if call.is_object() => {
            Said::Call { id: text(&call["id"]), name: text(&call["name"]), arguments: call["args"].clone() }
        }
        () if response.is_object() => {
            Said::Result { id: text(&response["id"]), text: text(&response["response"]["output"]) }
        }
        () if part["inlineData"].is_object() => Said::Picture(text(&part["inlineData"]["data"])),
        () if role == "user" => Said::User(text(&part["text"])),
        () => Said::Assistant(text(&part["text"])),
    }
}

proptest! {
    #[test]
    fn everything_that_is_said_arrives_in_its_order(conversation in any_conversation()) {
        let body = posted("gemini-3.7-flash", &json!({"messages": conversation.messages}));
        prop_assert_eq!(said(&body), conversation.said);
        let told = body["systemInstruction"]["parts"].as_array().cloned().unwrap_or_default();
        let told: Vec<&str> = told.iter().map(|part| part["text"].as_str().unwrap()).collect();
        prop_assert_eq!(told, conversation.system);
        // Every result names the function whose call it answers.
        let parts = || body["contents"].as_array().unwrap().iter().flat_map(|content| content["parts"].as_array().unwrap());
        let named = |part: &Value, kind: &str| part.get(kind).map(|made| (made["id"].clone(), made["name"].clone()));
        let calls: Vec<_> = parts().filter_map(|part| named(part, "functionCall")).collect();
        prop_assert!(parts().filter_map(|part| named(part, "functionResponse")).all(|result| calls.contains(&result)));
    }

    #[test]
    fn a_stream_is_the_same_wherever_it_was_cut(cuts in proptest::collection::vec(0..4000usize, 0..20)) {
        let bytes = fixture!("tools.sse");
        prop_assert_eq!(wire::streamed_in_pieces(&Gemini, &wire::hello(), &bytes, cuts), streamed(&bytes));
    }
}

#[test]
fn what_the_model_says_in_two_messages_is_one_content() {
    let call = json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let messages = json!([
        {"role": "user", "content": "How is it?"},
        {"role": "assistant", "content": "Let me look."},
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "fine"},
    ]);
    let contents = posted("gemini-2.5-pro", &json!({"messages": messages}))["contents"].take();
    let roles: Vec<&Value> = contents.as_array().unwrap().iter().map(|content| &content["role"]).collect();
    assert_eq!(roles, ["user", "model", "user"]);
    let parts = &contents[1]["parts"];
    assert_eq!((&parts[0]["text"], &parts[1]["functionCall"]["name"]), (&"Let me look.".into(), &"f".into()));
}

#[test]
fn empty_stops_are_none() {
    let stops =
        |stop: Value| posted("gemini-2.5-pro", &json!({"stop": stop}))["generationConfig"]["stopSequences"].take();
    assert_eq!((stops(json!(["", "END"])), stops(json!([""]))), (json!(["END"]), Value::Null));
}

#[test]
fn an_odd_count_does_not_cost_the_answer() {
    let answer = |usage: Value| {
        let candidate = json!({"content": {"role": "model", "parts": [{"text": "fine"}]}, "finishReason": "STOP"});
        json!({"candidates": [candidate], "usageMetadata": usage}).to_string()
    };
    let odd = json!({"promptTokenCount": 7.0, "candidatesTokenCount": "2", "cachedContentTokenCount": -1});
    let counted = wire::whole(&Gemini, &wire::hello(), answer(odd)).usage.unwrap();
    assert_eq!((counted.input_tokens, counted.output_tokens), (7, 2));
    // What is 0 is left out, and what is paid for may not be guessed.
    let counted = wire::whole(&Gemini, &wire::hello(), answer(json!({"promptTokenCount": 7}))).usage.unwrap();
    assert_eq!((counted.input_tokens, counted.output_tokens), (7, 0));
    let unknown = json!({"promptTokenCount": 7, "candidatesTokenCount": 2, "thoughtsTokenCount": -1});
    assert!(wire::whole(&Gemini, &wire::hello(), answer(unknown)).usage.is_none());
    let reply = wire::whole(&Gemini, &wire::hello(), answer(json!("none")));
    assert!(reply.usage.is_none() && String::from_utf8_lossy(&reply.body).contains("fine"));
}
