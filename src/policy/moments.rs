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

    /// The rows of strata that count by their weights, not by how many rows of each there are: as many rows, about the mean
    /// of the whole, and spread so that this mean is known as well as its strata are. `unseen`: squared distances that may
    /// go unseen among rows that count alike; where a row stands for several, so does one that is not seen. A stratum
    /// without rows is taken to be like the others, as far as one unseen row lets that be known.
    pub fn stratified(strata: &[(f64, Self)], unseen: f64) -> Self {
        let weight = |of: &dyn Fn(&Self) -> bool| -> f64 {
            strata.iter().filter(|(_, stratum)| of(stratum)).map(|(weight, _)| weight).sum()
        };
        let (all, known) = (weight(&|_| true), weight(&|stratum| stratum.rows > 0));
        let mut whole = Self { rows: strata.iter().map(|(_, stratum)| stratum.rows).sum(), ..Self::default() };
        if whole.rows == 0 {
            return whole;
        }
        whole.mean = std::array::from_fn(|i| strata.iter().map(|(weight, of)| weight / known * of.mean[i]).sum());
        strata.iter().for_each(|(weight, stratum)| whole.spread(stratum, weight / all, unseen));
        (0..N).for_each(|i| whole.products[i][i] -= unseen);
        whole
    }

    /// Adds the products of a stratum that is this `share` of the whole.
    fn spread(&mut self, stratum: &Self, share: f64, unseen: f64) {
        let due = share * self.rows as f64;
        // So many rows does each of the stratum's stand for.
        let each = due / stratum.rows.max(1) as f64;
        let between = if stratum.rows > 0 { due } else { 0.0 };
        let apart: [f64; N] = std::array::from_fn(|i| stratum.mean[i] - self.mean[i]);
        for (i, products) in self.products.iter_mut().enumerate() {
            for (j, sum) in products.iter_mut().enumerate() {
                *sum += each * each * stratum.products[i][j] + between * apart[i] * apart[j];
            }
            products[i] += unseen * share * each * each;
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

    fn of(rows: &[[f64; N]]) -> Moments {
        let mut moments = Moments::default();
        rows.iter().for_each(|row| moments.push(*row));
        moments
    }

    #[test]
    fn strata_of_which_all_rows_are_there_are_their_rows() {
        let rows = [[1.0, 2.0, 0.0], [3.0, 1.0, 1.0], [5.0, 0.0, -1.0], [0.5, 0.25, 2.0], [0.0, 1.0, 1.0]];
        let (one, other) = rows.split_at(2);
        let strata = [(2.0, of(one)), (3.0, of(other)), (0.0, of(&[]))];
        let (whole, plain) = (Moments::stratified(&strata, 2.0), of(&rows));
        assert_eq!(whole.rows(), 5);
        for (v, w) in [([1.0, 0.0, 0.0], [1.0, 0.0, 0.0]), ([1.0, -0.5, 0.0], [0.0, 1.0, 3.0])] {
            assert!((whole.mean_along(v) - plain.mean_along(v)).abs() < 1e-12);
            assert!((whole.covariance_along(v, w) - plain.covariance_along(v, w)).abs() < 1e-12);
        }
        assert_eq!(Moments::stratified(&[(1.0, of(&[]))], 2.0), Moments::default());
    }

    #[test]
    fn a_stratum_counts_by_its_weight_and_is_the_less_known_the_fewer_of_its_rows_are_there() {
        let (x, n) = ([1.0, 0.0, 0.0], 100.0);
        let whole = |weight: f64, rows: usize| {
            let (most, few) = ([[0.0; N], [1.0; N]].repeat(50), [[0.5; N], [1.0; N]].repeat(rows / 2));
            Moments::stratified(&[(n, of(&most)), (weight, of(&few))], 2.0)
        };
        assert!((whole(n, 10).mean_along(x) - 0.625).abs() < 1e-12);
        let variance = |weight, rows| whole(weight, rows).covariance_along(x, x) / whole(weight, rows).rows() as f64;
        assert!(variance(n, 10) > 2.0 * variance(n, 100));
        assert!((whole(n, 0).mean_along(x) - 0.5).abs() < 1e-12);
        assert!(variance(1.0, 0) < 0.003 && variance(n, 0) > 0.2, "{} {}", variance(1.0, 0), variance(n, 0));
    }
}
