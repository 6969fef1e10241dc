//! What may be asked of a model: for those who list models.

use std::sync::LazyLock;

use bytes::Bytes;

use super::Gateway;
use crate::api::chat::ChatRequest;
use crate::catalog::Model;

/// Request fields that models differ in, by OpenRouter's names, and a value that asks for something.
const FIELDS: [(&str, &str); 13] = [
    ("frequency_penalty", "0.5"),
    ("logit_bias", r#"{"1":1}"#),
    ("logprobs", "true"),
    ("max_tokens", "1"),
    ("presence_penalty", "0.5"),
    ("response_format", r#"{"type":"json_object"}"#),
    ("seed", "1"),
    ("stop", r#"["x"]"#),
    ("temperature", "0.5"),
    ("tool_choice", r#""auto""#),
    ("tools", r#"[{"type":"function","function":{"name":"f"}}]"#),
    ("top_logprobs", "1"),
    ("top_p", "0.5"),
];

/// A request that asks for nothing but the field.
static PROBES: LazyLock<Vec<(&str, ChatRequest)>> = LazyLock::new(|| {
    let probe = |(name, value): (&'static str, &str)| {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"{name}":{value}}}"#);
        Some((name, ChatRequest::parse(&Bytes::from(body)).ok()?))
    };
    FIELDS.into_iter().filter_map(probe).collect()
});

impl Gateway {
    /// The request fields that `model` and its provider's wire take, as far as it is known; `structured_outputs` where
    /// it holds to a JSON schema.
    pub fn supported_parameters(&self, model: &Model) -> Vec<&'static str> {
        let setup = self.setup.load();
        let calls = model.capabilities.tools != Some(false);
        let takes = |(name, probe): &&(&'static str, ChatRequest)| {
            (calls || !name.starts_with("tool")) && setup.upstreams.refuses(&model.id, probe).is_none()
        };
        let mut names: Vec<_> = PROBES.iter().filter(takes).map(|(name, _)| *name).collect();
        names.extend((model.capabilities.json_schema == Some(true)).then_some("structured_outputs"));
        names.sort_unstable();
        names
    }
}
