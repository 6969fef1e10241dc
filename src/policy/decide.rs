//! The choice: posterior, shadow price, exact propensities, one draw.

use super::propensity;
use super::solution::greatest;
use super::{
    Ask, Candidate, Consult, Controller, Decision, Kind, Knob, NoCandidate, Panel, RouteState, Snapshot, Verdict, Warm,
};
use crate::difficulty::Context;

/// The least width of Thompson sampling, as a share of the posterior's: sure arms are hardly ever swapped …
const LEAST_WIDTH: f64 = 0.1;
/// … and the logit deviation at which it is a half: wide arms are explored in earnest.
const HALF_WIDTH: f64 = 0.8;
/// Probability that is spread over all arms, so that each gets equal money rather than equal chances.
const FLOOR: f64 = 0.005;
/// Under a budget, each arm other than the favourite is drawn for at most this share of the budget, dearer or cheaper.
const DRAWN_COST: f64 = 0.2;
/// An arm's curiosity may cost at most this share of a usual answer …
const CURIOSITY_COST: f64 = 0.3;
/// … and all exploration beyond Thompson's takes at most this probability.
const GREATEST_EXPLORATION: f64 = 0.2;

/// Chooses an arm of `route` among `eligible`, which are indices into `spec.arms`.
///
/// Pure: `draw`, uniform in [0, 1), is the only chance. A segment that the state does not know yet, as while a new
/// configuration is being taken up, is steered by the route.
///
/// # Errors
/// [`NoCandidate`] if `eligible` names no arm.
pub fn decide(
    snapshot: &Snapshot,
    route: &RouteState,
    context: &Context,
    eligible: &[usize],
    ask: Ask<'_>,
    draw: f64,
) -> Result<Decision, NoCandidate> {
    let eligible: Vec<usize> = eligible.iter().copied().filter(|&arm| arm < route.arms.len()).collect();
    if eligible.is_empty() {
        return Err(NoCandidate);
    }
    let (controller, segment) = route.steering(ask.segment);
    let prices = Prices::new(controller, ask.quality);
    let mut field = Field::new(route, context, &eligible, ask.warm, &prices);
    if ask.consult {
        field.consulting(route, &context.phi);
    }
    let Choice { preferred, chosen, propensities } = choose(controller, &mut field, &eligible, &prices, draw);
    Ok(Decision {
        kind: if chosen == preferred { Kind::Exploit } else { Kind::Explore },
        policy: "thompson".into(),
        snapshot_version: snapshot.version,
        segment: segment.map(str::to_owned),
        knob: prices.knob,
        phi: context.phi.clone(),
        widening: context.widening,
        verbosity: context.verbosity,
        input_tokens: context.input_tokens,
        difficulty: context.difficulty,
        candidates: field.candidates(route, &eligible, propensities),
        preferred,
        chosen,
        draw,
        audit: None,
        consult: field.consult(preferred, chosen),
    })
}

/// What was drawn, from what, and what the means would have chosen.
struct Choice {
    preferred: usize,
    chosen: usize,
    propensities: Vec<f64>,
}

/// One draw from the probabilities of all prices, mixed by their shares.
fn choose(controller: &Controller, field: &mut Field, eligible: &[usize], prices: &Prices, draw: f64) -> Choice {
    let favourite = field.favourite();
    if !controller.explore {
        return Choice { preferred: favourite, chosen: favourite, propensities: certain(favourite, eligible.len()) };
    }
    let (mut propensities, mut other_favourite) = (field.propensities(controller, eligible), favourite);
    if let Some((log_value, share)) = prices.other {
        field.reprice(log_value.exp());
        let other = field.propensities(controller, eligible);
        propensities.iter_mut().zip(other).for_each(|(p, other)| *p += share * (other - *p));
        other_favourite = field.favourite();
    }
    let chosen = pick(&propensities, draw);
    // Drawing the favourite of either price is not exploration.
    let preferred = if chosen == other_favourite { other_favourite } else { favourite };
    Choice { preferred, chosen, propensities }
}

/// The prices of quality in force.
struct Prices {
    /// What they follow from: the request's own, or the controller's.
    knob: Knob,
    /// ln V.
    likelier: f64,
    /// ln V that is used in its place, with this probability.
    other: Option<(f64, f64)>,
}

