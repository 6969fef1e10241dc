//! Routes: their models found, their knobs settled.

use std::sync::Arc;

use super::rules::rules;
use super::segments::segments;
use super::{cache, unique, unknown};
use crate::catalog::Model;
use crate::config::Flags;
use crate::config::file::{self, File};
use crate::config::findings::Findings;
use crate::config::section::Located;
use crate::gateway::{Resilience, RouteSettings};

/// The route that a file without `[[routes]]` gets.
const IMPLICIT_ROUTE: &str = "auto";

pub(super) fn configured_routes(
    routes: &[file::Route],
    file: &File,
    models: &[Arc<Model>],
    flags: &Flags,
    findings: &mut Findings,
) -> Vec<RouteSettings> {
    unique("route", routes.iter().filter_map(|r| r.name.as_ref()), findings);
    let is_model = |name: &str| file.models.iter().any(|m| m.name.as_ref().is_some_and(|n| n.value == name));
    for name in routes.iter().filter_map(|r| r.name.as_ref()).filter(|name| is_model(&name.value)) {
        findings.mistake(name.line, format!("\"{}\" is a route and a model; rename one", name.value));
    }
    let known = |m: &file::Model| Some((m.name.as_ref()?.value.clone(), m.provider.as_ref().map(|p| p.value.clone())));
    let known: Vec<_> = file.models.iter().filter_map(known).collect();
    let cached = |route: &file::Route| route.cache.as_ref().map(|typed| cache::rule(typed, cache::ttl(file)));
    let settings = |route: &file::Route| {
        Some(RouteSettings { cache: cached(route), ..configured_route(route, &known, models, flags, findings)? })
    };
    routes.iter().filter_map(settings).collect()
}

/// Embedding models answer nothing.
pub(super) fn note_embeddings(routes: &[file::Route], embeddings: &[Arc<Model>], findings: &mut Findings) {
    let named = routes.iter().filter_map(|route| route.models.as_ref()).flat_map(|models| &models.value);
    for name in named.filter(|name| embeddings.iter().any(|model| is_called(model, &name.value))) {
        findings.mistake(name.line, format!("\"{}\" makes embeddings and answers nothing; leave it out", name.value));
    }
}

/// `known`: names and providers of all models of the file, also of those that are wrong in other ways.
fn configured_route(
    route: &file::Route,
    known: &[(String, Option<String>)],
    models: &[Arc<Model>],
    flags: &Flags,
    findings: &mut Findings,
) -> Option<RouteSettings> {
    let typed = route.models.as_ref()?;
    if typed.value.is_empty() {
        findings.mistake(typed.line, "the route has no models; name at least one of the [[models]]");
    }
    let mut chosen: Vec<Arc<Model>> = vec![];
    for name in &typed.value {
        note_unknown_model(name, known, findings);
        let Some(model) = models.iter().find(|m| is_called(m, &name.value)) else { continue };
        if chosen.iter().any(|other| other.id.model == model.id.model) {
            let remedy = "name each model once, and rename those of the same name";
            findings.mistake(name.line, format!("two models called \"{}\" in one route; {remedy}", model.id.model));
        }
        chosen.push(model.clone());
    }
    let knob = route.knob.unwrap_or(flags.knob());
    Some(RouteSettings {
        explore: route.explore,
        drop_unsupported: route.drop_unsupported,
        panel: route.panel,
        alternates: alternates(&typed.value, &chosen, models),
        resilience: resilience(route, known, models, findings),
        segments: segments(route, findings),
        rules: rules(route, &chosen.iter().map(|model| &*model.id.model).collect::<Vec<_>>(), findings),
        ..RouteSettings::new(&route.name.as_ref()?.value, chosen, knob)
    })
}

/// The chosen models at further providers, but where the route names the provider.
fn alternates(names: &[Located<String>], chosen: &[Arc<Model>], models: &[Arc<Model>]) -> Vec<Arc<Model>> {
    let anywhere = |model: &Arc<Model>| names.iter().any(|name| name.value == model.id.model);
    let is_chosen = |model: &Arc<Model>| chosen.iter().any(|other| other.id == model.id);
    models.iter().filter(|model| anywhere(model) && !is_chosen(model)).cloned().collect()
}

fn resilience(
    route: &file::Route,
    known: &[(String, Option<String>)],
    models: &[Arc<Model>],
    findings: &mut Findings,
) -> Resilience {
    let named = |names: &Vec<Located<String>>| {
        names.iter().for_each(|name| note_unknown_model(name, known, findings));
        names.iter().flat_map(|name| models.iter().filter(|m| is_called(m, &name.value))).cloned().collect()
    };
    Resilience {
        balance: route.balance,
        attempts: route.attempts.map(|n| n as usize),
        first_byte: route.deadlines.first_byte,
        idle: route.deadlines.idle,
        total: route.deadlines.total,
        hedge: route.hedge,
        fallbacks: route.fallbacks.map(named),
    }
}

fn note_unknown_model(name: &Located<String>, known: &[(String, Option<String>)], findings: &mut Findings) {
    let named = |(model, provider): &(String, Option<String>)| match name.value.split_once('/') {
        Some((p, m)) => model == m && provider.as_deref() == Some(p),
        None => *model == name.value,
    };
    if !known.iter().any(named) {
        let names: Vec<_> = known.iter().map(|(model, _)| model.as_str()).collect();
        findings.mistake(name.line, unknown("model", &name.value, &names));
    }
}

/// `model` or `provider/model`.
pub(super) fn is_called(model: &Model, name: &str) -> bool {
    match name.split_once('/') {
        Some((provider, plain)) => model.id.provider == provider && model.id.model == plain,
        None => model.id.model == name,
    }
}

/// A file without `[[routes]]` has one over all its models; it is said.
pub(super) fn implicit_route(models: &[Arc<Model>], flags: &Flags, findings: &mut Findings) -> Option<RouteSettings> {
    if models.iter().any(|m| m.id.model == IMPLICIT_ROUTE) {
        let text = format!("there are no [[routes]], and none is made, for a model is called \"{IMPLICIT_ROUTE}\"");
        findings.warning(None, text);
        return None;
    }
    let first =
        |m: &&Arc<Model>| models.iter().find(|other| other.id.model == m.id.model).is_some_and(|f| f.id == m.id);
    let (chosen, alternates): (Vec<_>, Vec<_>) = models.iter().cloned().partition(|model| first(&model));
    if chosen.is_empty() {
        return None;
    }
    let text = format!("there are no [[routes]]: \"{IMPLICIT_ROUTE}\" is made of all {} models", chosen.len());
    findings.warning(None, text);
    Some(RouteSettings { alternates, ..RouteSettings::new(IMPLICIT_ROUTE, chosen, flags.knob()) })
}
