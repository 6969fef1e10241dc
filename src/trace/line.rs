//! One decided request as a line of JSON: what `export` writes, and `evaluate` and `train` read.
//!
//! A file of traces is JSON Lines, one [`TraceLine`] per line, in the order of decision. Numbers are written so that
//! they read back to the bit. An added field keeps the version; a changed or removed one makes a new version.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{JUDGE, Outcome, TraceId, json_line};
use crate::api::metadata::Metadata;
use crate::catalog::{Name, Usage};
use crate::policy::{Candidate, Consult, Decision, Kind, Knob, Panel};

/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// The weight of a client's or a reviewer's own score.
const JUDGED: f64 = 1.0;
/// Propensities sum to 1 within this.
const ROUNDING: f64 = 1e-6;
/// The least propensity of a chosen candidate: squares of many of its 1/π still have a finite sum.
const LEAST_PROPENSITY: f64 = 1e-100;
/// Variances are widened by so much at most.
const MOST_WIDENED: f64 = 1e3;
/// USD of one answer at most: beyond any that there is, and far from what sums cannot hold.
const MOST_USD: f64 = 1e6;

/// One decided request with everything that has come of it so far.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TraceLine {
    /// [`VERSION`].
    pub version: u32,
    /// The value of `x-satisfice-trace-id`.
    pub trace: TraceId,
    /// Arrival, Unix milliseconds.
    pub at_ms: u64,
    pub route: String,
    /// What the client said about the request in `x-satisfice-metadata`; null where the request is not kept.
    pub metadata: Option<Metadata>,
    /// The body as the client sent it, except line breaks between its tokens; null where it was too long to keep, was
    /// dropped under load, or is past retention.
    pub request: Option<Box<RawValue>>,
    pub decision: DecisionLine,
    /// Null where the end of the request is not in the ledger.
    pub settlement: Option<SettlementLine>,
    /// The newest of each (metric, source), in the order of their first arrival: late scores and revisions are in it.
    pub scores: Vec<ScoreLine>,
    /// What the scores amount to; null where nobody judged the answer, or no model gave one: missing is not zero.
    pub reward: Option<RewardLine>,
}

/// What the policy decided, and what it knew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionLine {
    pub policy: String,
    pub kind: Kind,
    /// The segment whose knob and controller decided; null: the route's.
    pub segment: Option<String>,
    pub knob: Knob,
    /// φ(x) = [1, z(x)], as the training run `bundle` assessed the request.
    pub phi: Vec<f64>,
    /// ≥ 1: the factor by which the predictive variance was widened.
    pub widening: f64,
    /// ln of the answer's expected length beside the model's usual.
    pub verbosity: f64,
    /// Prompt tokens, estimated.
    pub input_tokens: u32,
    /// Percentile of the training traffic, 0 (easy) to 1 (hard).
    pub difficulty: f32,
    /// The models that could answer, as the policy saw them: quality p̃ (0 to 1), cost ĉ (USD), propensity π.
    pub candidates: Vec<Candidate>,
    /// The candidate that the posterior means preferred.
    pub preferred: usize,
    /// The candidate that was drawn.
    pub chosen: usize,
    /// Of a shadow: the probability, above 0, with which the request was in the sample and another model was drawn. Absent
    /// of others, which were asked with their propensity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<f64>,
    /// The uniform draw in [0, 1) that chose it.
    pub draw: f64,
    pub snapshot_version: u64,
    /// Which two models were asked before the drawn one, and what they said; absent where nobody might be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consult: Option<Consult>,
    /// Names the training run that φ is of: 16 hexadecimal digits.
    pub bundle: String,
}

/// How the request ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SettlementLine {
    /// The arm that answered: not the chosen one where a fallback did; null where none did.
    pub arm: Option<Name>,
    pub usage: Option<Usage>,
    /// All billed attempts.
    pub cost_usd: Option<f64>,
    pub outcome: Outcome,
}

