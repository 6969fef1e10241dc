//! One configuration in force: names resolved, metrics looked up, upstreams ready. A request keeps the one it began with.

use std::collections::HashMap;
use std::sync::Arc;

use super::error::GatewayError;
use super::pace::Pace;
use super::settings::Settings;
use crate::api::error::BadRequest;
use crate::catalog::Model;
use crate::telemetry::{Metrics, ModelMetrics};
use crate::upstream::{Limits, Upstreams};

/// One configuration in force.
pub struct Setup {
    pub(super) settings: Settings,
    pub(super) targets: Vec<Target>,
    pub(super) routes: Vec<Route>,
    pub(super) upstreams: Upstreams,
    pub(super) limits: Limits,
    names: HashMap<String, Name>,
    /// Embedding models by plain name (of each provider that has one) and as `provider/model`.
    embedders: HashMap<String, Vec<usize>>,
}

/// A model that can be called.
pub(super) struct Target {
    pub(super) model: Arc<Model>,
    /// `provider/model`.
    pub(super) label: Arc<str>,
    pub(super) metrics: ModelMetrics,
    pub(super) pace: Pace,
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
    pub fn new(settings: Settings, upstreams: Upstreams, metrics: &Metrics) -> Self {
        let models = settings.models.iter().chain(&settings.embeddings);
        let targets: Vec<Target> = models.map(|model| Target::new(model, metrics)).collect();
        let index = |model: &Arc<Model>| settings.models.iter().position(|m| m.id == model.id);
        let routes = settings.routes.iter().map(|route| Route {
            name: route.name.as_str().into(),
            targets: route.models.iter().filter_map(index).collect(),
        });
        let routes = routes.collect();
        let limits = Limits { deadlines: settings.deadlines, attempts: settings.attempts };
        let (names, embedders) = (names(&settings), embedders(&settings));
        Self { names, embedders, targets, routes, upstreams, limits, settings }
    }

    pub(super) fn resolve(&self, asked: &str) -> Result<Name, GatewayError> {
        self.names.get(asked).copied().ok_or_else(|| match self.embedders.contains_key(asked) {
            true => wrong_kind(format!("\"{asked}\" makes embeddings; POST /v1/embeddings asks it")),
            false => unknown(asked, self.known()),
        })
    }

    /// All that a model's name may mean: as a plain name, the model of each provider that has it, `first` the first.
    pub(super) fn of_name(&self, asked: &str, first: usize) -> Vec<usize> {
        let models = self.settings.models.iter().enumerate();
        let others = models.filter(|(i, model)| *i != first && model.id.model == asked).map(|(i, _)| i);
        std::iter::once(first).chain(others).collect()
    }

    /// Who makes embeddings by this name: all providers that have the model, in the configuration's order.
    pub(super) fn embedders(&self, asked: &str) -> Result<&[usize], GatewayError> {
        if let Some(targets) = self.embedders.get(asked) {
            return Ok(targets);
        }
        Err(match self.names.get(asked) {
            Some(Name::Route(_)) => wrong_kind(format!(
                "\"{asked}\" is a route, and routing does not apply to embeddings: vectors of different models cannot be \
                 compared; name one model"
            )),
            Some(Name::Model(_)) => wrong_kind(format!(
                "\"{asked}\" answers chats; an embedding model has kind = \"embedding\" in [[models]]"
            )),
            None => unknown(asked, self.settings.embeddings.iter().map(|m| m.id.model.clone()).collect()),
        })
    }

    /// Routes, then models by their plain names.
    fn known(&self) -> Vec<String> {
        let routes = self.settings.routes.iter().map(|r| r.name.clone());
        routes.chain(self.settings.models.iter().map(|m| m.id.model.clone())).collect()
    }
}

fn unknown(asked: &str, known: Vec<String>) -> GatewayError {
    GatewayError::UnknownModel { asked: asked.chars().take(200).collect(), known }
}

fn wrong_kind(message: String) -> GatewayError {
    GatewayError::BadRequest(BadRequest::field("model", message))
}

fn embedders(settings: &Settings) -> HashMap<String, Vec<usize>> {
    let mut embedders: HashMap<String, Vec<usize>> = HashMap::new();
    for (i, model) in settings.embeddings.iter().enumerate() {
        for name in [model.id.model.clone(), model.id.to_string()] {
            embedders.entry(name).or_default().push(settings.models.len() + i);
        }
    }
    embedders
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
        Self { model: model.clone(), metrics: metrics.model(&label), label, pace: Pace::default() }
    }
}
