//! Answers that come in blocks (a text, a thought, a call), as Anthropic and Bedrock give them: whole, and in pieces.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use super::completion::{Choice, Chunks, Head};
use super::structure::{ANSWER, Structure};
use super::{Asked, StreamItem};
use crate::api::conversation::{Marks, Protocol, ToolCall, keeps_first_call, tool_mark};

/// One block of a whole answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    Text {
        text: String,
        citations: Vec<Citation>,
    },
    Thinking {
        thinking: String,
        signature: String,
    },
    /// A thought that may not be shown.
    Redacted {
        data: String,
    },
    Call(ToolCall),
    /// What Anthropic's protocol alone knows.
    Hosted(Value),
}

/// A source of a text block.
#[derive(Debug, Clone, PartialEq)]
pub struct Citation {
    /// [`WEB`], or the provider's own name for such a place.
    pub kind: String,
    pub fields: Map<String, Value>,
}

/// A page of the web: with a `url`, and all that OpenAI's annotations know.
pub const WEB: &str = "url_citation";

impl Citation {
    /// As the source of characters `from` to `to` of the content.
    fn json(mut self, from: usize, to: usize) -> Value {
        self.fields.insert("start_index".into(), from.into());
        self.fields.insert("end_index".into(), to.into());
        if self.kind == WEB && !self.fields.get("title").is_some_and(Value::is_string) {
            let url = self.fields.get("url").cloned().unwrap_or_default();
            self.fields.insert("title".into(), url);
        }
        json!({"type": self.kind, self.kind: self.fields})
    }
}

/// `annotations` and `citations` of characters `from` to `to` of the content.
fn sources(citations: Vec<Citation>, from: usize, to: usize) -> (Vec<Value>, Vec<Value>) {
    citations.into_iter().map(|citation| citation.json(from, to)).partition(|source| source["type"] == WEB)
}

/// The blocks of an answer to `asked` as one choice, its reason to stop left open, and whether a tool that was there
/// for its input only gave the answer.
pub fn choice(asked: &Asked<'_>, blocks: impl IntoIterator<Item = Block>) -> (Choice, bool) {
    let (mut choice, mut is_answer, mut marks) = (Choice::default(), false, Marks::new(Protocol::Messages));
    for block in blocks {
        let told = match block {
            Block::Text { text, citations } => {
                let (from, told) = (marks.said(), say(&text, &mut choice, &mut marks));
                let (annotations, citations) = sources(citations, from, marks.said());
                choice.annotations.extend(annotations);
                choice.citations.extend(citations);
                told
            }
            Block::Thinking { thinking, signature } => {
                choice.reasoning += &thinking;
                choice.thinking_blocks.push(thinking_block(&thinking, &signature));
                marks.think(1)
            }
            Block::Redacted { data } => {
                choice.thinking_blocks.push(redacted_block(&data));
                marks.think(1)
            }
            Block::Hosted(is) => marks.tell(is),
            Block::Call(call) if Structure::is_answer(asked.request, &call.name) => {
                is_answer = true;
                say(&call.arguments, &mut choice, &mut marks)
            }
            Block::Call(call) => {
                let told = marks.call(tool_mark(&call.id));
                choice.calls.push(call);
                told
            }
        };
        choice.hosted.extend(told);
    }
    choice.hold_calls(asked.request);
    (choice, is_answer)
}

fn say(text: &str, choice: &mut Choice, marks: &mut Marks) -> Vec<Value> {
    choice.content += text;
    marks.text(text.chars().count())
}

/// Blocks that come in pieces, one block after another, each with an end.
pub struct Pieces {
    pub chunks: Chunks,
    /// The request has a tool whose input is the answer.
    answers_by_tool: bool,
    /// Its call came.
    is_answer: bool,
    first_call_only: bool,
    open: Open,
    /// The thought that is coming.
    thought: Option<Thought>,
    /// Calls so far.
    calls: usize,
    /// Of the blocks so far.
    marks: Marks,
}

/// The block that is coming, except thoughts.
enum Open {
    Nothing,
    Text {
        from: usize,
        citations: Vec<Citation>,
    },
    /// `whole`: the input as it stood at the start, until pieces of it come. `answer`: it is the content.
    Call {
        whole: Option<Value>,
        answer: bool,
    },
    /// What Anthropic's protocol alone knows, and pieces of its input.
    Hosted {
        is: Value,
        input: String,
    },
}

#[derive(Default)]
struct Thought {
    thinking: String,
    signature: String,
}

impl Pieces {
    /// Of the answer to `asked`.
    pub fn new(asked: &Asked<'_>) -> Self {
        Self {
            chunks: Chunks::new(Head::stamped((asked.stamp)(), asked.model)),
            answers_by_tool: Structure::is_answer(asked.request, ANSWER),
            is_answer: false,
            first_call_only: keeps_first_call(asked.request),
            open: Open::Nothing,
            thought: None,
            calls: 0,
            marks: Marks::new(Protocol::Messages),
        }
    }

    /// Whether a tool that was there for its input only gave the answer.
    pub fn is_answer(&self) -> bool {
        self.is_answer
    }

