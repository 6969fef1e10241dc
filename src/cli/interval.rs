//! How sure a mean is.

/// The 97.5th percentile of the normal distribution.
pub const Z: f64 = 1.959_964;

/// A mean of values in [0, 1] with its 95% score interval (Wilson 1927); exact for values that are 0 or 1, wide for
/// others. Of none, nothing is known: 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub mean: f64,
    pub low: f64,
    pub high: f64,
}

impl Interval {
    /// Of `n` values whose mean is `mean`.
    pub fn of_mean(mean: f64, n: usize) -> Self {
        if n == 0 {
            return Self { mean: 0.0, low: 0.0, high: 1.0 };
        }
        let n = n as f64;
        let shrink = 1.0 + Z * Z / n;
        let centre = (mean + Z * Z / (2.0 * n)) / shrink;
        let half = Z / shrink * (mean * (1.0 - mean) / n + Z * Z / (4.0 * n * n)).sqrt();
        Self { mean, low: (centre - half).max(0.0), high: (centre + half).min(1.0) }
    }
}
