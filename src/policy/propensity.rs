//! The probability that each of several uncertain utilities is the greatest: Thompson sampling's choice, computed.

use super::logistic::normal_cdf;

/// Cells of the quadrature. The arm is drawn from the very result that is recorded, so the grid's error is no bias.
const CELLS: usize = 48;
/// An arm is left out if its mean plus this many deviations stays below another arm's lower end.
const REACH: f64 = 3.5;
/// Where the arms' bounds differ by no more than this share of the greatest deviation, nothing is uncertain.
const CERTAIN: f64 = 1e-9;
/// The lower end of an arm, in deviations below its mean: what lies deeper counts as lying there.
const DEPTH: f64 = 2.5;

/// P(arm k is the greatest) for independent utilities N(`mean[k]`, `deviation[k]`²): K values that sum to 1.
///
/// ∫ fₖ(u) ∏_{j≠k} Fⱼ(u) du on one grid for all arms: O(K · 48).
pub fn greatest(mean: &[f64], deviation: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; mean.len()];
    let low = best(mean, deviation, -DEPTH);
    let high = best(mean, deviation, REACH);
    let rivals = (0..mean.len()).filter(|&k| mean[k] + REACH * deviation[k] > low.1);
    let mut rivals: Vec<Rival> = rivals.map(|arm| Rival::new(arm, mean[arm], deviation[arm])).collect();
    // In shares of the deviations: utilities are USD, and those of free models are as small as may be.
    let spread = deviation.iter().copied().fold(0.0, f64::max);
    if rivals.len() <= 1 || high.1 - low.1 <= CERTAIN * spread {
        if let Some(certain) = out.get_mut(low.0) {
            *certain = 1.0;
        }
        return out;
    }
    integrate(&mut rivals, low.1, high.1, &mut out);
    let total: f64 = out.iter().sum();
    out.iter_mut().for_each(|p| *p /= total);
    out
}

/// The arm with the greatest mean + `z` deviations, and that value.
fn best(mean: &[f64], deviation: &[f64], z: f64) -> (usize, f64) {
    let bounds = mean.iter().zip(deviation).map(|(m, s)| m + z * s).enumerate();
    bounds.fold((0, f64::NEG_INFINITY), |best, next| if next.1 > best.1 { next } else { best })
}

/// An arm that may be the greatest, and the state of the integration for it.
struct Rival {
    arm: usize,
    mean: f64,
    /// 1 / deviation: a product is cheaper than a quotient.
    per_deviation: f64,
    /// Its distribution function at the cell's two ends.
    left: f64,
    right: f64,
    /// The product of the distribution functions, in the middle of the cell, of all rivals behind it.
    behind: f64,
}

impl Rival {
    fn new(arm: usize, mean: f64, deviation: f64) -> Self {
        Self { arm, mean, per_deviation: 1.0 / deviation.max(f64::MIN_POSITIVE), left: 0.0, right: 1.0, behind: 1.0 }
    }

    fn middle(&self) -> f64 {
        0.5 * (self.left + self.right)
    }
}

fn integrate(rivals: &mut [Rival], low: f64, high: f64, out: &mut [f64]) {
    let width = (high - low) / CELLS as f64;
    // Mass below the grid falls into its first cell, mass above into its last.
    for cell in 1..=CELLS {
        let u = low + width * cell as f64;
        let mut behind = 1.0;
        for rival in rivals.iter_mut().rev() {
            rival.right = if cell < CELLS { normal_cdf((u - rival.mean) * rival.per_deviation) } else { 1.0 };
            rival.behind = behind;
            behind *= rival.middle();
        }
        let mut before = 1.0;
        for rival in &mut *rivals {
            out[rival.arm] += (rival.right - rival.left) * before * rival.behind;
            before *= rival.middle();
            rival.left = rival.right;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equals_share_equally_and_a_certain_best_takes_all() {
        let equal = greatest(&[1.0; 4], &[0.3; 4]);
        assert!(equal.iter().all(|p| (p - 0.25).abs() < 1e-9), "{equal:?}");
        assert_eq!(greatest(&[1.0, 9.0, 2.0], &[0.1; 3]), [0.0, 1.0, 0.0]);
        assert_eq!(greatest(&[5.0], &[1.0]), [1.0]);
        assert_eq!(greatest(&[2.0, 1.0], &[0.0; 2]), [1.0, 0.0]);
        assert_eq!(greatest(&[], &[]), Vec::<f64>::new());
    }

    #[test]
    fn the_scale_of_the_utilities_does_not_matter() {
        let at = |scale: f64| greatest(&[1.0, 1.3].map(|mean| mean * scale), &[0.5, 0.4].map(|s| s * scale));
        let (usual, tiny) = (at(1.0), at(1e-17));
        assert!(usual[0] > 0.2 && usual.iter().zip(&tiny).all(|(a, b)| (a - b).abs() < 1e-9), "{usual:?} {tiny:?}");
    }

    #[test]
    fn two_arms_match_the_closed_form() {
        // P(N(0, 1) > N(0.5, 0.5²)) = Φ(−0.5 / √1.25)
        let p = greatest(&[0.0, 0.5], &[1.0, 0.5]);
        assert!((p[0] - normal_cdf(-0.5 / 1.25_f64.sqrt())).abs() < 5e-3, "{p:?}");
    }

    proptest! {
        #[test]
        fn always_a_distribution(arms in prop::collection::vec((-5.0..5.0_f64, 0.0..3.0_f64), 1..64)) {
            let (mean, deviation): (Vec<f64>, Vec<f64>) = arms.into_iter().unzip();
            let p = greatest(&mean, &deviation);
            prop_assert!(p.iter().all(|p| (0.0..=1.0).contains(p)), "{p:?}");
            prop_assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }
}
