//! A Gaussian belief about a weight vector θ ∈ ℝᵈ.

use serde::{Deserialize, Serialize};

/// θ ~ N(mean, covariance).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gaussian {
    /// d values.
    pub mean: Vec<f64>,
    /// d × d, row by row, symmetric.
    pub covariance: Vec<f64>,
}

impl Gaussian {
    /// The dimension d.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// E θ·x.
    pub fn mean_along(&self, x: &[f64]) -> f64 {
        dot(&self.mean, x)
    }

    /// Var θ·x, never below zero.
    pub fn variance_along(&self, x: &[f64]) -> f64 {
        let rows = self.covariance.chunks_exact(self.dim());
        rows.zip(x).map(|(row, xi)| xi * dot(row, x)).sum::<f64>().max(0.0)
    }

    /// E θ·x and Var θ·x.
    pub fn along(&self, x: &[f64]) -> (f64, f64) {
        (self.mean_along(x), self.variance_along(x))
    }

    /// Sx: how each weight moves with θ·x.
    pub fn covariance_times(&self, x: &[f64]) -> Vec<f64> {
        self.covariance.chunks_exact(self.dim()).map(|row| dot(row, x)).collect()
    }

    /// The mean moves by `gain`·Sx and the covariance loses `shrink`·(Sx)(Sx)ᵀ, with `sx` = Sx.
    pub fn observe(&mut self, sx: &[f64], gain: f64, shrink: f64) {
        let d = self.dim();
        for (m, s) in self.mean.iter_mut().zip(sx) {
            *m += gain * s;
        }
        for (row, si) in self.covariance.chunks_exact_mut(d).zip(sx) {
            let factor = shrink * si;
            row.iter_mut().zip(sx).for_each(|(c, sj)| *c -= factor * sj);
        }
    }
}

/// a·b.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
