//! One configuration in force: names resolved, metrics looked up, upstreams ready. A request keeps the one it began with.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Wishes;
use super::balance::{Balance, Deployment, order};
use super::condition::Circumstances;
use super::error::GatewayError;
use super::filter::{Demand, Excluded, Reason};
use super::pace::Pace;
use super::rules::{Rule, Then};
use super::sessions::{Reading, Warm};
use super::settings::{SegmentSettings, Settings};
use crate::api::chat::ChatRequest;
use crate::api::error::BadRequest;
use crate::api::metadata::Metadata;
use crate::catalog::Model;
use crate::policy::{self, Snapshot};
use crate::telemetry::{Metrics, ModelMetrics};
use crate::upstream::{Fallbacks, Limits, Upstreams};

/// One configuration in force.
pub struct Setup {
    pub(super) settings: Settings,
    pub(super) targets: Vec<Target>,
    pub(super) routes: Vec<Route>,
    pub(super) upstreams: Arc<Upstreams>,
    /// Of a request to a model by its name.
    pub(super) limits: Limits,
    names: HashMap<String, Asked>,
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
    pub(super) balance: Balance,
    pub(super) limits: Limits,
    pub(super) fallbacks: Fallbacks<Vec<usize>>,
    pub(super) segments: Vec<Segment>,
    pub(super) rules: Vec<Rule>,
    /// Nothing could be decided the last time.
    pub(super) undecided: Lasting,
    /// A provider of it charges less for what it has read before.
    caches: bool,
}

/// Something that goes on for many requests, and that the log hears of where it begins.
#[derive(Debug, Default)]
pub(super) struct Lasting(AtomicBool);

/// A segment of a route.
pub(super) struct Segment {
    pub(super) name: Arc<str>,
    metadata: Metadata,
}

/// What a client's `model` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Route(usize),
    /// A model at whichever provider: the first one's target.
    Model(usize),
    /// A model at one provider.
    Deployment(usize),
}

impl Setup {
    /// Whether what a provider cannot express is left out, where neither request nor client says.
    pub(super) fn drops_unsupported(&self, name: Asked) -> bool {
        matches!(name, Asked::Route(route) if self.settings.routes[route].drop_unsupported)
    }

    /// Takes a validated configuration into use; `upstreams` must know the provider of each of its models.
    pub fn new(settings: Settings, upstreams: impl Into<Arc<Upstreams>>, metrics: &Metrics) -> Self {
        let models = settings.models.iter().chain(&settings.embeddings);
        let targets: Vec<Target> = models.map(|model| Target::new(model, metrics)).collect();
        let index = |model: &Arc<Model>| settings.models.iter().position(|m| m.id == model.id);
        let indices = |models: &Vec<Arc<Model>>| models.iter().filter_map(index).collect::<Vec<_>>();
        let routes = settings.routes.iter().map(|route| Route {
            name: route.name.as_str().into(),
            targets: [indices(&route.models), indices(&route.alternates)].concat(),
            balance: route.resilience.balance,
            limits: route.resilience.limits(&settings),
            segments: route.segments.iter().map(Segment::new).collect(),
            rules: route.rules.clone(),
            undecided: Lasting::default(),
            caches: route.models.iter().any(|model| charges_less(model)),
            fallbacks: route.resilience.fallbacks.map(indices),
        });
        let routes = routes.collect();
        let limits = Limits::new(settings.deadlines, settings.attempts);
        let (names, embedders) = (names(&settings), embedders(&settings));
        Self { names, embedders, targets, routes, upstreams: upstreams.into(), limits, settings }
    }

    /// With what was measured of each model that stays the same.
    pub(super) fn paced_as(mut self, before: &Self) -> Self {
        for target in &mut self.targets {
            let is_same = |other: &&Target| {
                (&other.model.id, &other.model.upstream_name) == (&target.model.id, &target.model.upstream_name)
            };
            if let Some(same) = before.targets.iter().find(is_same) {
                target.pace = same.pace.clone();
            }
        }
        self
    }

