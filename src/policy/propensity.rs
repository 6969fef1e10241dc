//! The probability that each of several uncertain utilities is the greatest: Thompson sampling's choice, computed.

use super::logistic::normal_cdf;

/// Cells of the quadrature. The result is what is drawn from and recorded, so that the grid's error is no bias.
const CELLS: usize = 48;
/// An arm is left out whose mean plus so many deviations stays below another arm's lower end.
const REACH: f64 = 3.5;
/// The lower end of an arm, in deviations below its mean: what lies deeper counts as there.
const DEPTH: f64 = 2.5;

/// P(arm k is the greatest) for independent utilities N(`mean[k]`, `deviation[k]`²): K values that sum to 1.
///
/// ∫ fₖ(u) ∏_{j≠k} Fⱼ(u) du on one grid for all arms: O(K · 48).
pub fn greatest(mean: &[f64], deviation: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; mean.len()];
    let low = best(mean, deviation, -DEPTH);
    let high = best(mean, deviation, REACH);
    let rivals: Vec<usize> = (0..mean.len()).filter(|&k| mean[k] + REACH * deviation[k] > low.1).collect();
    if rivals.len() <= 1 || high.1 - low.1 <= 1e-12 {
        if let Some(certain) = out.get_mut(low.0) {
            *certain = 1.0;
        }
        return out;
    }
    integrate(mean, deviation, &rivals, low.1, high.1, &mut out);
    let total: f64 = out.iter().sum();
    out.iter_mut().for_each(|p| *p /= total);
    out
}

/// The arm with the greatest mean + `z` deviations, and that value.
fn best(mean: &[f64], deviation: &[f64], z: f64) -> (usize, f64) {
    let bounds = mean.iter().zip(deviation).map(|(m, s)| m + z * s).enumerate();
    bounds.fold((0, f64::NEG_INFINITY), |best, next| if next.1 > best.1 { next } else { best })
}

fn integrate(mean: &[f64], deviation: &[f64], rivals: &[usize], low: f64, high: f64, out: &mut [f64]) {
    let n = rivals.len();
    let width = (high - low) / CELLS as f64;
    // Mass below the grid falls into its first cell, mass above into its last.
    let mut left = vec![0.0; n];
    let mut right = vec![1.0; n];
    let mut above = vec![1.0; n + 1];
    for cell in 1..=CELLS {
        let u = low + width * cell as f64;
        for (r, &k) in right.iter_mut().zip(rivals) {
            *r = if cell < CELLS { normal_cdf((u - mean[k]) / deviation[k].max(1e-9 * width)) } else { 1.0 };
        }
        for j in (0..n).rev() {
            above[j] = above[j + 1] * 0.5 * (left[j] + right[j]);
        }
        let mut below = 1.0;
        for (j, &k) in rivals.iter().enumerate() {
            out[k] += (right[j] - left[j]) * below * above[j + 1];
            below *= 0.5 * (left[j] + right[j]);
            left[j] = right[j];
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
        assert_eq!(greatest(&[], &[]), Vec::<f64>::new());
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
