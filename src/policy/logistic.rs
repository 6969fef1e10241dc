//! The logistic function and its Gaussian averages.

use std::f64::consts::PI;

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

/// Φ(x), the normal distribution function, to 1.5·10⁻⁴: Page's logistic form (Approximations to the cumulative normal
/// function, 1977). Propensities computed with it are recorded as drawn, so its error never biases an estimate.
pub fn normal_cdf(x: f64) -> f64 {
    match x {
        x if x > 6.0 => 1.0,
        x if x < -6.0 => 0.0,
        x => 1.0 / (1.0 + (-x * (1.5976 + 0.07056 * x * x)).exp()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_do_not_overflow() {
        assert_eq!((sigmoid(1e4), sigmoid(-1e4)), (1.0, 0.0));
        assert_eq!((normal_cdf(1e300), normal_cdf(-1e300)), (1.0, 0.0));
    }

    #[test]
    fn uncertainty_pulls_towards_one_half() {
        assert!(mean_sigmoid(2.0, 4.0) < mean_sigmoid(2.0, 0.0));
        assert_eq!(mean_sigmoid(0.0, 9.0), 0.5);
    }

    #[test]
    fn the_normal_distribution_function_is_near_the_table() {
        for (x, expected) in [(0.0, 0.5), (1.0, 0.841_344_7), (-1.96, 0.024_997_9), (3.0, 0.998_650_1)] {
            assert!((normal_cdf(x) - expected).abs() < 2e-4, "{x}");
        }
    }
}