/// One score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreLine {
    pub metric: String,
    pub source: String,
    pub value: f64,
    /// How much it counts beside a client's own (1): less where one of the gateway's own judges gave it.
    #[serde(default = "full_weight", skip_serializing_if = "is_full_weight")]
    pub weight: f64,
    /// Unix milliseconds.
    pub at_ms: u64,
}

fn full_weight() -> f64 {
    JUDGED
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_full_weight(weight: &f64) -> bool {
    *weight == JUDGED
}

/// What is believed of the answer's quality.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RewardLine {
    /// 0 to 1.
    pub value: f64,
    /// How much it counts beside a client's own score (1): less where only the form of the answer was judged.
    pub weight: f64,
}

impl TraceLine {
    /// Reads and checks one line.
    ///
    /// # Errors
    /// What is wrong with it and what to do about it; the caller adds the file and line.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Versioned {
            version: Option<u32>,
        }
        match serde_json::from_slice(line) {
            Ok(Versioned { version: Some(found) }) if found != VERSION => {
                return Err(format!("version {found}, and this program reads version {VERSION}; export it again"));
            }
            Ok(Versioned { version: None }) => {
                return Err("has no `version`; a line is what `satisfice export` writes".into());
            }
            // What is no JSON has a field, which the whole knows.
            Ok(_) | Err(_) => {}
        }
        let not_one = |e: &str| format!("not an exported trace ({e}); a line is what `satisfice export` writes");
        let line: Self = json_line::read(line, not_one)?;
        line.decision.check()?;
        line.settlement.iter().try_for_each(SettlementLine::check)?;
        line.scores.iter().try_for_each(ScoreLine::check)?;
        line.reward.iter().try_for_each(RewardLine::check)?;
        Ok(line)
    }

    /// The answer's quality as somebody judged it, 0 to 1. A reward for form alone does not count: it can only blame,
    /// so a mean of such rewards would be too low.
    pub fn judged(&self) -> Option<f64> {
        let by_a_judge = || self.scores.iter().any(|score| score.metric == JUDGE);
        self.reward.filter(|reward| reward.weight >= JUDGED || by_a_judge()).map(|reward| reward.value)
    }

    /// The candidate that was drawn.
    pub fn chosen(&self) -> &Candidate {
        &self.decision.candidates[self.decision.chosen]
    }
}

impl DecisionLine {
    /// The key of the training run that the decision's φ comes from, as in `bundle`.
    pub fn of(decision: Decision, bundle: u64) -> Self {
        Self {
            policy: decision.policy.into(),
            kind: decision.kind,
            segment: decision.segment,
            knob: decision.knob,
            phi: decision.phi,
            widening: decision.widening,
            verbosity: decision.verbosity,
            input_tokens: decision.input_tokens,
            difficulty: decision.difficulty,
            candidates: decision.candidates,
            preferred: decision.preferred,
            chosen: decision.chosen,
            asked: None,
            draw: decision.draw,
            snapshot_version: decision.snapshot_version,
            consult: decision.consult,
            bundle: format!("{bundle:016x}"),
        }
    }

    fn check(&self) -> Result<(), String> {
        self.check_numbers()?;
        self.check_candidates()
    }

    fn check_numbers(&self) -> Result<(), String> {
        knob(self.knob)?;
        if !(1.0..=MOST_WIDENED).contains(&self.widening) {
            return Err(format!("widening is {}; it must be from 1 to {MOST_WIDENED}", self.widening));
        }
        share("difficulty", f64::from(self.difficulty))?;
        if let Some(asked) = self.asked.filter(|asked| !(LEAST_PROPENSITY..=1.0).contains(asked)) {
            return Err(format!("asked is {asked:?}; it must be above 0, and at most 1; export it again"));
        }
        self.consult.iter().try_for_each(|consult| self.check_consult(consult))?;
        if !(0.0..1.0).contains(&self.draw) {
            return Err(format!("draw is {}; it must be from 0 to below 1", self.draw));
        }
        Ok(())
    }