impl Prices {
    fn new(controller: &Controller, quality: Option<f64>) -> Self {
        let solution = &controller.solution;
        let (likelier, mixture) = quality.map_or((solution.log_value, solution.mixture), |q| solution.prices_for(q));
        let other = mixture.map(|mixture| match mixture.share > 0.5 {
            true => (mixture.low, 1.0 - mixture.share),
            false => (mixture.high, mixture.share),
        });
        Self {
            knob: quality.map_or(controller.knob, Knob::Quality),
            likelier,
            other: other.filter(|(_, share)| *share > 0.0),
        }
    }
}

/// For each eligible arm the two that are asked before it.
struct Assembled {
    members: Vec<Option<[usize; 2]>>,
    same_errors: f64,
}

/// The eligible arms for one request, one value per arm in each field.
struct Field {
    quality: Vec<f64>,
    /// USD of the arm by itself …
    alone: Vec<f64>,
    /// … and with the panel that is asked before it.
    cost: Vec<f64>,
    /// What panels there are; `None` where nobody may be asked first.
    panels: Option<Assembled>,
    utility: Vec<f64>,
    /// Thompson's deviation of the utility.
    deviation: Vec<f64>,
    /// V, USD for a unit of quality.
    value: f64,
    knob: Knob,
}

impl Field {
    fn new(route: &RouteState, context: &Context, eligible: &[usize], warm: Option<Warm>, in_force: &Prices) -> Self {
        let unknown = route.spec.unknown_price();
        let (n, value) = (eligible.len(), in_force.likelier.exp());
        let mut field = Self {
            quality: Vec::with_capacity(n),
            alone: Vec::new(),
            cost: Vec::with_capacity(n),
            panels: None,
            utility: Vec::with_capacity(n),
            deviation: Vec::with_capacity(n),
            value,
            knob: in_force.knob,
        };
        let (input, shared) = (f64::from(context.input_tokens), route.shift.dim());
        let mut loadings = vec![0.0; n * shared];
        for (&k, loading) in eligible.iter().zip(loadings.chunks_exact_mut(shared)) {
            route.arms[k].add_loading(&context.phi, loading);
        }
        let usual = mean_loading(loadings.chunks_exact(shared));
        for (&k, loading) in eligible.iter().zip(loadings.chunks_exact_mut(shared)) {
            let arm = &route.arms[k];
            let outlook = arm.outlook_along(&route.shift, &context.phi, loading, context.widening);
            let saved = warm.filter(|warm| warm.arm == k).map_or(0.0, |warm| warm.saves_usd);
            let price = route.spec.arms[k].price.unwrap_or(unknown);
            let cost = (arm.cost(&price, &context.phi, context.verbosity, input) - saved).max(0.0);
            set_apart(loading, &usual);
            let own = ((outlook.given_shift + route.shift.variance_along(loading)) * context.widening).sqrt();
            let width = LEAST_WIDTH.max(own / (own + HALF_WIDTH));
            field.quality.push(outlook.quality);
            field.cost.push(cost);
            field.utility.push(value * outlook.quality - cost);
            field.deviation.push(value * outlook.slope * own * width);
        }
        field.alone.clone_from(&field.cost);
        field
    }

    /// The same arms, with panels before those for which it pays.
    fn consulting(&mut self, route: &RouteState, phi: &[f64]) {
        let members = route.panels.assemble(phi, &self.quality, &mut self.cost);
        self.panels = Some(Assembled { members, same_errors: route.panels.same_errors() });
        self.reprice(self.value);
    }

    /// What was foreseen where the means prefer one arm, and who is asked before the one that was drawn.
    fn consult(&self, preferred: usize, chosen: usize) -> Option<Consult> {
        let Assembled { members, same_errors } = self.panels.as_ref()?;
        let panel = |members| Panel { members, same_errors: *same_errors, verdict: Verdict::None };
        Some(Consult { panel: members[chosen].map(panel), foreseen_usd: self.cost[preferred] })
    }

    /// The arm that the means prefer.
    fn favourite(&self) -> usize {
        greatest(self.utility.iter().copied())
    }

