//! Scorers: judges found, and which routes they serve.

use std::sync::Arc;

use super::routes::is_called;
use super::{unique, unknown};
use crate::catalog::Model;
use crate::config::file::{self, File};
use crate::config::findings::Findings;
use crate::gateway::{DEFAULT_SHADOW, RouteSettings};
use crate::scorers::OWN_SOURCES;
use crate::scorers::judge::{DEFAULT_RUBRIC, DEFAULT_SHARE, DEFAULT_WEIGHT, JudgeSettings, Judging};
use crate::server::settings::DEFAULT_SOURCE;

/// The judges of each route; a route that has some is shadowed, unless it says otherwise.
pub(super) fn judging(
    file: &File,
    models: &[Arc<Model>],
    routes: &mut [RouteSettings],
    findings: &mut Findings,
) -> Judging {
    unique("scorer", file.scorers.iter().filter_map(|scorer| scorer.name.as_ref()), findings);
    note_taken_names(file, findings);
    let judges: Vec<_> = file.scorers.iter().filter_map(|scorer| judge(scorer, file, models, findings)).collect();
    let typed = file.routes.iter().flatten();
    typed.clone().for_each(|route| note_unknown_scorers(route, file, findings));
    let mut judging = Judging::new();
    for route in routes {
        let typed = typed.clone().find(|typed| typed.name.as_ref().is_some_and(|name| name.value == route.name));
        let named = |judge: &&Arc<JudgeSettings>| {
            let names = typed.and_then(|typed| typed.scorers.as_ref());
            names.is_none_or(|names| names.iter().any(|name| name.value == judge.name))
        };
        let judges: Vec<_> = judges.iter().filter(named).cloned().collect();
        route.shadow = shadow(typed, &judges, findings);
        judges.iter().for_each(|judge| note_own_model(judge, route, typed, findings));
        if !judges.is_empty() {
            judging.insert(route.name.clone(), judges);
        }
    }
    judging
}

fn judge(
    scorer: &file::Scorer,
    file: &File,
    models: &[Arc<Model>],
    findings: &mut Findings,
) -> Option<Arc<JudgeSettings>> {
    let typed = scorer.model.as_ref()?;
    let Some(model) = models.iter().find(|model| is_called(model, &typed.value)) else {
        let names: Vec<_> = file.models.iter().filter_map(|m| Some(m.name.as_ref()?.value.as_str())).collect();
        let plain = typed.value.rsplit('/').next().unwrap_or_default();
        // A model that is there and wrong in other ways was noted before.
        if !names.contains(&plain) || typed.value.contains('/') {
            findings.mistake(typed.line, unknown("model", &typed.value, &names));
        }
        return None;
    };
    Some(Arc::new(JudgeSettings {
        name: scorer.name.as_ref()?.value.clone(),
        model: model.clone(),
        rubric: scorer.rubric.clone().unwrap_or_else(|| DEFAULT_RUBRIC.into()),
        share: scorer.share.unwrap_or(DEFAULT_SHARE),
        weight: scorer.weight.unwrap_or(DEFAULT_WEIGHT),
    }))
}

/// Nobody else may score under a judge's name: to unlearn the one would unlearn the other, too.
fn note_taken_names(file: &File, findings: &mut Findings) {
    for name in file.scorers.iter().filter_map(|scorer| scorer.name.as_ref()) {
        let whose = match &*name.value {
            DEFAULT_SOURCE => "clients' own scores are",
            own if OWN_SOURCES.contains(&own) => "what the gateway finds without a judge is",
            _ => continue,
        };
        let text = format!("a scorer is called \"{}\", as {whose}; give it another name", name.value);
        findings.mistake(name.line, text);
    }
}

fn note_unknown_scorers(route: &file::Route, file: &File, findings: &mut Findings) {
    let known: Vec<_> = file.scorers.iter().filter_map(|s| Some(s.name.as_ref()?.value.as_str())).collect();
    for name in route.scorers.iter().flatten().filter(|name| !known.contains(&name.value.as_str())) {
        findings.mistake(name.line, unknown("scorer", &name.value, &known));
    }
}

/// A shadow that nobody judges costs money and says nothing: there is none, unless it is asked for.
fn shadow(typed: Option<&file::Route>, judges: &[Arc<JudgeSettings>], findings: &mut Findings) -> f64 {
    match typed.and_then(|typed| typed.shadow.as_ref()) {
        None if judges.is_empty() => 0.0,
        None => DEFAULT_SHADOW,
        Some(share) => {
            if share.value > 0.0 && judges.is_empty() {
                let text = "`shadow` asks the best model too, and no scorer of this route judges its answers: that costs \
                            money and says nothing; add a judge to [[scorers]], or set shadow = 0";
                findings.warning(share.line, text);
            }
            share.value
        }
    }
}

fn note_own_model(judge: &JudgeSettings, route: &RouteSettings, typed: Option<&file::Route>, findings: &mut Findings) {
    if route.models.iter().any(|model| model.id == judge.model.id) {
        let line = typed.and_then(|typed| Some(typed.name.as_ref()?.line));
        let text = format!(
            "the judge \"{}\" of route \"{}\" is one of the models that it judges: models tend to prefer their own answers",
            judge.name, route.name
        );
        findings.warning(line, text);
    }
}
