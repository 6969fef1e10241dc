//! Tools that one protocol alone knows, beside functions: what OpenAI or Anthropic run themselves, and what their models
//! were made for. They pass, as they are, to a provider of the same protocol, and what was done with them comes back.

use std::fmt::Display;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::allowed::{self, with_allowed_tools_only};
use super::items::no_items;
use super::unsupported;
use crate::api::chat::ChatRequest;
use crate::api::error::BadRequest;

/// Whose words something is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
}

/// A tool, a choice of one, a part of a message, or what was done with a tool: in a chat `{"type": "hosted", "hosted":
/// {"of", "is"}}`, and in `hosted_items` of an assistant's message `{"of", "is", "after", "at"}`. Of a function, a call, an
/// answer and a request, it has in `is` what the protocol alone says of one. A chat has messages, pictures and calls
/// itself: of these, it is the [`mark`](super::mark).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Hosted {
    pub of: Protocol,
    /// As the protocol has it.
    pub is: Value,
    /// So many of the answer's `thinking_blocks` came before it.
    #[serde(default)]
    pub after: usize,
    /// So many characters of the answer's text came before it.
    #[serde(default)]
    pub at: usize,
}

/// The type of such a tool in a chat.
const HOSTED: &str = "hosted";

impl Hosted {
    /// A tool as it stands in `tools`, a choice in `tool_choice`, or a part in `content`.
    pub fn tool(of: Protocol, is: Value) -> Value {
        json!({"type": HOSTED, HOSTED: Self::more(of, is)})
    }

    /// What this protocol alone says of a function, as it stands beside `function`.
    pub fn more(of: Protocol, is: Value) -> Value {
        json!({"of": of, "is": is})
    }

    /// The same of these fields; `None`: they say nothing.
    pub fn said(of: Protocol, mut fields: Map<String, Value>) -> Option<Value> {
        fields.retain(|_, value| !value.is_null());
        (!fields.is_empty()).then(|| Self::more(of, fields.into()))
    }

    /// What `said` has of this protocol.
    pub fn fields(of: Protocol, said: Option<&Self>) -> impl Iterator<Item = (&String, &Value)> {
        said.filter(|said| said.of == of).and_then(|said| said.is.as_object()).into_iter().flatten()
    }

    /// As it stands in `hosted_items`, where `after` of the thoughts and `at` characters of the text came before it.
    pub fn item(of: Protocol, is: Value, after: usize, at: usize) -> Value {
        json!({"of": of, "is": is, "after": after, "at": at})
    }

    /// What its client's protocol alone says of `request`: its field `hosted`.
    pub fn request(request: &ChatRequest) -> Option<Self> {
        request.field(HOSTED, "what one protocol alone says of it").ok().flatten()
    }

    /// What `hosted_items` hold.
    pub fn items(items: &[Value]) -> impl Iterator<Item = Self> {
        items.iter().filter_map(|item| Self::deserialize(item).ok())
    }
}

impl Hosted {
    /// The first field of it that an answer depends on; of an object whose other fields a chat has, the one in it.
    fn field(&self) -> Option<String> {
        let (name, value) = named(&self.is)?;
        let within = value.as_object().filter(|_| name == "output_config").and_then(|within| within.keys().next());
        Some(within.map_or_else(|| name.to_owned(), |within| format!("{name}.{within}")))
    }
}

/// The first of these fields that is no hint.
fn named(is: &Value) -> Option<(&str, &Value)> {
    let mut fields = is.as_object()?.iter();
    fields.find(|(name, value)| !is_hint(name, value)).map(|(name, value)| (name.as_str(), value))
}

/// What a protocol says of a function or a request that nobody could miss in an answer: who does not know it, leaves it
/// out.
fn is_hint(name: &str, value: &Value) -> bool {
    match name {
        "cache_control" | "defer_loading" | "eager_input_streaming" | "namespace" => true,
        // To forget the oldest thoughts and results makes room, no more.
        "context_management" => value["edits"].as_array().into_iter().flatten().all(clears),
        "mcp_servers" => value.as_array().is_some_and(Vec::is_empty),
        "speed" => value == "standard",
        _ => false,
    }
}

