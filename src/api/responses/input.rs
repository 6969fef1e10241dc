//! A response's `input`, item by item → a chat's messages.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::api::conversation::{Hosted, Marks, Protocol, Signatures, is_signed, mark, tells_more};
use crate::api::error::BadRequest;
use crate::api::fields::with;

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", expecting = "an object")]
enum Item {
    Message {
        role: String,
        content: Content,
        #[serde(default)]
        extra_content: Value,
    },
    FunctionCall {
        call_id: String,
        name: String,
        arguments: String,
    },
    CustomToolCall {
        call_id: String,
        name: String,
        input: String,
    },
    #[serde(alias = "custom_tool_call_output")]
    FunctionCallOutput {
        call_id: String,
        output: Content,
    },
    Reasoning {
        #[serde(default)]
        encrypted_content: Option<String>,
        #[serde(default)]
        summary: Option<Vec<ThoughtText>>,
        #[serde(default)]
        content: Option<Vec<ThoughtText>>,
    },
    /// A picture that a model made before.
    ImageGenerationCall {
        #[serde(default)]
        result: Option<String>,
        #[serde(default)]
        output_format: Option<String>,
        #[serde(default)]
        extra_content: Value,
    },
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "its text must be a string or a list of input_text, output_text, refusal, input_image, input_file and input_audio"
)]
enum Content {
    Text(String),
    Parts(Vec<MarkedPart>),
}

