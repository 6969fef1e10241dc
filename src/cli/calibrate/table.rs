//! Columns for people: names to the left, figures to the right.

use std::fmt;

/// Rows under a head.
pub(super) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(head: [&str; N]) -> Self {
        Self { rows: vec![head.map(str::to_owned)] }
    }

    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths: [usize; N] = std::array::from_fn(width);
        for row in &self.rows {
            write!(f, "  {:<width$}", row[0], width = widths[0])?;
            for (cell, width) in row.iter().zip(widths).skip(1) {
                write!(f, "  {cell:>width$}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// An amount with four decimals, and with as many more as it takes for two digits of what costs next to nothing.
pub(super) fn usd(amount: f64) -> String {
    let decimals = if amount > 0.0 { (1.0 - amount.log10().floor()).clamp(4.0, 12.0) as usize } else { 4 };
    format!("{amount:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::usd;

    #[test]
    fn what_costs_next_to_nothing_is_no_zero() {
        assert_eq!(
            [12.0, 0.25, 0.0, 0.000_031, 2e-7].map(usd),
            ["12.0000", "0.2500", "0.0000", "0.000031", "0.00000020"]
        );
    }
}
