//! A chat's chunks → a response's events.

use serde_json::{Value, json};

use super::reply::{Said, State, call_item_id, called, item_id, logprobs, picture, reasoning, response, said, shown};
use super::request::Echo;
use crate::api::answer::{Answer, Call, Choice, Grown};
use crate::api::conversation::{Hosted, Marked, Piece, Protocol, marked, pieces, tells_more};
use crate::api::naming::{Naming, Told};
use crate::api::sse::{self, Untold};
use crate::api::usage::WireUsage;

/// The translation of one stream. Items follow each other: one is open at a time, except calls, whose pieces may come in
/// any order, and amid anything else: they stay open to the end.
#[derive(Debug)]
pub struct Stream {
    echo: Echo,
    /// Who answers; `None` before the first chunk.
    head: Option<Answer>,
    sequence: u64,
    /// The items so far; `None` of one that grows.
    output: Vec<Option<Value>>,
    /// And where it stands.
    open: Option<(usize, Open)>,
    naming: Naming,
    calls: Vec<OpenCall>,
    grown: Grown,
    /// Of calls and pictures that are still to come.
    marks: Vec<Value>,
    /// Of the message that comes next.
    message: Option<Value>,
    finish: Option<String>,
    usage: Option<WireUsage>,
}

/// An item that grows.
#[derive(Debug)]
enum Open {
    Reasoning { text: String, blocks: Vec<Value> },
    Text(Said),
    Refusal { text: String },
}

/// A call that grows.
#[derive(Debug)]
struct OpenCall {
    /// In the chat.
    index: usize,
    /// Where it stands among the items.
    at: usize,
    call: Call,
    mark: Option<Value>,
}

impl Stream {
    /// `echo`: what the response repeats of its request.
    pub fn new(echo: Echo) -> Self {
        Self {
            echo,
            head: None,
            sequence: 0,
            output: vec![],
            open: None,
            naming: Naming::default(),
            calls: vec![],
            grown: Grown::default(),
            marks: vec![],
            message: None,
            finish: None,
            usage: None,
        }
    }

    /// One chunk → the events that it makes, framed; there may be none.
    ///
    /// # Errors
    /// It is no chunk, or goes on with a call that never began: the stream cannot be told any further.
    pub fn chunk(&mut self, data: &[u8]) -> Result<Vec<u8>, Untold> {
        let mut out = vec![];
        match self.tell(data, &mut out) {
            Ok(()) => Ok(out),
            Err(problem) => Err(Untold { told: out, problem }),
        }
    }

    fn tell(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        let mut answer = Answer::chunk(data)?;
        let choice = answer.first();
        self.usage = answer.usage.or(self.usage);
        if self.head.is_none() {
            self.head = Some(answer);
            for event in ["response.created", "response.in_progress"] {
                let response = self.response(State::InProgress);
                self.put(out, event, json!({"response": response}));
            }
        }
        self.finish = choice.finish_reason.clone().or(self.finish.take());
        self.choice(choice, out)
    }

    /// The stream ended as it should.
    pub fn end(&mut self) -> Vec<u8> {
        let mut out = vec![];
        let state = State::ended(self.finish.as_deref(), self.usage);
        self.close_all(state.status(), &mut out);
        let event = format!("response.{}", state.status());
        let response = self.response(state);
        self.put(&mut out, &event, json!({"response": response}));
        out
    }

    /// The stream was cut: a failed response is its last event. `limited`: by a rate limit.
    pub fn cut(&mut self, limited: bool, message: &str) -> Vec<u8> {
        let mut out = vec![];
        let code = if limited { "rate_limit_exceeded" } else { "server_error" };
        let response = self.response(State::Failed { code, message: message.to_owned() });
        self.put(&mut out, "response.failed", json!({"response": response}));
        out
    }