fn clears(edit: &Value) -> bool {
    edit["type"].as_str().is_some_and(|kind| kind.starts_with("clear_"))
}

/// As much of a tool as tells what it is.
#[derive(Deserialize)]
struct Glance {
    #[serde(rename = "type", default)]
    kind: Value,
    #[serde(default)]
    hosted: Option<Hosted>,
}

/// The first of what `request` says in the words of another protocol than `own`, for a wire that is called `wire`: of
/// itself, as a part of a message, as a tool that may be called, or as an item of what was said before that such a wire
/// cannot go on without; none where the client said `drop_unsupported`. Nothing is read where there is none.
pub fn no_hosted_tools(request: &ChatRequest, own: Option<Protocol>, wire: impl Display) -> Option<BadRequest> {
    let no_field = |field: &str| unsupported(field, &format!("{field} is nothing that {wire} can be asked for"));
    let refused = |place: &str, strange: Strange| match strange {
        Strange::Tool(kind) => {
            unsupported(place, &format!("{place} is of type \"{kind}\", which {wire} cannot be asked for"))
        }
        Strange::Field(name) => no_field(&format!("{place}.{name}")),
    };
    if request.drop_unsupported {
        return None;
    }
    let said = Hosted::request(request).filter(|said| Some(said.of) != own);
    if let Some(field) = said.as_ref().and_then(Hosted::field) {
        return Some(no_field(&field));
    }
    if let Some((place, kind)) = strange_part(request, own) {
        return Some(unsupported(&place, &format!("{place} is of type \"{kind}\", which {wire} cannot be given")));
    }
    let tools: Vec<Glance> = raw(request, "tools").unwrap_or_default();
    let barred = if tools.is_empty() { vec![] } else { allowed::barred(request) };
    let mut open = tools.iter().enumerate().filter(|(i, _)| !barred.contains(i));
    let stranger = open.find_map(|(i, tool)| Some((i, tool.stranger(own)?)));
    let tool = stranger.map(|(i, strange)| refused(&format!("tools[{i}]"), strange));
    tool.or_else(|| {
        let choice: Value = raw(request, "tool_choice")?;
        let named = choices(&choice).into_iter().map(|(place, one)| Some((place, Glance::deserialize(one).ok()?)));
        named.flatten().find_map(|(place, one)| Some(refused(&place, one.stranger(own)?)))
    })
    .or_else(|| no_items(request, own, &wire))
}

/// Where the first part of a message stands that is another protocol's than `own`, and its type.
fn strange_part(request: &ChatRequest, own: Option<Protocol>) -> Option<(String, String)> {
    let messages: Vec<Value> = raw(request, "messages")?;
    let places = messages.iter().enumerate().flat_map(|(i, message)| {
        let parts = message["content"].as_array().into_iter().flatten().enumerate();
        parts.map(move |(j, part)| (format!("messages[{i}].content[{j}]"), part))
    });
    let mut strange = places.filter(|(_, part)| is_strange_part(part, own));
    let (place, part) = strange.next()?;
    Some((place, part[HOSTED]["is"]["type"].as_str().unwrap_or_default().to_owned()))
}

fn is_strange_part(part: &Value, own: Option<Protocol>) -> bool {
    part["type"] == HOSTED && is_strange(part, own)
}

fn is_strange(tool: &Value, own: Option<Protocol>) -> bool {
    Glance::deserialize(tool).is_ok_and(|tool| tool.foreign(own).is_some())
}

/// What a `tool_choice` names, each by its place.
fn choices(choice: &Value) -> Vec<(String, &Value)> {
    let allowed = choice["allowed_tools"]["tools"].as_array().into_iter().flatten().enumerate();
    let allowed = allowed.map(|(i, one)| (format!("tool_choice.allowed_tools.tools[{i}]"), one));
    std::iter::once(("tool_choice".to_owned(), choice)).chain(allowed).collect()
}

