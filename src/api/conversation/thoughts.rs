//! A model's earlier thoughts, which some providers want back as they were: `thinking_blocks` of an assistant's
//! message.

use serde::Deserialize;
use serde_json::{Value, json};

/// One of them, in Anthropic's form, as gateways hand them out.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "Block")]
pub enum Reasoning {
    Thinking { thinking: String, signature: Option<String> },
    RedactedThinking { data: String },
    Sealed(Sealed),
}

/// A thought that nobody but the model which had it can read: a reasoning item of OpenAI's Responses. It travels in
/// Anthropic's form too, which clients of every protocol give back untouched: what is sealed stands where Claude's
/// signature would, and as a redacted thought where there is nothing to show of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// `provider/model`: another account, and most other models, refuse what they cannot read.
    pub thinker: String,
    /// The item's.
    pub id: Option<String>,
    /// What may be shown of it.
    pub summary: String,
    /// `encrypted_content`.
    pub content: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Thinking {
        #[serde(default)]
        thinking: String,
        #[serde(default)]
        signature: Option<String>,
    },
    RedactedThinking {
        data: String,
    },
}

impl Reasoning {
    /// Whether it is signed, as Claude's are: it refuses others.
    pub fn is_signed(&self) -> bool {
        match self {
            Self::Thinking { signature, .. } => signature.as_deref().is_some_and(|signature| !signature.is_empty()),
            Self::RedactedThinking { .. } => true,
            Self::Sealed(_) => false,
        }
    }
}

/// Whether somebody signed this one of the `thinking_blocks`, in words that all may read.
pub fn is_signed(block: &Value) -> bool {
    block["signature"].as_str().is_some_and(|signature| !signature.is_empty())
}

impl From<Block> for Reasoning {
    fn from(block: Block) -> Self {
        let sealed = match &block {
            Block::Thinking { thinking, signature } => {
                signature.as_deref().and_then(|seal| Sealed::open(thinking, seal))
            }
            Block::RedactedThinking { data } => Sealed::open("", data),
        };
        match (sealed, block) {
            (Some(sealed), _) => Self::Sealed(sealed),
            (None, Block::Thinking { thinking, signature }) => Self::Thinking { thinking, signature },
            (None, Block::RedactedThinking { data }) => Self::RedactedThinking { data },
        }
    }
}

impl Sealed {
    /// As it stands in `thinking_blocks`.
    pub fn block(&self) -> Value {
        let seal = json!([self.thinker, self.id, self.content]).to_string();
        match &*self.summary {
            "" => json!({"type": "redacted_thinking", "data": seal}),
            summary => json!({"type": "thinking", "thinking": summary, "signature": seal}),
        }
    }

    /// `None`: the seal is another's. Claude's are base64, and no JSON.
    pub(super) fn open(summary: &str, seal: &str) -> Option<Self> {
        let (thinker, id, content) = serde_json::from_str(seal).ok()?;
        Some(Self { thinker, id, summary: summary.to_owned(), content })
    }
}
