//! Version 1 of the ledger's entries.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::decision::{DecisionV1, KnobV1, OutcomeV1, PriceV1, UsageV1};
use crate::policy::{ArmSpec, RouteSpec};
use crate::store::{Entry, Scored};

#[derive(Serialize, Deserialize)]
pub(super) enum EntryV1<'a> {
    Configured {
        at_ms: u64,
        fingerprint: Cow<'a, str>,
        routes: Vec<RouteSpecV1>,
    },
    Decided {
        trace: [u8; 16],
        at_ms: u64,
        route: Cow<'a, str>,
        bundle: u64,
        decision: DecisionV1<'a>,
    },
    Settled {
        trace: [u8; 16],
        arm: Option<Cow<'a, str>>,
        usage: Option<UsageV1>,
        cost_usd: Option<f64>,
        outcome: OutcomeV1,
    },
    Scored {
        trace: [u8; 16],
        at_ms: u64,
        metric: Cow<'a, str>,
        source: Cow<'a, str>,
        value: f64,
        comment: Option<Cow<'a, str>>,
    },
    /// Since version 2.
    Charged {
        trace: [u8; 16],
        usd: f64,
    },
}

/// The weight of a score of version 1.
pub(super) const FULL_WEIGHT: f64 = 1.0;

#[derive(Serialize, Deserialize)]
pub(super) struct RouteSpecV1 {
    name: String,
    knob: KnobV1,
    explore: bool,
    arms: Vec<ArmSpecV1>,
}

#[derive(Serialize, Deserialize)]
struct ArmSpecV1 {
    arm: String,
    price: Option<PriceV1>,
    context_window: Option<u32>,
}

impl<'a> From<&'a Entry> for EntryV1<'a> {
    fn from(entry: &'a Entry) -> Self {
        match entry {
            Entry::Configured { at_ms, fingerprint, routes } => Self::Configured {
                at_ms: *at_ms,
                fingerprint: fingerprint.as_str().into(),
                routes: routes.iter().map(RouteSpecV1::from).collect(),
            },
            Entry::Decided { trace, at_ms, route, bundle, decision } => Self::Decided {
                trace: trace.into_bytes(),
                at_ms: *at_ms,
                route: route.as_str().into(),
                bundle: *bundle,
                decision: (&**decision).into(),
            },
            Entry::Settled { trace, arm, usage, cost_usd, outcome } => Self::Settled {
                trace: trace.into_bytes(),
                arm: arm.as_deref().map(Cow::from),
                usage: usage.map(UsageV1::from),
                cost_usd: *cost_usd,
                outcome: (*outcome).into(),
            },
            Entry::Scored(s) => Self::Scored {
                trace: s.trace.into_bytes(),
                at_ms: s.at_ms,
                metric: s.metric.as_str().into(),
                source: s.source.as_str().into(),
                value: s.value,
                comment: s.comment.as_deref().map(Cow::from),
            },
            Entry::Charged { trace, usd } => Self::Charged { trace: trace.into_bytes(), usd: *usd },
        }
    }
}

impl From<EntryV1<'_>> for Entry {
    fn from(entry: EntryV1<'_>) -> Self {
        match entry {
            EntryV1::Configured { at_ms, fingerprint, routes } => Self::Configured {
                at_ms,
                fingerprint: fingerprint.into_owned(),
                routes: routes.into_iter().map(RouteSpec::from).collect(),
            },
            EntryV1::Decided { trace, at_ms, route, bundle, decision } => Self::Decided {
                trace: Uuid::from_bytes(trace),
                at_ms,
                route: route.into(),
                bundle,
                decision: Arc::new(decision.into()),
            },
            EntryV1::Settled { trace, arm, usage, cost_usd, outcome } => Self::Settled {
                trace: Uuid::from_bytes(trace),
                arm: arm.map(Into::into),
                usage: usage.map(Into::into),
                cost_usd,
                outcome: outcome.into(),
            },
            EntryV1::Scored { trace, at_ms, metric, source, value, comment } => Self::Scored(Scored {
                trace: Uuid::from_bytes(trace),
                at_ms,
                metric: metric.into_owned(),
                source: source.into_owned(),
                value,
                weight: FULL_WEIGHT,
                comment: comment.map(Cow::into_owned),
            }),
            EntryV1::Charged { trace, usd } => Self::Charged { trace: Uuid::from_bytes(trace), usd },
        }
    }
}

impl From<&RouteSpec> for RouteSpecV1 {
    fn from(r: &RouteSpec) -> Self {
        Self {
            name: r.name.clone(),
            knob: r.knob.into(),
            explore: r.explore,
            arms: r.arms.iter().map(ArmSpecV1::from).collect(),
        }
    }
}

impl From<RouteSpecV1> for RouteSpec {
    fn from(r: RouteSpecV1) -> Self {
        Self {
            name: r.name,
            knob: r.knob.into(),
            explore: r.explore,
            arms: r.arms.into_iter().map(ArmSpec::from).collect(),
            segments: Vec::new(),
        }
    }
}

impl From<&ArmSpec> for ArmSpecV1 {
    fn from(a: &ArmSpec) -> Self {
        Self { arm: a.arm.clone(), price: a.price.map(PriceV1::from), context_window: a.context_window }
    }
}

impl From<ArmSpecV1> for ArmSpec {
    fn from(a: ArmSpecV1) -> Self {
        Self { arm: a.arm, price: a.price.map(Into::into), context_window: a.context_window }
    }
}
