//! Models that join a running route.
//!
//! What training knows of a model is relative to the others of a workload. With a newcomer, another workload may know most
//! of a route's models than did before, and it speaks of another level. The newcomer then starts where that workload has it
//! beside the resident models, as these are believed to be by now.

use super::arm::Arm;
use super::gaussian::{Gaussian, dot};
use crate::difficulty::ArmPrior;

/// How far the residents lie above a workload's level, for one weight of θ.
#[derive(Debug, Clone, Copy)]
struct Distance {
    mean: f64,
    variance: f64,
}

/// Brings the newcomers' priors to the level of `residents`, each with its own prior in the newcomers' workload; without
/// any they stay as they are.
pub fn at_level_of(residents: &[(&Arm, ArmPrior)], newcomers: Vec<ArmPrior>, shift: &Gaussian) -> Vec<ArmPrior> {
    if residents.is_empty() {
        return newcomers;
    }
    let distances: Vec<Distance> = (0..shift.dim() - 1).map(|i| distance(residents, shift, i)).collect();
    newcomers.into_iter().map(|newcomer| moved(newcomer, &distances, shift)).collect()
}

/// A resident counts by how well it is known in both places.
fn distance(residents: &[(&Arm, ArmPrior)], shift: &Gaussian, i: usize) -> Distance {
    let (mut weights, mut sum) = (0.0, 0.0);
    for (arm, there) in residents {
        let d = there.mean.len();
        let weight = 1.0 / (arm.quality.covariance()[i * (d + 1)] + there.covariance[i * (d + 1)]);
        weights += weight;
        sum += weight * (arm.theta(shift)[i] - there.mean[i]);
    }
    Distance { mean: sum / weights, variance: 1.0 / weights }
}

/// The shift was learned at another level: where it is by now says nothing of the newcomer, where it goes does.
fn moved(mut newcomer: ArmPrior, distances: &[Distance], shift: &Gaussian) -> ArmPrior {
    let (d, on_shift) = (newcomer.mean.len(), newcomer.on_shift());
    for (i, (distance, row)) in distances.iter().zip(on_shift.chunks_exact(shift.dim())).enumerate() {
        newcomer.mean[i] += distance.mean - dot(row, shift.mean());
        newcomer.covariance[i * (d + 1)] += distance.variance;
    }
    newcomer
}
