//! What training knows of models before a route has seen any answer: the empirical-Bayes prior.
//!
//! Quality of model k: σ(θ_k · φ), θ_k = m_k + u + e₀·v·x_k, where the shift u is common to all models of a route: prompts and
//! scorers differ between workloads far more than models do within one. So is v: by how much better a dear model is, at
//! ln price x_k beside the usual, also differs, to nothing and back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::names::{canonical, undated};

/// Heads of all known models, and what they have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prior {
    /// Length of φ.
    pub dimension: usize,
    pub population: Population,
    /// One per (workload, model), in the order of workloads.
    pub heads: Vec<Head>,
}

/// What is expected of a model that nobody has seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Population {
    /// m₀: mean of θ over workloads.
    pub mean: Vec<f64>,
    /// β: by how much θ's intercept grows for a price e times as high.
    pub price_slope: f64,
    /// Variances of θ between models of one workload and price.
    pub within: Vec<f64>,
    /// Variances of θ's mean between workloads.
    pub between: Vec<f64>,
    /// Mean over models of the regression of ln(output tokens) − verbosity on φ.
    pub token_mean: Vec<f64>,
    /// Its variances.
    pub token_variance: Vec<f64>,
}

/// A model in one workload, as training found it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    pub workload: String,
    pub model: String,
    /// ln of the blended price, see [`Prior::log_price`].
    pub log_price: f64,
    /// Prompts it was seen on.
    pub prompts: u32,
    /// As many of equal weight as these say, where a policy chose whom to ask; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<f64>,
    /// m_k.
    pub mean: Vec<f64>,
    /// S_k, row by row: as if at most [`COUNTED`] prompts had been seen, since a route's prompts are not the workload's.
    pub covariance: Vec<f64>,
    /// Regression of ln(output tokens) − verbosity on φ.
    pub token_mean: Vec<f64>,
    /// Its covariance, row by row.
    pub token_covariance: Vec<f64>,
}

/// A model that joins a route.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entrant<'a> {
    pub name: &'a str,
    pub log_price: Option<f64>,
}

/// Where a route's arms start.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutePrior {
    /// The workload in which its models were looked up; `None`: no workload knows any.
    pub home: Option<String>,
    /// Covariance of what all arms share, (u, v), row by row: a shift for each weight of θ, and one of the slope on price.
    /// Its mean is 0.
    pub shift: Vec<f64>,
    /// One per entrant, in their order.
    pub arms: Vec<ArmPrior>,
}

/// Where an arm starts.
#[derive(Debug, Clone, PartialEq)]
pub struct ArmPrior {
    /// Training saw a model of this name.
    pub known: bool,
    pub mean: Vec<f64>,
    /// Row by row.
    pub covariance: Vec<f64>,
    /// x: ln of its price beside the usual one; 0 where its level does not lean on that.
    pub price: f64,
    /// Regression of ln(output tokens) − verbosity on φ.
    pub token_mean: Vec<f64>,
    /// Row by row.
    pub token_covariance: Vec<f64>,
}

/// Pulls a workload's slope on price towards 0, in units of squared log price.
const PRICE_RIDGE: f64 = 0.5;
/// That slope in the six recorded workloads: of one workload with two models, there is no telling how it differs elsewhere.
pub(super) const USUAL_SLOPE: f64 = 0.23;
/// Its variance between them, which counts as one more workload.
const USUAL_PRICES: f64 = 0.0186;
/// Added to the variance of that slope between workloads, for few of them are known.
const STRANGE_PRICES: f64 = 0.01;

/// Prompts that a head's covariance counts at most.
pub(super) const COUNTED: f64 = 150.0;
/// A route that asks for just these models is worth more: wider arms are asked in vain, and the best model's quality is
/// held too low. So there all prompts count that were seen, until so much of the variance is left.
const KNOWN_VARIANCE: f64 = 0.3;
/// How much of the spread between workloads is left where training saw all of a route's models together. Where it saw no
/// more than half of them, it saw another kind of work: two of sixteen models known from elsewhere would else be taken
/// for the measure of all the others.
const KNOWN_SHIFT: f64 = 0.02;

