//! `models` and `provider` of a request: who may answer, as clients of OpenRouter write it.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::chat::ChatRequest;
use super::embeddings::EmbeddingsRequest;
use super::error::BadRequest;

/// Who may answer, and in which order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preferences {
    /// `models`: to ask one after another when `model` fails.
    pub models: Vec<String>,
    /// `provider.order`: providers to ask first, one after another.
    pub order: Vec<String>,
    /// `provider.only`: no others; `None`: all.
    pub only: Option<Vec<String>>,
    /// `provider.ignore`: never these.
    pub ignore: Vec<String>,
    /// `provider.sort`.
    pub sort: Option<Sort>,
    /// `provider.max_price`.
    pub max_price: Option<MaxPrice>,
    /// `provider.allow_fallbacks`; true where it is not said.
    pub allow_fallbacks: bool,
    /// `provider.require_parameters`: fields are never left out.
    pub require_parameters: bool,
    /// `provider.data_collection` is `deny`.
    pub deny_data_collection: bool,
    /// Further fields of `provider`, which only a provider that routes itself can hold to.
    pub others: Vec<String>,
    /// `provider` as it came, by fields.
    raw: Map<String, Value>,
}

/// `provider.sort`: what to order by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    pub by: SortBy,
    /// Models of different names are ordered together; otherwise those of each name are.
    pub across_models: bool,
}

/// What to order by, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SortBy {
    Price,
    Throughput,
    Latency,
}

/// `provider.max_price`: USD per million tokens at most.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MaxPrice {
    pub prompt: Option<f64>,
    pub completion: Option<f64>,
}

/// Fields of `provider` that are read here.
const READ: [&str; 8] =
    ["allow_fallbacks", "data_collection", "ignore", "max_price", "only", "order", "require_parameters", "sort"];

impl Preferences {
    /// The request's preferences; `None` where it has none.
    ///
    /// # Errors
    /// Names the field that is of the wrong kind, and what would be right.
    pub fn read(request: &ChatRequest) -> Result<Option<Self>, BadRequest> {
        Self::of(request.field("models", MODELS)?, request.field("provider", PROVIDER)?)
    }

    /// The same of a request for embeddings, which has one model: vectors of several cannot be compared.
    ///
    /// # Errors
    /// As [`read`](Self::read); it names further models.
    pub fn of_embeddings(request: &EmbeddingsRequest) -> Result<Option<Self>, BadRequest> {
        let models: Option<Vec<String>> = request.field("models", MODELS)?;
        if models.is_some_and(|models| !models.is_empty()) {
            let problem = "models is for chats, as vectors of different models cannot be compared; name one as model";
            return Err(BadRequest::field("models", problem));
        }
        Self::of(None, request.field("provider", PROVIDER)?)
    }

    fn of(models: Option<Vec<String>>, raw: Option<Map<String, Value>>) -> Result<Option<Self>, BadRequest> {
        if models.is_none() && raw.is_none() {
            return Ok(None);
        }
        let mut raw = raw.unwrap_or_default();
        raw.retain(|_, value| !value.is_null());
        let (max_price, unknown_prices) = max_price(&raw)?;
        let unknown = raw.keys().filter(|name| !READ.contains(&name.as_str())).cloned();
        Ok(Some(Self {
            models: models.unwrap_or_default(),
            order: field(&raw, "order", NAMES)?.unwrap_or_default(),
            only: field(&raw, "only", NAMES)?,
            ignore: field(&raw, "ignore", NAMES)?.unwrap_or_default(),
            sort: sort(&raw)?,
            max_price,
            allow_fallbacks: field(&raw, "allow_fallbacks", "true or false")?.unwrap_or(true),
            require_parameters: field(&raw, "require_parameters", "true or false")?.unwrap_or(false),
            deny_data_collection: denies(&raw)?,
            others: unknown.chain(unknown_prices).collect(),
            raw,
        }))
    }

    /// `provider` for a provider that routes itself: without the names in `order`, `only` and `ignore` that are not for
    /// it. `None`: nothing is left.
    pub fn left_for_router(&self, is_for_it: impl Fn(&str) -> bool) -> Option<Bytes> {
        let mut raw = self.raw.clone();
        for field in ["order", "only", "ignore"] {
            if let Some(Value::Array(names)) = raw.get_mut(field) {
                names.retain(|name| name.as_str().is_some_and(&is_for_it));
            }
        }
        raw.retain(|_, value| value.as_array().is_none_or(|list| !list.is_empty()));
        if raw.is_empty() { None } else { serde_json::to_vec(&raw).ok().map(Bytes::from) }
    }
}

const MODELS: &str = "a list of models";
const PROVIDER: &str = "an object of routing preferences";
const NAMES: &str = "a list of providers' names";

/// A field of `provider`, read.
fn field<T: DeserializeOwned>(raw: &Map<String, Value>, name: &str, expected: &str) -> Result<Option<T>, BadRequest> {
    let Some(value) = raw.get(name) else { return Ok(None) };
    T::deserialize(value).map(Some).map_err(|_| wrong(name, expected))
}

fn wrong(name: &str, expected: &str) -> BadRequest {
    let field = format!("provider.{name}");
    BadRequest::field(field.clone(), format!("{field} must be {expected}"))
}

/// `"price"`, or `{"by": "price", "partition": "none"}`.
fn sort(raw: &Map<String, Value>) -> Result<Option<Sort>, BadRequest> {
    let expected =
        "\"price\", \"throughput\" or \"latency\", or {\"by\": one of these, \"partition\": \"model\" or \"none\"}";
    let Some(value) = raw.get("sort") else { return Ok(None) };
    let by = value.get("by").unwrap_or(value);
    let across_models = match value.get("partition").map(Value::as_str) {
        None | Some(Some("model")) => false,
        Some(Some("none")) => true,
        Some(_) => return Err(wrong("sort", expected)),
    };
    match SortBy::deserialize(by) {
        Ok(by) => Ok(Some(Sort { by, across_models })),
        Err(_) => Err(wrong("sort", expected)),
    }
}

fn denies(raw: &Map<String, Value>) -> Result<bool, BadRequest> {
    match raw.get("data_collection").map(Value::as_str) {
        None | Some(Some("allow")) => Ok(false),
        Some(Some("deny")) => Ok(true),
        Some(_) => Err(wrong("data_collection", "\"allow\" or \"deny\"")),
    }
}

/// The prices that are known here, and the names of others.
fn max_price(raw: &Map<String, Value>) -> Result<(Option<MaxPrice>, Vec<String>), BadRequest> {
    let expected = "an object such as {\"prompt\": 1, \"completion\": 2}, USD per million tokens from 0";
    let Some(value) = raw.get("max_price") else { return Ok((None, vec![])) };
    let prices = value.as_object().ok_or_else(|| wrong("max_price", expected))?;
    let usd = |name: &str| match prices.get(name).filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(value) => number(value).map(Some).ok_or_else(|| wrong("max_price", expected)),
    };
    let max = MaxPrice { prompt: usd("prompt")?, completion: usd("completion")? };
    let others = prices.keys().filter(|name| !matches!(name.as_str(), "prompt" | "completion"));
    Ok((Some(max), others.map(|name| format!("max_price.{name}")).collect()))
}

/// A number from 0, also in a string.
fn number(value: &Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    Some(number).filter(|usd| usd.is_finite() && *usd >= 0.0)
}
