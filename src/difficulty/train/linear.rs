//! Small dense linear algebra for symmetric matrices, in f64, row by row in one vector.

/// A symmetric matrix is not positive definite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the matrix is not positive definite: the data say too little, or hold a value that is not finite")]
pub struct NotPositiveDefinite;

/// The lower factor of A = L Lᵀ.
#[derive(Debug)]
pub struct Cholesky {
    n: usize,
    lower: Vec<f64>,
}

impl Cholesky {
    /// Factors the n × n matrix `a`, of which the lower triangle is read.
    ///
    /// # Errors
    /// `a` is not positive definite.
    pub fn new(mut a: Vec<f64>, n: usize) -> Result<Self, NotPositiveDefinite> {
        for row in 0..n {
            for column in 0..=row {
                let known: f64 = (0..column).map(|k| a[row * n + k] * a[column * n + k]).sum();
                let rest = a[row * n + column] - known;
                if row == column && !(rest > 0.0 && rest.is_finite()) {
                    return Err(NotPositiveDefinite);
                }
                a[row * n + column] = if row == column { rest.sqrt() } else { rest / a[column * n + column] };
            }
        }
        Ok(Self { n, lower: a })
    }

    /// x of A x = b.
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        let (n, l) = (self.n, &self.lower);
        let mut x = b.to_vec();
        for row in 0..n {
            let known: f64 = (0..row).map(|k| l[row * n + k] * x[k]).sum();
            x[row] = (x[row] - known) / l[row * n + row];
        }
        for row in (0..n).rev() {
            let known: f64 = (row + 1..n).map(|k| l[k * n + row] * x[k]).sum();
            x[row] = (x[row] - known) / l[row * n + row];
        }
        x
    }

    /// A⁻¹, symmetric to the bit.
    pub fn inverse(&self) -> Vec<f64> {
        let n = self.n;
        let mut inverse = vec![0.0; n * n];
        for column in 0..n {
            let mut unit = vec![0.0; n];
            unit[column] = 1.0;
            for (row, value) in self.solve(&unit).into_iter().enumerate().skip(column) {
                inverse[row * n + column] = value;
                inverse[column * n + row] = value;
            }
        }
        inverse
    }
}

/// Eigenvalues of a symmetric matrix in descending order, with their eigenvectors, one after the other.
///
/// Cyclic Jacobi rotations. The sign of an eigenvector is fixed: its entry of largest magnitude is positive.
pub fn eigen(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
    const SWEEPS: usize = 64;
    let mut vectors = identity(n);
    for _ in 0..SWEEPS {
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut vectors, n, p, q);
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[j * n + j].total_cmp(&a[i * n + i]));
    let vector = |&j: &usize| positive((0..n).map(|i| vectors[i * n + j]).collect());
    (order.iter().map(|&j| a[j * n + j]).collect(), order.iter().map(vector).collect())
}

/// The rotation in the plane of axes p and q that makes a[p][q] zero.
fn rotate(a: &mut [f64], vectors: &mut [f64], n: usize, p: usize, q: usize) {
    let off = a[p * n + q];
    if off == 0.0 {
        return;
    }
    let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * off);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    let turn = |x: f64, y: f64| (c * x - s * y, s * x + c * y);
    for k in 0..n {
        (a[k * n + p], a[k * n + q]) = turn(a[k * n + p], a[k * n + q]);
        (vectors[k * n + p], vectors[k * n + q]) = turn(vectors[k * n + p], vectors[k * n + q]);
    }
    for k in 0..n {
        (a[p * n + k], a[q * n + k]) = turn(a[p * n + k], a[q * n + k]);
    }
    (a[p * n + q], a[q * n + p]) = (0.0, 0.0);
}

fn positive(vector: Vec<f64>) -> Vec<f64> {
    let largest = vector.iter().copied().max_by(|x, y| x.abs().total_cmp(&y.abs())).unwrap_or(1.0);
    vector.into_iter().map(|x| x * largest.signum()).collect()
}

/// The n × n identity.
pub fn identity(n: usize) -> Vec<f64> {
    diagonal(&vec![1.0; n])
}

/// The matrix with this diagonal.
pub fn diagonal(values: &[f64]) -> Vec<f64> {
    let n = values.len();
    let mut matrix = vec![0.0; n * n];
    values.iter().enumerate().for_each(|(i, &value)| matrix[i * n + i] = value);
    matrix
}

/// x · y.
pub fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// a += weight · x xᵀ, lower triangle only.
pub fn add_outer(a: &mut [f64], x: &[f64], weight: f64) {
    let n = x.len();
    for row in 0..n {
        let scaled = weight * x[row];
        a[row * n..=row * n + row].iter_mut().zip(x).for_each(|(a, x)| *a += scaled * x);
    }
}

/// Copies the lower triangle to the upper.
pub fn mirror(a: &mut [f64], n: usize) {
    for row in 0..n {
        for column in 0..row {
            a[column * n + row] = a[row * n + column];
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(a: &[f64], b: &[f64]) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-8)
    }

    fn product(a: &[f64], b: &[f64], n: usize) -> Vec<f64> {
        (0..n * n).map(|i| (0..n).map(|k| a[i / n * n + k] * b[k * n + i % n]).sum()).collect()
    }

    proptest! {
        #[test]
        fn inverse_and_eigenvectors_rebuild_the_matrix(x in prop::collection::vec(-2.0..2.0f64, 16)) {
            let mut a = diagonal(&[0.5; 4]);
            x.chunks(4).for_each(|x| add_outer(&mut a, x, 1.0));
            mirror(&mut a, 4);
            let inverse = Cholesky::new(a.clone(), 4).expect("positive definite").inverse();
            prop_assert!(close(&product(&a, &inverse, 4), &identity(4)));
            let (values, vectors) = eigen(a.clone(), 4);
            let mut rebuilt = vec![0.0; 16];
            values.iter().zip(&vectors).for_each(|(&value, vector)| add_outer(&mut rebuilt, vector, value));
            mirror(&mut rebuilt, 4);
            prop_assert!(close(&rebuilt, &a));
            prop_assert!(values.is_sorted_by(|x, y| x >= y));
        }
    }

    #[test]
    fn what_is_not_positive_definite_is_refused() {
        for a in [vec![1.0, 2.0, 2.0, 1.0], vec![f64::NAN, 0.0, 0.0, 1.0], vec![0.0; 4]] {
            assert_eq!(Cholesky::new(a, 2).err(), Some(NotPositiveDefinite));
        }
    }
}
