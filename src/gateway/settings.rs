//! What the gateway serves, validated. Made by `config`, taken up whole.

use std::sync::Arc;
use std::time::Duration;

use crate::catalog::{Model, Price};
use crate::policy::{ArmSpec, Knob, RouteSpec};
use crate::upstream::Deadlines;

/// Models and routes of one configuration, all references resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// In the configuration's order; ids are unique. Where two providers have a model of one name, the plain name
    /// means the first.
    pub models: Vec<Arc<Model>>,
    /// In the configuration's order; names are unique and are no model's name.
    pub routes: Vec<RouteSettings>,
    pub deadlines: Deadlines,
    /// Upstream calls for one request at most, fallbacks included; at least 1.
    pub attempts: usize,
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
    /// This route's arms for the policy. A model without a price counts as the dearest of the route.
    pub fn spec(&self) -> RouteSpec {
        let dearest = self.models.iter().filter_map(|m| m.price).max_by(|a, b| blended(a).total_cmp(&blended(b)));
        let arms = self.models.iter().map(|m| ArmSpec {
            arm: m.id.model.clone(),
            price: m.price.or(dearest),
            context_window: m.context_window,
        });
        RouteSpec { name: self.name.clone(), knob: self.knob, explore: self.explore, arms: arms.collect() }
    }
}

/// One number for a price, to say which of two is dearer: as much is read as is written.
fn blended(price: &Price) -> f64 {
    price.input + price.output
}