impl Prior {
    /// Whether all vectors have the length of φ and hold finite numbers.
    ///
    /// # Errors
    /// Names the first that does not.
    pub(super) fn check(&self, dimension: usize) -> Result<(), String> {
        let d = self.dimension;
        if d != dimension {
            return Err(format!("dimension is {d}, and the network has {dimension}"));
        }
        let population = &self.population;
        let vectors = [
            ("mean", &population.mean),
            ("within", &population.within),
            ("between", &population.between),
            ("token_mean", &population.token_mean),
            ("token_variance", &population.token_variance),
        ];
        vectors.into_iter().try_for_each(|(name, vector)| fits(&format!("population: {name}"), vector, d))?;
        self.heads.iter().try_for_each(|head| head.check(d))
    }

    /// ln of a model's blended price, USD per million tokens: three input tokens for one of output.
    pub fn log_price(input: f64, output: f64) -> f64 {
        ((3.0 * input + output) / 4.0).max(1e-3).ln()
    }

    /// The priors of a route's models, seen together: names are looked up in the workload that knows most of them,
    /// for what a workload says of a model is relative to the others in it.
    pub fn route(&self, entrants: &[Entrant]) -> RoutePrior {
        let home = self.home(entrants);
        let left = home.as_ref().map_or(1.0, |home| home.shift_left(entrants));
        let variances = self.population.between.iter().copied().chain([self.price_variance()]);
        let variances: Vec<f64> = variances.map(|variance| variance * left).collect();
        RoutePrior {
            shift: diagonal(variances.into_iter()),
            arms: self.arms(home.as_ref(), entrants),
            home: home.map(|home| home.heads[0].workload.clone()),
        }
    }

    /// The priors of other models, looked up where those of a route were: see [`RoutePrior::home`].
    pub fn beside(&self, home: Option<&str>, entrants: &[Entrant]) -> Vec<ArmPrior> {
        let heads: Vec<&Head> = self.heads.iter().filter(|head| home == Some(head.workload.as_str())).collect();
        let home = (!heads.is_empty()).then(|| Home::new(heads));
        self.arms(home.as_ref(), entrants)
    }

    fn arms(&self, home: Option<&Home>, entrants: &[Entrant]) -> Vec<ArmPrior> {
        let arm = |entrant| match home {
            Some(home) => self.arm_at(home, entrant),
            None => self.newcomer(entrant, &self.population.mean, mean_price(entrants)),
        };
        entrants.iter().map(arm).collect()
    }

    /// Variance of the slope on price between workloads, about the population's.
    fn price_variance(&self) -> f64 {
        let mut workloads: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
        for head in &self.heads {
            workloads.entry(&head.workload).or_default().push((head.log_price, head.mean[0]));
        }
        let square = |models: &Vec<(f64, f64)>| (price_slope(models) - self.population.price_slope).powi(2);
        let squares: f64 = workloads.values().map(square).sum();
        (USUAL_PRICES + squares) / workloads.len().max(1) as f64 + STRANGE_PRICES
    }

    fn arm_at(&self, home: &Home, entrant: &Entrant) -> ArmPrior {
        if let [head, ..] = named(&home.heads, entrant.name)[..] {
            return ArmPrior::of(head);
        }
        let newcomer = self.newcomer(entrant, &home.level, Some(home.log_price));
        let elsewhere = named(&self.heads.iter().collect::<Vec<_>>(), entrant.name);
        if elsewhere.is_empty() { newcomer } else { self.moved(&elsewhere, home, newcomer) }
    }

