//! `[[routes]]`.

use std::time::Duration;

use super::cache::RouteCache;
use super::rule::Rule;
use super::segment::Segment;
use super::server::Deadlines;
use super::{name, seconds};
use crate::config::section::{Located, Section};
use crate::gateway::Balance;
use crate::policy::Knob;
use crate::upstream::Fallbacks;

#[derive(Debug)]
pub(in crate::config) struct Route {
    pub(in crate::config) name: Option<Located<String>>,
    pub(in crate::config) models: Option<Located<Vec<Located<String>>>>,
    pub(in crate::config) knob: Option<Knob>,
    pub(in crate::config) explore: bool,
    pub(in crate::config) shadow: Option<Located<f64>>,
    /// `None`: all that there are.
    pub(in crate::config) scorers: Option<Vec<Located<String>>>,
    pub(in crate::config) segments: Vec<Segment>,
    pub(in crate::config) rules: Vec<Rule>,
    pub(in crate::config) balance: Balance,
    pub(in crate::config) attempts: Option<u32>,
    pub(in crate::config) hedge: Option<Duration>,
    pub(in crate::config) deadlines: Deadlines,
    /// Names of models.
    pub(in crate::config) fallbacks: Fallbacks<Vec<Located<String>>>,
    pub(in crate::config) cache: Option<RouteCache>,
    pub(in crate::config) drop_unsupported: bool,
    pub(in crate::config) panel: bool,
}

impl Route {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let models = "a list of names of [[models]], such as [\"small\", \"large\"]";
        let route = Self {
            name: name(section, "the name that clients ask for, such as \"auto\""),
            models: section.strings("models", models),
            knob: knob(section),
            explore: section.boolean("explore").unwrap_or(true),
            shadow: section.number("shadow", 0.0..1.0, true, "a share of requests from 0 to 1, such as 0.01"),
            scorers: section.strings("scorers", "a list of names of [[scorers]]").map(|names| names.value),
            balance: section.one_of("balance", &Balance::NAMES).unwrap_or_default(),
            attempts: section.whole("attempts", 1, 10).map(|n| n.value),
            hedge: seconds(section, "hedge_after_s"),
            deadlines: Deadlines {
                connect: None,
                first_byte: seconds(section, "first_byte_s"),
                idle: seconds(section, "idle_s"),
                total: seconds(section, "total_s"),
            },
            fallbacks: section.section("fallbacks", fallbacks).unwrap_or_default(),
            segments: section.sections("segments", Segment::read).unwrap_or_default(),
            rules: section.sections("rules", Rule::read).unwrap_or_default(),
            cache: section.section("cache", RouteCache::read),
            drop_unsupported: section.boolean("drop_unsupported").unwrap_or(false),
            panel: section.boolean("panel").unwrap_or(true),
        };
        if !section.had("models") {
            section.missing("models", models);
        }
        route
    }
}

fn fallbacks(section: &mut Section<'_, '_>) -> Fallbacks<Vec<Located<String>>> {
    let mut models = |cause| {
        let expected = "a list of names of [[models]]; an empty one: nobody else is asked";
        section.strings(cause, expected).map(|models| models.value)
    };
    Fallbacks {
        error: models("error"),
        rate_limit: models("rate_limit"),
        context_length: models("context_length"),
        content_filter: models("content_filter"),
    }
}

pub(in crate::config) fn knob(section: &mut Section<'_, '_>) -> Option<Knob> {
    let quality = section.number("quality", 0.0..1.0, true, "a number from 0 to 1");
    let budget = section.number("budget_per_1k", f64::MIN_POSITIVE..f64::MAX, true, "USD above 0");
    if section.had("quality") && section.had("budget_per_1k") {
        let line = budget.as_ref().map_or(section.line, |budget| budget.line);
        section.findings.mistake(line, "both `quality` and `budget_per_1k` are given; keep one of them");
    }
    let budget = budget.map(|usd| Knob::BudgetPer1k(usd.value));
    quality.map(|share| Knob::Quality(share.value)).or(budget)
}
