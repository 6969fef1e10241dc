//! What a route and its arms are, and what comes of their answers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::catalog::{Name, Price, Usage};

/// The cost-quality knob, such as `{"quality": 0.95}`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Knob {
    /// Keep at least this share (0 to 1) of the best model's measured quality, as cheaply as possible.
    Quality(f64),
    /// The best quality for at most this many USD per 1,000 requests.
    #[serde(rename = "budget_per_1k")]
    BudgetPer1k(f64),
    /// The most quality less cost, where a unit of quality is worth this many USD: the scale for comparing policies
    /// without a controller.
    Value(f64),
}

impl fmt::Display for Knob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quality(share) => write!(f, "quality {share}"),
            Self::BudgetPer1k(usd) => write!(f, "budget {usd} USD per 1,000 requests"),
            Self::Value(usd) => write!(f, "{usd} USD a unit of quality"),
        }
    }
}

/// A route as configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteSpec {
    pub name: String,
    pub knob: Knob,
    /// False: always the arm that the posterior means prefer; π is then 1 for it.
    pub explore: bool,
    pub arms: Vec<ArmSpec>,
    /// Parts of its traffic with a knob of their own. Names are unique.
    pub segments: Vec<SegmentSpec>,
}

impl RouteSpec {
    /// Each arm's price.
    pub(super) fn prices(&self) -> Vec<Price> {
        let unknown = self.unknown_price();
        self.arms.iter().map(|arm| arm.price.unwrap_or(unknown)).collect()
    }

    /// What an arm counts with whose price is unknown: the dearest known price of the route, or, if none is known, the
    /// same for all.
    pub(super) fn unknown_price(&self) -> Price {
        let known = self.arms.iter().filter_map(|arm| arm.price);
        known.max_by(|a, b| a.blended().total_cmp(&b.blended())).unwrap_or(Price::of(1.0, 1.0))
    }

    /// Where an arm stands in `arms`; `None` where it is not configured.
    pub fn arm_index(&self, name: &str) -> Option<usize> {
        self.arms.iter().position(|arm| arm.arm == name)
    }
}

/// A part of a route's traffic. The gateway says which requests belong to it; the arms are the route's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentSpec {
    pub name: String,
    pub knob: Knob,
    /// As [`RouteSpec::explore`].
    pub explore: bool,
}

/// How a request wants to be decided: by default like its route.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Ask<'a> {
    /// The segment that it is in.
    pub segment: Option<&'a str>,
    /// Its own bar, in place of the segment's and the route's knob: 0 to 1.
    pub quality: Option<f64>,
    /// The arm whose provider has read the conversation before.
    pub warm: Option<Warm>,
    /// Two cheap models may be asked before a dear one.
    pub consult: bool,
}

/// An arm that can answer a request for less than usual, because its provider still holds the prompt in a cache.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Warm {
    /// Index into the route's arms.
    pub arm: usize,
    /// How much less, USD.
    pub saves_usd: f64,
}

/// A model as an arm of a route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmSpec {
    /// The configured model name; unique within a route.
    pub arm: String,
    /// `None`: unknown, and counts as the dearest of the route.
    pub price: Option<Price>,
    pub context_window: Option<u32>,
}

/// What a finished call used and cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    /// The arm that answered.
    pub arm: Name,
    pub usage: Option<Usage>,
    /// All billed attempts.
    pub cost_usd: Option<f64>,
}

/// What is believed of one answer's quality so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Reward {
    /// Nothing yet: missing is not zero.
    Unknown,
    /// Well formed, and judged by nobody: balances the malformed ones, which are scored 0.
    WellFormed,
    /// Malformed, and judged by nobody: as if scored 0, at half the weight.
    Malformed,
    /// Judged. `value` in [0, 1]; `weight` > 0: how much it counts beside a client's own score (1).
    Scored { value: f64, weight: f64 },
}

impl Reward {
    /// How much a malformed answer counts beside a client's own judgement (1): a refusal or a cut-off answer may still
    /// be of use, and nobody has read it.
    pub const FORM_WEIGHT: f64 = 0.5;

    /// Value and weight of what the answer alone tells.
    pub fn worth(self) -> Option<(f64, f64)> {
        match self {
            Self::Malformed => Some((0.0, Self::FORM_WEIGHT)),
            _ => self.scored(),
        }
    }

    /// The score and its weight, if somebody judged the answer.
    pub fn scored(self) -> Option<(f64, f64)> {
        match self {
            Self::Scored { value, weight } => Some((value, weight)),
            _ => None,
        }
    }

    /// The quality that somebody judged it to have.
    pub fn judged(self) -> Option<f64> {
        self.scored().map(|(value, _)| value)
    }
}
