//! Structured answers from models that have no way of their own to promise them: as the input of a tool that the model
//! must call, or, where it must be free to call others or to think, by telling it.

use serde_json::{Value, json};

use crate::api::chat::ChatRequest;
use crate::api::conversation::{Format, unsupported};
use crate::api::error::BadRequest;

/// The tool whose input is the answer. The client has no tools when it is there, so that it has no namesake.
pub const ANSWER: &str = "answer";
/// What the tool is for.
pub const ANSWER_PURPOSE: &str = "Gives the whole answer to the conversation, in JSON.";

/// How an answer gets the form that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Structure {
    /// None was.
    Free,
    /// The provider holds the model to this schema.
    Native(Value),
    /// The model must call [`ANSWER`], whose input has this schema.
    Tool(Value),
    /// These words stand in the system prompt.
    Told(String),
}

impl Structure {
    /// Where `native` holds models to some schemas; `unforced`: the model cannot be made to call a tool, for one because
    /// it thinks.
    ///
    /// # Errors
    /// A schema that can only be promised with a tool, beside tools of the client's own.
    pub fn choose(
        request: &ChatRequest,
        format: &Format,
        unforced: bool,
        native: impl FnOnce(&Value) -> Option<Value>,
    ) -> Result<Self, BadRequest> {
        let searches = request.raw("web_search_options").is_some_and(|options| &options[..] != b"null");
        let free = !request.needs.tools && !unforced && !searches;
        Ok(match format {
            Format::Text => Self::Free,
            Format::JsonSchema(wanted) if wanted.schema.is_object() => match native(&wanted.schema) {
                Some(schema) => Self::Native(schema),
                None if free => Self::Tool(wanted.schema.clone()),
                None if wanted.strict != Some(true) || request.drop_unsupported => Self::Told(words(&wanted.schema)),
                None => return Err(beside()),
            },
            _ if free => Self::Tool(json!({"type": "object"})),
            _ => Self::Told("Answer with one JSON object, and with nothing before or after it.".into()),
        })
    }

    /// What the model is to be told.
    pub fn words(&self) -> Option<&str> {
        match self {
            Self::Told(words) => Some(words),
            _ => None,
        }
    }

    /// Whether a call of `tool` in the answer to `request` is the answer itself.
    pub fn is_answer(request: &ChatRequest, tool: &str) -> bool {
        tool == ANSWER && request.needs.json && !request.needs.tools
    }
}

/// What a model is told where its provider holds it to a form only without tools, and there are some: `format` is then
/// no longer to be asked for. `None`: no form is wanted.
///
/// # Errors
/// A schema that must be held to.
pub fn told_beside_tools(request: &ChatRequest, format: &mut Format) -> Result<Option<String>, BadRequest> {
    let structure = Structure::choose(request, &std::mem::take(format), true, |_| None)?;
    Ok(if let Structure::Told(words) = structure { Some(words) } else { None })
}

fn words(schema: &Value) -> String {
    format!("Answer with JSON that holds to this JSON schema, and with nothing before or after it:\n{schema}")
}

fn beside() -> BadRequest {
    let problem = "this model cannot be held to this schema, or not while it has tools or thinks";
    unsupported("response_format", problem)
}
