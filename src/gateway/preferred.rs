//! A client's own say in who answers: `models` and `provider`.

use std::cmp::Ordering;

use super::error::GatewayError;
use super::filter::Demand;
use super::setup::{Asked, Setup};
use crate::api::chat::ChatRequest;
use crate::api::embeddings::EmbeddingsRequest;
use crate::api::error::BadRequest;
use crate::api::preferences::{MaxPrice, Preferences, Sort, SortBy};
use crate::catalog::Price;
use crate::catalog::providers::is_called;

/// The preferences of one request, checked against what is configured.
#[derive(Debug)]
pub(super) struct Preferred {
    preferences: Preferences,
    /// `models`, except those that are left to a provider that routes itself: the targets of each name.
    fallbacks: Vec<Vec<usize>>,
}

impl Preferred {
    /// Reads the preferences of `request` and takes out of it what is not for providers. `None`: it has none.
    ///
    /// # Errors
    /// The field that is wrong, or that names a provider or model which is not there.
    pub(super) fn take(setup: &Setup, request: &mut ChatRequest) -> Result<Option<Self>, GatewayError> {
        let Some(preferences) = Preferences::read(request)? else { return Ok(None) };
        request.drop_unsupported &= !preferences.require_parameters;
        let candidates = candidates(setup, &request.model)?;
        let router = candidates.iter().any(|target| routes_itself(setup, *target));
        if !router {
            check_names(setup, &preferences)?;
        }
        let (fallbacks, left) = fallbacks(setup, &preferences.models, &request.model, router)?;
        if router {
            let provider = preferences.left_for_router(|name| !is_ours(setup, name));
            let models = (!left.is_empty()).then(|| serde_json::to_vec(&left).unwrap_or_default().into());
            *request = request.clone().with_field("provider", provider).with_field("models", models);
        }
        Ok(Some(Self { preferences, fallbacks }))
    }

