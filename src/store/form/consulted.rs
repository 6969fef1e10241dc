//! Version 4: a value of version 3, followed by who was asked before the drawn model, and what they said.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::decision::mirror;
use super::owned::{EntryV3, TraceV3};
use crate::policy::{Consult, Decision, Panel, Verdict};
use crate::store::Entry;
use crate::trace::Trace;

#[derive(Serialize, Deserialize)]
pub(super) struct EntryV4<'a> {
    third: EntryV3<'a>,
    /// Of a decision.
    consult: Option<ConsultV4>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct TraceV4<'a> {
    third: TraceV3<'a>,
    consult: Option<ConsultV4>,
}

#[derive(Serialize, Deserialize)]
struct ConsultV4 {
    panel: Option<PanelV4>,
    foreseen_usd: f64,
}

#[derive(Serialize, Deserialize)]
struct PanelV4 {
    members: [u32; 2],
    same_errors: f64,
    verdict: VerdictV4,
}

#[derive(Serialize, Deserialize)]
enum VerdictV4 {
    None,
    Incomparable,
    Agreed,
    Differed([bool; 2]),
}

mirror!(Verdict, VerdictV4 { None, Incomparable, Agreed, Differed(like) });

impl<'a> From<&'a Entry> for EntryV4<'a> {
    fn from(entry: &'a Entry) -> Self {
        let decision = if let Entry::Decided { decision, .. } = entry { Some(&**decision) } else { None };
        Self { third: entry.into(), consult: consult(decision) }
    }
}

impl From<EntryV4<'_>> for Entry {
    fn from(EntryV4 { third, consult }: EntryV4<'_>) -> Self {
        let mut entry = third.into();
        if let Self::Decided { decision, .. } = &mut entry {
            complete(decision, consult);
        }
        entry
    }
}

impl<'a> From<&'a Trace> for TraceV4<'a> {
    fn from(trace: &'a Trace) -> Self {
        Self { third: trace.into(), consult: consult(trace.decision.as_deref()) }
    }
}

impl From<TraceV4<'_>> for Trace {
    fn from(TraceV4 { third, consult }: TraceV4<'_>) -> Self {
        let mut trace = Self::from(third);
        if let Some(decision) = &mut trace.decision {
            complete(decision, consult);
        }
        trace
    }
}

fn consult(decision: Option<&Decision>) -> Option<ConsultV4> {
    Some(decision?.consult?.into())
}

fn complete(decision: &mut Arc<Decision>, consult: Option<ConsultV4>) {
    if let Some(consult) = consult {
        Arc::make_mut(decision).consult = Some(consult.into());
    }
}

impl From<Consult> for ConsultV4 {
    fn from(c: Consult) -> Self {
        Self { panel: c.panel.map(PanelV4::from), foreseen_usd: c.foreseen_usd }
    }
}

impl From<ConsultV4> for Consult {
    fn from(c: ConsultV4) -> Self {
        Self { panel: c.panel.map(Panel::from), foreseen_usd: c.foreseen_usd }
    }
}

impl From<Panel> for PanelV4 {
    fn from(p: Panel) -> Self {
        let member = |member| u32::try_from(member).unwrap_or(u32::MAX);
        Self { members: p.members.map(member), same_errors: p.same_errors, verdict: p.verdict.into() }
    }
}

impl From<PanelV4> for Panel {
    fn from(p: PanelV4) -> Self {
        Self { members: p.members.map(|member| member as usize), same_errors: p.same_errors, verdict: p.verdict.into() }
    }
}
