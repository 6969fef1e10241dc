//! The ledger's entries: versions 1 and 2, which differ in their prices and usage.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::decision::{DecisionV1, KnobV1, OutcomeV1, PriceV1, PriceV2, UsageV1, UsageV2};
use crate::catalog::{Price, Usage};
use crate::policy::{ArmSpec, RouteSpec};
use crate::store::{Entry, Scored};

pub(super) type EntryV1<'a> = EntryForm<'a, PriceV1, UsageV1>;
pub(super) type EntryPriced<'a> = EntryForm<'a, PriceV2, UsageV2>;

#[derive(Serialize, Deserialize)]
pub(super) enum EntryForm<'a, P, U> {
    Configured {
        at_ms: u64,
        fingerprint: Cow<'a, str>,
        routes: Vec<RouteSpecForm<P>>,
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
        usage: Option<U>,
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
pub(super) struct RouteSpecForm<P> {
    name: String,
    knob: KnobV1,
    explore: bool,
    arms: Vec<ArmSpecForm<P>>,
}

#[derive(Serialize, Deserialize)]
struct ArmSpecForm<P> {
    arm: String,
    price: Option<P>,
    context_window: Option<u32>,
}

impl<'a> From<&'a Entry> for EntryPriced<'a> {
    fn from(entry: &'a Entry) -> Self {
        match entry {
            Entry::Configured { at_ms, fingerprint, routes } => Self::Configured {
                at_ms: *at_ms,
                fingerprint: fingerprint.as_str().into(),
                routes: routes.iter().map(RouteSpecForm::from).collect(),
            },
            Entry::Decided { trace, at_ms, route, bundle, decision, .. } => Self::Decided {
                trace: trace.into_bytes(),
                at_ms: *at_ms,
                route: route.as_str().into(),
                bundle: *bundle,
                decision: (&**decision).into(),
            },
            Entry::Settled { trace, arm, usage, cost_usd, outcome } => Self::Settled {
                trace: trace.into_bytes(),
                arm: arm.as_deref().map(Cow::from),
                usage: usage.map(UsageV2::from),
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

impl<P: Into<Price>, U: Into<Usage>> From<EntryForm<'_, P, U>> for Entry {
    fn from(entry: EntryForm<'_, P, U>) -> Self {
        match entry {
            EntryForm::Configured { at_ms, fingerprint, routes } => Self::Configured {
                at_ms,
                fingerprint: fingerprint.into_owned(),
                routes: routes.into_iter().map(RouteSpec::from).collect(),
            },
            EntryForm::Decided { trace, at_ms, route, bundle, decision } => Self::Decided {
                trace: Uuid::from_bytes(trace),
                at_ms,
                owner: None,
                route: route.into(),
                bundle,
                decision: Arc::new(decision.into()),
            },
            EntryForm::Settled { trace, arm, usage, cost_usd, outcome } => Self::Settled {
                trace: Uuid::from_bytes(trace),
                arm: arm.map(Into::into),
                usage: usage.map(Into::into),
                cost_usd,
                outcome: outcome.into(),
            },
            EntryForm::Scored { trace, at_ms, metric, source, value, comment } => Self::Scored(Scored {
                trace: Uuid::from_bytes(trace),
                at_ms,
                metric: metric.into_owned(),
                source: source.into_owned(),
                value,
                weight: FULL_WEIGHT,
                comment: comment.map(Cow::into_owned),
            }),
            EntryForm::Charged { trace, usd } => Self::Charged { trace: Uuid::from_bytes(trace), usd },
        }
    }
}

impl From<&RouteSpec> for RouteSpecForm<PriceV2> {
    fn from(r: &RouteSpec) -> Self {
        Self {
            name: r.name.clone(),
            knob: r.knob.into(),
            explore: r.explore,
            arms: r.arms.iter().map(ArmSpecForm::from).collect(),
        }
    }
}

impl<P: Into<Price>> From<RouteSpecForm<P>> for RouteSpec {
    fn from(r: RouteSpecForm<P>) -> Self {
        Self {
            name: r.name,
            knob: r.knob.into(),
            explore: r.explore,
            arms: r.arms.into_iter().map(ArmSpec::from).collect(),
            segments: Vec::new(),
        }
    }
}

impl From<&ArmSpec> for ArmSpecForm<PriceV2> {
    fn from(a: &ArmSpec) -> Self {
        Self { arm: a.arm.clone(), price: a.price.map(PriceV2::from), context_window: a.context_window }
    }
}

impl<P: Into<Price>> From<ArmSpecForm<P>> for ArmSpec {
    fn from(a: ArmSpecForm<P>) -> Self {
        Self { arm: a.arm, price: a.price.map(Into::into), context_window: a.context_window }
    }
}
