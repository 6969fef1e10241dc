//! The latent space's axes: white, and the first of them the one on which all models agree (ease).

use super::linear::{add_outer, dot, eigen, mirror};

/// z' = (z − mean) · axes.
#[derive(Debug)]
pub struct Whitening {
    pub mean: Vec<f64>,
    /// One axis of z' after the other, each as long as z.
    pub axes: Vec<Vec<f64>>,
    /// The arms' slopes on these axes.
    pub slopes: Vec<Vec<f64>>,
}

/// Axes in which `rows` of z have mean 0 and covariance 1 under `weights`. The first is the mean of the arms' slopes;
/// the others follow by how much the slopes spread along them.
///
/// `slopes`: one per arm, θ of z · θ.
pub fn whiten(rows: &[Vec<f64>], weights: &[f64], slopes: &[Vec<f64>]) -> Whitening {
    let (mean, covariance) = moments(rows, weights);
    let n = mean.len();
    let (values, vectors) = eigen(covariance, n);
    let deviations: Vec<f64> = values.iter().map(|value| value.max(1e-8).sqrt()).collect();
    let whitened = |slope: &Vec<f64>| -> Vec<f64> {
        vectors.iter().zip(&deviations).map(|(vector, deviation)| dot(vector, slope) * deviation).collect()
    };
    let slopes: Vec<Vec<f64>> = slopes.iter().map(whitened).collect();
    let rotation = rotation(&slopes, n);
    let axis =
        |turn: &Vec<f64>| (0..n).map(|i| (0..n).map(|j| vectors[j][i] / deviations[j] * turn[j]).sum()).collect();
    let turned = |slope: &Vec<f64>| rotation.iter().map(|turn| dot(turn, slope)).collect();
    Whitening { mean, axes: rotation.iter().map(axis).collect(), slopes: slopes.iter().map(turned).collect() }
}

/// An orthonormal basis: the mean slope, then the directions in which slopes differ, widest first.
fn rotation(slopes: &[Vec<f64>], n: usize) -> Vec<Vec<f64>> {
    let mean: Vec<f64> = (0..n).map(|i| slopes.iter().map(|slope| slope[i]).sum()).collect();
    let length = dot(&mean, &mean).sqrt().max(1e-12);
    let first: Vec<f64> = mean.iter().map(|x| x / length).collect();
    let mut spread = vec![0.0; n * n];
    for slope in slopes {
        let along = dot(&first, slope);
        let across: Vec<f64> = slope.iter().zip(&first).map(|(x, q)| x - q * along).collect();
        add_outer(&mut spread, &across, 1.0);
    }
    mirror(&mut spread, n);
    let (_, vectors) = eigen(spread, n);
    std::iter::once(first).chain(vectors.into_iter().take(n - 1)).collect()
}

fn moments(rows: &[Vec<f64>], weights: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let n = rows.first().map_or(0, Vec::len);
    let total: f64 = weights.iter().sum();
    let mut mean = vec![0.0; n];
    for (row, weight) in rows.iter().zip(weights) {
        mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += weight / total * x);
    }
    let mut covariance = vec![0.0; n * n];
    for (row, weight) in rows.iter().zip(weights) {
        let centred: Vec<f64> = row.iter().zip(&mean).map(|(x, mean)| x - mean).collect();
        add_outer(&mut covariance, &centred, weight / total);
    }
    mirror(&mut covariance, n);
    (mean, covariance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_white_and_the_first_is_the_mean_slope() {
        let rows: Vec<Vec<f64>> = (0..200)
            .map(f64::from)
            .map(|i| vec![i.sin() * 3.0 + 1.0, (i * 1.7).cos() + i.sin(), (i * 0.3).sin() * 0.2])
            .collect();
        let weights: Vec<f64> = (0..200).map(|i| 1.0 + f64::from(i % 3)).collect();
        let slopes = [vec![1.0, 0.5, 0.0], vec![0.8, 0.1, 1.0], vec![1.2, 0.4, -1.0]];
        let whitening = whiten(&rows, &weights, &slopes);
        let project = |row: &Vec<f64>| -> Vec<f64> {
            let centred: Vec<f64> = row.iter().zip(&whitening.mean).map(|(x, mean)| x - mean).collect();
            whitening.axes.iter().map(|axis| dot(axis, &centred)).collect()
        };
        let (mean, covariance) = moments(&rows.iter().map(project).collect::<Vec<_>>(), &weights);
        for (i, &value) in covariance.iter().enumerate() {
            let expected = if i % 4 == 0 { 1.0 } else { 0.0 };
            assert!((value - expected).abs() < 1e-9 && mean[i % 3].abs() < 1e-9, "{covariance:?}");
        }
        let mean_slope: Vec<f64> = (0..3).map(|i| whitening.slopes.iter().map(|slope| slope[i]).sum()).collect();
        assert!(mean_slope[0] > 0.0 && mean_slope[1].abs() < 1e-9 && mean_slope[2].abs() < 1e-9, "{mean_slope:?}");
        let centred =
            |row: &Vec<f64>| -> Vec<f64> { row.iter().zip(&whitening.mean).map(|(x, mean)| x - mean).collect() };
        for (slope, turned) in slopes.iter().zip(&whitening.slopes) {
            let (before, after) = (dot(slope, &centred(&rows[7])), dot(turned, &project(&rows[7])));
            assert!((before - after).abs() < 1e-9, "{before} {after}");
        }
    }
}