    fn choice(&mut self, choice: Choice, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        let Choice { mut message, logprobs, .. } = choice;
        let mut all = Said { from: self.grown.said, ..Said::of(&mut message, logprobs.content) };
        let items = self.grown.items(&message, &all.text);
        self.keep_marks(&items);
        if message.thinking_blocks.is_empty() && !message.thoughts().is_empty() {
            self.think(message.thoughts(), vec![], out);
        }
        let pieces = pieces(Some(Protocol::Responses), &items, &message.fields(&all.text));
        let mut calls = std::mem::take(&mut message.tool_calls);
        let mut tokens = &all.logprobs[..];
        for piece in pieces {
            match piece {
                Piece::Thoughts(these) => {
                    let all = these.len() == message.thinking_blocks.len();
                    let blocks = message.thinking_blocks[these].to_vec();
                    let text = if all { message.thoughts().to_owned() } else { shown(&blocks) };
                    self.think(&text, blocks, out);
                }
                Piece::Message(mark) => self.announce(mark, out),
                Piece::Text(these) => {
                    self.say(all.within(&these, &mut tokens), out);
                    self.sign(&message.extra_content);
                }
                Piece::Picture(i, _) => self.picture(&message.images[i], out),
                Piece::Call(i, _) => self.call(i, std::mem::take(&mut calls[i]), out)?,
                Piece::Item(is) => self.did(is.clone(), out),
            }
        }
        if all.text.is_empty() {
            self.sign(&message.extra_content);
        }
        if let Some((_, Open::Text(said))) = self.open.as_mut().filter(|_| all.text.is_empty()) {
            said.sources.append(&mut all.sources);
            said.logprobs.append(&mut all.logprobs);
        }
        if let Some(refusal) = message.refusal.filter(|refusal| !refusal.is_empty()) {
            self.refuse(&refusal, out);
        }
        Ok(())
    }

    /// What a chunk says of calls and pictures that are still to come.
    fn keep_marks(&mut self, items: &[Hosted]) {
        let own = items.iter().filter(|item| item.of == Protocol::Responses).map(|item| &item.is);
        let told = own.filter(|is| match Marked::of(is) {
            Some(Marked::Call) => tells_more(is),
            Some(Marked::Picture) => true,
            Some(Marked::Message | Marked::Thought) | None => false,
        });
        self.marks.extend(told.cloned());
    }

    /// The mark among those kept that is `meant`, which is of no further use.
    fn mark(&mut self, meant: impl Fn(&Value) -> bool) -> Option<Value> {
        let place = self.marks.iter().position(meant)?;
        Some(self.marks.remove(place))
    }

    /// A message begins, and says nothing yet.
    fn announce(&mut self, mark: &Value, out: &mut Vec<u8>) {
        self.close("completed", out);
        self.message = Some(mark.clone());
    }

    /// What OpenAI's own tools did comes whole.
    fn did(&mut self, item: Value, out: &mut Vec<u8>) {
        let at = self.place(out);
        let mut begun = item.clone();
        if begun["status"].is_string() {
            begun["status"] = "in_progress".into();
        }
        self.put(out, "response.output_item.added", json!({"output_index": at, "item": begun}));
        self.done(at, item, out);
    }

    /// A picture comes whole.
    fn picture(&mut self, image: &Value, out: &mut Vec<u8>) {
        let mark = self.mark(|mark| Marked::of(mark) == Some(Marked::Picture));
        let Some(item) = picture(self.answer(), self.output.len(), image) else { return };
        let item = marked(item, mark.as_ref());
        let at = self.place(out);
        let mut begun = item.clone();
        (begun["status"], begun["result"]) = ("in_progress".into(), Value::Null);
        self.put(out, "response.output_item.added", json!({"output_index": at, "item": begun}));
        let completed = json!({"output_index": at, "item_id": item["id"]});
        self.put(out, "response.image_generation_call.completed", completed);
        self.done(at, item, out);
    }

    fn think(&mut self, piece: &str, more: Vec<Value>, out: &mut Vec<u8>) {
        if !matches!(self.open, Some((_, Open::Reasoning { .. }))) {
            self.begin(Open::Reasoning { text: String::new(), blocks: vec![] }, out);
        }
        let mut first = false;
        if let Some((_, Open::Reasoning { text, blocks })) = &mut self.open {
            first = text.is_empty();
            text.push_str(piece);
            blocks.extend(more);
        }
        if piece.is_empty() {
            return;
        }
        if first {
            self.put(out, "response.reasoning_summary_part.added", self.summary_part(self.at(), ""));
        }
        self.piece(out, "response.reasoning_summary_text.delta", self.summary_place(self.at()), piece);
    }

