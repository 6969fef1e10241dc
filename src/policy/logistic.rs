//! The logistic function and its Gaussian averages.

use std::f64::consts::{FRAC_2_SQRT_PI, PI, SQRT_2};

/// σ(z) = 1 / (1 + e⁻ᶻ), without overflow at either end.
pub fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 {
        1.0 / (1.0 + (-z).exp())
    } else {
        let e = z.exp();
        e / (1.0 + e)
    }
}

/// E σ(Z) for Z ~ N(`mean`, `variance`), by MacKay's approximation (The evidence framework applied to classification
/// networks, 1992): σ(μ / √(1 + πs²/8)).
pub fn mean_sigmoid(mean: f64, variance: f64) -> f64 {
    sigmoid(mean / (1.0 + PI * variance / 8.0).sqrt())
}

/// Φ(x), the normal distribution function, to 3·10⁻⁵: a straight line between two of its tabulated values, 0 and 1 from
/// ∓6 on. Propensities take some hundred values each, and an exponential for each of them would be most of what a decision
/// costs. They are recorded as drawn, so that the error biases no estimate.
pub fn normal_cdf(x: f64) -> f64 {
    const MIDDLE: f64 = (END * STEPS) as f64;
    /// Added, it leaves the nearest integer, in the lowest bits: a conversion would first look for what no integer can
    /// hold.
    const TO_INTEGER: f64 = 6_755_399_441_055_744.0;
    let at = (x * STEPS as f64 + MIDDLE).clamp(0.0, 2.0 * MIDDLE);
    let below = at - 0.5 + TO_INTEGER;
    let i = (below.to_bits() as u32 as usize).min(CDF.len() - 2);
    CDF[i] + (CDF[i + 1] - CDF[i]) * (at - (below - TO_INTEGER))
}

/// Steps of the table for a unit of x.
const STEPS: usize = 32;
/// The greatest x in the table.
const END: usize = 6;
/// Φ at −[`END`], −[`END`] + 1/[`STEPS`], … [`END`], and one further.
static CDF: [f64; 2 * END * STEPS + 2] = cdf();

const fn cdf() -> [f64; 2 * END * STEPS + 2] {
    let upper = upper_half();
    let mut cdf = [1.0; 2 * END * STEPS + 2];
    let mut i = 0;
    while i < END * STEPS {
        cdf[END * STEPS + i] = upper[i];
        cdf[END * STEPS - i] = 1.0 - upper[i];
        i += 1;
    }
    cdf[0] = 0.0;
    cdf
}

/// The density's integral from 0, by the trapezoidal rule with its correction at the ends: to h⁴. The density itself falls
/// by a factor a step, which falls by a factor a step: φ(x + h) = φ(x) · exp(−hx − h²/2).
const fn upper_half() -> [f64; END * STEPS] {
    let h = 1.0 / STEPS as f64;
    let mut cdf = [0.5; END * STEPS];
    let mut density = FRAC_2_SQRT_PI / (2.0 * SQRT_2);
    let mut factor = exp_of_minus(h * h / 2.0);
    let mut i = 1;
    while i < cdf.len() {
        let x = i as f64 * h;
        let next = density * factor;
        // φ′(x) = −xφ(x).
        let correction = h * h / 12.0 * (x * next - (x - h) * density);
        cdf[i] = cdf[i - 1] + h / 2.0 * (density + next) + correction;
        factor *= exp_of_minus(h * h);
        density = next;
        i += 1;
    }
    cdf
}

/// e⁻ˣ for x up to 0.001, to the last bit.
const fn exp_of_minus(x: f64) -> f64 {
    1.0 - x * (1.0 - x / 2.0 * (1.0 - x / 3.0 * (1.0 - x / 4.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_do_not_overflow() {
        assert_eq!((sigmoid(1e4), sigmoid(-1e4)), (1.0, 0.0));
        assert_eq!((normal_cdf(1e300), normal_cdf(-1e300)), (1.0, 0.0));
        assert_eq!((normal_cdf(6.0), normal_cdf(-6.0)), (1.0, 0.0));
        assert!(normal_cdf(f64::NAN).is_nan());
    }

    #[test]
    fn uncertainty_pulls_towards_one_half() {
        assert!(mean_sigmoid(2.0, 4.0) < mean_sigmoid(2.0, 0.0));
        assert_eq!(mean_sigmoid(0.0, 9.0), 0.5);
    }

    #[test]
    fn the_normal_distribution_function_is_as_in_the_books() {
        let known = [
            (0.0, 0.5),
            (0.51, 0.694_974_269),
            (1.0, 0.841_344_746),
            (-1.96, 0.024_997_895),
            (3.0, 0.998_650_102),
            (-4.0, 0.000_031_671),
        ];
        for (x, expected) in known {
            assert!((normal_cdf(x) - expected).abs() < 3e-5, "{x}: {}", normal_cdf(x));
        }
        let steps = (-700..700).map(|i| normal_cdf(f64::from(i) / 100.0));
        assert!(steps.is_sorted(), "it falls nowhere");
        // On the table's own points there is no line between two.
        assert!((normal_cdf(1.0) - 0.841_344_746_068_543).abs() < 1e-9);
        assert!((normal_cdf(5.999) - 1.0).abs() < 1e-8);
    }
}
