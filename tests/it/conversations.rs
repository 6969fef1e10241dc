//! Any conversation: requests in OpenAI's shape, for tests of translations into other wires.

use proptest::prelude::*;
use serde_json::{Value, json};

/// A request whose tool results answer the calls before them. Texts are not empty and instructions come first, as
/// every wire can carry.
pub fn any_request() -> impl Strategy<Value = Value> {
    let rounds = proptest::collection::vec(
        (text(), proptest::option::of(text()), proptest::collection::vec(call(), 0..3)),
        1..5,
    );
    (proptest::option::of(text()), rounds).prop_map(|(system, rounds)| {
        let system = system.map(|text| json!({"role": "system", "content": text}));
        let turns = rounds.into_iter().enumerate().flat_map(|(i, (asked, said, calls))| round(i, &asked, said, &calls));
        json!({"model": "auto", "messages": system.into_iter().chain(turns).collect::<Vec<_>>()})
    })
}

/// One call: function, arguments, result.
type Call = (String, Value, String);

fn round(number: usize, asked: &str, said: Option<String>, calls: &[Call]) -> Vec<Value> {
    let id = |i: usize| format!("call_{number}_{i}");
    let made: Vec<Value> = calls
        .iter()
        .enumerate()
        .map(|(i, (name, arguments, _))| {
            json!({"id": id(i), "type": "function", "function": {"name": name, "arguments": arguments.to_string()}})
        })
        .collect();
    let said = said.or_else(|| made.is_empty().then(|| "Yes.".to_owned()));
    let mut answer = json!({"role": "assistant", "content": said});
    if !made.is_empty() {
        answer["tool_calls"] = made.into();
    }
    let results =
        calls.iter().enumerate().map(|(i, call)| json!({"role": "tool", "tool_call_id": id(i), "content": call.2}));
    [json!({"role": "user", "content": asked}), answer].into_iter().chain(results).collect()
}

/// Who says what, in order: `user`, `assistant`, `call` (id, name, arguments), `tool` (id, name, result).
pub fn turns_of(request: &Value) -> Vec<(String, String)> {
    let mut names = std::collections::HashMap::new();
    let mut turns = vec![];
    for message in request["messages"].as_array().unwrap() {
        let role = message["role"].as_str().unwrap();
        match role {
            "system" => {}
            "tool" => {
                let id = &message["tool_call_id"];
                turns.push((role.into(), format!("{id} {} {}", names[id], message["content"])));
            }
            _ => turns.extend(message["content"].as_str().map(|text| (role.into(), json!(text).to_string()))),
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let (id, name) = (call["id"].clone(), call["function"]["name"].clone());
            turns.push(("call".into(), format!("{id} {name} {}", call["function"]["arguments"].as_str().unwrap())));
            names.insert(id, name);
        }
    }
    turns
}

fn text() -> impl Strategy<Value = String> {
    "\\PC{1,12}"
}

fn call() -> impl Strategy<Value = Call> {
    let arguments = proptest::collection::btree_map("[a-z]{1,4}", any::<i32>(), 0..3);
    ("[a-z_]{1,6}", arguments.prop_map(|fields| json!(fields)), "[^\\[\\{\\pC]\\PC{0,8}")
}
