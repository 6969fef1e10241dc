//! Means and covariances of a stream of rows, kept as they come.

use serde::{Deserialize, Serialize};

/// Columns of a row.
const N: usize = 3;

/// Rows of three numbers: their number, their means, and the sums of the products of their distances to the means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    rows: usize,
    mean: [f64; N],
    products: [[f64; N]; N],
}

impl Moments {
    /// The next row of the stream.
    pub fn push(&mut self, row: [f64; N]) {
        self.rows += 1;
        let before: [f64; N] = std::array::from_fn(|i| row[i] - self.mean[i]);
        self.mean = std::array::from_fn(|i| self.mean[i] + before[i] / self.rows as f64);
        for (i, products) in self.products.iter_mut().enumerate() {
            products.iter_mut().enumerate().for_each(|(j, sum)| *sum += before[i] * (row[j] - self.mean[j]));
        }
    }

    /// One of the rows changed by `change`; the spread is left as it is.
    pub fn revise(&mut self, change: [f64; N]) {
        if self.rows > 0 {
            self.mean.iter_mut().zip(change).for_each(|(mean, change)| *mean += change / self.rows as f64);
        }
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The mean of w·row; 0 before the first.
    pub fn mean_along(&self, w: [f64; N]) -> f64 {
        self.mean.iter().zip(w).map(|(mean, w)| mean * w).sum()
    }

    /// The covariance of v·row and w·row; 0 before the first.
    pub fn covariance_along(&self, v: [f64; N], w: [f64; N]) -> f64 {
        let all = self.products.iter().zip(v).flat_map(|(row, v)| row.iter().zip(w).map(move |(sum, w)| v * sum * w));
        all.sum::<f64>() / self.rows.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_covariances_are_those_of_the_rows() {
        let mut moments = Moments::default();
        for row in [[1.0, 2.0, 0.0], [3.0, 1.0, 1.0], [5.0, 0.0, -1.0]] {
            moments.push(row);
        }
        assert_eq!(moments.mean_along([1.0, 0.0, 0.0]), 3.0);
        assert!((moments.mean_along([1.0, 1.0, 2.0]) - 4.0).abs() < 1e-12);
        let covariance = moments.covariance_along([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]);
        assert!((covariance + 4.0 / 3.0).abs() < 1e-12, "{covariance}");
        moments.revise([0.0, 3.0, 0.0]);
        assert!((moments.mean_along([0.0, 1.0, 0.0]) - 2.0).abs() < 1e-12);
    }
}