    fn say(&mut self, piece: Said, out: &mut Vec<u8>) {
        if !matches!(self.open, Some((_, Open::Text(_)))) {
            let mark = self.message.take();
            self.begin(Open::Text(Said { from: piece.from, mark, ..Said::default() }), out);
        }
        let mut fields = self.part_place(self.at());
        fields["logprobs"] = logprobs(&piece.logprobs);
        self.piece(out, "response.output_text.delta", fields, &piece.text);
        if let Some((_, Open::Text(said))) = &mut self.open {
            said.text.push_str(&piece.text);
            said.sources.extend(piece.sources);
            said.logprobs.extend(piece.logprobs);
        }
    }

    /// What the provider wants back with the text that is open.
    fn sign(&mut self, extra: &Value) {
        if let Some((_, Open::Text(said))) = self.open.as_mut().filter(|_| !extra.is_null()) {
            said.mark.get_or_insert(json!({}))["extra_content"] = extra.clone();
        }
    }

    fn refuse(&mut self, piece: &str, out: &mut Vec<u8>) {
        if !matches!(self.open, Some((_, Open::Refusal { .. }))) {
            self.begin(Open::Refusal { text: String::new() }, out);
        }
        if let Some((_, Open::Refusal { text })) = &mut self.open {
            text.push_str(piece);
        }
        let fields = self.part_place(self.at());
        self.piece(out, "response.refusal.delta", fields, piece);
    }

    fn call(&mut self, place: usize, piece: Call, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        for told in self.naming.hear(place, piece)? {
            match told {
                Told::Begins(index, call) => self.begin_call(index, call, out),
                Told::Given(index, more) => self.give(index, &more, out),
            }
        }
        Ok(())
    }

    /// The item of a call, with what was said of it besides.
    fn called(&self, at: usize, call: &Call, status: &str, mark: Option<&Value>) -> Value {
        self.echo.placed(marked(called(self.answer(), at, call, status), mark))
    }

    fn begin_call(&mut self, index: usize, call: Call, out: &mut Vec<u8>) {
        let at = self.place(out);
        let mark = self.mark(|mark| call.id.as_deref().is_some_and(|id| mark["call_id"] == id));
        let item = self.called(at, &call, "in_progress", mark.as_ref());
        self.put(out, "response.output_item.added", json!({"output_index": at, "item": item}));
        self.calls.push(OpenCall { index, at, call, mark });
    }

    fn give(&mut self, index: usize, more: &str, out: &mut Vec<u8>) {
        let Some(place) = self.calls.iter().position(|open| open.index == index) else { return };
        self.calls[place].call.text_mut().push_str(more);
        let OpenCall { at, call, .. } = &self.calls[place];
        let event = format!("{}.delta", argument(call).0);
        let fields = json!({"item_id": call_item_id(self.answer(), *at, call), "output_index": at});
        self.piece(out, &event, fields, more);
    }

    /// The place of an item that begins: what was open, but for calls, ends before it.
    fn place(&mut self, out: &mut Vec<u8>) -> usize {
        self.close("completed", out);
        self.output.push(None);
        self.output.len() - 1
    }

    fn begin(&mut self, open: Open, out: &mut Vec<u8>) {
        let at = self.place(out);
        let item = self.item(at, &open, "in_progress");
        self.put(out, "response.output_item.added", json!({"output_index": at, "item": item}));
        let part = match &open {
            Open::Text(said) => Some(said.part()),
            Open::Refusal { text } => Some(json!({"type": "refusal", "refusal": text})),
            Open::Reasoning { .. } => None,
        };
        if let Some(part) = part {
            let mut fields = self.part_place(at);
            fields["part"] = part;
            self.put(out, "response.content_part.added", fields);
        }
        self.open = Some((at, open));
    }

    /// Ends what is open, but for calls, with the events that say what it has become.
    fn close(&mut self, status: &str, out: &mut Vec<u8>) {
        if let Some((at, open)) = self.open.take() {
            self.close_texts(at, &open, out);
            let item = self.item(at, &open, status);
            self.done(at, item, out);
        }
    }

    /// Ends all that is open; `status` is that of the last item. Calls began before anything else that is open.
    fn close_all(&mut self, status: &str, out: &mut Vec<u8>) {
        if let Some((index, call)) = self.naming.end() {
            self.begin_call(index, call, out);
        }
        self.grown.sealed().into_iter().for_each(|block| self.think("", vec![block], out));
        let last = self.output.len().saturating_sub(1);
        for call in std::mem::take(&mut self.calls) {
            self.close_call(&call, if call.at == last { status } else { "completed" }, out);
        }
        self.close(status, out);
    }

