//! `POST /v1/chat/completions`: OpenAI's request and reply.
//!
//! A request is read once. The fields that decide something are parsed; every other one is kept as the bytes it came
//! in, so that forwarding a request changes nothing that the gateway did not mean to change.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use compact_str::CompactString;
use memchr::memmem;
use serde::de::{self, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::BadRequest;
use super::halves;
pub use super::lengths::Calls;
use super::lengths::{File, Given, Length, Thoughts, Written};
use super::usage::WireUsage;
use super::words::{self, Words};

/// A chat completion request: what the gateway reads of it, and the whole as it came.
#[derive(Debug, Clone)]
pub struct ChatRequest {
    /// A route, a model, or `provider/model`.
    pub model: String,
    pub messages: Vec<Message>,
    pub stream: bool,
    /// The client itself asked for usage at the end of its stream.
    pub include_usage: bool,
    pub needs: Needs,
    /// `max_completion_tokens`, else `max_tokens`.
    pub max_output_tokens: Option<u32>,
    /// `drop_unsupported`: what the model's provider cannot express is to be left out, not refused. The gateway's own
    /// field: no provider sees it.
    pub drop_unsupported: bool,
    /// Every field in the client's order, as raw JSON.
    fields: Vec<(CompactString, Bytes)>,
    /// Of the names that are looked for, those in any of [`WORDY`].
    words: Words,
}

/// What a model must be able to do to answer a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    pub tools: bool,
    /// Pictures go in, or shall come out.
    pub vision: bool,
    /// The same of sound.
    pub audio: bool,
    /// `response_format: json_schema`.
    pub json_schema: bool,
    /// `response_format: json_object` or `json_schema`.
    pub json: bool,
}

impl Needs {
    /// Nothing but text goes in and comes out: who reads request and reply as text has read all of it.
    pub fn is_text(self) -> bool {
        !(self.tools || self.vision || self.audio)
    }
}

/// One message; fields beyond these stay in the request's raw `messages`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(expecting = "an object")]
pub struct Message {
    pub role: CompactString,
    #[serde(default)]
    pub content: Content,
    #[serde(default)]
    pub tool_calls: Calls,
    #[serde(default, deserialize_with = "lenient")]
    function_call: Option<Given>,
    #[serde(default)]
    reasoning_content: Length,
    #[serde(default)]
    reasoning: Length,
    #[serde(default)]
    thinking_blocks: Thoughts,
    #[serde(default)]
    hosted_items: Written,
}

impl Message {
    /// What a model reads of it, as bytes of text: with what calls were given, thoughts (once, though they may be there in
    /// several forms), files, and what tools did that a provider runs. Pictures and sound are not among it.
    pub fn length(&self) -> usize {
        let calls = self.tool_calls.length + self.function_call.map_or(0, Given::length);
        let thoughts = self.thinking_blocks.0.max(self.reasoning_content.0).max(self.reasoning.0);
        self.content.text.len() + self.content.files + calls + thoughts + self.hosted_items.0
    }
}

/// The text of a message and the kinds of its other parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// All text parts, joined by a newline.
    pub text: String,
    /// Whether there are parts that are no text.
    pub has_others: bool,
    pub images: u32,
    pub audio: u32,
    /// Of the text in its files, about, bytes.
    files: usize,
}

impl ChatRequest {
    /// Reads a request body.
    ///
    /// # Errors
    /// Names the field that is missing or of the wrong kind, and what would be right.
    pub fn parse(body: &Bytes) -> Result<Self, BadRequest> {
        Self::from_fields(parse_fields(body)?)
    }

