//! A decision, and what it shares with the other forms: version 1, and version 2 of prices and usage.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::catalog::{Price, Usage};
use crate::policy::{Candidate, Decision, Kind, Knob};
use crate::trace::Outcome;

/// Writing borrows, reading owns: here and in the other forms.
#[derive(Serialize, Deserialize)]
pub(super) struct DecisionV1<'a> {
    kind: KindV1,
    policy: Cow<'a, str>,
    snapshot_version: u64,
    knob: KnobV1,
    phi: Cow<'a, [f64]>,
    widening: f64,
    verbosity: f64,
    input_tokens: u32,
    difficulty: f32,
    candidates: Vec<CandidateV1<'a>>,
    preferred: u32,
    chosen: u32,
    draw: f64,
}

#[derive(Serialize, Deserialize)]
struct CandidateV1<'a> {
    arm: Cow<'a, str>,
    quality: f64,
    cost_usd: f64,
    propensity: f64,
}

#[derive(Serialize, Deserialize)]
enum KindV1 {
    Exploit,
    Explore,
    Pinned,
    Fallback,
    Cache,
    /// Since version 2.
    Shadow,
}

#[derive(Serialize, Deserialize)]
pub(super) enum KnobV1 {
    Quality(f64),
    BudgetPer1k(f64),
    Value(f64),
}

#[derive(Serialize, Deserialize)]
pub(super) struct PriceV1 {
    input: f64,
    output: f64,
    cached_input: Option<f64>,
}

/// With what writing to a prompt cache costs.
#[derive(Serialize, Deserialize)]
pub(super) struct PriceV2 {
    input: f64,
    output: f64,
    cached_input: Option<f64>,
    cache_write: Option<f64>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct UsageV1 {
    input_tokens: u32,
    output_tokens: u32,
    cached_input_tokens: u32,
    reasoning_tokens: u32,
}

/// With tokens written to a prompt cache.
#[derive(Serialize, Deserialize)]
pub(super) struct UsageV2 {
    input_tokens: u32,
    output_tokens: u32,
    cached_input_tokens: u32,
    cache_write_tokens: u32,
    cache_write_1h_tokens: u32,
    reasoning_tokens: u32,
}

#[derive(Serialize, Deserialize)]
pub(super) enum OutcomeV1 {
    Answered,
    ClientGone,
    Cut,
    Failed,
}

impl<'a> From<&'a Decision> for DecisionV1<'a> {
    fn from(d: &'a Decision) -> Self {
        Self {
            kind: d.kind.into(),
            policy: d.policy.as_str().into(),
            snapshot_version: d.snapshot_version,
            knob: d.knob.into(),
            phi: d.phi.as_slice().into(),
            widening: d.widening,
            verbosity: d.verbosity,
            input_tokens: d.input_tokens,
            difficulty: d.difficulty,
            candidates: d.candidates.iter().map(CandidateV1::from).collect(),
            // A route has far fewer arms than this; with more, the index would match no candidate.
            preferred: u32::try_from(d.preferred).unwrap_or(u32::MAX),
            chosen: u32::try_from(d.chosen).unwrap_or(u32::MAX),
            draw: d.draw,
        }
    }
}

impl From<DecisionV1<'_>> for Decision {
    fn from(d: DecisionV1<'_>) -> Self {
        Self {
            kind: d.kind.into(),
            policy: d.policy.into(),
            snapshot_version: d.snapshot_version,
            segment: None,
            knob: d.knob.into(),
            phi: d.phi.into_owned(),
            widening: d.widening,
            verbosity: d.verbosity,
            input_tokens: d.input_tokens,
            difficulty: d.difficulty,
            candidates: d.candidates.into_iter().map(Candidate::from).collect(),
            preferred: d.preferred as usize,
            chosen: d.chosen as usize,
            draw: d.draw,
            audit: None,
            consult: None,
        }
    }
}

impl<'a> From<&'a Candidate> for CandidateV1<'a> {
    fn from(c: &'a Candidate) -> Self {
        Self { arm: c.arm.as_str().into(), quality: c.quality, cost_usd: c.cost_usd, propensity: c.propensity }
    }
}

impl From<CandidateV1<'_>> for Candidate {
    fn from(c: CandidateV1<'_>) -> Self {
        Self { arm: c.arm.into(), quality: c.quality, cost_usd: c.cost_usd, propensity: c.propensity }
    }
}

/// Two types of the same shape: each reads into the other.
macro_rules! mirror {
    ($domain:ident, $form:ident { $($variant:ident $(($value:ident))?),+ }) => {
        impl From<$domain> for $form {
            fn from(from: $domain) -> Self {
                match from { $($domain::$variant $(($value))? => $form::$variant $(($value))?),+ }
            }
        }
        impl From<$form> for $domain {
            fn from(from: $form) -> Self {
                match from { $($form::$variant $(($value))? => $domain::$variant $(($value))?),+ }
            }
        }
    };
    ($domain:ident, $form:ident [ $($field:ident),+ ]) => {
        impl From<$domain> for $form {
            fn from(from: $domain) -> Self {
                Self { $($field: from.$field),+ }
            }
        }
        impl From<$form> for $domain {
            fn from(from: $form) -> Self {
                Self { $($field: from.$field),+ }
            }
        }
    };
}
pub(super) use mirror;

mirror!(Kind, KindV1 { Exploit, Explore, Pinned, Fallback, Cache, Shadow });
mirror!(Knob, KnobV1 { Quality(value), BudgetPer1k(value), Value(value) });
mirror!(Outcome, OutcomeV1 { Answered, ClientGone, Cut, Failed });
mirror!(Price, PriceV2[input, output, cached_input, cache_write]);
mirror!(
    Usage,
    UsageV2[
        input_tokens,
        output_tokens,
        cached_input_tokens,
        cache_write_tokens,
        cache_write_1h_tokens,
        reasoning_tokens
    ]
);

impl From<PriceV1> for Price {
    fn from(p: PriceV1) -> Self {
        Self { input: p.input, output: p.output, cached_input: p.cached_input, cache_write: None }
    }
}

impl From<UsageV1> for Usage {
    fn from(u: UsageV1) -> Self {
        Self {
            input_tokens: u.input_tokens,
            output_tokens: u.output_tokens,
            cached_input_tokens: u.cached_input_tokens,
            reasoning_tokens: u.reasoning_tokens,
            ..Self::default()
        }
    }
}