    /// The same of a request for embeddings by one of `targets`.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub(super) fn of_embeddings(
        setup: &Setup,
        request: &mut EmbeddingsRequest,
        targets: &[usize],
    ) -> Result<Option<Self>, GatewayError> {
        let Some(preferences) = Preferences::of_embeddings(request)? else { return Ok(None) };
        request.drop_unsupported &= !preferences.require_parameters;
        if targets.iter().any(|target| routes_itself(setup, *target)) {
            let provider = preferences.left_for_router(|name| !is_ours(setup, name));
            *request = request.clone().with_field("provider", provider);
        } else {
            check_names(setup, &preferences)?;
        }
        Ok(Some(Self { preferences, fallbacks: vec![] }))
    }

    /// What the client said, as [`Debug`](std::fmt::Debug) writes it.
    pub(super) fn as_told(&self) -> String {
        format!("{:?}", self.preferences)
    }

    /// The targets for a model that the client named, in the order that it prefers, and those of its fallbacks; where it
    /// named several models, those that can answer.
    ///
    /// # Errors
    /// None is left; the message says why each is not.
    pub(super) fn pinned(&self, setup: &Setup, demand: &Demand, asked: &str) -> Result<Vec<usize>, GatewayError> {
        let mut groups = vec![candidates(setup, asked)?];
        groups.extend(self.fallbacks.iter().cloned());
        if self.preferences.sort.is_some_and(|sort| sort.across_models) {
            groups = vec![groups.concat()];
        }
        let (mut left, mut excluded, mut unable) = (vec![], vec![], vec![]);
        for group in groups {
            let mut group = self.fitting(setup, group, &mut excluded);
            if !self.fallbacks.is_empty() {
                group = setup.able(group, demand, &mut unable);
            }
            append_new(&mut left, self.arranged(setup, group));
        }
        match (left.is_empty(), unable.is_empty()) {
            (false, _) => Ok(left),
            (true, true) => Err(nobody(excluded)),
            (true, false) => Err(GatewayError::NoModelFits { of: "your `models`".into(), excluded: unable }),
        }
    }

    /// Those of a route's targets that may answer.
    ///
    /// # Errors
    /// As [`pinned`](Self::pinned).
    pub(super) fn restricted(&self, setup: &Setup, targets: &[usize]) -> Result<Vec<usize>, GatewayError> {
        let mut excluded = vec![];
        let left = self.fitting(setup, targets.to_vec(), &mut excluded);
        if left.is_empty() { Err(nobody(excluded)) } else { Ok(left) }
    }

    /// Those of `targets`, which have one model, that may answer, in the order that the client prefers, else in theirs.
    ///
    /// # Errors
    /// As [`pinned`](Self::pinned).
    pub(super) fn embedders(&self, setup: &Setup, targets: &[usize]) -> Result<Vec<usize>, GatewayError> {
        let left = self.arranged(setup, self.restricted(setup, targets)?);
        if left.is_empty() { Err(nobody(vec![])) } else { Ok(left) }
    }

    /// The client said in which order; nothing is left to decide.
    pub(super) fn is_ordered(&self) -> bool {
        !self.preferences.order.is_empty() || self.preferences.sort.is_some()
    }

    /// Targets of one group in the order that the client prefers.
    pub(super) fn arranged(&self, setup: &Setup, mut targets: Vec<usize>) -> Vec<usize> {
        if let Some(Sort { by, .. }) = self.preferences.sort {
            targets.sort_by(|&a, &b| compare(setup, by, a, b));
        }
        let order = &self.preferences.order;
        let rank = |target: &usize| order.iter().position(|name| is_called(provider(setup, *target), name));
        targets.sort_by_key(|target| rank(target).unwrap_or(usize::MAX));
        match (self.preferences.allow_fallbacks, order.is_empty()) {
            (true, _) => {}
            (false, true) => targets.truncate(1),
            (false, false) => targets.retain(|target| rank(target).is_some()),
        }
        targets
    }

    /// A route's decision, and after it what the client wants in place of the route's other models.
    pub(super) fn after_decision(&self, setup: &Setup, demand: &Demand, mut targets: Vec<usize>) -> Vec<usize> {
        if !self.fallbacks.is_empty() || !self.preferences.allow_fallbacks {
            targets.truncate(1);
        }
        self.with_fallbacks(setup, demand, targets)
    }

    /// `targets`, then those of `models` that can answer.
    pub(super) fn with_fallbacks(&self, setup: &Setup, demand: &Demand, mut targets: Vec<usize>) -> Vec<usize> {
        for group in &self.fallbacks {
            let group = self.fitting(setup, group.clone(), &mut vec![]);
            let group = setup.able(group, demand, &mut vec![]);
            append_new(&mut targets, self.arranged(setup, group));
        }
        targets
    }

    fn fitting(&self, setup: &Setup, targets: Vec<usize>, excluded: &mut Vec<Unwanted>) -> Vec<usize> {
        let mut fitting = vec![];
        for target in targets {
            match self.unwanted(setup, target) {
                None => fitting.push(target),
                Some((field, why)) => {
                    let model = setup.targets[target].label.to_string();
                    excluded.push(Unwanted { model, field, why });
                }
            }
        }
        fitting
    }

    /// The first field that speaks against a target, and why.
    fn unwanted(&self, setup: &Setup, target: usize) -> Option<(String, &'static str)> {
        let Preferences { only, ignore, max_price, others, .. } = &self.preferences;
        let (provider, router) = (provider(setup, target), routes_itself(setup, target));
        let named = |names: &[String]| names.iter().any(|name| is_called(provider, name));
        let left_to_it = |names: &[String]| router && names.iter().any(|name| !is_ours(setup, name));
        let price = setup.targets[target].model.price;
        if only.as_ref().is_some_and(|names| !named(names) && !left_to_it(names)) {
            Some(("only".into(), "does not name its provider"))
        } else if named(ignore) {
            Some(("ignore".into(), "names its provider"))
        } else if max_price.is_some_and(|max| !within(price, max, router)) {
            Some(("max_price".into(), "is less than its price, or its price is not known"))
        } else if self.preferences.deny_data_collection && !router && setup.upstreams.collects_data(provider) {
            Some(("data_collection".into(), "is \"deny\", and its provider is not configured to deny it"))
        } else {
            others
                .first()
                .filter(|_| !router)
                .map(|field| (format!("{field:.64}"), "is nothing that this gateway knows of it"))
        }
    }
}

