//! An answer that thinks, speaks and calls by turns goes back to its provider as it came, whichever protocol its client
//! speaks: thoughts that stand elsewhere are refused.

use std::collections::BTreeMap;

use bytes::Bytes;
use satisfice::api::{messages, responses};
use satisfice::upstream::bedrock::Bedrock;
use satisfice::upstream::{Provider, StreamItem, WireEvent};
use serde_json::{Value, json};

use crate::anthropic::claude;
use crate::wire::{self, Posts as _, events};

/// How a client is told of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Told {
    Whole,
    Streamed,
    /// A whole answer that was kept, as the one piece of a stream.
    Again,
}

fn thought(signature: &str) -> Value {
    json!({"type": "thinking", "thinking": format!("hm {signature}"), "signature": signature})
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn call(id: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": "f", "input": {"a": 1}})
}

fn hidden(data: &str) -> Value {
    json!({"type": "redacted_thinking", "data": data})
}

/// Answers in Anthropic's blocks.
fn answers() -> Vec<Vec<Value>> {
    vec![
        vec![thought("S1"), text("First ä."), call("t1"), thought("S2"), text("Then b."), call("t2")],
        vec![text("First ä."), thought("S1"), call("t1"), thought("S2"), call("t2")],
        vec![thought("S1"), call("t1"), text("Between."), hidden("S2"), thought("S3"), call("t2"), call("t3")],
        vec![text("One."), thought("S1"), text("Two."), call("t1")],
        vec![thought("S1"), text("One."), call("t1"), text("Two."), call("t2")],
    ]
}

/// Whose wire it is: a provider, a model, and its words for Anthropic's blocks.
struct Upstream {
    provider: Box<dyn Provider>,
    model: &'static str,
    block: fn(&Value) -> Value,
    whole: fn(Vec<Value>) -> Value,
    event: fn(usize, &Value) -> Vec<WireEvent>,
}

fn anthropic() -> Upstream {
    fn event(index: usize, block: &Value) -> Vec<WireEvent> {
        let mut start = block.clone();
        let deltas = match block["type"].as_str().unwrap() {
            "text" => vec![json!({"type": "text_delta", "text": start["text"].take()})],
            "thinking" => vec![
                json!({"type": "thinking_delta", "thinking": start["thinking"].take()}),
                json!({"type": "signature_delta", "signature": start["signature"].take()}),
            ],
            "tool_use" => vec![json!({"type": "input_json_delta", "partial_json": start["input"].to_string()})],
            _ => vec![],
        };
        for name in ["text", "thinking", "signature"] {
            start.as_object_mut().unwrap().entry(name).and_modify(|text| *text = "".into());
        }
        let deltas = deltas.iter().map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta}));
        let begun = json!({"type": "content_block_start", "index": index, "content_block": start});
        let all = [begun].into_iter().chain(deltas).chain([json!({"type": "content_block_stop", "index": index})]);
        all.map(|event| WireEvent { name: None, data: event.to_string().into() }).collect()
    }
    let whole = |content| json!({"id": "msg_1", "model": "claude", "content": content, "stop_reason": "tool_use"});
    Upstream { provider: Box::new(claude()), model: "claude-opus-4-6", block: Value::clone, whole, event }
}

fn bedrock() -> Upstream {
    fn block(block: &Value) -> Value {
        match block["type"].as_str().unwrap() {
            "text" => json!({"text": block["text"]}),
            "thinking" => json!({"reasoningContent": {"reasoningText":
                {"text": block["thinking"], "signature": block["signature"]}}}),
            "tool_use" => json!({"toolUse":
                {"toolUseId": block["id"], "name": block["name"], "input": block["input"]}}),
            _ => json!({"reasoningContent": {"redactedContent": block["data"]}}),
        }
    }
    fn event(_: usize, given: &Value) -> Vec<WireEvent> {
        let event = |name: &str, data: Value| WireEvent { name: Some(name.into()), data: data.to_string().into() };
        let delta = |delta: Value| event("contentBlockDelta", json!({"delta": delta}));
        let told = match given["type"].as_str().unwrap() {
            "thinking" => vec![
                delta(json!({"reasoningContent": {"text": given["thinking"]}})),
                delta(json!({"reasoningContent": {"signature": given["signature"]}})),
            ],
            "tool_use" => vec![
                event("contentBlockStart", json!({"start": block(given)})),
                delta(json!({"toolUse": {"input": given["input"].to_string()}})),
            ],
            _ => vec![delta(block(given))],
        };
        told.into_iter().chain([event("contentBlockStop", json!({}))]).collect()
    }
    let whole = |content| json!({"output": {"message": {"content": content}}, "stopReason": "tool_use"});
    Upstream { provider: Box::new(Bedrock), model: "anthropic.claude-opus-4-6-v1:0", block, whole, event }
}