    /// The workload that knows most of these models; the first by name, if several do.
    fn home(&self, entrants: &[Entrant]) -> Option<Home<'_>> {
        let mut workloads: BTreeMap<&str, Vec<&Head>> = BTreeMap::new();
        self.heads.iter().for_each(|head| workloads.entry(&head.workload).or_default().push(head));
        let best = workloads.into_values().rev().max_by_key(|heads| known(heads, entrants))?;
        (known(&best, entrants) > 0).then(|| Home::new(best))
    }

    /// A model of which only the price is known, beside models of this level and usual price.
    fn newcomer(&self, entrant: &Entrant, level: &[f64], usual: Option<f64>) -> ArmPrior {
        let price = entrant.log_price.zip(usual).map_or(0.0, |(price, usual)| price - usual);
        let mut mean = level.to_vec();
        mean[0] += self.population.price_slope * price;
        ArmPrior {
            known: false,
            mean,
            covariance: diagonal(self.population.within.iter().copied()),
            price,
            token_mean: self.population.token_mean.clone(),
            token_covariance: diagonal(self.population.token_variance.iter().copied()),
        }
    }

    /// A model that was seen in other workloads only: by how much it differed from the models there, on the level of
    /// this one. The level itself hardly transfers, so the intercept stays wide.
    fn moved(&self, heads: &[&Head], home: &Home, newcomer: ArmPrior) -> ArmPrior {
        const LEVEL_VARIANCE: f64 = 0.35;
        let difference = |head: &&Head| {
            let there = Home::new(self.heads.iter().filter(|other| other.workload == head.workload).collect());
            head.mean.iter().zip(there.level).map(|(theta, level)| theta - level).collect()
        };
        let differences = average(heads.iter().map(difference));
        let mut covariance = average(heads.iter().map(|head| head.covariance.clone()));
        covariance[0] = covariance[0].max(LEVEL_VARIANCE);
        ArmPrior {
            known: true,
            mean: home.level.iter().zip(differences).map(|(level, difference)| level + difference).collect(),
            covariance,
            price: 0.0,
            token_mean: average(heads.iter().map(|head| head.token_mean.clone())),
            ..newcomer
        }
    }
}

impl Head {
    /// What is left of the variance in a route that asks for this model.
    fn known_variance(&self) -> f64 {
        let seen = self.effective.unwrap_or_else(|| self.prompts.into());
        (COUNTED / seen.max(COUNTED)).max(KNOWN_VARIANCE)
    }

    fn check(&self, d: usize) -> Result<(), String> {
        let vectors = [
            ("mean", &self.mean, d),
            ("covariance", &self.covariance, d * d),
            ("token_mean", &self.token_mean, d),
            ("token_covariance", &self.token_covariance, d * d),
        ];
        let name = |vector| format!("{} in {}: {vector}", self.model, self.workload);
        vectors.into_iter().try_for_each(|(vector, values, length)| fits(&name(vector), values, length))
    }
}

fn fits(name: &str, values: &[f64], length: usize) -> Result<(), String> {
    if values.len() != length {
        return Err(format!("{name} has {} values, not {length}", values.len()));
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(i) => Err(format!("{name}: value {i} is not a finite number")),
        None => Ok(()),
    }
}

impl ArmPrior {
    /// How θ hangs on what all arms share: d rows of d + 1 values, 1 on the diagonal, and at the intercept's
    /// end the price.
    pub fn on_shift(&self) -> Vec<f64> {
        let d = self.mean.len();
        let mut rows = vec![0.0; d * (d + 1)];
        (0..d).for_each(|i| rows[i * (d + 1) + i] = 1.0);
        rows[d] = self.price;
        rows
    }

    fn of(head: &Head) -> Self {
        Self {
            known: true,
            mean: head.mean.clone(),
            covariance: head.covariance.iter().map(|variance| variance * head.known_variance()).collect(),
            price: 0.0,
            token_mean: head.token_mean.clone(),
            token_covariance: head.token_covariance.clone(),
        }
    }
}