/// Appends those that are not there yet.
fn append_new(targets: &mut Vec<usize>, more: Vec<usize>) {
    for target in more {
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
}

/// A target that the client does not want.
#[derive(Debug)]
struct Unwanted {
    model: String,
    /// Of `provider`.
    field: String,
    why: &'static str,
}

/// Where none is excluded, none of them stands in `order`, and no other may answer.
fn nobody(excluded: Vec<Unwanted>) -> GatewayError {
    let Some(first) = excluded.first() else {
        let problem = "your preferences leave no model to ask: provider.order names no provider that has it, and \
                       provider.allow_fallbacks is false";
        return BadRequest::field("provider.order", problem).into();
    };
    let field = format!("provider.{}", first.field);
    let reasons: Vec<_> = excluded.iter().map(|e| format!("{}: provider.{} {}", e.model, e.field, e.why)).collect();
    BadRequest::field(field, format!("your preferences leave no model to ask: {}", reasons.join("; "))).into()
}

/// Who may answer to a name: a route's models, one model, or a model of several providers by its plain name.
fn candidates(setup: &Setup, asked: &str) -> Result<Vec<usize>, GatewayError> {
    match setup.resolve(asked)? {
        Asked::Route(route) => Ok(setup.routes[route].targets.clone()),
        Asked::Model(first) => Ok(setup.everywhere(first)),
        Asked::Deployment(target) => Ok(vec![target]),
    }
}

/// The targets of each of `models`, beside the model that is `asked` for; the names that are left to a provider that routes itself.
fn fallbacks<'m>(
    setup: &Setup,
    models: &'m [String],
    asked: &str,
    router: bool,
) -> Result<(Vec<Vec<usize>>, Vec<&'m str>), GatewayError> {
    let (mut ours, mut left) = (vec![], vec![]);
    for (i, name) in models.iter().enumerate() {
        match setup.resolve(name) {
            Ok(Asked::Model(first)) => ours.push(setup.everywhere(first)),
            Ok(Asked::Deployment(target)) => ours.push(vec![target]),
            // The route that is asked for anyway.
            Ok(route @ Asked::Route(_)) if i == 0 && setup.resolve(asked).is_ok_and(|asked| asked == route) => {}
            Ok(Asked::Route(_)) => {
                let text = format!("models[{i}] is the route \"{name}\"; list models, or ask for the route by `model`");
                return Err(BadRequest::field(format!("models[{i}]"), text).into());
            }
            Err(_) if router => left.push(&**name),
            Err(error) => return Err(BadRequest::field(format!("models[{i}]"), format!("models[{i}]: {error}")).into()),
        }
    }
    Ok((ours, left))
}

/// A name that no provider has is a slip, unless somebody is asked who routes among others.
fn check_names(setup: &Setup, preferences: &Preferences) -> Result<(), BadRequest> {
    let lists = [("order", &*preferences.order), ("ignore", &preferences.ignore)];
    let only = preferences.only.iter().map(|names| ("only", &**names));
    for (field, names) in lists.into_iter().chain(only) {
        if let Some(name) = names.iter().find(|name| !is_ours(setup, name)) {
            let field = format!("provider.{field}");
            let known = setup.upstreams.provider_names().join(", ");
            let text = format!("{field} names \"{name}\", which is no provider here; there are: {known}");
            return Err(BadRequest::field(field, text));
        }
    }
    Ok(())
}

fn is_ours(setup: &Setup, name: &str) -> bool {
    setup.upstreams.provider_names().iter().any(|provider| is_called(provider, name))
}

fn provider(setup: &Setup, target: usize) -> &str {
    &setup.targets[target].model.id.provider
}

fn routes_itself(setup: &Setup, target: usize) -> bool {
    setup.upstreams.routes_itself(provider(setup, target))
}

/// A provider that routes itself holds to a price that is not known here.
fn within(price: Option<Price>, max: MaxPrice, router: bool) -> bool {
    let below = |usd: f64, max: Option<f64>| max.is_none_or(|max| usd <= max);
    price.map_or(router, |price| below(price.input, max.prompt) && below(price.output, max.completion))
}

/// Seconds to the beginning of an answer, as a decaying mean with peaks that counts less the older it is.
fn latency_s(setup: &Setup, target: usize) -> Option<f64> {
    Some(setup.upstreams.standing(&setup.targets[target].model.id)?.presumed_latency?.as_secs_f64())
}

/// The better first; what is not known comes last.
fn compare(setup: &Setup, by: SortBy, a: usize, b: usize) -> Ordering {
    let measure = |target: usize| match by {
        SortBy::Price => setup.targets[target].model.price.map(|price| price.blended()),
        SortBy::Latency => latency_s(setup, target),
        SortBy::Throughput => setup.targets[target].pace.tokens_per_s().map(|tokens| -tokens),
    };
    let key = |target| measure(target).unwrap_or(f64::INFINITY);
    key(a).total_cmp(&key(b))
}