    /// A request of these top-level fields, each with its raw JSON: what another client protocol was translated to.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn from_fields(fields: Vec<(CompactString, Bytes)>) -> Result<Self, BadRequest> {
        let model = asked_model(&fields)?;
        let messages = messages(&fields)?;
        let stream = optional(&fields, "stream", "true or false")?.unwrap_or(false);
        let options: StreamOptions = optional(&fields, "stream_options", "an object")?.unwrap_or_default();
        let limit: Option<u32> = optional(&fields, "max_completion_tokens", "a positive integer")?;
        let old_limit: Option<u32> = optional(&fields, "max_tokens", "a positive integer")?;
        let needs = needs(&fields, &messages)?;
        Ok(Self {
            model,
            messages,
            stream,
            include_usage: options.include_usage,
            needs,
            max_output_tokens: limit.or(old_limit),
            drop_unsupported: optional(&fields, "drop_unsupported", "true or false")?.unwrap_or(false),
            words: WORDY
                .iter()
                .filter_map(|name| find(&fields, name))
                .fold(Words::default(), |words, raw| words.with(Words::of(raw))),
            fields,
        })
    }

    /// The same request for an answer that comes whole.
    #[must_use]
    pub fn whole(mut self) -> Self {
        self.fields.retain(|(name, _)| name != "stream" && name != "stream_options");
        Self { stream: false, include_usage: false, ..self }
    }

    /// The raw JSON of a top-level field, as the client sent it.
    pub fn raw(&self, name: &str) -> Option<&Bytes> {
        find(&self.fields, name)
    }

    /// The raw JSON of a top-level field, if something in it is called `name`: a field or a value. Nothing is read for what
    /// is not there.
    pub fn raw_with(&self, field: &str, name: &str) -> Option<&Bytes> {
        if !self.words.may_have(name) {
            return None;
        }
        self.raw(field).filter(|raw| words::occurs(name, raw))
    }

    /// Every top-level field and its raw JSON, in the client's order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// A top-level field, read; `None` where it is missing or null.
    ///
    /// # Errors
    /// It is not what was `expected`, which the message says.
    pub fn field<'a, T: Deserialize<'a>>(
        &'a self,
        name: &'static str,
        expected: &str,
    ) -> Result<Option<T>, BadRequest> {
        optional(&self.fields, name, expected)
    }

    /// The body for an upstream that speaks this wire: the client's own bytes with `model` replaced, other `messages`
    /// where there are some, and, for a stream, usage asked for. Other stream options stay; what is for the gateway
    /// alone does not.
    pub fn forward(&self, upstream_model: &str, messages: Option<&[u8]>) -> Bytes {
        let options = self.usage_options();
        let written_anew = |name: &str| name == "stream_options" && options.is_some();
        let kept = self.fields().filter(|(name, _)| !OWN.contains(name) && !ROUTING.contains(name));
        let kept = kept.filter(|(name, _)| !written_anew(name));
        let kept = kept.map(|(name, value)| match (name, messages) {
            ("messages", Some(messages)) => (name, messages),
            _ => (name, &value[..]),
        });
        body(upstream_model, self.size(), kept.chain(options.as_deref().map(|options| ("stream_options", options))))
    }

    /// One answer is asked for.
    pub fn is_single(&self) -> bool {
        self.raw("n").is_none_or(|n| matches!(&n[..], b"1" | b"null"))
    }

    /// The fields and their values together, bytes: what [`body`] makes of them is about as long.
    pub fn size(&self) -> usize {
        self.fields.iter().map(|(name, value)| name.len() + value.len() + 6).sum()
    }

    /// `stream_options` that ask for usage too; `None` where nothing is streamed.
    pub fn usage_options(&self) -> Option<Vec<u8>> {
        if !self.stream {
            return None;
        }
        let asked = self.raw("stream_options").and_then(|raw| serde_json::from_slice(raw).ok());
        let mut options: serde_json::Map<String, serde_json::Value> = asked.unwrap_or_default();
        options.insert("include_usage".into(), true.into());
        serde_json::to_vec(&options).ok()
    }

    /// The same, but that what its provider cannot express is left out if `drop`. What the request itself says holds.
    #[must_use]
    pub fn or_drop_unsupported(self, drop: bool) -> Self {
        if !drop || says(&self.fields, "drop_unsupported") {
            return self;
        }
        // As its field too, in which it differs from a request that nothing is left out of.
        let field = Some(Bytes::from_static(b"true"));
        Self { drop_unsupported: true, ..self }.with_field("drop_unsupported", field)
    }

    /// With another value of a top-level field, or without it.
    #[must_use]
    pub fn with_field(mut self, name: &str, value: Option<Bytes>) -> Self {
        self.words = self.words.with(value.as_deref().map(Words::of).unwrap_or_default());
        set(&mut self.fields, name, value);
        self
    }
}

/// Fields that are written anew for each upstream, or that no upstream of this wire sees.
pub const OWN: [&str; 14] = [
    "model",
    "client_metadata",
    "drop_unsupported",
    "reasoning_summary",
    "responses_reasoning",
    "anthropic_beta",
    "claude_effort",
    "claude_fields",
    "claude_search",
    "claude_thinking",
    "claude_user",
    "hosted",
    "include",
    "max_tool_calls",
];

