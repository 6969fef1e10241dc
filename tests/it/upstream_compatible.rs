//! Providers of OpenAI's wire that differ in small things: what is sent to them, and what is refused.

use bytes::Bytes;
use satisfice::catalog::providers::Catalogue;
use satisfice::catalog::quirks::Quirks;
use satisfice::upstream::bedrock::Bedrock;
use satisfice::upstream::cohere::Cohere;
use satisfice::upstream::compatible::Compatible;
use satisfice::upstream::gemini::Gemini;
use satisfice::upstream::openai::OpenAi;
use satisfice::upstream::responses::Responses;
use satisfice::upstream::{Provider, StreamItem};
use serde_json::{Value, json};

use crate::wire::{self, Posts as _, chat, posted};

/// A known provider, as a configuration makes it.
fn known(name: &str) -> Compatible {
    let quirks = Catalogue::embedded().unwrap().provider_named(name).unwrap().quirks.clone();
    Compatible::new(name, quirks)
}

fn asking(fields: &str) -> satisfice::api::chat::ChatRequest {
    chat(format!(r#"{{"model":"auto","messages":[{{"role":"user","content":"Hello"}}]{fields}}}"#))
}

fn refused(provider: &Compatible, fields: &str) -> Option<(String, String)> {
    let bad = provider.request("m", &asking(fields)).err()?;
    assert_eq!(provider.refuses(&asking(fields)).as_ref(), Some(&bad));
    Some((bad.param.unwrap().into_owned(), bad.message))
}

#[test]
fn without_quirks_it_sends_what_openai_gets() {
    for stream in ["", r#","stream":true,"stream_options":{"include_obfuscation":false}"#] {
        let request = asking(&format!(r#","x_unknown": {{"a" : 1.0}},"logprobs":true{stream}"#));
        let plain = Compatible::new("p", Quirks::default());
        assert_eq!(plain.request("m", &request).unwrap(), OpenAi.request("m", &request).unwrap());
    }
}

#[test]
fn a_field_goes_by_the_providers_name_for_it() {
    let sent = posted(&known("moonshot"), &asking(r#","max_completion_tokens":5,"max_tokens":9,"seed":1"#));
    assert_eq!((&sent["max_tokens"], &sent["seed"]), (&json!(5), &json!(1)));
    assert!(sent.get("max_completion_tokens").is_none());
    let null = posted(&known("moonshot"), &asking(r#","max_completion_tokens":null,"max_tokens":9"#));
    assert_eq!(null["max_tokens"], 9);
}

#[test]
fn openai_and_azure_hear_of_a_limit_by_the_name_that_all_their_models_take() {
    for name in ["openai", "azure"] {
        let sent = posted(&known(name), &asking(r#","max_tokens":9"#));
        assert_eq!((&sent["max_completion_tokens"], sent.get("max_tokens")), (&json!(9), None), "{name}");
        assert_eq!(posted(&known(name), &asking(r#","max_completion_tokens":5"#))["max_completion_tokens"], 5);
    }
}

#[test]
fn what_it_knows_nothing_like_is_refused_by_name_or_left_out() {
    let groq = known("groq");
    let (param, message) = refused(&groq, r#","logprobs":true"#).unwrap();
    assert_eq!(param, "logprobs");
    assert!(message.contains("provider groq") && message.contains("drop_unsupported"), "{message}");
    let dropped = posted(&groq, &asking(r#","logprobs":true,"seed":3,"drop_unsupported":true"#));
    assert_eq!(dropped, json!({"model": wire::MODEL, "messages": [{"role": "user", "content": "Hello"}], "seed": 3}));
}

#[test]
fn what_other_gateways_are_told_reaches_them_and_nobody_who_refuses_it() {
    let fields = r#","include_reasoning":true,"usage":{"include":true},"transforms":["middle-out"],"route":"fallback",
        "session_id":"s","litellm_metadata":{"a":1},"caching":true"#;
    let openrouter = posted(&known("openrouter"), &asking(fields)).as_object().unwrap().len();
    assert_eq!(openrouter, 9);
    let strict = ["openai", "azure", "groq", "cerebras", "mistral"].map(known);
    let strict = strict.iter().map(|provider| provider as &dyn Provider);
    for provider in strict.chain([&Gemini as &dyn Provider, &Cohere, &Bedrock, &Responses::of("p")]) {
        let plain = posted(provider, &asking(""));
        assert_eq!(posted(provider, &asking(fields)), plain);
    }
}

#[test]
fn defaults_that_a_client_writes_out_are_left_out_and_not_refused() {
    let groq = known("groq");
    let sent = posted(&groq, &asking(r#","n":1,"logprobs":false,"top_logprobs":null,"logit_bias":{}"#));
    assert_eq!(sent.as_object().unwrap().len(), 2, "{sent}");
    assert_eq!(refused(&groq, r#","n":2"#).unwrap().0, "n");
    assert_eq!(refused(&known("cerebras"), r#","presence_penalty":0"#), None);
    assert_eq!(refused(&known("cerebras"), r#","presence_penalty":0.5"#).unwrap().0, "presence_penalty");
}

#[test]
fn a_developer_speaks_as_the_system_where_there_is_no_such_role() {
    let body = r#"{"model":"a","messages":[{"role":"developer","content":"Be brief.","name":"d"},
        {"role":"user","content":[{"type":"text","text":"1"}]}]}"#;
    let sent = posted(&known("deepseek"), &chat(body));
    assert_eq!(sent["messages"][0], json!({"role": "system", "content": "Be brief.", "name": "d"}));
    assert_eq!(sent["messages"][1], json!({"role": "user", "content": [{"type": "text", "text": "1"}]}));
    assert_eq!(posted(&known("xai"), &chat(body))["messages"][0]["role"], "developer");
}

/// What answers of Claude, Gemini and Mistral leave in a conversation, and marks of caches.
const FROM_ELSEWHERE: &str = r#"{"model":"a","tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"cache_control":{}}}},"cache_control":{}}],
    "messages":[{"role":"user","content":[{"type":"text","text":"1","cache_control":{"type":"ephemeral"}}]},
    {"role":"assistant","content":null,"thinking_blocks":[{"type":"redacted_thinking","data":"RW13"}]},
    {"role":"assistant","content":"2","reasoning_content":"Hm","reasoning_details":[],"thinking_blocks":[],"citations":[],"content_chunks":[],
     "extra_content":{"google":{}},"tool_calls":[{"id":"123456789","type":"function","function":{"name":"f","arguments":"{\"extra_content\":1}"},"extra_content":{}}]},
    {"role":"tool","tool_call_id":"123456789","content":"\"thinking_blocks\""}]}"#;

#[test]
fn what_other_wires_left_in_a_conversation_stays_behind_where_it_would_be_refused() {
    let call =
        json!({"id": "123456789", "type": "function", "function": {"name": "f", "arguments": "{\"extra_content\":1}"}});
    let expected = json!([
        {"role": "user", "content": [{"type": "text", "text": "1"}]},
        {"role": "assistant", "content": "2", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "123456789", "content": "\"thinking_blocks\""},
    ]);
    let tool =
        json!({"type": "function", "function": {"name": "f", "parameters": {"properties": {"cache_control": {}}}}});
    for strict in ["openai", "azure", "groq", "cerebras", "mistral"] {
        let sent = posted(&known(strict), &chat(FROM_ELSEWHERE));
        assert_eq!((&sent["messages"], &sent["tools"]), (&expected, &json!([tool])), "{strict}");
    }
}

#[test]
fn what_others_read_reaches_them_and_signed_thoughts_those_who_ask_for_them() {
    let request = chat(FROM_ELSEWHERE);
    let nobody_knows = Compatible::new(
        "p",
        Catalogue::embedded().unwrap().quirks("gpu.example", "openai").cloned().unwrap_or_default(),
    );
    for provider in [&known("openrouter") as &dyn Provider, &known("vllm"), &nobody_knows, &OpenAi] {
        let sent = posted(provider, &request);
        let said = &sent["messages"][1];
        assert_eq!((sent["messages"].as_array().unwrap().len(), &said["reasoning_content"]), (3, &json!("Hm")));
        assert!(said.get("extra_content").is_some() && said["tool_calls"][0].get("extra_content").is_some(), "{said}");
        assert!(
            sent["messages"][0]["content"][0].get("cache_control").is_some()
                && sent["tools"][0].get("cache_control").is_some()
        );
        assert!(
            ["thinking_blocks", "citations", "content_chunks"].iter().all(|ours| said.get(*ours).is_none()),
            "{said}"
        );
    }
    let all = Compatible::new("litellm", Quirks { foreign: Some(vec![]), ..Quirks::default() });
    let sent = all.request("m", &request).unwrap().body;
    let raw = request.raw("messages").unwrap();
    assert!(sent.windows(raw.len()).any(|part| part == &raw[..]), "to the byte");
}

#[test]
fn pictures_in_results_follow_in_a_users_message_where_results_are_texts() {
    let picture = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    let result = |id: &str, content: Value| json!({"role": "tool", "tool_call_id": id, "content": content});
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let before = [
        json!({"role": "user", "content": "Look."}),
        json!({"role": "assistant", "content": null, "tool_calls": [call("1"), call("2")]}),
    ];
    let last = json!({"role": "assistant", "content": "A map."});
    let results = [result("1", json!([{"type": "text", "text": "Here"}, picture])), result("2", json!("3"))];
    let messages = [&before[..], &results, std::slice::from_ref(&last)].concat();
    let body = json!({"model": "a", "messages": messages});
    let note = json!({"type": "text", "text": "(What it shows follows in the user's message.)"});
    let texts = [result("1", json!([{"type": "text", "text": "Here"}, note])), result("2", json!("3"))];
    let shown = json!({"role": "user", "content": [picture]});
    assert_eq!(
        posted(&known("openai"), &chat(body.to_string()))["messages"],
        Value::from([&before[..], &texts, &[shown, last]].concat())
    );
    assert_eq!(posted(&known("openrouter"), &chat(body.to_string()))["messages"], body["messages"]);
}

#[test]
fn so_do_their_files() {
    let file =
        json!({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}});
    let body = json!({"model": "a", "messages": [{"role": "tool", "tool_call_id": "1", "content": [file]}]});
    let sent = posted(&known("azure"), &chat(body.to_string()))["messages"].take();
    assert_eq!(sent[0]["content"][0]["type"], "text");
    assert_eq!(sent[1], json!({"role": "user", "content": [file]}));
}

#[test]
fn ids_of_calls_that_are_too_long_become_the_same_short_ones_of_calls_and_results() {
    let ids = |provider: &dyn Provider, id: &str| {
        let call = json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
        let called = json!({"role": "assistant", "content": null, "tool_calls": [call]});
        let result = json!({"role": "tool", "tool_call_id": id, "content": "1"});
        let body = json!({"model": "a", "messages": [{"role": "user", "content": "Go."}, called, result]}).to_string();
        let sent = posted(provider, &chat(body));
        let (items, messages) = (&sent["input"], &sent["messages"]);
        match items.is_array() {
            true => [items[1]["call_id"].clone(), items[2]["call_id"].clone()],
            false => [messages[1]["tool_calls"][0]["id"].clone(), messages[2]["tool_call_id"].clone()],
        }
    };
    let responses = Responses::of("p");
    for (provider, max) in [(&known("openai") as &dyn Provider, 40), (&known("azure"), 40), (&responses, 64)] {
        let (fits, long, other) = ("c".repeat(max), "c".repeat(max + 1), "d".repeat(max + 1));
        assert_eq!(ids(provider, &fits), [&*fits, &fits]);
        let [call, result] = ids(provider, &long);
        assert!(call == result && call.as_str().unwrap().len() <= max, "{call} {result}");
        assert_ne!(call, ids(provider, &other)[0]);
    }
    let long = "c".repeat(99);
    assert_eq!(ids(&known("openrouter"), &long), [&*long, &long]);
}

#[test]
fn what_openrouters_clients_say_of_thinking_is_an_effort_for_who_knows_no_more() {
    for (reasoning, effort) in [
        (json!({"effort": "high"}), json!("high")),
        (json!({"max_tokens": 2000, "exclude": true}), json!("low")),
        (json!({"enabled": false}), json!("none")),
        (json!({"exclude": true}), Value::Null),
        (Value::Null, Value::Null),
    ] {
        let fields = format!(r#","reasoning":{reasoning}"#);
        for strict in ["openai", "azure", "groq", "cerebras", "mistral"] {
            let sent = posted(&known(strict), &asking(&fields));
            assert_eq!((sent.get("reasoning"), &sent["reasoning_effort"]), (None, &effort), "{strict}");
        }
        assert_eq!(posted(&known("openrouter"), &asking(&fields))["reasoning"], reasoning);
        let sent = posted(&Responses::of("openai"), &asking(&fields));
        assert_eq!(sent.get("reasoning").is_some(), !effort.is_null());
        assert_eq!(sent["reasoning"]["effort"], effort);
        assert!(sent["reasoning"].as_object().is_none_or(|said| said.len() == 1), "{sent}");
    }
    let own = posted(&known("openai"), &asking(r#","reasoning":{"effort":"high"},"reasoning_effort":"low""#));
    assert_eq!(own["reasoning_effort"], "low");
    let bad = known("openai").request("m", &asking(r#","reasoning":{"effort":"huge"}"#)).unwrap_err();
    assert_eq!(bad.param.as_deref(), Some("reasoning"));
}

#[test]
fn kimi_goes_on_with_what_stands_last() {
    let body = r#"{"model":"a","messages":[{"role":"user","content":"Go."},{"role":"assistant","content":"{"}]}"#;
    let sent = |name: &str| posted(&known(name), &chat(body))["messages"][1].take();
    assert_eq!(sent("moonshot"), json!({"role": "assistant", "content": "{", "partial": true}));
    assert_eq!(sent("deepseek"), json!({"role": "assistant", "content": "{"}));
}

#[test]
fn messages_that_need_no_change_keep_their_bytes() {
    let body = r#"{"model":"a","messages": [ {"content" : "x", "role":"user", "weight": 1.50} ]}"#;
    let sent = known("deepseek").request("m", &chat(body)).unwrap().body;
    assert!(sent.ends_with(br#""messages":[ {"content" : "x", "role":"user", "weight": 1.50} ]}"#), "{sent:?}");
}

#[test]
fn usage_is_asked_for_but_where_it_cannot_be() {
    let stream = asking(r#","stream":true,"stream_options":{"include_obfuscation":false}"#);
    let sent = posted(&known("groq"), &stream);
    assert_eq!(sent["stream_options"], json!({"include_obfuscation": false, "include_usage": true}));
    assert!(posted(&known("mistral"), &stream).get("stream_options").is_none());
}

#[test]
fn its_path_may_be_another() {
    assert_eq!(known("writer").path("m", false), "chat");
    assert_eq!(known("groq").path("m", true), "chat/completions");
}

#[test]
fn routing_preferences_are_for_those_who_route() {
    let request = asking(r#","provider":{"sort":"price"},"models":["a/b"]"#);
    for provider in [&known("groq") as &dyn Provider, &OpenAi] {
        let sent = posted(provider, &request);
        assert!(sent.get("provider").is_none() && sent.get("models").is_none(), "{sent}");
    }
    let sent = posted(&known("openrouter"), &request);
    assert_eq!((&sent["provider"], &sent["models"]), (&json!({"sort": "price"}), &json!(["a/b"])));
}

#[test]
fn reasoning_of_either_name_reaches_the_client_to_the_byte() {
    for field in ["reasoning", "reasoning_content", "reasoning_details"] {
        let body = Bytes::from(format!(
            r#"{{"choices":[{{"message":{{"content":"4","{field}":"2 and 2"}},"finish_reason":"stop"}}]}}"#
        ));
        let provider = known("deepseek");
        assert_eq!(wire::whole(&provider, &wire::hello(), body.clone()).body.as_ptr(), body.as_ptr());
        let chunk = format!(r#"{{"choices":[{{"index":0,"delta":{{"{field}":"2 and"}}}}]}}"#);
        let items = wire::streamed(&provider, &wire::hello(), format!("data: {chunk}\n\n")).unwrap();
        assert!(matches!(&items[..], [StreamItem::Chunk { data, .. }] if data == chunk.as_bytes()), "{items:?}");
    }
}

#[test]
fn every_known_provider_takes_an_ordinary_request() {
    let body = r#"{"model":"a","temperature":0.5,"max_completion_tokens":9,"stop":["x"],"stream":true,"user":"u",
        "messages":[{"role":"system","content":"s"},{"role":"user","content":"x"}]}"#;
    for provider in Catalogue::embedded().unwrap().providers {
        let sent: Value = posted(&Compatible::new(&*provider.name, provider.quirks), &chat(body));
        let limit = sent.get("max_tokens").or(sent.get("max_completion_tokens"));
        assert_eq!((limit, &sent["messages"][1]["content"]), (Some(&json!(9)), &json!("x")), "{}", provider.name);
    }
}
