//! Amazon's event streams, their translation, and signed calls over the network.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use futures_util::StreamExt;
use http::HeaderMap;
use proptest::prelude::*;
use satisfice::catalog::Usage;
use satisfice::upstream::bedrock::Bedrock;
use satisfice::upstream::event_stream::Decoder;
use satisfice::upstream::settings::{AwsKeys, ProviderSettings, Wire};
use satisfice::upstream::{Cause, NoAnswer, Reply, StreamItem, WireEvent};
use serde_json::{Value, json};

use crate::bedrock::fixture;
use crate::scripted::{Answer, Scripted};
use crate::upstream_answers::{ask, with};
use crate::wire;

const LIMIT: usize = 1 << 20;

/// One frame with these headers.
fn frame(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let header =
        |(name, value): &(&str, &str)| Header::new((*name).to_owned(), HeaderValue::String((*value).to_owned().into()));
    let message = Message::new_from_parts(headers.iter().map(header).collect(), payload.as_bytes().to_vec());
    let mut bytes = vec![];
    write_message_to(&message, &mut bytes).unwrap();
    bytes
}

fn event(name: &str, payload: &str) -> Vec<u8> {
    let headers = [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")];
    frame(&headers, payload)
}

fn exception(kind: &str, message: &str) -> Vec<u8> {
    let headers = [(":exception-type", kind), (":content-type", "application/json"), (":message-type", "exception")];
    frame(&headers, &json!({"message": message}).to_string())
}

/// The bytes of the fixture's events.
fn stream() -> Vec<u8> {
    let text = String::from_utf8(fixture!("stream.tsv").to_vec()).unwrap();
    text.lines().map(|line| line.split_once('\t').unwrap()).flat_map(|(name, payload)| event(name, payload)).collect()
}

fn all(pieces: &[&[u8]]) -> Result<Vec<WireEvent>, NoAnswer> {
    let mut decoder = Decoder::new(LIMIT);
    let mut events = vec![];
    for piece in pieces {
        decoder.push(piece);
        while let Some(event) = decoder.next_event()? {
            events.push(event);
        }
    }
    Ok(events)
}

fn translated(bytes: &[u8]) -> Vec<StreamItem> {
    wire::translated(&Bedrock, &wire::hello(), all(&[bytes]).unwrap()).unwrap()
}

#[test]
fn reads_thoughts_texts_and_parallel_calls_with_their_indices() {
    let items = translated(&stream());
    let deltas: Vec<Value> = wire::chunks(&items).iter().map(|c| c["choices"][0]["delta"].clone()).collect();
    let call = |index: usize, id: &str, name: &str| json!({"tool_calls": [{"id": id, "type": "function", "function": {"name": name, "arguments": ""}, "index": index}]});
    let arguments =
        |index: usize, piece: &str| json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]});
    let cited = json!({"documentIndex": 0, "start": 1, "end": 2, "title": "Paper", "start_index": 0, "end_index": 6});
    let expected = [
        json!({"role": "assistant", "content": ""}),
        json!({"reasoning_content": "Two cities, "}),
        json!({"reasoning_content": "two calls."}),
        json!({"thinking_blocks": [{"index": 0, "type": "thinking", "thinking": "Two cities, two calls.", "signature": "EqQB"}]}),
        json!({"thinking_blocks": [{"index": 1, "type": "redacted_thinking", "data": "RW13S0FoZ0I="}]}),
        json!({"content": "Okay 😀"}),
        json!({"citations": [{"index": 0, "type": "documentChar", "documentChar": cited}]}),
        call(0, "tooluse_1", "top_song"),
        arguments(0, "{\"sign\":"),
        arguments(0, " \"WZPZ\"}"),
        call(1, "tooluse_2", "now"),
        arguments(1, "{}"),
        json!({}),
        Value::Null,
    ];
    assert_eq!(deltas, expected);
    let usage = Usage { input_tokens: 17, output_tokens: 11, cached_input_tokens: 5, ..Usage::default() };
    let last = items.last().unwrap();
    assert!(matches!(last, StreamItem::Chunk { usage: Some(counted), usage_only: true, .. } if *counted == usage));
}

#[test]
fn exceptions_and_errors_end_a_stream_with_their_words() {
    let problem = |bytes: Vec<u8>| all(&[&bytes]).unwrap_err();
    for kind in [
        "internalServerException",
        "modelStreamErrorException",
        "validationException",
        "throttlingException",
        "serviceUnavailableException",
    ] {
        assert_eq!(problem(exception(kind, "Too bad.")), NoAnswer::of_kind(kind, "Too bad."));
    }
    let headers = [(":message-type", "error"), (":error-code", "500"), (":error-message", "Oh")];
    assert_eq!(problem(frame(&headers, "")), NoAnswer::of_kind("500", "Oh"));
}

#[test]
fn damage_is_seen_wherever_it_is() {
    let bytes = event("messageStop", r#"{"stopReason":"end_turn"}"#);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert!(!matches!(all(&[&damaged]), Ok(events) if !events.is_empty()), "byte {at}");
    }
    let mut long = Decoder::new(LIMIT);
    long.push(&(LIMIT as u32 + 1).to_be_bytes());
    assert!(long.next_event().unwrap_err().to_string().contains("1048577"));
    let mut short = Decoder::new(LIMIT);
    short.push(&15u32.to_be_bytes());
    assert!(short.next_event().is_err());
}

