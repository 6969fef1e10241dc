//! A whole message → a completion.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::answer::{Own, WireUsage, call, citation, ending, finish, refusal};
use crate::api::chat::forgiving;
use crate::api::conversation::ToolCall;
use crate::upstream::blocks::{self, Block};
use crate::upstream::completion::{Completion, Head};
use crate::upstream::{Asked, NoAnswer, WholeReply};

#[derive(Deserialize)]
struct Message {
    id: Option<String>,
    model: Option<String>,
    content: Vec<Value>,
    stop_reason: Option<String>,
    #[serde(default)]
    stop_sequence: Option<String>,
    #[serde(default)]
    stop_details: Value,
    #[serde(default, deserialize_with = "forgiving")]
    usage: Option<WireUsage>,
    #[serde(default)]
    container: Value,
    #[serde(default)]
    context_management: Value,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireBlock {
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
        #[serde(flatten)]
        more: Map<String, Value>,
    },
    /// What Anthropic's own tools did, and what is new.
    #[serde(other)]
    Other,
}

/// # Errors
/// Why the bytes are no message.
pub fn reply(asked: &Asked<'_>, body: &[u8]) -> Result<WholeReply, NoAnswer> {
    let message: Message = serde_json::from_slice(body).map_err(|e| no_message(body, &e))?;
    let head = Head::stamped((asked.stamp)(), asked.model).named(message.id, message.model);
    let blocks =
        message.content.into_iter().map(block).collect::<Result<Vec<_>, _>>().map_err(|e| no_message(body, &e))?;
    let (mut choice, is_answer) = blocks::choice(asked, blocks);
    let reason = message.stop_reason.as_deref().unwrap_or_default();
    choice.finish = Some(finish(reason, is_answer));
    choice.refusal = refusal(reason, &message.stop_details);
    let own = Own {
        container: message.container,
        context_management: message.context_management,
        stop_details: message.stop_details,
        usage: message.usage.as_ref().map(WireUsage::own).unwrap_or_default(),
    };
    choice.ending = ending(reason, message.stop_sequence, own);
    Ok(Completion { head, choices: vec![choice], usage: message.usage.and_then(|usage| usage.usage()) }.into_reply())
}

fn no_message(body: &[u8], error: &serde_json::Error) -> NoAnswer {
    let read: Value = serde_json::from_slice(body).unwrap_or_default();
    match read["error"].is_object() {
        true => NoAnswer::told(body),
        false => format!("the answer is not a message: {error}").into(),
    }
}

fn block(block: Value) -> Result<Block, serde_json::Error> {
    Ok(match WireBlock::deserialize(&block)? {
        WireBlock::Text { text, citations } => {
            Block::Text { text, citations: citations.into_iter().flatten().map(citation).collect() }
        }
        WireBlock::Thinking { thinking, signature } => Block::Thinking { thinking, signature },
        WireBlock::RedactedThinking { data } => Block::Redacted { data },
        WireBlock::ToolUse { id, name, input, more } => {
            Block::Call(ToolCall { arguments: input.to_string(), ..call(id, name, more) })
        }
        WireBlock::Other => Block::Hosted(block),
    })
}