/// A workload as the place where a route's models are known from.
struct Home<'a> {
    heads: Vec<&'a Head>,
    /// Mean θ of its models.
    level: Vec<f64>,
    /// Their mean log price.
    log_price: f64,
}

impl<'a> Home<'a> {
    /// `heads` are one workload's, at least one.
    fn new(heads: Vec<&'a Head>) -> Self {
        let level = average(heads.iter().map(|head| head.mean.clone()));
        let log_price = heads.iter().map(|head| head.log_price).sum::<f64>() / heads.len() as f64;
        Self { heads, level, log_price }
    }

    /// How much of the spread between workloads is left for a route of these models: 1 where it knows half of them or
    /// less, [`KNOWN_SHIFT`] where it knows all, and geometric between.
    fn shift_left(&self, entrants: &[Entrant]) -> f64 {
        let share = known(&self.heads, entrants) as f64 / entrants.len() as f64;
        KNOWN_SHIFT.powf((2.0 * share - 1.0).max(0.0))
    }
}

/// How many of these models have a head among `heads`.
fn known(heads: &[&Head], entrants: &[Entrant]) -> usize {
    entrants.iter().filter(|entrant| !named(heads, entrant.name).is_empty()).count()
}

/// The heads of this model; without any, those of another dated version of it.
fn named<'a>(heads: &[&'a Head], name: &str) -> Vec<&'a Head> {
    let name = canonical(name);
    let same: Vec<_> = heads.iter().copied().filter(|head| canonical(&head.model) == name).collect();
    if !same.is_empty() {
        return same;
    }
    heads.iter().copied().filter(|head| undated(&canonical(&head.model)) == undated(&name)).collect()
}

/// Slope of θ's intercept on ln price, least squares over `models` as (ln price, intercept), pulled towards 0.
pub(super) fn price_slope(models: &[(f64, f64)]) -> f64 {
    let usual = models.iter().map(|(price, _)| price).sum::<f64>() / models.len() as f64;
    let above: f64 = models.iter().map(|(price, level)| (price - usual) * level).sum();
    above / (PRICE_RIDGE + models.iter().map(|(price, _)| (price - usual).powi(2)).sum::<f64>())
}

fn mean_price(entrants: &[Entrant]) -> Option<f64> {
    let prices: Vec<f64> = entrants.iter().filter_map(|entrant| entrant.log_price).collect();
    (!prices.is_empty()).then(|| prices.iter().sum::<f64>() / prices.len() as f64)
}

/// The mean of vectors of one length, at least one.
fn average(vectors: impl ExactSizeIterator<Item = Vec<f64>>) -> Vec<f64> {
    let n = vectors.len() as f64;
    let sum = vectors.reduce(|sum, vector| sum.into_iter().zip(vector).map(|(sum, x)| sum + x).collect());
    sum.unwrap_or_default().into_iter().map(|sum| sum / n).collect()
}