    fn check_consult(&self, Consult { panel, foreseen_usd }: &Consult) -> Result<(), String> {
        amount("consult: foreseen_usd", *foreseen_usd)?;
        let Some(Panel { members, same_errors, .. }) = panel else { return Ok(()) };
        share("consult: same_errors", *same_errors)?;
        let n = self.candidates.len();
        match members.iter().find(|member| **member >= n) {
            Some(member) => {
                Err(format!("consult: a member is {member}, and there are {n} candidates; export it again"))
            }
            None => Ok(()),
        }
    }

    /// The models that were asked before the drawn one, if both answered.
    pub fn panel(&self) -> Option<Panel> {
        self.consult?.panel.filter(Panel::was_heard)
    }

    fn check_candidates(&self) -> Result<(), String> {
        self.candidates.iter().try_for_each(check_candidate)?;
        let Some(chosen) = self.candidates.get(self.chosen) else {
            let n = self.candidates.len();
            return Err(format!("chosen is {}, and there are {n} candidates; export it again", self.chosen));
        };
        if chosen.propensity < LEAST_PROPENSITY {
            let Candidate { arm, propensity, .. } = chosen;
            return Err(format!(
                "{arm} was chosen with propensity {propensity:?}, so nothing can be weighted by it; leave the line out"
            ));
        }
        let sum: f64 = self.candidates.iter().map(|candidate| candidate.propensity).sum();
        if (sum - 1.0).abs() > ROUNDING {
            return Err(format!("the propensities sum to {sum}, not to 1; export it again, with every candidate"));
        }
        let twice = |(i, one): (usize, &Candidate)| self.candidates[..i].iter().any(|other| other.arm == one.arm);
        match self.candidates.iter().enumerate().find(|one| twice(*one)) {
            Some((_, one)) => Err(format!("{} is a candidate twice; export it again", one.arm)),
            None => Ok(()),
        }
    }
}

fn check_candidate(candidate: &Candidate) -> Result<(), String> {
    let Candidate { arm, quality, cost_usd, propensity } = candidate;
    share(&format!("{arm}: quality"), *quality)?;
    share(&format!("{arm}: propensity"), *propensity)?;
    amount(&format!("{arm}: cost_usd"), *cost_usd)
}

impl ScoreLine {
    fn check(&self) -> Result<(), String> {
        let Self { metric, source, value, weight: counts, .. } = self;
        share(&format!("scores: {metric} of {source}: value"), *value)?;
        weight(&format!("scores: {metric} of {source}: weight"), *counts)
    }
}

impl SettlementLine {
    fn check(&self) -> Result<(), String> {
        self.cost_usd.iter().try_for_each(|usd| amount("settlement: cost_usd", *usd))
    }
}

impl RewardLine {
    fn check(&self) -> Result<(), String> {
        share("reward: value", self.value)?;
        weight("reward: weight", self.weight)
    }
}

fn share(field: &str, value: f64) -> Result<(), String> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(format!("{field} is {value}; it must be from 0 to 1")) }
}

fn knob(asked: Knob) -> Result<(), String> {
    let (name, number) = match asked {
        Knob::Quality(asked) => return share("knob: quality", asked),
        Knob::BudgetPer1k(usd) => ("budget_per_1k", usd),
        Knob::Value(usd) => ("value", usd),
    };
    let right = number.is_finite() && number >= 0.0;
    if right { Ok(()) } else { Err(format!("knob: {name} is {number}; it must be a number from 0 on")) }
}

fn weight(field: &str, value: f64) -> Result<(), String> {
    let right = value > 0.0 && value.is_finite();
    if right { Ok(()) } else { Err(format!("{field} is {value}; it must be above 0, and what is missing is left out")) }
}

fn amount(field: &str, value: f64) -> Result<(), String> {
    let right = (0.0..=MOST_USD).contains(&value);
    if right { Ok(()) } else { Err(format!("{field} is {value:?}; it must be a number from 0 to {MOST_USD}")) }
}
