//! A completion → a response.

use std::ops::Range;

use serde_json::{Map, Value, json};

use super::request::Echo;
use crate::api::answer::{Answer, Call, Choice, Message, said_of};
use crate::api::conversation::{Hosted, Piece, Protocol, characters, marked, pieces};
use crate::api::fields::with;
use crate::api::usage::WireUsage;

/// A whole completion as a response.
///
/// # Errors
/// The bytes are no completion.
pub fn reply(body: &[u8], echo: &Echo) -> Result<Vec<u8>, serde_json::Error> {
    let mut answer = Answer::whole(body)?;
    let choice = answer.first();
    let state = State::ended(choice.finish_reason.as_deref(), answer.usage);
    let output = output(&answer.id, choice, state.status()).into_iter().map(|item| echo.placed(item)).collect();
    serde_json::to_vec(&response(&answer, echo, state, output))
}

/// How far a response is.
pub(super) enum State {
    InProgress,
    Ended { incomplete: Option<&'static str>, usage: Option<WireUsage> },
    Failed { code: &'static str, message: String },
}

impl State {
    pub(super) fn ended(finish: Option<&str>, usage: Option<WireUsage>) -> Self {
        let incomplete = match finish {
            Some("length") => Some("max_output_tokens"),
            Some("content_filter") => Some("content_filter"),
            _ => None,
        };
        Self::Ended { incomplete, usage }
    }

    pub(super) fn status(&self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Ended { incomplete: None, .. } => "completed",
            Self::Ended { .. } => "incomplete",
            Self::Failed { .. } => "failed",
        }
    }
}

pub(super) fn response(answer: &Answer, echo: &Echo, state: State, output: Vec<Value>) -> Value {
    let mut out: Map<String, Value> = Map::new();
    out.insert("id".into(), id("resp", &answer.id).into());
    out.insert("object".into(), "response".into());
    out.insert("created_at".into(), answer.created.into());
    out.insert("status".into(), state.status().into());
    out.insert("model".into(), answer.model.clone().into());
    out.insert("output".into(), output.into());
    let (error, incomplete, usage) = match state {
        State::InProgress => (Value::Null, Value::Null, None),
        State::Ended { incomplete, usage } => {
            (Value::Null, incomplete.map_or(Value::Null, |reason| json!({"reason": reason})), usage)
        }
        State::Failed { code, message } => (json!({"code": code, "message": message}), Value::Null, None),
    };
    out.insert("error".into(), error);
    out.insert("incomplete_details".into(), incomplete);
    out.extend(usage.map(|usage| ("usage".into(), usage_json(usage))));
    out.extend(echo.0.clone());
    out.into()
}

/// Made of the answer's.
fn id(kind: &str, answer: &str) -> String {
    format!("{kind}_{}", answer.trim_start_matches("chatcmpl-").trim_start_matches("resp_"))
}

/// Items have ids of their own kind; `at` is the item's place among those of the response.
pub(super) fn item_id(kind: &str, answer: &str, at: usize) -> String {
    format!("{}_{at}", id(kind, answer))
}

/// `status`: of the last item, where the answer was cut; those before it are complete.
fn output(answer: &str, choice: Choice, status: &str) -> Vec<Value> {
    let Choice { mut message, logprobs, .. } = choice;
    let text = Said::of(&mut message, logprobs.content);
    let mut output = in_order(answer, &message, &text);
    if let Some(last) = output.iter_mut().rfind(|item| item["type"] == "message") {
        *last = with(last.take(), "extra_content", Some(&message.extra_content));
    }
    message.refusal.into_iter().for_each(|refusal| refuse(answer, &mut output, &refusal));
    if let Some(Value::Object(last)) = output.last_mut().filter(|last| last["status"].is_string()) {
        last.insert("status".into(), status.into());
    }
    output
}

/// Thoughts (as a text, and as they go back), what OpenAI's own tools did, what was said, drawn and called.
fn in_order(answer: &str, message: &Message, all: &Said) -> Vec<Value> {
    let items: Vec<Hosted> = Hosted::items(&message.hosted_items).collect();
    let (text, blocks) = (message.thoughts(), &message.thinking_blocks[..]);
    let (mut output, mut begun, mut tokens) = (vec![], None, &all.logprobs[..]);
    if blocks.is_empty() && !text.is_empty() {
        output.push(reasoning(answer, 0, text, &[]));
    }
    for piece in pieces(Some(Protocol::Responses), &items, &message.fields(&all.text)) {
        let at = output.len();
        output.extend(match piece {
            Piece::Thoughts(these) if these.len() == blocks.len() => Some(reasoning(answer, at, text, blocks)),
            Piece::Thoughts(these) => Some(reasoning(answer, at, "", &blocks[these])),
            Piece::Message(mark) => {
                begun = Some(mark);
                None
            }
            Piece::Text(these) => {
                let parts = vec![all.within(&these, &mut tokens).part()];
                Some(marked(said(answer, at, "completed", parts), begun.take()))
            }
            Piece::Picture(i, mark) => picture(answer, at, &message.images[i]).map(|item| marked(item, mark)),
            Piece::Call(i, mark) => Some(marked(called(answer, at, &message.tool_calls[i], "completed"), mark)),
            Piece::Item(is) => Some(is.clone()),
        });
    }
    output
}

/// A refusal is a part of the message before it, if there is one.
fn refuse(answer: &str, output: &mut Vec<Value>, refusal: &str) {
    let part = json!({"type": "refusal", "refusal": refusal});
    let message = output.iter_mut().rfind(|item| item["type"] == "message");
    match message.and_then(|message| message["content"].as_array_mut()) {
        Some(parts) => parts.push(part),
        None => output.push(said(answer, output.len(), "completed", vec![part])),
    }
}

/// Thoughts; what their provider wants back travels as the encrypted content, which clients return untouched.
pub(super) fn reasoning(answer: &str, at: usize, text: &str, blocks: &[Value]) -> Value {
    let shown = shown(blocks);
    let text = if text.is_empty() { &shown } else { text };
    let summary = if text.is_empty() { json!([]) } else { json!([{"type": "summary_text", "text": text}]) };
    let mut item = json!({"type": "reasoning", "id": item_id("rs", answer, at), "summary": summary});
    if !blocks.is_empty() {
        item["encrypted_content"] = json!(blocks).to_string().into();
    }
    item
}

/// What may be read of them.
pub(super) fn shown(blocks: &[Value]) -> String {
    let texts = blocks.iter().filter_map(|block| block["thinking"].as_str()).filter(|text| !text.is_empty());
    texts.collect::<Vec<_>>().join("\n")
}

pub(super) fn said(answer: &str, at: usize, status: &str, parts: Vec<Value>) -> Value {
    json!({"type": "message", "id": item_id("msg", answer, at), "status": status, "role": "assistant", "content": parts})
}

/// The kinds of sources that a response's annotations have: more than a chat's.
const ANNOTATIONS: [&str; 4] = ["container_file_citation", "file_citation", "file_path", "url_citation"];

/// A text, and what is known of it.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) text: String,
    /// Where in all of the answer's text it begins, characters: its sources count from there.
    pub(super) from: usize,
    /// A chat's `annotations` and `citations`.
    pub(super) sources: Vec<Value>,
    /// A chat's `logprobs.content`.
    pub(super) logprobs: Vec<Value>,
    /// Of its message, and what else stands there.
    pub(super) mark: Option<Value>,
}