fn diagonal(values: impl ExactSizeIterator<Item = f64>) -> Vec<f64> {
    let n = values.len();
    let mut matrix = vec![0.0; n * n];
    values.enumerate().for_each(|(i, value)| matrix[i * n + i] = value);
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(workload: &str, model: &str, level: f64) -> Head {
        Head {
            workload: workload.into(),
            model: model.into(),
            log_price: level,
            prompts: 1_000,
            effective: None,
            mean: vec![level, 0.5],
            covariance: vec![0.1, 0.0, 0.0, 0.1],
            token_mean: vec![level, 0.0],
            token_covariance: vec![0.2, 0.0, 0.0, 0.2],
        }
    }

    fn prior() -> Prior {
        let population = Population {
            mean: vec![0.4, 0.5],
            price_slope: 0.25,
            within: vec![0.8, 0.01],
            between: vec![1.5, 0.2],
            token_mean: vec![5.5, 0.0],
            token_variance: vec![1.0, 0.1],
        };
        let heads = vec![
            head("maths", "gpt-4o-2024-08-06", 1.0),
            head("maths", "middle", 0.0),
            head("maths", "small", -1.0),
            head("chat", "small", 3.0),
            head("chat", "other", 5.0),
        ];
        Prior { dimension: 2, population, heads }
    }

    fn route(names: &[(&'static str, Option<f64>)]) -> RoutePrior {
        let entrants: Vec<_> = names.iter().map(|&(name, log_price)| Entrant { name, log_price }).collect();
        prior().route(&entrants)
    }

    #[test]
    fn models_are_looked_up_where_most_of_them_are_known() {
        let prior = route(&[("openai/GPT-4o", None), ("small", None)]);
        assert_eq!((prior.arms[0].mean[0], prior.arms[1].mean[0]), (1.0, -1.0));
        assert!(prior.arms.iter().all(|arm| arm.known));
        assert_eq!(prior.shift.len(), 9);
        assert_eq!((prior.shift[0], prior.shift[4], prior.arms[0].price), (0.03, 0.004, 0.0));
    }

    #[test]
    fn a_model_known_elsewhere_keeps_its_distance_to_the_others() {
        let prior = route(&[("gpt-4o-2024-11-20", None), ("small", None), ("other", None), ("middle", None)]);
        // `other` was 1 above the mean of chat, and maths has the mean 0.
        assert_eq!((prior.arms[2].known, prior.arms[2].mean[0], prior.arms[2].covariance[0]), (true, 1.0, 0.35));
    }

    #[test]
    fn a_route_is_taken_for_known_work_as_far_as_its_models_were_seen_there() {
        let left = |names: &[&'static str]| {
            let entrants: Vec<_> = names.iter().map(|&name| Entrant { name, log_price: None }).collect();
            prior().route(&entrants).shift[0] / 1.5
        };
        let near = |is: f64, should: f64| assert!((is - should).abs() < 1e-12, "{is} {should}");
        near(left(&["gpt-4o", "small"]), KNOWN_SHIFT);
        near(left(&["gpt-4o", "small", "x", "y"]), 1.0);
        near(left(&["small", "x", "y", "z"]), 1.0);
        near(left(&["gpt-4o", "small", "middle", "x"]), KNOWN_SHIFT.sqrt());
    }

    #[test]
    fn strangers_start_from_the_population_and_their_price() {
        let prior = route(&[("x", Some(3.0)), ("y", Some(1.0)), ("z", None)]);
        let levels: Vec<f64> = prior.arms.iter().map(|arm| arm.mean[0]).collect();
        assert!(levels.iter().zip([0.65, 0.15, 0.4]).all(|(a, b)| (a - b).abs() < 1e-12), "{levels:?}");
        assert_eq!((prior.shift[0], prior.arms[0].covariance[0]), (1.5, 0.8));
        let beside = route(&[("small", None), ("gpt-4o", None), ("x", Some(2.0))]);
        assert_eq!((beside.arms[2].known, beside.arms[2].mean[0]), (false, 0.5));
    }

    #[test]
    fn how_much_better_a_dear_model_is_may_differ_as_it_did_between_workloads() {
        let prior = prior();
        // Of the five models' prices and levels, maths and chat have the slopes 2 / 2.5 and 2 / 2.5; beside what is usual.
        let between = (2.0 * (2.0_f64 / 2.5 - 0.25).powi(2) + USUAL_PRICES) / 2.0;
        assert!((prior.price_variance() - (between + STRANGE_PRICES)).abs() < 1e-12, "{}", prior.price_variance());
        let strangers = route(&[("x", Some(3.0)), ("y", Some(1.0)), ("z", None)]);
        assert!((strangers.shift[8] - prior.price_variance()).abs() < 1e-12);
        assert_eq!(strangers.arms[0].on_shift(), [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
        assert_eq!(strangers.arms[2].price, 0.0);
    }
}