    fn close_call(&mut self, OpenCall { at, call, mark, .. }: &OpenCall, status: &str, out: &mut Vec<u8>) {
        let at = *at;
        let item = self.called(at, call, status, mark.as_ref());
        let (event, argument) = argument(call);
        let mut fields = json!({"item_id": item["id"], "output_index": at, argument: item[argument]});
        if call.custom.is_none() {
            fields["name"] = item["name"].clone();
        }
        self.put(out, &format!("{event}.done"), fields);
        self.done(at, item, out);
    }

    fn done(&mut self, at: usize, item: Value, out: &mut Vec<u8>) {
        self.put(out, "response.output_item.done", json!({"output_index": at, "item": item}));
        self.output[at] = Some(item);
    }

    fn close_texts(&mut self, at: usize, open: &Open, out: &mut Vec<u8>) {
        match open {
            Open::Text(said) => {
                let mut fields = self.part_place(at);
                fields["text"] = said.text.clone().into();
                fields["logprobs"] = logprobs(&said.logprobs);
                self.put(out, "response.output_text.done", fields);
                self.part_done(at, said.part(), out);
            }
            Open::Refusal { text } => {
                let mut fields = self.part_place(at);
                fields["refusal"] = text.clone().into();
                self.put(out, "response.refusal.done", fields);
                self.part_done(at, json!({"type": "refusal", "refusal": text}), out);
            }
            Open::Reasoning { text, .. } if !text.is_empty() => {
                let mut fields = self.summary_place(at);
                fields["text"] = text.clone().into();
                self.put(out, "response.reasoning_summary_text.done", fields);
                self.put(out, "response.reasoning_summary_part.done", self.summary_part(at, text));
            }
            Open::Reasoning { .. } => {}
        }
    }

    fn part_done(&mut self, at: usize, part: Value, out: &mut Vec<u8>) {
        let mut fields = self.part_place(at);
        fields["part"] = part;
        self.put(out, "response.content_part.done", fields);
    }

    fn item(&self, at: usize, open: &Open, status: &str) -> Value {
        let answer = self.answer();
        let parts = |part: Value| if status == "in_progress" { vec![] } else { vec![part] };
        match open {
            Open::Reasoning { text, blocks } => reasoning(answer, at, text, blocks),
            Open::Text(text) => marked(said(answer, at, status, parts(text.part())), text.mark.as_ref()),
            Open::Refusal { text } => said(answer, at, status, parts(json!({"type": "refusal", "refusal": text}))),
        }
    }

    fn part_place(&self, at: usize) -> Value {
        json!({"item_id": item_id("msg", self.answer(), at), "output_index": at, "content_index": 0})
    }

    fn summary_place(&self, at: usize) -> Value {
        json!({"item_id": item_id("rs", self.answer(), at), "output_index": at, "summary_index": 0})
    }

    fn summary_part(&self, at: usize, text: &str) -> Value {
        let mut fields = self.summary_place(at);
        fields["part"] = json!({"type": "summary_text", "text": text});
        fields
    }

    /// Where the item stands that is open and no call.
    fn at(&self) -> usize {
        self.open.as_ref().map_or(0, |(at, _)| *at)
    }

    fn answer(&self) -> &str {
        self.head.as_ref().map_or("", |head| &head.id)
    }

    fn response(&self, state: State) -> Value {
        let nobody = Answer::default();
        let done = self.output.iter().flatten().cloned().collect();
        response(self.head.as_ref().unwrap_or(&nobody), &self.echo, state, done)
    }

    fn piece(&mut self, out: &mut Vec<u8>, event: &str, mut fields: Value, piece: &str) {
        fields["delta"] = piece.into();
        self.put(out, event, fields);
    }

    /// Events repeat their name as their type and are numbered.
    fn put(&mut self, out: &mut Vec<u8>, event: &str, mut fields: Value) {
        fields["type"] = event.into();
        fields["sequence_number"] = self.sequence.into();
        self.sequence += 1;
        out.extend_from_slice(&sse::event(Some(event), fields.to_string().as_bytes()));
    }
}

/// The events that tell what a call is given, and the field that has it.
fn argument(call: &Call) -> (&'static str, &'static str) {
    match call.custom {
        Some(_) => ("response.custom_tool_call_input", "input"),
        None => ("response.function_call_arguments", "arguments"),
    }
}
