//! A whole message → a completion.

use serde::Deserialize;
use serde_json::Value;

use super::answer::{StopDetails, WireUsage, annotation, finish, redacted_block, refusal, thinking_block};
use crate::api::conversation::ToolCall;
use crate::upstream::completion::{Choice, Completion, Head};
use crate::upstream::structure::Structure;
use crate::upstream::{Asked, WholeReply};

#[derive(Deserialize)]
struct Message {
    id: Option<String>,
    model: Option<String>,
    content: Vec<Block>,
    stop_reason: Option<String>,
    #[serde(default)]
    stop_details: Option<StopDetails>,
    #[serde(default)]
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        text: String,
        #[serde(default)]
        citations: Option<Vec<Value>>,
    },
    Thinking {
        thinking: String,
        #[serde(default)]
        signature: String,
    },
    RedactedThinking {
        data: String,
    },
    ToolUse {
        id: String,
        name: String,
        #[serde(default)]
        input: Value,
    },
    /// What the provider's own tools did.
    #[serde(other)]
    Other,
}

/// # Errors
/// Why the bytes are no message.
pub fn reply(asked: &Asked<'_>, body: &[u8]) -> Result<WholeReply, String> {
    let message: Message = serde_json::from_slice(body).map_err(|e| no_message(body, &e))?;
    let head = Head::stamped(asked.stamp, asked.model).named(message.id, message.model);
    let mut answer = Answer { asked, choice: Choice::default(), is_answer: false };
    message.content.into_iter().for_each(|block| answer.take(block));
    let Answer { mut choice, is_answer, .. } = answer;
    let reason = message.stop_reason.as_deref().unwrap_or_default();
    choice.finish = Some(finish(reason, is_answer));
    choice.refusal = refusal(reason, message.stop_details);
    Ok(Completion { head, choices: vec![choice], usage: message.usage.map(WireUsage::usage) }.into_reply())
}

fn no_message(body: &[u8], error: &serde_json::Error) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    match body["error"]["message"].as_str() {
        Some(message) => format!("an error instead of an answer: {message}"),
        None => format!("the answer is not a message: {error}"),
    }
}

struct Answer<'a> {
    asked: &'a Asked<'a>,
    choice: Choice,
    is_answer: bool,
}

impl Answer<'_> {
    fn take(&mut self, block: Block) {
        let choice = &mut self.choice;
        match block {
            Block::Text { text, citations } => {
                let from = choice.content.chars().count();
                let to = from + text.chars().count();
                choice.content += &text;
                choice.annotations.extend(citations.into_iter().flatten().map(|c| annotation(c, from, to)));
            }
            Block::Thinking { thinking, signature } => {
                choice.reasoning += &thinking;
                choice.thinking_blocks.push(thinking_block(&thinking, &signature));
            }
            Block::RedactedThinking { data } => choice.thinking_blocks.push(redacted_block(&data)),
            Block::ToolUse { name, input, .. } if Structure::is_answer(self.asked.request, &name) => {
                self.is_answer = true;
                choice.content += &input.to_string();
            }
            Block::ToolUse { id, name, input } => {
                let arguments = input.to_string();
                choice.calls.push(ToolCall { id, name, arguments, signature: None });
            }
            Block::Other => {}
        }
    }
}
