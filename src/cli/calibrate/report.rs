//! What came of it: what was measured of each model, what is believed of it now, and what the route would choose.

use std::fmt::Write as _;

use super::amount;
use super::plan::{Asked, Plan};
use super::send::Sent;
use crate::cli::interval::Interval;
use crate::cli::table;
use crate::gateway::RouteSettings;
use crate::policy::{Ask, NoCandidate, Reward, RouteState, Snapshot, decide};
use crate::scorers::reward::{self, Part};
use crate::store::{StoreError, TraceReader};
use crate::trace::TraceId;

/// What the report is made of.
pub(super) struct Sources<'a> {
    pub(super) route: &'a RouteSettings,
    pub(super) plan: &'a Plan,
    pub(super) sent: &'a Sent,
    pub(super) reader: &'a dyn TraceReader,
    pub(super) before: &'a RouteState,
}

/// One model on the prompts.
#[derive(Debug, Default)]
struct Measured {
    answered: usize,
    failed: usize,
    /// The newest failure.
    problem: String,
    qualities: Vec<f64>,
    costs_usd: Vec<f64>,
}

impl Sources<'_> {
    /// Both tables; `after` is the route's state in `snapshot`, now.
    pub(super) fn report(&self, snapshot: &Snapshot, after: &RouteState) -> anyhow::Result<String> {
        let measured = self.measured()?;
        let mut out = self.answers(&measured, after);
        for (model, one) in self.route.models.iter().zip(&measured).filter(|(_, one)| one.failed > 0) {
            writeln!(out, "{}: {} not answered, and not scored; the last: {}", model.id, one.failed, one.problem)?;
        }
        if self.plan.asked.iter().any(Asked::can_be_answered) {
            out.push_str(&self.choice(snapshot, after)?);
        }
        Ok(out)
    }

    /// As the ledger and the traces have it, with what earlier runs asked.
    fn measured(&self) -> Result<Vec<Measured>, StoreError> {
        let mut all: Vec<Measured> = self.route.models.iter().map(|_| Measured::default()).collect();
        let calls = &self.plan.calls;
        let known = calls.iter().enumerate().filter(|(_, call)| call.known).map(|(index, _)| index);
        let fresh = self.sent.answered.iter().copied().filter(|&index| !calls[index].known);
        for call in known.chain(fresh).map(|index| &calls[index]) {
            all[call.arm].answer(self.reader, call.id)?;
        }
        for (index, problem) in &self.sent.failed {
            let one = &mut all[calls[*index].arm];
            one.failed += 1;
            one.problem.clone_from(problem);
        }
        Ok(all)
    }

    fn answers(&self, measured: &[Measured], after: &RouteState) -> String {
        let head = ["model", "answered", "quality", "95% interval", "USD per 1,000", "believed before", "now"];
        let mut rows = vec![head.map(str::to_owned)];
        for (arm, (model, one)) in self.route.models.iter().zip(measured).enumerate() {
            let quality = Interval::of_mean(mean(&one.qualities), one.qualities.len());
            let unknown = |known: bool, text: String| if known { text } else { "–".into() };
            rows.push([
                model.id.to_string(),
                one.answered.to_string(),
                unknown(!one.qualities.is_empty(), format!("{:.3}", quality.mean)),
                unknown(!one.qualities.is_empty(), format!("{:.3}–{:.3}", quality.low, quality.high)),
                unknown(!one.costs_usd.is_empty(), amount::usd(1000.0 * mean(&one.costs_usd))),
                format!("{:.3}", believed(self.before, arm, &self.plan.asked)),
                format!("{:.3}", believed(after, arm, &self.plan.asked)),
            ]);
        }
        table::figures("  ", &rows)
    }

    /// What the route would do with these prompts.
    fn choice(&self, snapshot: &Snapshot, after: &RouteState) -> anyhow::Result<String> {
        let outlook = Outlook::new(self.route, self.plan, snapshot, after)?;
        let mut out = format!("\nWith these prompts the route would now, at {}, choose\n", after.spec.knob);
        let mut rows = vec![["model", "share", "expected quality", "USD per 1,000"].map(str::to_owned)];
        for (model, arm) in self.route.models.iter().zip(&outlook.arms) {
            let (quality, usd) = (arm.quality / arm.able, 1000.0 * arm.usd / arm.able);
            let share = format!("{:.1}%", 100.0 * arm.share / outlook.requests);
            rows.push([model.id.to_string(), share, format!("{quality:.3}"), amount::usd(usd)]);
        }
        let (quality, usd) = (outlook.quality / outlook.requests, 1000.0 * outlook.usd / outlook.requests);
        rows.push(["the route".into(), String::new(), format!("{quality:.3}"), amount::usd(usd)]);
        out += &table::figures("  ", &rows);
        if let Some((model, best)) = outlook.best(self.route) {
            let (of_quality, of_usd) = (quality / (best.quality / best.able), usd / (1000.0 * best.usd / best.able));
            writeln!(
                out,
                "that is {of_quality:.3} of the quality of {model} at {of_usd:.3} of its cost, as predicted"
            )?;
        }
        Ok(out)
    }
}

