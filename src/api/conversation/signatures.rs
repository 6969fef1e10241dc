//! Google's signatures of calls. A chat has them in `extra_content` of each; clients of other protocols, who have no such
//! field, are given them as thoughts that nobody else can read, and send these back untouched.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::thoughts::Sealed;

/// Stands for all of Google's models: whose signature it is, they tell themselves.
const THINKER: &str = "google";

/// What signs the calls that are still to come.
#[derive(Debug, Default)]
pub struct Signatures(HashMap<String, String>);

impl Signatures {
    /// The thought that has a call's signature; `None`: it has none.
    pub fn seal(call_id: &str, extra_content: &Value) -> Option<Value> {
        let content = extra_content["google"]["thought_signature"].as_str()?.to_owned();
        let (thinker, id, summary) = (THINKER.to_owned(), Some(call_id.to_owned()), String::new());
        Some(Sealed { thinker, id, summary, content }.block())
    }

    /// Keeps a thought that has a signature; any other is given back.
    pub fn keep(&mut self, block: Value) -> Option<Value> {
        let sealed = block["data"].as_str().and_then(|seal| Sealed::open("", seal));
        match sealed.filter(|sealed| sealed.thinker == THINKER) {
            Some(Sealed { id, content, .. }) => {
                self.0.extend(id.map(|id| (id, content)));
                None
            }
            None => Some(block),
        }
    }

    /// The call, as a chat has it, with its signature.
    pub fn sign(&mut self, mut call: Value) -> Value {
        if let Some(signature) = call["id"].as_str().and_then(|id| self.0.remove(id)) {
            call["extra_content"] = json!({"google": {"thought_signature": signature}});
        }
        call
    }
}
