//! A Gaussian belief about a weight vector θ ∈ ℝᵈ.

use serde::{Deserialize, Serialize};

/// θ ~ N(mean, covariance). Rows of the covariance are told by the mean's length, so that the two always fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Gaussian {
    /// d values, at least one.
    mean: Vec<f64>,
    /// d × d, row by row, symmetric.
    covariance: Vec<f64>,
}

/// What is read, before it is known to fit.
#[derive(Deserialize)]
struct Parts {
    mean: Vec<f64>,
    covariance: Vec<f64>,
}

impl TryFrom<Parts> for Gaussian {
    type Error = String;

    fn try_from(Parts { mean, covariance }: Parts) -> Result<Self, String> {
        match mean.len() {
            d if d > 0 && d * d == covariance.len() => Ok(Self { mean, covariance }),
            d => Err(format!("a mean of {d} values and a covariance of {}, not of {}", covariance.len(), d * d)),
        }
    }
}

impl Gaussian {
    /// `mean`: d values, at least one; `covariance`: d × d, row by row.
    ///
    /// # Panics
    /// If they do not fit one another: a mistake in the program, for what is loaded is checked before it comes here.
    pub fn new(mean: Vec<f64>, covariance: Vec<f64>) -> Self {
        Self::try_from(Parts { mean, covariance }).expect("a mean and a covariance of one dimension")
    }

    /// Of mean 0, with as many dimensions as `covariance` has rows.
    ///
    /// # Panics
    /// If that is no square.
    pub fn about_zero(covariance: Vec<f64>) -> Self {
        Self::new(vec![0.0; covariance.len().isqrt()], covariance)
    }

    /// The dimension d.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// E θ.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// d × d, row by row, symmetric.
    pub fn covariance(&self) -> &[f64] {
        &self.covariance
    }

    /// The same, to be made wider or narrower.
    pub fn covariance_mut(&mut self) -> &mut [f64] {
        &mut self.covariance
    }

    /// E θ·x.
    pub fn mean_along(&self, x: &[f64]) -> f64 {
        dot(&self.mean, x)
    }

    /// Var θ·x, never below zero.
    pub fn variance_along(&self, x: &[f64]) -> f64 {
        quadratic(&self.covariance, x).max(0.0)
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

/// I, row by row.
pub fn identity(d: usize) -> Vec<f64> {
    let mut matrix = vec![0.0; d * d];
    (0..d).for_each(|i| matrix[i * d + i] = 1.0);
    matrix
}

/// xᵀAx of a matrix, row by row.
pub fn quadratic(matrix: &[f64], x: &[f64]) -> f64 {
    matrix.chunks_exact(x.len()).zip(x).map(|(row, xi)| xi * dot(row, x)).sum()
}

/// a·b.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_belief_that_is_read_has_a_covariance_of_its_means_dimension() {
        let read = |text: &str| serde_json::from_str::<Gaussian>(text).map_err(|error| error.to_string());
        let kept = Gaussian::new(vec![1.0, 2.0], vec![1.0, 0.0, 0.0, 4.0]);
        assert_eq!(read(&serde_json::to_string(&kept).unwrap()), Ok(kept));
        let refused = |text| read(text).unwrap_err();
        let wider = refused(r#"{"mean": [0, 0], "covariance": [1, 0, 0, 0, 1, 0, 0, 0, 1]}"#);
        assert!(wider.contains("a mean of 2 values and a covariance of 9, not of 4"), "{wider}");
        assert!(refused(r#"{"mean": [], "covariance": []}"#).contains("a mean of 0 values"));
    }

    #[test]
    fn about_zero_there_are_as_many_dimensions_as_rows() {
        let belief = Gaussian::about_zero(vec![1.0, 0.0, 0.0, 4.0]);
        assert_eq!((belief.mean(), belief.variance_along(&[1.0, 2.0])), (&[0.0, 0.0][..], 17.0));
    }
}
