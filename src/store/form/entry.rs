//! Version 1 of the ledger's entries.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::decision::{AuditedV2, DecisionV1, KnobV1, OutcomeV1, PriceV1, UsageV1};
use crate::policy::{ArmSpec, Decision, RouteSpec};
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
    /// Form 2, as all below: a decision with what it is audited by.
    Audited {
        trace: [u8; 16],
        at_ms: u64,
        route: Cow<'a, str>,
        bundle: u64,
        decision: DecisionV1<'a>,
        audit: AuditedV2,
    },
    /// A score that counts otherwise than a client's own.
    Weighed {
        trace: [u8; 16],
        at_ms: u64,
        metric: Cow<'a, str>,
        source: Cow<'a, str>,
        value: f64,
        weight: f64,
        comment: Option<Cow<'a, str>>,
    },
    Charged {
        trace: [u8; 16],
        usd: f64,
    },
}

/// The weight of scores that are written without it.
const FULL_WEIGHT: f64 = 1.0;

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
            Entry::Decided { trace, at_ms, route, bundle, decision } => {
                let (trace, at_ms, bundle) = (trace.into_bytes(), *at_ms, *bundle);
                let (route, audit, decision) = (route.as_str().into(), decision.audit, (&**decision).into());
                match audit {
                    None => Self::Decided { trace, at_ms, route, bundle, decision },
                    Some(audit) => Self::Audited { trace, at_ms, route, bundle, decision, audit: audit.into() },
                }
            }
            Entry::Settled { trace, arm, usage, cost_usd, outcome } => Self::Settled {
                trace: trace.into_bytes(),
                arm: arm.as_deref().map(Cow::from),
                usage: usage.map(UsageV1::from),
                cost_usd: *cost_usd,
                outcome: (*outcome).into(),
            },
            Entry::Scored(s) => s.into(),
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
                route: route.into_owned(),
                bundle,
                decision: Arc::new(decision.into()),
            },
            EntryV1::Settled { trace, arm, usage, cost_usd, outcome } => Self::Settled {
                trace: Uuid::from_bytes(trace),
                arm: arm.map(Cow::into_owned),
                usage: usage.map(Into::into),
                cost_usd,
                outcome: outcome.into(),
            },
            EntryV1::Scored { trace, at_ms, metric, source, value, comment } => {
                scored(trace, at_ms, (metric, source), (value, FULL_WEIGHT), comment)
            }
            EntryV1::Audited { trace, at_ms, route, bundle, decision, audit } => Self::Decided {
                trace: Uuid::from_bytes(trace),
                at_ms,
                route: route.into_owned(),
                bundle,
                decision: Arc::new(Decision { audit: Some(audit.into()), ..decision.into() }),
            },
            EntryV1::Weighed { trace, at_ms, metric, source, value, weight, comment } => {
                scored(trace, at_ms, (metric, source), (value, weight), comment)
            }
            EntryV1::Charged { trace, usd } => Self::Charged { trace: Uuid::from_bytes(trace), usd },
        }
    }
}

fn scored(
    trace: [u8; 16],
    at_ms: u64,
    (metric, source): (Cow<'_, str>, Cow<'_, str>),
    (value, weight): (f64, f64),
    comment: Option<Cow<'_, str>>,
) -> Entry {
    let (metric, source, comment) = (metric.into_owned(), source.into_owned(), comment.map(Cow::into_owned));
    Entry::Scored(Scored { trace: Uuid::from_bytes(trace), at_ms, metric, source, value, weight, comment })
}

impl<'a> From<&'a Scored> for EntryV1<'a> {
    fn from(s: &'a Scored) -> Self {
        let (trace, at_ms, value, weight) = (s.trace.into_bytes(), s.at_ms, s.value, s.weight);
        let (metric, source) = (s.metric.as_str().into(), s.source.as_str().into());
        let comment = s.comment.as_deref().map(Cow::from);
        match weight == FULL_WEIGHT {
            true => Self::Scored { trace, at_ms, metric, source, value, comment },
            false => Self::Weighed { trace, at_ms, metric, source, value, weight, comment },
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