/// Where the words of a protocol may stand.
const WORDY: [&str; 3] = ["messages", "tools", "tool_choice"];

/// Fields that say who may answer: the gateway's to read.
pub const ROUTING: [&str; 2] = ["models", "provider"];

/// A request body of these fields for a model; `size` is about how many bytes they are.
pub fn body<'a>(upstream_model: &str, size: usize, fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Bytes {
    let mut out = BytesMut::with_capacity(size + upstream_model.len() + 64);
    out.put_slice(b"{\"model\":");
    put_json(&mut out, upstream_model);
    for (name, value) in fields {
        put_field(&mut out, name, value);
    }
    out.put_u8(b'}');
    out.freeze()
}

/// A whole reply or one chunk of a stream, as far as the gateway reads it. The client gets the upstream's own bytes.
#[derive(Debug, Default, Deserialize)]
pub struct ChatReply<'a> {
    #[serde(default)]
    pub choices: Option<Vec<Choice>>,
    /// `None` also where the upstream's `usage` is not of OpenAI's form: the answer is then none the worse.
    #[serde(default, deserialize_with = "lenient")]
    usage: Option<WireUsage>,
    /// Some upstreams answer 200 with an error inside.
    #[serde(default, borrow)]
    error: Option<&'a RawValue>,
    /// What vLLM's errors say, in place of `error`.
    #[serde(default, borrow)]
    message: Option<&'a RawValue>,
    /// The same of servers that are made with FastAPI.
    #[serde(default, borrow)]
    detail: Option<&'a RawValue>,
}

impl ChatReply<'_> {
    /// Also where Moonshot's streams have it: in a choice.
    pub fn usage(&self) -> Option<WireUsage> {
        self.usage.or_else(|| self.choices.iter().flatten().find_map(|choice| choice.usage))
    }

    /// Whether it is an error where an answer should be.
    pub fn is_error(&self) -> bool {
        let says_nothing_else = self.choices.is_none() && self.usage.is_none();
        self.error.is_some() || (says_nothing_else && (self.message.is_some() || self.detail.is_some()))
    }
}

/// One of `n` answers; in a stream, one piece of it (`delta`).
#[derive(Debug, Default, Deserialize)]
pub struct Choice {
    #[serde(default)]
    pub index: Option<u32>,
    /// What a whole answer says. Some servers send both this and `delta`, the one that is not meant as null or empty.
    #[serde(default)]
    pub message: Option<ReplyMessage>,
    /// What a chunk says.
    #[serde(default)]
    pub delta: Option<ReplyMessage>,
    /// Why it ended; `None` also where that is empty, which some servers have in each chunk before the last.
    #[serde(default, deserialize_with = "word")]
    pub finish_reason: Option<String>,
    /// OpenRouter's: what broke it off.
    #[serde(default)]
    pub error: Option<serde_json::Value>,
    #[serde(default, deserialize_with = "lenient")]
    usage: Option<WireUsage>,
}

/// The text of an answer or of a piece of it.
#[derive(Debug, Default, Deserialize)]
pub struct ReplyMessage {
    #[serde(default)]
    pub content: Content,
    #[serde(default)]
    pub refusal: Option<String>,
    #[serde(default)]
    pub tool_calls: Calls,
    #[serde(default)]
    reasoning_content: Length,
    #[serde(default)]
    reasoning: Length,
}

impl ReplyMessage {
    /// What the model wrote for it, bytes: its text, its thoughts (which some servers send under both of their names) and
    /// what its calls are given.
    pub fn length(&self) -> usize {
        let refusal = self.refusal.as_ref().map_or(0, String::len);
        self.content.text.len() + refusal + self.reasoning_content.0.max(self.reasoning.0) + self.tool_calls.length
    }
}

/// A chunk without its `usage`, where it has one: of a stream whose client did not ask for it.
pub fn without_usage(chunk: Bytes) -> Bytes {
    if !says_usage(&chunk) {
        return chunk;
    }
    match parse_fields(&chunk) {
        Ok(fields) if find(&fields, "usage").is_some() => {
            let mut out = BytesMut::with_capacity(chunk.len());
            for (name, value) in fields.iter().filter(|(name, _)| name != "usage") {
                out.put_u8(if out.is_empty() { b'{' } else { b',' });
                put_json(&mut out, name);
                out.put_u8(b':');
                out.put_slice(value);
            }
            out.put_slice(if out.is_empty() { b"{}" } else { b"}" });
            out.freeze()
        }
        _ => chunk,
    }
}