#[derive(Deserialize)]
struct ThoughtText {
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct MarkedPart {
    #[serde(flatten)]
    part: Part,
    /// Up to here the provider may keep its work on the prompt.
    #[serde(default)]
    prompt_cache_breakpoint: Value,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part {
    #[serde(alias = "output_text", alias = "text", alias = "summary_text")]
    InputText {
        text: String,
    },
    Refusal {
        refusal: String,
    },
    InputImage {
        #[serde(default)]
        image_url: Option<String>,
        #[serde(default)]
        detail: Option<String>,
    },
    InputFile {
        #[serde(default, alias = "file_url")]
        file_data: Option<String>,
        #[serde(default)]
        file_id: Option<String>,
        #[serde(default)]
        filename: Option<String>,
    },
    InputAudio {
        input_audio: Value,
    },
}

/// What a chat has something of. Anything else is between OpenAI's own wire and its clients: it goes back as it is.
const KNOWN: [&str; 7] = [
    "custom_tool_call",
    "custom_tool_call_output",
    "function_call",
    "function_call_output",
    "image_generation_call",
    "message",
    "reasoning",
];

/// A chat's messages so far.
pub(super) struct Messages {
    out: Vec<Value>,
    /// Of the last message, where it is the assistant's.
    marks: Marks,
    signatures: Signatures,
    /// What was thought before what the assistant says or does next.
    thoughts: String,
}

impl Messages {
    /// None yet.
    pub(super) fn new() -> Self {
        let (marks, signatures) = (Marks::new(Protocol::Responses), Signatures::default());
        Self { out: vec![], marks, signatures, thoughts: String::new() }
    }

    /// One more, of someone else than the assistant.
    pub(super) fn put(&mut self, message: Value) {
        self.thoughts.clear();
        self.out.push(message);
    }

    /// The messages as a chat has them.
    pub(super) fn into_json(self) -> Value {
        self.out.into()
    }

    /// What an item says becomes part of them. `place`: where it stands.
    ///
    /// # Errors
    /// Names what of it cannot be said in a chat.
    pub(super) fn add(&mut self, mut raw: Value, place: &str) -> Result<(), BadRequest> {
        if refers(&raw) {
            let problem = "refers to an item, and the gateway keeps none; send the item itself, as it stood in `output` \
                           (the Vercel AI SDK does where `providerOptions.openai.store` is false)";
            return Err(BadRequest::field(place.to_owned(), format!("{place} {problem}")));
        }
        if let Some(object) = raw.as_object_mut() {
            object.entry("type").or_insert_with(|| "message".into());
        }
        let kind = raw["type"].as_str().unwrap_or("unknown").to_owned();
        if raw["type"].is_string() && !KNOWN.contains(&&*kind) {
            self.did(raw);
            return Ok(());
        }
        let mark = mark(&raw);
        let item = Item::deserialize(raw).map_err(|e| {
            let message = format!("{place} (of type \"{kind}\") cannot be translated for a chat: {e}");
            BadRequest::field(place.to_owned(), message)
        })?;
        self.item(item, mark, place)
    }

    fn item(&mut self, item: Item, mark: Value, place: &str) -> Result<(), BadRequest> {
        match item {
            Item::Message { role, content, extra_content } if role == "assistant" => {
                self.spoke(parts(content, place)?, extra_content, mark);
            }
            Item::Message { role, content, .. } => self.put(json!({"role": role, "content": parts(content, place)?})),
            Item::FunctionCall { call_id, name, arguments } => {
                let function = json!({"name": name, "arguments": arguments});
                self.called(json!({"id": call_id, "type": "function", "function": function}), mark);
            }
            Item::CustomToolCall { call_id, name, input } => {
                let custom = json!({"name": name, "input": input});
                self.called(json!({"id": call_id, "type": "custom", "custom": custom}), mark);
            }
            Item::FunctionCallOutput { call_id, output } => {
                let own = tells_more(&mark).then(|| json!([Hosted::item(Protocol::Responses, mark, 0, 0)]));
                let message = json!({"role": "tool", "tool_call_id": call_id, "content": parts(output, place)?});
                self.put(with(message, "hosted_items", own.as_ref()));
            }
            Item::Reasoning { encrypted_content, summary, content } => {
                let shown = content.filter(|content| !content.is_empty()).or(summary).into_iter().flatten();
                self.thought(shown.map(|part| part.text).collect(), encrypted_content.as_deref());
            }
            Item::ImageGenerationCall { result: Some(data), output_format, extra_content } => {
                let (message, marks) = self.speaker(|_| true);
                let image = drawn(&data, output_format.as_deref());
                append(message, "images", [with(image, "extra_content", Some(&extra_content))]);
                append(message, "hosted_items", marks.tell(mark));
            }
            Item::ImageGenerationCall { result: None, .. } => {}
        }
        Ok(())
    }

    /// Words, and what their provider wants back with them.
    fn spoke(&mut self, content: Value, extra: Value, mark: Value) {
        let (message, marks) = self.speaker(is_open);
        let (pause, told) = marks.message(mark);
        marks.say(length(&content));
        append(message, "hosted_items", told);
        if !extra.is_null() {
            message["extra_content"] = extra;
        }
        message["content"] = match message["content"].take() {
            Value::Null => content,
            before => {
                let more = [pause.into(), content].into_iter().filter(|more| *more != "");
                let mut all = as_parts(before);
                all.extend(more.flat_map(as_parts));
                all.into()
            }
        };
    }

    fn called(&mut self, call: Value, mark: Value) {
        let call = self.signatures.sign(call);
        let (message, marks) = self.speaker(|_| true);
        append(message, "tool_calls", [call]);
        append(message, "hosted_items", marks.call(mark));
    }

    /// Thoughts whose blocks came along as their encrypted content. Those that nobody signed stand where those read them
    /// who sign none.
    fn thought(&mut self, shown: String, encrypted: Option<&str>) {
        let blocks: Vec<Value> = encrypted.and_then(|kept| serde_json::from_str(kept).ok()).unwrap_or_default();
        let blocks: Vec<Value> = blocks.into_iter().filter_map(|block| self.signatures.keep(block)).collect();
        if !blocks.iter().any(is_signed) {
            self.thoughts += &shown;
        }
        if !blocks.is_empty() {
            let (message, marks) = self.speaker(is_open);
            append(message, "hosted_items", marks.think(blocks.len()));
            append(message, "thinking_blocks", blocks);
        }
        let details = self.signatures.details();
        if !details.is_empty() {
            append(self.speaker(|_| true).0, "reasoning_details", details);
        }
    }

    /// What a chat has nothing of: after a text it begins a message of its own.
    fn did(&mut self, item: Value) {
        let (message, marks) = self.speaker(is_open);
        append(message, "hosted_items", marks.tell(item));
    }

    /// The assistant's message that an item belongs to: the last one, if it is the assistant's and `open` to it.
    fn speaker(&mut self, open: impl Fn(&Value) -> bool) -> (&mut Value, &mut Marks) {
        if !self.out.last().is_some_and(|last| last["role"] == "assistant" && open(last)) {
            self.out.push(json!({"role": "assistant", "content": null}));
            self.marks = Marks::new(Protocol::Responses);
        }
        let last = self.out.len() - 1;
        let message = &mut self.out[last];
        if !self.thoughts.is_empty() {
            let before = message["reasoning_content"].as_str().unwrap_or_default().to_owned();
            message["reasoning_content"] = (before + &std::mem::take(&mut self.thoughts)).into();
        }
        (message, &mut self.marks)
    }
}

/// Nothing is said yet, or tools are called: their results must follow the message with the calls, and so all that comes
/// before them is a part of it.
fn is_open(message: &Value) -> bool {
    message["content"].is_null() || message["tool_calls"].is_array()
}

/// To an item in OpenAI's store; its type may be left out.
fn refers(item: &Value) -> bool {
    let is_message = item["role"].is_string() || item.get("content").is_some();
    item["type"] == "item_reference" || (item["type"].is_null() && item["id"].is_string() && !is_message)
}

fn drawn(data: &str, format: Option<&str>) -> Value {
    let url = format!("data:image/{};base64,{data}", format.unwrap_or("png"));
    json!({"type": "image_url", "image_url": {"url": url}})
}

/// Adds to a list of a message, where there is something to add.
fn append(message: &mut Value, list: &str, more: impl IntoIterator<Item = Value>) {
    let more: Vec<Value> = more.into_iter().collect();
    match message.get_mut(list).and_then(Value::as_array_mut) {
        Some(items) => items.extend(more),
        None if more.is_empty() => {}
        None => message[list] = more.into(),
    }
}

fn as_parts(content: Value) -> Vec<Value> {
    match content {
        Value::Array(parts) => parts,
        text => vec![json!({"type": "text", "text": text})],
    }
}

/// Characters of a content.
fn length(content: &Value) -> usize {
    let text = |part: &Value| part["text"].as_str().or(part["refusal"].as_str()).map_or(0, |text| text.chars().count());
    match content {
        Value::String(text) => text.chars().count(),
        content => content.as_array().into_iter().flatten().map(text).sum(),
    }
}

fn parts(content: Content, place: &str) -> Result<Value, BadRequest> {
    let parts = match content {
        Content::Text(text) => return Ok(text.into()),
        Content::Parts(parts) => parts,
    };
    let part = |(j, MarkedPart { part, prompt_cache_breakpoint })| {
        let part = part_of(part, &format!("{place}.content[{j}]"))?;
        Ok(with(part, "prompt_cache_breakpoint", Some(&prompt_cache_breakpoint)))
    };
    parts.into_iter().enumerate().map(part).collect::<Result<Vec<_>, _>>().map(Value::from)
}

fn part_of(part: Part, place: &str) -> Result<Value, BadRequest> {
    match part {
        Part::InputText { text } => Ok(json!({"type": "text", "text": text})),
        Part::Refusal { refusal } => Ok(json!({"type": "refusal", "refusal": refusal})),
        Part::InputImage { image_url: Some(url), detail } => {
            let mut image = json!({"url": url});
            detail.into_iter().for_each(|detail| image["detail"] = detail.into());
            Ok(json!({"type": "image_url", "image_url": image}))
        }
        Part::InputImage { .. } => {
            let field = format!("{place}.image_url");
            Err(BadRequest::field(field.clone(), format!("{field} is missing; give the image as a URL or data: URL")))
        }
        Part::InputFile { file_data: None, file_id: None, .. } => {
            let field = format!("{place}.file_data");
            Err(BadRequest::field(
                field.clone(),
                format!("{field} is missing; give the file as a data: URL, or a `file_url`"),
            ))
        }
        Part::InputFile { file_data, file_id, filename } => {
            let fields = [("file_data", file_data), ("file_id", file_id), ("filename", filename)];
            let file: Map<_, _> =
                fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect();
            Ok(json!({"type": "file", "file": file}))
        }
        Part::InputAudio { input_audio } => Ok(json!({"type": "input_audio", "input_audio": input_audio})),
    }
}
