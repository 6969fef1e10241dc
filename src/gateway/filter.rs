//! Hard filters: which models can answer a request at all.

use std::borrow::Cow;
use std::fmt;

use crate::api::chat::ChatRequest;
use crate::api::error::BadRequest;
use crate::catalog::Model;

/// What a request needs of a model.
#[derive(Debug, Clone, Copy)]
pub struct Demand<'a> {
    request: &'a ChatRequest,
    /// Estimated.
    input_tokens: u32,
}

/// A model that cannot answer a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excluded {
    pub model: String,
    pub reason: Reason,
}

/// What a model lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Prompt (estimated) and the output asked for are more than its context window, tokens.
    ContextWindow {
        /// Of which `asked` for the answer.
        needed: u64,
        asked: u32,
        window: u32,
    },
    /// More output is asked for than it can give, tokens.
    OutputLimit {
        asked: u32,
        limit: u32,
    },
    Tools,
    Vision,
    JsonSchema,
    /// Its provider's wire cannot say this.
    Inexpressible(BadRequest),
}

impl Reason {
    /// The request's field that asks too much; `None` where no single one does.
    pub fn field(self) -> Option<Cow<'static, str>> {
        match self {
            Self::ContextWindow { needed, asked, window } if needed - u64::from(asked) <= u64::from(window) => {
                Some("max_completion_tokens".into())
            }
            Self::ContextWindow { .. } | Self::Vision => Some("messages".into()),
            Self::OutputLimit { .. } => Some("max_completion_tokens".into()),
            Self::Tools => Some("tools".into()),
            Self::JsonSchema => Some("response_format".into()),
            Self::Inexpressible(bad) => bad.param,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContextWindow { needed, asked: 0, window } => {
                write!(f, "has a context window of {window} tokens, about {needed} are needed")
            }
            Self::ContextWindow { needed, asked, window } => {
                write!(f, "has a context window of {window} tokens, about {needed} are needed, {asked} for the answer")
            }
            Self::OutputLimit { asked, limit } => {
                write!(f, "gives at most {limit} output tokens, {asked} are asked for")
            }
            Self::Tools => f.write_str("cannot call tools"),
            Self::Vision => f.write_str("cannot read images"),
            Self::JsonSchema => f.write_str("cannot hold to a JSON schema"),
            Self::Inexpressible(bad) => write!(f, "cannot be asked this: {bad}"),
        }
    }
}

impl<'a> Demand<'a> {
    /// `input_tokens`: of the prompt, estimated.
    pub fn new(request: &'a ChatRequest, input_tokens: u32) -> Self {
        Self { request, input_tokens }
    }

    /// Whose demand it is.
    pub fn request(&self) -> &ChatRequest {
        self.request
    }

    /// What `model` lacks. What nobody has said of a model is not held against it.
    pub fn lacking(&self, model: &Model) -> Option<Reason> {
        let needs = self.request.needs;
        let cannot = |needed: bool, can: Option<bool>, reason| (needed && can == Some(false)).then_some(reason);
        self.too_long(model)
            .or_else(|| cannot(needs.tools, model.capabilities.tools, Reason::Tools))
            .or_else(|| cannot(needs.vision, model.capabilities.vision, Reason::Vision))
            .or_else(|| cannot(needs.json_schema, model.capabilities.json_schema, Reason::JsonSchema))
    }

    fn too_long(&self, model: &Model) -> Option<Reason> {
        let asked = self.request.max_output_tokens.unwrap_or(0);
        if let Some(limit) = model.max_output_tokens.filter(|limit| asked > *limit) {
            return Some(Reason::OutputLimit { asked, limit });
        }
        let needed = u64::from(self.input_tokens) + u64::from(asked);
        let window = model.context_window.filter(|window| needed > u64::from(*window))?;
        Some(Reason::ContextWindow { needed, asked, window })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Capabilities, ModelId};

    fn model() -> Model {
        Model {
            id: ModelId { provider: "p".into(), model: "m".into() },
            upstream_name: "m".into(),
            price: None,
            context_window: Some(1000),
            max_output_tokens: Some(500),
            capabilities: Capabilities { tools: Some(false), vision: None, json_schema: Some(true) },
        }
    }

    fn lacking(body: &'static str, input_tokens: u32) -> Option<Reason> {
        let request = ChatRequest::parse(&bytes::Bytes::from_static(body.as_bytes())).unwrap();
        Demand::new(&request, input_tokens).lacking(&model())
    }

    #[test]
    fn prompt_and_output_together_must_fit_the_window() {
        let body = r#"{"model":"m","max_tokens":400,"messages":[{"role":"user","content":"x"}]}"#;
        assert_eq!(lacking(body, 600), None);
        let reason = lacking(body, 601).unwrap();
        assert_eq!(reason, Reason::ContextWindow { needed: 1001, asked: 400, window: 1000 });
        assert!(reason.to_string().ends_with("about 1001 are needed, 400 for the answer"), "{reason}");
        // The prompt alone would fit, or does not.
        let fields = [601, 1001].map(|tokens| lacking(body, tokens).unwrap().field().unwrap());
        assert_eq!(fields, ["max_completion_tokens", "messages"]);
    }

    #[test]
    fn more_output_than_the_model_gives_names_that_field() {
        let body = r#"{"model":"m","max_tokens":501,"messages":[{"role":"user","content":"x"}]}"#;
        let reason = lacking(body, 1).unwrap();
        assert_eq!(reason, Reason::OutputLimit { asked: 501, limit: 500 });
        assert_eq!(reason.field().as_deref(), Some("max_completion_tokens"));
    }

    #[test]
    fn only_what_is_known_to_be_missing_counts_against_a_model() {
        let tools = r#"{"model":"m","tools":[{}],"messages":[{"role":"user","content":"x"}]}"#;
        let image = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]}"#;
        assert_eq!(lacking(tools, 1), Some(Reason::Tools));
        assert_eq!(lacking(image, 1), None);
    }
}
