//! Why a request got no answer. `server` alone turns these into statuses.

use std::fmt;

use super::answer::Facts;
use super::filter::Excluded;
use crate::api::error::BadRequest;
use crate::upstream::UpstreamError;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The client's request is wrong; nothing was recorded.
    #[error(transparent)]
    BadRequest(#[from] BadRequest),
    #[error("no route or model is called \"{asked}\"; there are: {}", known.join(", "))]
    UnknownModel { asked: String, known: Vec<String> },
    /// Every model of a route or a list lacks something that the request needs; nothing was recorded.
    #[error("no model of {of} can answer this request: {}", Listed(excluded))]
    NoModelFits { of: String, excluded: Vec<Excluded> },
    /// The request takes a kept answer only, and there is none; nothing was recorded.
    #[error(
        "the cache of \"{asked}\" has no answer to this request, and x-satisfice-cache is only-if-cached; leave the header \
         out to ask a model"
    )]
    NotCached { asked: String },
    /// Every model that was asked failed; recorded.
    #[error("{error}")]
    Exhausted { error: UpstreamError, facts: Box<Facts> },
}

/// Models, each with what it lacks.
pub(super) struct Listed<'a>(pub(super) &'a [Excluded]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, excluded) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{} {}", excluded.model, excluded.reason)?;
        }
        Ok(())
    }
}