/// Whether a field `usage` that is not null is anywhere in it; OpenAI's chunks all have one that is.
fn says_usage(chunk: &[u8]) -> bool {
    const NAME: &[u8] = b"\"usage\"";
    memmem::find_iter(chunk, NAME).any(|at| {
        let value = chunk[at + NAME.len()..].trim_ascii_start().strip_prefix(b":");
        value.is_some_and(|value| !value.trim_ascii_start().starts_with(b"null"))
    })
}

#[derive(Default, Deserialize)]
#[serde(expecting = "an object")]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// Top-level fields of a request at most; OpenAI's API knows about 40. A name is looked up by walking the list.
const MAX_FIELDS: usize = 256;

/// The top level of a JSON object in its own order; a name given twice keeps its last value, as JSON parsers do.
struct Fields<'a>(Vec<(CompactString, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields: Vec<(CompactString, &RawValue)> = Vec::with_capacity(12);
                while let Some((name, value)) = map.next_entry::<CompactString, &RawValue>()? {
                    fields.retain(|(seen, _)| *seen != name);
                    fields.push((name, value));
                    if fields.len() > MAX_FIELDS {
                        return Err(de::Error::custom(format_args!("it has more than {MAX_FIELDS} fields")));
                    }
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

/// A content is a string, null, or a list of parts.
struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a string, null, or a list of content parts")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Content, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Content, E> {
        Ok(Content { text, ..Content::default() })
    }

    fn visit_unit<E: de::Error>(self) -> Result<Content, E> {
        Ok(Content::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Content, A::Error> {
        let mut content = Content::default();
        while let Some(part) = parts.next_element::<Part>()? {
            content.push(part);
        }
        Ok(content)
    }
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    file: File,
    /// All of a part that one protocol alone has.
    #[serde(default)]
    hosted: Written,
}

impl Content {
    fn push(&mut self, part: Part) {
        self.files += part.file.0 + part.hosted.0;
        match part.kind.as_str() {
            "image_url" => self.images += 1,
            "input_audio" => self.audio += 1,
            _ => {}
        }
        self.has_others |= part.kind != "text";
        if let Some(text) = part.text {
            if !self.text.is_empty() {
                self.text.push('\n');
            }
            self.text.push_str(&text);
        }
    }
}

/// `model`, else the first of `models`.
fn asked_model(fields: &[(CompactString, Bytes)]) -> Result<String, BadRequest> {
    let expected = "a route such as \"auto\", a model, or provider/model";
    if let Some(named) = optional(fields, "model", expected)? {
        return Ok(named);
    }
    let listed: Option<Vec<String>> = optional(fields, "models", "a list of models")?;
    let first = listed.and_then(|models| models.into_iter().next());
    first.map_or_else(|| required(fields, "model", expected), Ok)
}

/// `messages`; what is wrong in one of them is said of that one.
fn messages(fields: &[(CompactString, Bytes)]) -> Result<Vec<Message>, BadRequest> {
    let messages: Vec<Message> = required(fields, "messages", "a list of {role, content}")
        .map_err(|whole| find(fields, "messages").and_then(|raw| wrong_message(raw)).unwrap_or(whole))?;
    if messages.is_empty() {
        return Err(BadRequest::field("messages", "messages is empty; send at least one message"));
    }
    Ok(messages)
}

/// The first message that cannot be read.
fn wrong_message(raw: &[u8]) -> Option<BadRequest> {
    let each: Vec<&RawValue> = serde_json::from_slice(raw).ok()?;
    let problem = |raw: &RawValue| serde_json::from_str::<Message>(raw.get()).err();
    let (i, error) = each.into_iter().enumerate().find_map(|(i, raw)| Some((i, problem(raw)?)))?;
    let text = match halves::replaced(raw) {
        Some(_) => {
            format!("messages[{i}] ends in half a character, or begins with one (such as \\ud83d); send both halves")
        }
        None => format!("messages[{i}] must be {{role, content}}: {}", unplaced(&error)),
    };
    Some(BadRequest::field("messages", text))
}

/// The top-level fields of a body, unread, in its order.
pub(super) fn parse_fields(body: &Bytes) -> Result<Vec<(CompactString, Bytes)>, BadRequest> {
    let text = std::str::from_utf8(body).map_err(BadRequest::no_text)?;
    let Fields(raw) = serde_json::from_str(text).map_err(|e| BadRequest::no_object(body, &e))?;
    Ok(raw.into_iter().map(|(name, value)| (name, body.slice_ref(value.get().as_bytes()))).collect())
}

fn needs(fields: &[(CompactString, Bytes)], messages: &[Message]) -> Result<Needs, BadRequest> {
    #[derive(Deserialize)]
    #[serde(expecting = "an object")]
    struct ResponseFormat {
        #[serde(rename = "type")]
        kind: String,
    }
    let tools: Option<Vec<IgnoredAny>> = optional(fields, "tools", "a list of tools")?;
    let functions: Option<Vec<IgnoredAny>> = optional(fields, "functions", "a list of functions")?;
    let format: Option<ResponseFormat> = optional(fields, "response_format", "an object with a `type`")?;
    let format = format.map_or(String::new(), |f| f.kind);
    // Not of the expected form: the provider's to judge.
    let wanted: Vec<String> = optional(fields, "modalities", "a list").ok().flatten().unwrap_or_default();
    let wants = |modality: &str| wanted.iter().any(|wanted| wanted == modality);
    Ok(Needs {
        tools: tools.or(functions).is_some_and(|tools| !tools.is_empty()) || messages.iter().any(|m| m.tool_calls.any),
        vision: wants("image") || messages.iter().any(|m| m.content.images > 0),
        audio: wants("audio") || messages.iter().any(|m| m.content.audio > 0),
        json_schema: format == "json_schema",
        json: format == "json_schema" || format == "json_object",
    })
}

pub(super) fn find<'a>(fields: &'a [(CompactString, Bytes)], name: &str) -> Option<&'a Bytes> {
    fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
}