    pub(super) fn resolve(&self, asked: &str) -> Result<Asked, GatewayError> {
        self.names.get(asked).copied().ok_or_else(|| match self.embedders.contains_key(asked) {
            true => wrong_kind(format!("\"{asked}\" makes embeddings; POST /v1/embeddings asks it")),
            false => unknown(asked, self.known()),
        })
    }

    /// The targets of the model that `first` is, at each provider that has it, in the configuration's order.
    pub(super) fn everywhere(&self, first: usize) -> Vec<usize> {
        let name = &self.targets[first].model.id.model;
        let models = self.settings.models.iter().enumerate();
        models.filter(|(_, model)| model.id.model == *name).map(|(i, _)| i).collect()
    }

    /// Who makes embeddings by this name: all providers that have the model, in the configuration's order.
    pub(super) fn embedders(&self, asked: &str) -> Result<&[usize], GatewayError> {
        if let Some(targets) = self.embedders.get(asked) {
            return Ok(targets);
        }
        Err(match self.names.get(asked) {
            Some(Asked::Route(_)) => wrong_kind(format!(
                "\"{asked}\" is a route, and routing does not apply to embeddings: vectors of different models cannot be \
                 compared; name one model"
            )),
            Some(Asked::Model(_) | Asked::Deployment(_)) => wrong_kind(format!(
                "\"{asked}\" answers chats; an embedding model has kind = \"embedding\" in [[models]]"
            )),
            None => unknown(asked, once_each(self.settings.embeddings.iter().map(|m| m.id.model.to_string()))),
        })
    }

    /// Those of `targets` that can answer what is asked of them; the others are added to `unable`, with what they lack.
    pub(super) fn able(
        &self,
        targets: impl IntoIterator<Item = usize>,
        demand: &Demand,
        unable: &mut Vec<Excluded>,
    ) -> Vec<usize> {
        let mut able = vec![];
        for target in targets {
            let model = &self.targets[target].model;
            let inexpressible = || self.upstreams.refuses(&model.id, demand.request()).map(Reason::Inexpressible);
            match demand.lacking(model).or_else(inexpressible) {
                None => able.push(target),
                Some(reason) => {
                    let excluded = Excluded { model: model.id.model.to_string(), reason };
                    if !unable.contains(&excluded) {
                        unable.push(excluded);
                    }
                }
            }
        }
        able
    }

    /// Those of `targets` that are the model called `name`, the one to ask first in front.
    pub(super) fn deployments(
        &self,
        targets: impl Iterator<Item = usize>,
        name: &str,
        balance: Balance,
        draw: impl FnOnce() -> f64,
    ) -> Vec<usize> {
        let mut plan = Vec::with_capacity(1);
        self.add_deployments(&mut plan, targets, name, balance, draw);
        plan
    }

    /// Adds to `plan` those of `targets` that are the model called `name`, the one to ask first in front.
    pub(super) fn add_deployments(
        &self,
        plan: &mut Vec<usize>,
        targets: impl Iterator<Item = usize>,
        name: &str,
        balance: Balance,
        draw: impl FnOnce() -> f64,
    ) {
        let planned = plan.len();
        plan.extend(targets.filter(|target| self.targets[*target].model.id.model == name));
        if plan.len() - planned > 1 {
            let deployments = plan.drain(planned..).map(|target| self.deployment(target)).collect();
            plan.extend(order(deployments, balance, draw()));
        }
    }

    /// The route's arm that is `warm`, and what that saves on a prompt of so many tokens.
    pub(super) fn warm(&self, snapshot: &Snapshot, route: usize, warm: &Warm, tokens: u32) -> Option<policy::Warm> {
        let state = snapshot.routes.get(&*self.routes[route].name)?;
        let arm = state.spec.arm_index(&warm.model.model)?;
        let target = self.targets.iter().find(|target| target.model.id == warm.model)?;
        Some(policy::Warm { arm, saves_usd: warm.saves(target.model.price, tokens) })
    }

