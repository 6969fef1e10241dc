//! One configuration in force: names resolved, metrics looked up, upstreams ready. A request keeps the one it began with.

use std::collections::HashMap;
use std::sync::Arc;

use super::error::GatewayError;
use super::settings::Settings;
use crate::catalog::Model;
use crate::telemetry::{Metrics, ModelMetrics};
use crate::upstream::{Limits, Upstreams};

/// One configuration in force.
pub struct Setup {
    pub(super) settings: Settings,
    pub(super) targets: Vec<Target>,
    pub(super) routes: Vec<Route>,
    pub(super) upstreams: Arc<Upstreams>,
    pub(super) limits: Limits,
    names: HashMap<String, Name>,
}

/// A model that can be called.
pub(super) struct Target {
    pub(super) model: Arc<Model>,
    /// `provider/model`.
    pub(super) label: Arc<str>,
    pub(super) metrics: ModelMetrics,
}

/// A route's models, by their index in [`Setup::targets`].
pub(super) struct Route {
    pub(super) name: Arc<str>,
    pub(super) targets: Vec<usize>,
}

/// What a client's `model` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Route(usize),
    Model(usize),
}

impl Setup {
    /// Takes a validated configuration into use; `upstreams` must know the provider of each of its models.
    pub fn new(settings: Settings, upstreams: impl Into<Arc<Upstreams>>, metrics: &Metrics) -> Self {
        let targets: Vec<Target> = settings.models.iter().map(|model| Target::new(model, metrics)).collect();
        let index = |model: &Arc<Model>| settings.models.iter().position(|m| m.id == model.id);
        let routes = settings.routes.iter().map(|route| Route {
            name: route.name.as_str().into(),
            targets: route.models.iter().filter_map(index).collect(),
        });
        let routes = routes.collect();
        let limits = Limits { deadlines: settings.deadlines, attempts: settings.attempts };
        Self { names: names(&settings), targets, routes, upstreams: upstreams.into(), limits, settings }
    }

    pub(super) fn resolve(&self, asked: &str) -> Result<Name, GatewayError> {
        self.names
            .get(asked)
            .copied()
            .ok_or_else(|| GatewayError::UnknownModel { asked: asked.chars().take(200).collect(), known: self.known() })
    }

    /// Routes, then models by their plain names.
    fn known(&self) -> Vec<String> {
        let routes = self.settings.routes.iter().map(|r| r.name.clone());
        routes.chain(self.settings.models.iter().map(|m| m.id.model.clone())).collect()
    }
}

/// `provider/model` always means that model; a plain name means a route, else the first model of that name.
fn names(settings: &Settings) -> HashMap<String, Name> {
    let mut names = HashMap::new();
    for (i, route) in settings.routes.iter().enumerate() {
        names.entry(route.name.clone()).or_insert(Name::Route(i));
    }
    for (i, model) in settings.models.iter().enumerate() {
        names.entry(model.id.model.clone()).or_insert(Name::Model(i));
        names.entry(model.id.to_string()).or_insert(Name::Model(i));
    }
    names
}

impl Target {
    fn new(model: &Arc<Model>, metrics: &Metrics) -> Self {
        let label: Arc<str> = model.id.to_string().into();
        Self { model: model.clone(), metrics: metrics.model(&label), label }
    }
}
