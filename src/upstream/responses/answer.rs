//! A whole response, and what it has in common with a stream.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::conversation::{Marks, PAUSE, Protocol, Sealed, ToolCall, mark};
use crate::catalog::Usage;
use crate::upstream::blocks::WEB;
use crate::upstream::completion::{Choice, Completion, Finish, Head, image_json};
use crate::upstream::{Asked, NoAnswer, WholeReply};

#[derive(Deserialize)]
struct Whole {
    #[serde(flatten)]
    response: Response,
    output: Option<Vec<Value>>,
}

/// A response without its items.
#[derive(Deserialize)]
pub(super) struct Response {
    id: Option<String>,
    model: Option<String>,
    /// Unix seconds.
    created_at: Option<f64>,
    status: Option<String>,
    #[serde(default)]
    error: Value,
    incomplete_details: Option<Incomplete>,
    /// An answer is still usable where it is of another form.
    #[serde(default)]
    usage: Value,
}

#[derive(Default, Deserialize)]
struct Incomplete {
    reason: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct WireUsage {
    input_tokens: u32,
    input_tokens_details: Option<InputDetails>,
    output_tokens: u32,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct InputDetails {
    cached_tokens: u32,
    cache_write_tokens: u32,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct OutputDetails {
    reasoning_tokens: u32,
}

/// One thing that the model did.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Item {
    Message {
        #[serde(default)]
        content: Option<Vec<Part>>,
    },
    FunctionCall(Called),
    CustomToolCall(Called),
    Reasoning(Thought),
    ImageGenerationCall {
        #[serde(default)]
        result: Option<String>,
        #[serde(default)]
        output_format: Option<String>,
    },
    /// What the provider's other tools did, and what is new.
    #[serde(skip)]
    Hosted(Value),
    #[serde(other)]
    Other,
}

impl Item {
    /// It and its mark.
    ///
    /// # Errors
    /// It is no item, or not of the form that its type has.
    pub(super) fn read(item: Value) -> Result<(Self, Value), NoAnswer> {
        match Self::deserialize(&item).map_err(|e| format!("the answer is not a response: {e}"))? {
            Self::Other => Ok((Self::Hosted(item), Value::Null)),
            known => Ok((known, mark(&item))),
        }
    }
}

/// A picture that was made, as a chat has it.
pub(super) fn picture(data: &str, format: Option<&str>) -> Value {
    image_json(&format!("data:image/{};base64,{data}", format.unwrap_or("png")))
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Part {
    OutputText {
        text: String,
        #[serde(default)]
        annotations: Option<Vec<Value>>,
        #[serde(default)]
        logprobs: Option<Vec<Value>>,
    },
    Refusal {
        refusal: String,
    },
    #[serde(other)]
    Other,
}

impl Part {
    fn is_text(&self) -> bool {
        matches!(self, Self::OutputText { text, .. } if !text.is_empty())
    }
}

#[derive(Deserialize)]
pub(super) struct Called {
    call_id: String,
    name: String,
    #[serde(default, alias = "input")]
    pub(super) arguments: String,
}

/// `summary` is what OpenAI shows of a thought, `content` the thought itself, as open models give it.
#[derive(Deserialize)]
pub(super) struct Thought {
    id: Option<String>,
    #[serde(default)]
    summary: Option<Vec<ThoughtText>>,
    #[serde(default)]
    content: Option<Vec<ThoughtText>>,
    #[serde(default)]
    encrypted_content: Option<String>,
}

#[derive(Deserialize)]
struct ThoughtText {
    #[serde(default)]
    text: String,
}

/// A whole answer; `thinker`: who can read its thoughts.
///
/// # Errors
/// It is not one, or the model failed.
pub(super) fn whole(asked: &Asked<'_>, thinker: &str, body: &[u8]) -> Result<WholeReply, NoAnswer> {
    let whole = serde_json::from_slice(body).map_err(|e| format!("the answer is not a response: {e}"))?;
    let Whole { response, output } = whole;
    response.check()?;
    let output = output.ok_or("the answer is not a response: it has no `output`")?;
    let output = output.into_iter().map(Item::read).collect::<Result<Vec<_>, _>>()?;
    let mut choice = choice(output, thinker);
    choice.finish = Some(response.finish(!choice.calls.is_empty()));
    let head = response.head(Head::stamped((asked.stamp)(), asked.model));
    Ok(Completion { head, choices: vec![choice], usage: response.usage() }.into_reply())
}

impl Response {
    /// `head`, as far as the response says otherwise.
    pub(super) fn head(&self, head: Head) -> Head {
        let created_s = self.created_at.map_or(head.created_s, |at| at as u64);
        Head { created_s, ..head }.named(self.id.clone(), self.model.clone())
    }

    /// # Errors
    /// It failed, or is not at its end.
    pub(super) fn check(&self) -> Result<(), NoAnswer> {
        match self.status.as_deref() {
            _ if !self.error.is_null() => Err(NoAnswer::inside(&self.error)),
            None | Some("completed" | "incomplete") => Ok(()),
            Some(other) => Err(format!("the response is {other}").into()),
        }
    }

    pub(super) fn finish(&self, calls: bool) -> Finish {
        let reason = self.incomplete_details.as_ref().and_then(|details| details.reason.as_deref());
        match reason {
            Some("content_filter") => Finish::ContentFilter,
            Some(_) => Finish::Length,
            None if self.status.as_deref() == Some("incomplete") => Finish::Length,
            None if calls => Finish::ToolCalls,
            None => Finish::Stop,
        }
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        let usage = Option::<WireUsage>::deserialize(&self.usage).ok()??;
        let input = usage.input_tokens_details.unwrap_or_default();
        Some(Usage {
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cached_input_tokens: input.cached_tokens,
            cache_write_tokens: input.cache_write_tokens,
            cache_write_1h_tokens: 0,
            reasoning_tokens: usage.output_tokens_details.unwrap_or_default().reasoning_tokens,
        })
    }
}

/// The items, each with its mark, as one choice, its reason to stop left open.
fn choice(items: Vec<(Item, Value)>, thinker: &str) -> Choice {
    let (mut choice, mut tokens, mut marks) = (Choice::default(), vec![], Marks::new(Protocol::Responses));
    for (item, mark) in items {
        let told = match item {
            Item::Message { content } => {
                let parts: Vec<Part> = content.into_iter().flatten().collect();
                let told = if parts.iter().any(Part::is_text) { begin(mark, &mut marks, &mut choice) } else { vec![] };
                parts.into_iter().for_each(|part| say(part, &mut choice, &mut tokens));
                marks.say(choice.content.chars().count() - marks.said());
                told
            }
            Item::FunctionCall(call) => {
                choice.calls.push(call.of(false));
                marks.call(mark)
            }
            Item::CustomToolCall(call) => {
                choice.calls.push(call.of(true));
                marks.call(mark)
            }
            Item::Reasoning(thought) => match think(&thought, thinker, &mut choice) {
                true => marks.think(1),
                false => vec![],
            },
            Item::ImageGenerationCall { result: Some(data), output_format } => {
                choice.images.push(picture(&data, output_format.as_deref()));
                marks.tell(mark)
            }
            Item::Hosted(item) => marks.tell(item),
            Item::ImageGenerationCall { .. } | Item::Other => vec![],
        };
        choice.hosted.extend(told);
    }
    choice.logprobs = (!tokens.is_empty()).then(|| logprobs(tokens));
    choice
}

/// A message that says something begins.
fn begin(mark: Value, marks: &mut Marks, choice: &mut Choice) -> Vec<Value> {
    let (pause, told) = marks.message(mark);
    choice.content += pause;
    told
}

fn say(part: Part, choice: &mut Choice, tokens: &mut Vec<Value>) {
    match part {
        Part::OutputText { text, annotations, logprobs } => {
            let from = choice.content.chars().count();
            let sources = annotations.into_iter().flatten().filter_map(|flat| annotation(flat, from));
            let (web, others): (Vec<_>, Vec<_>) = sources.partition(|source| source["type"] == WEB);
            choice.annotations.extend(web);
            choice.citations.extend(others);
            choice.content += &text;
            tokens.extend(logprobs.unwrap_or_default());
        }
        Part::Refusal { refusal } => *choice.refusal.get_or_insert_default() += &refusal,
        Part::Other => {}
    }
}

/// Whether it can be given back.
fn think(thought: &Thought, thinker: &str, choice: &mut Choice) -> bool {
    let text = thought.text();
    if !choice.reasoning.is_empty() && !text.is_empty() {
        choice.reasoning += PAUSE;
    }
    choice.reasoning += &text;
    let block = thought.block(thinker);
    let is_kept = block.is_some();
    choice.thinking_blocks.extend(block);
    is_kept
}

impl Thought {
    fn text(&self) -> String {
        let parts = self.summary.iter().chain(&self.content).flatten();
        let texts = parts.map(|part| &*part.text);
        texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(PAUSE)
    }

    /// What gives it back to its thinker; `None`: nothing does.
    pub(super) fn block(&self, thinker: &str) -> Option<Value> {
        let content = self.encrypted_content.clone().filter(|content| !content.is_empty())?;
        let sealed = Sealed { thinker: thinker.to_owned(), id: self.id.clone(), summary: self.text(), content };
        Some(sealed.block())
    }
}

impl Called {
    /// `custom`: of a custom tool, else of a function.
    pub(super) fn of(self, custom: bool) -> ToolCall {
        ToolCall { id: self.call_id, name: self.name, arguments: self.arguments, custom, ..ToolCall::default() }
    }
}

/// Here an annotation's fields stand beside its type; chat has them in an object of that name. The text that it counts
/// in begins at character `from` of the content.
pub(super) fn annotation(flat: Value, from: usize) -> Option<Value> {
    let Value::Object(mut fields) = flat else { return None };
    let Some(Value::String(kind)) = fields.remove("type") else { return None };
    for name in ["start_index", "end_index"] {
        if let Some(index) = fields.get(name).and_then(Value::as_u64) {
            fields.insert(name.into(), index.saturating_add(from as u64).into());
        }
    }
    Some(json!({"type": kind, kind: fields}))
}

/// Chat's `logprobs` object. Streams do not say a token's bytes: chat has null then.
pub(super) fn logprobs(tokens: Vec<Value>) -> Value {
    let content: Vec<Value> = tokens.into_iter().map(token).collect();
    json!({"content": content, "refusal": null})
}

fn token(token: Value) -> Value {
    let likely = token["top_logprobs"].as_array().into_iter().flatten();
    let likely: Vec<Value> = likely.map(spelled).collect();
    let mut token = spelled(&token);
    token["top_logprobs"] = likely.into();
    token
}

fn spelled(token: &Value) -> Value {
    json!({"token": token["token"], "logprob": token["logprob"], "bytes": token["bytes"]})
}