    /// More of a text.
    pub fn text(&mut self, piece: &str, out: &mut VecDeque<StreamItem>) {
        if !matches!(self.open, Open::Text { .. }) {
            self.open = Open::Text { from: self.marks.said(), citations: vec![] };
        }
        self.say(piece, out);
    }

    /// A source of the text that is coming.
    pub fn cite(&mut self, citation: Citation) {
        match &mut self.open {
            Open::Text { citations, .. } => citations.push(citation),
            _ => self.open = Open::Text { from: self.marks.said(), citations: vec![citation] },
        }
    }

    /// More of a thought.
    pub fn think(&mut self, piece: &str, out: &mut VecDeque<StreamItem>) {
        self.thought.get_or_insert_default().thinking.push_str(piece);
        if !piece.is_empty() {
            out.push_back(self.chunks.reasoning(piece));
        }
    }

    /// More of a thought's signature.
    pub fn sign(&mut self, piece: &str) {
        self.thought.get_or_insert_default().signature.push_str(piece);
    }

    /// A thought that may not be shown, whole.
    pub fn redacted(&mut self, data: &str, out: &mut VecDeque<StreamItem>) {
        self.thought(redacted_block(data), out);
    }

    /// A block of which a chat knows nothing begins.
    pub fn hosted(&mut self, is: Value) {
        self.open = Open::Hosted { is, input: String::new() };
    }

    /// More of what that block says, in words of its protocol: texts grow, and all else is as it is told last.
    pub fn grow(&mut self, more: Map<String, Value>) {
        let Open::Hosted { is: Value::Object(is), .. } = &mut self.open else { return };
        for (name, more) in more.into_iter().filter(|(name, more)| name != "type" && !more.is_null()) {
            match (is.get_mut(&name), more) {
                (Some(Value::String(text)), Value::String(more)) => text.push_str(&more),
                (_, more) => drop(is.insert(name, more)),
            }
        }
    }

    /// A call begins, given nothing yet; `whole` is its input where no pieces of it come.
    pub fn call(&mut self, call: &ToolCall, whole: Value, out: &mut VecDeque<StreamItem>) {
        let answer = self.answers_by_tool && call.name == ANSWER;
        self.is_answer |= answer;
        if self.first_call_only && self.calls > 0 {
            self.open = Open::Nothing;
            return;
        }
        self.open = Open::Call { whole: Some(whole), answer };
        if !answer {
            let told = self.marks.call(tool_mark(&call.id));
            self.mark(told, out);
            out.push_back(self.chunks.call(self.calls, call));
            self.calls += 1;
        }
    }

    /// More of the input of the call that is coming.
    pub fn input(&mut self, piece: &str, out: &mut VecDeque<StreamItem>) {
        match &mut self.open {
            Open::Call { whole, answer } if !piece.is_empty() => {
                *whole = None;
                let answer = *answer;
                self.argue(piece, answer, out);
            }
            Open::Hosted { input, .. } => input.push_str(piece),
            _ => {}
        }
    }

    /// The block that is coming is at its end.
    pub fn end(&mut self, out: &mut VecDeque<StreamItem>) {
        if let Some(Thought { thinking, signature }) = self.thought.take() {
            self.thought(thinking_block(&thinking, &signature), out);
        }
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Text { from, citations } => {
                let (annotations, citations) = sources(citations, from, self.marks.said());
                out.extend(self.chunks.listed("annotations", annotations));
                out.extend(self.chunks.listed("citations", citations));
            }
            Open::Call { whole: Some(whole), answer } => {
                let whole = if whole.is_object() { whole.to_string() } else { "{}".into() };
                self.argue(&whole, answer, out);
            }
            Open::Hosted { mut is, input } => {
                if let (Some(fields), Ok(input)) = (is.as_object_mut(), serde_json::from_str::<Value>(&input)) {
                    fields.insert("input".into(), input);
                }
                let told = self.marks.tell(is);
                self.mark(told, out);
            }
            _ => {}
        }
    }

    fn say(&mut self, piece: &str, out: &mut VecDeque<StreamItem>) {
        if !piece.is_empty() {
            let told = self.marks.text(piece.chars().count());
            self.mark(told, out);
            out.push_back(self.chunks.content(piece));
        }
    }

    fn thought(&mut self, block: Value, out: &mut VecDeque<StreamItem>) {
        let told = self.marks.think(1);
        self.mark(told, out);
        out.extend(self.chunks.thinking_block(block));
    }

    fn mark(&mut self, told: Vec<Value>, out: &mut VecDeque<StreamItem>) {
        out.extend(self.chunks.listed("hosted_items", told));
    }

    fn argue(&mut self, piece: &str, answer: bool, out: &mut VecDeque<StreamItem>) {
        match answer {
            true => self.say(piece, out),
            false => out.push_back(self.chunks.arguments(self.calls - 1, piece)),
        }
    }
}

/// A thought with what its provider wants back, in Anthropic's form.
fn thinking_block(thinking: &str, signature: &str) -> Value {
    json!({"type": "thinking", "thinking": thinking, "signature": signature})
}

fn redacted_block(data: &str) -> Value {
    json!({"type": "redacted_thinking", "data": data})
}