impl Said {
    /// What a message says, taken from it.
    pub(super) fn of(message: &mut Message, logprobs: Vec<Value>) -> Self {
        let (text, annotations) = (std::mem::take(&mut message.content), std::mem::take(&mut message.annotations));
        let sources = annotations.into_iter().chain(std::mem::take(&mut message.citations)).collect();
        Self { text, sources, logprobs, ..Self::default() }
    }

    /// As a part of a message. Sources that are not among OpenAI's annotations stand beside them, as they do in a chat.
    pub(super) fn part(&self) -> Value {
        let sources = self.sources.iter().filter_map(|source| flat(source, self.from));
        let is_known = |source: &Value| ANNOTATIONS.iter().any(|kind| source["type"] == *kind);
        let (annotations, citations): (Vec<_>, Vec<_>) = sources.partition(is_known);
        let logprobs = logprobs(&self.logprobs);
        let mut part =
            json!({"type": "output_text", "text": self.text, "annotations": annotations, "logprobs": logprobs});
        if !citations.is_empty() {
            part["citations"] = citations.into();
        }
        part
    }

    /// These characters of it, with so many of the `tokens` that are left. A source that does not say what rests on it
    /// belongs to the last ones.
    pub(super) fn within(&self, these: &Range<usize>, tokens: &mut &[Value]) -> Self {
        let length = self.text.chars().count();
        let is_last = these.end == length;
        let place = |at: usize| at.saturating_sub(self.from).min(length.saturating_sub(1));
        let sources =
            self.sources.iter().filter(|source| begins(source).map_or(is_last, |at| these.contains(&place(at))));
        let own = if is_last { tokens.len() } else { covering(these.len(), tokens) };
        let (own, left) = tokens.split_at(own);
        *tokens = left;
        Self {
            text: characters(&self.text, these),
            from: self.from + these.start,
            sources: sources.cloned().collect(),
            logprobs: own.to_vec(),
            mark: None,
        }
    }
}