    fn deployment(&self, target: usize) -> Deployment {
        let model = &self.targets[target].model;
        Deployment {
            target,
            weight: self.settings.weights.get(&model.id).copied().unwrap_or(1.0),
            price: model.price.map_or(f64::INFINITY, |price| price.blended()),
            standing: self.upstreams.standing(&model.id),
        }
    }

    /// Routes, then models by their plain names.
    fn known(&self) -> Vec<String> {
        let routes = self.settings.routes.iter().map(|r| r.name.clone());
        once_each(routes.chain(self.settings.models.iter().map(|m| m.id.model.to_string())))
    }
}

/// A model at several providers is known by one name.
fn once_each(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    names.filter(|name| seen.insert(name.clone())).collect()
}

fn unknown(asked: &str, known: Vec<String>) -> GatewayError {
    GatewayError::UnknownModel { asked: asked.to_owned(), known }
}

fn wrong_kind(message: String) -> GatewayError {
    GatewayError::BadRequest(BadRequest::field("model", message))
}

fn embedders(settings: &Settings) -> HashMap<String, Vec<usize>> {
    let mut embedders: HashMap<String, Vec<usize>> = HashMap::new();
    for (i, model) in settings.embeddings.iter().enumerate() {
        for name in [model.id.model.to_string(), model.id.to_string()] {
            embedders.entry(name).or_default().push(settings.models.len() + i);
        }
    }
    embedders
}

/// `provider/model` always means that one; a plain name means a route, else the model of that name wherever it is.
fn names(settings: &Settings) -> HashMap<String, Asked> {
    let mut names = HashMap::new();
    for (i, route) in settings.routes.iter().enumerate() {
        names.entry(route.name.clone()).or_insert(Asked::Route(i));
    }
    for (i, model) in settings.models.iter().enumerate() {
        names.entry(model.id.model.to_string()).or_insert(Asked::Model(i));
        names.entry(model.id.to_string()).or_insert(Asked::Deployment(i));
    }
    names
}

impl Route {
    /// The first segment whose pairs a request has all.
    pub(super) fn segment(&self, metadata: &Metadata) -> Option<&Segment> {
        self.segments.iter().find(|segment| metadata.contains(&segment.metadata))
    }
}

impl Lasting {
    /// It is so. True: it was not so before.
    pub(super) fn begins(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    /// It is not so, or no more.
    pub(super) fn ends(&self) {
        // Written by few, read by all.
        if self.0.load(Ordering::Relaxed) {
            self.0.store(false, Ordering::Relaxed);
        }
    }
}

fn charges_less(model: &Model) -> bool {
    model.price.is_some_and(|price| price.cached_input.is_some_and(|cached| cached < price.input))
}

impl Route {
    /// The conversation that a request goes on with, if remembering it may be worth something.
    pub(super) fn reading(&self, wishes: &Wishes, request: &ChatRequest, tokens: u32) -> Option<Reading> {
        self.caches.then(|| Reading::new(&self.name, wishes, request, tokens)).flatten()
    }

    /// The first rule that holds.
    pub(super) fn rule<'c>(&self, circumstances: impl FnOnce() -> Circumstances<'c>) -> Option<&Then> {
        if self.rules.is_empty() {
            return None;
        }
        let circumstances = circumstances();
        self.rules.iter().find(|rule| rule.when.holds(&circumstances)).map(|rule| &rule.then)
    }
}

impl Segment {
    fn new(settings: &SegmentSettings) -> Self {
        Self { name: settings.name.as_str().into(), metadata: settings.metadata.clone() }
    }
}

impl Target {
    fn new(model: &Arc<Model>, metrics: &Metrics) -> Self {
        let label: Arc<str> = model.id.to_string().into();
        Self { model: model.clone(), metrics: metrics.model(&label), label, pace: Pace::default() }
    }
}
