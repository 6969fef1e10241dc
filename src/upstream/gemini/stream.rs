//! A stream: each event is a `GenerateContentResponse` with what is new.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use super::answer::{self, Answer, Candidate, LogprobsResult, Part, Said};
use super::citations::{self, Cited};
use crate::api::conversation::{ToolCall, keeps_first_call};
use crate::catalog::Usage;
use crate::upstream::completion::{Chunks, Finish, Head, call_json, signature_json};
use crate::upstream::{Asked, Events, NoAnswer, Stamp, StreamItem, Text, WireEvent, tell_count};

/// One stream under way.
pub(super) struct Translation {
    chunks: Chunks,
    stamp: Stamp,
    /// Of each candidate.
    first_call_only: bool,
    /// By index, as they are met.
    candidates: HashMap<usize, Speaker>,
    /// Calls of all candidates so far.
    calls: usize,
    /// Each event says what it all took until then.
    usage: Option<Usage>,
}

/// What is remembered of a candidate.
#[derive(Default)]
struct Speaker {
    begun: bool,
    called: bool,
    drew: bool,
    /// Citations count in it.
    text: Cited,
}

impl Translation {
    pub(super) fn new(asked: &Asked<'_>) -> Self {
        let stamp = (asked.stamp)();
        let chunks = Chunks::new(Head::stamped(stamp, asked.model));
        let first_call_only = keeps_first_call(asked.request);
        Self { chunks, stamp, first_call_only, candidates: HashMap::new(), calls: 0, usage: None }
    }

    fn candidate(&mut self, candidate: Candidate, out: &mut VecDeque<StreamItem>) -> Result<(), String> {
        let index = candidate.index;
        for part in candidate.content.parts {
            self.part(index, part, out);
        }
        let text = &self.candidates.entry(index).or_default().text;
        let annotations = citations::annotations(candidate.grounding_metadata, candidate.citation_metadata, text);
        self.list(index, "annotations", annotations, Text::default(), out);
        if let Some(logprobs) = candidate.logprobs_result {
            self.logprobs(index, logprobs, out);
        }
        match candidate.finish_reason {
            Some(reason) => self.stop(index, &reason, candidate.finish_message.as_deref(), out),
            None => Ok(()),
        }
    }

    fn part(&mut self, index: usize, mut part: Part, out: &mut VecDeque<StreamItem>) {
        let signature = part.text_signature();
        match part.said(self.stamp, &mut self.calls) {
            Said::Text(piece) => {
                self.candidates.entry(index).or_default().text.push(&piece);
                let delta = json!({"content": piece});
                self.say(index, delta, Text { content: piece, ..Text::default() }, out);
            }
            Said::Thought(piece) => self.say(index, json!({"reasoning_content": piece}), Text::default(), out),
            Said::Call(call) => self.call(index, &call, out),
            Said::Picture(picture) => self.picture(index, picture, out),
            Said::Nothing => {}
        }
        if let Some(signature) = signature {
            let delta = json!({"extra_content": signature_json(&signature)});
            self.say(index, delta, Text::default(), out);
        }
    }

    /// Calls come whole.
    fn call(&mut self, index: usize, call: &ToolCall, out: &mut VecDeque<StreamItem>) {
        let called = std::mem::replace(&mut self.candidates.entry(index).or_default().called, true);
        if called && self.first_call_only {
            return;
        }
        let text = Text { tool_calls: true, ..Text::default() };
        self.list(index, "tool_calls", vec![call_json(call)], text, out);
    }

    /// So do pictures.
    fn picture(&mut self, index: usize, picture: Value, out: &mut VecDeque<StreamItem>) {
        self.candidates.entry(index).or_default().drew = true;
        self.list(index, "images", vec![picture], Text::default(), out);
    }

    fn list(
        &mut self,
        index: usize,
        name: &'static str,
        entries: Vec<Value>,
        text: Text,
        out: &mut VecDeque<StreamItem>,
    ) {
        if let Some(delta) = self.chunks.grown(index, name, entries) {
            self.say(index, delta, text, out);
        }
    }

    /// A piece of a candidate; before its first one, who speaks.
    fn say(&mut self, index: usize, delta: Value, text: Text, out: &mut VecDeque<StreamItem>) {
        let begun = std::mem::replace(&mut self.candidates.entry(index).or_default().begun, true);
        if !begun {
            out.push_back(self.chunks.delta(index, json!({"role": "assistant", "content": ""}), Text::default()));
        }
        let text = if index == 0 { text } else { Text::default() };
        out.push_back(self.chunks.delta(index, delta, text));
    }

    fn logprobs(&self, index: usize, logprobs: LogprobsResult, out: &mut VecDeque<StreamItem>) {
        let choice = json!({"index": index, "delta": {}, "logprobs": logprobs.json(), "finish_reason": null});
        out.push_back(self.chunks.chunk(choice, Text::default()));
    }

    fn stop(
        &mut self,
        index: usize,
        reason: &str,
        message: Option<&str>,
        out: &mut VecDeque<StreamItem>,
    ) -> Result<(), String> {
        let speaker = self.candidates.entry(index).or_default();
        let silent = speaker.text.is_empty() && !speaker.called && !speaker.drew;
        let finish = answer::finish(Some(reason), message, speaker.called, silent)?;
        self.finish(index, finish, out);
        Ok(())
    }

    fn finish(&self, index: usize, finish: Finish, out: &mut VecDeque<StreamItem>) {
        let reason = (index == 0).then(|| finish.name().to_owned());
        let choice = json!({"index": index, "delta": {}, "logprobs": null, "finish_reason": finish.name()});
        out.push_back(self.chunks.chunk(choice, Text { finish_reason: reason, ..Text::default() }));
    }
}

impl Events for Translation {
    fn event(&mut self, event: WireEvent, out: &mut VecDeque<StreamItem>) -> Result<(), NoAnswer> {
        let answer = Answer::read(&event.data)?;
        let blocked = answer.blocked();
        let Answer { candidates, usage_metadata, model_version, response_id, .. } = answer;
        let head = self.chunks.head.clone().named(response_id, model_version);
        self.chunks.head = head;
        self.usage = usage_metadata.and_then(|usage| usage.usage()).or(self.usage);
        if let Some(reason) = blocked {
            self.say(0, json!({"refusal": reason}), Text { refusal: true, ..Text::default() }, out);
            self.finish(0, Finish::ContentFilter, out);
        }
        candidates.into_iter().try_for_each(|candidate| self.candidate(candidate, out))?;
        tell_count(out, self.usage);
        Ok(())
    }

    fn end(&mut self, out: &mut VecDeque<StreamItem>) {
        out.extend(self.usage.map(|usage| self.chunks.usage(usage)));
    }
}
