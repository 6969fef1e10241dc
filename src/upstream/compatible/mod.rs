//! OpenAI's wire with a provider's quirks: fields that it calls otherwise, or knows nothing like.

mod amended;
pub(super) mod ids;
pub(super) mod messages;
pub(super) mod order;

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

pub(super) use amended::Amended;

use super::openai::OpenAi;
use super::{Asked, Embeddings, Events, NoAnswer, Provider, WholeReply, WireRequest};
use crate::api::chat::{self, ChatRequest, OWN, ROUTING};
use crate::api::conversation::{self, with_effort_alone, with_functions_only};
use crate::api::embeddings::EmbeddingsRequest;
use crate::api::error::{BadRequest, ErrorDetail};
use crate::catalog::quirks::Quirks;

/// A provider that speaks OpenAI's wire except for its [`Quirks`]. What they say nothing of passes through as it is.
#[derive(Debug, Clone)]
pub struct Compatible {
    /// As refusals call it.
    provider: String,
    quirks: Quirks,
}

impl Compatible {
    /// `provider`: as refusals call it.
    pub fn new(provider: impl Into<String>, quirks: Quirks) -> Self {
        Self { provider: provider.into(), quirks }
    }

    /// Where chat is, where that is not OpenAI's place.
    pub(super) fn chat_path(&self) -> Option<&str> {
        self.quirks.chat_path.as_deref()
    }

    /// The request's fields by the provider's names, in their order.
    fn fields<'a>(&'a self, request: &'a ChatRequest) -> Vec<(&'a str, Cow<'a, [u8]>)> {
        let takes = |name: &str| !OWN.contains(&name) && self.may_hear(name);
        let kept = request.fields().filter(|(name, _)| takes(name) && !self.leaves_out(request, name));
        kept.map(|(name, value)| (self.renamed(name), self.translated(request, name, value))).collect()
    }

    /// Who may answer is for the gateway to read, and for a provider that chooses among others.
    fn may_hear(&self, name: &str) -> bool {
        self.quirks.routes_itself || !ROUTING.contains(&name)
    }

    fn leaves_out(&self, request: &ChatRequest, name: &str) -> bool {
        let given = |field: &str| request.raw(field).is_some_and(|value| &value[..] != b"null");
        let replaced = |(ours, theirs): (&String, &String)| theirs == name && given(ours);
        self.quirks.unsupported().iter().any(|field| field == name)
            || (name == "stream_options" && (request.stream || self.quirks.stream_usage == Some(false)))
            || self.quirks.rename.iter().any(replaced)
            || (self.quirks.rename.contains_key(name) && !given(name))
    }

    fn renamed<'a>(&'a self, name: &'a str) -> &'a str {
        self.quirks.rename.get(name).map_or(name, String::as_str)
    }

    fn translated<'a>(&self, request: &ChatRequest, name: &str, value: &'a [u8]) -> Cow<'a, [u8]> {
        let other = match name {
            "messages" => messages::rewritten(&self.quirks, request),
            "tools" => messages::tools(&self.quirks, request),
            _ => self.other_word(name, value),
        };
        other.map_or(Cow::Borrowed(value), Cow::Owned)
    }

    fn other_word(&self, name: &str, value: &[u8]) -> Option<Vec<u8>> {
        let words = self.quirks.values.get(name)?;
        let word: String = serde_json::from_slice(value).ok()?;
        serde_json::to_vec(words.get(&word)?).ok()
    }
}

impl Provider for Compatible {
    fn path(&self, upstream_model: &str, stream: bool) -> String {
        self.chat_path().map_or_else(|| OpenAi.path(upstream_model, stream), str::to_owned)
    }

    fn refuses(&self, request: &ChatRequest) -> Option<BadRequest> {
        let provider = || format!("provider {}", self.provider);
        let custom = || conversation::no_custom_tools(request, provider());
        conversation::unknown_there(request, self.quirks.unsupported(), &self.provider)
            .or_else(|| self.quirks.functions_only().then(custom)?)
            .or_else(|| conversation::no_hosted_tools(request, None, provider()))
            .or_else(|| conversation::no_citations(request, provider()))
    }

    fn request_up_to(
        &self,
        upstream_model: &str,
        _longest: Option<u32>,
        request: &ChatRequest,
    ) -> Result<WireRequest, BadRequest> {
        if let Some(bad) = self.refuses(request) {
            return Err(bad);
        }
        let bare = conversation::without_hosted_tools(request, None);
        let request = bare.as_ref().unwrap_or(request);
        let functions = self.quirks.functions_only().then(|| with_functions_only(request)).transpose()?.flatten();
        let request = functions.as_ref().unwrap_or(request);
        let effort = self.quirks.effort_alone.then(|| with_effort_alone(request)).transpose()?.flatten();
        let request = effort.as_ref().unwrap_or(request);
        let mut fields = self.fields(request);
        if self.quirks.stream_usage != Some(false) {
            fields.extend(request.usage_options().map(|options| ("stream_options", Cow::Owned(options))));
        }
        let body = chat::body(upstream_model, request.size(), fields.iter().map(|(name, value)| (*name, &value[..])));
        Ok(WireRequest { headers: HeaderMap::new(), body })
    }

    fn reply(&self, asked: &Asked<'_>, body: Bytes) -> Result<WholeReply, NoAnswer> {
        OpenAi.reply(asked, body)
    }

    fn events(&self, asked: &Asked<'_>) -> Box<dyn Events> {
        OpenAi.events(asked)
    }

    fn embeddings(&self) -> Option<&dyn Embeddings> {
        Some(self)
    }

    fn error(&self, status: StatusCode, body: &[u8]) -> ErrorDetail {
        OpenAi.error(status, body)
    }
}

impl Embeddings for Compatible {
    fn embeddings_path(&self, upstream_model: &str) -> String {
        let own = self.quirks.embeddings_path.clone();
        own.unwrap_or_else(|| OpenAi.embeddings_path(upstream_model))
    }

    /// Of the fields that a provider may know nothing like, embeddings have `user` alone, which nobody misses.
    fn embed(&self, upstream_model: &str, request: &EmbeddingsRequest) -> Result<Vec<WireRequest>, BadRequest> {
        let unknown = |name: &str| self.quirks.unsupported().iter().any(|field| field == name);
        let takes = |name: &str| self.may_hear(name) && !unknown(name);
        let body = request.forward_as(upstream_model, |name| takes(name).then(|| self.renamed(name)));
        Ok(vec![WireRequest { headers: HeaderMap::new(), body }])
    }
}
