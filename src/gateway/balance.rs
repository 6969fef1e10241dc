//! One model at several providers: which of them is asked first.

use crate::upstream::Standing;

/// How the load of a model is shared among its providers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Balance {
    /// By chance, in proportion to the weights.
    #[default]
    Weight,
    /// Fewest calls under way for its weight.
    LeastBusy,
    /// Shortest time to an answer's beginning (a decaying mean with peaks, which counts less the older it is), times the
    /// calls under way.
    Latency,
    /// Cheapest.
    Price,
}

impl Balance {
    /// Every one, by the name that the configuration has for it.
    pub const NAMES: [(&'static str, Self); 4] =
        [("weight", Self::Weight), ("least_busy", Self::LeastBusy), ("latency", Self::Latency), ("price", Self::Price)];
}

/// A model at one provider.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Deployment {
    /// Index into [`super::setup::Setup::targets`].
    pub(super) target: usize,
    /// Above 0.
    pub(super) weight: f64,
    /// USD per million tokens, read and written alike.
    pub(super) price: f64,
    /// `None` before it was first called.
    pub(super) standing: Option<Standing>,
}

/// The targets in the order to ask them: healthy ones first, then by `balance`; `draw` in [0, 1) is the chance that
/// [`Balance::Weight`] takes and that decides between equals.
pub(super) fn order(mut deployments: Vec<Deployment>, balance: Balance, draw: f64) -> Vec<usize> {
    if deployments.len() > 1 {
        draw_first(&mut deployments, draw);
        deployments.sort_by(|a, b| a.cost(balance).total_cmp(&b.cost(balance)));
        deployments.sort_by_key(|deployment| !deployment.healthy());
    }
    deployments.into_iter().map(|deployment| deployment.target).collect()
}

/// Puts one of the healthy in front, by chance and weight, where the sorts that follow leave it among its equals.
fn draw_first(deployments: &mut [Deployment], draw: f64) {
    let share = |deployment: &Deployment| if deployment.healthy() { deployment.weight } else { 0.0 };
    let mut left = draw * deployments.iter().map(share).sum::<f64>();
    let drawn = deployments.iter().position(|deployment| {
        left -= share(deployment);
        left < 0.0
    });
    deployments[..=drawn.unwrap_or(0)].rotate_right(1);
}

impl Deployment {
    fn healthy(&self) -> bool {
        self.standing.is_none_or(|standing| standing.healthy)
    }

    /// What its turn comes by: the least first.
    fn cost(&self, balance: Balance) -> f64 {
        let busy = self.standing.map_or(0.0, |standing| f64::from(standing.in_flight));
        let latency = self.standing.and_then(|standing| standing.presumed_latency).unwrap_or_default();
        match balance {
            Balance::Weight => 0.0,
            Balance::LeastBusy => busy / self.weight,
            Balance::Latency => latency.as_secs_f64() * (busy + 1.0),
            Balance::Price => self.price,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::upstream::Condition;

    fn deployment(target: usize, weight: f64, standing: Option<Standing>) -> Deployment {
        Deployment { target, weight, price: 10.0 - target as f64, standing }
    }

    fn standing(healthy: bool, in_flight: u32, latency_ms: u64) -> Option<Standing> {
        let presumed_latency = Some(Duration::from_millis(latency_ms));
        let latency = Some(Duration::from_secs(1));
        let condition = if healthy { Condition::Closed } else { Condition::Open };
        Some(Standing { condition, failures: 0, in_flight, latency, presumed_latency, limited_for: None, healthy })
    }

    #[test]
    fn weights_share_the_first_places() {
        let all =
            || vec![deployment(0, 1.0, None), deployment(1, 3.0, None), deployment(2, 1.0, standing(false, 0, 1))];
        let mut first = [0; 3];
        for i in 0..1000 {
            let order = order(all(), Balance::Weight, f64::from(i) / 1000.0);
            first[order[0]] += 1;
            assert_eq!(order[2], 2, "who is ill comes last");
        }
        assert_eq!(first, [250, 750, 0]);
    }

    #[test]
    fn the_least_busy_the_quickest_and_the_cheapest_come_first() {
        let all = || {
            vec![
                deployment(0, 1.0, standing(true, 2, 10)),
                deployment(1, 4.0, standing(true, 4, 50)),
                deployment(2, 1.0, standing(true, 3, 5)),
            ]
        };
        assert_eq!(order(all(), Balance::LeastBusy, 0.0), [1, 0, 2]);
        assert_eq!(order(all(), Balance::Latency, 0.0), [2, 0, 1]);
        assert_eq!(order(all(), Balance::Price, 0.9), [2, 1, 0]);
    }

    #[test]
    fn nobody_is_lost_where_all_are_ill() {
        let all = vec![deployment(0, 1.0, standing(false, 0, 1)), deployment(1, 1.0, standing(false, 0, 1))];
        assert_eq!(order(all, Balance::Weight, 0.99), [0, 1]);
    }
}
