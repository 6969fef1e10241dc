//! Any conversation, in OpenAI's shape, and what is said in it, so that translations can be held to it.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};

/// One thing that is said, in the order of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    User(String),
    /// Base64.
    Picture(String),
    Assistant(String),
    Call {
        id: String,
        name: String,
        arguments: Value,
    },
    Result {
        id: String,
        text: String,
    },
}

/// A conversation as it is sent, its system prompts, and what is said in it.
#[derive(Debug, Clone)]
pub struct Conversation {
    pub messages: Vec<Value>,
    pub system: Vec<String>,
    pub said: Vec<Said>,
}

impl Conversation {
    /// As Claude is to hear it, which goes on with an assistant's last text and refuses one that ends in white space.
    pub fn trimmed(mut self) -> Self {
        if let Some(Said::Assistant(text)) = self.said.last_mut() {
            text.truncate(text.trim_end().len());
        }
        self
    }

    /// Checks that all of it arrives in its order, and that roles alternate from the user's on. `body`: as it is posted,
    /// with `system` beside the `messages`; `said`: what the messages say.
    pub fn arrives(self, body: &Value, said: Vec<Said>) -> Result<(), TestCaseError> {
        prop_assert_eq!(said, self.said);
        let system = body["system"].as_array().cloned().unwrap_or_default();
        let system: Vec<&str> = system.iter().map(|block| block["text"].as_str().unwrap()).collect();
        prop_assert_eq!(system, self.system);
        let roles: Vec<&Value> = body["messages"].as_array().unwrap().iter().map(|message| &message["role"]).collect();
        prop_assert!(roles[0] == "user" && roles.windows(2).all(|pair| pair[0] != pair[1]), "{:?}", roles);
        Ok(())
    }
}

/// Up to 8 exchanges of text, pictures, parallel calls and their results, from a user's first words on, with system
/// prompts anywhere.
pub fn any_conversation() -> impl Strategy<Value = Conversation> {
    let exchange = prop_oneof![
        words().prop_map(Exchange::System),
        (words(), proptest::option::of("[A-Za-z0-9+/]{4}")).prop_map(|(text, picture)| Exchange::User(text, picture)),
        words().prop_map(Exchange::Assistant),
        (proptest::option::of(words()), vec(("[a-z_]{1,8}", any_arguments(), words()), 1..4))
            .prop_map(|(text, calls)| Exchange::Calls(text, calls)),
    ];
    (words(), vec(exchange, 0..8)).prop_map(|(first, rest)| {
        let first = Exchange::User(first, None);
        let mut out = Conversation { messages: vec![], system: vec![], said: vec![] };
        std::iter::once(first).chain(rest).for_each(|exchange| out.add(exchange));
        out
    })
}

#[derive(Debug, Clone)]
enum Exchange {
    System(String),
    User(String, Option<String>),
    Assistant(String),
    Calls(Option<String>, Vec<(String, Value, String)>),
}

/// Never blank: wires refuse that.
fn words() -> impl Strategy<Value = String> {
    "\\PC{0,12}[a-zé😀]\\PC{0,4}"
}

fn any_arguments() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![any::<i32>().prop_map(Value::from), "\\PC{0,6}".prop_map(Value::from), Just(Value::Null)];
    vec(("[a-z]{1,4}", leaf), 0..3).prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

impl Conversation {
    fn add(&mut self, exchange: Exchange) {
        match exchange {
            Exchange::System(text) => {
                self.messages.push(json!({"role": "system", "content": text}));
                self.system.push(text);
            }
            Exchange::User(text, None) => {
                self.messages.push(json!({"role": "user", "content": text}));
                self.said.push(Said::User(text));
            }
            Exchange::User(text, Some(picture)) => {
                let url = format!("data:image/png;base64,{picture}");
                self.messages.push(json!({"role": "user", "content": [
                    {"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]}));
                self.said.extend([Said::User(text), Said::Picture(picture)]);
            }
            Exchange::Assistant(text) => {
                self.messages.push(json!({"role": "assistant", "content": text}));
                self.said.push(Said::Assistant(text));
            }
            Exchange::Calls(text, calls) => self.add_calls(text, calls),
        }
    }

    fn add_calls(&mut self, text: Option<String>, calls: Vec<(String, Value, String)>) {
        let first = self.messages.len();
        let id = |i: usize| format!("call_{first}_{i}");
        let written = calls.iter().enumerate().map(|(i, (name, arguments, _))| {
            json!({"id": id(i), "type": "function", "function": {"name": name, "arguments": arguments.to_string()}})
        });
        self.messages.push(json!({"role": "assistant", "content": text, "tool_calls": written.collect::<Vec<_>>()}));
        self.said.extend(text.map(Said::Assistant));
        let called = calls.iter().enumerate();
        self.said.extend(called.map(|(i, (name, arguments, _))| Said::Call {
            id: id(i),
            name: name.clone(),
            arguments: arguments.clone(),
        }));
        for (i, (_, _, text)) in calls.into_iter().enumerate() {
            self.messages.push(json!({"role": "tool", "tool_call_id": id(i), "content": text}));
            self.said.push(Said::Result { id: id(i), text });
        }
    }
}
