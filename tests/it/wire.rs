//! What a provider's translation is asked in tests: one request, one answer, one stream.

use std::collections::VecDeque;

use bytes::Bytes;
use satisfice::api::chat::ChatRequest;
use satisfice::api::sse::Decoder;
use satisfice::upstream::{Asked, Provider, Stamp, StreamItem, WholeReply, WireEvent};
use serde_json::Value;
use uuid::Uuid;

/// The provider's name of the model.
pub const MODEL: &str = "upstream-model";
pub const STAMP: Stamp = Stamp { id: Uuid::nil(), created_s: 1_700_000_000 };

pub fn chat(body: impl Into<Bytes>) -> ChatRequest {
    ChatRequest::parse(&body.into()).unwrap()
}

/// A small request, for answers that do not depend on what was asked.
pub fn hello() -> ChatRequest {
    chat(r#"{"model":"auto","messages":[{"role":"user","content":"Hello"}]}"#)
}

pub fn asked(request: &ChatRequest) -> Asked<'_> {
    Asked { model: MODEL, request, stamp: || STAMP }
}

/// The body that `provider` posts for `request`.
pub fn posted(provider: &dyn Provider, request: &ChatRequest) -> Value {
    serde_json::from_slice(&provider.request(MODEL, request).unwrap().body).unwrap()
}

pub fn whole(provider: &dyn Provider, request: &ChatRequest, body: impl Into<Bytes>) -> WholeReply {
    provider.reply(&asked(request), body.into()).unwrap()
}

/// A stream of server-sent events, translated.
pub fn streamed(
    provider: &dyn Provider,
    request: &ChatRequest,
    bytes: impl AsRef<[u8]>,
) -> Result<Vec<StreamItem>, String> {
    let mut decoder = Decoder::new(1 << 20);
    decoder.push(bytes.as_ref());
    let data = std::iter::from_fn(|| decoder.next_event().unwrap());
    translated(provider, request, data.map(|data| WireEvent { name: None, data }))
}

/// Events, translated.
pub fn translated(
    provider: &dyn Provider,
    request: &ChatRequest,
    events: impl IntoIterator<Item = WireEvent>,
) -> Result<Vec<StreamItem>, String> {
    let mut translation = provider.events(&asked(request));
    let mut items = VecDeque::new();
    for event in events {
        translation.event(event, &mut items).map_err(|problem| problem.to_string())?;
    }
    Ok(items.into())
}

/// The JSON of each chunk before the end.
pub fn chunks(items: &[StreamItem]) -> Vec<Value> {
    let data = items.iter().filter_map(|item| match item {
        StreamItem::Chunk { data, .. } => Some(serde_json::from_slice(data).unwrap()),
        StreamItem::Done => None,
    });
    data.collect()
}

/// A stream whose bytes end after its last event, except `[DONE]`: with what the translation owes at the end.
pub fn streamed_to_end(provider: &dyn Provider, request: &ChatRequest, bytes: impl AsRef<[u8]>) -> Vec<StreamItem> {
    streamed_in_pieces(provider, request, bytes, vec![])
}

/// The same, its bytes coming in pieces that are cut at these places.
pub fn streamed_in_pieces(
    provider: &dyn Provider,
    request: &ChatRequest,
    bytes: impl AsRef<[u8]>,
    cuts: Vec<usize>,
) -> Vec<StreamItem> {
    let bytes = bytes.as_ref();
    let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
    cuts.sort_unstable();
    let mut decoder = Decoder::new(1 << 20);
    let mut translation = provider.events(&asked(request));
    let mut items = VecDeque::new();
    for piece in cuts.windows(2) {
        decoder.push(&bytes[piece[0]..piece[1]]);
        while let Some(data) = decoder.next_event().unwrap() {
            translation.event(WireEvent { name: None, data }, &mut items).unwrap();
        }
    }
    translation.end(&mut items);
    items.into()
}

/// The data of each server-sent event, as JSON.
pub fn events(bytes: &[u8]) -> Vec<Value> {
    let mut decoder = Decoder::new(1 << 20);
    decoder.push(bytes);
    std::iter::from_fn(|| decoder.next_event().unwrap()).map(|data| serde_json::from_slice(&data).unwrap()).collect()
}