impl Upstream {
    /// The answer as a chat has it: a completion, or its chunks.
    fn answered(&self, blocks: &[Value], told: Told) -> Vec<Bytes> {
        if told == Told::Streamed {
            let events = blocks.iter().enumerate().flat_map(|(i, block)| (self.event)(i, block));
            let items = wire::translated(&*self.provider, &wire::hello(), events).unwrap();
            return items
                .into_iter()
                .filter_map(|item| match item {
                    StreamItem::Chunk { data, .. } => Some(data),
                    StreamItem::Done => None,
                })
                .collect();
        }
        let whole = (self.whole)(blocks.iter().map(self.block).collect()).to_string();
        let body = wire::whole(&*self.provider, &wire::hello(), whole).body;
        if told == Told::Whole {
            return vec![body];
        }
        let mut kept: Value = serde_json::from_slice(&body).unwrap();
        kept["choices"][0]["delta"] = kept["choices"][0]["message"].take();
        vec![kept.to_string().into()]
    }

    /// What it is given of the conversation that goes on.
    fn given(&self, chat: impl Into<Bytes>) -> Value {
        let body = self.provider.request(self.model, &wire::chat(chat)).unwrap().body;
        serde_json::from_slice::<Value>(&body).unwrap()["messages"][1]["content"].take()
    }
}

/// A client that is told of an answer and goes on with it: the next request, as a chat.
pub type Client = fn(&[Bytes], Told) -> Bytes;

fn results(blocks: &[Value], result: impl Fn(&Value) -> Value) -> Vec<Value> {
    blocks
        .iter()
        .filter(|block| block["type"].as_str().unwrap().ends_with("_use"))
        .map(|call| result(&call["id"]))
        .collect()
}

pub fn of_messages(answer: &[Bytes], told: Told) -> Bytes {
    let content: Vec<Value> = match told {
        Told::Whole => {
            let reply = messages::reply(&answer[0]).unwrap();
            serde_json::from_value(serde_json::from_slice::<Value>(&reply).unwrap()["content"].take()).unwrap()
        }
        _ => {
            let mut stream = messages::Stream::default();
            let told: Vec<u8> = answer.iter().flat_map(|chunk| stream.chunk(chunk).unwrap()).collect();
            assembled(&events(&[told, stream.end()].concat()))
        }
    };
    let results = results(&content, |id| json!({"type": "tool_result", "tool_use_id": id, "content": "1"}));
    let turns = json!([{"role": "user", "content": "Go."}, {"role": "assistant", "content": content},
        {"role": "user", "content": results}]);
    let body = json!({"model": "auto", "max_tokens": 8000, "messages": turns});
    messages::request(body.to_string().as_bytes()).unwrap().into()
}

/// Blocks as Anthropic's SDK puts them together.
fn assembled(events: &[Value]) -> Vec<Value> {
    let (mut blocks, mut inputs): (Vec<Value>, BTreeMap<usize, String>) = (vec![], BTreeMap::new());
    for event in events {
        match event["type"].as_str().unwrap() {
            "content_block_start" => blocks.push(event["content_block"].clone()),
            "content_block_delta" => {
                let i = event["index"].as_u64().unwrap() as usize;
                for (name, more) in event["delta"].as_object().unwrap().iter().filter(|(name, _)| *name != "type") {
                    let more = more.as_str().unwrap();
                    match name.as_str() {
                        "partial_json" => inputs.entry(i).or_default().push_str(more),
                        name => blocks[i][name] = (blocks[i][name].as_str().unwrap().to_owned() + more).into(),
                    }
                }
            }
            _ => {}
        }
    }
    inputs.into_iter().for_each(|(i, input)| blocks[i]["input"] = serde_json::from_str(&input).unwrap());
    blocks
}

