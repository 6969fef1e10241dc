//! The hidden layer, as numbers.

use super::linear::dot;

/// Rectified units: max(0, weights · input + offset).
#[derive(Debug, Clone, Default)]
pub struct Hidden {
    /// One row of weights a unit.
    pub weights: Vec<Vec<f64>>,
    /// One per unit.
    pub offset: Vec<f64>,
}

impl Hidden {
    /// All the units of several layers, in their order.
    pub fn join<'a>(layers: impl Iterator<Item = &'a Self>) -> Self {
        let mut joined = Self::default();
        for layer in layers {
            joined.weights.extend(layer.weights.iter().cloned());
            joined.offset.extend(&layer.offset);
        }
        joined
    }

    /// The input, and after it the units' values.
    pub fn extend(&self, input: &[f32]) -> Vec<f32> {
        let wide: Vec<f64> = input.iter().map(|&value| f64::from(value)).collect();
        let units = self.weights.iter().zip(&self.offset).map(|(row, offset)| (dot(row, &wide) + offset).max(0.0));
        input.iter().copied().chain(units.map(|unit| unit as f32)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_joined_in_order_and_rectified() {
        let layer = |weight: f64, offset| Hidden { weights: vec![vec![weight, 1.0]], offset: vec![offset] };
        let joined = Hidden::join([layer(2.0, 0.5), layer(-3.0, 0.0)].iter());
        assert_eq!(joined.extend(&[1.0, -1.0]), [1.0, -1.0, 1.5, 0.0]);
    }
}