impl Measured {
    fn answer(&mut self, reader: &dyn TraceReader, id: TraceId) -> Result<(), StoreError> {
        let scores = reader.scores(id)?;
        let parts = scores.iter().map(|s| Part { metric: &s.metric, value: s.value, weight: s.weight });
        self.answered += 1;
        if let Reward::Scored { value, .. } = reward::resolve(parts) {
            self.qualities.push(value);
        }
        self.costs_usd.extend(reader.trace(id)?.and_then(|trace| trace.cost_usd));
        Ok(())
    }
}

/// Sums over the prompts.
#[derive(Default)]
struct Outlook {
    requests: f64,
    quality: f64,
    usd: f64,
    arms: Vec<Prospect>,
}

/// One arm's.
#[derive(Clone, Default)]
struct Prospect {
    /// Prompts that it can answer.
    able: f64,
    share: f64,
    quality: f64,
    usd: f64,
}

impl Outlook {
    fn new(route: &RouteSettings, plan: &Plan, snapshot: &Snapshot, state: &RouteState) -> Result<Self, NoCandidate> {
        let arms = vec![Prospect::default(); route.models.len()];
        let mut outlook = Self { arms, ..Self::default() };
        for asked in plan.asked.iter().filter(|asked| asked.can_be_answered()) {
            let decision = decide(snapshot, state, &asked.context, &asked.eligible, Ask::default(), 0.0)?;
            outlook.requests += 1.0;
            for (&arm, candidate) in asked.eligible.iter().zip(&decision.candidates) {
                let (propensity, quality, usd) = (candidate.propensity, candidate.quality, candidate.cost_usd);
                outlook.quality += propensity * quality;
                outlook.usd += propensity * usd;
                let arm = &mut outlook.arms[arm];
                arm.able += 1.0;
                arm.share += propensity;
                arm.quality += quality;
                arm.usd += usd;
            }
        }
        Ok(outlook)
    }

    /// The model of the highest mean quality.
    fn best(&self, route: &RouteSettings) -> Option<(String, &Prospect)> {
        let able = route.models.iter().zip(&self.arms).filter(|(_, arm)| arm.able > 0.0 && arm.usd > 0.0);
        let mean = |arm: &Prospect| arm.quality / arm.able;
        able.max_by(|a, b| mean(a.1).total_cmp(&mean(b.1))).map(|(model, arm)| (model.id.to_string(), arm))
    }
}

/// The posterior's mean quality of an arm over the prompts that it can answer.
fn believed(state: &RouteState, arm: usize, asked: &[Asked]) -> f64 {
    let contexts = asked.iter().filter(|asked| asked.eligible.contains(&arm)).map(|asked| &asked.context);
    let outlook = |c: &crate::difficulty::Context| state.arms[arm].outlook(&state.shift, &c.phi, c.widening).quality;
    mean(&contexts.map(outlook).collect::<Vec<_>>())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
