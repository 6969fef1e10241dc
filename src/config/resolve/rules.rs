//! Rules of one route: the models that they name found among the route's.

use super::unknown;
use crate::config::file;
use crate::config::findings::Findings;
use crate::config::section::Located;
use crate::gateway::{Rule, Then};

/// The most rules of a route: each that does not hold is looked at for every request.
const MOST: usize = 64;

/// `names`: the route's models.
pub(super) fn rules(route: &file::Route, names: &[&str], findings: &mut Findings) -> Vec<Rule> {
    if let Some(beyond) = route.rules.get(MOST) {
        findings.mistake(beyond.line, format!("more than {MOST} rules of one route; make another route of some"));
    }
    route.rules.iter().filter_map(|typed| rule(typed, names, findings)).collect()
}

fn rule(typed: &file::Rule, names: &[&str], findings: &mut Findings) -> Option<Rule> {
    let mut check = |name: &Located<String>| {
        if !names.contains(&name.value.as_str()) {
            findings.mistake(name.line, unknown("model of the route", &name.value, names));
        }
    };
    let then = match (&typed.models, &typed.weights) {
        (Some(models), _) => {
            models.iter().for_each(&mut check);
            Then::Models(models.iter().map(|name| name.value.as_str().into()).collect())
        }
        (None, Some(weights)) => {
            weights.iter().for_each(|(name, _)| check(name));
            Then::Weights(weights.iter().map(|(name, weight)| (name.value.as_str().into(), *weight)).collect())
        }
        (None, None) => return None,
    };
    note_nobody(typed, &then, findings);
    Some(Rule { when: typed.when.clone()?, then })
}

fn note_nobody(typed: &file::Rule, then: &Then, findings: &mut Findings) {
    let nobody = match then {
        Then::Models(models) => models.is_empty(),
        Then::Weights(weights) => !weights.iter().any(|(_, weight)| *weight > 0.0),
    };
    if nobody {
        findings.mistake(typed.line, "the rule leaves nobody to answer; name a model, with a weight above 0");
    }
}