/// What a wire of another protocol does not know.
enum Strange<'g> {
    /// A tool of this type.
    Tool(&'g str),
    /// A field of a function.
    Field(&'g str),
}

impl Glance {
    /// What another protocol alone knows than `own`.
    fn foreign(&self, own: Option<Protocol>) -> Option<&Hosted> {
        self.hosted.as_ref().filter(|hosted| Some(hosted.of) != own)
    }

    /// What of that an answer depends on.
    fn stranger(&self, own: Option<Protocol>) -> Option<Strange<'_>> {
        let Hosted { is, .. } = self.foreign(own)?;
        if self.kind == HOSTED {
            return Some(Strange::Tool(is["type"].as_str().unwrap_or_default()));
        }
        named(is).map(|(name, _)| Strange::Field(name))
    }
}

/// `request` without what is another protocol's than `own`: tools, parts of messages, and what it alone says of functions
/// and calls, for a wire that knows none of it; `None`: it is that already.
pub fn without_hosted_tools(request: &ChatRequest, own: Option<Protocol>) -> Option<ChatRequest> {
    let bare = without_parts(request, own);
    without_tools(bare.as_ref().unwrap_or(request), own).or(bare)
}

fn without_parts(request: &ChatRequest, own: Option<Protocol>) -> Option<ChatRequest> {
    let given: Vec<Value> = raw(request, "messages")?;
    let mut bare = given.clone();
    bare.iter_mut().for_each(|message| strip(message, own));
    (bare != given).then(|| request.clone().with_field("messages", Some(Value::from(bare).to_string().into())))
}

/// A message of which nothing is left says an empty text: a result must follow its call.
fn strip(message: &mut Value, own: Option<Protocol>) {
    if let Some(parts) = message.get_mut("content").and_then(Value::as_array_mut) {
        parts.retain(|part| !is_strange_part(part, own));
        if parts.is_empty() {
            message["content"] = "".into();
        }
    }
    let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut);
    let strange = calls.into_iter().flatten().filter(|call| is_strange(call, own));
    strange.filter_map(Value::as_object_mut).for_each(|call| drop(call.shift_remove(HOSTED)));
}

fn without_tools(request: &ChatRequest, own: Option<Protocol>) -> Option<ChatRequest> {
    let allowed = raw::<Value>(request, "tool_choice").and_then(|_| with_allowed_tools_only(request).ok()?);
    let request = allowed.as_ref().unwrap_or(request);
    let is_strange = |tool: &Value| is_strange(tool, own);
    let tools: Option<Vec<Value>> = raw(request, "tools");
    let choice = raw(request, "tool_choice").is_some_and(|choice: Value| is_strange(&choice));
    if !choice && !tools.iter().flatten().any(is_strange) {
        return None;
    }
    let plain = |tool: Value| if is_strange(&tool) { plain(tool) } else { Some(tool) };
    let kept = tools.map(|tools| tools.into_iter().filter_map(plain).collect::<Vec<_>>());
    let emptied = kept.as_ref().is_some_and(Vec::is_empty);
    let request = match kept {
        Some(kept) => request.clone().with_field("tools", (!emptied).then(|| Value::from(kept).to_string().into())),
        None => request.clone(),
    };
    Some(if choice || emptied { request.with_field("tool_choice", None) } else { request })
}

/// What all protocols know of a tool; `None`: nothing.
fn plain(mut tool: Value) -> Option<Value> {
    let own = tool.as_object_mut()?;
    own.shift_remove(HOSTED);
    own.contains_key("function").then_some(tool)
}

/// A field, if there may be one of these in it: then the word occurs.
fn raw<'r, T: Deserialize<'r>>(request: &'r ChatRequest, field: &str) -> Option<T> {
    serde_json::from_slice(request.raw_with(field, HOSTED)?).ok()
}
