//! What the gateway serves, validated. Made by `config`, taken up whole.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::balance::Balance;
use super::cache::{CacheRule, CacheSettings};
use super::rules::Rule;
use crate::api::metadata::Metadata;
use crate::catalog::{Model, ModelId};
use crate::policy::{ArmSpec, Knob, RouteSpec, SegmentSpec};
use crate::upstream::{Deadlines, Fallbacks, Limits};

/// Models and routes of one configuration, all references resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// In the configuration's order; ids are unique. Where two providers have a model of one name, the plain name
    /// means the first.
    pub models: Vec<Arc<Model>>,
    /// Models that make embeddings and answer nothing; likewise, and no id is in both lists.
    pub embeddings: Vec<Arc<Model>>,
    /// In the configuration's order; names are unique and are no model's name.
    pub routes: Vec<RouteSettings>,
    pub deadlines: Deadlines,
    /// Upstream calls for one request at most, fallbacks included; at least 1.
    pub attempts: usize,
    /// Shares of the load where a model is at several providers; 1 where it is not said.
    pub weights: HashMap<ModelId, f64>,
    pub cache: CacheSettings,
}

/// One route: a name that clients ask for, and the models that may answer.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteSettings {
    pub name: String,
    /// At least one; each is among [`Settings::models`], and no two have the same `id.model`: it names the arm.
    pub models: Vec<Arc<Model>>,
    pub knob: Knob,
    /// False: always the arm that the posterior means prefer.
    pub explore: bool,
    /// The share of requests, 0 to 1, that the best model is asked too, off the request path, to compare the two answers.
    pub shadow: f64,
    /// The same models at further providers.
    pub alternates: Vec<Arc<Model>>,
    pub resilience: Resilience,
    /// In the configuration's order: the first that a request matches has it. Names are unique.
    pub segments: Vec<SegmentSettings>,
    /// The first that holds for a request says which of the models may answer it.
    pub rules: Vec<Rule>,
    /// `None`: each request is asked anew.
    pub cache: Option<CacheRule>,
    /// What a model's provider cannot express is left out of a request that does not say.
    pub drop_unsupported: bool,
    /// Two cheap models may be asked before a dear one.
    pub panel: bool,
}

/// A part of a route's requests with a knob of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentSettings {
    pub name: String,
    /// A request with all of these pairs is in it; at least one.
    pub metadata: Metadata,
    pub knob: Knob,
    /// As [`RouteSettings::explore`].
    pub explore: bool,
}

/// What a route has of its own to stay up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resilience {
    pub balance: Balance,
    /// In place of [`Settings::attempts`].
    pub attempts: Option<usize>,
    pub first_byte: Option<Duration>,
    pub idle: Option<Duration>,
    pub total: Option<Duration>,
    /// See [`Limits::hedge`].
    pub hedge: Option<Duration>,
    pub fallbacks: Fallbacks<Vec<Arc<Model>>>,
}

impl Resilience {
    /// The limits of a request, except its targets.
    pub(super) fn limits(&self, settings: &Settings) -> Limits {
        let common = settings.deadlines;
        Limits {
            deadlines: Deadlines {
                connect: common.connect,
                first_byte: self.first_byte.unwrap_or(common.first_byte),
                idle: self.idle.unwrap_or(common.idle),
                total: self.total.unwrap_or(common.total),
            },
            hedge: self.hedge,
            ..Limits::new(common, self.attempts.unwrap_or(settings.attempts))
        }
    }
}

/// The deadlines of a configuration that sets none.
pub const DEFAULT_DEADLINES: Deadlines = Deadlines {
    connect: Duration::from_secs(5),
    first_byte: Duration::from_secs(120),
    idle: Duration::from_secs(60),
    total: Duration::from_secs(600),
};

/// The share of requests that are shadowed where the configuration does not say, and a scorer can judge them.
pub const DEFAULT_SHADOW: f64 = 0.01;

/// Upstream calls for one request where the configuration does not say.
pub const DEFAULT_ATTEMPTS: usize = 3;

impl Settings {
    /// The routes as the policy needs them: what the learner is told when a configuration takes effect.
    pub fn route_specs(&self) -> Vec<RouteSpec> {
        self.routes.iter().map(RouteSettings::spec).collect()
    }
}

impl RouteSettings {
    /// A route with nothing beside its knob.
    pub fn new(name: impl Into<String>, models: Vec<Arc<Model>>, knob: Knob) -> Self {
        Self {
            name: name.into(),
            models,
            knob,
            explore: true,
            shadow: 0.0,
            alternates: vec![],
            resilience: Resilience::default(),
            segments: vec![],
            rules: vec![],
            cache: None,
            drop_unsupported: false,
            panel: true,
        }
    }

    /// This route's arms for the policy. A model without a price counts as the dearest of the route.
    pub fn spec(&self) -> RouteSpec {
        let dearest = self.models.iter().filter_map(|m| m.price).max_by(|a, b| a.blended().total_cmp(&b.blended()));
        let arms = self.models.iter().map(|m| ArmSpec {
            arm: m.id.model.to_string(),
            price: m.price.or(dearest),
            context_window: m.context_window,
        });
        RouteSpec {
            name: self.name.clone(),
            knob: self.knob,
            explore: self.explore,
            arms: arms.collect(),
            segments: self.segments.iter().map(SegmentSettings::spec).collect(),
        }
    }
}

impl SegmentSettings {
    fn spec(&self) -> SegmentSpec {
        SegmentSpec { name: self.name.clone(), knob: self.knob, explore: self.explore }
    }
}
