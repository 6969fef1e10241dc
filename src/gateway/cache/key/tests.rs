use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn scope(asked: &str) -> Scope<'_> {
    Scope { tenant: Tenant([1; 32]), asked, ..Scope::default() }
}

fn request(body: &str) -> ChatRequest {
    ChatRequest::parse(&Bytes::from(body.to_owned())).unwrap()
}

fn key(body: &str) -> Key {
    exact(&scope("auto"), &request(body))
}

fn partition(body: &Value) -> Option<Key> {
    except_the_turn(&scope("auto"), 7, &request(&body.to_string()))
}

fn ask(more: Value) -> Value {
    let mut body = json!({"model": "auto", "messages": [{"role": "system", "content": "Be kind."},
                                                        {"role": "user", "content": "Hello"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn how_a_body_is_written_and_how_its_answer_is_to_come_does_not_matter() {
    let plain = key(r#"{"model":"auto","messages":[{"role":"user","content":"é"}],"seed":1}"#);
    for same in [
        r#"{ "seed" : 1, "messages" : [ { "content" : "\u00e9", "role" : "user" } ] , "model" : "auto" }"#,
        r#"{"model":"auto","messages":[{"role":"user","content":"é"}],"seed":1,"stream":true,"stream_options":{"include_usage":true}}"#,
        r#"{"model":"auto","messages":[{"role":"user","content":"é"}],"seed":1,"user":"u","claude_user":"u","metadata":{"a":"b"}}"#,
    ] {
        assert_eq!(key(same), plain, "{same}");
    }
    for other in [
        r#"{"model":"auto","messages":[{"role":"user","content":"e"}],"seed":1}"#,
        r#"{"model":"auto","messages":[{"role":"user","content":"é"}],"seed":2}"#,
        r#"{"model":"auto","messages":[{"role":"user","content":"é"}]}"#,
        r#"{"model":"auto","messages":[{"role":"user","content":"é"}],"seed":"1"}"#,
        r#"{"model":"auto","messages":[{"role":"user","content":"é"}],"seed":18446744073709551617}"#,
        r#"{"model":"auto","messages":[{"role":"user","content":[{"type":"text","text":"é"}]}],"seed":1}"#,
    ] {
        assert_ne!(key(other), plain, "{other}");
    }
    let big = |n: &str| key(&format!(r#"{{"model":"auto","messages":[{{"role":"user"}}],"seed":{n}}}"#));
    assert_ne!(big("18446744073709551617"), big("18446744073709551618"), "larger than any number type");
}

#[test]
fn deep_values_are_bounded_and_told_apart() {
    let deep = |n: usize, core: &str| {
        let body = format!(
            r#"{{"model":"auto","messages":[{{"role":"user"}}],"x":{}{core}{}}}"#,
            "[".repeat(n),
            "]".repeat(n)
        );
        key(&body)
    };
    assert_ne!(deep(100, "1"), deep(100, "2"));
    assert_eq!(deep(100, "1"), deep(100, "1"));
}

#[test]
fn whoever_asks_whom_for_what_is_told_apart() {
    let asked = request(&ask(json!({})).to_string());
    let plain = exact(&scope("auto"), &asked);
    let model = crate::catalog::Model {
        id: crate::catalog::ModelId { provider: "p".into(), model: "m".into() },
        upstream_name: "m".into(),
        price: None,
        context_window: None,
        max_output_tokens: None,
        capabilities: crate::catalog::Capabilities::default(),
    };
    for other in [
        Scope { tenant: Tenant([2; 32]), ..scope("auto") },
        scope("other"),
        Scope { models: vec![&model], ..scope("auto") },
        Scope { knobs: vec!["Quality(0.9)".into()], ..scope("auto") },
        Scope { quality: Some(0.5), ..scope("auto") },
        Scope { segment: Some("s"), ..scope("auto") },
        Scope { rule: Some("s".into()), ..scope("auto") },
        Scope { preferences: Some("s".into()), ..scope("auto") },
    ] {
        assert_ne!(exact(&other, &asked), plain);
        assert_ne!(except_the_turn(&other, 7, &asked), except_the_turn(&scope("auto"), 7, &asked));
    }
    assert_ne!(except_the_turn(&scope("auto"), 8, &asked), except_the_turn(&scope("auto"), 7, &asked));
}

#[test]
fn only_the_newest_user_turns_text_may_differ_within_a_partition() {
    let plain = partition(&ask(json!({}))).unwrap();
    let said = |messages: Value| partition(&ask(json!({ "messages": messages })));
    let system = json!({"role": "system", "content": "Be kind."});
    assert_eq!(said(json!([system, {"role": "user", "content": "Bye"}])), Some(plain));
    let numbers = |text: &str| said(json!([{"role": "user", "content": text}]));
    assert_eq!(numbers("17 times 24?"), numbers("How much is 17 × 24"));
    assert!(numbers("17 × 24") != numbers("17 × 25") && numbers("17 × 24") != numbers("1 × 724"));
    for other in [
        json!([{"role": "system", "content": "Be rude."}, {"role": "user", "content": "Hello"}]),
        json!([{"role": "user", "content": "Hello"}]),
        json!([system, {"role": "user", "content": "Before"}, {"role": "user", "content": "Hello"}]),
        json!([system, {"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]),
        json!([system, {"role": "user", "content": "Hello", "name": "Ann"}]),
        json!([system, {"role": "user", "content": [{"type": "text", "text": "Hello"},
            {"type": "image_url", "image_url": {"url": "https://a/1.png"}}]}]),
    ] {
        assert_ne!(said(other.clone()), Some(plain), "{other}");
    }
    let image = |text: &str, url: &str| {
        let parts = json!([{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]);
        said(json!([{"role": "user", "content": parts}]))
    };
    assert_eq!(image("a", "https://a/1.png"), image("b", "https://a/1.png"));
    assert_ne!(image("a", "https://a/1.png"), image("a", "https://a/2.png"));
    assert_eq!(said(json!([system])), None, "nobody's turn");
    for more in [json!({"tools": [{"type": "function"}]}), json!({"temperature": 0}), json!({"n": 2})] {
        assert_ne!(partition(&ask(more)), Some(plain));
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-c\"\\\\é ]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]{1,2}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The same value with the fields of every object the other way round.
fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(map.iter().rev().map(|(k, v)| (k.clone(), reversed(v))).collect()),
        Value::Array(items) => items.iter().map(reversed).collect(),
        other => other.clone(),
    }
}

fn with(extra: &Value) -> Value {
    ask(json!({ "extra": extra }))
}

proptest! {
    #[test]
    fn the_order_of_fields_does_not_matter_and_any_difference_does(one in value(), other in value()) {
        let plain = key(&with(&one).to_string());
        prop_assert_eq!(key(&reversed(&with(&one)).to_string()), plain);
        prop_assert_eq!(key(&serde_json::to_string_pretty(&with(&one)).unwrap()), plain);
        prop_assert_eq!(key(&with(&other).to_string()) == plain, one == other);
    }

    #[test]
    fn a_partition_holds_whatever_the_turn_says_but_for_its_numbers_and_nothing_else(
        turn in "\\PC{0,20}", system in "\\PC{0,20}", extra in value(),
    ) {
        let body = |turn: &str, system: &str, extra: &Value| ask(json!({"extra": extra, "messages": [
            {"role": "system", "content": system}, {"role": "user", "content": turn}]}));
        let plain = partition(&body("Hello", "Be kind.", &json!(1)));
        prop_assert!(plain.is_some());
        let said = partition(&body(&turn, "Be kind.", &json!(1)));
        prop_assert_eq!(said == plain, !turn.contains(char::is_numeric));
        prop_assert_eq!(partition(&body("Hello", &system, &json!(1))) == plain, system == "Be kind.");
        prop_assert_eq!(partition(&body("Hello", "Be kind.", &extra)) == plain, extra == json!(1));
    }

    #[test]
    fn fields_that_are_objects_are_told_from_lists_of_their_members(names in prop::collection::vec("[a-c]", 1..3)) {
        let object: Map<String, Value> = names.iter().map(|name| (name.clone(), json!(1))).collect();
        let list: Vec<Value> = object.iter().flat_map(|(name, value)| [json!(name), value.clone()]).collect();
        prop_assert_ne!(key(&with(&Value::Object(object)).to_string()), key(&with(&Value::from(list)).to_string()));
    }
}