pub fn of_responses(answer: &[Bytes], told: Told) -> Bytes {
    let ask = json!({"model": "auto", "input": "Go."});
    let (_, echo) = responses::request(ask.to_string().as_bytes()).unwrap();
    let output = match told {
        Told::Whole => {
            serde_json::from_slice::<Value>(&responses::reply(&answer[0], &echo).unwrap()).unwrap()["output"].take()
        }
        _ => {
            let mut stream = responses::Stream::new(echo);
            let told: Vec<u8> = answer.iter().flat_map(|chunk| stream.chunk(chunk).unwrap()).collect();
            events(&[told, stream.end()].concat()).pop().unwrap()["response"]["output"].take()
        }
    };
    let output = output.as_array().unwrap();
    let calls = output.iter().filter(|item| item["type"] == "function_call");
    let results = calls.map(|call| json!({"type": "function_call_output", "call_id": call["call_id"], "output": "1"}));
    let input: Vec<Value> =
        [json!({"role": "user", "content": "Go."})].into_iter().chain(output.iter().cloned()).chain(results).collect();
    responses::request(json!({"model": "auto", "input": input}).to_string().as_bytes()).unwrap().0.into()
}

fn of_chat(answer: &[Bytes], told: Told) -> Bytes {
    let field = if told == Told::Whole { "message" } else { "delta" };
    let mut message = json!({"role": "assistant"});
    for piece in answer {
        add(&mut message, &serde_json::from_slice::<Value>(piece).unwrap()["choices"][0][field]);
    }
    let calls = message["tool_calls"].as_array().unwrap().iter();
    let results = calls.map(|call| json!({"role": "tool", "tool_call_id": call["id"], "content": "1"}));
    let turns: Vec<Value> =
        [json!({"role": "user", "content": "Go."}), message.clone()].into_iter().chain(results).collect();
    json!({"model": "auto", "messages": turns}).to_string().into()
}

/// As OpenAI's SDKs put a message together: texts grow, and lists by the index of their entries.
fn add(whole: &mut Value, piece: &Value) {
    for (name, more) in piece.as_object().into_iter().flatten() {
        match (&mut whole[name], more) {
            (_, Value::Null) => {}
            (Value::String(text), Value::String(more)) if !["type", "role"].contains(&&**name) => text.push_str(more),
            (Value::Array(list), Value::Array(more)) => {
                for entry in more {
                    let i = entry["index"].as_u64().map_or(list.len(), |i| i as usize);
                    list.resize(list.len().max(i + 1), json!({}));
                    add(&mut list[i], entry);
                }
            }
            (empty @ Value::Null, Value::Array(_)) => {
                *empty = json!([]);
                add(whole, &json!({name: more}));
            }
            (before @ Value::Object(_), more) => add(before, more),
            (before, more) => *before = more.clone(),
        }
    }
}

#[test]
fn thoughts_texts_and_calls_go_back_in_the_order_in_which_they_came() {
    let clients: [(&str, Client); 3] = [("messages", of_messages), ("responses", of_responses), ("chat", of_chat)];
    for upstream in [anthropic(), bedrock()] {
        for blocks in answers() {
            let expected: Vec<Value> = blocks.iter().map(upstream.block).collect();
            for told in [Told::Whole, Told::Streamed, Told::Again] {
                for (name, client) in clients {
                    let chat = client(&upstream.answered(&blocks, told), told);
                    let given = upstream.given(chat.clone());
                    assert_eq!(given, json!(expected), "{name}, {told:?}: {}", String::from_utf8_lossy(&chat));
                }
            }
        }
    }
}

#[test]
fn what_stands_where_a_chat_has_it_needs_no_mark() {
    let blocks = [thought("S1"), hidden("S2"), text("I call."), call("t1"), call("t2")];
    for upstream in [anthropic(), bedrock()] {
        for told in [Told::Whole, Told::Streamed] {
            let chat = String::from_utf8(of_chat(&upstream.answered(&blocks, told), told).to_vec()).unwrap();
            assert!(!chat.contains("hosted_items"), "{chat}");
        }
    }
}

#[test]
fn an_answer_of_anthropics_keeps_its_blocks_for_anthropics_client() {
    for blocks in answers() {
        let reply = messages::reply(&anthropic().answered(&blocks, Told::Whole)[0]).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&reply).unwrap()["content"], json!(blocks));
    }
}