/// Gives it another value, or takes it out.
pub(super) fn set(fields: &mut Vec<(CompactString, Bytes)>, name: &str, value: Option<Bytes>) {
    fields.retain(|(field, _)| field != name);
    fields.extend(value.map(|value| (name.into(), value)));
}

/// Whether it is there, and not null.
pub(super) fn says(fields: &[(CompactString, Bytes)], name: &str) -> bool {
    find(fields, name).is_some_and(|raw| &raw[..] != b"null")
}

pub(super) fn optional<'a, T: Deserialize<'a>>(
    fields: &'a [(CompactString, Bytes)],
    name: &'static str,
    expected: &str,
) -> Result<Option<T>, BadRequest> {
    let Some(raw) = find(fields, name) else {
        return Ok(None);
    };
    // As text, which it is: of bytes, serde would look at each string in it again.
    let read = std::str::from_utf8(raw).map_or_else(|_| serde_json::from_slice(raw), serde_json::from_str);
    read.map_err(|e| BadRequest::field(name, format!("{name} must be {expected}: {}", unplaced(&e))))
}

/// The error without its line and column: they count from the beginning of a field, which nobody sees.
pub(super) fn unplaced(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.truncate(text.strip_suffix(&place).map_or(text.len(), str::len));
    text
}

pub(super) fn required<'a, T: Deserialize<'a>>(
    fields: &'a [(CompactString, Bytes)],
    name: &'static str,
    expected: &str,
) -> Result<T, BadRequest> {
    optional(fields, name, expected)?
        .ok_or_else(|| BadRequest::field(name, format!("{name} is missing; give {expected}")))
}

/// A value of the form that is hoped for, or `None`: a surprise in a side field does not make the whole unreadable.
pub(super) fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).ok())
}

/// The same for a field that says nothing by default, also within what serde reads twice, such as a tagged enum.
pub(crate) fn forgiving<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    Ok(serde_json::from_value(serde_json::Value::deserialize(deserializer)?).unwrap_or_default())
}

/// A text that may be null; an empty one says as little.
pub(super) fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|word| !word.is_empty()))
}

fn put_field(out: &mut BytesMut, name: &str, value: &[u8]) {
    out.put_u8(b',');
    put_json(out, name);
    out.put_u8(b':');
    out.put_slice(value);
}

/// Strings and maps of JSON values always serialise, and `BytesMut` takes what it is given.
fn put_json<T: Serialize + ?Sized>(out: &mut BytesMut, value: &T) {
    let written = serde_json::to_writer(out.writer(), value);
    debug_assert!(written.is_ok());
}