    /// The same arms at another V.
    fn reprice(&mut self, value: f64) {
        let factor = value / std::mem::replace(&mut self.value, value);
        self.deviation.iter_mut().for_each(|deviation| *deviation *= factor);
        let worth = self.quality.iter().zip(&self.cost).map(|(quality, cost)| value * quality - cost);
        self.utility = worth.collect();
    }

    /// Probability of each arm being the best (Thompson sampling). Under a budget, V is solved for what the posterior
    /// means choose, and sampling alone could spend another sum: every arm other than the favourite is capped.
    fn thompson(&self) -> Vec<f64> {
        let mut drawn = propensity::greatest(&self.utility, &self.deviation);
        if let Knob::BudgetPer1k(usd) = self.knob {
            let favourite = self.favourite();
            for (p, cost) in drawn.iter_mut().zip(&self.cost) {
                let apart = (cost - self.cost[favourite]).abs().max(1e-300);
                *p = p.min(DRAWN_COST * usd / 1000.0 / apart);
            }
            drawn[favourite] += 1.0 - drawn.iter().sum::<f64>();
        }
        drawn
    }

    /// Thompson's probabilities, mixed with the floor and with what curiosity may cost.
    fn propensities(&self, controller: &Controller, eligible: &[usize]) -> Vec<f64> {
        let thompson = self.thompson();
        let expected: f64 = thompson.iter().zip(&self.cost).map(|(p, c)| p * c).sum();
        let usual = expected.max(controller.solution.usual_cost());
        // What costs nothing is never too dear.
        let affordable = |usd: f64, cost: f64| if cost > 0.0 { usd / cost } else { f64::INFINITY };
        let extra = |(&k, &cost): (&usize, &f64)| {
            let floor = FLOOR * affordable(expected, cost).min(1.0) / eligible.len() as f64;
            let curiosity = controller.solution.curiosity.get(k).copied().unwrap_or(0.0);
            floor + curiosity.min(affordable(CURIOSITY_COST * usual, cost))
        };
        let mut extra: Vec<f64> = eligible.iter().zip(&self.cost).map(extra).collect();
        let total: f64 = extra.iter().sum();
        let shrink = (GREATEST_EXPLORATION / total.max(1e-300)).min(1.0);
        extra.iter_mut().for_each(|p| *p *= shrink);
        let rest = 1.0 - total * shrink;
        let mixed: Vec<f64> = thompson.iter().zip(&extra).map(|(t, e)| rest * t + e).collect();
        let sum: f64 = mixed.iter().sum();
        mixed.into_iter().map(|p| p / sum).collect()
    }

    fn candidates(&self, route: &RouteState, eligible: &[usize], propensities: Vec<f64>) -> Vec<Candidate> {
        let candidate = |(i, propensity): (usize, f64)| Candidate {
            arm: route.spec.arms[eligible[i]].arm.as_str().into(),
            quality: self.quality[i],
            cost_usd: self.alone[i],
            propensity,
        };
        propensities.into_iter().enumerate().map(candidate).collect()
    }
}

pub(super) fn certain(arm: usize, n: usize) -> Vec<f64> {
    (0..n).map(|k| f64::from(u8::from(k == arm))).collect()
}

/// The mean of the arms' loadings: how a usual arm moves with the shift.
pub(super) fn mean_loading<'a>(loadings: impl ExactSizeIterator<Item = &'a [f64]> + Clone) -> Vec<f64> {
    let (d, n) = (loadings.clone().next().map_or(0, <[f64]>::len), loadings.len() as f64);
    (0..d).map(|i| loadings.clone().map(|loading| loading[i]).sum::<f64>() / n).collect()
}

/// How an arm moves with the shift differently from a usual one: what all arms share ranks none above another.
pub(super) fn set_apart(loading: &mut [f64], usual: &[f64]) {
    loading.iter_mut().zip(usual).for_each(|(own, usual)| *own -= usual);
}

/// The arm that `draw` falls on when the arms divide [0, 1) among themselves in order, by their probabilities.
pub(super) fn pick(propensities: &[f64], draw: f64) -> usize {
    let mut reached = 0.0;
    let falls = |p: &f64| {
        reached += p;
        draw < reached
    };
    // Rounding may leave a gap below 1, which goes to the likeliest arm.
    propensities.iter().position(falls).unwrap_or_else(|| greatest(propensities.iter().copied()))
}
