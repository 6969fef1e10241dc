//! Temperature and its like, as far as a model takes them.

use super::model::Claude;
use crate::api::chat::ChatRequest;
use crate::api::conversation::{Controls, unsupported};
use crate::api::error::BadRequest;

/// What is sent of them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sampling {
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<u32>,
}

impl Sampling {
    /// 1 is what models do anyhow, for temperature and `top_p`: it is not sent, since newer ones refuse any value.
    ///
    /// # Errors
    /// A value that `claude` would refuse, or cannot have while it `thinks`.
    pub fn choose(
        claude: Claude,
        controls: &Controls,
        request: &ChatRequest,
        thinks: bool,
    ) -> Result<Self, BadRequest> {
        let temperature = controls.temperature.filter(|t| *t != 1.0);
        let top_p = controls.top_p.filter(|p| *p != 1.0);
        let off = match () {
            () if !claude.samples() => Some("this model has no setting for how it samples"),
            () if thinks => Some("this model's sampling cannot be set while it thinks"),
            () => None,
        };
        let hot = temperature.filter(|t| *t > 1.0).map(|_| "this model's temperature ends at 1");
        let both = (temperature.is_some() && !claude.samples_both())
            .then_some("this model takes temperature or top_p, and not both");
        let lenient = request.drop_unsupported;
        Ok(Self {
            temperature: unless("temperature", temperature, off.or(hot), lenient)?,
            top_p: unless("top_p", top_p, off.or(both), lenient)?,
            top_k: unless("top_k", controls.top_k, off, lenient)?,
        })
    }
}

/// A value that is there, unless there is a problem with it.
fn unless<T>(field: &str, value: Option<T>, problem: Option<&str>, lenient: bool) -> Result<Option<T>, BadRequest> {
    match (&value, problem) {
        (Some(_), Some(_)) if lenient => Ok(None),
        (Some(_), Some(problem)) => Err(unsupported(field, problem)),
        _ => Ok(value),
    }
}