proptest! {
    #[test]
    fn what_comes_out_does_not_depend_on_the_cuts(cuts in proptest::collection::vec(0usize..4000, 0..12)) {
        let bytes = stream();
        let mut ends: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
        ends.sort_unstable();
        let pieces: Vec<&[u8]> = ends.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(all(&pieces).unwrap(), all(&[&bytes]).unwrap());
    }

    #[test]
    fn any_bytes_are_events_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = all(&[&bytes]);
    }
}

/// `upstream` as Bedrock, with an account that signs, or with [`KEY`](crate::scripted::KEY).
fn bedrock(upstream: &Scripted, signs: bool) -> ProviderSettings {
    let keys = AwsKeys {
        region: "eu-north-1".into(),
        access_key_id: "AKIDEXAMPLE".into(),
        secret_access_key: "a-secret-access-key".into(),
        session_token: Some("a-session-token".into()),
    };
    let settings = upstream.provider("test");
    let api_keys = if signs { vec![] } else { settings.api_keys.clone() };
    ProviderSettings { wire: Wire::Bedrock, api_keys, aws: signs.then_some(keys), ..settings }
}

fn event_stream(pieces: &[&[u8]]) -> Answer {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\ntransfer-encoding: chunked\r\n\r\n";
    pieces.iter().fold(Answer::raw(head), |answer, piece| answer.piece(piece)).end()
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_signed_call_is_streamed_to_its_end() {
    let upstream = Scripted::start().await;
    let bytes = stream();
    upstream.on("", [event_stream(&[&bytes[..7], &bytes[7..900], &bytes[900..]])]);
    let dispatched = ask(&with(bedrock(&upstream, true)), &["amazon.nova-pro-v1:0"], true).await.unwrap();
    let Reply::Stream(items) = dispatched.reply else { panic!("a stream was asked for") };
    let items: Vec<StreamItem> = items.map(Result::unwrap).collect().await;
    assert_eq!(items.last(), Some(&StreamItem::Done));
    assert_eq!(items.len(), translated(&bytes).len() + 1);

    let seen = &upstream.seen()[0];
    assert_eq!(seen.line, "POST /v1/model/amazon.nova-pro-v1%3A0/converse-stream");
    assert_eq!(text(&seen.headers, "accept").as_deref(), Some("application/vnd.amazon.eventstream"));
    assert_eq!(text(&seen.headers, "x-amz-security-token").as_deref(), Some("a-session-token"));
    let authorization = text(&seen.headers, "authorization").unwrap();
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{authorization}");
    assert!(authorization.contains("/eu-north-1/bedrock/aws4_request"), "{authorization}");
}

#[tokio::test]
async fn a_bearer_key_needs_no_signature() {
    let upstream = Scripted::start().await;
    upstream.on("", [Answer::json(fixture!("converse.json"))]);
    ask(&with(bedrock(&upstream, false)), &["m"], false).await.unwrap();
    let seen = &upstream.seen()[0];
    assert_eq!(text(&seen.headers, "authorization"), Some(format!("Bearer {}", crate::scripted::KEY)));
    assert_eq!(text(&seen.headers, "x-amz-date"), None);
}

#[tokio::test]
async fn an_exception_at_once_is_a_failed_attempt_and_one_amid_the_stream_ends_it() {
    let upstream = Scripted::start().await;
    let bytes = stream();
    let busy = event_stream(&[&exception("throttlingException", "Too many requests")]);
    let cut = event_stream(&[&bytes[..900]]);
    upstream.on("", [busy, cut]);
    let dispatched = ask(&with(bedrock(&upstream, true)), &["m"], true).await.unwrap();
    let first = dispatched.attempts[0].error.clone().unwrap();
    assert_eq!((first.cause, first.status.map(|status| status.as_u16())), (Cause::RateLimited, Some(429)));
    assert!(first.message.contains("Too many requests"), "{first}");
    let Reply::Stream(items) = dispatched.reply else { panic!("a stream was asked for") };
    let last = items.collect::<Vec<_>>().await.pop().unwrap();
    assert!(last.unwrap_err().message.contains("cut"));
}

#[test]
fn of_a_function_that_is_to_be_called_once_the_first_call_is_streamed() {
    let request = wire::chat(
        r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"parallel_tool_calls":false,
        "tools":[{"type":"function","function":{"name":"top_song"}}]}"#,
    );
    let items = wire::translated(&Bedrock, &request, all(&[&stream()]).unwrap()).unwrap();
    let calls = wire::chunks(&items).into_iter().filter_map(|c| c["choices"][0]["delta"].get("tool_calls").cloned());
    let calls: Vec<Value> = calls.collect();
    assert_eq!((calls.len(), &calls[0][0]["id"]), (3, &json!("tooluse_1")), "{calls:?}");
    assert!(calls.iter().all(|call| call[0]["index"] == 0), "{calls:?}");
}
