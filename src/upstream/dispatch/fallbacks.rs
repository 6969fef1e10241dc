//! Whom to ask after a failure, by its cause.

use crate::upstream::Cause;

/// Lists of models by the cause of the failure that they are for. `L` is a list: of a configuration's names, of models,
/// or of indices. `None`: the rest of the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fallbacks<L> {
    /// No connection, 5xx, a deadline, nonsense, an answer beyond its bound, the gateway's own credentials or
    /// configuration.
    pub error: Option<L>,
    pub rate_limit: Option<L>,
    /// The prompt is too long; without a list, the rest of the plan that has a larger context window.
    pub context_length: Option<L>,
    /// The provider will not have this content; without a list, the client hears of it.
    pub content_filter: Option<L>,
}

impl<L> Fallbacks<L> {
    /// The list for what failed so.
    pub fn of(&self, cause: Cause) -> Option<&L> {
        match cause {
            Cause::Connect
            | Cause::Server
            | Cause::LeftAlone
            | Cause::Timeout
            | Cause::Malformed
            | Cause::TooLong
            | Cause::Credentials
            | Cause::Configuration => self.error.as_ref(),
            Cause::RateLimited => self.rate_limit.as_ref(),
            Cause::ContextLength => self.context_length.as_ref(),
            Cause::ContentFilter => self.content_filter.as_ref(),
            Cause::Caller
            | Cause::Inexpressible
            | Cause::Unsupported
            | Cause::Superseded
            | Cause::Abandoned
            | Cause::Late
            | Cause::Descriptors => None,
        }
    }

    /// What `change` makes of each list that there is.
    #[must_use]
    pub fn map<M>(&self, mut change: impl FnMut(&L) -> M) -> Fallbacks<M> {
        Fallbacks {
            error: self.error.as_ref().map(&mut change),
            rate_limit: self.rate_limit.as_ref().map(&mut change),
            context_length: self.context_length.as_ref().map(&mut change),
            content_filter: self.content_filter.as_ref().map(&mut change),
        }
    }

    /// The lists that there are.
    pub fn iter(&self) -> impl Iterator<Item = &L> {
        [&self.error, &self.rate_limit, &self.context_length, &self.content_filter].into_iter().flatten()
    }
}
