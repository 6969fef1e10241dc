//! Requests and answers with something else in the place of any one of their parts: whatever is made of them, nothing
//! panics.

use std::collections::VecDeque;

use bytes::Bytes;
use satisfice::api::chat::ChatRequest;
use satisfice::api::embeddings::EmbeddingsRequest;
use satisfice::api::{messages, responses};
use satisfice::catalog::quirks::Quirks;
use satisfice::upstream::anthropic::Anthropic;
use satisfice::upstream::bedrock::Bedrock;
use satisfice::upstream::cohere::Cohere;
use satisfice::upstream::compatible::Compatible;
use satisfice::upstream::gemini::Gemini;
use satisfice::upstream::mistral::Mistral;
use satisfice::upstream::responses::Responses;
use satisfice::upstream::{Provider, StreamItem, WireEvent};
use serde_json::{Value, json};

use crate::upstream_responses::paths;
use crate::wire::{asked, hello};

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../fixtures/", $name))
    };
}

/// `whole` without one of its parts, and with something else in its place.
fn mangled(whole: &Value) -> impl Iterator<Item = Value> {
    let strange = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(""),
        json!("x"),
        json!([]),
        json!({}),
        json!([7, "x", null, {}, []]),
        json!({"type": 5, "text": [], "function": 7, "content": 7}),
    ];
    let places = paths(whole).into_iter();
    places.flat_map(move |path| strange.clone().into_iter().map(move |part| (path.clone(), part))).map(
        |(path, part)| {
            let mut other = whole.clone();
            *other.pointer_mut(&path).unwrap() = part;
            other
        },
    )
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn wires() -> [(&'static str, Box<dyn Provider>); 7] {
    [
        ("gpt", Box::new(Compatible::new("openai", Quirks::default()))),
        ("claude-sonnet-4-5", Box::new(Anthropic::below("/"))),
        ("gemini-3-pro", Box::new(Gemini)),
        ("command-a", Box::new(Cohere)),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", Box::new(Bedrock)),
        ("mistral-large", Box::new(Mistral(Compatible::new("mistral", Quirks::default())))),
        ("gpt", Box::new(Responses::of("openai"))),
    ]
}

#[test]
fn requests_in_every_protocol_are_read_or_refused() {
    for request in mangled(&json_of(fixture!("anthropic_client/request.json"))) {
        let _ = messages::request(request.to_string().as_bytes());
        let _ = messages::countable(request.to_string().as_bytes());
    }
    for request in mangled(&json_of(fixture!("responses/sent.json"))) {
        let _ = responses::request(request.to_string().as_bytes());
    }
    let embeddings =
        json!({"model": "m", "input": ["a", "b"], "dimensions": 5, "encoding_format": "base64", "user": "u"});
    for request in mangled(&embeddings) {
        let Ok(request) = EmbeddingsRequest::parse(&request.to_string().into()) else { continue };
        for (model, wire) in wires() {
            wire.embeddings().map(|wire| wire.embed(model, &request));
        }
    }
}

#[test]
fn chats_are_translated_to_every_wire_or_refused() {
    let requests = [
        fixture!("openai/request.json"),
        fixture!("anthropic/request.json"),
        fixture!("gemini/request.json"),
        fixture!("responses/request.json"),
    ];
    let wires = wires();
    for request in requests.iter().flat_map(|text| mangled(&json_of(text)).collect::<Vec<_>>()) {
        let Ok(request) = ChatRequest::parse(&request.to_string().into()) else { continue };
        for (model, wire) in &wires {
            let _ = (wire.refuses(&request), wire.request(model, &request));
        }
    }
}

#[test]
fn whole_answers_of_every_wire_are_told_or_are_none() {
    let answers: [&[&str]; 7] = [
        &[fixture!("openai/tools.json"), fixture!("openai/two_choices.json")],
        &[fixture!("anthropic/tools.json"), fixture!("anthropic/citations.json")],
        &[fixture!("gemini/tools.json"), fixture!("gemini/grounded.json"), fixture!("gemini/picture.json")],
        &[fixture!("cohere/tools.json"), fixture!("cohere/answer.json")],
        &[fixture!("bedrock/converse.json"), fixture!("bedrock/citations.json")],
        &[fixture!("mistral/tools.json"), fixture!("mistral/thinking.json")],
        &[fixture!("responses/tools.json"), fixture!("responses/answer.json")],
    ];
    let (request, (_, echo)) = (hello(), responses::request(br#"{"model":"m","input":"x"}"#).unwrap());
    for ((_, wire), answers) in wires().iter().zip(answers) {
        for answer in answers.iter().flat_map(|text| mangled(&json_of(text)).collect::<Vec<_>>()) {
            let body = Bytes::from(answer.to_string());
            wire.error(http::StatusCode::BAD_REQUEST, &body);
            if let Ok(told) = wire.reply(&asked(&request), body) {
                let _ = (messages::reply(&told.body), responses::reply(&told.body, &echo));
            }
        }
    }
}

/// The names and JSON of a fixture's events, except `[DONE]`: server-sent, or a name, a tab and a payload a line.
fn events(text: &str) -> Vec<(Option<String>, Value)> {
    let data = |line: &str| Some((None, serde_json::from_str(line.strip_prefix("data: ")?).ok()?));
    let named = |line: &str| {
        let (name, payload) = line.split_once('\t')?;
        Some((Some(name.to_owned()), json_of(payload)))
    };
    text.lines().filter_map(|line| data(line).or_else(|| named(line))).collect()
}

/// To a client of each protocol.
fn tell(wire: &dyn Provider, request: &ChatRequest, events: &[(Option<String>, Value)]) {
    let (_, echo) = responses::request(br#"{"model":"m","input":"x"}"#).unwrap();
    let (mut translation, mut items) = (wire.events(&asked(request)), VecDeque::new());
    for (name, data) in events {
        let event = WireEvent { name: name.clone(), data: data.to_string().into() };
        if translation.event(event, &mut items).is_err() {
            break;
        }
    }
    translation.end(&mut items);
    let (mut theirs, mut newer) = (messages::Stream::default(), responses::Stream::new(echo));
    for item in items {
        if let StreamItem::Chunk { data, .. } = item {
            let _ = (theirs.chunk(&data), newer.chunk(&data));
        }
    }
    let _ = (theirs.end(), newer.end());
}

#[test]
fn streams_of_every_wire_are_told_or_cut() {
    let streams: [&[&str]; 7] = [
        &[fixture!("openai/tools.sse"), fixture!("openai/stream.sse")],
        &[fixture!("anthropic/tools.sse"), fixture!("anthropic/stream.sse")],
        &[fixture!("gemini/tools.sse"), fixture!("gemini/pictures.sse")],
        &[fixture!("cohere/tools.sse"), fixture!("cohere/stream.sse")],
        &[fixture!("bedrock/stream.tsv")],
        &[fixture!("mistral/thinking.sse")],
        &[fixture!("responses/tools.sse"), fixture!("responses/stream.sse")],
    ];
    let request = hello();
    for ((_, wire), streams) in wires().iter().zip(streams) {
        for stream in streams.iter().map(|text| events(text)) {
            assert!(stream.len() > 2);
            for (i, (name, event)) in stream.iter().enumerate() {
                for other in mangled(event) {
                    let mut said = stream.clone();
                    said[i] = (name.clone(), other);
                    tell(&**wire, &request, &said);
                }
            }
        }
    }
}