/// How many of these tokens make so many characters.
fn covering(characters: usize, tokens: &[Value]) -> usize {
    let mut told = 0;
    let fits = |token: &&Value| {
        let more = told < characters;
        told += token["token"].as_str().map_or(0, |text| text.chars().count());
        more
    };
    tokens.iter().take_while(fits).count()
}

/// The first character that rests on a source; `None`: it does not say.
fn begins(source: &Value) -> Option<usize> {
    let place = said_of(source)?;
    let (from, to) = (place["start_index"].as_u64()?, place["end_index"].as_u64()?);
    usize::try_from(from).ok().filter(|_| from < to)
}

/// A chat's log probabilities; a token's bytes, which may be null there, are a list here.
pub(super) fn logprobs(chat: &[Value]) -> Value {
    let token = |token: &Value| {
        let bytes = token["bytes"].as_array().cloned().unwrap_or_default();
        json!({"token": token["token"], "logprob": token["logprob"], "bytes": bytes})
    };
    let with_others = |chosen: &Value| {
        let mut json = token(chosen);
        json["top_logprobs"] = chosen["top_logprobs"].as_array().into_iter().flatten().map(token).collect();
        json
    };
    chat.iter().map(with_others).collect()
}

/// A chat's annotation keeps its fields in an object named after its type; here they stand beside the type. It counts in
/// the whole of the answer's text, and here in the text that begins at character `from` of it. `None`: it says nothing.
fn flat(annotation: &Value, from: usize) -> Option<Value> {
    let mut flat = said_of(annotation)?.as_object()?.clone();
    for name in ["start_index", "end_index"] {
        if let Some(index) = flat.get(name).and_then(Value::as_u64) {
            flat.insert(name.into(), index.saturating_sub(from as u64).into());
        }
    }
    flat.extend(annotation.get("type").map(|kind| ("type".to_owned(), kind.clone())));
    Some(flat.into())
}

/// A picture that a model made; OpenAI's own models make theirs with a tool, whose item this is. `None`: there are no
/// bytes of it.
pub(super) fn picture(answer: &str, at: usize, image: &Value) -> Option<Value> {
    let url = image["image_url"]["url"].as_str()?;
    let (media_type, data) = url.strip_prefix("data:")?.split_once(";base64,")?;
    let item = json!({
        "type": "image_generation_call",
        "id": item_id("ig", answer, at),
        "status": "completed",
        "output_format": media_type.trim_start_matches("image/"),
        "result": data,
    });
    Some(with(item, "extra_content", image.get("extra_content")))
}

/// A call of a function or of a custom tool.
pub(super) fn called(answer: &str, at: usize, call: &Call, status: &str) -> Value {
    let (kind, argument) =
        if call.custom.is_some() { ("custom_tool_call", "input") } else { ("function_call", "arguments") };
    json!({
        "type": kind,
        "id": call_item_id(answer, at, call),
        "call_id": call.id.as_deref().unwrap_or_default(),
        "name": call.name().unwrap_or_default(),
        argument: call.text(),
        "status": status,
    })
}

pub(super) fn call_item_id(answer: &str, at: usize, call: &Call) -> String {
    item_id(if call.custom.is_some() { "ctc" } else { "fc" }, answer, at)
}

fn usage_json(usage: WireUsage) -> Value {
    json!({
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens(),
            "cache_write_tokens": usage.cache_write_tokens(),
        },
        "output_tokens": usage.output_tokens(),
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens()},
        "total_tokens": u64::from(usage.prompt_tokens) + u64::from(usage.output_tokens()),
    })
}
