//! What only its provider can read of an answer, and wants back: Google's signatures of calls, which a chat has in
//! `extra_content` of each, and OpenRouter's `reasoning_details`. Clients of other protocols, who have no such fields, are
//! given them as thoughts that nobody else can read, and send these back untouched.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::thoughts::Sealed;

/// Stands for all of Google's models: whose signature it is, they tell themselves.
const GOOGLE: &str = "google";
/// Stands for whoever gives them.
const DETAILS: &str = "reasoning_details";

/// Google's, of what has this `extra_content`.
pub(super) fn signature(extra_content: Option<&Value>) -> Option<String> {
    extra_content?["google"]["thought_signature"].as_str().map(str::to_owned)
}

/// What a conversation has of them for the answer that is still to come, or has just come.
#[derive(Debug, Default)]
pub struct Signatures {
    calls: HashMap<String, String>,
    details: Vec<Value>,
}

impl Signatures {
    /// The thought that has a call's signature; `None`: it has none.
    pub fn seal(call_id: &str, extra_content: &Value) -> Option<Value> {
        let content = signature(Some(extra_content))?;
        let (thinker, id, summary) = (GOOGLE.to_owned(), Some(call_id.to_owned()), String::new());
        Some(Sealed { thinker, id, summary, content }.block())
    }

    /// The thought that has such details; `None`: they are words that anybody may read.
    pub fn seal_details(details: &[Value]) -> Option<Value> {
        let is_sealed = |detail: &Value| detail["data"].is_string() || detail["signature"].is_string();
        let (thinker, content) = (DETAILS.to_owned(), json!(details).to_string());
        let sealed = Sealed { thinker, id: None, summary: String::new(), content };
        details.iter().any(is_sealed).then(|| sealed.block())
    }

    /// Keeps a thought that has a signature or details; any other is given back.
    pub fn keep(&mut self, block: Value) -> Option<Value> {
        match block["data"].as_str().and_then(|seal| Sealed::open("", seal)) {
            Some(Sealed { thinker, id, content, .. }) if thinker == GOOGLE => {
                self.calls.extend(id.map(|id| (id, content)));
                None
            }
            Some(Sealed { thinker, content, .. }) if thinker == DETAILS => {
                self.details.extend(serde_json::from_str::<Vec<Value>>(&content).unwrap_or_default());
                None
            }
            _ => Some(block),
        }
    }

    /// The call, as a chat has it, with its signature.
    pub fn sign(&mut self, mut call: Value) -> Value {
        if let Some(signature) = call["id"].as_str().and_then(|id| self.calls.remove(id)) {
            call["extra_content"] = json!({"google": {"thought_signature": signature}});
        }
        call
    }

    /// The details that were kept, which are of no further use.
    pub fn details(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.details)
    }
}
