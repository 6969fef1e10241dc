//! Thoughts that nobody signed, and what OpenRouter seals of others, on OpenAI's wire: clients of other protocols give them
//! back in the middle of calls, where their models demand them.

use bytes::Bytes;
use satisfice::catalog::providers::Catalogue;
use satisfice::upstream::compatible::Compatible;
use serde_json::{Value, json};

use crate::order::{Client, Told, of_messages, of_responses};
use crate::wire;

const CLIENTS: [Client; 2] = [of_messages, of_responses];

fn completion(field: &str, said: Value, finish: Value) -> Bytes {
    let choice = json!({"index": 0, field: said, "finish_reason": finish});
    json!({"id": "c1", "model": "m", "created": 1, "choices": [choice]}).to_string().into()
}

fn calls(index: Value) -> Value {
    json!([{"index": index, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}])
}

/// A calling answer whole, which is `whole`, and streamed in these `pieces`.
fn answers<const N: usize>(whole: Value, pieces: [Value; N]) -> [(Told, Vec<Bytes>); 2] {
    let finish = || json!("tool_calls");
    let ended = completion("delta", json!({}), finish());
    let streamed = pieces.map(|piece| completion("delta", piece, Value::Null)).into_iter().chain([ended]).collect();
    [(Told::Whole, vec![completion("message", whole, finish())]), (Told::Streamed, streamed)]
}

/// The assistant's message that a provider of this name is given of a conversation.
fn given(provider: &str, chat: Bytes) -> Value {
    let quirks = Catalogue::embedded().unwrap().provider_named(provider).unwrap().quirks.clone();
    wire::posted(&Compatible::new(provider, quirks), &wire::chat(chat))["messages"][1].take()
}

#[test]
fn unsigned_thoughts_go_back_to_who_reads_them() {
    let whole =
        json!({"role": "assistant", "content": "", "reasoning_content": "I need f.", "tool_calls": calls(Value::Null)});
    let pieces = [
        json!({"role": "assistant", "content": null, "reasoning_content": "I need"}),
        json!({"reasoning_content": " f."}),
        json!({"tool_calls": calls(json!(0))}),
    ];
    for (told, answer) in answers(whole, pieces) {
        for client in CLIENTS {
            let chat = client(&answer, told);
            let message = given("deepseek", chat.clone());
            assert_eq!(message["reasoning_content"], "I need f.", "{told:?}");
            assert_eq!(message["tool_calls"][0]["id"], "call_1", "{told:?}");
            assert_eq!(given("openai", chat).get("reasoning_content"), None, "it refuses what it does not know");
        }
    }
}

#[test]
fn thoughts_of_which_nothing_came_do_not_go_back() {
    let thought = json!({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]});
    let input = json!([{"role": "user", "content": "Go."}, thought, {"role": "user", "content": "Go!"}]);
    let body = json!({"model": "auto", "input": input}).to_string();
    let chat = satisfice::api::responses::request(body.as_bytes()).unwrap().0;
    assert_eq!(given("deepseek", chat.into()), json!({"role": "user", "content": "Go!"}));
}

#[test]
fn details_of_openrouters_that_only_their_provider_reads_go_back_as_they_were() {
    let words = json!({"type": "reasoning.text", "text": "I need f.", "format": "google-gemini-v1", "index": 0});
    let sealed =
        json!({"type": "reasoning.encrypted", "data": "ENC", "id": "call_1", "format": "google-gemini-v1", "index": 0});
    let details = json!([words, sealed]);
    let whole = json!({"role": "assistant", "content": null, "reasoning": "I need f.", "reasoning_details": details,
        "tool_calls": calls(Value::Null)});
    let piece = |text: &str| {
        let mut detail = words.clone();
        detail["text"] = text.into();
        json!({"reasoning": text, "reasoning_details": [detail]})
    };
    let pieces =
        [piece("I need"), piece(" f."), json!({"tool_calls": calls(json!(0))}), json!({"reasoning_details": [sealed]})];
    for (told, answer) in answers(whole, pieces) {
        for client in CLIENTS {
            let chat = client(&answer, told);
            let message = given("openrouter", chat.clone());
            assert_eq!((&message["reasoning_details"], &message["reasoning_content"]), (&details, &json!("I need f.")));
            assert_eq!(message["tool_calls"][0]["id"], "call_1", "{told:?}");
            assert_eq!(given("openai", chat).get("reasoning_details"), None);
        }
    }
}
