//! Conditional routes: which models a request may go to, by what is known of it before it is decided.

use super::condition::Condition;
use crate::catalog::Name;

/// A rule of a route: the first whose condition holds applies.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub when: Condition,
    pub then: Then,
}

/// What a rule says of the route's models.
#[derive(Debug, Clone, PartialEq)]
pub enum Then {
    /// The policy chooses among these.
    Models(Vec<Name>),
    /// Chance chooses by these weights, and nothing else: for canaries. The decision counts as pinned.
    Weights(Vec<(Name, f64)>),
}

impl Then {
    /// Whether the policy or chance may choose `model`.
    pub(super) fn admits(&self, model: &str) -> bool {
        match self {
            Self::Models(models) => models.iter().any(|name| name == model),
            Self::Weights(weights) => weights.iter().any(|(name, weight)| name == model && *weight > 0.0),
        }
    }
}
